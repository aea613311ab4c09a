/** Two hosts inside one process, each with nodes and a link, over plain memory: buses as they are, no files, no bells, and
 * between the links a wire that a test may cut, shuffle and repeat.
 *
 * A node numbers what it sends to each other node and priority, in the transaction that sends it, and knows the number that it
 * got last. Every message must be the next one; only where one of the four that carry a stream was made anew may some be
 * missing, of those that were sent before all have noticed. Numbers go on over that. */
import { array, state, u32 } from '@lich/schema';
import { Bus } from '../bus/bus.ts';
import { busFields } from '../bus/bus-state.ts';
import type { Directory, NodeEntry } from '../bus/directory.ts';
import { BusError } from '../bus/errors.ts';
import type { Far } from '../bus/far.ts';
import { HANDLED } from '../bus/inbox.ts';
import {
  type BusLimits,
  CONTROL,
  DATA,
  lanesRegions,
  PRIORITIES,
  type Priority,
  UNIT_BYTES,
} from '../bus/lanes-layout.ts';
import { FULL } from '../bus/outbox.ts';
import { recordWords, typeOf } from '../bus/record-descriptor.ts';
import type { Bells, Segment } from '../shm/index.ts';
import { ShmError } from '../shm/index.ts';
import { openStore, type Store, type StorePlan, storePlan } from '../state/index.ts';
import { memorySegment } from './memory-segment.ts';

const MESSAGE = typeOf(7, 1);
/** What was sent to several: it says nothing of who got it. */
const SHARED = typeOf(7, 2);
const PRIORITY_LIST = [CONTROL, DATA] as const;

/** A run or an acknowledgement on the wire. Nodes go by name: the hosts number them each its own way. */
export type Frame =
  | {
      readonly kind: 'data';
      readonly sender: string;
      readonly receiver: string;
      readonly priority: Priority;
      readonly life: number;
      readonly from: number;
      readonly to: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'ack';
      readonly sender: string;
      readonly receiver: string;
      readonly priority: Priority;
      readonly life: number;
      readonly got: number;
    };

export type FarBytes = Readonly<Record<string, Uint8Array>>;
type Wrap = (segment: string) => <A extends object>(array: A) => A;

/** What both kinds of nodes are laid out by. */
interface Plans {
  readonly limits: BusLimits;
  readonly plan: StorePlan;
  readonly regions: ReturnType<typeof lanesRegions>;
}

function plansOf(nodes: number, link: boolean): Plans {
  const limits: BusLimits = {
    nodes,
    lanes: link ? 24 : 8,
    dataBytes: (link ? 24 : 12) * UNIT_BYTES,
    maxLaneBytes: 4 * UNIT_BYTES,
    ...(link && { link }),
  };
  const shape = state({ sent: array(u32, PRIORITIES * nodes), got: array(u32, PRIORITIES * nodes) });
  return {
    limits,
    plan: storePlan(shape, { logWords: 1 << 12, system: busFields(limits) }),
    regions: lanesRegions(limits),
  };
}

/** All nodes of both hosts, as one host knows them. */
class Host {
  readonly name: string;
  readonly entries: readonly NodeEntry[];
  /** Lanes segments by name. */
  readonly files = new Map<string, Segment>();
  readonly bits = new Map<number, Set<number>>();
  readonly directory: Directory;
  readonly bells: Bells;

  constructor(name: string, entries: readonly NodeEntry[]) {
    this.name = name;
    this.entries = entries;
    const byName = new Map(entries.map(entry => [entry.name, entry]));
    this.directory = {
      all: () => entries,
      byIndex: (index: number) => entries[index],
      byName: (of: string) => byName.get(of)!,
      refresh: () => {},
    } as unknown as Directory;
    this.bells = {
      setReady: (target: number, sender: number) => {
        if (!this.bits.has(target)) this.bits.set(target, new Set());
        this.bits.get(target)!.add(sender);
      },
      takeReady: (self: number, visit: (sender: number) => void) => {
        const senders = [...(this.bits.get(self) ?? [])];
        this.bits.delete(self);
        for (const sender of senders) visit(sender);
        return senders.length;
      },
      ring: () => false,
    } as unknown as Bells;
  }
}

export class FarNode {
  readonly world: FarWorld;
  readonly host: Host;
  readonly self: NodeEntry;
  readonly #plans: Plans;
  readonly #wrap: Wrap | undefined;
  S!: Segment;
  O!: Segment;
  store!: Store<any>;
  bus!: Bus;
  readonly wrong: string[] = [];
  /** Takes no messages. */
  asleep = false;

  constructor(world: FarWorld, host: Host, self: NodeEntry, plans: Plans, bytes?: FarBytes, wrap?: Wrap) {
    this.world = world;
    this.host = host;
    this.self = self;
    this.#plans = plans;
    this.#wrap = wrap;
    this.#make(1, bytes);
  }

  get name(): string {
    return this.self.name;
  }

  get far(): Far {
    return this.bus.far!;
  }

  #make(createdMs: number, bytes?: FarBytes): void {
    const { plan, regions } = this.#plans;
    const of = (kind: 'S' | 'O') => ({
      name: this.name,
      createdMs,
      ...(bytes && { bytes: bytes[kind + this.name] }),
      ...(this.#wrap && { wrap: this.#wrap(kind + this.name) }),
    });
    this.S = memorySegment({ regions: plan.regions, catalog: plan.catalog, ...of('S') });
    const lanes = memorySegment({ regions, ...of('O') });
    (lanes as { isCurrent: () => boolean }).isCurrent = () => this.host.files.get(this.name) === lanes;
    this.O = lanes;
    this.host.files.set(this.name, lanes);
  }

  /** The objects that a process has, over the bytes as they are; then what it does first. */
  boot(): void {
    const { plan, limits } = this.#plans;
    this.store = openStore(this.S, plan) as Store<any>;
    this.bus = new Bus({
      dir: '',
      self: this.self,
      directory: this.host.directory,
      store: this.store,
      lanes: this.O,
      bells: this.host.bells,
      limits,
      suspect: { cur: 1024 + 32, curPos: 1024 + 33 },
      deliver: (sender, type, a, b, lanes, word, words) => this.#deliver(sender, type, a, b, lanes, word, words),
      onCorrupt: error => void this.wrong.push(`${this.name}: ${error.message}`),
      onNewPeer: () => {},
      attach: name => {
        const found = this.host.files.get(name);
        if (found === undefined) throw new ShmError('SHM_NOT_FOUND', name);
        return found;
      },
    });
    this.store.recover();
    this.bus.outbox.reload();
    this.bus.inbox.reload();
    this.bus.resume();
  }

  /** Made anew: another life, which goes on counting. */
  recreate(createdMs: number): void {
    const { sent, got } = this.store.state;
    const counts = this.streams().map(stream => [sent.get(stream) as number, got.get(stream) as number]);
    this.#make(createdMs);
    this.boot();
    this.store.log.begin();
    for (const [stream, [sentTo, gotFrom]] of counts.entries()) {
      this.store.state.sent.set(stream, sentTo!);
      this.store.state.got.set(stream, gotFrom!);
    }
    this.store.log.commit();
  }

  streams(): number[] {
    return Array.from({ length: PRIORITIES * this.#plans.limits.nodes }, (_, stream) => stream);
  }

  /** In the open transaction. @returns false when the lane is full */
  send(to: string, priority: Priority, bytes: number): boolean {
    const { index } = this.host.directory.byName(to);
    const stream = this.bus.streamOf(index, priority);
    const n = this.store.state.sent.get(stream) + 1;
    const at = this.bus.outbox.claim(stream, MESSAGE, n, bytes, bytes);
    if (at === FULL) return false;
    const seed = seedOf(this.name, to, priority, n);
    for (const word of marksOf(bytes)) this.O.i32[at + word] = Math.imul(seed, word + 1);
    this.bus.outbox.commitClaim();
    this.store.state.sent.set(stream, n);
    return true;
  }

  /** One message to several, in the open transaction: the next of each. @returns streams whose lanes were full */
  share(streams: readonly number[], bytes: number): number[] {
    const { sent } = this.store.state;
    const n = sent.get(streams[0]!) + 1;
    if (streams.some(stream => sent.get(stream) !== n - 1)) throw new Error('their numbers differ');
    const seed = seedOf(this.name, '', 0, n);
    const full = this.bus.blocks.toEach(streams, SHARED, n, bytes, bytes, at => {
      for (const word of marksOf(bytes)) this.O.i32[at + word] = Math.imul(seed, word + 1);
    });
    for (const stream of streams) if (!full.includes(stream)) sent.set(stream, n);
    return full;
  }

  #deliver(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    const { stream } = this.bus.inbox;
    const priority = this.bus.priorityOf(stream);
    const from = this.host.entries[sender]!.name;
    const last = this.store.state.got.get(stream) as number;
    const what = `${from} → ${this.name} (${priority}): message ${a} after ${last}`;
    if (type !== MESSAGE && type !== SHARED) this.wrong.push(`${what}: type ${type}`);
    else if (a <= last) this.wrong.push(`${what}: again, or out of order`);
    else if (a > last + 1 && a - 1 > this.world.mayMiss(from, this.name, priority))
      this.wrong.push(`${what}: some are missing`);
    const seed = type === SHARED ? seedOf(from, '', 0, a) : seedOf(from, this.name, priority, a);
    if (words !== recordWords(b) - 4 || marksOf(b).some(k => lanes.i32[word + k] !== Math.imul(seed, k + 1)))
      this.wrong.push(`${what}: not what was sent`);
    this.store.state.got.set(stream, a);
    return HANDLED;
  }

  sentTo(to: string, priority: Priority): number {
    return this.store.state.sent.get(this.bus.streamOf(this.host.directory.byName(to).index, priority));
  }

  gotFrom(from: string, priority: Priority): number {
    return this.store.state.got.get(this.bus.streamOf(this.host.directory.byName(from).index, priority));
  }

  /** A turn of the loop. */
  turn(): number {
    this.bus.publish();
    const done = this.asleep ? 0 : this.bus.poll();
    this.bus.publish();
    return done;
  }

  look(): void {
    this.bus.sweep();
    this.bus.lookForNewPeers();
  }
}

/** Go-back-N, as short as it can be, over what the bus gives a link. */
export class TestLink {
  readonly node: FarNode;
  /** Frames to the other side. */
  readonly out: Frame[] = [];
  /** Sent up to there, by `local.far.priority`. */
  readonly #sent = new Map<string, number>();

  constructor(node: FarNode) {
    this.node = node;
    this.booted();
  }

  booted(): void {
    this.#sent.clear();
    this.node.far.onForget = () => this.#sent.clear();
    this.node.far.outbox.windowBytes = 50_000;
  }

  get #dir(): Directory {
    return this.node.host.directory;
  }

  /** Send what was not sent yet; all that is not acknowledged where `again`. */
  pump(maxBytes: number, again = false): void {
    const { far } = this.node;
    if (again) this.#sent.clear();
    const pairs = new Map<string, [number, number]>();
    const found = (local: number, of: number): void => void pairs.set(`${local}.${of}`, [local, of]);
    far.inbox.takeReady(found);
    far.inbox.sweep(found);
    for (const [local, of] of pairs.values())
      for (const priority of PRIORITY_LIST) this.#send(local, of, priority, maxBytes);
  }

  #send(local: number, of: number, priority: Priority, maxBytes: number): void {
    const { far } = this.node;
    const life = far.lifeOf(local, of);
    if (life === 0) return;
    const key = `${local}.${of}.${priority}`;
    let from = this.#sent.get(key) ?? far.inbox.headOf(local, of, priority);
    const head = far.inbox.headOf(local, of, priority);
    if (((head - from) | 0) > 0) from = head;
    for (let n = 0; n < 3; n++) {
      const run = far.inbox.read(local, of, priority, from, maxBytes);
      if (run === undefined) break;
      const [sender, receiver] = [this.#dir.byIndex(local)!.name, this.#dir.byIndex(of)!.name];
      this.out.push({ kind: 'data', sender, receiver, priority, life, from, to: run.to, bytes: run.bytes.slice() });
      from = run.to;
    }
    this.#sent.set(key, from);
  }

  /** @param killed the process ends before the commit, or after it and before anything else */
  take(frame: Frame, killed?: 'before' | 'after'): void {
    const { far, store, bus } = this.node;
    const [sender, receiver] = [this.#dir.byName(frame.sender).index, this.#dir.byName(frame.receiver).index];
    const { priority, life } = frame;
    const isData = frame.kind === 'data';
    const [local, of] = isData ? [receiver, sender] : [sender, receiver];
    if (far.lifeOf(local, of) !== life) return;
    store.log.begin();
    let got = 0;
    if (isData) got = far.outbox.append(of, local, priority, frame.from, frame.to, frame.bytes);
    else far.inbox.acked(local, of, priority, frame.got);
    if (killed === 'before') return;
    store.log.commit();
    if (killed === 'after') return;
    bus.publish();
    if (isData) this.out.push({ kind: 'ack', sender: frame.sender, receiver: frame.receiver, priority, life, got });
  }

  /** What a new connection says first. */
  hello(to: TestLink): void {
    const { far } = this.node;
    for (const { index, name } of far.locals()) {
      const createdMs = far.creationOf(index);
      const there = to.#dir.byName(name).index;
      if (createdMs > 0) to.node.far.meet(there, far.createdMs, createdMs);
    }
  }
}

export class FarWorld {
  readonly nodes: FarNode[] = [];
  readonly links: [TestLink, TestLink];
  /** By stream: up to which message some may be missing. */
  readonly #mayMiss = new Map<string, number>();
  #clock = 1;
  #nowMs = 1;

  /** @param locals nodes of each host besides its link
   * @param bytes what an earlier world left, by `S` or `O` and the node's name
   * @param order in which nodes boot, by number in `nodes`
   * @param booted what each does before the next one boots */
  constructor(
    locals: number,
    o: { bytes?: FarBytes; wrap?: Wrap; order?: readonly number[]; booted?: (node: FarNode) => void } = {},
  ) {
    const names = (host: string): string[] => Array.from({ length: locals }, (_, k) => `${host}${k + 1}`);
    const place = (host: string, other: string, name: string): object =>
      name.startsWith(other) ? { host: other, via: `${host}-link` } : {};
    const entriesOf = (host: string, other: string, order: readonly string[]): NodeEntry[] =>
      order.map((name, index) => ({ index, name, id: index + 1, ...place(host, other, name) }));
    const a = new Host('a', entriesOf('a', 'b', [...names('a'), 'a-link', ...names('b')]));
    const b = new Host('b', entriesOf('b', 'a', ['b-link', ...names('b').reverse(), ...names('a')]));
    const plain = plansOf(2 * locals + 1, false);
    const link = plansOf(2 * locals + 1, true);
    for (const host of [a, b]) {
      for (const entry of host.entries) {
        if (entry.via !== undefined) continue;
        const plans = entry.name.endsWith('-link') ? link : plain;
        this.nodes.push(new FarNode(this, host, entry, plans, o.bytes, o.wrap));
      }
    }
    for (const k of o.order ?? this.nodes.keys()) {
      this.nodes[k]!.boot();
      o.booted?.(this.nodes[k]!);
    }
    this.links = [new TestLink(this.node('a-link')), new TestLink(this.node('b-link'))];
  }

  node(name: string): FarNode {
    return this.nodes.find(node => node.name === name)!;
  }

  /** Nodes that talk. */
  get talkers(): FarNode[] {
    return this.nodes.filter(node => !node.name.endsWith('-link'));
  }

  linkOf(node: FarNode): TestLink | undefined {
    return this.links.find(link => link.node === node);
  }

  /** Frames that `link` is to take. */
  wireTo(link: TestLink): Frame[] {
    return this.links[link === this.links[0] ? 1 : 0].out;
  }

  /** Give back each lane that is drained. */
  tidy(node: FarNode): number {
    return node.bus.outbox.tidy((this.#nowMs += 10), 0);
  }

  mayMiss(from: string, to: string, priority: Priority): number {
    return this.#mayMiss.get(`${from}.${to}.${priority}`) ?? 0;
  }

  restart(node: FarNode): void {
    node.boot();
    this.linkOf(node)?.booted();
  }

  /** Of what is sent on its ways before all have noticed, some may be missing. */
  recreate(node: FarNode): void {
    this.#missOn(node, Number.POSITIVE_INFINITY);
    node.recreate(++this.#clock);
    this.linkOf(node)?.booted();
  }

  #missOn(node: FarNode, upTo: number | undefined): void {
    for (const from of this.talkers) {
      for (const to of this.talkers) {
        const isFar = from.host !== to.host;
        const isOn = from === node || to === node || (isFar && this.linkOf(node) !== undefined);
        for (const priority of PRIORITY_LIST)
          if (isOn) this.#mayMiss.set(`${from.name}.${to.name}.${priority}`, upTo ?? from.sentTo(to.name, priority));
      }
    }
  }

  /** Both sides say what they know. */
  hello(): void {
    this.links[0].hello(this.links[1]);
    this.links[1].hello(this.links[0]);
  }

  /** All nodes look, until all have noticed what was made anew: from here on nothing may be missing. */
  notice(): void {
    for (let round = 0; round < 4; round++) {
      for (const node of this.nodes) node.look();
      this.hello();
    }
    const missing = [...this.#mayMiss].filter(([, upTo]) => upTo === Number.POSITIVE_INFINITY);
    for (const [key] of missing) {
      const [from, to, priority] = key.split('.') as [string, string, string];
      this.#mayMiss.set(key, this.node(from).sentTo(to, Number(priority) as Priority));
    }
  }

  /** A turn of everybody; what is on the wire arrives. @returns messages handled and runs taken */
  round(again = false): number {
    let done = 0;
    for (const node of this.nodes) done += node.turn();
    for (const link of this.links) link.pump(65_536, again);
    for (const link of this.links) {
      for (const frame of this.wireTo(link).splice(0)) {
        if (frame.kind === 'data') done++;
        link.take(frame);
      }
    }
    return done;
  }

  /** Have everything arrive that can. */
  settle(): void {
    for (const node of this.nodes) node.asleep = false;
    this.notice();
    for (let round = 0, idle = 0; round < 300 && idle < 6; round++) {
      const done = this.round(round % 4 === 3);
      for (const node of this.nodes) {
        node.look();
        this.tidy(node);
      }
      idle = done === 0 ? idle + 1 : 0;
    }
  }

  /** @returns what is not as it must be, once all is settled */
  check(): string[] {
    const wrong = this.nodes.flatMap(node => [
      ...node.wrong,
      ...node.store.check().map(({ where, what }) => `${node.name}: ${where}: ${what}`),
    ]);
    for (const from of this.talkers) {
      for (const to of this.talkers) {
        for (const priority of PRIORITY_LIST) {
          const [sent, got] = [from.sentTo(to.name, priority), to.gotFrom(from.name, priority)];
          if (got > sent || (got < sent && sent > this.mayMiss(from.name, to.name, priority)))
            wrong.push(`${from.name} sent ${sent} to ${to.name} (${priority}), which got ${got}`);
        }
      }
    }
    return wrong;
  }
}

/** What a send that finds no room throws, or not: a value for the test. */
export function trySend(node: FarNode, to: string, priority: Priority, bytes: number): boolean {
  try {
    return node.send(to, priority, bytes);
  } catch (error) {
    if (error instanceof BusError) return false;
    throw error;
  }
}

function seedOf(from: string, to: string, priority: number, n: number): number {
  let seed = n * 2 + priority;
  for (const letter of from + to) seed = Math.imul(seed ^ letter.charCodeAt(0), 0x0100_0193);
  return seed | 1;
}

function marksOf(bytes: number): number[] {
  const words = bytes >> 2;
  if (words <= 4) return Array.from({ length: words }, (_, k) => k);
  return [0, 1, words >> 1, words - 2, words - 1];
}
