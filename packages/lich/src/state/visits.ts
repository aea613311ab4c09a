// HOT: measured by benchmarks/spread
/** Visits: which record the code of a service is at. If its process dies there, the next life knows whom to suspect
 * (runtime/suspects.ts).
 *
 *   WORD  FIELD        MEANING
 *    192  visitPool    (pool's number + 1) << 8 | site
 *    194  visitSlot    (slot + 1) << 3 | tries; slot + 1 = 0: no record is visited
 *
 * Unlogged: what a life was at is what its death leaves. `tries` shares its word with the slot, so that counting a death
 * and forgetting what was visited are one store. Sites tell visits of one record apart: a death in one of them is not
 * forgotten because another one went well.
 *
 * A spread, an attempt and an onResume say where they are; a walk over a pool does so in a tick, if no other visit is
 * under way: of a walk in a walk the outer one has the record that is at work. */
import { VISIT_POOL, VISIT_SLOT } from './words.ts';

export const SITE_WALK = 1;
export const SITE_RESUME = 2;
/** An attempt in a tick. */
export const SITE_TICK = 3;
/** An attempt in the handler of a message. */
export const SITE_MESSAGE = 4;
/** Spreads have numbers of their own from here on. */
export const SITE_SPREAD = 16;

export const TRIES_BITS = 3;
export const TRIES_MAX = (1 << TRIES_BITS) - 1;

/** What is known of a slot whose record is not visited as all others are. */
export interface Exception {
  readonly generation: number;
  /** Passed over; else it is visited, and that is noted. */
  readonly skip: boolean;
  /** Of the visit that is watched. */
  readonly site: number;
}

/** Visits in one process. */
export class Visits {
  readonly #S: Int32Array;
  /** Walks say where they are, too: a tick runs. */
  walks = false;
  /** Deaths that the suspect has caused: they stay in the word while others are visited. */
  tries = 0;
  /** The watched record was visited. */
  met = false;
  /** Visits that were passed over. */
  skipped = 0;

  constructor(S: Int32Array) {
    this.#S = S;
  }

  /** Nothing is being visited any more, whatever was cut short. */
  clear(): void {
    this.#S[VISIT_SLOT] = this.tries;
  }

  /** @internal */
  get none(): boolean {
    return this.#S[VISIT_SLOT] >>> TRIES_BITS === 0;
  }

  /** @internal */
  enter(pool: number, site: number): number {
    const S = this.#S;
    const before = S[VISIT_POOL] * 2 ** 32 + (S[VISIT_SLOT] >>> TRIES_BITS);
    S[VISIT_SLOT] = this.tries;
    S[VISIT_POOL] = ((pool + 1) << 8) | site;
    return before;
  }

  /** @internal */
  leave(before: number): void {
    const S = this.#S;
    const pool = Math.floor(before / 2 ** 32);
    S[VISIT_SLOT] = this.tries;
    S[VISIT_POOL] = pool;
    S[VISIT_SLOT] = ((before - pool * 2 ** 32) << TRIES_BITS) | this.tries;
  }

  /** @internal */
  get site(): number {
    return this.#S[VISIT_POOL] & 0xff;
  }
}

/** Visits to the records of one pool. */
export class PoolVisits {
  readonly #all: Visits;
  readonly #S: Int32Array;
  readonly #number: number;
  #exceptions: Map<number, Exception> | undefined;

  /** @param number of the pool, in the order of the layout */
  constructor(all: Visits, S: Int32Array, number: number) {
    this.#all = all;
    this.#S = S;
    this.#number = number;
  }

  /** Is a walk that begins now one that says where it is? */
  get walks(): boolean {
    return this.#all.walks && this.#all.none;
  }

  /** Visits to this pool's records begin. @returns what was being visited, for `leave` */
  enter(site: number): number {
    return this.#all.enter(this.#number, site);
  }

  /** They are over, by a throw too. */
  leave(before: number): void {
    this.#all.leave(before);
  }

  /** Is the live record in this slot to be visited? Then it is being visited from now on. */
  visit(slot: number, generationOf: (slot: number) => number): boolean {
    if (this.#exceptions !== undefined && this.#isSkipped(slot, generationOf)) return false;
    this.#S[VISIT_SLOT] = ((slot + 1) << TRIES_BITS) | this.#all.tries;
    return true;
  }

  #isSkipped(slot: number, generationOf: (slot: number) => number): boolean {
    const found = this.#exceptions!.get(slot);
    // The slot may hold another record by now.
    if (found === undefined || found.generation !== generationOf(slot)) return false;
    if (found.skip) this.#all.skipped++;
    else if (found.site === this.#all.site) this.#all.met = true;
    return found.skip;
  }

  /** A life begins: there are no exceptions until somebody says so. */
  forget(): void {
    this.#exceptions = undefined;
  }

  /** Treat the record in a slot as an exception from now on. */
  except(slot: number, exception: Exception): void {
    (this.#exceptions ??= new Map()).set(slot, exception);
  }

  /** It is visited as all others are. */
  restore(slot: number): void {
    this.#exceptions?.delete(slot);
    if (this.#exceptions?.size === 0) this.#exceptions = undefined;
  }
}
