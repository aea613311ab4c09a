// HOT: measured by benchmarks/lane
/** The sending side of a node's lanes: claim room beyond the committed tail, write the record there, log the new tail.
 * A lane is made, sealed and followed by a larger one inside the transaction that needs it, and given back by `tidy` in
 * one of its own. The rules and their proof: docs/decisions/0001-lane-lifecycle.md.
 *
 * A stream is numbered `priority * nodes + receiver`, so that one of data has its receiver's number. A link has streams of
 * nodes elsewhere behind its own: bus-state.ts.
 *
 *          committed tail                    claimed                 after the commit, publish
 *   S  tail ─────┐                     tail ──────────┐          O  tail ──────────┐
 *   O  ░░░░░░░░░░│              O  ░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒│            ░░░░░░░░░░░░░░░░│
 *      head ┘                       (nobody looks there yet)
 */
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import type { BusWords } from './bus-state.ts';
import { S_OUT_WORDS, streamsOut } from './bus-state.ts';
import { type LaneInUse, laneAt } from './lane-in-use.ts';
import { LaneUnits } from './lane-units.ts';
import {
  type BusLimits,
  ENTRY_WORDS,
  IN_CONTROL,
  IN_HEAD,
  IN_MET,
  IN_URGENT,
  idOfCreation,
  LANE_SEALED,
  LANE_USED,
  NOBODY,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  OUT_LANE,
  OUT_SIZE,
  OUT_SOURCE,
  OUT_TAIL,
  OUT_TO,
  PRIORITIES,
  type Priority,
  priorityOf,
  receiverOf,
  toWord,
  UNIT_BYTES,
  UNIT_WORDS,
} from './lanes-layout.ts';
import type { OpenLane } from './open-lane.ts';
import { HEADER_WORDS, RECORD_ALIGN_WORDS, recordWords, TYPE_PADDING } from './record-descriptor.ts';
import { refuseLane, refuseRoom, refuseSize, refuseUndeclared } from './refusals.ts';
import { Samples } from './samples.ts';

/** No room, and the lane may not grow any more: a value, not an error. */
export const FULL = -1;

/** Where a node shows how far it is with each other, once that can be mapped: its `in` region, or its row of a link's
 * `far` region. */
export interface InTable {
  readonly i32: Int32Array;
  /** word of the entry for node 0 */
  readonly word: number;
  /** words from one entry to the next */
  readonly stride: number;
}

export interface OutboxOptions {
  readonly self: number;
  readonly state: Segment;
  readonly log: UndoLog;
  readonly words: BusWords;
  readonly lanes: Segment;
  readonly limits: BusLimits;
  /** @returns the receiver's in table, or undefined while it has no lanes segment */
  readonly inTableOf: (peer: number) => InTable | undefined;
  /** In a link: the row of a node elsewhere in this node's `far` region; undefined while it has none. */
  readonly farRow?: (far: number) => InTable | undefined;
}

/** What the outbox asks of those who keep blocks: blocks.ts. */
export interface BlockKeeper {
  /** Position of the oldest block that somebody may still read. */
  head(): number;
  forget(node: number): void;
  rolledBack(): void;
  reload(): void;
}

/** Told whom to ring: the receiver, and who sent. */
export type Ring = (receiver: number, source: number) => void;

export class Outbox {
  readonly #self: number;
  readonly #selfId: number;
  readonly #log: UndoLog;
  readonly #S: Int32Array;
  readonly #O: Int32Array;
  readonly #lanesSegment: Segment;
  readonly #words: BusWords;
  readonly #limits: BusLimits;
  readonly #outWord: number;
  readonly #dataWord: number;
  readonly #inTableOf: (peer: number) => InTable | undefined;
  readonly #o: OutboxOptions;
  readonly #nodes: number;
  readonly #inWord: number;
  /** By stream. */
  readonly #open: (OpenLane | undefined)[];
  readonly #units: LaneUnits;
  /** The stream of the lane to nobody. */
  readonly blockStream: number;
  /** Set by who keeps blocks. */
  blocks: BlockKeeper | undefined;
  /** Streams of control that ended without a lane to tell it. */
  #ended: number[] = [];
  /** slots that O does not show as S has them: a list and its length, since emptying an Array costs more than a publish */
  readonly #dirty: Int32Array;
  #dirtyCount = 0;
  readonly #dirtyKind: Uint8Array;
  /** this transaction made, sealed or freed a lane */
  #changed = false;
  /** Claims so far; whoever counts those of a transaction sets it to 0 before. */
  claims = 0;
  /** Told of each claim that found the lane of its stream full, with its number in `claims`. */
  refused: ((stream: number, claim: number) => void) | undefined;
  /** Asked instead of the receiver's head whether a claim finds room: in a replay. */
  roomOf: ((stream: number, claim: number) => boolean) | undefined;
  #claimedLane: OpenLane | undefined;
  #claimedTail = 0;
  readonly samples: Samples;
  /** Set where lanes are made at start: no others may be. */
  mayOpen: ((peer: number) => boolean) | undefined;

  constructor(o: OutboxOptions) {
    this.#o = o;
    this.#self = o.self;
    this.#nodes = o.limits.nodes;
    this.#selfId = idOfCreation(o.lanes.createdMs);
    this.#log = o.log;
    this.#S = o.state.i32;
    this.#O = o.lanes.i32;
    this.#lanesSegment = o.lanes;
    this.#words = o.words;
    this.#limits = o.limits;
    this.#inTableOf = o.inTableOf;
    this.#outWord = o.lanes.regions.get('out')!.offset / 4;
    this.#dataWord = o.lanes.regions.get('data')!.offset / 4;
    this.#inWord = o.lanes.regions.get('in')!.offset / 4;
    this.blockStream = streamsOut(o.limits);
    this.#open = new Array<OpenLane | undefined>(this.blockStream + 1).fill(undefined);
    this.#units = new LaneUnits(this.#S, o.log, o.words.units, o.limits.dataBytes / UNIT_BYTES);
    this.#dirty = new Int32Array(o.limits.lanes);
    this.#dirtyKind = new Uint8Array(o.limits.lanes);
    this.samples = new Samples(o.lanes, o.limits.lanes);
    this.reload();
  }

  /** Claim a record in a stream, in the open transaction, and write its header. The caller writes the payload, then calls
   * `commitClaim`. Nothing is visible before the transaction commits and is published.
   * @param stream see `streamOf`; of data: the receiver's node index
   * @param payloadBytes 0..half of maxLaneBytes
   * @returns word of the payload in the lanes segment, or `FULL`
   * @throws BusError `BUS_RECORD_TOO_LARGE`, `BUS_TOO_MANY_LANES`, `BUS_NO_ROOM`
   * @remarks O(1) but for the making of a lane. */
  claim(stream: number, type: number, a: number, b: number, payloadBytes: number): number {
    const need = recordWords(payloadBytes);
    const at = this.claimWords(stream, need);
    if (at === FULL) return FULL;
    const O = this.#O;
    O[at] = need;
    O[at + 1] = type;
    O[at + 2] = a;
    O[at + 3] = b;
    return at + HEADER_WORDS;
  }

  /** The same for whole records, headers and all, that the caller writes there.
   * @param need words, a multiple of 4
   * @returns the word where they begin, or `FULL` */
  claimWords(stream: number, need: number): number {
    this.claims++;
    const S = this.#S;
    let lane = this.#open[stream];
    if (lane === undefined || need > lane.size >> 1) lane = this.#next(stream, need);
    while (lane !== undefined) {
      const tail = S[lane.tailWord];
      const index = tail & lane.mask;
      const pad = index + need > lane.size ? lane.size - index : 0;
      const end = (tail + pad + need) | 0;
      if ((((end - lane.headSeen) | 0) > lane.size || this.roomOf !== undefined) && !this.#hasRoom(lane, stream, end)) {
        lane = this.#next(stream, need);
        continue;
      }
      if (pad !== 0) {
        this.#O[lane.block + index] = pad;
        this.#O[lane.block + index + 1] = TYPE_PADDING;
      }
      this.#claimedLane = lane;
      this.#claimedTail = end;
      return lane.block + ((tail + pad) & lane.mask);
    }
    return FULL;
  }

  /** The claimed record is whole: it belongs to the transaction from here on. */
  commitClaim(): void {
    const lane = this.#claimedLane!;
    this.#log.write(lane.tailWord, this.#claimedTail);
    this.#markDirty(lane.slot, DIRTY_TAIL);
  }

  #hasRoom(lane: OpenLane, stream: number, end: number): boolean {
    if (this.roomOf !== undefined) return this.roomOf(stream, this.claims);
    if (this.#seeHead(lane, stream, end)) return true;
    this.refused?.(stream, this.claims);
    return false;
  }

  /** Look at the receiver's head again. @returns whether a record that ends at `end` fits now */
  #seeHead(lane: OpenLane, stream: number, end: number): boolean {
    const head = this.headOf(stream);
    // A head from before this lane began says that all of it is still to be read.
    if (head !== undefined && ((head - lane.headSeen) | 0) > 0) lane.headSeen = head;
    return ((end - lane.headSeen) | 0) <= lane.size;
  }

  #receiverOf(stream: number): number {
    return stream % this.#nodes;
  }

  #priorityOf(stream: number): Priority {
    return (((stream / this.#nodes) | 0) % PRIORITIES) as Priority;
  }

  /** Whom it speaks for in that stream. */
  #sourceOf(stream: number): number {
    const of = (stream / (PRIORITIES * this.#nodes)) | 0;
    return of === 0 || stream === this.blockStream ? this.#self : of - 1;
  }

  #toOf(stream: number): number {
    if (stream === this.blockStream) return NOBODY;
    return toWord(this.#receiverOf(stream), this.#priorityOf(stream));
  }

  /** The stream of a lane, from the words of its entry. */
  #streamOf(slot: number): number {
    const to = this.#S[this.#field(slot, OUT_TO)];
    const source = this.#S[this.#field(slot, OUT_SOURCE)];
    if (to === NOBODY) return this.blockStream;
    const own = priorityOf(to) * this.#nodes + receiverOf(to);
    return source === this.#self ? own : this.farStream(source, own);
  }

  /** In a link: a stream of that node elsewhere. @param own the same stream, were it the link's own */
  farStream(source: number, own: number): number {
    return (1 + source) * PRIORITIES * this.#nodes + own;
  }

  /** The receiver's published head in that stream; undefined while it has never started, or has not met this node. */
  headOf(stream: number): number | undefined {
    if (stream === this.blockStream) return this.blocks?.head();
    const table = this.#inTableOf(this.#receiverOf(stream));
    if (table === undefined) return undefined;
    // A head counts only once the receiver has met this creation of the node: until then it is an earlier one's.
    if (Atomics.load(table.i32, table.word + this.#self * table.stride + IN_MET) !== this.#selfId) return undefined;
    const entry = table.word + this.#sourceOf(stream) * table.stride;
    return Atomics.load(table.i32, entry + (this.#priorityOf(stream) === 0 ? IN_HEAD : IN_CONTROL));
  }

  /** The committed end of a stream, or that of the open transaction. */
  tailOf(stream: number): number {
    const lane = this.#open[stream];
    return this.#S[lane === undefined ? this.#words.pos + stream : lane.tailWord];
  }

  /** Words that wait in a stream, as far as can be seen. */
  backlogOf(stream: number): number {
    const tail = this.tailOf(stream);
    const head = this.headOf(stream);
    if (head !== undefined) return (tail - head) | 0;
    let most = 0;
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] === 0 || this.#streamOf(slot) !== stream) continue;
      most = Math.max(most, (tail - this.#S[this.#field(slot, OUT_BASE)]) | 0);
    }
    return most;
  }

  /** Seal the open lane of the stream, if there is one, and make a larger one; `undefined` at the bound. */
  #next(stream: number, need: number): OpenLane | undefined {
    const S = this.#S;
    const log = this.#log;
    const open = this.#open[stream];
    if (open === undefined && stream !== this.blockStream && this.mayOpen?.(this.#receiverOf(stream)) === false)
      refuseUndeclared(this.#receiverOf(stream));
    const maxWords = this.#limits.maxLaneBytes / 4;
    if (need > maxWords / 2) refuseSize(need * 4, maxWords * 4);
    let size = Math.max(UNIT_WORDS, open ? open.size * 4 : 0);
    while (size < need * 2) size *= 2;
    if (size > maxWords) size = maxWords;
    if (open && open.size >= size) return undefined;
    const slot = this.#freeSlot();
    const unit = this.#units.find(size / UNIT_WORDS);
    if (slot < 0 || unit < 0) {
      // With a lane open, no room is the same to the caller as a full one: it is there again when the receiver is done.
      if (open) return undefined;
      if (slot < 0) refuseLane(this.#limits.lanes);
      refuseRoom(size * 4, this.#limits.dataBytes);
    }
    const block = this.#dataWord + unit * UNIT_WORDS;
    // First of all, since it may throw, and a handler may catch that and commit.
    this.#lanesSegment.reserve(block * 4, size * 4);
    this.#changed = true;
    this.#units.take(unit, size / UNIT_WORDS);
    let base = S[this.#words.pos + stream];
    if (open) {
      base = S[open.tailWord];
      log.write(this.#field(open.slot, OUT_FLAGS), LANE_USED | LANE_SEALED);
      this.#markDirty(open.slot, DIRTY_ENTRY);
    }
    // 0 means no lane: the counter skips it when it wraps.
    const laneId = (S[this.#words.lastLane] + 1) | 0 || 1;
    log.write(this.#words.lastLane, laneId);
    log.write(this.#field(slot, OUT_LANE), laneId);
    log.write(this.#field(slot, OUT_TO), this.#toOf(stream));
    log.write(this.#field(slot, OUT_BASE), base);
    log.write(this.#field(slot, OUT_BLOCK), block);
    log.write(this.#field(slot, OUT_SIZE), size);
    log.write(this.#field(slot, OUT_TAIL), base);
    log.write(this.#field(slot, OUT_FLAGS), LANE_USED);
    log.write(this.#field(slot, OUT_SOURCE), this.#sourceOf(stream));
    this.#markDirty(slot, DIRTY_ENTRY);
    return (this.#open[stream] = this.#cached(slot));
  }

  /** Make the lane to `peer`, if there is none, in the open transaction.
   * @throws BusError `BUS_TOO_MANY_LANES`, `BUS_NO_ROOM`, `BUS_UNDECLARED` */
  open(peer: number): void {
    if (this.#open[peer] === undefined) this.#next(peer, RECORD_ALIGN_WORDS);
  }

  /** Is there a lane to `peer` that takes records? */
  isOpen(peer: number): boolean {
    return this.#open[peer] !== undefined;
  }

  /** @returns -1 when all are in use */
  #freeSlot(): number {
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] === 0) return slot;
    }
    return -1;
  }

  /** Give back what nobody needs: sealed lanes that are drained, and open ones that are and were idle for `idleMs`; let those
   * that are used begin later.
   * Between transactions; it makes one of its own for each lane. What it changed is shown by the next publish.
   * @returns lanes given back */
  tidy(nowMs: number, idleMs: number): number {
    const S = this.#S;
    let freed = 0;
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      const flags = S[this.#field(slot, OUT_FLAGS)];
      if (flags === 0) continue;
      const stream = this.#streamOf(slot);
      const tail = S[this.#field(slot, OUT_TAIL)];
      // What was made at start stays.
      if ((flags & LANE_SEALED) === 0 && (this.mayOpen !== undefined || !this.#isIdle(stream, tail, nowMs, idleMs))) {
        this.#raiseBase(slot, tail);
        continue;
      }
      const head = this.headOf(stream);
      if (head === undefined ? tail !== S[this.#field(slot, OUT_BASE)] : ((head - tail) | 0) < 0) continue;
      this.#log.begin();
      this.#giveBack(slot, stream, tail);
      this.#log.commit();
      freed++;
    }
    return freed;
  }

  /** Positions are compared by their difference, which is good below 2^31: a lane that is used for ever must not begin
   * farther behind. No head is farther behind the tail than the ring is long, so nobody looks for what is left out. */
  #raiseBase(slot: number, tail: number): void {
    const word = this.#field(slot, OUT_BASE);
    if (((tail - this.#S[word]) | 0) < BASE_BEHIND_WORDS) return;
    this.#log.begin();
    this.#log.write(word, (tail - this.#S[this.#field(slot, OUT_SIZE)]) | 0);
    this.#log.commit();
    this.#markDirty(slot, DIRTY_ENTRY);
  }

  /** The receiver is another one under its old name, or none: what was not handled is dropped, and the streams to it begin
   * at 0. In a transaction. @returns words of records and padding that were dropped */
  forget(peer: number): number {
    let words = 0;
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      const from = this.#field(slot, 0);
      if (this.#S[from + OUT_FLAGS] === 0 || receiverOf(this.#S[from + OUT_TO]) !== peer) continue;
      const tail = this.#S[from + OUT_TAIL];
      words += (tail - this.#S[from + OUT_BASE]) | 0;
      this.#giveBack(slot, this.#streamOf(slot), tail);
    }
    for (let stream = peer; stream < this.blockStream; stream += this.#nodes) this.#restart(stream);
    this.blocks?.forget(peer);
    return words;
  }

  #restart(stream: number): void {
    if (this.#S[this.#words.pos + stream] === 0) return;
    this.#log.write(this.#words.pos + stream, 0);
    if (this.#priorityOf(stream) !== 0) this.#ended.push(stream);
  }

  #isIdle(stream: number, tail: number, nowMs: number, idleMs: number): boolean {
    const lane = this.#open[stream];
    if (lane === undefined) return false;
    if (lane.tailAtTidy !== tail || lane.idleSinceMs < 0) {
      lane.tailAtTidy = tail;
      lane.idleSinceMs = nowMs;
    }
    return nowMs - lane.idleSinceMs >= idleMs;
  }

  #giveBack(slot: number, stream: number, tail: number): void {
    this.#units.giveBack((this.#S[this.#field(slot, OUT_BLOCK)] - this.#dataWord) / UNIT_WORDS);
    this.#log.write(this.#field(slot, OUT_FLAGS), 0);
    this.#markDirty(slot, DIRTY_ENTRY);
    this.#changed = true;
    if (this.#open[stream]?.slot !== slot) return;
    this.#log.write(this.#words.pos + stream, tail);
    this.#open[stream] = undefined;
  }

  /** Show in O what was committed since the last time. Call after a commit, never inside a transaction.
   * @param ring told of each receiver that has something new */
  publish(ring: Ring): void {
    const dirty = this.#dirty;
    const count = this.#dirtyCount;
    if (this.#ended.length > 0) this.#showEnded();
    if (count === 0) return;
    for (let k = 0; k < count; k++) {
      const slot = dirty[k];
      if (this.#dirtyKind[slot] === DIRTY_ENTRY) {
        this.#publishEntry(slot);
        continue;
      }
      const entry = this.#entry(slot);
      if (this.samples.isDue(slot)) this.#sample(slot, entry, this.#O[entry + OUT_TAIL]);
      Atomics.store(this.#O, entry + OUT_TAIL, this.#S[this.#field(slot, OUT_TAIL)]);
    }
    for (let k = 0; k < count; k++) {
      const slot = dirty[k];
      this.#dirtyKind[slot] = 0;
      const from = this.#field(slot, 0);
      if (this.#S[from + OUT_FLAGS] === 0) continue;
      const to = this.#S[from + OUT_TO];
      if (to === NOBODY) continue;
      if (priorityOf(to) !== 0) this.#showUrgent(this.#streamOf(slot));
      ring(receiverOf(to), this.#S[from + OUT_SOURCE]);
    }
    this.#dirtyCount = 0;
    this.#changed = false;
  }

  /** Say how far a stream of control goes, once its tails are stored. */
  #showUrgent(stream: number): void {
    const source = this.#sourceOf(stream);
    const receiver = this.#receiverOf(stream);
    if (source === this.#self) {
      Atomics.store(this.#O, this.#inWord + receiver * ENTRY_WORDS + IN_URGENT, this.tailOf(stream));
      return;
    }
    const row = this.#o.farRow?.(source);
    if (row === undefined) return;
    Atomics.store(row.i32, row.word + receiver * row.stride + IN_URGENT, this.tailOf(stream));
  }

  #showEnded(): void {
    for (const stream of this.#ended.splice(0)) this.#showUrgent(stream);
  }

  /** Records from a position on are about to be shown. */
  #sample(slot: number, entry: number, from: number): void {
    if (this.#S[this.#field(slot, OUT_TAIL)] === from) return;
    this.samples.look(slot, entry, from, this.headOf(this.#streamOf(slot)));
  }

  #publishEntry(slot: number): void {
    const O = this.#O;
    const S = this.#S;
    const entry = this.#entry(slot);
    const from = this.#field(slot, 0);
    if (S[from + OUT_FLAGS] === 0) {
      Atomics.store(O, entry + OUT_LANE, 0);
      return;
    }
    if (O[entry + OUT_LANE] === S[from + OUT_LANE]) {
      if (this.samples.isDue(slot)) this.#sample(slot, entry, O[entry + OUT_TAIL]);
      Atomics.store(O, entry + OUT_TAIL, S[from + OUT_TAIL]);
      Atomics.store(O, entry + OUT_BASE, S[from + OUT_BASE]);
      Atomics.store(O, entry + OUT_FLAGS, S[from + OUT_FLAGS]);
      return;
    }
    Atomics.store(O, entry + OUT_LANE, 0);
    this.samples.drop(entry);
    this.#sample(slot, entry, S[from + OUT_BASE]);
    for (let field = OUT_TO; field <= OUT_SOURCE; field++) Atomics.store(O, entry + field, S[from + field]);
    Atomics.store(O, entry + OUT_LANE, S[from + OUT_LANE]);
  }

  /** Show everything again: at boot, whatever the last life had shown. */
  publishAll(ring: Ring): void {
    for (let slot = 0; slot < this.#limits.lanes; slot++) this.#markDirty(slot, DIRTY_ENTRY);
    this.publish(ring);
    for (let peer = 0; peer < this.#nodes; peer++) this.#showUrgent(this.#nodes + peer);
  }

  /** In a link, after `publishAll`: how far control goes that a node elsewhere sent. */
  publishFar(source: number): void {
    for (let peer = 0; peer < this.#nodes; peer++) this.#showUrgent(this.farStream(source, this.#nodes + peer));
  }

  /** Forget what was cached of S: at boot. */
  reload(): void {
    this.blocks?.reload();
    this.#reopen();
  }

  #reopen(): void {
    this.#open.fill(undefined);
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] !== LANE_USED) continue;
      this.#open[this.#streamOf(slot)] = this.#cached(slot);
    }
  }

  /** The open transaction, or a part of it, was undone: S has its old lanes again, and so must the cache. What was
   * changed stays noted until it is published: the rest of the transaction may be undone too. */
  rolledBack(): void {
    if (this.#changed) this.#reopen();
    if (this.blocks === undefined) return;
    this.blocks.rolledBack();
    // What it knew of its head may be behind blocks that are written yet: that of others is never ahead of the tail.
    const open = this.#open[this.blockStream];
    if (open !== undefined) this.#open[this.blockStream] = this.#cached(open.slot);
  }

  #cached(slot: number): OpenLane {
    const S = this.#S;
    const size = S[this.#field(slot, OUT_SIZE)];
    const tail = S[this.#field(slot, OUT_TAIL)];
    const base = S[this.#field(slot, OUT_BASE)];
    const head = this.headOf(this.#streamOf(slot));
    return {
      slot,
      size,
      block: S[this.#field(slot, OUT_BLOCK)],
      mask: size - 1,
      tailWord: this.#field(slot, OUT_TAIL),
      headSeen: head !== undefined && ((head - base) | 0) > 0 ? head : base,
      tailAtTidy: tail,
      // No small integer: with the first time that is put here all code that knows lanes would be compiled anew.
      idleSinceMs: Number.NEGATIVE_INFINITY,
    };
  }

  #markDirty(slot: number, kind: number): void {
    const before = this.#dirtyKind[slot];
    if (before === 0) this.#dirty[this.#dirtyCount++] = slot;
    if (before < kind) this.#dirtyKind[slot] = kind;
  }

  #field(slot: number, field: number): number {
    return this.#words.out + slot * S_OUT_WORDS + field;
  }

  #entry(slot: number): number {
    return this.#outWord + slot * ENTRY_WORDS;
  }

  /** Lanes in use. */
  lanes(): LaneInUse[] {
    const found: LaneInUse[] = [];
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      const from = this.#field(slot, 0);
      if (this.#S[from + OUT_FLAGS] !== 0) found.push(laneAt(this.#S, from, this.#streamOf(slot)));
    }
    return found;
  }
}

/** 1 GiB of records: what flows between two tidies must not come near 2^31 words beyond it. */
const BASE_BEHIND_WORDS = 2 ** 28;
const DIRTY_TAIL = 1;
const DIRTY_ENTRY = 2;

// Rings are whole numbers of record units, so that padding up to a ring's end is always a record of its own.
if (UNIT_WORDS % RECORD_ALIGN_WORDS !== 0) throw new Error('lane units and record alignment disagree');
