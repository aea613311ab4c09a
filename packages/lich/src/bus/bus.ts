/** A node's end of the bus: its outbox, its inbox, the lanes segments of its peers, and the bells.
 *
 *   loop:  poll (take ready bits, drain control, drain data) · publish · … · arm · poll once more · sleep until rung
 *
 * Ready bits and bells are hints: `sweep` looks at every sender, so that a sender killed between its tail and its bell is
 * read all the same.
 *
 * A node elsewhere (`via` in the directory) is a peer like any: what it would show lies in the lanes segment of the link
 * that stands for it, and the bell that is rung for it is the link's. docs/decisions/0014-streams-and-far-nodes.md */
import { attachSegment, type Bells, type Segment, ShmError } from '../shm/index.ts';
import type { Store, UndoLog } from '../state/index.ts';
import { Blocks } from './blocks.ts';
import { busWords } from './bus-state.ts';
import type { Directory, NodeEntry } from './directory.ts';
import type { BusError } from './errors.ts';
import { Far } from './far.ts';
import { type Deliver, Inbox, type SuspectWords } from './inbox.ts';
import { LaneCopies } from './lane-copies.ts';
import {
  type BusLimits,
  CONTROL,
  DATA,
  ENTRY_WORDS,
  FAR_ENTRY_WORDS,
  farRowBytes,
  IN_CONTROL,
  IN_HEAD,
  NOBODY,
  type Priority,
  streamOf,
} from './lanes-layout.ts';
import { type InTable, Outbox, type Ring } from './outbox.ts';

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
  /** Lanes to these nodes, by name, are made at start and never given back, and no others are. Default: on first use. */
  readonly talksTo?: ReadonlySet<string> | undefined;
  readonly onCorrupt: (error: BusError | ShmError, sender: number) => void;
  /** A node is another one under its old name, or gone; `droppedBytes` were on their way to the old one, at most. */
  readonly onNewPeer: (node: NodeEntry, droppedBytes: number) => void;
  /** Map the lanes segment of a node of this host. Default: its file. */
  readonly attach?: (name: string) => Segment;
}

/** One node's end of the bus; used by the thread of its loop alone. */
export class Bus {
  readonly self: NodeEntry;
  readonly directory: Directory;
  readonly outbox: Outbox;
  /** For what several nodes are sent at once. */
  readonly blocks: Blocks;
  readonly inbox: Inbox;
  readonly bells: Bells;
  /** In a link. */
  readonly far: Far | undefined;
  readonly #attach: (name: string) => Segment;
  readonly #nodes: number;
  readonly #copies: LaneCopies;
  readonly #onCorrupt: (error: BusError | ShmError, sender: number) => void;
  readonly #lanes: Segment;
  readonly #F: Float64Array;
  readonly #log: UndoLog;
  readonly #peersWord: number;
  readonly #onNewPeer: (node: NodeEntry, droppedBytes: number) => void;
  readonly #talksTo: ReadonlySet<string> | undefined;
  readonly #peerLanes: (Segment | undefined)[];
  readonly #inTables: (InTable | undefined)[];
  /** By node index: that of the link to a node elsewhere; the node's own for one of this host. */
  readonly #ways: (number | undefined)[];
  readonly #pending: number[] = [];
  readonly #isPending: Uint8Array;
  readonly #markPending: (sender: number) => void;
  readonly #ring: Ring;
  /** a ready bit was set by a node that the directory did not show yet, or (at the start of a life) by nobody */
  #strangers = false;
  /** A life begins with small batches: its first messages run in cold code, and are waited for. */
  #batch = 1;

  constructor(o: BusOptions) {
    this.self = o.self;
    this.directory = o.directory;
    this.bells = o.bells;
    this.#attach = o.attach ?? (name => attachSegment({ dir: o.dir, name, kind: 'lanes', readOnly: true }));
    this.#nodes = o.limits.nodes;
    this.#onCorrupt = o.onCorrupt;
    this.#lanes = o.lanes;
    this.#peerLanes = new Array<Segment | undefined>(o.limits.nodes).fill(undefined);
    this.#inTables = new Array<InTable | undefined>(o.limits.nodes).fill(undefined);
    this.#ways = new Array<number | undefined>(o.limits.nodes).fill(undefined);
    this.#isPending = new Uint8Array(o.limits.nodes);
    const root = o.store.segment.regions.get('root')!;
    const words = busWords(o.store.layouts.root, root.offset);
    this.#F = o.store.segment.f64;
    this.#log = o.store.log;
    this.#peersWord = words.peers;
    this.#onNewPeer = o.onNewPeer;
    this.#talksTo = o.talksTo;
    const inTableOf = (peer: number): InTable | undefined => this.#inTableOf(peer);
    const lanesOf = (sender: number): Segment | undefined => this.#peerLanes[sender];
    const common = { self: o.self.index, state: o.store.segment, log: o.store.log, words, lanes: o.lanes, inTableOf };
    const farRow = (far: number): InTable | undefined => this.far?.rowOf(far);
    this.outbox = new Outbox({ ...common, limits: o.limits, farRow });
    this.blocks = new Blocks({
      nodes: o.limits.nodes,
      lanes: o.lanes,
      outbox: this.outbox,
      isElsewhere: node => this.directory.byIndex(node)?.via !== undefined,
    });
    const { onCorrupt } = o;
    this.inbox = new Inbox({
      ...common,
      suspect: o.suspect,
      nodes: o.limits.nodes,
      lanesOf,
      deliver: o.deliver,
      onCorrupt,
    });
    this.#copies = new LaneCopies({
      self: o.self.index,
      nodes: o.limits.nodes,
      state: o.store.segment,
      lanes: o.lanes,
      heads: words.in,
    });
    const { self, directory, store, lanes, bells, limits } = o;
    const { outbox } = this;
    if (limits.link) {
      const { nodes } = limits;
      this.far = new Far({ self, directory, nodes, store, words, lanes, bells, outbox, lanesOf, inTableOf, onCorrupt });
    }
    if (o.talksTo !== undefined) this.outbox.mayOpen = peer => o.talksTo!.has(this.directory.byIndex(peer)?.name ?? '');
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
    this.#ring = (peer, source) => {
      this.bells.setReady(peer, source);
      const way = this.#ways[peer] ?? this.#wayTo(peer);
      // A link sleeps by its own row.
      if (way !== peer) this.bells.setReady(way, source);
      this.bells.ring(way);
    };
  }

  /** Number of the stream to that node, or from it, for `outbox.claim` and `inbox`. */
  streamOf(peer: number, priority: Priority): number {
    return streamOf(peer, priority, this.#nodes);
  }

  priorityOf(stream: number): Priority {
    return stream < this.#nodes ? DATA : CONTROL;
  }

  /** The node to ring for that one: itself, or the link that stands for it. */
  #wayTo(peer: number): number {
    const node = this.directory.byIndex(peer);
    const way = node?.via === undefined ? node : this.#linkOf(node.via);
    // What is not entered yet is looked for again.
    return way === undefined ? peer : (this.#ways[peer] = way.index);
  }

  #linkOf(via: string): NodeEntry | undefined {
    return this.directory.all().find(node => node.name === via);
  }

  /** Is that a node elsewhere that this very node, a link, stands for? */
  #isOurs(node: NodeEntry): boolean {
    return node.via === this.self.name;
  }

  #inTableOf(peer: number): InTable | undefined {
    const known = this.#inTables[peer];
    if (known !== undefined) return known;
    const lanes = this.#peerLanes[peer];
    if (lanes === undefined) return undefined;
    const node = this.directory.byIndex(peer);
    const { i32 } = lanes;
    if (node?.via === undefined)
      return (this.#inTables[peer] = { i32, word: lanes.regions.get('in')!.offset / 4, stride: ENTRY_WORDS });
    // Its row has no pages before the link has met it.
    if (this.#creationOf(node) === 0) return undefined;
    const word = (lanes.regions.get('far')!.offset + peer * farRowBytes(this.#nodes)) / 4;
    return (this.#inTables[peer] = { i32, word, stride: FAR_ENTRY_WORDS });
  }

  /** Which creation of its lanes, or which life of a node elsewhere, is there now; 0 = none. What is mapped is asked. */
  #creationOf({ index, via }: NodeEntry): number {
    const lanes = this.#peerLanes[index];
    if (lanes === undefined) return 0;
    if (via === undefined) return lanes.createdMs;
    return lanes.f64[lanes.regions.get('lives')!.offset / 8 + index];
  }

  /** Map the lanes segment of a node, or of the link to it, if there is one by now. @returns whether it is mapped */
  #map(node: NodeEntry): boolean {
    const { index, name, via } = node;
    if (this.#peerLanes[index] !== undefined) return true;
    if (index === this.self.index) {
      this.#peerLanes[index] = this.#lanes;
      return true;
    }
    if (via !== undefined) {
      const link = this.#isOurs(node) ? undefined : this.#linkOf(via);
      if (link === undefined || link.via !== undefined || !this.#map(link)) return false;
      const lanes = this.#peerLanes[link.index]!;
      if (!lanes.regions.has('far')) return false;
      this.#peerLanes[index] = lanes;
      return true;
    }
    try {
      this.#peerLanes[index] = this.#attach(name);
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
    const { index, via } = node;
    if (this.#isOurs(node)) return;
    const createdMs = this.#map(node) ? this.#creationOf(node) : 0;
    const met = this.#F[this.#peersWord / 2 + index]!;
    if (met === createdMs) return;
    this.#log.begin();
    this.#log.writeF64(this.#peersWord + index * 2, createdMs);
    let dropped = 0;
    // Another life of a node elsewhere: what came from the one before is in its link's lanes, and stays.
    if (met !== 0 && via !== undefined) dropped = this.outbox.forget(index);
    else if (met !== 0) {
      for (const { index: peer, via: way } of this.#goneWith(node)) {
        dropped += this.outbox.forget(peer);
        this.inbox.forget(peer);
        if (way !== undefined && peer !== index) this.#log.writeF64(this.#peersWord + peer * 2, 0);
      }
    }
    if (index === this.self.index && met !== 0) this.far?.forgetAll();
    else this.far?.forgetLocal(index);
    this.#log.commit();
    this.inbox.touch(index);
    this.publish();
    this.far?.onForget?.(index === this.self.index ? undefined : index, undefined);
    if (met !== 0) this.#onNewPeer(node, dropped * 4);
  }

  /** Whose streams go with that node's: where this node's own lanes are another file than its state knows, all that they
   * held is gone, for everybody; where a link's are, for all that it stands for. */
  #goneWith(node: NodeEntry): readonly NodeEntry[] {
    const all = this.directory.all();
    if (node.index === this.self.index) return all;
    return all.filter(other => other === node || other.via === node.name);
  }

  /** The state was restored from a dump: its streams end where nobody else's do. All of them begin anew, in both
   * directions, and so do those of every peer, which finds other lanes than it has met. Before `resume`. */
  forgetAll(): void {
    this.#log.begin();
    this.far?.forgetAll();
    for (let index = 0; index < this.#nodes; index++) {
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
      if (mapped === undefined || node.via !== undefined || node.index === this.self.index || mapped.isCurrent())
        continue;
      for (const { index } of this.#goneWith(node)) {
        this.#peerLanes[index] = undefined;
        this.#inTables[index] = undefined;
      }
      this.#meet(node);
      mapped.close();
    }
    this.#lookForNewLives();
    this.#openDeclared();
  }

  /** Where lanes are made at start: make those that are missing, as after a peer was made anew. Outside transactions. */
  #openDeclared(): void {
    if (this.#talksTo === undefined) return;
    for (const { index, name } of this.directory.all()) {
      if (!this.#talksTo.has(name) || this.outbox.isOpen(index)) continue;
      this.#log.begin();
      try {
        this.outbox.open(index);
      } catch (error) {
        this.#log.rollback();
        throw error;
      }
      this.#log.commit();
    }
    this.publish();
  }

  /** Nodes elsewhere: their links know. */
  #lookForNewLives(): void {
    for (const node of this.directory.all()) {
      if (node.via === undefined || this.#isOurs(node)) continue;
      if (!this.#map(node)) continue;
      if (this.#creationOf(node) !== this.#F[this.#peersWord / 2 + node.index]) this.#meet(node);
    }
  }

  /** Handle what waits, at most `BATCH` records a stream, control first, and publish.
   * @returns records handled; 0 = nothing waits (or what waits is held back) */
  poll(): number {
    if (this.bells.takeReady(this.self.index, this.#markPending) > 0) this.far?.inbox.rung();
    if (this.#strangers) {
      this.#strangers = false;
      this.sweep();
    }
    const pending = this.#pending;
    const turns = pending.length;
    let done = 0;
    let more = 0;
    for (let k = 0; k < turns; k++) {
      if (!this.inbox.hasControl(pending[k])) continue;
      const n = this.inbox.drain(this.streamOf(pending[k], CONTROL), this.#batch);
      if (n > 0) this.publish();
      if (n === this.#batch) more++;
      done += n;
    }
    for (let k = 0; k < turns; k++) {
      const sender = pending.shift()!;
      this.#isPending[sender] = 0;
      const n = this.inbox.drain(sender, this.#batch);
      if (n === this.#batch || (more > 0 && this.inbox.hasControl(sender))) this.#markPending(sender);
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
      if (this.#isOurs(node)) continue;
      if (this.#peerLanes[node.index] === undefined) this.#meet(node);
      this.#markPending(node.index);
    }
    this.#lookForNewLives();
  }

  /** Show tails and heads of all commits since the last time, and ring the receivers. Not inside a transaction. */
  publish(): void {
    this.outbox.publish(this.#ring);
    this.inbox.publish();
    this.far?.publish();
  }

  /** At boot, after the log was rolled back: show everything again, ring everybody, look at everybody. */
  resume(): void {
    this.directory.refresh();
    for (const node of this.directory.all()) if (node.via === undefined) this.#meet(node);
    // After their links.
    for (const node of this.directory.all()) if (node.via !== undefined) this.#meet(node);
    this.outbox.publishAll(this.#ring);
    this.inbox.publishAll();
    this.far?.publishAll();
    this.#openDeclared();
    this.sweep();
  }

  /** Map what is there already, so that the first message does not pay for it (a standby, before it is needed). */
  warm(): void {
    this.directory.refresh();
    for (const node of this.directory.all()) this.#map(node);
  }

  /** The lanes segments of other nodes that are mapped. @internal */
  peerLanes(): Segment[] {
    const all = new Set(this.#peerLanes);
    all.delete(undefined);
    all.delete(this.#peerLanes[this.self.index]);
    return [...(all as Set<Segment>)];
  }

  /** Bytes of records that senders have shown and the state's cursors have not passed. */
  waitingBytes(): number {
    let words = 0;
    for (const segment of new Set(this.#peerLanes)) if (segment !== undefined) words += this.#copies.waitingIn(segment);
    return words * 4;
  }

  /** Into detached segments: bring the lanes of all senders to this node.
   * @param anew whatever was brought before
   * @returns false when some stayed as they were */
  copyLanes(anew = false): boolean {
    let isWhole = true;
    for (const segment of new Set(this.#peerLanes)) {
      if (segment?.detached) isWhole = this.#copies.bring(segment, anew) && isWhole;
    }
    return isWhole;
  }

  /** On private copies: all receivers have taken all, so that there is room; or so little that room has to be looked for
   * after some records. */
  assumeTaken(isAll: boolean): void {
    for (const { peer, priority, source, tail, sizeBytes } of this.outbox.lanes()) {
      const table = peer === NOBODY ? undefined : this.#inTableOf(peer);
      // One that is new since the copies were made is the live one, and not to be written.
      if (table === undefined || !this.#peerLanes[peer]!.detached) continue;
      const head = isAll ? tail : tail - sizeBytes / 4 + LITTLE_ROOM_WORDS;
      const entry = table.word + source * table.stride;
      Atomics.store(table.i32, entry + (priority === DATA ? IN_HEAD : IN_CONTROL), head | 0);
    }
  }

  /** After it: pass over what senders wrote over before it was copied. Unlogged. */
  skipOverwritten(): void {
    this.#copies.skipOverwritten();
  }

  close(): void {
    for (const segment of this.peerLanes()) segment.close();
  }
}
