/** A node's end of the bus: its outbox, its inbox, the lanes segments of its peers, and the bells.
 *
 *   loop:  poll (take ready bits, drain senders) · publish · … · arm · poll once more · sleep until rung
 *
 * Ready bits and bells are hints: `sweep` looks at every sender, so that a sender killed between its tail and its bell is
 * read all the same. */
import { attachSegment, type Bells, type Segment, ShmError } from '../shm/index.ts';
import type { Store, UndoLog } from '../state/index.ts';
import { busWords } from './bus-state.ts';
import type { Directory, NodeEntry } from './directory.ts';
import type { BusError } from './errors.ts';
import { type Deliver, Inbox, type SuspectWords } from './inbox.ts';
import { type BusLimits, ENTRY_WORDS, IN_HEAD } from './lanes-layout.ts';
import { type InTable, Outbox } from './outbox.ts';

/** Records that one sender may have handled before the others get their turn, and before all is published. */
export const BATCH = 32;

/** Room for some records. */
const LITTLE_ROOM_WORDS = 256;

/** What a bus stands on. */
export interface BusOptions {
  readonly dir: string;
  readonly self: NodeEntry;
  readonly directory: Directory;
  readonly store: Store<unknown>;
  readonly lanes: Segment;
  readonly bells: Bells;
  readonly limits: BusLimits;
  readonly suspect: SuspectWords;
  readonly deliver: Deliver;
  readonly onCorrupt: (error: BusError | ShmError, sender: number) => void;
  /** A node is another one under its old name, or gone; `droppedBytes` were on their way to the old one, at most. */
  readonly onNewPeer: (node: NodeEntry, droppedBytes: number) => void;
}

/** One node's end of the bus; used by the thread of its loop alone. */
export class Bus {
  readonly self: NodeEntry;
  readonly directory: Directory;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly bells: Bells;
  readonly #dir: string;
  readonly #onCorrupt: (error: BusError | ShmError, sender: number) => void;
  readonly #lanes: Segment;
  readonly #F: Float64Array;
  readonly #log: UndoLog;
  readonly #peersWord: number;
  readonly #onNewPeer: (node: NodeEntry, droppedBytes: number) => void;
  readonly #peerLanes: (Segment | undefined)[];
  readonly #inTables: (InTable | undefined)[];
  readonly #pending: number[] = [];
  readonly #isPending: Uint8Array;
  readonly #markPending: (sender: number) => void;
  readonly #ring: (peer: number) => void;
  /** a ready bit was set by a node that the directory did not show yet, or (at the start of a life) by nobody */
  #strangers = false;
  /** A life begins with small batches: its first messages run in cold code, and are waited for. */
  #batch = 1;

  constructor(o: BusOptions) {
    this.self = o.self;
    this.directory = o.directory;
    this.bells = o.bells;
    this.#dir = o.dir;
    this.#onCorrupt = o.onCorrupt;
    this.#lanes = o.lanes;
    this.#peerLanes = new Array<Segment | undefined>(o.limits.nodes).fill(undefined);
    this.#inTables = new Array<InTable | undefined>(o.limits.nodes).fill(undefined);
    this.#isPending = new Uint8Array(o.limits.nodes);
    const root = o.store.segment.regions.get('root')!;
    const words = busWords(o.store.layouts.root, root.offset);
    this.#F = o.store.segment.f64;
    this.#log = o.store.log;
    this.#peersWord = words.peers;
    this.#onNewPeer = o.onNewPeer;
    const common = { self: o.self.index, state: o.store.segment, log: o.store.log, words, lanes: o.lanes };
    this.outbox = new Outbox({ ...common, limits: o.limits, inTableOf: peer => this.#inTableOf(peer) });
    this.inbox = new Inbox({
      ...common,
      suspect: o.suspect,
      nodes: o.limits.nodes,
      lanesOf: sender => this.#lanesOf(sender),
      deliver: o.deliver,
      onCorrupt: o.onCorrupt,
    });
    o.store.onRollback(() => this.outbox.rolledBack());
    this.#markPending = sender => {
      if (this.#isPending[sender] === 1) return;
      if (this.directory.byIndex(sender) === undefined) {
        this.#strangers = true;
        return;
      }
      this.#isPending[sender] = 1;
      this.#pending.push(sender);
    };
    this.#ring = peer => {
      this.bells.setReady(peer, this.self.index);
      this.bells.ring(peer);
    };
  }

  /** The peer's lanes segment, where `meet` has mapped it; `undefined` while the node has never started. */
  #lanesOf(index: number): Segment | undefined {
    return this.#peerLanes[index];
  }

  #inTableOf(peer: number): InTable | undefined {
    const known = this.#inTables[peer];
    if (known !== undefined) return known;
    const lanes = this.#peerLanes[peer];
    if (lanes === undefined) return undefined;
    return (this.#inTables[peer] = { i32: lanes.i32, word: lanes.regions.get('in')!.offset / 4 });
  }

  /** Map the lanes segment of a node, if it has one by now. @returns whether it is mapped */
  #map(node: NodeEntry): boolean {
    const { index, name } = node;
    if (this.#peerLanes[index] !== undefined) return true;
    if (index === this.self.index) {
      this.#peerLanes[index] = this.#lanes;
      return true;
    }
    try {
      this.#peerLanes[index] = attachSegment({ dir: this.#dir, name, kind: 'lanes', readOnly: true });
      return true;
    } catch (error) {
      if (!(error instanceof ShmError)) throw error;
      // Not there yet, or not one of ours to read: that sender has nothing for us, and the others go on.
      if (error.code !== 'SHM_NOT_FOUND') this.#onCorrupt(error, index);
      return false;
    }
  }

  /** Map a node's lanes and see whether it is the one that this node knew by that name. If it is another (it was removed
   * and made again), or gone, the streams of the pair begin anew: what one of them had not handled is known to nobody
   * any more. Outside transactions. */
  #meet(node: NodeEntry): void {
    const { index } = node;
    const createdMs = this.#map(node) ? this.#peerLanes[index]!.createdMs : 0;
    const met = this.#F[this.#peersWord / 2 + index]!;
    if (met === createdMs) return;
    this.#log.begin();
    this.#log.writeF64(this.#peersWord + index * 2, createdMs);
    let dropped = 0;
    // Where this node's own lanes are another file than its state knows, all that they held is gone, for everybody.
    const gone = index === this.self.index ? this.directory.all() : [node];
    if (met !== 0) {
      for (const { index: peer } of gone) {
        dropped += this.outbox.forget(peer);
        this.inbox.forget(peer);
      }
    }
    this.#log.commit();
    this.inbox.touch(index);
    this.publish();
    if (met !== 0) this.#onNewPeer(node, dropped * 4);
  }

  /** The state was restored from a dump: its streams end where nobody else's do. All of them begin anew, in both
   * directions, and so do those of every peer, which finds other lanes than it has met. Before `resume`. */
  forgetAll(): void {
    this.#log.begin();
    for (let index = 0; index < this.#peerLanes.length; index++) {
      this.outbox.forget(index);
      this.inbox.forget(index);
      this.#log.writeF64(this.#peersWord + index * 2, 0);
    }
    this.#log.commit();
  }

  /** Let go of lanes segments whose files were removed or replaced since. Costs a stat a node. Outside transactions. */
  lookForNewPeers(): void {
    for (const node of this.directory.all()) {
      const mapped = this.#peerLanes[node.index];
      if (mapped === undefined || node.index === this.self.index || mapped.isCurrent()) continue;
      this.#peerLanes[node.index] = undefined;
      this.#inTables[node.index] = undefined;
      this.#meet(node);
      mapped.close();
    }
  }

  /** Handle what waits, at most `BATCH` records a sender, and publish.
   * @returns records handled; 0 = nothing waits (or what waits is held back) */
  poll(): number {
    this.bells.takeReady(this.self.index, this.#markPending);
    if (this.#strangers) {
      this.#strangers = false;
      this.sweep();
    }
    const pending = this.#pending;
    let done = 0;
    for (let turns = pending.length; turns > 0; turns--) {
      const sender = pending.shift()!;
      this.#isPending[sender] = 0;
      const n = this.inbox.drain(sender, this.#batch);
      if (n === this.#batch) this.#markPending(sender);
      if (n > 0) this.publish();
      done += n;
    }
    if (this.#batch < BATCH) this.#batch *= 2;
    return done;
  }

  /** Senders with records that this node has not taken yet. */
  get waiting(): boolean {
    return this.#pending.length > 0;
  }

  /** Look at all senders at the next poll, at those too that are new since. */
  sweep(): void {
    this.directory.refresh();
    for (const node of this.directory.all()) {
      if (this.#peerLanes[node.index] === undefined) this.#meet(node);
      this.#markPending(node.index);
    }
  }

  /** Show tails and heads of all commits since the last time, and ring the receivers. Not inside a transaction. */
  publish(): void {
    this.outbox.publish(this.#ring);
    this.inbox.publish();
  }

  /** At boot, after the log was rolled back: show everything again, ring everybody, look at everybody. */
  resume(): void {
    this.directory.refresh();
    for (const node of this.directory.all()) this.#meet(node);
    this.outbox.publishAll(this.#ring);
    this.inbox.publishAll();
    this.sweep();
  }

  /** Map what is there already, so that the first message does not pay for it (a standby, before it is needed). */
  warm(): void {
    this.directory.refresh();
    for (const node of this.directory.all()) this.#map(node);
  }

  /** The lanes segments of other nodes that are mapped. @internal */
  peerLanes(): Segment[] {
    return this.#peerLanes.filter((segment, index): segment is Segment => {
      return segment !== undefined && index !== this.self.index;
    });
  }

  /** Bytes of records that senders have shown and the state's cursors have not passed. */
  waitingBytes(): number {
    let words = 0;
    for (const [sender, segment] of this.#peerLanes.entries()) {
      if (segment !== undefined) words += this.inbox.waitingIn(segment, sender);
    }
    return words * 4;
  }

  /** Into detached segments: bring the lanes of all senders to this node.
   * @param anew whatever was brought before
   * @returns false when some stayed as they were */
  copyLanes(anew = false): boolean {
    let isWhole = true;
    for (const [sender, segment] of this.#peerLanes.entries()) {
      if (segment?.detached) isWhole = this.inbox.copyLanes(segment, sender, anew) && isWhole;
    }
    return isWhole;
  }

  /** On private copies: all receivers have taken all, so that there is room; or so little that room has to be looked for
   * after some records. */
  assumeTaken(isAll: boolean): void {
    for (const { peer, tail, sizeBytes } of this.outbox.lanes()) {
      const table = this.#inTableOf(peer);
      // One that is new since the copies were made is the live one, and not to be written.
      if (table === undefined || !this.#peerLanes[peer]!.detached) continue;
      const head = isAll ? tail : tail - sizeBytes / 4 + LITTLE_ROOM_WORDS;
      Atomics.store(table.i32, table.word + this.self.index * ENTRY_WORDS + IN_HEAD, head | 0);
    }
  }

  /** After it: pass over what senders wrote over before it was copied. Unlogged. */
  skipOverwritten(): void {
    for (const sender of this.#peerLanes.keys()) this.inbox.skipOverwritten(sender);
  }

  close(): void {
    for (const [index, segment] of this.#peerLanes.entries()) {
      if (segment !== undefined && index !== this.self.index) segment.close();
    }
  }
}
