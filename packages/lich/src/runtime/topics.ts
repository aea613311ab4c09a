/** Topics, from the publisher's side. Who hears what is part of the publisher's state, entered by SUBSCRIBE messages, so that
 * it outlives both sides.
 *
 *   $subscribers  pool, a record for each topic that a place of a node hears
 *
 *   SUBSCRIBE     all that a node hears of this service, as (topic, place) pairs; none = it hears nothing any more
 *   PUBLICATION   in the transaction that publishes, one record for each of them
 *   MISSED        how many did not fit into the subscriber's lane, before the next one that does
 *
 * Topics and places are 32-bit hashes of their names: neither side knows the numbers of the other's code. A subscriber that
 * was removed, or made anew, is known by its lanes: its records end with the next publication, and it subscribes again.
 * Who hears a topic that this code does not have waits for code that has it.
 *
 * A topic waits for nobody. Where a subscriber's lane is full, what it missed is counted, under the log, and it is told so;
 * the others have it. A topic that `replaces` keeps the newest instead: see latest.ts. */
import { f64, type MessageSpec, pool, type Protocol, struct, u32 } from '@lich/schema';
import { BusError, FULL, type PayloadCodec, payloadCodec, sizeOf, typeOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Pool } from '../state/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import { keyedBy, type Latest } from './latest.ts';
import { hashOfName } from './names.ts';
import { MISSED, PUBLICATION, tagOfProtocol } from './system-messages.ts';

class $Subscriber extends struct({
  node: u32,
  /** Which creation of its lanes subscribed. */
  life: u32,
  topic: u32,
  place: u32,
  /** Publications since the last one that it was sent. */
  missed: f64,
}) {}

/** Pools that this adds to a service, with topics or without: what is heard may be declared by its next version only. */
export function topicFields() {
  return { $subscribers: pool($Subscriber) };
}

/** A subscriber that missed something is told so late, where nothing else is published. */
const AGAIN_MS = 50;
/** Topics times places of one node. */
const SUBSCRIPTIONS_MOST = 4_096;

interface TopicCodec {
  readonly type: number;
  readonly hash: number;
  readonly codec: PayloadCodec;
  readonly keyOf: ((payload: unknown) => string) | undefined;
}

const NO_DOOR = { resolve: () => undefined };

export class Topics {
  readonly #core: Core;
  readonly #latest: Latest;
  readonly #pool: Pool<$Subscriber>;
  /** By message id. */
  readonly #topics: readonly (TopicCodec | undefined)[];
  /** By hash of the topic; dropped when the words that it is made from may have changed. */
  #heardBy: Map<number, $Subscriber[]> | undefined;
  #anyMissed = true;
  #nextMs = 0;
  /** Since the process began, a publication once for each subscriber. */
  readonly counts = { published: 0, missed: 0 };

  constructor(core: Core, protocol: Protocol, latest: Latest) {
    this.#core = core;
    this.#latest = latest;
    this.#pool = core.store.pools.get('$subscribers') as unknown as Pool<$Subscriber>;
    const tag = tagOfProtocol(protocol);
    this.#topics = protocol.messages.map(message => topicOf(tag, message));
    const names = new Map<number, string>();
    for (const { name, role } of protocol.messages) {
      if (role !== 'topic') continue;
      const other = names.get(hashOfName(name));
      if (other !== undefined)
        throw new RuntimeError('RUNTIME_BAD_SERVICE', `topics ${name} and ${other} have one hash: rename one`);
      names.set(hashOfName(name), name);
    }
    core.store.onRollback(() => this.reload());
  }

  /** Forget what was derived from the state. */
  reload(): void {
    this.#heardBy = undefined;
    this.#anyMissed = true;
  }

  /** That hear something of this service. */
  get size(): number {
    return this.#pool.size;
  }

  /** A SUBSCRIBE. In a transaction. @returns false for one whose bytes are none */
  subscribe(node: number, lanes: Segment, word: number, words: number): boolean {
    const U = lanes.u32;
    const count = words < 1 ? -1 : U[word];
    if (count < 0 || count > SUBSCRIPTIONS_MOST || 1 + count * 2 > words) return false;
    const life = this.#core.bus.inbox.metId(node) >>> 0;
    const wanted = new Map<string, readonly [topic: number, place: number]>();
    for (let at = word + 1; at < word + 1 + count * 2; at += 2) wanted.set(`${U[at]} ${U[at + 1]}`, [U[at], U[at + 1]]);
    const over: $Subscriber[] = [];
    this.#pool.forEach(one => {
      if (one.node !== node) return;
      if (wanted.delete(`${one.topic} ${one.place}`)) one.life = life;
      else over.push(one);
    });
    for (const one of over) this.#pool.destroy(one);
    for (const [topic, place] of wanted.values()) this.#pool.create({ node, life, topic, place });
    this.#heardBy = undefined;
    return true;
  }

  /** In a transaction.
   * @returns whether all who hear it have it, or will; false when some missed it
   * @throws BusError `BUS_RECORD_TOO_LARGE`; SchemaError `SCHEMA_RANGE` */
  publish({ id }: MessageSpec, payload: unknown): boolean {
    const topic = this.#topics[id]!;
    const size = sizeOf(topic.codec, payload);
    const before = this.#core.store.log.savepoint();
    try {
      return this.#toAll(topic, size, payload);
    } catch (error) {
      this.#core.store.log.rollbackTo(before);
      throw error;
    }
  }

  /** One record for each. What several receivers get could be one block of memory: this is where it would be made. */
  #toAll({ type, hash, codec, keyOf }: TopicCodec, size: number, payload: unknown): boolean {
    const { inbox, outbox } = this.#core.bus;
    const { lanes } = this.#core;
    let written = FULL;
    let all = true;
    for (const one of this.#of(hash)) {
      const { node, place } = one;
      if (inbox.metId(node) >>> 0 !== one.life) {
        this.#drop(one);
        continue;
      }
      this.counts.published++;
      const head = { type: PUBLICATION, a: type, b: place | 0 };
      if (keyOf !== undefined) {
        if (this.#latest.send(node, head, codec, keyOf, payload)) continue;
        this.#miss(one);
        all = false;
        continue;
      }
      const at = one.missed > 0 && !this.#tell(one, type) ? FULL : this.#claim(node, PUBLICATION, type, place, size);
      if (at === FULL) {
        this.#miss(one);
        all = false;
        continue;
      }
      if (written === FULL) codec.write(lanes, at * 4, payload as Readonly<Record<string, unknown>>);
      else copyWords(lanes.i32, written, at, (size + 3) >> 2);
      written = at;
      outbox.commitClaim();
    }
    return all;
  }

  #of(topic: number): readonly $Subscriber[] {
    if (this.#heardBy === undefined) {
      const heardBy = new Map<number, $Subscriber[]>();
      this.#pool.forEach(one => {
        const those = heardBy.get(one.topic);
        if (those === undefined) heardBy.set(one.topic, [one]);
        else those.push(one);
      });
      this.#heardBy = heardBy;
    }
    return this.#heardBy.get(topic) ?? [];
  }

  #miss(one: $Subscriber): void {
    one.missed++;
    this.#anyMissed = true;
    this.counts.missed++;
  }

  #drop(one: $Subscriber): void {
    this.#pool.destroy(one);
    // The list that is being walked stays as it is.
    this.#heardBy = undefined;
  }

  /** Say how many it missed. @returns false when there is still no room */
  #tell(one: $Subscriber, type: number): boolean {
    const at = this.#claim(one.node, MISSED, type, one.place, 8);
    if (at === FULL) return false;
    const { u32: U } = this.#core.lanes;
    U[at] = one.missed % 2 ** 32;
    U[at + 1] = Math.floor(one.missed / 2 ** 32);
    this.#core.bus.outbox.commitClaim();
    one.missed = 0;
    return true;
  }

  /** No room for a first lane is the same as a full one. */
  #claim(node: number, type: number, a: number, b: number, size: number): number {
    try {
      return this.#core.bus.outbox.claim(node, type, a, b | 0, size);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** @returns ms of service time when `step` has something to do */
  nextMs(): number {
    return this.#anyMissed && this.#pool.size > 0 ? this.#nextMs : Number.POSITIVE_INFINITY;
  }

  /** Tell those who missed something that they did, also where nothing more is published. Outside transactions.
   * @returns how many were told */
  step(nowMs: number): number {
    if (!this.#anyMissed || nowMs < this.#nextMs) return 0;
    this.#nextMs = nowMs + AGAIN_MS;
    const behind: $Subscriber[] = [];
    this.#pool.forEach(one => void (one.missed > 0 && behind.push(one)));
    this.#anyMissed = behind.length > 0;
    if (behind.length === 0) return 0;
    let told = 0;
    this.#core.transact(() => {
      for (const one of behind) {
        if (this.#core.bus.inbox.metId(one.node) >>> 0 !== one.life) this.#drop(one);
        else if (this.#tell(one, this.#typeOf(one.topic))) told++;
      }
    });
    return told;
  }

  #typeOf(hash: number): number {
    return this.#topics.find(topic => topic?.hash === hash)?.type ?? 0;
  }
}

/** Below a hundred bytes a loop is faster than the call. */
const FEW_WORDS = 24;

function copyWords(words: Int32Array, from: number, to: number, count: number): void {
  if (count > FEW_WORDS) words.copyWithin(to, from, from + count);
  else for (let k = 0; k < count; k++) words[to + k] = words[from + k];
}

function topicOf(tag: number, message: MessageSpec): TopicCodec | undefined {
  const { id, name, role, layout } = message;
  if (role !== 'topic') return undefined;
  const codec = payloadCodec(layout, NO_DOOR, name);
  return { type: typeOf(tag, id), hash: hashOfName(name), codec, keyOf: keyedBy(message) };
}
