import {
  OutKind,
  payloadCodecOf,
  readEpoch,
  readEvent,
  readGatewayFrame,
  readReply,
  Reader,
  replyCodecOf,
  SchemaError,
  syncPlanOf,
  writeAck,
  writeBye,
  writeHello,
  writeMessage,
  Writer,
  type ClientPayloadOf,
  type ClientReplyOf,
  type Codec,
  type MessageSpec,
  type NamesOf,
  type OutFrame,
  type Protocol,
  type Ref,
  type Role,
  type SendOf,
  type StateSchema,
  type StructLayout,
  type SyncPlan,
  type WelcomeFrame,
} from '@lich/schema';
import { Connection, type ConnectionOptions, type Status } from './connection.ts';
import { ClientError } from './errors.ts';
import { callUser } from './report.ts';
import { Session, type Ask } from './session.ts';
import { hexOf, tokenOf } from './token.ts';
import type { Me, PayloadArgs, View } from './types.ts';
import { ViewMirror } from './view.ts';

/** Frames that follow each other within so many ms were sent together. */
const BURST_MS = 5;

/** The service lives again: it was killed, deployed or restarted, and went on from its last commit. */
export interface Takeover {
  /** The number of the new life. */
  readonly epoch: number;
  /** Why there is a new life: `crash`, `deploy`, `restart`, …; `unknown` when that was in output that is lost. */
  readonly reason: string;
  /** ms of the silence before the new life was heard. What the old life had committed and not yet sent is sent by the
   * new one, right before it says that it is here: such a burst does not end the silence unseen. Where frames come at a
   * steady rate, the ordinary time between two of them is part of it; the time without a connection is not. */
  readonly gapMs: number;
}

/** A player's session. It lives over broken connections and over kills of the service and of the gateway: what is sent
 * is numbered and resent until acknowledged, and the server does it exactly once. */
export interface Game<P, S> {
  readonly status: Status;
  /** Names the session, 32 hex digits: whoever has it can go on as this player. Pass it to `connect` after a reload. */
  readonly token: string;
  /** The player's own record, while it is in view. */
  readonly me: Me<S> | undefined;
  /** The number of the service's life. */
  readonly epoch: number;
  /** The number of the service's last tick that was seen. */
  readonly tick: number;
  /** Ticks a second of the service; 0 for one that does not tick. */
  readonly tickHz: number;
  /** Messages that were sent and not acknowledged. */
  readonly pending: number;
  /** What is in view, by pool. */
  readonly view: View<S>;

  /** Send a command: it is done once, whatever breaks on the way, unless the session ends first.
   * @returns its number
   * @throws ClientError `CLIENT_FULL` at `maxPending`, or what ended the game; SchemaError `SCHEMA_RANGE` */
  send<N extends NamesOf<P, 'command', 'players' | 'both'>>(name: N, ...payload: PayloadArgs<SendOf<P, N>>): number;

  /** Send a request and wait for its reply. Rejects with a ClientError: `CLIENT_REFUSED` when the service answered with
   * an error, `CLIENT_OUTPUT_LOST` when it was handled and the reply is gone, `CLIENT_FULL`, or what ended the game (the
   * outcome is unknown then); with SchemaError `SCHEMA_RANGE` when the payload does not fit. Waits as long as it takes. */
  ask<N extends NamesOf<P, 'request', 'players' | 'both'>>(
    name: N,
    ...payload: PayloadArgs<SendOf<P, N>>
  ): Promise<ClientReplyOf<P, N>>;

  /** Call `fn` for each event of this name.
   * @returns ends it */
  on<N extends NamesOf<P, 'event'>>(name: N, fn: (payload: ClientPayloadOf<P, N>) => void): () => void;

  /** Call `fn` when the service lives again.
   * @returns ends it */
  onTakeover(fn: (takeover: Takeover) => void): () => void;

  /** End the game. The player leaves, unless `leave` is false or there is no connection: then the session waits on the
   * server for as long as that keeps it, and its token finds it again. What waits for a reply is rejected with
   * `CLIENT_CLOSED`. What was sent over an open connection arrives before the player leaves. */
  close(options?: { readonly leave?: boolean }): void;
}

/** @internal */
export interface GameOptions extends Omit<ConnectionOptions, 'attemptTimeoutMs'> {
  readonly protocol: Protocol;
  readonly state: StateSchema;
  readonly token: string | undefined;
  readonly maxPending: number;
  readonly attemptTimeoutMs: number;
}

/** An acknowledgement goes out after this many frames or ms, if no message took it along. */
const ACK_FRAMES = 64;
const ACK_MS = 100;

interface MessageCodec {
  readonly spec: MessageSpec;
  readonly payload: Codec;
  readonly reply: Codec | undefined;
}

/** @internal */
export class GameClient implements Game<never, never> {
  readonly #protocol: Protocol;
  readonly #plan: SyncPlan;
  readonly #codecs: readonly MessageCodec[];
  readonly #mirror: ViewMirror;
  readonly #session: Session;
  readonly #connection: Connection;
  readonly #writer = new Writer();
  readonly #events = new Map<number, readonly ((payload: never) => void)[]>();
  #takeovers: readonly ((takeover: Takeover) => void)[] = [];

  #me: (Ref & { readonly poolIndex: number }) | undefined;
  #epoch = 0;
  #tick = 0;
  #tickHz = 0;
  #lastOutAt = 0;
  /** The last pause between two frames that was one: frames closer together are a burst. */
  #silenceMs = 0;

  /** True once this object had its WELCOME: a later one must go on with the same session. */
  #begun = false;
  #welcomed = false;
  /** Output before the next picture is gone. */
  #needsPicture = false;
  /** `lastSeq` at the last frame that did not decode; a second one there asks for a picture. */
  #stuckAt = -1;

  #unackedFrames = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  #ready: { resolve: () => void; reject: (reason: ClientError) => void } | undefined;
  /** Frames that came before the caller of `connect` had a turn to register its callbacks. */
  #held: Uint8Array[] | undefined;
  #heldTimer: ReturnType<typeof setTimeout> | undefined;
  #end: ClientError | undefined;

  constructor(options: GameOptions) {
    this.#protocol = options.protocol;
    this.#plan = syncPlanOf(options.state);
    this.#codecs = options.protocol.messages.map(spec => ({
      spec,
      payload: payloadCodecOf(spec),
      reply: spec.role === 'request' ? replyCodecOf(spec) : undefined,
    }));
    this.#mirror = new ViewMirror(options.state, this.#plan);
    this.#session = new Session(options.maxPending);
    if (options.token !== undefined) this.#session.token = tokenOf(options.token);
    this.#connection = new Connection(options, {
      hello: () => this.#hello(),
      frame: bytes => this.#frame(bytes),
      lost: () => this.#lost(),
      ended: reason => this.#ended(reason),
    });
  }

  get status(): Status {
    return this.#connection.status;
  }
  get token(): string {
    return hexOf(this.#session.token!);
  }
  get me(): undefined {
    const me = this.#me;
    return (me && this.#mirror.find(me.poolIndex, me)) as undefined;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get tick(): number {
    return this.#tick;
  }
  get tickHz(): number {
    return this.#tickHz;
  }
  get pending(): number {
    return this.#session.pendingCount;
  }
  get view(): never {
    return this.#mirror.pools as never;
  }

  /** Connect for the first time: done once the first picture is in view. */
  start(connectTimeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer =
        connectTimeoutMs === 0 ? undefined : setTimeout(() => this.#unreachable(connectTimeoutMs), connectTimeoutMs);
      this.#ready = {
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
        reject: reason => {
          clearTimeout(timer);
          reject(reason);
        },
      };
      try {
        this.#connection.start();
      } catch (error) {
        clearTimeout(timer);
        throw error;
      }
    });
  }

  send(name: string, payload: object = {}): number {
    const { spec, payload: codec } = this.#codecNamed(name, 'command');
    return this.#submit(spec, codec, payload, undefined);
  }

  ask(name: string, payload: object = {}): Promise<never> {
    return new Promise((resolve, reject) => {
      const { spec, payload: codec } = this.#codecNamed(name, 'request');
      this.#submit(spec, codec, payload, { spec, resolve, reject });
    });
  }

  on(name: string, fn: (payload: never) => void): () => void {
    const { id } = this.#codecNamed(name, 'event').spec;
    this.#events.set(id, [...(this.#events.get(id) ?? []), fn]);
    return () => {
      const left = this.#events.get(id)!.filter(other => other !== fn);
      this.#events.set(id, left);
    };
  }

  onTakeover(fn: (takeover: Takeover) => void): () => void {
    this.#takeovers = [...this.#takeovers, fn];
    return () => {
      this.#takeovers = this.#takeovers.filter(other => other !== fn);
    };
  }

  close(options: { readonly leave?: boolean } = {}): void {
    if (this.#end !== undefined) return;
    if ((options.leave ?? true) && this.#welcomed) this.#write(writeBye);
    this.#end = new ClientError('CLIENT_CLOSED', 'close() was called', { severity: 'warn' });
    this.#connection.stop(undefined);
  }

  // Out

  #codecNamed(name: string, role: Role): MessageCodec {
    const spec = this.#protocol.byName.get(name);
    if (spec?.role !== role) throw new TypeError(`the protocol has no ${role} named ${name}`);
    return this.#codecs[spec.id];
  }

  #submit(spec: MessageSpec, codec: Codec, payload: object, ask: Ask | undefined): number {
    if (this.#end !== undefined) throw this.#end;
    const writer = this.#writer.reset();
    codec.write(writer, payload);
    const message = this.#session.add(spec.id, writer.finish(), ask);
    if (this.#welcomed) this.#sendMessage(message);
    return message.n;
  }

  #sendMessage({ n, id, payload }: { n: number; id: number; payload: Uint8Array }): void {
    this.#write(writer => {
      writeMessage(writer, n, this.#session.lastSeq, id);
      writer.raw(payload);
    });
    this.#acknowledged();
  }

  #write(fill: (writer: Writer) => void): void {
    const writer = this.#writer.reset();
    fill(writer);
    this.#connection.send(writer.finish());
  }

  #acknowledged(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#unackedFrames = 0;
  }

  #sendAck(): void {
    if (this.#welcomed) this.#write(writer => writeAck(writer, this.#session.lastSeq));
    this.#acknowledged();
  }

  #hello(): Uint8Array<ArrayBuffer> {
    const writer = this.#writer.reset();
    writeHello(writer, {
      protocolHash: this.#protocol.hash,
      stateHash: this.#plan.hash,
      token: this.#session.token,
      lastSeq: this.#needsPicture ? 0 : this.#session.lastSeq,
    });
    return writer.finish();
  }

  // In

  #frame(bytes: Uint8Array): void {
    if (this.#held !== undefined) {
      this.#held.push(bytes);
      return;
    }
    try {
      this.#handle(bytes);
    } catch (error) {
      // The gateway sends again from lastSeq. What is malformed twice stays so: start over from a picture.
      if (this.#stuckAt === this.#session.lastSeq) this.#session.forgetOutput();
      this.#stuckAt = this.#session.lastSeq;
      throw error;
    }
  }

  #handle(bytes: Uint8Array): void {
    const frame = readGatewayFrame(bytes);
    if (frame.type === 'welcome') this.#welcome(frame);
    else if (frame.type === 'out') this.#out(frame);
    else this.#taken(frame.n);
  }

  #taken(n: number): void {
    if (n > this.#session.last) malformed(`message ${n} taken of ${this.#session.last}`);
    this.#session.acknowledge(n);
  }

  #welcome(frame: WelcomeFrame): void {
    const session = this.#session;
    if (this.#welcomed) malformed('a second WELCOME');
    if (this.#begun) {
      if (!frame.resumed) {
        this.#write(writeBye);
        this.#connection.stop(
          new ClientError('CLIENT_ENDED', 'the server does not know this session any more', { severity: 'warn' }),
        );
        return;
      }
      if (hexOf(frame.token) !== this.token) malformed('a WELCOME to another session');
      if (frame.lastN > session.last) malformed(`message ${frame.lastN} accepted of ${session.last}`);
      if (frame.lastN < session.acked) {
        const message = `the server went back: it acknowledged message ${session.acked} and now knows ${frame.lastN}`;
        this.#connection.stop(new ClientError('CLIENT_ENDED', message));
        return;
      }
    }
    if (frame.seq !== 0 && frame.seq !== session.lastSeq)
      malformed(`output after ${frame.seq}, not ${session.lastSeq}`);
    if (frame.seq === 0) {
      session.forgetOutput();
      this.#needsPicture = true;
    }
    if (this.#begun) session.acknowledge(frame.lastN);
    else session.continueAfter(frame.lastN);
    session.token = frame.token;
    this.#begun = this.#welcomed = true;
    // A connection that was broken is no silence of the service.
    this.#lastOutAt = performance.now();
    this.#silenceMs = 0;
    this.#me = frame.me;
    this.#tickHz = frame.tickHz;
    for (const message of session.pending) this.#sendMessage(message);
    this.#connection.welcomed();
  }

  #out(frame: OutFrame): void {
    if (!this.#welcomed) malformed('output before WELCOME');
    const session = this.#session;
    if (frame.seq <= session.lastSeq) return;
    if (this.#needsPicture && frame.kind !== OutKind.PICTURE && frame.kind !== OutKind.EPOCH)
      malformed(`output of kind ${frame.kind} before the PICTURE`);
    if (frame.ackN > session.last) malformed(`message ${frame.ackN} acknowledged of ${session.last}`);
    const notify = this.#read(frame);
    session.handled(frame.seq);
    session.acknowledge(frame.ackN);
    const now = performance.now();
    if (now - this.#lastOutAt >= BURST_MS) this.#silenceMs = now - this.#lastOutAt;
    this.#lastOutAt = now;
    this.#unackedFrames++;
    notify();
    this.#acknowledgeSoon();
  }

  /** Decode a frame and take what it says; throws before anything is changed. @returns calls the user */
  #read({ kind, ackN, body }: OutFrame): () => void {
    switch (kind) {
      case OutKind.PICTURE:
      case OutKind.DELTA:
        return this.#readView(body, kind === OutKind.PICTURE, ackN);
      case OutKind.EVENT:
        return this.#readEvent(body);
      case OutKind.REPLY:
        return this.#readReply(body);
      case OutKind.EPOCH: {
        const { epoch, reason } = readEpoch(body);
        return this.#lives(epoch, reason);
      }
      default:
        return kind satisfies never;
    }
  }

  #readView(body: Uint8Array, full: boolean, ackN: number): () => void {
    const { epoch, tick, notify } = this.#mirror.apply(body, full);
    const lives = this.#lives(epoch, 'unknown');
    this.#tick = tick;
    const lost = this.#needsPicture;
    if (full) this.#needsPicture = false;
    return () => {
      if (lost) {
        const message = 'the request was handled, its reply is gone with output that was lost';
        this.#session.rejectAsks(ackN, () => new ClientError('CLIENT_OUTPUT_LOST', message, { severity: 'warn' }));
      }
      lives();
      notify();
      if (this.#ready !== undefined) this.#begin(this.#ready);
    };
  }

  /** The first picture is in view. What came behind it waits until whoever called `connect` had a turn. */
  #begin(ready: { resolve: () => void }): void {
    this.#ready = undefined;
    this.#held = [];
    this.#heldTimer = setTimeout(() => this.#releaseHeld(), 0);
    ready.resolve();
  }

  #releaseHeld(): void {
    const held = this.#held!;
    this.#held = undefined;
    this.#connection.feed(held);
  }

  #readEvent(body: Uint8Array): () => void {
    const { id, payload } = readEvent(body);
    const known = this.#codecs[id];
    if (known?.spec.role !== 'event') malformed(`event ${id}, which the protocol does not have`);
    const values = this.#decode(known.payload, known.spec.layout, payload);
    return () => {
      for (const fn of this.#events.get(id) ?? []) callUser(fn, values as never);
    };
  }

  #readReply(body: Uint8Array): () => void {
    const reply = readReply(body);
    const ask = this.#session.askedAt(reply.n);
    if (ask === undefined) return () => undefined; // asked before a reload, or rejected already
    if (reply.ok) {
      const values = this.#decode(this.#codecs[ask.spec.id].reply!, ask.spec.reply!, reply.payload);
      return () => this.#session.takeAsk(reply.n)?.resolve(values as never);
    }
    const message = `${ask.spec.name} was refused: ${reply.code}: ${reply.message}`;
    const error = new ClientError('CLIENT_REFUSED', message, { remoteCode: reply.code, severity: 'warn' });
    return () => this.#session.takeAsk(reply.n)?.reject(error);
  }

  /** A payload as plain data, its refs as mirrored records, or undefined where those are not in view. */
  #decode(codec: Codec, layout: StructLayout, payload: Uint8Array): Record<string, unknown> {
    const reader = new Reader(payload);
    const values = codec.read(reader);
    reader.end();
    for (const { name, kind } of layout.fields) {
      const ref = values[name];
      if (kind.tag === 'ref' && ref !== undefined) values[name] = this.#mirror.resolve(kind.pool, ref as Ref);
    }
    return values;
  }

  #lives(epoch: number, reason: string): () => void {
    if (epoch === this.#epoch) return () => undefined;
    const known = this.#epoch !== 0;
    this.#epoch = epoch;
    const sinceLast = performance.now() - this.#lastOutAt;
    const gapMs = sinceLast >= BURST_MS ? sinceLast : this.#silenceMs;
    const takeover: Takeover = Object.freeze({ epoch, reason, gapMs });
    const listeners = known ? this.#takeovers : [];
    return () => {
      for (const fn of listeners) callUser(fn, takeover);
    };
  }

  #acknowledgeSoon(): void {
    if (!this.#welcomed || this.#unackedFrames === 0) return;
    if (this.#unackedFrames >= ACK_FRAMES) this.#sendAck();
    else this.#ackTimer ??= setTimeout(() => this.#sendAck(), ACK_MS);
  }

  // The end of a connection, and of all

  #lost(): void {
    this.#welcomed = false;
    this.#acknowledged(); // HELLO says lastSeq
    clearTimeout(this.#heldTimer);
    this.#held = undefined; // not handled: they come again
  }

  #unreachable(connectTimeoutMs: number): void {
    const cause = this.#connection.lastFailure;
    const why = cause === undefined ? '' : `: ${cause.message}`;
    const message = `not connected in ${connectTimeoutMs} ms (connectTimeoutMs)${why}`;
    this.#connection.stop(new ClientError('CLIENT_UNREACHABLE', message, { cause }));
  }

  #ended(reason: ClientError | undefined): void {
    const end = (this.#end ??= reason!);
    this.#lost();
    this.#session.rejectAsks(Infinity, () => end);
    this.#ready?.reject(end);
    this.#ready = undefined;
  }
}

function malformed(why: string): never {
  throw new SchemaError('SCHEMA_WIRE', why, { severity: 'warn' });
}
