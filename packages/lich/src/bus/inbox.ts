// HOT: measured by benchmarks/lane
/** The receiving side: one cursor in the stream of each sender, moved in the transaction that handled the record.
 *
 *   cur, curPos = this record        words page, unlogged: whom to suspect if we die now
 *   begin · deliver · head = position behind it · commit
 *
 * Which lane to read is found from the cursor alone: the one with base <= head < tail. A sender's bytes are checked
 * before they are believed: a corrupt lane is a coded error and a lane that stands still, never a crash. */
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import type { BusWords } from './bus-state.ts';
import { BusError } from './errors.ts';
import {
  ENTRY_WORDS,
  LANE_SEALED,
  IN_HEAD,
  IN_MET,
  idOfCreation,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  OUT_LANE,
  OUT_PEER,
  OUT_SIZE,
  OUT_TAIL,
} from './lanes-layout.ts';
import { HEADER_WORDS, RECORD_ALIGN_WORDS, TYPE_PADDING } from './record-descriptor.ts';

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
  /** word of `cur`: (code << 8) | tries; the code of a sender is its node index + 1 */
  readonly cur: number;
  readonly curPos: number;
}

/** The lane of one sender that is being read. */
interface HeldLane {
  readonly segment: Segment;
  readonly i32: Int32Array;
  /** word of its entry in the sender's out table */
  readonly entry: number;
  readonly laneId: number;
  readonly block: number;
  readonly size: number;
  readonly mask: number;
}

/** A lane to this node, as its sender shows it. */
interface HereLane {
  readonly entry: number;
  readonly laneId: number;
  readonly tail: number;
  readonly block: number;
  readonly size: number;
}

/** One that was copied. */
interface CopiedLane extends HereLane {
  /** The tail in the sender's file after the copy; undefined = the lane was gone by then. */
  readonly live: number | undefined;
}

/** The lanes of one sender that were copied. */
interface Copied {
  readonly lanes: readonly CopiedLane[];
  /** What the owner showed as taken after the copy: no sender had written over anything from there on. */
  readonly taken: number;
}

export interface InboxOptions {
  readonly self: number;
  readonly state: Segment;
  readonly log: UndoLog;
  readonly words: BusWords;
  readonly suspect: SuspectWords;
  readonly lanes: Segment;
  readonly nodes: number;
  /** @returns the sender's lanes segment, or undefined while it has none */
  readonly lanesOf: (sender: number) => Segment | undefined;
  readonly deliver: Deliver;
  readonly onCorrupt: (error: BusError, sender: number) => void;
}

export class Inbox {
  readonly #o: InboxOptions;
  readonly #S: Int32Array;
  readonly #O: Int32Array;
  readonly #F: Float64Array;
  readonly #inWord: number;
  readonly #selfId: number;
  readonly #held: (HeldLane | undefined)[];
  readonly #failed: Uint8Array;
  readonly #dirty: Int32Array;
  #dirtyCount = 0;
  readonly #isDirty: Uint8Array;
  /** By sender: in a rehearsal. */
  readonly #copied = new Map<number, Copied>();

  constructor(o: InboxOptions) {
    this.#o = o;
    this.#S = o.state.i32;
    this.#O = o.lanes.i32;
    this.#F = o.state.f64;
    this.#inWord = o.lanes.regions.get('in')!.offset / 4;
    this.#selfId = idOfCreation(o.lanes.createdMs);
    this.#held = new Array<HeldLane | undefined>(o.nodes).fill(undefined);
    this.#failed = new Uint8Array(o.nodes);
    this.#dirty = new Int32Array(o.nodes);
    this.#isDirty = new Uint8Array(o.nodes);
  }

  /** Handle up to `limit` records of one sender, each in its own transaction.
   * @returns how many were handled; fewer than `limit` means there is nothing more now (or it must wait) */
  drain(sender: number, limit: number): number {
    let done = 0;
    while (done < limit && this.#failed[sender] === 0) {
      const lane = this.#held[sender] ?? this.#find(sender);
      if (lane === undefined) break;
      // Load the tail, then compare the id: were it the other way round, the tail could belong to the slot's next lane.
      const tail = Atomics.load(lane.i32, lane.entry + OUT_TAIL);
      const isStill = Atomics.load(lane.i32, lane.entry + OUT_LANE) === lane.laneId;
      const before = done;
      if (isStill) done += this.#drainTo(sender, lane, tail, limit - done);
      if (!isStill || (this.headOf(sender) === tail && this.#isSealed(lane))) this.#held[sender] = undefined;
      else if (done === before || done === limit || this.headOf(sender) !== tail) break;
    }
    return done;
  }

  #isSealed(lane: HeldLane): boolean {
    return (Atomics.load(lane.i32, lane.entry + OUT_FLAGS) & LANE_SEALED) !== 0;
  }

  #drainTo(sender: number, lane: HeldLane, tail: number, limit: number): number {
    const { log, deliver, suspect, words } = this.#o;
    const S = this.#S;
    const I = lane.i32;
    const headWord = words.in + sender;
    const code = (sender + 1) << 8;
    let head = S[headWord];
    let done = 0;
    while (head !== tail && done < limit) {
      const at = lane.block + (head & lane.mask);
      const length = I[at];
      if (!this.#isSane(sender, lane, head, length, tail)) break;
      const next = (head + length) | 0;
      const type = I[at + 1];
      if (type === TYPE_PADDING) {
        // Padding is published together with the record behind it, so it needs no commit of its own.
        head = next;
        continue;
      }
      S[suspect.curPos] = S[headWord];
      S[suspect.cur] = code | (S[suspect.cur] & 0xff);
      log.begin();
      if (
        deliver(sender, type, I[at + 2], I[at + 3], lane.segment, at + HEADER_WORDS, length - HEADER_WORDS) === HOLD
      ) {
        log.rollback();
        break;
      }
      log.write(headWord, next);
      log.commit();
      head = next;
      done++;
    }
    S[suspect.cur] = S[suspect.cur] & 0xff;
    if (done > 0) this.#markDirty(sender);
    return done;
  }

  #isSane(sender: number, lane: HeldLane, head: number, length: number, tail: number): boolean {
    const left = (tail - head) | 0;
    const toEnd = lane.size - (head & lane.mask);
    // A tail more than a ring ahead would have the old records of the ring read again.
    const fits = left <= lane.size && length <= left && length <= toEnd;
    if (fits && length >= RECORD_ALIGN_WORDS && length % RECORD_ALIGN_WORDS === 0) return true;
    this.#fail(
      sender,
      `lane ${lane.laneId} of ${lane.segment.path}: record of ${length} words at position ${head >>> 0}, ` +
        `${left} words before the tail and ${toEnd} before the end of the ring`,
    );
    return false;
  }

  /** The sender's lane to this node that has the next record, if any has one. */
  #find(sender: number): HeldLane | undefined {
    const segment = this.#o.lanesOf(sender);
    if (segment === undefined) return undefined;
    const I = segment.i32;
    // What is there may be meant for an earlier creation of this node: the sender says so once it has met this one.
    const met = Atomics.load(I, segment.regions.get('in')!.offset / 4 + this.#o.self * ENTRY_WORDS + IN_MET);
    if (met !== 0 && met !== this.#selfId) return undefined;
    const head = this.#S[this.#o.words.in + sender];
    const table = segment.regions.get('out')!;
    const first = table.offset / 4;
    for (let entry = first; entry < first + table.bytes / 4; entry += ENTRY_WORDS) {
      const laneId = Atomics.load(I, entry + OUT_LANE);
      if (laneId === 0 || Atomics.load(I, entry + OUT_PEER) !== this.#o.self) continue;
      const base = Atomics.load(I, entry + OUT_BASE);
      const block = Atomics.load(I, entry + OUT_BLOCK);
      const size = Atomics.load(I, entry + OUT_SIZE);
      const tail = Atomics.load(I, entry + OUT_TAIL);
      if (((head - base) | 0) < 0 || ((tail - head) | 0) <= 0) continue;
      if (Atomics.load(I, entry + OUT_LANE) !== laneId) continue;
      if (!this.#isInside(sender, segment, laneId, block, size)) return undefined;
      return (this.#held[sender] = { segment, i32: I, entry, laneId, block, size, mask: size - 1 });
    }
    return undefined;
  }

  #isInside(sender: number, segment: Segment, laneId: number, block: number, size: number): boolean {
    const data = segment.regions.get('data')!;
    const first = data.offset / 4;
    if (size > 0 && (size & (size - 1)) === 0 && block >= first && block + size <= first + data.bytes / 4) return true;
    this.#fail(
      sender,
      `lane ${laneId} of ${segment.path}: ring of ${size} words at word ${block} is not inside the data region`,
    );
    return false;
  }

  #fail(sender: number, what: string): void {
    this.#failed[sender] = 1;
    this.#o.onCorrupt(new BusError('BUS_CORRUPT_LANE', `${what}; nothing more is taken from this sender`), sender);
  }

  #markDirty(sender: number): void {
    if (this.#isDirty[sender] === 1) return;
    this.#isDirty[sender] = 1;
    this.#dirty[this.#dirtyCount++] = sender;
  }

  /** Show the cursors in O, after their commits. */
  publish(): void {
    const dirty = this.#dirty;
    for (let k = 0; k < this.#dirtyCount; k++) {
      this.#isDirty[dirty[k]] = 0;
      const entry = this.#inWord + dirty[k] * ENTRY_WORDS;
      Atomics.store(this.#O, entry + IN_HEAD, this.#S[this.#o.words.in + dirty[k]]);
      Atomics.store(this.#O, entry + IN_MET, this.metId(dirty[k]));
    }
    this.#dirtyCount = 0;
  }

  publishAll(): void {
    for (let sender = 0; sender < this.#o.nodes; sender++) this.#markDirty(sender);
    this.publish();
  }

  /** The creation of that node's lanes segment that this node has met; 0 = none. */
  metId(peer: number): number {
    const createdMs = this.#F[this.#o.words.peers / 2 + peer]!;
    return createdMs === 0 ? 0 : idOfCreation(createdMs);
  }

  /** The sender is another one under its old name, or none: its stream begins at 0. In a transaction. */
  forget(sender: number): void {
    this.#o.log.write(this.#o.words.in + sender, 0);
    this.#held[sender] = undefined;
    this.#failed[sender] = 0;
    this.#markDirty(sender);
  }

  /** Forget what was seen of the senders' lanes: at boot. */
  reload(): void {
    this.#held.fill(undefined);
    this.#failed.fill(0);
    this.#copied.clear();
  }

  /** Words between the cursor and what the sender has shown, less what was written over before it was copied. */
  waitingIn(segment: Segment, sender: number): number {
    const from = this.#wholeFrom(sender);
    let most = 0;
    for (const { tail } of this.#lanesHere(segment)) most = Math.max(most, (tail - from) | 0);
    return most;
  }

  /** Bring the lanes of a sender to this node into its detached segment. Where that was done before, and records behind the
   * cursor are written over by now, what was brought then stays.
   * @param anew forget what was brought before
   * @returns false when it stays */
  copyLanes(segment: Segment, sender: number, anew: boolean): boolean {
    const head = this.headOf(sender);
    const before = anew ? undefined : this.#copied.get(sender);
    if (before?.lanes.some(lane => !isWhole({ ...lane, live: this.#liveTail(segment, lane) }, head))) return false;
    for (const name of ['out', 'in']) {
      const { offset, bytes } = segment.regions.get(name)!;
      segment.copyIn(offset, bytes);
    }
    const lanes = [...this.#lanesHere(segment)];
    for (const { block, size } of lanes) segment.copyIn(block * 4, size * 4);
    // Looked at after the copy: what was written over meanwhile is known by it.
    this.#copied.set(sender, {
      lanes: lanes.map(lane => ({ ...lane, live: this.#liveTail(segment, lane) })),
      taken: this.#o.lanes.wordInFile(this.#inWord + sender * ENTRY_WORDS + IN_HEAD),
    });
    return true;
  }

  #liveTail(segment: Segment, { entry, laneId }: HereLane): number | undefined {
    const tail = segment.wordInFile(entry + OUT_TAIL);
    return segment.wordInFile(entry + OUT_LANE) === laneId ? tail : undefined;
  }

  /** From where on the lanes that were copied are whole: from the cursor, or, where records behind it were written over, from
   * what the owner had taken by then. */
  #wholeFrom(sender: number): number {
    const head = this.headOf(sender);
    const copied = this.#copied.get(sender);
    if (copied === undefined || ((copied.taken - head) | 0) <= 0) return head;
    const isLost = copied.lanes.some(lane => ((lane.tail - head) | 0) > 0 && !isWhole(lane, head));
    return isLost ? copied.taken : head;
  }

  /** Set the cursor behind what was written over before it was copied. Unlogged: for private copies of both sides. */
  skipOverwritten(sender: number): void {
    this.#S[this.#o.words.in + sender] = this.#wholeFrom(sender);
    this.#copied.delete(sender);
  }

  /** Entries of a sender's lanes to this node. */
  *#lanesHere(segment: Segment): Generator<HereLane> {
    const I = segment.i32;
    const table = segment.regions.get('out')!;
    const first = table.offset / 4;
    for (let entry = first; entry < first + table.bytes / 4; entry += ENTRY_WORDS) {
      const laneId = Atomics.load(I, entry + OUT_LANE);
      if (laneId === 0 || Atomics.load(I, entry + OUT_PEER) !== this.#o.self) continue;
      const tail = Atomics.load(I, entry + OUT_TAIL);
      const size = Atomics.load(I, entry + OUT_SIZE);
      yield { entry, laneId, tail, size, block: Atomics.load(I, entry + OUT_BLOCK) };
    }
  }

  /** What is published for that node changed by other means. */
  touch(sender: number): void {
    this.#markDirty(sender);
  }

  /** The committed cursor in that sender's stream. */
  headOf(sender: number): number {
    return this.#S[this.#o.words.in + sender];
  }
}

/** Was nothing behind `head` written over when the tail was looked at? Half a lane is left out: of what is being written
 * then nothing is shown yet. */
function isWhole({ live, size }: Pick<CopiedLane, 'live' | 'size'>, head: number): boolean {
  return live !== undefined && ((live - head) | 0) <= size / 2;
}
