/** NATS between hosts, for fleets that have it anyway: each host is a client of the same servers.
 *
 *   lich.<cluster>.to.<host>.<from>.<connection>.<what>   open, ok, frame, close         core NATS
 *   lich.<cluster>.data.<host>.<from>.<connection>        DATA frames                    a stream of JetStream, in memory
 *   bucket lich_<cluster>, key <host>                     said anew each second          KV
 *
 * The host with the lower name opens a connection once it sees the other one in the bucket; frames of a connection that is
 * not known are answered with `close`. That the server has a frame (PubAck) frees nothing: the streams of the link are freed
 * by what the other side has committed. So the server's stream may be in memory, bounded, and lose its oldest.
 *
 * Who may say what is for the server to see to: give each host a user that publishes under its own name alone. */
import { randomUUID } from 'node:crypto';
import type { JetStreamClient } from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';
import type { Msg, NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { BackOff } from './back-off.ts';
import { LinkError } from './errors.ts';
import { DATA, FRAME_BYTES_MAX, HELLO_BYTES_MAX } from './frames.ts';
import { NatsLine } from './nats-line.ts';
import type { Transport, TransportEvents, TransportOptions } from './transport.ts';

export interface NatsOptions extends TransportOptions {
  /** As `connect` of `@nats-io/transport-node` takes them: servers, user, pass, token, tls … */
  readonly nats: NodeConnectionOptions;
}

/** Of who wants them: Lich itself needs none of them. */
const PACKAGES = '@nats-io/transport-node @nats-io/jetstream @nats-io/kv';
/** How often a host says that it is there. */
const BEAT_MS = 1_000;
/** Beats of its own after which a host has not heard another one: it is away. */
const AWAY_BEATS = 5;
/** What the server keeps for hosts that read slowly, and for how long. */
const STREAM_BYTES = 64 * 1_048_576;
const STREAM_MS = 30_000;
/** How long an answer to `open` may take. */
const OPEN_MS = 500;
const LAST_WORDS_MS = 250;

export function natsTransport(o: NatsOptions): Transport {
  return new NatsTransport(o);
}

class NatsTransport implements Transport {
  readonly #o: NatsOptions;
  readonly #lines = new Map<string, NatsLine>();
  readonly #callers = new Map<string, Caller>();
  /** Beats of this host since the other one was heard. */
  readonly #beatsSince = new Map<string, number>();
  #events!: TransportEvents;
  #nc: NatsConnection | undefined;
  #js!: JetStreamClient;
  #kv!: KV;
  readonly #readers: { stop(): void }[] = [];
  readonly #backOff = new BackOff();
  #again: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(o: NatsOptions) {
    this.#o = o;
  }

  get address(): string {
    return this.#nc?.getServer() ?? '';
  }

  async open(events: TransportEvents): Promise<void> {
    this.#events = events;
    try {
      await import('@nats-io/transport-node');
      await import('@nats-io/jetstream');
      await import('@nats-io/kv');
    } catch (cause) {
      throw new LinkError('LINK_BAD_OPTION', `a link over NATS needs npm install ${PACKAGES}`, { cause });
    }
    // A server that is away now is no reason not to start: it may be away later too.
    await this.#connect();
    this.#beat = setInterval(() => void this.#beats(), BEAT_MS);
  }

  async #connect(): Promise<void> {
    const { connect } = await import('@nats-io/transport-node');
    const { nats, host, cluster } = this.#o;
    let nc: NatsConnection | undefined;
    try {
      nc = await connect({ name: `lich ${cluster}/${host}`, maxReconnectAttempts: -1, ...nats });
      await this.#prepare(nc);
      if (this.#closed) return await nc.close();
      this.#nc = nc;
      nc.subscribe(`lich.${cluster}.to.${host}.>`, {
        callback: (error, msg) => void (error === null && this.#take(msg)),
      });
      void this.#watchStatus(nc);
      await this.#read();
      await this.#beats();
    } catch (cause) {
      this.#nc = undefined;
      await nc?.close().catch(() => {});
      this.#failed(cause, 'LINK_LISTEN');
      if (!this.#closed) this.#again = setTimeout(() => void this.#connect(), this.#backOff.failed());
    }
  }

  /** What all hosts share on the servers: the first of them makes it. */
  async #prepare(nc: NatsConnection): Promise<void> {
    const { nanos } = await import('@nats-io/transport-node');
    const { jetstream, jetstreamManager, DiscardPolicy, StorageType } = await import('@nats-io/jetstream');
    const { Kvm } = await import('@nats-io/kv');
    const { cluster } = this.#o;
    const manager = await jetstreamManager(nc);
    const name = streamOf(cluster);
    const config = {
      subjects: [`lich.${cluster}.data.>`],
      storage: StorageType.Memory,
      discard: DiscardPolicy.Old,
      max_bytes: STREAM_BYTES,
      max_age: nanos(STREAM_MS),
    };
    await manager.streams.add({ name, ...config }).catch(() => manager.streams.update(name, config));
    this.#js = jetstream(nc);
    this.#kv = await new Kvm(nc).create(`lich_${cluster}`, { storage: StorageType.Memory, history: 1 });
  }

  /** Hear of records and of hosts, from now on: what was sent before is asked for again by who needs it. */
  async #read(): Promise<void> {
    const { host, cluster } = this.#o;
    const { DeliverPolicy } = await import('@nats-io/jetstream');
    for (const each of this.#readers.splice(0)) each.stop();
    const consumer = await this.#js.consumers.get(streamOf(cluster), {
      filter_subjects: `lich.${cluster}.data.${host}.>`,
      deliver_policy: DeliverPolicy.New,
    });
    const records = await consumer.consume({
      callback: message => {
        const [, , , , from, id] = message.subject.split('.');
        this.#frame(from!, id!, message.data);
      },
    });
    const hosts = await this.#kv.watch();
    this.#readers.push(records, hosts);
    void this.#watchHosts(hosts);
  }

  /** When the server is gone so is every connection over it: whoever is told sends again. */
  async #watchStatus(nc: NatsConnection): Promise<void> {
    for await (const { type } of nc.status()) {
      if (type === 'disconnect') {
        for (const line of this.#lines.values()) this.#end(line, 'LINK_CLOSED', 'the NATS server is gone');
      } else if (type === 'reconnect') {
        // The old ones would find out by themselves, half a minute later; where the server forgot all it was given, never.
        await this.#prepare(nc)
          .then(() => this.#read())
          .catch(error => this.#failed(error));
      }
    }
  }

  // Who is there.

  async #beats(): Promise<void> {
    for (const [host, beats] of this.#beatsSince) this.#beatsSince.set(host, beats + 1);
    if (this.#nc === undefined) return;
    try {
      await this.#kv.put(this.#o.host, String(Date.now()));
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(cause: unknown, code: LinkError['code'] = 'LINK_CLOSED'): void {
    if (this.#closed) return;
    const { host, cluster } = this.#o;
    const what = code === 'LINK_LISTEN' ? `no NATS server takes host ${host} of cluster ${cluster}` : 'NATS';
    this.#events.failed(undefined, new LinkError(code, `${what}: ${String(cause)}`, { cause, severity: 'warn' }));
  }

  async #watchHosts(heard: AsyncIterable<{ readonly key: string }>): Promise<void> {
    for await (const { key } of heard) {
      if (key === this.#o.host || !this.#o.hosts.has(key)) continue;
      this.#beatsSince.set(key, 0);
      if (key < this.#o.host || this.#callers.has(key)) continue;
      const caller = new Caller(() => this.#call(key));
      this.#callers.set(key, caller);
      caller.now();
    }
  }

  // Connections.

  #say(to: string, id: string, what: string, bytes?: Uint8Array): void {
    const { cluster, host } = this.#o;
    if (this.#nc?.isClosed() === false) this.#nc.publish(`lich.${cluster}.to.${to}.${host}.${id}.${what}`, bytes);
  }

  #call(host: string): void {
    const caller = this.#callers.get(host)!;
    if ((this.#beatsSince.get(host) ?? AWAY_BEATS) >= AWAY_BEATS) {
      this.#events.failed(host, new LinkError('LINK_LATE', `${host} has not been heard`, { severity: 'warn' }));
      return caller.later(caller.backOff.failed());
    }
    const id = randomUUID().slice(0, 8);
    caller.opening = id;
    this.#say(host, id, 'open');
    caller.later(OPEN_MS);
  }

  #take(message: Msg): void {
    const [, , , , from, id, what] = message.subject.split('.') as string[];
    if (!this.#o.hosts.has(from!)) return;
    if (what === 'frame') return this.#frame(from!, id!, message.data);
    const line = this.#lines.get(id!);
    if (what === 'close') {
      if (line?.host === from) this.#end(line!, 'LINK_CLOSED', 'the other side closed the connection');
    } else if (what === 'open' && from! < this.#o.host && line === undefined) {
      this.#say(from!, id!, 'ok');
      this.#connected(this.#line(from!, id!, false));
    } else if (what === 'ok' && this.#callers.get(from!)?.opening === id) {
      const caller = this.#callers.get(from!)!;
      caller.opening = undefined;
      caller.stop();
      const made = this.#line(from!, id!, true);
      const sinceMs = performance.now();
      made.onOver = () => {
        const isRefused = made.why?.code === 'LINK_REFUSED';
        caller.later(isRefused ? caller.backOff.failed() : caller.backOff.ended(performance.now() - sinceMs));
      };
      this.#connected(made);
    }
  }

  #line(host: string, id: string, dialled: boolean): NatsLine {
    const { cluster, host: self } = this.#o;
    const data = `lich.${cluster}.data.${host}.${self}.${id}`;
    const line = new NatsLine(host, dialled, {
      send: (frame): Promise<void> | undefined => {
        if (frame[4] !== DATA) {
          this.#say(host, id, 'frame', frame);
          return undefined;
        }
        // Whether the server has it is of no interest, but for how much is on its way to it.
        return this.#js.publish(data, frame).then(
          () => {},
          () => {},
        );
      },
      flush: () => this.#nc!.flush(),
      close: why => {
        this.#say(host, id, 'close');
        this.#end(line, why.code, why.message);
      },
      mostFrameBytes: Math.min(this.#nc!.info!.max_payload, FRAME_BYTES_MAX),
    });
    line.maxFrameBytes = HELLO_BYTES_MAX;
    this.#lines.set(id, line);
    return line;
  }

  #connected(line: NatsLine): void {
    this.#events.connected(line);
  }

  #frame(from: string, id: string, bytes: Uint8Array): void {
    const line = this.#lines.get(id);
    if (line?.host !== from) return this.#say(from, id, 'close');
    line!.take(bytes);
  }

  #end(line: NatsLine, code: LinkError['code'], message: string): void {
    for (const [id, each] of this.#lines) if (each === line) this.#lines.delete(id);
    line.end(new LinkError(code, message, { severity: 'warn' }));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#beat);
    clearTimeout(this.#again);
    for (const caller of this.#callers.values()) caller.stop(true);
    for (const [id, line] of this.#lines) {
      this.#say(line.host, id, 'close');
      this.#end(line, 'LINK_CLOSED', 'this transport was closed');
    }
    for (const each of this.#readers) each.stop();
    const nc = this.#nc;
    if (nc === undefined) return;
    // What was said last is to arrive if the server is there; nothing is waited for.
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>(resolve => (timer = setTimeout(resolve, LAST_WORDS_MS)));
    await Promise.race([nc.flush().catch(() => {}), late]);
    clearTimeout(timer);
    await nc.close().catch(() => {});
  }
}

const streamOf = (cluster: string): string => `lich_${cluster}_data`;

/** When one host is called. */
class Caller {
  readonly backOff = new BackOff();
  /** The connection that was asked for. */
  opening: string | undefined;
  readonly #call: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(call: () => void) {
    this.#call = call;
  }

  now(): void {
    this.later(0);
  }

  later(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = setTimeout(this.#call, ms);
  }

  stop(forGood = false): void {
    clearTimeout(this.#timer);
    this.#stopped = forGood;
  }
}
