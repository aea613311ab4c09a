// HOT: measured by benchmarks/timers
/** Timer wheel: what is due later, in buckets by the digits of its due time, base 64. The levels are those of the Linux
 * kernel's timers; unlike there, a bucket that comes due is sorted into the levels below, so that no deadline is rounded.
 * Times are whole ms, 0 to 2^48 - 1. All of it is under the undo log; nothing is rebuilt at resume, and zero bytes are an
 * empty wheel.
 *
 *   head      WORD   FIELD      MEANING                                              (`$timers` in the root)
 *                0   clock      f64: buckets are counted from here; not above what is due first
 *                2   count      timers that wait
 *                3   high       slots that were ever used
 *                4   free       first free slot + 1; 0 = none
 *                5   emptying   bucket that is being sorted into the levels below + 1; 0 = none
 *              6…7   reserved   zero
 *                8   bits       8 levels of 64: the bucket has a timer
 *               24   chunks     links of the slots' chunks, 24
 *               48   buckets    8 levels of 64, [first][last]: refs; they mean something while the bit is set
 *
 *   slot      WORD   FIELD      MEANING                                              (in the heap, 16 words each)
 *                0   period     f64, ms; 0 = once                                   | with the flag EARLY: word 0 =
 *                2   base       f64, for the runtime                                |   a mark of the runtime
 *                4   due        f64, ms
 *                6   next       ref; below 0: free, ~(next free slot + 1)
 *                7   previous   ref
 *                8   generation counts up when the timer is over; at its end the slot is not used again
 *                9   type       number of the message, flags from bit 16 on
 *               10   payload    up to 6 words; with the flag BLOCK: word 10 = link of the block that has it
 *
 *   ref       0…511 a bucket, 512 + slot a timer: the lists are rings through their buckets
 *   handle    generation × 2^24 + slot + 1: a safe whole number, never 0
 *
 * A timer is in the bucket (level, digit): level = highest digit in which its due time differs from the clock, digit =
 * that digit of its due time. So all of a level are due before all of the level above, and in a level before all of a
 * higher digit: what is due first is in the first bucket whose bit is set.
 *
 *   clock 12:30:07, base 64 written as if it were base 60
 *     level 0   ··· 08 ● 09 ··· 41 ●     due 12:30:08, 12:30:41
 *     level 1   ··· 31 ●●● ··· 45 ●      due 12:31:.., 12:45:..     at 12:31:00 these three are sorted into level 0
 *
 * Order: due time, then order of posting. Those of one due time are in one bucket at any time, appended as they come; a
 * bucket is sorted from its first to its last, and while that goes on (in several transactions, when it is large) what is
 * posted into its time is appended to it.
 *
 * Invariants: bit set = the ring has a timer; clock <= due of all; each timer in its bucket, or in `emptying` if due in
 * that one's time; level 0 holds one ms a bucket; count + free + used up slots = high.
 *
 * insert, cancel, take: O(1), 12 logged words and the payload · next: O(1), 16 loads at most, reads only · a jump over any
 * time: no bucket that is empty is looked at · each timer is moved at most once for each level above 0. */
import { Chunks } from './chunks.ts';
import type { Heap } from './heap.ts';
import type { StoreContext } from './memory.ts';

export const CLOCK = 0;
export const COUNT = 2;
export const HIGH = 3;
export const FREE = 4;
export const EMPTYING = 5;
export const RESERVED = 6;
export const BITS = 8;
export const CHUNKS = 24;
export const BUCKETS = 48;
export const BUCKET_COUNT = 512;
export const BITS_WORDS = BUCKET_COUNT / 32;
const DIGIT = 64;

const PERIOD = 0;
const BASE = 2;
export const DUE = 4;
export const NEXT = 6;
export const PREVIOUS = 7;
export const GENERATION = 8;
export const TYPE = 9;
export const PAYLOAD = 10;
/** Words of a slot: one cache line. */
export const TIMER_WORDS = 16;
const INLINE_WORDS = TIMER_WORDS - PAYLOAD;
/** Slots of the first chunk. */
export const TIMERS_FIRST = 256;

/** In the type word. */
export const TYPE_MASK = 0xffff;
export const BLOCK = 1 << 16;
/** It was posted to be due at once: word 0 says after what else. */
export const EARLY = 1 << 17;
const PERIODIC = 1 << 18;
/** Of the runtime. */
export const STARTED = 1 << 19;
export const THREW = 1 << 20;

/** Answers of `next` that are no slots. */
export const NONE = -1;
export const SORT = -2;

const SLOTS_MAX = 2 ** 24 - 2;
export const GENERATION_MAX = 2 ** 29 - 1;
const SLOT_BITS = 2 ** 24;
/** Times are below. */
export const DUE_MAX = 2 ** 48;
const LOW = 2 ** 24;

/** What it takes of a store. */
export interface TimerContext {
  readonly mem: StoreContext['mem'];
  readonly log: Pick<StoreContext['log'], 'write' | 'writeF64' | 'keep'>;
  readonly heap: Heap;
  readonly fail: StoreContext['fail'];
}

/** Ms that a bucket of a level covers. */
export const SPAN = Array.from({ length: 9 }, (_, level) => DIGIT ** level);

/** The bucket for a due time, counted from a clock that is not above it. */
export function bucketFor(due: number, clock: number): number {
  const high = Math.floor(due / LOW);
  const low = due - high * LOW;
  const clockHigh = Math.floor(clock / LOW);
  const differs = high ^ clockHigh;
  if (differs === 0) {
    const level = ((31 - Math.clz32((low ^ (clock - clockHigh * LOW)) | 1)) / 6) | 0;
    return (level << 6) | ((low >>> (level * 6)) & 63);
  }
  const level = ((31 - Math.clz32(differs)) / 6) | 0;
  return ((level + 4) << 6) | ((high >>> (level * 6)) & 63);
}

/** When the time of a bucket above level 0 begins. */
function startOf(bucket: number, clock: number): number {
  const span = SPAN[bucket >> 6]!;
  const around = span * DIGIT;
  return Math.floor(clock / around) * around + (bucket & 63) * span;
}

export class TimerWheel {
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #log: TimerContext['log'];
  readonly #heap: Heap;
  readonly #slots: Chunks;
  readonly #head: number;
  readonly #dir: number;

  /** @param word of the head, even */
  constructor(context: TimerContext, word: number) {
    this.#I = context.mem.i32;
    this.#F = context.mem.f64;
    this.#log = context.log;
    this.#heap = context.heap;
    this.#slots = new Chunks(context, TIMER_WORDS, TIMERS_FIRST);
    this.#head = word;
    this.#dir = word + CHUNKS;
  }

  /** Timers that wait. */
  get size(): number {
    return this.#I[this.#head + COUNT];
  }

  /** Post a timer; its payload is the caller's to write next, at `payloadAt`: its words are logged.
   * @param nowMs service time
   * @param dueMs whole ms, at least `nowMs`
   * @param type number of the message
   * @param base a number of the caller's
   * @returns the slot
   * @throws StateError `STATE_HEAP_FULL`, RangeError beyond 16 million timers */
  add(nowMs: number, dueMs: number, type: number, payloadWords: number, base = 0): number {
    const I = this.#I;
    const log = this.#log;
    const head = this.#head;
    this.#advance(nowMs);
    let link = 0;
    if (payloadWords > INLINE_WORDS) {
      link = this.#heap.alloc(payloadWords);
      log.keep(this.#heap.base + link, payloadWords);
    }
    let slot = I[head + FREE] - 1;
    let at: number;
    let generation = 0;
    if (slot >= 0) {
      at = this.#slots.word(this.#dir, slot);
      log.write(head + FREE, ~I[at + NEXT]);
      generation = I[at + GENERATION];
    } else {
      slot = I[head + HIGH];
      if (slot >= SLOTS_MAX) throw new RangeError(`${slot} timers have waited at once: there are no more slots`);
      this.#slots.ensure(this.#dir, slot);
      at = this.#slots.word(this.#dir, slot);
      log.write(head + HIGH, slot + 1);
    }
    log.keep(at + BASE, PAYLOAD - BASE + (link === 0 ? payloadWords : 1));
    this.#F[(at + BASE) >> 1] = base;
    this.#F[(at + DUE) >> 1] = dueMs;
    I[at + GENERATION] = generation;
    if (link === 0) I[at + TYPE] = type;
    else {
      I[at + TYPE] = type | BLOCK;
      I[at + PAYLOAD] = link;
    }
    log.write(head + COUNT, I[head + COUNT] + 1);
    this.#append(slot, at, dueMs);
    return slot;
  }

  /** @param ms whole, at least 1: after each time it is due again so much later: `move` it there */
  setPeriod(slot: number, ms: number): void {
    const at = this.#at(slot);
    this.#log.writeF64(at + PERIOD, ms);
    this.#log.write(at + TYPE, this.#I[at + TYPE] | PERIODIC);
  }

  /** Note that it was due at once when it was posted, and a number of the caller's. */
  setEarly(slot: number, mark: number): void {
    const at = this.#at(slot);
    this.#log.write(at + PERIOD, mark);
    this.#log.write(at + TYPE, this.#I[at + TYPE] | EARLY);
  }

  markOf(slot: number): number {
    return this.#I[this.#at(slot) + PERIOD];
  }

  setBase(slot: number, base: number): void {
    this.#log.writeF64(this.#at(slot) + BASE, base);
  }

  baseOf(slot: number): number {
    return this.#F[(this.#at(slot) + BASE) >> 1];
  }

  setType(slot: number, type: number): void {
    this.#log.write(this.#at(slot) + TYPE, type);
  }

  /** What is due first, if it is due at `limitMs`. Reads only.
   * @returns its slot; NONE; or SORT: `sort` has to be called first, in a transaction */
  next(limitMs: number): number {
    const I = this.#I;
    const head = this.#head;
    if (I[head + EMPTYING] !== 0) return SORT;
    const bucket = this.#first();
    if (bucket < 0) return NONE;
    if (bucket >= DIGIT) return startOf(bucket, this.#F[head >> 1]) <= limitMs ? SORT : NONE;
    const slot = I[head + BUCKETS + bucket * 2] - BUCKET_COUNT;
    return this.#F[(this.#at(slot) + DUE) >> 1] <= limitMs ? slot : NONE;
  }

  /** Go on with what `next` answered SORT for: move timers of the first bucket to where they are found.
   * @param most timers to move, which takes at most 8 logged words each */
  sort(most: number): void {
    const I = this.#I;
    const F = this.#F;
    const log = this.#log;
    const head = this.#head;
    let bucket = I[head + EMPTYING] - 1;
    if (bucket < 0) {
      bucket = this.#first();
      if (bucket < DIGIT) return;
      log.writeF64(head + CLOCK, startOf(bucket, F[head >> 1]));
      log.write(head + EMPTYING, bucket + 1);
    }
    const clock = F[head >> 1];
    const first = head + BUCKETS + bucket * 2;
    const bits = head + BITS + (bucket >> 5);
    if (((I[bits] >>> (bucket & 31)) & 1) !== 0) {
      let ref = I[first];
      for (let moved = 0; ref !== bucket; moved++) {
        if (moved === most) {
          // The rest is for the next time.
          log.write(first, ref);
          log.write(this.#at(ref - BUCKET_COUNT) + PREVIOUS, bucket);
          return;
        }
        const at = this.#at(ref - BUCKET_COUNT);
        const next = I[at + NEXT];
        log.keep(at + NEXT, 2);
        this.#link(ref, at, bucketFor(F[(at + DUE) >> 1], clock));
        ref = next;
      }
      log.write(bits, I[bits] & ~(1 << (bucket & 31)));
    }
    log.write(head + EMPTYING, 0);
  }

  /** @returns ms: nothing is due before; Infinity when nothing waits. Mostly it is when the first one is due; where that is
   * far off, the time may be earlier, and is closer when it has come. */
  nextDueMs(): number {
    const head = this.#head;
    const clock = this.#F[head >> 1];
    if (this.#I[head + EMPTYING] !== 0) return clock;
    const bucket = this.#first();
    if (bucket < 0) return Number.POSITIVE_INFINITY;
    if (bucket >= DIGIT) return startOf(bucket, clock);
    return this.dueOf(this.#I[head + BUCKETS + bucket * 2] - BUCKET_COUNT);
  }

  /** Take a timer out. Its payload is to be read before. */
  remove(slot: number): void {
    const I = this.#I;
    const log = this.#log;
    const head = this.#head;
    const at = this.#at(slot);
    this.#unlink(at);
    if ((I[at + TYPE] & BLOCK) !== 0) this.#heap.free(I[at + PAYLOAD]);
    const generation = I[at + GENERATION] + 1;
    log.write(at + GENERATION, generation);
    if (generation >= GENERATION_MAX) log.write(at + NEXT, -1);
    else {
      log.write(at + NEXT, ~I[head + FREE]);
      log.write(head + FREE, slot + 1);
    }
    log.write(head + COUNT, I[head + COUNT] - 1);
  }

  /** Have a timer wait on, for another time: as if it were posted now, under the same handle.
   * @param dueMs whole ms, not before the one it had */
  move(slot: number, dueMs: number): void {
    const at = this.#at(slot);
    this.#unlink(at);
    this.#log.writeF64(at + DUE, dueMs);
    this.#log.keep(at + NEXT, 2);
    this.#append(slot, at, dueMs);
  }

  dueOf(slot: number): number {
    return this.#F[(this.#at(slot) + DUE) >> 1];
  }

  /** @returns ms, 0 = once */
  periodOf(slot: number): number {
    const at = this.#at(slot);
    return (this.#I[at + TYPE] & PERIODIC) !== 0 ? this.#F[(at + PERIOD) >> 1] : 0;
  }

  /** Number of the message and flags. */
  typeOf(slot: number): number {
    return this.#I[this.#at(slot) + TYPE];
  }

  /** @returns byte offset of the payload, a multiple of 8 */
  payloadAt(slot: number): number {
    const at = this.#at(slot);
    return ((this.#I[at + TYPE] & BLOCK) !== 0 ? this.#heap.base + this.#I[at + PAYLOAD] : at + PAYLOAD) * 4;
  }

  /** Words that its payload has room for. */
  payloadWordsOf(slot: number): number {
    const at = this.#at(slot);
    return (this.#I[at + TYPE] & BLOCK) !== 0 ? this.#heap.wordsOf(this.#I[at + PAYLOAD]) : INLINE_WORDS;
  }

  /** @returns what `slotOf` finds it by: a safe whole number above 0 */
  handleOf(slot: number): number {
    return this.#I[this.#at(slot) + GENERATION] * SLOT_BITS + slot + 1;
  }

  /** @returns the slot, or NONE when that timer is over, or never was */
  slotOf(handle: number): number {
    if (!Number.isSafeInteger(handle)) return NONE;
    const generation = Math.floor(handle / SLOT_BITS);
    const slot = handle - generation * SLOT_BITS - 1;
    return this.isWaiting(slot) && this.generationOf(slot) === generation ? slot : NONE;
  }

  isWaiting(slot: number): boolean {
    return slot >= 0 && slot < this.#I[this.#head + HIGH] && this.#I[this.#at(slot) + NEXT] >= 0;
  }

  generationOf(slot: number): number {
    return this.#I[this.#at(slot) + GENERATION];
  }

  #at(slot: number): number {
    return this.#slots.word(this.#dir, slot);
  }

  /** The first bucket that has a timer, or -1. */
  #first(): number {
    const I = this.#I;
    const from = this.#head + BITS;
    for (let k = 0; k < BITS_WORDS; k++) {
      const bits = I[from + k];
      if (bits !== 0) return (k << 5) + 31 - Math.clz32(bits & -bits);
    }
    return -1;
  }

  /** Bring the clock closer to now. That moves no timer, as long as it stays before the time of the first bucket. */
  #advance(nowMs: number): void {
    const head = this.#head;
    const clock = this.#F[head >> 1];
    if (nowMs - clock < DIGIT || this.#I[head + EMPTYING] !== 0) return;
    const bucket = this.#first();
    let to = nowMs;
    if (bucket >= 0) {
      if (bucket < DIGIT) return;
      to = Math.min(nowMs, startOf(bucket, clock) - 1);
      if (to - clock < DIGIT) return;
    }
    this.#log.writeF64(head + CLOCK, to);
  }

  /** To the end of the ring of its bucket; its own links are logged already. */
  #append(slot: number, at: number, dueMs: number): void {
    const head = this.#head;
    const clock = this.#F[head >> 1];
    const emptying = this.#I[head + EMPTYING] - 1;
    // Behind those of the same time that are not sorted yet.
    const bucket = emptying >= 0 && dueMs < clock + SPAN[emptying >> 6]! ? emptying : bucketFor(dueMs, clock);
    this.#link(slot + BUCKET_COUNT, at, bucket);
  }

  #link(ref: number, at: number, bucket: number): void {
    const I = this.#I;
    const log = this.#log;
    const bits = this.#head + BITS + (bucket >> 5);
    const ends = this.#head + BUCKETS + bucket * 2;
    const bit = 1 << (bucket & 31);
    if ((I[bits] & bit) === 0) {
      log.write(bits, I[bits] | bit);
      log.write(ends, ref);
      I[at + PREVIOUS] = bucket;
    } else {
      const last = I[ends + 1];
      log.write(this.#at(last - BUCKET_COUNT) + NEXT, ref);
      I[at + PREVIOUS] = last;
    }
    log.write(ends + 1, ref);
    I[at + NEXT] = bucket;
  }

  #unlink(at: number): void {
    const I = this.#I;
    const log = this.#log;
    const head = this.#head;
    const next = I[at + NEXT];
    const previous = I[at + PREVIOUS];
    if (next === previous) {
      const bits = head + BITS + (next >> 5);
      log.write(bits, I[bits] & ~(1 << (next & 31)));
      return;
    }
    log.write(previous < BUCKET_COUNT ? head + BUCKETS + previous * 2 : this.#at(previous - BUCKET_COUNT) + NEXT, next);
    log.write(next < BUCKET_COUNT ? head + BUCKETS + next * 2 + 1 : this.#at(next - BUCKET_COUNT) + PREVIOUS, previous);
  }
}
