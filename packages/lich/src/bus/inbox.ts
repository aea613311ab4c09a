// HOT: measured by benchmarks/lane
/** The receiving side: one cursor in each stream of each sender, moved in the transaction that handled the record. A stream
 * is numbered `priority * nodes + sender`; `Bus` drains control before data.
 *
 *   cur, curPos = this record        words page, unlogged: whom to suspect if we die now
 *   begin · deliver · head = position behind it · commit
 *
 * Which lane to read is found from the cursor alone: the one with base <= head < tail. A sender's bytes are checked
 * before they are believed: a corrupt lane is a coded error and a lane that stands still, never a crash. */
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import type { BusWords } from './bus-state.ts';
import { hostMs } from './clock.ts';
import { BusError } from './errors.ts';
import { type Block, readRef, REF_BYTES } from './blocks.ts';
import { badRecord, badRing, findLane, type HeldLane, isInData, isRecord, isSealed } from './lane-reader.ts';
import {
  ENTRY_WORDS,
  IN_BYTES,
  IN_CONTROL,
  IN_HEAD,
  IN_LATENCY,
  IN_MESSAGES,
  IN_MET,
  IN_URGENT,
  idOfCreation,
  LATENCY_US,
  OUT_LANE,
  OUT_SAMPLE_AT,
  OUT_SAMPLE_MS,
  OUT_SAMPLE_NO,
  OUT_TAIL,
  PRIORITIES,
  toWord,
} from './lanes-layout.ts';
import type { InTable } from './outbox.ts';
import { HEADER_WORDS, TYPE_BLOCK, TYPE_PADDING } from './record-descriptor.ts';

/** What a delivery tells the inbox. */
export const HANDLED = 0;
/** Leave this record where it is and come back later; nothing was changed. */
export const HOLD = 1;

/** Handles one record inside an open transaction. Must not throw: a failed handler is rolled back and answered inside.
 * @param sender node index
 * @param lanes the sender's lanes segment, read-only
 * @param word first word of the payload in it
 * @param payloadWords words, padded: the real length belongs to the type */
export type Deliver = (
  sender: number,
  type: number,
  a: number,
  b: number,
  lanes: Segment,
  word: number,
  payloadWords: number,
) => number;

/** Where the words page of S says which record is being handled. */
export interface SuspectWords {
  /** word of `cur`: (code << 8) | tries; the code of a record is its stream's number + 1 */
  readonly cur: number;
  readonly curPos: number;
}

export interface InboxOptions {
  readonly self: number;
  readonly state: Segment;
  readonly log: UndoLog;
  readonly words: BusWords;
  readonly suspect: SuspectWords;
  readonly lanes: Segment;
  readonly nodes: number;
  /** @returns the lanes segment with the sender's lanes (of a node elsewhere: its link's), or undefined while there is none */
  readonly lanesOf: (sender: number) => Segment | undefined;
  /** @returns the sender's in table, likewise */
  readonly inTableOf: (sender: number) => InTable | undefined;
  readonly deliver: Deliver;
  readonly onCorrupt: (error: BusError, sender: number) => void;
}

/** What of a sender's entry is not shown yet. */
const DIRTY_HEAD = 1;
const DIRTY_CONTROL = 2;
const DIRTY_MET = 4;

export class Inbox {
  readonly #o: InboxOptions;
  readonly #S: Int32Array;
  readonly #O: Int32Array;
  readonly #OF: Float64Array;
  readonly #F: Float64Array;
  readonly #inWord: number;
  readonly #selfId: number;
  /** By stream. */
  readonly #held: (HeldLane | undefined)[];
  /** By sender. */
  readonly #failed: Uint8Array;
  readonly #dirty: Int32Array;
  #dirtyCount = 0;
  /** By sender: DIRTY_… */
  readonly #isDirty: Uint8Array;
  #metChanged = false;
  /** By stream: the last sample of its lane that was measured. */
  readonly #measured: Int32Array;
  /** By sender: records handled since the last publish. */
  readonly #handled: Int32Array;
  /** The stream of the record that is being delivered. */
  stream = 0;

  constructor(o: InboxOptions) {
    this.#o = o;
    this.#S = o.state.i32;
    this.#O = o.lanes.i32;
    this.#OF = o.lanes.f64;
    this.#F = o.state.f64;
    this.#inWord = o.lanes.regions.get('in')!.offset / 4;
    this.#selfId = idOfCreation(o.lanes.createdMs);
    this.#held = new Array<HeldLane | undefined>(PRIORITIES * o.nodes).fill(undefined);
    this.#failed = new Uint8Array(o.nodes);
    this.#dirty = new Int32Array(o.nodes);
    this.#isDirty = new Uint8Array(o.nodes);
    this.#measured = new Int32Array(PRIORITIES * o.nodes);
    this.#handled = new Int32Array(o.nodes);
  }

  /** Has that sender shown control messages that are not handled yet? One load. */
  hasControl(sender: number): boolean {
    const table = this.#o.inTableOf(sender);
    if (table === undefined) return false;
    const urgent = Atomics.load(table.i32, table.word + this.#o.self * table.stride + IN_URGENT);
    return urgent !== this.#S[this.#o.words.in + this.#o.nodes + sender];
  }

  /** Handle up to `limit` records of one stream, each in its own transaction.
   * @returns how many were handled; fewer than `limit` means there is nothing more now (or it must wait) */
  drain(stream: number, limit: number): number {
    const sender = this.#senderOf(stream);
    let done = 0;
    while (done < limit && this.#failed[sender] === 0) {
      const lane = this.#held[stream] ?? this.#find(stream);
      if (lane === undefined) break;
      // Load the tail, then compare the id: were it the other way round, the tail could belong to the slot's next lane.
      const tail = Atomics.load(lane.i32, lane.entry + OUT_TAIL);
      const isStill = Atomics.load(lane.i32, lane.entry + OUT_LANE) === lane.laneId;
      const before = done;
      if (isStill) {
        done += this.#drainTo(stream, lane, tail, limit - done);
        if (lane.i32[lane.entry + OUT_SAMPLE_NO] !== this.#measured[stream]) this.#measure(stream, sender, lane);
      }
      if (!isStill || (this.headOf(stream) === tail && isSealed(lane))) this.#held[stream] = undefined;
      else if (done === before || done === limit || this.headOf(stream) !== tail) break;
    }
    return done;
  }

  #senderOf(stream: number): number {
    return stream < this.#o.nodes ? stream : stream - this.#o.nodes;
  }

  #drainTo(stream: number, lane: HeldLane, tail: number, limit: number): number {
    const { log, deliver, suspect, words } = this.#o;
    const sender = this.#senderOf(stream);
    const S = this.#S;
    const I = lane.i32;
    const headWord = words.in + stream;
    const code = (stream + 1) << 8;
    this.stream = stream;
    let head = S[headWord];
    let done = 0;
    while (head !== tail && done < limit) {
      const at = lane.block + (head & lane.mask);
      const length = I[at];
      if (!isRecord(lane, head, length, tail)) {
        this.#fail(sender, badRecord(lane, head, length, tail));
        break;
      }
      const next = (head + length) | 0;
      let type = I[at + 1];
      let word = at + HEADER_WORDS;
      let words = length - HEADER_WORDS;
      if (type >>> 16 === 0) {
        if (type === TYPE_PADDING) {
          // Padding is published together with the record behind it, so it needs no commit of its own.
          head = next;
          continue;
        }
        const block = this.#blockAt(sender, lane, at, words);
        if (block === undefined) break;
        ({ type, word, words } = block);
      }
      S[suspect.curPos] = S[headWord];
      S[suspect.cur] = code | (S[suspect.cur] & 0xff);
      log.begin();
      if (deliver(sender, type, I[at + 2], I[at + 3], lane.segment, word, words) === HOLD) {
        log.rollback();
        break;
      }
      log.write(headWord, next);
      log.commit();
      head = next;
      done++;
    }
    S[suspect.cur] = S[suspect.cur] & 0xff;
    // Records that were given up are padding by now, which may be the last thing in a lane.
    if (head === tail && S[headWord] !== tail) this.#pass(headWord, tail);
    else if (done === 0) return 0;
    this.#handled[sender] += done;
    this.#markDirty(sender, stream === sender ? DIRTY_HEAD : DIRTY_CONTROL);
    return done;
  }

  /** What the reference at that record leads to. */
  #blockAt(sender: number, lane: HeldLane, at: number, words: number): Block | undefined {
    const { segment, i32 } = lane;
    const block = words >= REF_BYTES / 4 && i32[at + 1] === TYPE_BLOCK ? readRef(i32, at + HEADER_WORDS) : undefined;
    if (block !== undefined && block.type >>> 16 !== 0 && isInData(segment, block.word, block.words)) return block;
    this.#fail(
      sender,
      `lane ${lane.laneId} of ${segment.path}: a record of type ${i32[at + 1] >>> 0} leads to ${JSON.stringify(block)}`,
    );
    return undefined;
  }

  #pass(headWord: number, head: number): void {
    const { log } = this.#o;
    log.begin();
    log.write(headWord, head);
    log.commit();
  }

  /** How long was the sample of that lane under way, if it has been handled? */
  #measure(stream: number, sender: number, { i32, entry, segment }: HeldLane): void {
    const no = Atomics.load(i32, entry + OUT_SAMPLE_NO);
    if (no === 0 || ((this.headOf(stream) - i32[entry + OUT_SAMPLE_AT]) | 0) <= 0) return;
    const us = (hostMs() - segment.f64[(entry + OUT_SAMPLE_MS) / 2]) * 1_000;
    if (Atomics.load(i32, entry + OUT_SAMPLE_NO) !== no) return;
    this.#measured[stream] = no;
    let k = 0;
    while (k < LATENCY_US.length && us >= LATENCY_US[k]!) k++;
    this.#O[this.#inWord + sender * ENTRY_WORDS + IN_LATENCY + k]++;
  }

  /** The lane of that stream to this node that has the next record, if any has one. */
  #find(stream: number): HeldLane | undefined {
    const { self, nodes } = this.#o;
    const sender = this.#senderOf(stream);
    const segment = this.#o.lanesOf(sender);
    const table = this.#o.inTableOf(sender);
    if (segment === undefined || table === undefined) return undefined;
    // What is there may be meant for an earlier creation of this node: the sender says so once it has met this one.
    const met = Atomics.load(table.i32, table.word + self * table.stride + IN_MET);
    if (met !== 0 && met !== this.#selfId) return undefined;
    const lane = findLane(segment, toWord(self, stream < nodes ? 0 : 1), sender, this.headOf(stream));
    if (lane === undefined) return undefined;
    const wrong = badRing(lane);
    if (wrong === undefined) {
      // A sample that an earlier life has passed is not measured again.
      const isOld = ((this.headOf(stream) - lane.i32[lane.entry + OUT_SAMPLE_AT]) | 0) > 0;
      this.#measured[stream] = isOld ? lane.i32[lane.entry + OUT_SAMPLE_NO] : 0;
      return (this.#held[stream] = lane);
    }
    this.#fail(sender, wrong);
    return undefined;
  }

  #fail(sender: number, what: string): void {
    this.#failed[sender] = 1;
    this.#o.onCorrupt(new BusError('BUS_CORRUPT_LANE', `${what}; nothing more is taken from this sender`), sender);
  }

  #markDirty(sender: number, what: number): void {
    if (this.#isDirty[sender] === 0) this.#dirty[this.#dirtyCount++] = sender;
    this.#isDirty[sender] |= what;
    if (what >= DIRTY_MET) this.#metChanged = true;
  }

  /** Show the cursors in O, after their commits. */
  publish(): void {
    const dirty = this.#dirty;
    const count = this.#dirtyCount;
    const heads = this.#o.words.in;
    for (let k = 0; k < count; k++) {
      const sender = dirty[k];
      const what = this.#isDirty[sender];
      const entry = this.#inWord + sender * ENTRY_WORDS;
      if (this.#handled[sender] > 0) this.#count(sender, entry);
      if ((what & DIRTY_HEAD) !== 0) Atomics.store(this.#O, entry + IN_HEAD, this.#S[heads + sender]);
      if ((what & DIRTY_CONTROL) !== 0)
        Atomics.store(this.#O, entry + IN_CONTROL, this.#S[heads + this.#o.nodes + sender]);
    }
    // Who reads that it was met believes all heads from then on, also those of nodes that it speaks for.
    if (this.#metChanged) {
      for (let k = 0; k < count; k++) {
        if ((this.#isDirty[dirty[k]] & DIRTY_MET) === 0) continue;
        Atomics.store(this.#O, this.#inWord + dirty[k] * ENTRY_WORDS + IN_MET, this.metId(dirty[k]));
      }
      this.#metChanged = false;
    }
    for (let k = 0; k < count; k++) this.#isDirty[dirty[k]] = 0;
    this.#dirtyCount = 0;
  }

  /** For those who look: no truth is in it. Before the heads are shown. */
  #count(sender: number, entry: number): void {
    this.#OF[(entry + IN_MESSAGES) / 2] += this.#handled[sender];
    this.#handled[sender] = 0;
    const data = (this.headOf(sender) - this.#O[entry + IN_HEAD]) | 0;
    const control = (this.headOf(this.#o.nodes + sender) - this.#O[entry + IN_CONTROL]) | 0;
    this.#OF[(entry + IN_BYTES) / 2] += 4 * (Math.max(0, data) + Math.max(0, control));
  }

  publishAll(): void {
    for (let sender = 0; sender < this.#o.nodes; sender++) this.touch(sender);
    this.publish();
  }

  /** The creation of that node's lanes segment that this node has met; 0 = none. */
  metId(peer: number): number {
    const createdMs = this.#F[this.#o.words.peers / 2 + peer]!;
    return createdMs === 0 ? 0 : idOfCreation(createdMs);
  }

  /** The sender is another one under its old name, or none: its streams begin at 0. In a transaction. */
  forget(sender: number): void {
    const { log, nodes, words } = this.#o;
    for (let stream = sender; stream < PRIORITIES * nodes; stream += nodes) {
      log.write(words.in + stream, 0);
      this.#held[stream] = undefined;
    }
    this.#failed[sender] = 0;
    this.touch(sender);
  }

  /** Forget what was seen of the senders' lanes: at boot. */
  reload(): void {
    this.#held.fill(undefined);
    this.#failed.fill(0);
  }

  /** What is published for that node changed by other means. */
  touch(sender: number): void {
    this.#markDirty(sender, DIRTY_HEAD | DIRTY_CONTROL | DIRTY_MET);
  }

  /** The committed cursor in that stream. */
  headOf(stream: number): number {
    return this.#S[this.#o.words.in + stream];
  }
}
