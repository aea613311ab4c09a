/** A gateway as the client sees it, in memory: it speaks the frames, keeps each session's output, does each message once,
 * and can be told to misbehave. For tests only; what it checks of a client it notes in `faults`. */
import {
  CloseCode,
  OutKind,
  payloadCodecOf,
  readClientFrame,
  Reader,
  replyCodecOf,
  syncPlanOf,
  SyncWriter,
  writeEpoch,
  writeEvent,
  writeOut,
  Writer,
  writeReply,
  writeReplyError,
  writeWelcome,
  type HelloFrame,
  type MessageFrame,
  type MessageSpec,
  type Protocol,
  type StateSchema,
  type SyncPlan,
} from '@lich/schema';

/** The part of the package `ws` that is used; the test passes the server in. */
export interface ServerSocket {
  send(data: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(event: 'message', fn: (data: Uint8Array) => void): unknown;
  on(event: 'close', fn: (code: number) => void): unknown;
}
export interface Server {
  on(event: 'connection', fn: (socket: ServerSocket) => void): unknown;
  address(): unknown;
  close(done: () => void): void;
}

export interface Handled {
  readonly n: number;
  readonly name: string;
  readonly payload: Record<string, unknown>;
}
export interface FakeRecord {
  readonly generation: number;
  readonly values: Record<string, unknown>;
}
/** Records by pool name and slot. */
export type World = Record<string, Map<number, FakeRecord>>;
interface Output {
  readonly seq: number;
  readonly kind: OutKind;
  readonly body: Uint8Array;
}

export class FakeSession {
  readonly gateway: FakeGateway;
  readonly token: Uint8Array;
  readonly handled: Handled[] = [];
  /** Messages that came again after they had been handled. */
  resent = 0;
  /** Highest n handled. */
  lastN = 0;
  /** Highest seq that the client acknowledged, and how many ACK frames it took. */
  ackSeq = 0;
  acks = 0;
  left = false;
  closeCodes: number[] = [];
  seq = 0;
  /** Output that a client can still get again. */
  kept: Output[] = [];
  /** Output up to here is gone. */
  goneUpTo = 0;
  socket: ServerSocket | undefined;

  constructor(gateway: FakeGateway, token: Uint8Array) {
    this.gateway = gateway;
    this.token = token;
  }

  /** Number a body and send it, now or at the next connection. */
  out(kind: OutKind, fill: (writer: Writer) => void): number {
    const writer = new Writer();
    fill(writer);
    this.seq += 1 + (this.seq % 3); // gaps
    const output = { seq: this.seq, kind, body: writer.finish() };
    this.kept.push(output);
    this.transmit(output);
    return this.seq;
  }

  transmit({ seq, kind, body }: Output): void {
    const writer = new Writer();
    writeOut(writer, seq, this.lastN, kind);
    writer.raw(body);
    this.raw(writer.finish());
  }

  raw(data: Uint8Array | string): void {
    this.socket?.send(data);
  }

  event(name: string, payload: object): void {
    const spec = this.gateway.spec(name);
    this.out(OutKind.EVENT, writer => {
      writeEvent(writer, spec.id);
      payloadCodecOf(spec).write(writer, payload);
    });
  }

  reply(n: number, payload: object): void {
    const name = this.handled.find(message => message.n === n)!.name;
    this.out(OutKind.REPLY, writer => {
      writeReply(writer, n);
      replyCodecOf(this.gateway.spec(name)).write(writer, payload);
    });
  }

  refuse(n: number, code: string, message: string): void {
    this.out(OutKind.REPLY, writer => writeReplyError(writer, n, code, message));
  }

  takeover(epoch: number, reason: string): void {
    this.gateway.epoch = epoch;
    this.out(OutKind.EPOCH, writer => writeEpoch(writer, epoch, reason));
  }

  picture(): void {
    this.out(OutKind.PICTURE, writer => this.gateway.writePicture(writer));
  }

  delta(fill: (sync: SyncWriter, plan: SyncPlan) => void): void {
    const { plan, epoch } = this.gateway;
    this.out(OutKind.DELTA, writer => {
      const sync = new SyncWriter(plan, writer);
      sync.begin(epoch, ++this.gateway.tick);
      fill(sync, plan);
      sync.end();
    });
  }

  /** Break the connection without a word. */
  cut(): void {
    this.socket?.terminate();
    this.socket = undefined;
  }

  /** What was not handled by now can never be got again. */
  loseOutput(): void {
    this.kept = [];
    this.goneUpTo = this.seq;
  }
}

export class FakeGateway {
  readonly protocol: Protocol;
  readonly plan: SyncPlan;
  readonly server: Server;
  readonly sessions: FakeSession[] = [];
  readonly faults: string[] = [];
  world: World = {};
  epoch = 1;
  tick = 0;
  me: { poolIndex: number; slot: number; generation: number } | undefined;
  /** Connections taken, and greetings heard. */
  connections = 0;
  hellos: HelloFrame[] = [];
  /** Close with this code at HELLO. */
  refuseWith: number | undefined;
  /** Instead of WELCOME. */
  welcomeWith: ((socket: ServerSocket, session: FakeSession) => void) | undefined;
  /** Called after a message was handled. */
  onMessage: (session: FakeSession, message: Handled) => void = () => undefined;

  constructor(server: Server, protocol: Protocol, state: StateSchema) {
    this.server = server;
    this.protocol = protocol;
    this.plan = syncPlanOf(state);
    server.on('connection', socket => this.#connected(socket));
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  /** The only session. */
  get session(): FakeSession {
    if (this.sessions.length !== 1) throw new Error(`${this.sessions.length} sessions`);
    return this.sessions[0];
  }

  spec(name: string): MessageSpec {
    return this.protocol.byName.get(name)!;
  }

  writePicture(writer: Writer): void {
    const sync = new SyncWriter(this.plan, writer);
    sync.begin(this.epoch, this.tick);
    for (const pool of this.plan.pools) {
      sync.pool(pool);
      for (const [slot, { generation, values }] of this.world[pool.name] ?? []) sync.enter(slot, generation, values);
    }
    sync.end();
  }

  close(): Promise<void> {
    for (const session of this.sessions) session.cut();
    return new Promise(done => this.server.close(done));
  }

  #connected(socket: ServerSocket): void {
    this.connections++;
    let session: FakeSession | undefined;
    socket.on('close', code => {
      session?.closeCodes.push(code);
      if (session?.socket === socket) session.socket = undefined;
    });
    socket.on('message', data => {
      try {
        const frame = readClientFrame(data);
        if (session !== undefined && session.socket !== socket) return; // replaced or cut
        if (frame.type === 'hello') session = this.#hello(socket, frame);
        else if (session === undefined) throw new Error(`${frame.type} before HELLO`);
        else if (frame.type === 'message') this.#message(session, frame);
        else if (frame.type === 'ack') this.#ack(session, frame.seq, true);
        else session.left = true;
      } catch (error) {
        this.faults.push(String(error));
        socket.close(CloseCode.MALFORMED);
      }
    });
  }

  #hello(socket: ServerSocket, hello: HelloFrame): FakeSession | undefined {
    this.hellos.push(hello);
    if (hello.protocolHash !== this.protocol.hash || hello.stateHash !== this.plan.hash) {
      socket.close(CloseCode.PROTOCOL_DIFFERS);
      return undefined;
    }
    if (this.refuseWith !== undefined) {
      socket.close(this.refuseWith, 'told to');
      return undefined;
    }
    const known = this.sessions.find(({ token }) => hello.token !== undefined && token.join() === hello.token.join());
    if (hello.token !== undefined && (known === undefined || known.left)) {
      socket.close(CloseCode.BAD_TOKEN);
      return undefined;
    }
    const session =
      known ??
      new FakeSession(
        this,
        Uint8Array.from({ length: 16 }, (_, i) => i + this.sessions.length),
      );
    if (known === undefined) this.sessions.push(session);
    session.socket?.close(CloseCode.REPLACED);
    session.socket = socket;
    if (this.welcomeWith === undefined) this.welcome(session, hello.lastSeq, known !== undefined);
    else this.welcomeWith(socket, session);
    return session;
  }

  welcome(session: FakeSession, lastSeq: number, resumed: boolean): void {
    const gone = lastSeq === 0 || lastSeq < session.goneUpTo || lastSeq > session.seq;
    const writer = new Writer();
    const { token, lastN } = session;
    writeWelcome(writer, { token, resumed, lastN, seq: gone ? 0 : lastSeq, me: this.me, tickHz: 60 });
    session.raw(writer.finish());
    if (gone) {
      session.loseOutput();
      session.picture();
      return;
    }
    for (const output of session.kept) if (output.seq > lastSeq) session.transmit(output);
  }

  #message(session: FakeSession, { n, ackSeq, id, payload }: MessageFrame): void {
    this.#ack(session, ackSeq, false);
    if (n <= session.lastN) {
      session.resent++;
      return;
    }
    if (n !== session.lastN + 1) throw new Error(`message ${n} after ${session.lastN}`);
    const spec = this.protocol.messages[id];
    const reader = new Reader(payload);
    const message = { n, name: spec.name, payload: payloadCodecOf(spec).read(reader) };
    reader.end();
    session.lastN = n;
    session.handled.push(message);
    this.onMessage(session, message);
  }

  #ack(session: FakeSession, seq: number, frame: boolean): void {
    if (frame) session.acks++;
    if (seq > session.seq) throw new Error(`ack of ${seq}, sent up to ${session.seq}`);
    session.ackSeq = Math.max(session.ackSeq, seq);
  }
}
