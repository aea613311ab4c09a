/** What several nodes of this host get is written once: a *block*, a record in a lane to nobody, and each of them gets a short
 * record with a reference, which its inbox follows. The receiver reads it where it lies.
 *
 *   lane to nobody   ░░░░░░░[block]▒▒▒▒▒▒▒▒▒▒[block]         to = NOBODY, otherwise a lane like any
 *                             ▲  ▲              ▲
 *   lane to a      ░░░[ref]───┘  │              │
 *   lane to b      ░░░░░░[ref]───┘   [ref]──────┘
 *
 *   reference, a record of type TYPE_BLOCK with `a` and `b` of the block:
 *   WORD  FIELD     MEANING
 *      0  type      of the message
 *      1  word      first word of its payload, from the start of the segment
 *      2  words     of payload
 *      3  position  of the block in its lane
 *
 * The head of the lane to nobody is the oldest block to which a reference is left, of those that receivers have not passed.
 * It is kept in memory alone: the references between each receiver's head and the tail of its lane say it, so the next life reads
 * it from them, and a rollback takes back those behind the restored tails. */
import type { Segment } from '../shm/index.ts';
import { BusError } from './errors.ts';
import type { LaneInUse } from './lane-in-use.ts';
import { type BlockKeeper, FULL, type Outbox } from './outbox.ts';
import { HEADER_WORDS, recordWords, TYPE_BLOCK } from './record-descriptor.ts';

const REF_TYPE = 0;
const REF_WORD = 1;
const REF_WORDS = 2;
const REF_POSITION = 3;
export const REF_BYTES = 16;

/** A reference is a record too: up to so many bytes a message takes no more in each lane. */
const SHARED_BYTES = 64;

/** Where a block lies. */
export interface Block {
  /** type of the message */
  readonly type: number;
  /** of its payload, in the sender's segment */
  readonly word: number;
  readonly words: number;
}

/** References of one stream that its receiver has not passed, oldest first. */
interface Left {
  /** position behind the reference, in the stream */
  readonly ends: number[];
  /** position of its block */
  readonly blocks: number[];
  /** how many of them are passed */
  passed: number;
}

export interface BlocksOptions {
  readonly nodes: number;
  readonly lanes: Segment;
  readonly outbox: Outbox;
  /** Does that node read another host's memory? It gets a copy. */
  readonly isElsewhere: (node: number) => boolean;
}

export class Blocks implements BlockKeeper {
  readonly #o: BlocksOptions;
  readonly #O: Int32Array;
  readonly #left = new Map<number, Left>();
  // The block that was claimed last.
  #type = 0;
  #a = 0;
  #b = 0;
  #word = 0;
  #words = 0;
  #position = 0;

  constructor(o: BlocksOptions) {
    this.#o = o;
    this.#O = o.lanes.i32;
    o.outbox.blocks = this;
  }

  /** Make a block in the open transaction: the caller writes the payload and calls `sendTo` for each receiver, before it
   * claims another block.
   * @returns word of the payload in the lanes segment; `FULL` where there is no room for it: it may be sent to each by itself
   * @throws BusError `BUS_RECORD_TOO_LARGE` */
  claim(type: number, a: number, b: number, payloadBytes: number): number {
    const { outbox } = this.#o;
    const at = this.#claim(outbox.blockStream, type, a, b, payloadBytes);
    if (at === FULL) return FULL;
    outbox.commitClaim();
    [this.#type, this.#a, this.#b, this.#word] = [type, a, b, at];
    const words = recordWords(payloadBytes);
    this.#words = words - HEADER_WORDS;
    this.#position = (outbox.tailOf(outbox.blockStream) - words) | 0;
    return at;
  }

  /** No room for a first lane is the same as a full one: it is there again when receivers are done. */
  #claim(stream: number, type: number, a: number, b: number, payloadBytes: number): number {
    try {
      return this.#o.outbox.claim(stream, type, a, b, payloadBytes);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** Send one message to several, in the open transaction: as a block, or to each by itself where that takes less, or where no
   * block finds room since somebody does not take those before.
   * @param write writes the payload at that word of the lanes segment
   * @returns the streams whose lanes are full
   * @throws BusError `BUS_RECORD_TOO_LARGE`, before anything is sent */
  toEach(
    streams: readonly number[],
    type: number,
    a: number,
    b: number,
    payloadBytes: number,
    write: (word: number) => void,
  ): number[] {
    const { outbox } = this.#o;
    const isShared = streams.length > 1 && payloadBytes > SHARED_BYTES;
    const block = isShared ? this.claim(type, a, b, payloadBytes) : FULL;
    if (block !== FULL) {
      write(block);
      return streams.filter(stream => !this.sendTo(stream));
    }
    return streams.filter(stream => {
      const at = this.#claim(stream, type, a, b, payloadBytes);
      if (at === FULL) return true;
      write(at);
      outbox.commitClaim();
      return false;
    });
  }

  /** Send the block that was claimed last, in the same transaction.
   * @returns false when the lane of that stream is full */
  sendTo(stream: number): boolean {
    const { outbox, isElsewhere, nodes } = this.#o;
    const O = this.#O;
    if (isElsewhere(stream % nodes)) {
      const at = this.#claim(stream, this.#type, this.#a, this.#b, this.#words * 4);
      if (at === FULL) return false;
      for (let k = 0; k < this.#words; k++) O[at + k] = O[this.#word + k];
      outbox.commitClaim();
      return true;
    }
    const at = this.#claim(stream, TYPE_BLOCK, this.#a, this.#b, REF_BYTES);
    if (at === FULL) return false;
    O[at + REF_TYPE] = this.#type;
    O[at + REF_WORD] = this.#word;
    O[at + REF_WORDS] = this.#words;
    O[at + REF_POSITION] = this.#position;
    outbox.commitClaim();
    this.#add(stream, outbox.tailOf(stream), this.#position);
    return true;
  }

  #add(stream: number, end: number, block: number): void {
    let left = this.#left.get(stream);
    if (left === undefined) this.#left.set(stream, (left = { ends: [], blocks: [], passed: 0 }));
    left.ends.push(end);
    left.blocks.push(block);
  }

  /** Position of the oldest block that somebody may still read; that behind the newest where there is none. */
  head(): number {
    const { outbox } = this.#o;
    let oldest = outbox.tailOf(outbox.blockStream);
    for (const [stream, left] of this.#left) {
      const head = outbox.headOf(stream);
      while (head !== undefined && left.passed < left.ends.length && ((head - left.ends[left.passed]!) | 0) >= 0)
        left.passed++;
      if (left.passed === left.ends.length) {
        this.#left.delete(stream);
        continue;
      }
      if (left.passed > 1_000) trim(left);
      const block = left.blocks[left.passed]!;
      if (((block - oldest) | 0) < 0) oldest = block;
    }
    return oldest;
  }

  /** The streams to that node begin anew. */
  forget(node: number): void {
    for (const stream of this.#left.keys()) if (stream % this.#o.nodes === node) this.#left.delete(stream);
  }

  /** The open transaction, or a part of it, was undone: references behind the tails are not there. */
  rolledBack(): void {
    for (const [stream, left] of this.#left) {
      const tail = this.#o.outbox.tailOf(stream);
      while (left.ends.length > left.passed && ((left.ends.at(-1)! - tail) | 0) > 0) {
        left.ends.pop();
        left.blocks.pop();
      }
    }
  }

  /** At boot: read from the lanes which references are left. */
  reload(): void {
    this.#left.clear();
    const { outbox } = this.#o;
    const lanes = outbox.lanes();
    if (!lanes.some(lane => lane.stream === outbox.blockStream)) return;
    lanes.sort((a, b) => a.stream - b.stream || (a.base - b.base) | 0);
    for (const lane of lanes) if (lane.stream !== outbox.blockStream) this.#readLane(lane);
  }

  #readLane({ stream, block, sizeBytes, base, tail }: LaneInUse): void {
    const head = this.#o.outbox.headOf(stream);
    let at = (head !== undefined && ((head - base) | 0) > 0 ? head : base) | 0;
    while (((tail - at) | 0) > 0) {
      const record = block + (at & (sizeBytes / 4 - 1));
      const length = this.#O[record];
      // Lanes that were lost have no records.
      if (length <= 0) return;
      at = (at + length) | 0;
      if (this.#O[record + 1] === TYPE_BLOCK) this.#add(stream, at, this.#O[record + HEADER_WORDS + REF_POSITION]);
    }
  }
}

function trim(left: Left): void {
  left.ends.splice(0, left.passed);
  left.blocks.splice(0, left.passed);
  left.passed = 0;
}

/** What a reference says.
 * @param word of its payload, in the sender's segment */
export function readRef(I: Int32Array, word: number): Block {
  return { type: I[word + REF_TYPE], word: I[word + REF_WORD], words: I[word + REF_WORDS] };
}
