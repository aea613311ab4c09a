/** Records that end the process when they are visited (state/visits.ts): suspected, then suspended.
 *
 *   WORD  FIELD               MEANING
 *    192  visitPool           what was being visited when the last life ended
 *    194  visitSlot           its slot, and the deaths of the accused: (slot + 1) << 3 | tries
 *    196  accusedPool         what the deaths are counted against: pool and site,
 *    198  accusedSlot         slot + 1,
 *    200  accusedGeneration   and generation
 *
 *   $suspended   under the log: MOST entries of 4 words: hash of the pool's name (0 = free), slot, generation, deaths
 *
 * By the same counts as a message (blame.ts): after the first death the record is visited again at once, and watched; from
 * the second on it is passed over until its process's exit note is read, then suspended or visited again. A suspended
 * record is there as before, and messages about it are handled; spreads, ticks' walks, attempts and its onResume pass it
 * over. That ends when it is destroyed, released by hand, or with the next deploy.
 *
 * A death in an attempt within a message counts for both. The record is judged first, and the message gets another chance. */
import { array, type Fields, hashOf, recordRefOf, u32 } from '@lich/schema';
import { rootWord } from '../bus/index.ts';
import { type Pool, WORDS } from '../state/index.ts';
import { SITE_MESSAGE, SITE_RESUME, SITE_SPREAD, SITE_TICK, SITE_WALK, TRIES_MAX } from '../state/internal.ts';
import { KILL_DEATHS, OWN_DEATHS } from './blame.ts';
import type { Core } from './core.ts';
import { errorData } from './log.ts';
import { MustWait } from './outgoing.ts';
import { quarantine } from './quarantine.ts';
import type { Life } from './service.ts';

/** Records that may be suspended at a time. */
const MOST = 64;
const ENTRY_WORDS = 4;

export const suspendedFields: Fields = { $suspended: array(u32, MOST * ENTRY_WORDS) };

export interface RecordSuspect {
  /** Number of its pool. */
  readonly pool: number;
  readonly slot: number;
  readonly generation: number;
  readonly site: number;
  readonly tries: number;
}

/** Count the death against the record that was being visited, if it is still there.
 * @param generationOf of the live record in a slot of the pool with that number, 0 = none
 * @remarks may be killed at any store and begun again */
export function countVisit(
  S: Int32Array,
  generationOf: (pool: number, slot: number) => number,
): RecordSuspect | undefined {
  const slot = (S[WORDS.VISIT_SLOT] >>> 3) - 1;
  const pool = S[WORDS.VISIT_POOL];
  const generation = slot < 0 ? 0 : generationOf((pool >>> 8) - 1, slot);
  if (slot >= 0 && generation === 0) S[WORDS.VISIT_SLOT] = S[WORDS.VISIT_SLOT] & TRIES_MAX;
  else if (slot >= 0) {
    const same =
      S[WORDS.ACCUSED_POOL] === pool &&
      S[WORDS.ACCUSED_SLOT] === slot + 1 &&
      S[WORDS.ACCUSED_GENERATION] === (generation | 0);
    if (!same) {
      S[WORDS.VISIT_SLOT] = (slot + 1) << 3;
      S[WORDS.ACCUSED_GENERATION] = generation;
      S[WORDS.ACCUSED_SLOT] = slot + 1;
      S[WORDS.ACCUSED_POOL] = pool;
    }
    S[WORDS.VISIT_SLOT] = Math.min((S[WORDS.VISIT_SLOT] & TRIES_MAX) + 1, TRIES_MAX);
  }
  const tries = S[WORDS.VISIT_SLOT] & TRIES_MAX;
  const accused = {
    pool: (S[WORDS.ACCUSED_POOL] >>> 8) - 1,
    slot: S[WORDS.ACCUSED_SLOT] - 1,
    generation: S[WORDS.ACCUSED_GENERATION] >>> 0,
    site: S[WORDS.ACCUSED_POOL] & 0xff,
    tries,
  };
  if (tries === 0 || generationOf(accused.pool, accused.slot) !== accused.generation) return undefined;
  return accused;
}

/** A record that is not visited, as told to who looks from outside. */
export interface Suspended {
  readonly pool: string;
  readonly slot: number;
  readonly generation: number;
  readonly deaths: number;
}

/** What `$suspended` holds. @param words its value, as readers give it */
export function suspendedIn(words: readonly number[], pools: readonly string[]): Suspended[] {
  const out: Suspended[] = [];
  const names = new Map(pools.map(name => [hash32(name), name]));
  for (let at = 0; at < words.length; at += ENTRY_WORDS) {
    if (words[at] === 0) continue;
    out.push({
      pool: names.get(words[at]!) ?? '(gone)',
      slot: words[at + 1]!,
      generation: words[at + 2]!,
      deaths: words[at + 3]!,
    });
  }
  return out;
}

function hash32(name: string): number {
  return Number.parseInt(hashOf(name).slice(-8), 16) || 1;
}

/** Where a visit took place, in words. */
export function siteName(site: number): string {
  if (site >= SITE_SPREAD) return 'spread';
  const names: Record<number, string> = {
    [SITE_WALK]: 'tick',
    [SITE_RESUME]: 'onResume',
    [SITE_TICK]: 'attempt in tick',
    [SITE_MESSAGE]: 'attempt',
  };
  return names[site] ?? String(site);
}

/** Suspects and suspended records of one node, in its owner's process. */
export class Suspects {
  readonly #core: Core;
  readonly #pools: readonly Pool[];
  /** Word of `$suspended`. */
  readonly #word: number;
  #suspect: RecordSuspect | undefined;
  /** The suspect is passed over until its verdict. */
  #waits = false;

  constructor(core: Core) {
    this.#core = core;
    const { store } = core;
    this.#pools = store.layouts.pools.map(pool => store.pools.get(pool.name)!);
    this.#word = rootWord(store.layouts.root, store.segment.regions.get('root')!.offset, '$suspended');
  }

  /** A life begins that found its state: before any code of the service runs, outside transactions. */
  begin(reason: Life['reason']): void {
    const { store, blame } = this.#core;
    const { visits, segment } = store;
    // A standby has been through this in its rehearsal.
    for (const pool of this.#pools) pool.visits.forget();
    this.#waits = false;
    const isFresh = segment.i32[WORDS.VISIT_SLOT] >>> 3 !== 0;
    this.#suspect = countVisit(segment.i32, (pool, slot) => this.#generationOf(pool, slot));
    visits.tries = segment.i32[WORDS.VISIT_SLOT] & TRIES_MAX;
    if (this.#suspect === undefined && visits.tries > 0) this.#forget();
    if (reason === 'deploy') this.#forget();
    this.#load(reason === 'deploy');
    const suspect = this.#suspect;
    if (suspect === undefined) return;
    this.#waits = suspect.tries >= OWN_DEATHS;
    const { slot, generation, site } = suspect;
    this.#pools[suspect.pool]!.visits.except(slot, { generation, skip: this.#waits, site });
    // A message that died with it waits for this verdict; if it has more deaths, some of them by chance, it runs again.
    blame.smaller = tries => {
      if (this.#waits && blame.judge(suspect.tries, performance.now()) === 'set aside') return 'wait';
      return isFresh && suspect.tries < tries && tries < KILL_DEATHS ? 'run' : undefined;
    };
  }

  #generationOf(pool: number, slot: number): number {
    const of = this.#pools[pool];
    if (of === undefined || slot < 0 || slot >= of.high) return 0;
    const generation = of.generationOf(slot);
    return (generation & 1) === 1 ? generation : 0;
  }

  /** Take over what earlier lives suspended; entries of records that are gone, or all, are given up. */
  #load(all: boolean): void {
    const { store, log } = this.#core;
    const U = store.segment.u32;
    const gone: number[] = [];
    for (let at = this.#word; at < this.#word + MOST * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (U[at] === 0) continue;
      const pool = this.#pools.findIndex(({ name }) => hash32(name) === U[at]);
      const [slot, generation] = [U[at + 1], U[at + 2]];
      if (all || this.#generationOf(pool, slot) !== generation) gone.push(at);
      else this.#pools[pool]!.visits.except(slot, { generation, skip: true, site: 0 });
    }
    if (gone.length === 0) return;
    this.#core.transact(() => gone.forEach(at => store.log.write(at, 0)));
    if (all) log.info('suspended records are visited again: the code is new', { records: gone.length });
  }

  /** Is there something to do in `step`? */
  get busy(): boolean {
    return this.#suspect !== undefined;
  }

  /** Between transactions. @param nowMs a clock that does not stand still */
  step(nowMs: number): void {
    const suspect = this.#suspect!;
    const { blame, store } = this.#core;
    const { visits } = this.#pools[suspect.pool]!;
    if (!this.#waits) {
      if (!store.visits.met) return;
      visits.restore(suspect.slot);
      this.#forget();
      return;
    }
    const verdict = blame.judge(suspect.tries, nowMs);
    if (verdict === 'wait') return;
    this.#waits = false;
    const { slot, generation, site } = suspect;
    if (verdict === 'run') visits.except(slot, { generation, skip: false, site });
    else this.#suspend(suspect);
  }

  /** Nobody is suspected any more. */
  #forget(): void {
    const { store } = this.#core;
    this.#suspect = undefined;
    store.visits.tries = 0;
    store.visits.met = false;
    store.segment.i32[WORDS.VISIT_SLOT] = 0;
  }

  #suspend({ pool, slot, generation, site, tries }: RecordSuspect): void {
    const core = this.#core;
    const { log } = core;
    const { name, visits } = this.#pools[pool]!;
    if (this.#generationOf(pool, slot) === generation) {
      const entry = quarantine(core, {
        kind: 'record',
        what: `${name}[${slot}]`,
        id: `${name}-${slot}.${generation}`,
        deaths: tries,
        pool: name,
        slot,
        generation,
        site: siteName(site),
        siteCode: site,
      });
      visits.except(slot, { generation, skip: true, site });
      try {
        core.transact(() => this.#enter(name, slot, generation, tries));
        log.error('a record is suspended: visits to it kept ending the process', entry);
      } catch (error) {
        log.error('a record is passed over in this life only', { ...entry, ...errorData(error) });
      }
    }
    // The message that died with it gets another chance.
    if (!core.blame.over) core.acquit();
    this.#forget();
  }

  #enter(name: string, slot: number, generation: number, tries: number): void {
    const { store } = this.#core;
    for (let at = this.#word; at < this.#word + MOST * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (store.segment.u32[at] !== 0) continue;
      [hash32(name), slot, generation, tries].forEach((value, k) => store.log.write(at + k, value));
      return;
    }
    throw new RangeError(`${MOST} records are suspended already`);
  }

  /** Visit a record again. In a transaction. @returns false when it was not suspended */
  release(name: string, slot: number, generation: number): boolean {
    const { store } = this.#core;
    const U = store.segment.u32;
    const hash = hash32(name);
    for (let at = this.#word; at < this.#word + MOST * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (U[at] !== hash || U[at + 1] !== slot || U[at + 2] !== generation) continue;
      store.log.write(at, 0);
      store.pools.get(name)?.visits.restore(slot);
      return true;
    }
    return false;
  }

  /** Run the part of a message or a tick that is about one record. @returns undefined when the record is passed over
   * @throws MustWait while it is not known whether the record is to be blamed: a message is handled when it is */
  attempt(record: object | undefined, fn: () => unknown): unknown {
    const ref = recordRefOf(record);
    const { store } = this.#core;
    const pool = ref?.pool === undefined ? undefined : store.pools.get(ref.pool);
    if (pool === undefined) return fn();
    const { slot } = ref!;
    const before = pool.visits.enter(store.visits.walks ? SITE_TICK : SITE_MESSAGE);
    try {
      if (pool.visits.visit(slot, of => pool.generationOf(of))) return fn();
      if (this.#waits && !store.visits.walks && this.#suspect!.slot === slot) throw new MustWait(0);
      return undefined;
    } finally {
      pool.visits.leave(before);
    }
  }
}
