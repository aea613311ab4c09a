// HOT: measured by benchmarks/spread
/** Spreads: walks over a pool that take a period each and do an even part in each call. They live in the pool's region,
 * under the log, so a life that ends in the middle of a round is followed by one that goes on there.
 *
 *   entry     WORD   FIELD      MEANING                                            (8 in a pool, 16 words each)
 *                0   every      f64, period in ms; 0 = not in use
 *                2   name       64 bits of the name's hash, 0 without a name
 *                4   last       f64, service time of the last call
 *                6   done       f64, ms of this round that were counted
 *                8   step       f64, the longest of the recent calls' ms, fading
 *               10   carry      f64, the part of a record that the last call was short of, 0..1
 *               12   call       low word of commitNo at the last call
 *               13   round      rounds that have ended, wraps
 *               14   position   slots below were looked at in this round
 *               15   ahead      live records in slots at and above `position`
 *
 * A round goes over the slots from 0 up. In it, a record is visited once, when `position` passes its slot. Records never
 * move, so what lives through the round is visited; what is created behind `position` has its turn in the next round,
 * ahead of it in this one. A call that counts dt of the time that is left visits that share of `ahead`:
 *
 *   ┆ visited ┆ this call: ahead × dt / left ┆ ahead                        ┆      dt: since the last call, at most four
 *   0         position →                                                high          of the usual ones, and one period
 *
 * So what an outage took is not made up for: the round is longer by it. Where a call ends one round and begins the next,
 * it stops in the new one where it began in the old: no record is visited twice in a call.
 *
 * Invariants: entries in use come first; `ahead` = bits set from `position` on. */
import { hashOf } from '@lich/schema';
import type { Violation } from './errors.ts';
import { StateError } from './errors.ts';
import type { StoreContext } from './memory.ts';
import { HIGH, LIVE, type PoolSlots, SPREAD_AREA, SPREAD_WORDS, SPREADS, SPREADS_MAX } from './pool-places.ts';
import { SITE_SPREAD } from './visits.ts';
import { COMMIT_NO, NOW } from './words.ts';
import { OPEN } from './undo-log.ts';

const EVERY = 0;
const NAME = 2;
const LAST = 4;
const DONE = 6;
const STEP = 8;
const CARRY = 10;
const CALL = 12;
const ROUND = 13;
const POSITION = 14;
const AHEAD = 15;

/** A call counts for so many of the recent calls' ms at most. */
const STEPS_MOST = 4;
/** How the longest of the recent calls fades. */
const FADE = 7 / 8;
/** An entry that was not called for so many periods, and a minute, may be taken by another. */
const IDLE_PERIODS = 10;
const IDLE_MS = 60_000;
/** Longest period: a day of service time is spread over with no trouble, a year too. */
const EVERY_MAX = 2 ** 40;

export function bitsIn(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

const names = new Map<string, readonly [number, number]>([['', [0, 0]]]);

function hashOfName(name: string): readonly [number, number] {
  let found = names.get(name);
  if (found === undefined) {
    const hash = BigInt(`0x${hashOf(name)}`);
    found = [Number(hash & 0xffff_ffffn), Number(hash >> 32n)];
    names.set(name, found);
  }
  return found;
}

/** What tells a spread from others over the same records, where it says what it visits. */
export function siteOfSpread(everyMs: number, name: string): number {
  return SITE_SPREAD + (((hashOfName(name)[0] ^ Math.imul(everyMs, 0x9e37_79b1)) >>> 8) % (256 - SITE_SPREAD));
}

export interface SpreadParts {
  readonly context: StoreContext;
  /** The pool's name, for messages. */
  readonly name: string;
  /** Word of the pool's region. */
  readonly word: number;
  readonly slots: PoolSlots;
}

/** The spreads of one pool, in the owner's process. */
export class Spreads {
  readonly #context: StoreContext;
  readonly #name: string;
  readonly #word: number;
  readonly #slots: PoolSlots;
  readonly #U: Uint32Array;
  readonly #I: Int32Array;
  readonly #F: Float64Array;

  constructor({ context, name, word, slots }: SpreadParts) {
    this.#context = context;
    this.#name = name;
    this.#word = word;
    this.#slots = slots;
    this.#U = context.mem.u32;
    this.#I = context.mem.i32;
    this.#F = context.mem.f64;
  }

  /** A record is created (1) or destroyed (-1) in a slot. */
  count(slot: number, by: number): void {
    const U = this.#U;
    const end = this.#entry(U[this.#word + SPREADS]);
    for (let at = this.#entry(0); at < end; at += SPREAD_WORDS) {
      if (slot >= U[at + POSITION]) this.#context.log.write(at + AHEAD, U[at + AHEAD] + by);
    }
  }

  /** One call: count the time since the last one, visit its share. Inside a transaction.
   * @param visit given the slot of a live record
   * @throws StateError `STATE_SPREAD` */
  run(everyMs: number, name: string, visit: (slot: number) => void): void {
    if (!(everyMs > 0 && everyMs <= EVERY_MAX)) {
      throw new RangeError(`spread of pool \`${this.#name}\`: everyMs is ${everyMs}, want more than 0 ms`);
    }
    const F = this.#F;
    const U = this.#U;
    const { write, writeF64 } = this.#context.log;
    const now = F[NOW >> 1];
    const call = F[COMMIT_NO >> 1] >>> 0;
    const at = this.#find(everyMs, name, now, call);
    const since = Math.max(0, now - F[(at + LAST) >> 1]);
    const step = F[(at + STEP) >> 1];
    const dt = Math.min(since, everyMs, step > 0 ? step * STEPS_MOST : everyMs);
    writeF64(at + LAST, now);
    write(at + CALL, call);
    if (dt === 0) return;
    // A longer step is believed by and by: an outage is over after one.
    writeF64(at + STEP, step > 0 && dt > step * 2 ? step * 2 : Math.max(dt, step * FADE));
    const done = F[(at + DONE) >> 1];
    const left = everyMs - done;
    const from = U[at + POSITION];
    if (dt < left) {
      writeF64(at + DONE, done + dt);
      this.#share(at, dt / left, U[this.#word + HIGH], visit);
      return;
    }
    // The round ends: what is left of it, then a part of the next one.
    this.#walk(at, Number.POSITIVE_INFINITY, U[this.#word + HIGH], visit);
    const more = Math.min(dt - left, everyMs - 1e-6);
    write(at + ROUND, U[at + ROUND] + 1);
    writeF64(at + DONE, Math.max(0, more));
    writeF64(at + CARRY, 0);
    write(at + POSITION, 0);
    write(at + AHEAD, U[this.#word + LIVE]);
    if (more > 0) this.#share(at, more / everyMs, from, visit);
  }

  /** Visit this share of what is ahead, in slots below `end`. */
  #share(at: number, share: number, end: number, visit: (slot: number) => void): void {
    const due = this.#U[at + AHEAD] * share + this.#F[(at + CARRY) >> 1];
    const quota = Math.floor(due);
    this.#context.log.writeF64(at + CARRY, due - quota);
    if (quota > 0) this.#walk(at, quota, end, visit);
  }

  /** Visit at most `quota` records from `position` on, in slots below `end`. */
  #walk(at: number, quota: number, end: number, visit: (slot: number) => void): void {
    const U = this.#U;
    const I = this.#I;
    const { log } = this.#context;
    const slots = this.#slots;
    let left = quota;
    let position = U[at + POSITION];
    while (left > 0 && position < end) {
      const bitsAt = slots.bits(position);
      const start = position & ~31;
      let bits = I[bitsAt] & (-1 << (position & 31));
      if (end - start < 32) bits &= (1 << (end - start)) - 1;
      const next = Math.min(start + 32, end);
      if (bits === 0) {
        position = next;
        continue;
      }
      // These count as visited before they are: what the callback creates or destroys among them changes `ahead` no more.
      log.write(at + POSITION, next);
      log.write(at + AHEAD, U[at + AHEAD] - bitsIn(bits));
      position = start;
      try {
        while (bits !== 0 && left > 0) {
          const bit = 31 - Math.clz32(bits & -bits);
          bits &= bits - 1;
          position = start + bit + 1;
          if (((I[bitsAt] >>> bit) & 1) === 0) continue;
          left--;
          visit(start + bit);
        }
        if (bits === 0) position = next;
      } finally {
        // Cut short, by the quota or by a throw: the rest of these 32 is ahead again.
        if (position < next && log.state() === OPEN) {
          let rest = I[bitsAt] & (-1 << (position & 31));
          if (next - start < 32) rest &= (1 << (next - start)) - 1;
          log.write(at + POSITION, position);
          log.write(at + AHEAD, U[at + AHEAD] + bitsIn(rest));
        }
      }
    }
    if (position > U[at + POSITION]) log.write(at + POSITION, position);
  }

  #entry(k: number): number {
    return this.#word + SPREAD_AREA + k * SPREAD_WORDS;
  }

  /** The entry of this key, made when there is none. */
  #find(everyMs: number, name: string, now: number, call: number): number {
    const U = this.#U;
    const F = this.#F;
    const [lo, hi] = hashOfName(name);
    const used = U[this.#word + SPREADS];
    for (let k = 0; k < used; k++) {
      const at = this.#entry(k);
      if (F[(at + EVERY) >> 1] !== everyMs || U[at + NAME] !== lo || U[at + NAME + 1] !== hi) continue;
      if (U[at + CALL] !== call) return at;
      const key = name === '' ? `${everyMs} ms` : `${everyMs} ms, '${name}'`;
      throw new StateError(
        'STATE_SPREAD',
        `pool \`${this.#name}\`: spread(${key}) ran twice in one tick; give one of them a name of its own: spread(${everyMs}, fn, 'name')`,
      );
    }
    const at = this.#entry(used < SPREADS_MAX ? used : this.#idle(now));
    const { log } = this.#context;
    log.keep(at, SPREAD_WORDS);
    U.fill(0, at, at + SPREAD_WORDS);
    F[(at + EVERY) >> 1] = everyMs;
    U[at + NAME] = lo;
    U[at + NAME + 1] = hi;
    F[(at + LAST) >> 1] = now;
    U[at + CALL] = (call - 1) >>> 0;
    U[at + AHEAD] = U[this.#word + LIVE];
    if (used < SPREADS_MAX) log.write(this.#word + SPREADS, used + 1);
    return at;
  }

  /** The entry that was not called for the longest time, if that is long enough. */
  #idle(now: number): number {
    const F = this.#F;
    let oldest = 0;
    for (let k = 1; k < SPREADS_MAX; k++) {
      if (F[(this.#entry(k) + LAST) >> 1] < F[(this.#entry(oldest) + LAST) >> 1]) oldest = k;
    }
    const at = this.#entry(oldest);
    if (now - F[(at + LAST) >> 1] >= Math.max(IDLE_MS, F[(at + EVERY) >> 1] * IDLE_PERIODS)) return oldest;
    throw new StateError(
      'STATE_SPREAD',
      `pool \`${this.#name}\` has ${SPREADS_MAX} spreads, as many as it may: do more in one of them`,
    );
  }
}

/** Walk the entries of a pool's spreads.
 * @param word of the pool's region */
export function checkSpreads(
  U: Uint32Array,
  F: Float64Array,
  word: number,
  slots: PoolSlots,
  where: string,
): Violation[] {
  const out: Violation[] = [];
  const bad = (what: string) => void out.push({ where: `${where}.spread`, what });
  const used = U[word + SPREADS];
  if (used > SPREADS_MAX) {
    bad(`${used} entries of ${SPREADS_MAX}`);
    return out;
  }
  const end = word + SPREAD_AREA + SPREADS_MAX * SPREAD_WORDS;
  for (let k = word + SPREAD_AREA + used * SPREAD_WORDS; k < end; k++) {
    if (U[k] !== 0) bad(`word ${k - word} is ${U[k]}, it is not in use`);
  }
  const high = U[word + HIGH];
  for (let k = 0; k < used; k++) {
    const at = word + SPREAD_AREA + k * SPREAD_WORDS;
    const every = F[(at + EVERY) >> 1];
    const done = F[(at + DONE) >> 1];
    const carry = F[(at + CARRY) >> 1];
    if (!(every > 0 && done >= 0 && done <= every && carry >= 0 && carry < 1))
      bad(`entry ${k}: every ${every}, done ${done}, carry ${carry}`);
    let ahead = 0;
    for (let slot = U[at + POSITION]; slot < high; slot++) {
      ahead += (U[slots.bits(slot)] >>> (slot & 31)) & 1;
    }
    if (ahead !== U[at + AHEAD]) bad(`entry ${k}: ahead ${U[at + AHEAD]}, counted ${ahead}`);
  }
  return out;
}
