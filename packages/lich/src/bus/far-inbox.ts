/** What nodes of this host sent to nodes elsewhere, as the link reads it: the lane of the sender is the outbox. Records are
 * given away as they lie there, from any position on, and stay until the far side says that it has committed them; then the
 * cursor moves, in a transaction of the link, and the sender has its room back.
 *
 *   sender's lane   ░░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▓▓▓▓▓▓▓▓
 *                              head            │       tail
 *                              │  sent, not    │ not read yet
 *                    acked() moves it       read(from)
 *
 * SYNC A sender's lane counts only while that sender shows that it has met this link and this life of the far node: from
 * then on its stream is the one that begins at 0 with both. Its lanes of an earlier life are gone before it shows that. */
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import { BusError } from './errors.ts';
import { badRecord, badRing, findLane, type HeldLane, isRecord, shownLanes } from './lane-reader.ts';
import {
  DATA,
  CONTROL,
  IN_CONTROL,
  IN_HEAD,
  IN_MET,
  idOfCreation,
  OUT_LANE,
  OUT_TAIL,
  PRIORITIES,
  type Priority,
  priorityOf,
  receiverOf,
  toWord,
} from './lanes-layout.ts';
import type { InTable } from './outbox.ts';
import { TYPE_PADDING } from './record-descriptor.ts';

/** Whole records of a stream. */
export interface FarRun {
  /** Where it was read from. */
  readonly from: number;
  /** Position behind the last record. */
  readonly to: number;
  /** The records, without padding: they begin at position `to - bytes.length / 4`, which is `from` or behind padding there.
   * A view into the sender's segment: copy it before the event loop turns. */
  readonly bytes: Uint8Array;
  readonly records: number;
}

/** Told of a pair that may have something new. */
export type FoundPair = (local: number, far: number) => void;

export interface FarInboxOptions {
  readonly self: number;
  readonly nodes: number;
  readonly lanes: Segment;
  readonly state: Segment;
  readonly log: UndoLog;
  /** word of `$heads` in the state */
  readonly heads: number;
  /** word of `$peers` */
  readonly peers: number;
  readonly lanesOf: (local: number) => Segment | undefined;
  readonly inTableOf: (local: number) => InTable | undefined;
  /** The row that this link shows for a node elsewhere; undefined until it has met it. */
  readonly rowOf: (far: number) => InTable | undefined;
  readonly locals: () => Iterable<number>;
  readonly isFar: (node: number) => boolean;
  readonly takeReady: (far: number, visit: (local: number) => void) => void;
  readonly fars: () => Iterable<number>;
  readonly onCorrupt: (error: BusError, sender: number) => void;
}

export class FarInbox {
  readonly #o: FarInboxOptions;
  readonly #S: Int32Array;
  readonly #F: Float64Array;
  readonly #selfId: number;
  /** By word of the stream's cursor. */
  readonly #held = new Map<number, HeldLane>();
  readonly #failed = new Set<number>();
  /** Pairs whose entry in `far` is not what the state says, `far * nodes + local`. */
  readonly #dirty = new Set<number>();
  /** A ready bit was set since the rows of far nodes were looked at. */
  #rung = true;
  /** Positions that were acknowledged and cannot be. */
  bad = 0;

  constructor(o: FarInboxOptions) {
    this.#o = o;
    this.#S = o.state.i32;
    this.#F = o.state.f64;
    this.#selfId = idOfCreation(o.lanes.createdMs);
  }

  /** @internal Somebody set a ready bit of this link. */
  rung(): void {
    this.#rung = true;
  }

  /** Visit the pairs that were rung for since the last time: hints, of either priority. */
  takeReady(found: FoundPair): void {
    if (!this.#rung) return;
    this.#rung = false;
    for (const far of this.#o.fars()) this.#o.takeReady(far, local => found(local, far));
  }

  /** Visit the pairs with records behind their cursor, as the senders show it. */
  sweep(found: FoundPair): void {
    for (const local of this.#o.locals()) {
      const segment = this.#o.lanesOf(local);
      if (segment === undefined) continue;
      for (const { to, source, tail } of shownLanes(segment)) {
        const far = receiverOf(to);
        if (source !== local || !this.#o.isFar(far)) continue;
        if (((tail - this.headOf(local, far, priorityOf(to))) | 0) > 0) found(local, far);
      }
    }
  }

  /** The cursor: all before it is committed on the other side. */
  headOf(local: number, far: number, priority: Priority): number {
    return this.#S[this.#word(local, far, priority)];
  }

  #word(local: number, far: number, priority: Priority): number {
    return this.#o.heads + (far * PRIORITIES + priority) * this.#o.nodes + local;
  }

  /** Whole records from a position on, as many as fit, at least one.
   * @param from the cursor, or `to` of an earlier run
   * @returns undefined when there is nothing now */
  read(local: number, far: number, priority: Priority, from: number, maxBytes: number): FarRun | undefined {
    if (!this.#hasMet(local, far)) return undefined;
    const shown = this.#lane(local, far, priority, from);
    if (shown === undefined) return undefined;
    const { lane, tail } = shown;
    const I = lane.i32;
    let first = from;
    let to = from;
    let records = 0;
    while (to !== tail) {
      const at = lane.block + (to & lane.mask);
      const length = I[at];
      if (!isRecord(lane, to, length, tail)) {
        this.#fail(this.#word(local, far, priority), local, badRecord(lane, to, length, tail));
        break;
      }
      if (I[at + 1] === TYPE_PADDING) {
        if (records > 0) break;
        first = to = (to + length) | 0;
        continue;
      }
      if (records > 0 && ((to + length - first) | 0) * 4 > maxBytes) break;
      to = (to + length) | 0;
      records++;
      // The ring begins again: what follows lies elsewhere.
      if ((to & lane.mask) === 0) break;
    }
    if (records === 0) return undefined;
    const begin = (lane.block + (first & lane.mask)) * 4;
    const bytes = lane.segment.u8.subarray(begin, begin + ((to - first) | 0) * 4);
    return { from, to, bytes, records };
  }

  /** The far side has committed all before `got`: move the cursor, in the open transaction.
   * @returns false when that is nothing new, or no position that it can be */
  acked(local: number, far: number, priority: Priority, got: number): boolean {
    const word = this.#word(local, far, priority);
    const head = this.#S[word];
    if (((got - head) | 0) <= 0 || !this.#hasMet(local, far)) return false;
    if (!this.#isBoundary(local, far, priority, got)) {
      this.bad++;
      return false;
    }
    this.#o.log.write(word, got);
    this.#dirty.add(far * this.#o.nodes + local);
    return true;
  }

  /** Does a record end there, between the cursor and what the sender has shown? */
  #isBoundary(local: number, far: number, priority: Priority, got: number): boolean {
    let at = this.headOf(local, far, priority);
    while (at !== got) {
      const shown = this.#lane(local, far, priority, at);
      if (shown === undefined) return false;
      const { lane, tail } = shown;
      while (at !== got && at !== tail) {
        const length = lane.i32[lane.block + (at & lane.mask)];
        if (!isRecord(lane, at, length, tail)) return false;
        at = (at + length) | 0;
        if (((got - at) | 0) < 0) return false;
      }
    }
    return true;
  }

  /** Has that sender met this link, and the life of the far node that the link has met? */
  #hasMet(local: number, far: number): boolean {
    const table = this.#o.inTableOf(local);
    const life = this.#F[this.#o.peers / 2 + far];
    if (table === undefined || life === 0) return false;
    const met = (node: number): number => Atomics.load(table.i32, table.word + node * table.stride + IN_MET);
    return met(this.#o.self) === this.#selfId && met(far) === idOfCreation(life);
  }

  /** The sender's lane with the record at that position, and its tail. */
  #lane(
    local: number,
    far: number,
    priority: Priority,
    position: number,
  ): { lane: HeldLane; tail: number } | undefined {
    const word = this.#word(local, far, priority);
    if (this.#failed.has(word)) return undefined;
    const held = this.#held.get(word);
    if (held !== undefined) {
      // The tail first, then the id, as in an inbox.
      const tail = Atomics.load(held.i32, held.entry + OUT_TAIL);
      const isStill = Atomics.load(held.i32, held.entry + OUT_LANE) === held.laneId;
      if (isStill && this.#isIn(held, position, tail)) return { lane: held, tail };
    }
    const segment = this.#o.lanesOf(local);
    if (segment === undefined) return undefined;
    const lane = findLane(segment, toWord(far, priority), local, position);
    if (lane === undefined) return undefined;
    const wrong = badRing(lane);
    if (wrong !== undefined) {
      this.#fail(word, local, wrong);
      return undefined;
    }
    const tail = Atomics.load(lane.i32, lane.entry + OUT_TAIL);
    if (Atomics.load(lane.i32, lane.entry + OUT_LANE) !== lane.laneId) return undefined;
    this.#held.set(word, lane);
    return { lane, tail };
  }

  /** Is that position in what the lane still holds? Positions before a lane's base are older than a ring. */
  #isIn({ size, base }: HeldLane, position: number, tail: number): boolean {
    const left = (tail - position) | 0;
    return left > 0 && left <= size && ((position - base) | 0) >= 0;
  }

  #fail(word: number, local: number, what: string): void {
    if (this.#failed.has(word)) return;
    this.#failed.add(word);
    this.#o.onCorrupt(new BusError('BUS_CORRUPT_LANE', `${what}; nothing more is taken from this sender`), local);
  }

  /** The streams between these begin at 0. In a transaction. */
  forget(local: number, far: number): void {
    for (const priority of [DATA, CONTROL] as const) {
      const word = this.#word(local, far, priority);
      this.#held.delete(word);
      this.#failed.delete(word);
      if (this.#S[word] !== 0) this.#o.log.write(word, 0);
    }
    this.#dirty.add(far * this.#o.nodes + local);
  }

  /** Forget what was seen of lanes: at boot, or where a sender's segment is another. */
  reload(): void {
    this.#held.clear();
    this.#failed.clear();
    this.#rung = true;
  }

  /** Show the cursors of all commits since the last time. */
  publish(): void {
    if (this.#dirty.size === 0) return;
    for (const pair of this.#dirty) this.#show((pair / this.#o.nodes) | 0, pair % this.#o.nodes);
    this.#dirty.clear();
  }

  /** Show those of a node elsewhere to all. */
  publishFar(far: number): void {
    for (let local = 0; local < this.#o.nodes; local++) this.#show(far, local);
  }

  #show(far: number, local: number): void {
    const row = this.#o.rowOf(far);
    if (row === undefined) return;
    const entry = row.word + local * row.stride;
    Atomics.store(row.i32, entry + IN_HEAD, this.headOf(local, far, DATA));
    Atomics.store(row.i32, entry + IN_CONTROL, this.headOf(local, far, CONTROL));
    const createdMs = this.#F[this.#o.peers / 2 + local];
    Atomics.store(row.i32, entry + IN_MET, createdMs === 0 ? 0 : idOfCreation(createdMs));
  }
}
