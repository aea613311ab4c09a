/** A gateway as the logic of a node: sockets on one side, the lanes of scenes on the other, sessions between them.
 *
 *   client   HELLO ──► session, JOIN ──► scene            each a transaction: the session's record and what is sent to
 *            MESSAGE n ──► lastIn = n, INPUT ──► scene     the scene commit together
 *   scene    JOINED, OUT, CLOSE ──► ring, session          likewise, with the cursor in the scene's lane
 *   ring     ──► sockets                                   after the commit
 *
 * So a client that resumes after this process was killed finds its session, what it had said is not said twice, and what
 * it had not received is still there. Sockets are input from outside: what one of them does harms no other. */
import { randomBytes } from 'node:crypto';
import {
  CloseCode,
  type HelloFrame,
  type MessageFrame,
  readClientFrame,
  SchemaError,
  syncPlanOf,
  TOKEN_BYTES,
  WIRE_VERSION,
  Writer,
  writeTaken,
  writeWelcome,
} from '@lich/schema';
import { HANDLED } from '../bus/index.ts';
import { type Core, errorData, INPUT, JOIN, LEAVE, type Logic, PICTURE, type Service } from '../runtime/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Pool } from '../state/index.ts';
import type { ClientSocket } from './client-socket.ts';
import { Connection, type LiveSession } from './connection.ts';
import { GatewayError } from './errors.ts';
import { FanOut } from './fan-out.ts';
import { FromScenes } from './from-scenes.ts';
import { Counts, type GatewayFigures } from './figures.ts';
import { Inbound } from './inbound.ts';
import type { GatewaySettings } from './options.ts';
import type { OutputRing } from './output-ring.ts';
import { place } from './placement.ts';
import { Rate } from './rate.ts';
import { SceneLanes } from './scene-lanes.ts';
import { NOT_YET, type Session } from './session.ts';
import { SessionTable } from './session-table.ts';

/** The service behind a gateway, and the nodes that run it. */
export interface GatewayTarget {
  readonly service: Service;
  readonly nodes: readonly string[];
}

/** Where clients come from; see ws-server.ts. */
export interface Listener {
  open(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** How often deadlines, away sessions and pings are looked at. */
const HOUSEKEEPING_MS = 100;
/** What is taken is told after so many messages or ms. */
const TAKEN_MESSAGES = 64;
const TAKEN_MS = 100;
/** How often a full lane is tried again. */
const RETRY_MS = 2;
/** Frames of one socket that may wait; it is paused, so more than a few network reads do not come. */
const HELD_FRAMES_MAX = 65_536;
/** Sockets beyond one for each session: newcomers that take the place of older ones, or are to be refused. */
const SPARE_SOCKETS = 256;
const GOING_AWAY = 1001;
const INTERNAL = 1011;

export class GatewayLogic implements Logic {
  readonly deliver = (
    sender: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    words: number,
  ): number => this.#deliver(sender, type, a, b, lanes, word, words);
  /** Set before the core runs. */
  listener: Listener | undefined;
  readonly #core: Core;
  readonly #settings: GatewaySettings;
  readonly #lanes: SceneLanes;
  readonly #service: Service;
  readonly #stateHash: string;
  readonly #mePool: number;
  readonly #inbound: Inbound;
  readonly #sceneNames: readonly string[];
  readonly #scenes: readonly number[];
  readonly #sessions: SessionTable;
  readonly #fromScenes: FromScenes;
  readonly #ring: OutputRing;
  readonly #fanOut: FanOut;
  readonly #writer = new Writer();
  readonly #counts = new Counts();

  readonly #connections = new Set<Connection>();
  readonly #inScene = new Map<number, Set<Connection>>();
  /** Connections with frames that wait for room in a lane. */
  readonly #held = new Set<Connection>();
  /** Connections that were not told of all that is taken. */
  readonly #untold = new Set<Connection>();
  #housekeepingMs = 0;
  #tellMs = 0;
  #retryMs = 0;
  #stopped = false;

  constructor(core: Core, settings: GatewaySettings, { service, nodes }: GatewayTarget) {
    this.#core = core;
    this.#settings = settings;
    this.#lanes = new SceneLanes(core);
    this.#service = service;
    this.#stateHash = syncPlanOf(service.state).hash;
    this.#mePool = service.state.pools.findIndex(pool => pool.name === service.spec.me);
    if (this.#mePool < 0)
      throw new GatewayError('GATEWAY_NO_SERVICE', `service ${service.name} has no players: give it \`me\``);
    this.#inbound = new Inbound(service.protocol);
    this.#sceneNames = nodes;
    this.#scenes = nodes.map(name => core.directory.byName(name).index);
    this.#sessions = new SessionTable(core.store.pools.get('sessions')! as Pool<Session>);
    this.#fromScenes = new FromScenes(core, this.#sessions, this.#counts);
    this.#ring = this.#fromScenes.ring;
    for (const scene of this.#scenes) this.#inScene.set(scene, new Set());
    this.#fanOut = new FanOut({
      ring: this.#ring,
      socketBytes: settings.socketBytes,
      inScene: scene => this.#inScene.get(scene) ?? [],
      bySlot: (slot, generation) => {
        const connection = this.#sessions.bySlot(slot, generation)?.connection;
        return connection?.phase === 'open' ? connection : undefined;
      },
      all: () => this.#connections,
      askPicture: connection => this.#askPicture(connection.session!),
      close: (connection, code, reason) => this.#close(connection, code, reason),
    });
  }

  // Life.

  created(): void {
    this.#ring.create();
  }

  /** All sockets went with the last life: every session is away, from now on if it was not before. */
  resumed(): void {
    const core = this.#core;
    core.transact(() => {
      this.#sessions.pool.forEach(record => {
        if (record.phase === 'playing' && record.awaySinceMs === 0) record.awaySinceMs = core.now;
      });
    });
    this.#sessions.load();
  }

  async open(): Promise<void> {
    this.#fanOut.start();
    await this.listener?.open();
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) this.#close(connection, GOING_AWAY, 'the gateway ends');
    this.#stopped = true;
    await this.listener?.close();
  }

  isWaiting(): boolean {
    return false;
  }

  /** What is wrong with the gateway's own structures. */
  check(): string[] {
    return this.#ring.check();
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#counts as unknown as Readonly<Record<string, number>>;
  }

  figures(): GatewayFigures {
    const { closed, ...counts } = this.#counts;
    return {
      name: this.#core.name,
      epoch: this.#core.life.epoch,
      sessions: this.#sessions.pool.size,
      sockets: this.#connections.size,
      away: this.#sessions.away.size,
      framesOut: this.#fanOut.frames,
      bytesOut: this.#fanOut.bytes,
      ...counts,
      closed: { ...closed },
    };
  }

  // Sockets.

  /** A socket was opened. @returns undefined when there are too many: it was closed */
  opened(socket: ClientSocket): Connection | undefined {
    const { maxSessions, framesPerSecond, burst, helloMs } = this.#settings;
    if (this.#stopped || this.#connections.size >= maxSessions + SPARE_SOCKETS) {
      this.#counts.close(CloseCode.TOO_MANY_SESSIONS);
      socket.close(CloseCode.TOO_MANY_SESSIONS, `${this.#connections.size} sockets are open`);
      return undefined;
    }
    const connection = new Connection(
      socket,
      new Rate(framesPerSecond, burst, performance.now()),
      this.#core.updateNow(),
      helloMs,
    );
    this.#connections.add(connection);
    this.#core.kick();
    return connection;
  }

  /** A socket is gone, whoever closed it. */
  lost(connection: Connection): void {
    if (this.#stopped) return;
    this.#connections.delete(connection);
    if (connection.phase === 'closed') return;
    this.#detach(connection);
  }

  drained(connection: Connection): void {
    if (!this.#stopped) this.#fanOut.catchUp(connection);
  }

  /** Take nothing more from the connection and give it nothing more; its session is away. */
  #detach(connection: Connection): void {
    connection.phase = 'closed';
    connection.held = [];
    this.#held.delete(connection);
    this.#untold.delete(connection);
    this.#fanOut.stuck.delete(connection);
    const { session } = connection;
    if (session?.connection !== connection) return;
    session.connection = undefined;
    this.#inScene.get(session.scene)?.delete(connection);
    const { record } = session;
    if (record.phase !== 'playing' || this.#sessions.ending.has(session)) return;
    this.#core.transact(() => (record.awaySinceMs = this.#core.now));
    this.#sessions.away.add(session);
  }

  #close(connection: Connection, code: number, reason: string): void {
    if (connection.phase === 'closed') return;
    this.#detach(connection);
    this.#counts.close(code);
    connection.socket.close(code, reason);
    if (connection.isCorked) connection.socket.uncork();
  }

  /** A frame came. Never throws. */
  frame(connection: Connection, bytes: Uint8Array, isBinary = true): void {
    if (connection.phase === 'closed' || this.#stopped) return;
    this.#counts.framesIn++;
    connection.heard = true;
    if (!connection.rate.take(performance.now())) {
      const { framesPerSecond, burst } = this.#settings;
      return this.#close(
        connection,
        CloseCode.TOO_FAST,
        `more than ${framesPerSecond} frames a second, ${burst} at once`,
      );
    }
    if (bytes.length > this.#settings.maxFrameBytes) {
      return this.#close(
        connection,
        CloseCode.FRAME_TOO_LARGE,
        `a frame of ${bytes.length} bytes, at most ${this.#settings.maxFrameBytes}`,
      );
    }
    if (!isBinary) return this.#close(connection, CloseCode.MALFORMED, 'a text frame');
    if (connection.held.length === 0 && this.#handle(connection, bytes)) return;
    if ((connection.phase as string) === 'closed') return;
    if (connection.held.length === 0) {
      this.#held.add(connection);
      connection.socket.pause();
    }
    if (connection.held.push(bytes) > HELD_FRAMES_MAX)
      this.#close(connection, CloseCode.TOO_FAST, 'too many frames wait');
    this.#core.kick();
  }

  /** @returns false when the frame has to wait for room in the scene's lane: nothing of it was done */
  #handle(connection: Connection, bytes: Uint8Array): boolean {
    try {
      const frame = readClientFrame(bytes);
      if (frame.type === 'hello') return this.#hello(connection, frame);
      if (connection.phase !== 'open')
        throw new SchemaError('SCHEMA_WIRE', `${frame.type} before the session is welcome`);
      if (frame.type === 'message') return this.#message(connection, frame);
      if (frame.type === 'ack' && frame.seq > 0) connection.session!.acknowledged = true;
      if (frame.type === 'bye') this.#bye(connection);
      return true;
    } catch (error) {
      if (error instanceof SchemaError && error.code === 'SCHEMA_WIRE') {
        this.#close(connection, CloseCode.MALFORMED, error.message.slice(0, 100));
      } else {
        this.#core.log.error('a frame could not be handled', errorData(error));
        this.#close(connection, INTERNAL, 'the gateway failed');
      }
      return true;
    }
  }

  #hello(connection: Connection, hello: HelloFrame): boolean {
    if (connection.phase !== 'hello') throw new SchemaError('SCHEMA_WIRE', 'a second HELLO');
    const { protocol } = this.#service;
    if (hello.version !== WIRE_VERSION || hello.protocolHash !== protocol.hash || hello.stateHash !== this.#stateHash) {
      this.#close(
        connection,
        CloseCode.PROTOCOL_DIFFERS,
        'update the client: wire version, protocol or synced state differ',
      );
      return true;
    }
    return hello.token === undefined
      ? this.#newSession(connection)
      : this.#resume(connection, hello.token, hello.lastSeq);
  }

  #newSession(connection: Connection): boolean {
    const { maxSessions, joinMs } = this.#settings;
    if (this.#sessions.pool.size >= maxSessions) {
      this.#close(connection, CloseCode.TOO_MANY_SESSIONS, `${maxSessions} sessions`);
      return true;
    }
    const token = new Uint8Array(randomBytes(TOKEN_BYTES));
    const scene = this.#scenes[place(token, this.#sceneNames)]!;
    let record: Session | undefined;
    const done = this.#lanes.tryTransact(() => {
      record = this.#sessions.pool.create({ token, scene });
      const { slot, generation } = this.#sessions.pool.refOf(record);
      this.#lanes.claim({ scene }, JOIN, slot, generation, 0);
      this.#core.bus.outbox.commitClaim();
    });
    if (!done) return false;
    const session = this.#sessions.add(this.#sessions.pool.refOf(record!).slot, record!);
    connection.session = session;
    session.connection = connection;
    connection.phase = 'joining';
    connection.deadlineMs = this.#core.now + joinMs;
    this.#counts.joined++;
    return true;
  }

  #resume(connection: Connection, token: Uint8Array, lastSeq: number): boolean {
    const session = this.#sessions.byToken(token);
    if (session === undefined || session.record.phase === 'joining') {
      this.#close(connection, CloseCode.BAD_TOKEN, 'no session here has this token');
      return true;
    }
    if (session.record.phase === 'leaving' || this.#sessions.ending.has(session)) {
      this.#close(connection, CloseCode.SESSION_ENDED, 'the session ended');
      return true;
    }
    const ring = this.#ring;
    const { record } = session;
    const lost = lastSeq === 0 || lastSeq > ring.tail || this.#fanOut.lostAt(session) > lastSeq;
    // A client that broke off before it had anything gets all of it, from its picture on, while that is here.
    const fromPicture = lastSeq === 0 && !session.acknowledged && record.pictureAt > ring.oldest;
    const wantsPicture = (lost || lastSeq < ring.oldest) && !fromPicture;
    if (wantsPicture && record.pictureAt !== NOT_YET && !this.#askPicture(session)) return false;
    const older = session.connection;
    if (older !== undefined) this.#close(older, CloseCode.REPLACED, 'a newer socket has taken the session');
    this.#sessions.away.delete(session);
    if (record.awaySinceMs !== 0) this.#core.transact(() => (record.awaySinceMs = 0));
    connection.session = session;
    session.connection = connection;
    connection.skipsToPicture = lost;
    connection.from = fromPicture ? ring.oldest : lost ? ring.tail : Math.max(lastSeq, ring.oldest);
    this.#welcome(connection, true, lost ? 0 : lastSeq);
    this.#counts.resumed++;
    return true;
  }

  #askPicture(session: LiveSession): boolean {
    const { record } = session;
    const asked = this.#lanes.tryTransact(() => {
      this.#lanes.claim(session, PICTURE, session.slot, session.generation, 0);
      this.#core.bus.outbox.commitClaim();
      record.pictureAt = NOT_YET;
      record.pictureN = record.lastIn;
    });
    if (asked) this.#counts.pictures++;
    return asked;
  }

  #welcome(connection: Connection, resumed: boolean, seq: number): void {
    const session = connection.session!;
    const { record } = session;
    const me = { poolIndex: this.#mePool, slot: record.playerSlot, generation: record.playerGeneration };
    const writer = this.#writer.reset();
    writeWelcome(writer, {
      token: record.token,
      resumed,
      lastN: record.lastIn,
      seq,
      me,
      tickHz: record.tickMilliHz / 1000,
    });
    connection.phase = 'open';
    connection.toldTaken = record.lastIn;
    this.#inScene.get(session.scene)?.add(connection);
    connection.socket.send(writer.finish());
    this.#fanOut.catchUp(connection);
  }

  #message(connection: Connection, message: MessageFrame): boolean {
    const session = connection.session!;
    const { record } = session;
    const { n, payload } = message;
    if (message.ackSeq > 0) session.acknowledged = true;
    if (n <= record.lastIn) {
      this.#counts.repeated++;
      return true;
    }
    if (n !== record.lastIn + 1 || n > 0xffff_ffff)
      throw new SchemaError('SCHEMA_WIRE', `message ${n} after ${record.lastIn}`);
    this.#inbound.check(message.id, payload);
    const taken = this.#lanes.tryTransact(() => {
      const at = this.#lanes.claim(session, INPUT, session.slot, session.generation, 20 + payload.length);
      const { i32, u8 } = this.#core.lanes;
      i32[at] = record.playerSlot;
      i32[at + 1] = record.playerGeneration;
      i32[at + 2] = n;
      i32[at + 3] = message.id;
      i32[at + 4] = payload.length;
      u8.set(payload, (at + 5) * 4);
      this.#core.bus.outbox.commitClaim();
      record.lastIn = n;
    });
    if (!taken) return false;
    if (this.#untold.size === 0) this.#tellMs = this.#core.now + TAKEN_MS;
    this.#untold.add(connection);
    if (n - connection.toldTaken >= TAKEN_MESSAGES) this.#tellTaken(connection);
    return true;
  }

  #tellTaken(connection: Connection): void {
    // A client that sends and does not read must not fill memory with this.
    if (connection.socket.bufferedBytes > this.#settings.socketBytes) return;
    const { record } = connection.session!;
    this.#untold.delete(connection);
    connection.toldTaken = record.lastIn;
    const writer = this.#writer.reset();
    writeTaken(writer, record.lastIn);
    connection.socket.send(writer.finish());
  }

  #bye(connection: Connection): void {
    const session = connection.session!;
    this.#sessions.ending.add(session);
    this.#close(connection, CloseCode.SESSION_ENDED, 'the player left');
    this.#end(session);
  }

  /** The player leaves the scene and the session is no more. Outside transactions; tried again when a lane is full. */
  #end(session: LiveSession): void {
    const { record } = session;
    const { token } = record;
    // Where the scene closed the session itself there is no player any more.
    const hasPlayer = record.playerGeneration !== 0;
    const ended = this.#lanes.tryTransact(() => {
      if (hasPlayer) {
        const at = this.#lanes.claim(session, LEAVE, session.slot, session.generation, 8);
        this.#core.lanes.i32[at] = record.playerSlot;
        this.#core.lanes.i32[at + 1] = record.playerGeneration;
        this.#core.bus.outbox.commitClaim();
      }
      this.#sessions.pool.destroy(record);
    });
    if (ended) {
      this.#sessions.remove(session, token);
      this.#counts.left++;
      return;
    }
    this.#sessions.away.delete(session);
    this.#sessions.ending.add(session);
    // For the next life, should there be one before there is room.
    if (record.phase !== 'leaving') this.#core.transact(() => (record.phase = 'leaving'));
  }

  // Scenes.

  #deliver(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    try {
      if (this.#inScene.has(sender)) this.#fromScenes.take(sender, type, a, b >>> 0, lanes, word, words);
      else this.#fromScenes.unknown(sender, type);
    } catch (error) {
      this.#core.store.log.rollback();
      this.#core.log.error('a message of a scene could not be taken', { sender, type, ...errorData(error) });
      this.#core.store.log.begin();
      // Whom it was for learns that something is missing.
      this.#fromScenes.missed(sender, type, a, b >>> 0, error);
    }
    return HANDLED;
  }

  // Between messages.

  step(nowMs: number): number {
    let done = this.#fanOut.flush();
    done += this.#welcomeJoined();
    done += this.#closeClosed();
    if (this.#isHeldUp && nowMs >= this.#retryMs) {
      this.#retryMs = nowMs + RETRY_MS;
      this.#retry();
    }
    if (this.#untold.size > 0 && nowMs >= this.#tellMs) {
      this.#tellMs = nowMs + TAKEN_MS;
      for (const connection of this.#untold) this.#tellTaken(connection);
    }
    if (nowMs >= this.#housekeepingMs) {
      this.#housekeepingMs = nowMs + HOUSEKEEPING_MS;
      this.#keepHouse(nowMs);
    }
    return done;
  }

  get #isHeldUp(): boolean {
    return this.#held.size + this.#sessions.ending.size + this.#fanOut.stuck.size > 0;
  }

  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#isHeldUp) next = this.#retryMs;
    if (this.#untold.size > 0) next = Math.min(next, this.#tellMs);
    if (this.#connections.size + this.#sessions.away.size > 0) next = Math.min(next, this.#housekeepingMs);
    return next;
  }

  #welcomeJoined(): number {
    const count = this.#fromScenes.joined.length;
    for (const session of this.#fromScenes.joined.splice(0)) {
      const { connection, record } = session;
      if (connection === undefined) {
        // Its client is gone and never learned the token.
        if (record.phase === 'playing') this.#end(session);
        continue;
      }
      connection.skipsToPicture = true;
      connection.from = record.joinedAt;
      this.#welcome(connection, false, 0);
    }
    return count;
  }

  #closeClosed(): number {
    const count = this.#fromScenes.closing.length;
    for (const { session, code } of this.#fromScenes.closing.splice(0)) {
      if (code !== CloseCode.MALFORMED) this.#sessions.ending.add(session);
      if (session.connection !== undefined) this.#close(session.connection, code, 'by the service');
      if (code !== CloseCode.MALFORMED && this.#sessions.has(session)) this.#end(session);
    }
    return count;
  }

  #retry(): void {
    for (const session of this.#sessions.ending) this.#end(session);
    this.#fanOut.retry();
    for (const connection of this.#held) {
      while (connection.held.length > 0 && this.#handle(connection, connection.held[0]!)) connection.held.shift();
      if (connection.held.length > 0) continue;
      this.#held.delete(connection);
      if ((connection.phase as string) !== 'closed') connection.socket.resume();
    }
  }

  #keepHouse(nowMs: number): void {
    const { leaveAfterMs, pingMs } = this.#settings;
    for (const session of this.#sessions.away) {
      if (session.record.awaySinceMs + leaveAfterMs > nowMs) break;
      this.#sessions.away.delete(session);
      this.#end(session);
    }
    for (const connection of this.#connections) {
      const isHeld = connection.held.length > 0;
      if (connection.phase === 'hello' && !isHeld && nowMs >= connection.deadlineMs)
        this.#close(connection, CloseCode.MALFORMED, 'no HELLO came');
      else if ((connection.phase === 'joining' || connection.phase === 'hello') && nowMs >= connection.deadlineMs)
        this.#close(connection, CloseCode.NO_SCENE, 'no scene answers');
      else if (connection.phase === 'open' && nowMs >= connection.pingedMs + pingMs) this.#ping(connection, nowMs);
    }
  }

  /** A socket that said nothing and took nothing since the last ping is dead. */
  #ping(connection: Connection, nowMs: number): void {
    const { flushedBytes } = connection.socket;
    if (!connection.heard && flushedBytes === connection.flushedAtPing) {
      this.#detach(connection);
      connection.socket.terminate();
      return;
    }
    connection.heard = false;
    connection.flushedAtPing = flushedBytes;
    connection.pingedMs = nowMs;
    connection.socket.ping();
  }
}
