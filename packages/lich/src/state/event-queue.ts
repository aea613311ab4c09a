// HOT: measured by benchmarks/timers
/** Event queue: own messages that are due at once, in the order in which they were posted. All of it is under the undo
 * log; nothing is rebuilt at resume, and zero bytes are an empty queue.
 *
 *   head      WORD   FIELD      MEANING                                                    (`$events` in the root)
 *                0   first      link of the block that has the next message; 0 = no block
 *                1   at         word of the next message in it
 *                2   last       link of the block that is written to
 *                3   end        word in it where the next one is posted
 *                4   taken      messages taken so far   | counts that wrap: equal = the queue is empty
 *                5   posted     messages posted so far  |
 *              6…7   reserved   zero
 *
 *   block     WORD   FIELD      MEANING                                                    (in the heap)
 *                0   next       link of the block after; it means something once one is there, and so does:
 *                1   end        word behind its last message
 *                2   words      of the block
 *                3   reserved
 *                4   messages   [due f64][type u32][words u32][payload, up to an even number of words]
 *
 *   first ─→ ┌ at ··· end ┐ ─→ ┌ 4 ······ end ┐ ─→ last ┌ 4 ···· end ┆        ┐
 *
 * A queue that becomes empty begins again at the start of its block: one that is emptied in each turn stays in one block.
 *
 * post: 2 logged words, the message as a range, and a block every BLOCK_WORDS; take: 2 to 4 logged words. O(1). */
import type { Violation } from './errors.ts';
import type { Heap } from './heap.ts';
import type { HeapAudit } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import type { TimerContext } from './timer-wheel.ts';

const FIRST = 0;
const AT = 1;
const LAST = 2;
const END = 3;
const TAKEN = 4;
const POSTED = 5;
const RESERVED = 6;
/** Words of the head. */
const QUEUE_WORDS = 8;

const BLOCK_NEXT = 0;
const BLOCK_END = 1;
const BLOCK_SIZE = 2;
const BLOCK_HEADER = 4;
/** Words of a block, of which most have room for a few hundred messages. */
const BLOCK_WORDS = 1020;

const TYPE = 2;
const WORDS = 3;
const PAYLOAD = 4;

/** Words of a message. */
function sizeOf(payloadWords: number): number {
  return PAYLOAD + ((payloadWords + 1) & -2);
}

export class EventQueue {
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #log: TimerContext['log'];
  readonly #heap: Heap;
  readonly #head: number;

  /** @param word of the head */
  constructor(context: TimerContext, word: number) {
    this.#I = context.mem.i32;
    this.#F = context.mem.f64;
    this.#log = context.log;
    this.#heap = context.heap;
    this.#head = word;
  }

  /** Messages that wait. */
  get size(): number {
    return (this.#I[this.#head + POSTED] - this.#I[this.#head + TAKEN]) >>> 0;
  }

  /** Messages posted and taken so far: counts of 32 bits that wrap. */
  get posted(): number {
    return this.#I[this.#head + POSTED];
  }

  get taken(): number {
    return this.#I[this.#head + TAKEN];
  }

  /** Post a message; its payload is the caller's to write next, in the place returned: its words are logged.
   * @param nowMs service time: when it is due
   * @returns byte offset of the payload, a multiple of 8
   * @throws StateError `STATE_HEAP_FULL` */
  post(nowMs: number, type: number, payloadWords: number): number {
    const I = this.#I;
    const log = this.#log;
    const head = this.#head;
    const { base } = this.#heap;
    const size = sizeOf(payloadWords);
    const last = I[head + LAST];
    let end = I[head + END];
    let block = base + last;
    if (last === 0 || end + size > I[block + BLOCK_SIZE]) {
      const link = this.#block(size);
      if (I[head + POSTED] === I[head + TAKEN]) {
        if (last !== 0) this.#heap.free(last);
        log.write(head + FIRST, link);
        log.write(head + AT, BLOCK_HEADER);
      } else {
        log.write(block + BLOCK_NEXT, link);
        log.write(block + BLOCK_END, end);
      }
      log.write(head + LAST, link);
      block = base + link;
      end = BLOCK_HEADER;
    }
    const at = block + end;
    log.keep(at, PAYLOAD + payloadWords);
    this.#F[at >> 1] = nowMs;
    I[at + TYPE] = type;
    I[at + WORDS] = payloadWords;
    log.write(head + END, end + size);
    log.write(head + POSTED, (I[head + POSTED] + 1) | 0);
    return (at + PAYLOAD) * 4;
  }

  #block(size: number): number {
    const words = Math.max(BLOCK_WORDS, BLOCK_HEADER + size);
    const link = this.#heap.alloc(words);
    this.#log.write(this.#heap.base + link + BLOCK_SIZE, words);
    return link;
  }

  /** Take the next message out: there must be one. Its payload is to be read before. */
  take(): void {
    const I = this.#I;
    const log = this.#log;
    const head = this.#head;
    const first = I[head + FIRST];
    const block = this.#heap.base + first;
    const at = I[head + AT] + sizeOf(I[block + I[head + AT] + WORDS]);
    log.write(head + TAKEN, (I[head + TAKEN] + 1) | 0);
    if (first === I[head + LAST]) {
      if (at !== I[head + END]) log.write(head + AT, at);
      else if (I[block + BLOCK_SIZE] > BLOCK_WORDS) {
        // Made for one large message.
        log.write(head + FIRST, 0);
        log.write(head + LAST, 0);
        this.#heap.free(first);
      } else {
        log.write(head + AT, BLOCK_HEADER);
        log.write(head + END, BLOCK_HEADER);
      }
    } else if (at !== I[block + BLOCK_END]) log.write(head + AT, at);
    else {
      log.write(head + FIRST, I[block + BLOCK_NEXT]);
      log.write(head + AT, BLOCK_HEADER);
      this.#heap.free(first);
    }
  }

  // The next message: there must be one.

  dueMs(): number {
    return this.#F[this.#next() >> 1];
  }

  /** Number of the message and flags. */
  type(): number {
    return this.#I[this.#next() + TYPE];
  }

  setType(type: number): void {
    this.#log.write(this.#next() + TYPE, type);
  }

  /** @returns byte offset of its payload, a multiple of 8 */
  payloadAt(): number {
    return (this.#next() + PAYLOAD) * 4;
  }

  payloadWords(): number {
    return this.#I[this.#next() + WORDS];
  }

  #next(): number {
    const I = this.#I;
    return this.#heap.base + I[this.#head + FIRST] + I[this.#head + AT];
  }
}

/** Walk a queue's words. O(messages). */
export function checkQueue(mem: Arrays, head: number, heap: HeapAudit, out: Violation[]): void {
  const I = mem.i32;
  const bad = (what: string) => void out.push({ where: 'root.$events', what });
  for (let k = RESERVED; k < QUEUE_WORDS; k++) if (I[head + k] !== 0) bad(`reserved word ${k} is ${I[head + k]}`);
  const waiting = (I[head + POSTED] - I[head + TAKEN]) >>> 0;
  let found = 0;
  let at = I[head + AT];
  for (let link = I[head + FIRST]; link !== 0; ) {
    if (!heap.reach(link, BLOCK_HEADER, `root.$events block ${link}`)) return;
    const block = heap.base + link;
    const last = link === I[head + LAST];
    const end = last ? I[head + END] : I[block + BLOCK_END];
    if (at < BLOCK_HEADER || end < at || end > I[block + BLOCK_SIZE])
      return bad(`block ${link} of ${I[block + BLOCK_SIZE]} words has messages from ${at} to ${end}`);
    while (at < end) {
      const words = I[block + at + WORDS];
      if (words < 0 || at + sizeOf(words) > end) return bad(`a message of ${words} words at ${at} of block ${link}`);
      at += sizeOf(words);
      found++;
    }
    if (last) break;
    link = I[block + BLOCK_NEXT];
    if (link === 0) return bad(`the blocks end before ${I[head + LAST]}, which is the last`);
    at = BLOCK_HEADER;
  }
  if (found !== waiting) bad(`${found} messages wait, the counts say ${waiting}`);
}

/** Visit what waits in a queue that is whole. @param visit told the number and flags of each message */
export function eachQueued(mem: Arrays, head: number, heapWord: number, visit: (type: number) => void): void {
  const I = mem.i32;
  let at = I[head + AT];
  for (let link = I[head + FIRST]; link !== 0; link = I[heapWord + link + BLOCK_NEXT], at = BLOCK_HEADER) {
    const block = heapWord + link;
    const last = link === I[head + LAST];
    for (const end = last ? I[head + END] : I[block + BLOCK_END]; at < end; at += sizeOf(I[block + at + WORDS]))
      visit(I[block + at + TYPE]);
    if (last) return;
  }
}
