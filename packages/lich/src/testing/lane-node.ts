/** Nodes of a bus inside one process: state and lanes over plain memory, no bells and no files. A node counts what it
 * sends in each stream, in the transaction that sends it, and what it gets, so any message that is lost, doubled or out of order
 * shows in its state. Restarting one drops all objects, as a kill would, and recovers from the bytes. */
import { array, list, map, pool, state, struct, u16, u32 } from '@lich/schema';
import { Blocks } from '../bus/blocks.ts';
import { busFields, busWords, S_OUT_WORDS } from '../bus/bus-state.ts';
import type { BusError } from '../bus/errors.ts';
import { HANDLED, HOLD, Inbox } from '../bus/inbox.ts';
import {
  type BusLimits,
  ENTRY_WORDS,
  IN_CONTROL,
  IN_HEAD,
  IN_URGENT,
  lanesRegions,
  OUT_FLAGS,
  OUT_LANE,
  OUT_TAIL,
  UNIT_BYTES,
} from '../bus/lanes-layout.ts';
import { FULL, type InTable, Outbox } from '../bus/outbox.ts';
import { recordWords, typeOf } from '../bus/record-descriptor.ts';
import type { Segment } from '../shm/index.ts';
import { openStore, type Store, storePlan } from '../state/index.ts';
import { memorySegment } from './memory-segment.ts';

const NODES = 3;
/** Numbers of streams to, and from, all nodes: those of data are node indexes. */
export const STREAMS = 2 * NODES;
export const TEST_LIMITS: BusLimits = {
  nodes: NODES,
  lanes: 8,
  dataBytes: 8 * UNIT_BYTES,
  maxLaneBytes: 4 * UNIT_BYTES,
};
export const MESSAGE = typeOf(7, 1);
/** One that several got. */
const SHARED = typeOf(7, 2);

/** For workloads that use more than lanes. */
export class Note extends struct({ n: u32, from: u16, marks: list(u32, 4) }) {}

export const NodeState = state({
  sent: array(u32, STREAMS),
  got: array(u32, STREAMS),
  notes: pool(Note, { capacity: 8 }),
  counts: map(u16, u32, 4),
  // What went to several is numbered by its sender, and counted in each stream.
  shared: u32,
  sharedTo: array(u32, STREAMS),
  sharedFrom: array(u32, STREAMS),
  sharedLast: array(u32, STREAMS),
});

export const nodePlan = storePlan(NodeState, { logWords: 1 << 12, system: busFields(TEST_LIMITS) });
export const lanesPlan = lanesRegions(TEST_LIMITS);

export type Bytes = Readonly<Record<'S' | 'O', Uint8Array>>;
type Wrap = (segment: string) => <A extends object>(array: A) => A;

export class LaneNode {
  readonly index: number;
  readonly S: Segment;
  readonly O: Segment;
  store!: Store<any>;
  outbox!: Outbox;
  blocks!: Blocks;
  inbox!: Inbox;
  /** Others see its lanes segment. */
  started = false;
  readonly corrupt: BusError[] = [];
  /** Messages that were not the next one, or not what was sent. */
  readonly wrong: string[] = [];
  hold: (sender: number, n: number) => boolean = () => false;
  /** What else the transaction of a message does. */
  onMessage: (sender: number, n: number) => void = () => {};
  readonly #cluster: LaneNode[];
  /** Lanes to all are made at start. */
  readonly #atStart: boolean;

  constructor(cluster: LaneNode[], index: number, bytes?: Bytes, wrap?: Wrap, atStart = false) {
    this.#cluster = cluster;
    this.#atStart = atStart;
    this.index = index;
    const of = (kind: 'S' | 'O') => ({
      ...(bytes && { bytes: bytes[kind] }),
      ...(wrap && { wrap: wrap(`${kind}${index}`) }),
    });
    this.S = memorySegment({ regions: nodePlan.regions, catalog: nodePlan.catalog, name: `node-${index}`, ...of('S') });
    this.O = memorySegment({ regions: lanesPlan, name: `node-${index}`, ...of('O') });
    cluster[index] = this;
    this.open();
  }

  /** Make all objects anew over the bytes, as the next process would. Nothing is recovered yet. */
  open(): void {
    this.store = openStore(this.S, nodePlan) as Store<any>;
    const words = this.words();
    const inTableOf = (peer: number): InTable | undefined => {
      const node = this.#cluster[peer];
      if (!node?.started) return undefined;
      return { i32: node.O.i32, word: node.O.regions.get('in')!.offset / 4, stride: ENTRY_WORDS };
    };
    const common = { self: this.index, state: this.S, log: this.store.log, words, lanes: this.O, inTableOf };
    this.outbox = new Outbox({ ...common, limits: TEST_LIMITS });
    const { outbox, O: lanes } = this;
    this.blocks = new Blocks({ nodes: NODES, lanes, outbox, isElsewhere: () => false });
    this.inbox = new Inbox({
      ...common,
      suspect: { cur: 1024 + 32, curPos: 1024 + 33 },
      nodes: TEST_LIMITS.nodes,
      lanesOf: sender => (this.#cluster[sender]?.started ? this.#cluster[sender].O : undefined),
      deliver: (sender, type, a, b, lanes, word, payloadWords) =>
        this.#deliver(sender, type, a, b, lanes, word, payloadWords),
      onCorrupt: error => void this.corrupt.push(error),
    });
    if (this.#atStart) outbox.mayOpen = () => true;
    this.store.onRollback(() => outbox.rolledBack());
  }

  words() {
    return busWords(nodePlan.layouts.root, this.S.regions.get('root')!.offset);
  }

  /** Let the streams to and from all others begin at this position. Before anything is sent. */
  beginAt(position: number): void {
    const words = this.words();
    for (let stream = 0; stream < STREAMS; stream++) {
      this.S.i32[words.pos + stream] = position | 0;
      this.S.i32[words.in + stream] = position | 0;
    }
  }

  start(): void {
    this.started = true;
    this.recover();
    // Memory segments are all made at 1 ms; all nodes have met each other.
    const { peers } = this.words();
    for (let peer = 0; peer < TEST_LIMITS.nodes; peer++) this.S.f64[peers / 2 + peer] = 1;
    this.inbox.publishAll();
  }

  recover(): void {
    this.store.recover();
    this.outbox.reload();
    this.outbox.publishAll(() => {});
    this.inbox.publishAll();
    if (this.#atStart) this.#openAll();
  }

  #openAll(): void {
    for (let peer = 0; peer < TEST_LIMITS.nodes; peer++) {
      if (this.outbox.isOpen(peer)) continue;
      this.store.log.begin();
      this.outbox.open(peer);
      this.store.log.commit();
    }
  }

  restart(): void {
    this.open();
    this.recover();
  }

  publish(): void {
    this.outbox.publish(() => {});
    this.inbox.publish();
  }

  /** Send the next message of a stream, `bytes` long, in the open transaction. @returns false when the lane is full */
  send(stream: number, bytes: number): boolean {
    const { sent } = this.store.state;
    const n = sent.get(stream) + 1;
    const at = this.outbox.claim(stream, MESSAGE, n, bytes, bytes);
    if (at === FULL) return false;
    // The first words, the last and some between: all of a large payload would take the test too long.
    for (const word of marksOf(bytes)) this.O.i32[at + word] = mixed(this.index, stream, n, word);
    this.outbox.commitClaim();
    sent.set(stream, n);
    return true;
  }

  /** The next message to several, in the open transaction: to each whose lane is not full. */
  share(streams: readonly number[], bytes: number): void {
    const { state: all } = this.store;
    const n = (all.shared as number) + 1;
    const full = this.blocks.toEach(streams, SHARED, n, bytes, bytes, at => {
      for (const word of marksOf(bytes)) this.O.i32[at + word] = mixed(this.index, STREAMS, n, word);
    });
    all.shared = n;
    for (const stream of streams) if (!full.includes(stream)) all.sharedTo.set(stream, all.sharedTo.get(stream) + 1);
  }

  #deliverShared(sender: number, n: number, b: number, lanes: Segment, word: number, payloadWords: number): number {
    const { sharedFrom, sharedLast } = this.store.state;
    const { stream } = this.inbox;
    const what = `shared message ${n} from ${sender} to ${this.index} after ${sharedLast.get(stream)}`;
    if (n <= sharedLast.get(stream)) this.wrong.push(`${what}: again, or out of order`);
    const isWhole = marksOf(b).every(k => lanes.i32[word + k] === mixed(sender, STREAMS, n, k));
    if (payloadWords !== recordWords(b) - 4 || !isWhole) this.wrong.push(`${what}: not what was sent`);
    sharedLast.set(stream, n);
    sharedFrom.set(stream, sharedFrom.get(stream) + 1);
    return HANDLED;
  }

  #deliver(
    sender: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    payloadWords: number,
  ): number {
    if (this.hold(sender, a)) return HOLD;
    if (type === SHARED) return this.#deliverShared(sender, a, b, lanes, word, payloadWords);
    const { got } = this.store.state;
    const { stream } = this.inbox;
    const n = got.get(stream) + 1;
    if (type !== MESSAGE || a !== n)
      this.wrong.push(`node ${this.index} got ${type === MESSAGE ? a : `type ${type}`} from ${sender}, not ${n}`);
    else if (payloadWords !== recordWords(b) - 4)
      this.wrong.push(`message ${n} from ${sender}: ${payloadWords} words for ${b} bytes`);
    else {
      const to = stream - sender + this.index;
      const bad = marksOf(b).find(k => lanes.i32[word + k] !== mixed(sender, to, n, k));
      if (bad !== undefined)
        this.wrong.push(`message ${n} from ${sender}: word ${bad} of ${b} bytes is not what was sent`);
    }
    got.set(stream, n);
    this.onMessage(sender, n);
    return HANDLED;
  }

  /** As the bus does: control only where the sender says that there is some. */
  drain(stream: number, limit = 32): number {
    if (stream >= NODES && !this.inbox.hasControl(stream - NODES)) return 0;
    return this.inbox.drain(stream, limit);
  }

  /** Messages sent in that stream. */
  sentTo(stream: number): number {
    return this.store.state.sent.get(stream);
  }

  gotFrom(stream: number): number {
    return this.store.state.got.get(stream);
  }

  /** Between transactions: the invariants of bus-state.ts and of lanes-layout.ts. */
  check(): string[] {
    const wrong = this.store.check().map(({ where, what }) => `${where}: ${what}`);
    const S = this.S.i32;
    const words = this.words();
    const units = new Array<number>(TEST_LIMITS.dataBytes / UNIT_BYTES).fill(0);
    const data = this.O.regions.get('data')!.offset;
    const open = new Map<number, number>();
    for (const lane of this.outbox.lanes()) {
      if (lane.laneId === 0 || lane.laneId > S[words.lastLane]!)
        wrong.push(`lane ${lane.laneId} above ${S[words.lastLane]}`);
      if (!lane.sealed) open.set(lane.stream, (open.get(lane.stream) ?? 0) + 1);
      if (((lane.tail - lane.base) | 0) < 0) wrong.push(`lane ${lane.laneId} ends before it begins`);
    }
    for (const [stream, count] of open) if (count > 1) wrong.push(`${count} open lanes of stream ${stream}`);
    for (let slot = 0; slot < TEST_LIMITS.lanes; slot++) {
      const at = words.out + slot * S_OUT_WORDS;
      if (S[at + OUT_FLAGS] === 0) continue;
      const first = (S[at + 3]! * 4 - data) / UNIT_BYTES;
      const count = (S[at + 4]! * 4) / UNIT_BYTES;
      for (let k = 0; k < count; k++) {
        if (units[first + k] !== 0) wrong.push(`unit ${first + k} is in two lanes`);
        units[first + k] = k === 0 ? count : -1;
      }
    }
    for (let k = 0; k < units.length; k++) {
      if (S[words.units + k] !== units[k])
        wrong.push(`unit ${k} is noted as ${S[words.units + k]}, lanes say ${units[k]}`);
    }
    return wrong;
  }

  /** After a publish: O is a copy of S. */
  checkCopies(): string[] {
    const wrong: string[] = [];
    const words = this.words();
    const S = this.S.i32;
    const O = this.O.i32;
    const out = this.O.regions.get('out')!.offset / 4;
    const heads = this.O.regions.get('in')!.offset / 4;
    for (let slot = 0; slot < TEST_LIMITS.lanes; slot++) {
      const from = words.out + slot * S_OUT_WORDS;
      const to = out + slot * ENTRY_WORDS;
      if (S[from + OUT_FLAGS] === 0) {
        if (O[to + OUT_LANE] !== 0) wrong.push(`slot ${slot} is free, O shows lane ${O[to + OUT_LANE]}`);
      } else {
        for (let field = 0; field < S_OUT_WORDS; field++)
          if (O[to + field] !== S[from + field])
            wrong.push(`slot ${slot} field ${field}: O ${O[to + field]}, S ${S[from + field]}`);
      }
      if (O[to + OUT_LANE] !== 0 && ((O[to + OUT_TAIL]! - S[from + OUT_TAIL]!) | 0) > 0)
        wrong.push(`slot ${slot}: O is ahead`);
    }
    for (let node = 0; node < NODES; node++) {
      const entry = heads + node * ENTRY_WORDS;
      const shown = { head: O[entry + IN_HEAD], control: O[entry + IN_CONTROL], urgent: O[entry + IN_URGENT] };
      const is = {
        head: S[words.in + node],
        control: S[words.in + NODES + node],
        urgent: this.outbox.tailOf(NODES + node),
      };
      if (shown.head !== is.head || shown.control !== is.control || shown.urgent !== is.urgent)
        wrong.push(`entry of ${node}: O ${JSON.stringify(shown)}, S ${JSON.stringify(is)}`);
    }
    return wrong;
  }
}

/** Have everything that was committed shown, handled and given back. @returns what is not as it must be */
export function settle(cluster: readonly LaneNode[]): string[] {
  for (let round = 0; round < 50; round++) {
    let done = 0;
    for (const node of cluster) node.publish();
    for (const node of cluster) {
      for (let stream = STREAMS - 1; stream >= 0; stream--)
        if (cluster[stream % NODES] !== undefined) done += node.drain(stream, 500);
    }
    if (done === 0) break;
  }
  const wrong = cluster.flatMap(node => [
    ...node.wrong,
    ...node.corrupt.map(String),
    ...node.check(),
    ...node.checkCopies(),
  ]);
  for (const from of cluster) {
    for (const to of cluster) {
      for (const of of [0, NODES]) {
        const [sent, got] = [from.sentTo(of + to.index), to.gotFrom(of + from.index)];
        if (sent !== got) wrong.push(`${from.index} sent ${sent} to ${to.index} (${of}), which got ${got}`);
        const [shared, taken] = [
          from.store.state.sharedTo.get(of + to.index),
          to.store.state.sharedFrom.get(of + from.index),
        ];
        if (shared !== taken) wrong.push(`${from.index} shared ${shared} with ${to.index} (${of}), which got ${taken}`);
      }
    }
  }
  return wrong;
}

function marksOf(bytes: number): number[] {
  const words = bytes >> 2;
  if (words <= 4) return Array.from({ length: words }, (_, k) => k);
  return [0, 1, words >> 1, words - 2, words - 1];
}

/** @param to stream, as its sender numbers it */
function mixed(from: number, to: number, n: number, word: number): number {
  return Math.imul(from * 31 + to * 7 + n * 131 + word * 17 + 1, 0x9e37_79b1) | 0;
}
