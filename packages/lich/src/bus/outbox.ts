// HOT: measured by benchmarks/lane
/** The sending side of a node's lanes: claim room beyond the committed tail, write the record there, log the new tail.
 * A lane is made, sealed and followed by a larger one inside the transaction that needs it, and given back by `tidy` in
 * one of its own. The rules and their proof: docs/decisions/0001-lane-lifecycle.md.
 *
 *          committed tail                    claimed                 after the commit, publish
 *   S  tail ─────┐                     tail ──────────┐          O  tail ──────────┐
 *   O  ░░░░░░░░░░│              O  ░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒│            ░░░░░░░░░░░░░░░░│
 *      head ┘                       (nobody looks there yet)
 */
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import type { BusWords } from './bus-state.ts';
import { S_OUT_WORDS, UNIT_INSIDE } from './bus-state.ts';
import { BusError } from './errors.ts';
import {
  type BusLimits,
  ENTRY_WORDS,
  IN_HEAD,
  IN_MET,
  idOfCreation,
  LANE_SEALED,
  LANE_USED,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  OUT_LANE,
  OUT_PEER,
  OUT_SIZE,
  OUT_TAIL,
  UNIT_BYTES,
  UNIT_WORDS,
} from './lanes-layout.ts';
import { HEADER_WORDS, RECORD_ALIGN_WORDS, recordWords, TYPE_PADDING } from './record-descriptor.ts';

/** No room, and the lane may not grow any more: a value, not an error. */
export const FULL = -1;

/** Where a receiver shows how far it is, once its lanes segment can be mapped. */
export interface InTable {
  readonly i32: Int32Array;
  /** word of the `in` region */
  readonly word: number;
}

/** An open lane, cached from S; dropped when the transaction that made or sealed it is undone. */
interface OpenLane {
  readonly slot: number;
  readonly block: number;
  readonly size: number;
  readonly mask: number;
  /** word of its tail in S */
  readonly tailWord: number;
  /** the receiver's head as last seen, or the lane's base: a lower bound that stays true */
  headSeen: number;
  /** its tail at the last tidy, and since when it has been that; -Infinity before the first */
  tailAtTidy: number;
  idleSinceMs: number;
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
}

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
  readonly #open: (OpenLane | undefined)[];
  /** slots that O does not show as S has them: a list and its length, since emptying an Array costs more than a publish */
  readonly #dirty: Int32Array;
  #dirtyCount = 0;
  readonly #dirtyKind: Uint8Array;
  /** this transaction made, sealed or freed a lane */
  #changed = false;
  /** Claims so far; whoever counts those of a transaction sets it to 0 before. */
  claims = 0;
  /** Told of each claim that found the lane to its receiver full, with its number in `claims`. */
  refused: ((peer: number, claim: number) => void) | undefined;
  /** Asked instead of the receiver's head whether a claim finds room: in a replay. */
  roomOf: ((peer: number, claim: number) => boolean) | undefined;
  #claimedLane: OpenLane | undefined;
  #claimedTail = 0;

  constructor(o: OutboxOptions) {
    this.#self = o.self;
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
    this.#open = new Array<OpenLane | undefined>(o.limits.nodes).fill(undefined);
    this.#dirty = new Int32Array(o.limits.lanes);
    this.#dirtyKind = new Uint8Array(o.limits.lanes);
    this.reload();
  }

  /** Claim a record for `peer` in the open transaction and write its header. The caller writes the payload, then calls
   * `commitClaim`. Nothing is visible before the transaction commits and is published.
   * @param payloadBytes 0..half of maxLaneBytes
   * @returns word of the payload in the lanes segment, or `FULL`
   * @throws BusError `BUS_RECORD_TOO_LARGE`, `BUS_TOO_MANY_LANES`, `BUS_NO_ROOM`
   * @remarks O(1) but for the making of a lane. */
  claim(peer: number, type: number, a: number, b: number, payloadBytes: number): number {
    const need = recordWords(payloadBytes);
    this.claims++;
    const S = this.#S;
    const O = this.#O;
    let lane = this.#open[peer];
    if (lane === undefined || need > lane.size >> 1) lane = this.#next(peer, need);
    while (lane !== undefined) {
      const tail = S[lane.tailWord];
      const index = tail & lane.mask;
      const pad = index + need > lane.size ? lane.size - index : 0;
      const end = (tail + pad + need) | 0;
      if ((((end - lane.headSeen) | 0) > lane.size || this.roomOf !== undefined) && !this.#hasRoom(lane, peer, end)) {
        lane = this.#next(peer, need);
        continue;
      }
      if (pad !== 0) {
        O[lane.block + index] = pad;
        O[lane.block + index + 1] = TYPE_PADDING;
      }
      const at = lane.block + ((tail + pad) & lane.mask);
      O[at] = need;
      O[at + 1] = type;
      O[at + 2] = a;
      O[at + 3] = b;
      this.#claimedLane = lane;
      this.#claimedTail = end;
      return at + HEADER_WORDS;
    }
    return FULL;
  }

  /** The claimed record is whole: it belongs to the transaction from here on. */
  commitClaim(): void {
    const lane = this.#claimedLane!;
    this.#log.write(lane.tailWord, this.#claimedTail);
    this.#markDirty(lane.slot, DIRTY_TAIL);
  }

  #hasRoom(lane: OpenLane, peer: number, end: number): boolean {
    if (this.roomOf !== undefined) return this.roomOf(peer, this.claims);
    if (this.#seeHead(lane, peer, end)) return true;
    this.refused?.(peer, this.claims);
    return false;
  }

  /** Look at the receiver's head again. @returns whether a record that ends at `end` fits now */
  #seeHead(lane: OpenLane, peer: number, end: number): boolean {
    const head = this.#headOf(peer);
    // A head from before this lane began says that all of it is still to be read.
    if (head !== undefined && ((head - lane.headSeen) | 0) > 0) lane.headSeen = head;
    return ((end - lane.headSeen) | 0) <= lane.size;
  }

  /** The receiver's published head in the stream of this node; undefined while it has never started,
   * or has not met this node. */
  #headOf(peer: number): number | undefined {
    const table = this.#inTableOf(peer);
    if (table === undefined) return undefined;
    const entry = table.word + this.#self * ENTRY_WORDS;
    // A head counts only once the receiver has met this creation of the node: until then it is an earlier one's.
    if (Atomics.load(table.i32, entry + IN_MET) !== this.#selfId) return undefined;
    return Atomics.load(table.i32, entry + IN_HEAD);
  }

  /** Seal the open lane to `peer`, if there is one, and make a larger one; `undefined` at the bound. */
  #next(peer: number, need: number): OpenLane | undefined {
    const S = this.#S;
    const log = this.#log;
    const open = this.#open[peer];
    const maxWords = this.#limits.maxLaneBytes / 4;
    if (need > maxWords / 2) {
      throw new BusError(
        'BUS_RECORD_TOO_LARGE',
        `a record of ${need * 4} bytes is larger than half of the largest lane, ${maxWords * 4} bytes: raise limits.maxLaneBytes`,
      );
    }
    let size = Math.max(UNIT_WORDS, open ? open.size * 4 : 0);
    while (size < need * 2) size *= 2;
    if (size > maxWords) size = maxWords;
    if (open && open.size >= size) return undefined;
    const slot = this.#freeSlot();
    const unit = this.#freeUnits(size / UNIT_WORDS);
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
    this.#takeUnits(unit, size / UNIT_WORDS);
    let base = S[this.#words.pos + peer];
    if (open) {
      base = S[open.tailWord];
      log.write(this.#field(open.slot, OUT_FLAGS), LANE_USED | LANE_SEALED);
      this.#markDirty(open.slot, DIRTY_ENTRY);
    }
    // 0 means no lane: the counter skips it when it wraps.
    const laneId = (S[this.#words.lastLane] + 1) | 0 || 1;
    log.write(this.#words.lastLane, laneId);
    log.write(this.#field(slot, OUT_LANE), laneId);
    log.write(this.#field(slot, OUT_PEER), peer);
    log.write(this.#field(slot, OUT_BASE), base);
    log.write(this.#field(slot, OUT_BLOCK), block);
    log.write(this.#field(slot, OUT_SIZE), size);
    log.write(this.#field(slot, OUT_TAIL), base);
    log.write(this.#field(slot, OUT_FLAGS), LANE_USED);
    this.#markDirty(slot, DIRTY_ENTRY);
    return (this.#open[peer] = this.#cached(slot));
  }

  /** @returns -1 when all are in use */
  #freeSlot(): number {
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] === 0) return slot;
    }
    return -1;
  }

  /** First fit of `count` free units, at a multiple of `count` so that what is given back joins again; -1 = none. */
  #freeUnits(count: number): number {
    const units = this.#words.units;
    const total = this.#limits.dataBytes / UNIT_BYTES;
    for (let first = 0; first + count <= total; first += count) {
      let k = 0;
      while (k < count && this.#S[units + first + k] === 0) k++;
      if (k === count) return first;
    }
    return -1;
  }

  #takeUnits(first: number, count: number): void {
    this.#log.write(this.#words.units + first, count);
    for (let k = 1; k < count; k++) this.#log.write(this.#words.units + first + k, UNIT_INSIDE);
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
      const peer = S[this.#field(slot, OUT_PEER)];
      const tail = S[this.#field(slot, OUT_TAIL)];
      if ((flags & LANE_SEALED) === 0 && !this.#isIdle(peer, tail, nowMs, idleMs)) {
        this.#raiseBase(slot, tail);
        continue;
      }
      const head = this.#headOf(peer);
      if (head === undefined ? tail !== S[this.#field(slot, OUT_BASE)] : ((head - tail) | 0) < 0) continue;
      this.#log.begin();
      this.#giveBack(slot, peer, tail);
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

  /** The receiver is another one under its old name, or none: what was not handled is dropped, and the stream begins at 0.
   * In a transaction. @returns words of records and padding that were dropped */
  forget(peer: number): number {
    let words = 0;
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] === 0 || this.#S[this.#field(slot, OUT_PEER)] !== peer) continue;
      const tail = this.#S[this.#field(slot, OUT_TAIL)];
      words += (tail - this.#S[this.#field(slot, OUT_BASE)]) | 0;
      this.#giveBack(slot, peer, tail);
    }
    this.#log.write(this.#words.pos + peer, 0);
    return words;
  }

  #isIdle(peer: number, tail: number, nowMs: number, idleMs: number): boolean {
    const lane = this.#open[peer];
    if (lane === undefined) return false;
    if (lane.tailAtTidy !== tail || lane.idleSinceMs < 0) {
      lane.tailAtTidy = tail;
      lane.idleSinceMs = nowMs;
    }
    return nowMs - lane.idleSinceMs >= idleMs;
  }

  #giveBack(slot: number, peer: number, tail: number): void {
    const first = (this.#S[this.#field(slot, OUT_BLOCK)] - this.#dataWord) / UNIT_WORDS;
    const count = this.#S[this.#words.units + first];
    for (let k = 0; k < count; k++) this.#log.write(this.#words.units + first + k, 0);
    this.#log.write(this.#field(slot, OUT_FLAGS), 0);
    this.#markDirty(slot, DIRTY_ENTRY);
    this.#changed = true;
    if (this.#open[peer]?.slot !== slot) return;
    this.#log.write(this.#words.pos + peer, tail);
    this.#open[peer] = undefined;
  }

  /** Show in O what was committed since the last time. Call after a commit, never inside a transaction.
   * @param ring told the node index of each receiver that has something new */
  publish(ring: (peer: number) => void): void {
    const dirty = this.#dirty;
    const count = this.#dirtyCount;
    if (count === 0) return;
    for (let k = 0; k < count; k++) {
      const slot = dirty[k];
      if (this.#dirtyKind[slot] === DIRTY_ENTRY) this.#publishEntry(slot);
      else Atomics.store(this.#O, this.#entry(slot) + OUT_TAIL, this.#S[this.#field(slot, OUT_TAIL)]);
    }
    for (let k = 0; k < count; k++) {
      const slot = dirty[k];
      this.#dirtyKind[slot] = 0;
      if (this.#S[this.#field(slot, OUT_FLAGS)] !== 0) ring(this.#S[this.#field(slot, OUT_PEER)]);
    }
    this.#dirtyCount = 0;
    this.#changed = false;
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
      Atomics.store(O, entry + OUT_TAIL, S[from + OUT_TAIL]);
      Atomics.store(O, entry + OUT_BASE, S[from + OUT_BASE]);
      Atomics.store(O, entry + OUT_FLAGS, S[from + OUT_FLAGS]);
      return;
    }
    Atomics.store(O, entry + OUT_LANE, 0);
    for (let field = OUT_PEER; field <= OUT_FLAGS; field++) Atomics.store(O, entry + field, S[from + field]);
    Atomics.store(O, entry + OUT_LANE, S[from + OUT_LANE]);
  }

  /** Show everything again: at boot, whatever the last life had shown. */
  publishAll(ring: (peer: number) => void): void {
    for (let slot = 0; slot < this.#limits.lanes; slot++) this.#markDirty(slot, DIRTY_ENTRY);
    this.publish(ring);
  }

  /** Forget what was cached of S: at boot, and after a rollback. */
  reload(): void {
    this.#open.fill(undefined);
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      if (this.#S[this.#field(slot, OUT_FLAGS)] !== LANE_USED) continue;
      this.#open[this.#S[this.#field(slot, OUT_PEER)]] = this.#cached(slot);
    }
  }

  /** The open transaction, or a part of it, was undone: S has its old lanes again, and so must the cache. What was
   * changed stays noted until it is published: the rest of the transaction may be undone too. */
  rolledBack(): void {
    if (this.#changed) this.reload();
  }

  #cached(slot: number): OpenLane {
    const S = this.#S;
    const size = S[this.#field(slot, OUT_SIZE)];
    const tail = S[this.#field(slot, OUT_TAIL)];
    const base = S[this.#field(slot, OUT_BASE)];
    const head = this.#headOf(S[this.#field(slot, OUT_PEER)]);
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

  /** Lanes in use, for inspection. */
  lanes(): { peer: number; laneId: number; sizeBytes: number; base: number; tail: number; sealed: boolean }[] {
    const found = [];
    for (let slot = 0; slot < this.#limits.lanes; slot++) {
      const at = this.#field(slot, 0);
      const flags = this.#S[at + OUT_FLAGS];
      if (flags === 0) continue;
      found.push({
        peer: this.#S[at + OUT_PEER],
        laneId: this.#S[at + OUT_LANE],
        sizeBytes: this.#S[at + OUT_SIZE] * 4,
        base: this.#S[at + OUT_BASE] >>> 0,
        tail: this.#S[at + OUT_TAIL] >>> 0,
        sealed: (flags & LANE_SEALED) !== 0,
      });
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

function refuseLane(lanes: number): never {
  throw new BusError('BUS_TOO_MANY_LANES', `all ${lanes} lanes of this node are in use: raise limits.lanes`);
}

function refuseRoom(wantedBytes: number, dataBytes: number): never {
  throw new BusError(
    'BUS_NO_ROOM',
    `no ${wantedBytes} bytes in a row are free in the ${dataBytes} bytes of lanes: raise limits.lanesBytes`,
  );
}
