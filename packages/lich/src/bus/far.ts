/** A link's end of the bus: it stands for the nodes elsewhere whose entry in the directory names it as their way.
 *
 *   local node ── its lane ──► FarInbox ══ connection ══► FarOutbox of the other link ── lane of that link ──► far node
 *
 * Towards local nodes the link shows, for each node elsewhere, what that node would show itself: its row of the `far`
 * region is that node's in table, and its entry in `lives` says which life it is. Both streams of a pair begin at 0 with each
 * life of the four that carry them: the two nodes and the two links. What the far side says of its two is `meet`, what
 * becomes of the two here the bus finds out itself (`forgetLocal`, `forgetAll`). */
import type { Bells, Segment } from '../shm/index.ts';
import type { Store } from '../state/index.ts';
import { type BusWords, linkWords } from './bus-state.ts';
import type { Directory, NodeEntry } from './directory.ts';
import type { BusError } from './errors.ts';
import { FarInbox } from './far-inbox.ts';
import { FarOutbox } from './far-outbox.ts';
import { FAR_ENTRY_WORDS, farRowBytes } from './lanes-layout.ts';
import type { InTable, Outbox } from './outbox.ts';

export interface FarOptions {
  readonly self: NodeEntry;
  readonly directory: Directory;
  readonly nodes: number;
  readonly store: Store<unknown>;
  readonly words: BusWords;
  readonly lanes: Segment;
  readonly bells: Bells;
  readonly outbox: Outbox;
  readonly lanesOf: (local: number) => Segment | undefined;
  readonly inTableOf: (local: number) => InTable | undefined;
  readonly onCorrupt: (error: BusError, sender: number) => void;
}

export class Far {
  /** What local nodes sent. */
  readonly inbox: FarInbox;
  /** What nodes elsewhere sent. */
  readonly outbox: FarOutbox;
  /** Streams to and from that local node, or that one elsewhere, or all of them, begin anew. After the commit. */
  onForget: ((local: number | undefined, far: number | undefined) => void) | undefined;
  readonly #o: FarOptions;
  readonly #F: Float64Array;
  /** word of the `far` region */
  readonly #rows: number;
  /** of the `lives` region, in f64 */
  readonly #lives: number;
  readonly #row: (InTable | undefined)[] = [];
  readonly #isFar: Uint8Array;
  #known: readonly NodeEntry[] | undefined;
  #nodes: readonly NodeEntry[] = [];
  #locals: readonly NodeEntry[] = [];

  constructor(o: FarOptions) {
    this.#o = o;
    const { store, lanes, words, nodes } = o;
    this.#F = store.segment.f64;
    this.#rows = lanes.regions.get('far')!.offset / 4;
    this.#lives = lanes.regions.get('lives')!.offset / 8;
    this.#isFar = new Uint8Array(nodes);
    const { heads, got } = linkWords(store.layouts.root, store.segment.regions.get('root')!.offset);
    const common = { nodes, lanes, state: store.segment, log: store.log };
    this.outbox = new FarOutbox({ ...common, got, outbox: o.outbox });
    this.inbox = new FarInbox({
      ...common,
      self: o.self.index,
      heads,
      peers: words.peers,
      lanesOf: o.lanesOf,
      inTableOf: o.inTableOf,
      rowOf: far => this.rowOf(far),
      locals: () => this.locals().map(node => node.index),
      fars: () => this.nodes().map(node => node.index),
      isFar: node => {
        this.#look();
        return this.#isFar[node] === 1;
      },
      takeReady: (far, visit) => void o.bells.takeReady(far, visit),
      onCorrupt: o.onCorrupt,
    });
  }

  /** Nodes elsewhere that this link stands for, as of the directory's last refresh. */
  nodes(): readonly NodeEntry[] {
    this.#look();
    return this.#nodes;
  }

  /** Nodes of this host without this link. */
  locals(): readonly NodeEntry[] {
    this.#look();
    return this.#locals;
  }

  #look(): void {
    const all = this.#o.directory.all();
    if (all === this.#known) return;
    this.#known = all;
    const { index: self, name } = this.#o.self;
    this.#nodes = all.filter(node => node.via === name);
    this.#locals = all.filter(node => node.via === undefined && node.index !== self);
    this.#isFar.fill(0);
    for (const { index } of this.#nodes) this.#isFar[index] = 1;
  }

  /** When the lanes segment of this link was made: which life of it this is. */
  get createdMs(): number {
    return this.#o.lanes.createdMs;
  }

  /** When the lanes segment of a local node was made, as this link has met it; 0 = it has never started. */
  creationOf(local: number): number {
    return this.#F[this.#o.words.peers / 2 + local];
  }

  /** Which life of that node, and of the link on its side, this link has met; 0 = none yet. */
  farLifeOf(far: number): number {
    return this.#F[this.#o.words.peers / 2 + far];
  }

  /** The life of the streams between the two, the same number on both sides once both know the same four creations: a whole
   * number below 2^53; 0 = not all is known. */
  lifeOf(local: number, far: number): number {
    const [here, there] = [this.creationOf(local), this.farLifeOf(far)];
    if (here === 0 || there === 0) return 0;
    return (lifeOf(this.createdMs, here) + there) % 2 ** 53 || 1;
  }

  /** What the other side says of a node: when the lanes segments of its link and of itself were made. Where that is another
   * life than the one that was known, its streams begin anew, in both directions: in a transaction of its own, shown at
   * once. What had arrived from it stays.
   * @returns whether it is another */
  meet(far: number, linkCreatedMs: number, createdMs: number): boolean {
    const life = lifeOf(linkCreatedMs, createdMs);
    if (this.farLifeOf(far) === life) return false;
    const { log } = this.#o.store;
    this.#reserve(far);
    log.begin();
    log.writeF64(this.#o.words.peers + far * 2, life);
    for (let local = 0; local < this.#o.nodes; local++) this.#forget(local, far);
    log.commit();
    this.publish();
    this.#showLife(far);
    this.onForget?.(undefined, far);
    return true;
  }

  #forget(local: number, far: number): void {
    this.inbox.forget(local, far);
    this.outbox.forget(far, local);
  }

  /** A local node is another one under its old name, or gone. In a transaction. @internal */
  forgetLocal(local: number): void {
    for (let far = 0; far < this.#o.nodes; far++) if (this.farLifeOf(far) !== 0) this.#forget(local, far);
  }

  /** This link's own lanes are gone, or its state is an older one: no stream goes on. In a transaction. @internal */
  forgetAll(): void {
    for (const { index } of this.nodes()) {
      for (let local = 0; local < this.#o.nodes; local++) this.#forget(local, index);
      this.#o.store.log.writeF64(this.#o.words.peers + index * 2, 0);
    }
  }

  /** The row of a node elsewhere in the `far` region; undefined until it was met. */
  rowOf(far: number): InTable | undefined {
    if (this.farLifeOf(far) === 0) return undefined;
    return (this.#row[far] ??= this.#reserve(far));
  }

  #reserve(far: number): InTable {
    const bytes = farRowBytes(this.#o.nodes);
    this.#o.lanes.reserve(this.#rows * 4 + far * bytes, bytes);
    return { i32: this.#o.lanes.i32, word: this.#rows + far * (bytes / 4), stride: FAR_ENTRY_WORDS };
  }

  #showLife(far: number): void {
    this.#o.lanes.f64[this.#lives + far] = this.farLifeOf(far);
  }

  /** @internal */
  publish(): void {
    this.inbox.publish();
  }

  /** At boot: all rows, then all lives. @internal */
  publishAll(): void {
    this.inbox.reload();
    this.#row.length = 0;
    for (const { index } of this.nodes()) {
      if (this.rowOf(index) !== undefined) {
        this.inbox.publishFar(index);
        this.#o.outbox.publishFar(index);
      }
      this.#showLife(index);
    }
  }
}

/** Two creations in one number: whole, 1 to 2^53 - 1, by splitmix of both. */
export function lifeOf(linkCreatedMs: number, createdMs: number): number {
  const bits = new DataView(new ArrayBuffer(16));
  bits.setFloat64(0, linkCreatedMs);
  bits.setFloat64(8, createdMs);
  let high = 0;
  let low = 0;
  for (let at = 0; at < 16; at += 4) {
    const word = bits.getInt32(at);
    high = mix(high ^ word);
    low = mix((low + word + high) | 0);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0) || 1;
}

function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x21f0_aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a_2d97);
  return x ^ (x >>> 15);
}
