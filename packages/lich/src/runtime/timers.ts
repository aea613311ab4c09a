/** Own messages that wait: a binary heap in S, ordered by due time, then by the order of posting. A message "at once" is
 * one that is due now. All of it is under the log: a message is posted with the transaction that posts it, and taken
 * with the one that handles it.
 *
 *   $timerHead   count u32 | high u32 | free u32 | next u32      entries in the heap, slots ever used, free list, sequence
 *   $timerHeap   u32[capacity]                                   slots, heap order
 *   $timerSlots  stride words a slot:
 *      WORD  FIELD       MEANING
 *       0-1  dueMs       f64, service time
 *         2  sequence    ties are handled in this order
 *         3  type        message id in the protocol; free slots: -
 *         4  next        next free slot + 1, while free
 *         5  at          place in the heap
 *         6  generation  odd while it waits: handles of timers that are gone name nothing
 *         7  reserved    0
 *        8…  payload     struct layout of the message
 *
 * O(log n) a timer. (A hierarchical wheel takes its place when there are millions.) */
import { array, type StructLayout, u32 } from '@lich/schema';
import { rootWord } from '../bus/index.ts';
import type { UndoLog } from '../state/index.ts';
import { RuntimeError } from './errors.ts';

const COUNT = 0;
const HIGH = 1;
const FREE = 2;
const NEXT_SEQUENCE = 3;

const SEQUENCE = 2;
const TYPE = 3;
const NEXT = 4;
const AT = 5;
const GENERATION = 6;
const HEADER = 8;

export interface TimerLimits {
  readonly capacity: number;
  /** most bytes of an own message */
  readonly payloadBytes: number;
}

/** Words between slots: a multiple of 4, so that payloads are 16-byte aligned. */
function strideOf(limits: TimerLimits): number {
  return (HEADER + ((limits.payloadBytes + 3) >> 2) + 3) & ~3;
}

/** Root fields that the timers add to a node's state. */
export function timerFields(limits: TimerLimits) {
  return {
    $timerHead: array(u32, 4),
    $timerHeap: array(u32, limits.capacity),
    $timerSlots: array(u32, limits.capacity * strideOf(limits) + 4),
  };
}

export class Timers {
  readonly #S: Int32Array;
  readonly #F: Float64Array;
  readonly #log: UndoLog;
  readonly #head: number;
  readonly #heap: number;
  readonly #slots: number;
  readonly #stride: number;
  readonly #capacity: number;

  constructor(
    S: Int32Array,
    F: Float64Array,
    log: UndoLog,
    root: StructLayout,
    rootOffset: number,
    limits: TimerLimits,
  ) {
    const word = (name: string): number => rootWord(root, rootOffset, name);
    this.#S = S;
    this.#F = F;
    this.#log = log;
    this.#head = word('$timerHead');
    this.#heap = word('$timerHeap');
    // The first slot begins at the next multiple of 4 words: the array has 4 words to spare for it.
    this.#slots = (word('$timerSlots') + 3) & ~3;
    this.#stride = strideOf(limits);
    this.#capacity = limits.capacity;
  }

  get size(): number {
    return this.#S[this.#head + COUNT];
  }

  /** Enter a message; its payload's place is kept in the log and may be overwritten by the caller.
   * @returns the slot
   * @throws RuntimeError `RUNTIME_TIMERS_FULL` */
  add(dueMs: number, type: number, payloadBytes: number): number {
    const S = this.#S;
    const log = this.#log;
    const count = S[this.#head + COUNT];
    if (count === this.#capacity) {
      throw new RuntimeError('RUNTIME_TIMERS_FULL', `${count} own messages wait: raise limits.timers`);
    }
    const slot = this.#takeSlot();
    const at = this.#slot(slot);
    log.writeF64(at, dueMs);
    const sequence = S[this.#head + NEXT_SEQUENCE];
    log.write(this.#head + NEXT_SEQUENCE, (sequence + 1) | 0);
    log.write(at + SEQUENCE, sequence);
    log.write(at + TYPE, type);
    log.write(at + GENERATION, (S[at + GENERATION] + 1) | 0);
    log.write(this.#head + COUNT, count + 1);
    if (payloadBytes > 0) log.keep(at + HEADER, (payloadBytes + 3) >> 2);
    this.#up(count, slot);
    return slot;
  }

  #takeSlot(): number {
    const S = this.#S;
    const free = S[this.#head + FREE];
    if (free !== 0) {
      this.#log.write(this.#head + FREE, S[this.#slot(free - 1) + NEXT]);
      return free - 1;
    }
    const high = S[this.#head + HIGH];
    this.#log.write(this.#head + HIGH, high + 1);
    return high;
  }

  /** @returns the slot that is due first, if it is due; -1 otherwise */
  due(nowMs: number): number {
    if (this.#S[this.#head + COUNT] === 0) return -1;
    const slot = this.#S[this.#heap];
    return this.#F[this.#slot(slot) >> 1] <= nowMs ? slot : -1;
  }

  /** @returns ms of service time when the next one is due, or Infinity */
  nextDueMs(): number {
    if (this.#S[this.#head + COUNT] === 0) return Number.POSITIVE_INFINITY;
    return this.#F[this.#slot(this.#S[this.#heap]) >> 1];
  }

  /** Take a waiting message out. Its payload stays readable until the slot is used again. */
  remove(slot: number): void {
    const S = this.#S;
    const log = this.#log;
    const at = this.#slot(slot);
    const place = S[at + AT];
    const last = S[this.#head + COUNT] - 1;
    const moved = S[this.#heap + last];
    log.write(this.#head + COUNT, last);
    log.write(at + GENERATION, (S[at + GENERATION] + 1) | 0);
    log.write(at + NEXT, S[this.#head + FREE]);
    log.write(this.#head + FREE, slot + 1);
    if (place === last) return;
    this.#up(place, moved);
    this.#down(S[this.#slot(moved) + AT], moved);
  }

  typeOf(slot: number): number {
    return this.#S[this.#slot(slot) + TYPE];
  }

  generationOf(slot: number): number {
    return this.#S[this.#slot(slot) + GENERATION];
  }

  /** @returns byte offset of the slot's payload, a multiple of 16 */
  payloadAt(slot: number): number {
    return (this.#slot(slot) + HEADER) * 4;
  }

  #slot(slot: number): number {
    return this.#slots + slot * this.#stride;
  }

  #before(a: number, b: number): boolean {
    const x = this.#slot(a);
    const y = this.#slot(b);
    const dueX = this.#F[x >> 1];
    const dueY = this.#F[y >> 1];
    return dueX < dueY || (dueX === dueY && ((this.#S[x + SEQUENCE] - this.#S[y + SEQUENCE]) | 0) < 0);
  }

  /** Put `slot` at `place` or higher. */
  #up(place: number, slot: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const other = this.#S[this.#heap + parent];
      if (!this.#before(slot, other)) break;
      this.#put(place, other);
      place = parent;
    }
    this.#put(place, slot);
  }

  /** Put `slot` at `place` or lower. */
  #down(place: number, slot: number): void {
    const count = this.#S[this.#head + COUNT];
    for (;;) {
      let child = place * 2 + 1;
      if (child >= count) break;
      if (child + 1 < count && this.#before(this.#S[this.#heap + child + 1], this.#S[this.#heap + child])) child++;
      const other = this.#S[this.#heap + child];
      if (!this.#before(other, slot)) break;
      this.#put(place, other);
      place = child;
    }
    this.#put(place, slot);
  }

  #put(place: number, slot: number): void {
    this.#log.write(this.#heap + place, slot);
    this.#log.write(this.#slot(slot) + AT, place);
  }

  /** @returns what is wrong with the heap, the free list or the counts */
  check(): string[] {
    const S = this.#S;
    const wrong: string[] = [];
    const count = S[this.#head + COUNT];
    const high = S[this.#head + HIGH];
    if (count < 0 || count > this.#capacity || high > this.#capacity || count > high) {
      return [`timers: count ${count}, high ${high}, capacity ${this.#capacity}`];
    }
    for (let place = 0; place < count; place++) {
      const slot = S[this.#heap + place];
      if (slot < 0 || slot >= high) wrong.push(`timers: heap[${place}] names slot ${slot} of ${high}`);
      else if (S[this.#slot(slot) + AT] !== place)
        wrong.push(`timers: slot ${slot} thinks it is at ${S[this.#slot(slot) + AT]}, not ${place}`);
      else if ((S[this.#slot(slot) + GENERATION] & 1) === 0)
        wrong.push(`timers: slot ${slot} waits with an even generation`);
      else if (place > 0 && this.#before(slot, S[this.#heap + ((place - 1) >> 1)]))
        wrong.push(`timers: heap order broken at ${place}`);
    }
    let free = 0;
    for (let slot = S[this.#head + FREE]; slot !== 0 && free <= high; slot = S[this.#slot(slot - 1) + NEXT]) free++;
    if (free + count !== high) wrong.push(`timers: ${free} free + ${count} waiting is not ${high} used`);
    return wrong;
  }
}
