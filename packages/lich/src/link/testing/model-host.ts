/** A host without processes and segments: what its nodes have sent and got, and what its link keeps over its lives, in plain
 * maps with transactions. A link over it may be killed at any call that it makes.
 *
 * Nodes number what they send to each other, from 1 in each life of the pair, so whatever is lost, doubled, out of order or
 * of another life shows when it arrives. */
import type { BusNode, FarBus, FarRun, Found } from '../far-bus.ts';
import { streamKey } from '../far-bus.ts';
import type { Presence } from '../frames.ts';
import { Link, type LinkHost } from '../link.ts';
import { LinkError } from '../errors.ts';

/** The link's process was killed in the middle of a call. */
export class Killed extends Error {}

interface SentRecord {
  /** Where it begins and ends in the stream; what is between two records is padding. */
  readonly from: number;
  readonly to: number;
  readonly words: Int32Array;
}

/** What one local node has sent to one far node with one priority, in this life of the pair. */
interface StreamOut {
  records: SentRecord[];
  /** Position behind the last one. */
  tail: number;
  /** Number of the last one. */
  n: number;
  /** Which life of the stream it is: goes into each record. */
  life: number;
}

const TYPE = 0x0007_0001;
const HEADER_WORDS = 4;

export class ModelHost {
  readonly name: string;
  readonly all: BusNode[] = [];
  epoch = 0;
  createdMs: number;
  link!: Link;
  nowMs = 0;
  /** Calls that the link may still make. */
  callsLeft = Number.POSITIVE_INFINITY;
  killed = false;
  /** Positions at which all streams begin. */
  readonly begin: number;
  /** Bytes that may wait for one receiver. */
  readonly windowBytes: number;
  readonly wrong: string[] = [];
  readonly errors: unknown[] = [];
  readonly presences = new Map<number, Presence>();
  /** Records that arrived. */
  arrived = 0;
  onKick: () => void = () => {};
  readonly #peers: readonly string[];
  readonly #created = new Map<number, number>();
  readonly #met = new Map<number, { readonly link: number; readonly created: number }>();
  readonly #out = new Map<number, StreamOut>();
  readonly #heads = new Map<number, number>();
  readonly #gots = new Map<number, number>();
  readonly #waiting = new Map<number, number>();
  /** Life and number of the last record that arrived, by stream. */
  readonly #last = new Map<number, { life: number; n: number }>();
  #undo: (() => void)[] | undefined;
  #ready = new Set<number>();
  #pairs = new Map<number, { local: number; far: number }>();
  #lives: number;
  #nodes: BusNode[] = [];
  #locals: BusNode[] = [];

  constructor(name: string, peers: readonly string[], o: { createdMs: number; begin?: number; windowBytes?: number }) {
    this.name = name;
    this.#peers = peers;
    this.createdMs = o.createdMs;
    this.begin = o.begin ?? 0;
    this.windowBytes = o.windowBytes ?? 1_048_576;
    this.#lives = o.createdMs;
  }

  /** @param host undefined = this one */
  addNode(name: string, id: number, host?: string): number {
    const index = this.all.length;
    this.all.push({ index, name, id, ...(host === undefined ? {} : { host }) });
    this.#nodes = this.all.filter(node => node.host !== undefined);
    this.#locals = this.all.filter(node => node.host === undefined);
    if (host === undefined) this.#created.set(index, ++this.#lives);
    return index;
  }

  get locals(): readonly BusNode[] {
    return this.#locals;
  }

  get nodes(): readonly BusNode[] {
    return this.#nodes;
  }

  // The link's process.

  start(): void {
    this.killed = false;
    this.callsLeft = Number.POSITIVE_INFINITY;
    this.epoch++;
    this.#far = this.#bus();
    this.link = new Link(this.#far, this.#linkHost());
  }

  /** Run something of the link. @returns false when the link was killed in it */
  run(fn: () => void): boolean {
    if (this.killed) return false;
    try {
      fn();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
    return !this.killed;
  }

  turn(nowMs: number): boolean {
    this.nowMs = nowMs;
    return this.run(() => void this.link.turn(nowMs));
  }

  #call(): void {
    if (this.killed || this.callsLeft-- <= 0) {
      this.killed = true;
      throw new Killed();
    }
  }

  #set<K, V>(map: Map<K, V>, key: K, value: V): void {
    const had = map.has(key);
    const before = map.get(key)!;
    this.#undo?.push(() => void (had ? map.set(key, before) : map.delete(key)));
    map.set(key, value);
  }

  #transact(fn: () => void): void {
    this.#call();
    if (this.#undo !== undefined) throw new Error('a transaction inside of one');
    const undo: (() => void)[] = (this.#undo = []);
    try {
      fn();
      // Killed before the one store that commits.
      this.#call();
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    } finally {
      this.#undo = undefined;
    }
  }

  #linkHost(): LinkHost {
    return {
      host: this.name,
      cluster: 'model',
      epoch: this.epoch,
      peers: this.#peers,
      transact: fn => this.#transact(fn),
      enter: (name, id, host) => {
        this.#call();
        const other = this.all.find(node => node.name === name || node.id === id);
        if (other !== undefined) throw new LinkError('LINK_UNKNOWN', `${name} is ${other.name} here`);
        return this.addNode(name, id, host);
      },
      presenceOf: () => 'in',
      kick: () => this.onKick(),
      nowMs: () => this.nowMs,
      connected: () => {},
      disconnected: () => {},
      failed: () => {},
      met: () => {},
      error: error => {
        if (!(error instanceof Killed)) this.errors.push(error);
      },
      presence: () => {
        for (const { index } of this.#nodes) this.presences.set(index, this.link.presenceOf(index));
      },
    };
  }

  // Lives.

  /** A node here was removed and made again. */
  remake(local: number): void {
    this.#created.set(local, ++this.#lives);
    this.#reset(local, undefined);
    this.run(() => this.#far?.onForget?.(local, undefined));
  }

  /** The link's own segments were removed and made again. Its process has ended. */
  remakeLink(): void {
    this.createdMs = ++this.#lives;
    this.#met.clear();
    for (const { index } of this.#nodes) this.#reset(undefined, index);
  }

  #far: FarBus | undefined;

  /** Streams of these begin anew in both directions. */
  #reset(local: number | undefined, far: number | undefined): void {
    for (const { index: l } of this.#locals) {
      if (local !== undefined && local !== l) continue;
      for (const { index: f } of this.#nodes) {
        if (far !== undefined && far !== f) continue;
        for (const priority of [0, 1]) {
          const key = streamKey(l, f, priority);
          this.#heads.delete(key);
          this.#gots.delete(key);
          this.#out.delete(key);
        }
      }
    }
  }

  #streamOut(local: number, far: number, priority: number): StreamOut {
    const key = streamKey(local, far, priority);
    let stream = this.#out.get(key);
    if (stream === undefined) {
      stream = { records: [], tail: this.begin, n: 0, life: ++this.#lives };
      this.#out.set(key, stream);
    }
    return stream;
  }

  // What nodes do.

  /** A local node sends one record of so many words, behind so many words of padding. */
  send(local: number, far: number, priority: number, words: number, padding: number): void {
    const stream = this.#streamOut(local, far, priority);
    const record = new Int32Array(Math.max(2, Math.ceil(words / 4)) * 4);
    const from = (stream.tail + padding * 4) | 0;
    record.set([record.length, TYPE, stream.life, ++stream.n]);
    for (let k = HEADER_WORDS; k < record.length; k++) record[k] = Math.imul(stream.n, k);
    stream.tail = (from + record.length) | 0;
    stream.records.push({ from, to: stream.tail, words: record });
    this.#pairs.set(local * 8_192 + far, { local, far });
    this.#ready.add(local * 8_192 + far);
  }

  /** Receivers take what waits for them. */
  consume(local: number): void {
    for (const key of this.#waiting.keys()) if (key % 8_192 === local) this.#waiting.set(key, 0);
  }

  /** Number of the last record sent, and of the last one that arrived at the other side in this life. */
  sentTo(local: number, far: number, priority: number): { life: number; n: number } {
    const { life, n } = this.#streamOut(local, far, priority);
    return { life, n };
  }

  lastFrom(far: number, local: number, priority: number): { life: number; n: number } {
    return this.#last.get(streamKey(local, far, priority)) ?? { life: 0, n: 0 };
  }

  headOf(local: number, far: number, priority: number): number {
    return this.#heads.get(streamKey(local, far, priority)) ?? this.begin;
  }

  tailOf(local: number, far: number, priority: number): number {
    return this.#streamOut(local, far, priority).tail;
  }

  #arrive(far: number, local: number, priority: number, record: Int32Array): void {
    const key = streamKey(local, far, priority);
    const last = this.#last.get(key) ?? { life: 0, n: 0 };
    const [length, type, life, n] = record;
    const isNext = life === last.life ? n === last.n + 1 : life! > last.life && n === 1;
    let isWhole = type === TYPE && length === record.length;
    for (let k = HEADER_WORDS; k < record.length; k++) isWhole &&= record[k] === Math.imul(n!, k);
    if (!isNext || !isWhole)
      this.wrong.push(
        `${this.name}: from ${far} to ${local}, priority ${priority}: ${life}.${n} after ${last.life}.${last.n}${isWhole ? '' : ', changed'}`,
      );
    this.#set(this.#last, key, { life: life!, n: n! });
    const arrived = this.arrived++;
    this.#undo?.push(() => (this.arrived = arrived));
  }

  // The link's end of the bus.

  #bus(): FarBus {
    return {
      createdMs: this.createdMs,
      onForget: undefined,
      nodes: () => this.#nodes,
      locals: () => this.#locals,
      creationOf: local => this.#created.get(local)!,
      meet: (far, link, created) => {
        const known = this.#met.get(far);
        if (known?.link === link && known.created === created) return false;
        this.#transact(() => this.#set(this.#met, far, { link, created }));
        // What was sent before anything was known of it is meant for whoever comes first.
        if (known !== undefined) this.#reset(undefined, far);
        this.#far?.onForget?.(undefined, far);
        return true;
      },
      lifeOf: (local, far) => {
        const met = this.#met.get(far);
        if (met === undefined) return 0;
        const mine = [this.name, this.createdMs, this.#created.get(local)];
        const theirs = [this.all[far]!.host, met.link, met.created];
        return hashOf([mine.join(), theirs.join()].sort().join(';'));
      },
      inbox: {
        takeReady: found => {
          const ready = this.#ready;
          this.#ready = new Set();
          this.#tell(ready, found);
        },
        sweep: found => this.#tell(this.#pairs.keys(), found),
        headOf: (local, far, priority) => this.headOf(local, far, priority),
        read: (local, far, priority, from, maxBytes) => {
          this.#call();
          return this.#read(local, far, priority, from, maxBytes);
        },
        acked: (local, far, priority, got) => {
          this.#call();
          const head = this.headOf(local, far, priority);
          const records = this.#out.get(streamKey(local, far, priority))?.records ?? [];
          if (((got - head) | 0) <= 0) return false;
          if (!records.some(record => record.to === got)) {
            this.wrong.push(`${this.name}: acknowledged ${got}, which is the end of no record`);
            return false;
          }
          this.#set(this.#heads, streamKey(local, far, priority), got);
          return true;
        },
      },
      outbox: {
        gotOf: (far, local, priority) => this.#gots.get(streamKey(local, far, priority)) ?? this.begin,
        append: (far, local, priority, from, to, bytes) => {
          this.#call();
          return this.#append(far, local, priority, from, to, bytes);
        },
        roomOf: (far, local, priority) =>
          Math.max(0, this.windowBytes - 4 * (this.#waiting.get(streamKey(local, far, priority)) ?? 0)),
      },
    };
  }

  #tell(keys: Iterable<number>, found: Found): void {
    for (const key of keys) {
      const { local, far } = this.#pairs.get(key)!;
      found(local, far);
    }
  }

  #read(local: number, far: number, priority: number, from: number, maxBytes: number): FarRun | undefined {
    const records = this.#out.get(streamKey(local, far, priority))?.records ?? [];
    const head = this.headOf(local, far, priority);
    if (((from - head) | 0) < 0) this.wrong.push(`${this.name}: read from ${from}, before the cursor ${head}`);
    const first = records.findIndex(record => ((record.from - from) | 0) >= 0);
    if (first < 0) return undefined;
    const before = records[first - 1]?.to ?? this.begin;
    if (before !== from) this.wrong.push(`${this.name}: read from ${from}, where no record begins`);
    let last = first;
    let words = records[first]!.words.length;
    for (;;) {
      const next = records[last + 1];
      if (next === undefined || next.from !== records[last]!.to || (words + next.words.length) * 4 > maxBytes) break;
      words += next.words.length;
      last++;
    }
    const run = new Int32Array(words);
    let at = 0;
    for (const record of records.slice(first, last + 1)) {
      run.set(record.words, at);
      at += record.words.length;
    }
    return { from, to: records[last]!.to, bytes: new Uint8Array(run.buffer) };
  }

  #append(far: number, local: number, priority: number, from: number, to: number, bytes: Uint8Array): number {
    if (this.#undo === undefined) throw new Error('append outside of a transaction');
    const key = streamKey(local, far, priority);
    let got = this.#gots.get(key) ?? this.begin;
    const words = new Int32Array(new Uint8Array(bytes).buffer);
    let at = (to - words.length) | 0;
    if (((from - got) | 0) > 0) return got;
    for (let k = 0; k < words.length; ) {
      const record = words.slice(k, k + words[k]!);
      k += record.length;
      at = (at + record.length) | 0;
      if (((at - got) | 0) <= 0) continue;
      const waiting = this.#waiting.get(key) ?? 0;
      if (waiting > 0 && (waiting + record.length) * 4 > this.windowBytes) break;
      this.#set(this.#waiting, key, waiting + record.length);
      this.#arrive(far, local, priority, record);
      got = at;
    }
    this.#set(this.#gots, key, got);
    return got;
  }
}

/** A whole number in 1 … 2^53 - 1. */
function hashOf(text: string): number {
  let [a, b] = [0x811c_9dc5, 0x1234_5678];
  for (let k = 0; k < text.length; k++) {
    a = Math.imul(a ^ text.charCodeAt(k), 0x0100_0193);
    b = Math.imul(b + text.charCodeAt(k), 0x9e37_79b1) ^ (b >>> 13);
  }
  return (a >>> 0) * 0x10_0000 + (b & 0xf_ffff) + 1;
}
