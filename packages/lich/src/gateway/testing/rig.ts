/** A gateway whose sockets are fakes and whose scene is a script, over real segments and lanes, in one process. */
import {
  command,
  event,
  f32,
  type GatewayFrame,
  int,
  type OutFrame,
  OutKind,
  pool,
  protocol,
  readGatewayFrame,
  request,
  state,
  struct,
  syncPlanOf,
  type WelcomeFrame,
  writeBye,
  writeEpoch,
  writeEvent,
  writeHello,
  writeMessage,
  writeReply,
  Writer,
} from '@lich/schema';
import { HANDLED, HOLD } from '../../bus/index.ts';
import {
  CLOSE,
  Core,
  EVERYBODY,
  INPUT,
  JOIN,
  JOINED,
  LEAVE,
  type Log,
  type Logic,
  OUT,
  PICTURE,
  service,
} from '../../runtime/index.ts';
import type { Segment } from '../../shm/index.ts';
import type { ClientSocket } from '../client-socket.ts';
import type { Connection } from '../connection.ts';
import type { GatewayOptions } from '../options.ts';
import { type GatewayNode, gatewayCore, type GatewayNodeOptions, settingsOf } from '../internal.ts';

class Walker extends struct({ x: f32.sync }) {}
export const Land = state({ walkers: pool(Walker) });
export const Talk = protocol({
  walk: command({ dx: f32 }),
  ask: request({ what: int }, { answer: int }),
  said: event({ n: int }),
  grant: command({ n: int }, { from: 'services' }),
});
const land = service('land', {
  state: Land,
  protocol: Talk,
  me: 'walkers',
  on: { walk() {}, ask: () => ({ answer: 0 }), grant() {} },
});

export interface Line {
  readonly level: string;
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

function logInto(lines: Line[]): Log {
  const at = (level: string) => (message: string, data?: Readonly<Record<string, unknown>>) =>
    void lines.push({ level, message, ...(data && { data }) });
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

/** Wait for something that other turns of the event loop bring about. */
export async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 1));
}

export const body = (kind: OutKind, fill: (writer: Writer) => void): Uint8Array => {
  const writer = new Writer();
  writer.u8(kind);
  fill(writer);
  return writer.finish();
};
/** A picture or delta without ops, told apart by its tick. */
export const picture = (tick: number): Uint8Array =>
  body(OutKind.PICTURE, w => [1, tick, 0].forEach(value => w.varint(value)));
export const delta = (tick: number): Uint8Array =>
  body(OutKind.DELTA, w => [1, tick, 0].forEach(value => w.varint(value)));
export const said = (n: number): Uint8Array =>
  body(OutKind.EVENT, w => {
    writeEvent(w, 2);
    w.zigzag(n);
  });
export const reply = (n: number): Uint8Array =>
  body(OutKind.REPLY, w => {
    writeReply(w, n);
    w.zigzag(n);
  });
export const epoch = (n: number): Uint8Array => body(OutKind.EPOCH, w => writeEpoch(w, n, 'crash'));

export interface Input {
  readonly slot: number;
  readonly generation: number;
  readonly player: readonly [number, number];
  readonly n: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/** A scene that does what the test says. */
export class Scene implements Logic {
  readonly inputs: Input[] = [];
  readonly joins: { slot: number; generation: number }[] = [];
  readonly leaves: { slot: number; generation: number; player: readonly [number, number] }[] = [];
  pictures = 0;
  /** What `join` tells the new session before anything else. */
  early: Uint8Array[] = [];
  answersJoin = true;
  answersPicture = true;
  /** Take nothing: the gateway's lane fills up. */
  holds = false;
  onInput: (input: Input) => void = input => {
    if (input.id === 1) this.claim(OUT, input.slot, input.generation, reply(input.n));
  };
  tick = 0;
  readonly core: Core;
  gateway = -1;

  constructor(core: Core) {
    this.core = core;
  }

  readonly deliver = (sender: number, type: number, a: number, b: number, lanes: Segment, word: number): number => {
    if (this.holds) return HOLD;
    this.gateway = sender;
    const { u32 } = lanes;
    const player = [u32[word], u32[word + 1]] as const;
    const generation = b >>> 0;
    if (type === JOIN) {
      this.joins.push({ slot: a, generation });
      if (this.answersJoin) this.join(a, generation);
    } else if (type === PICTURE) {
      this.pictures++;
      if (this.answersPicture) this.claim(OUT, a, generation, picture(++this.tick));
    } else if (type === LEAVE) this.leaves.push({ slot: a, generation, player });
    else if (type === INPUT) {
      const start = (word + 5) * 4;
      const input = {
        slot: a,
        generation,
        player,
        n: u32[word + 2],
        id: u32[word + 3],
        payload: lanes.u8.slice(start, start + u32[word + 4]),
      };
      this.inputs.push(input);
      this.onInput(input);
    }
    return HANDLED;
  };

  join(slot: number, generation: number): void {
    for (const bytes of this.early) this.claim(OUT, slot, generation, bytes);
    const { outbox } = this.core.bus;
    const at = outbox.claim(this.gateway, JOINED, slot, generation, 12);
    this.core.lanes.u32.set([slot + 100, 1, 20_000], at);
    outbox.commitClaim();
    this.claim(OUT, slot, generation, picture(++this.tick));
  }

  /** In the open transaction. @returns false when the lane is full */
  claim(type: number, slot: number, generation: number, bytes: Uint8Array): boolean {
    const { outbox } = this.core.bus;
    const at = outbox.claim(this.gateway, type, slot, generation, 4 + bytes.length);
    if (at < 0) return false;
    this.core.lanes.i32[at] = bytes.length;
    this.core.lanes.u8.set(bytes, (at + 1) * 4);
    outbox.commitClaim();
    return true;
  }

  /** A transaction of its own for each. */
  say(bytes: Uint8Array, to: { slot: number; generation: number } = { slot: EVERYBODY, generation: 0 }): void {
    this.core.transact(() => void this.claim(OUT, to.slot, to.generation, bytes));
  }

  kick(code: number, to: { slot: number; generation: number } = { slot: EVERYBODY, generation: 0 }): void {
    this.core.transact(() => {
      const at = this.core.bus.outbox.claim(this.gateway, CLOSE, to.slot, to.generation, 4);
      this.core.lanes.i32[at] = code;
      this.core.bus.outbox.commitClaim();
    });
  }

  created(): void {}
  resumed(): void {}
  open(): void {}
  close(): void {}
  step(): number {
    return 0;
  }
  nextMs(): number {
    return Number.POSITIVE_INFINITY;
  }
  isWaiting(): boolean {
    return false;
  }
}

export class FakeSocket implements ClientSocket {
  readonly frames: GatewayFrame[] = [];
  closed: { code: number; reason: string } | undefined;
  terminated = false;
  paused = false;
  pings = 0;
  corked = 0;
  /** The client reads nothing: what is sent stays in the socket. */
  stalls = false;
  bufferedBytes = 0;
  flushedBytes = 0;
  onClose: () => void = () => {};

  send(frame: Uint8Array): void {
    if (this.closed !== undefined || this.terminated) throw new Error('sent after close');
    this.frames.push(readGatewayFrame(frame.slice()));
    if (this.stalls) this.bufferedBytes += frame.length;
    else this.flushedBytes += frame.length;
  }
  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
    queueMicrotask(() => this.onClose());
  }
  terminate(): void {
    this.terminated = true;
    queueMicrotask(() => this.onClose());
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  ping(): void {
    this.pings++;
  }
  cork(): void {
    this.corked++;
  }
  uncork(): void {
    this.corked--;
  }
}

/** One socket of a client, by hand. */
export class FakeClient {
  readonly socket = new FakeSocket();
  readonly #rig: Rig;
  readonly #connection: Connection | undefined;
  #n = 0;

  constructor(rig: Rig) {
    this.#rig = rig;
    const { logic } = rig;
    this.#connection = logic.opened(this.socket);
    this.socket.onClose = () => this.#connection && logic.lost(this.#connection);
  }

  raw(bytes: Uint8Array, isBinary = true): void {
    if (this.#connection !== undefined) this.#rig.logic.frame(this.#connection, bytes, isBinary);
  }
  write(fill: (writer: Writer) => void): void {
    const writer = new Writer();
    fill(writer);
    this.raw(writer.finish());
  }
  hello(token?: Uint8Array, lastSeq = 0): this {
    this.write(w => writeHello(w, { protocolHash: Talk.hash, stateHash: syncPlanOf(Land).hash, token, lastSeq }));
    return this;
  }
  walk(n = ++this.#n, ackSeq = 0): void {
    this.#n = n;
    this.write(w => {
      writeMessage(w, n, ackSeq, 0);
      w.f32(1);
    });
  }
  ask(n = ++this.#n): void {
    this.#n = n;
    this.write(w => {
      writeMessage(w, n, 0, 1);
      w.zigzag(n);
    });
  }
  bye(): void {
    this.write(writeBye);
  }
  /** The connection breaks. */
  drop(): void {
    this.socket.terminate();
  }
  /** The client reads again: all that waits is taken. */
  drain(): void {
    this.socket.stalls = false;
    this.socket.flushedBytes += this.socket.bufferedBytes;
    this.socket.bufferedBytes = 0;
    this.#rig.logic.drained(this.#connection!);
  }
  get welcome(): WelcomeFrame | undefined {
    return this.socket.frames.find(frame => frame.type === 'welcome');
  }
  get outs(): OutFrame[] {
    return this.socket.frames.filter(frame => frame.type === 'out');
  }
  /** What came, as `picture 3`, `event 7`, …: the last varint or zigzag of short bodies. */
  get story(): string[] {
    return this.outs.map(storyOf);
  }
  get lastSeq(): number {
    return this.outs.at(-1)?.seq ?? 0;
  }
  get session(): { slot: number; generation: number } {
    return {
      slot: this.welcome!.me!.slot - 100,
      generation: this.#rig.scene.joins.find(join => join.slot === this.welcome!.me!.slot - 100)!.generation,
    };
  }
}

function storyOf({ kind, body }: OutFrame): string {
  switch (kind) {
    case OutKind.PICTURE:
      return `picture ${body[1]}`;
    case OutKind.DELTA:
      return `delta ${body[1]}`;
    case OutKind.EVENT:
      return `event ${body[1] >> 1}`;
    case OutKind.REPLY:
      return `reply ${body[0]}`;
    case OutKind.EPOCH:
      return `epoch ${body[0]}`;
  }
}

export class Rig {
  readonly dir: string;
  readonly lines: Line[] = [];
  readonly #options: Omit<GatewayOptions, 'ws'>;
  readonly #limits: NonNullable<GatewayNodeOptions['limits']>;
  scene!: Scene;
  gateway!: GatewayNode;
  #sceneDone!: Promise<void>;
  #gatewayDone!: Promise<void>;

  constructor(
    dir: string,
    options: Omit<GatewayOptions, 'ws'> = {},
    limits: NonNullable<GatewayNodeOptions['limits']> = {},
  ) {
    this.dir = dir;
    this.#options = options;
    this.#limits = { logBytes: 1 << 20, ...limits };
  }

  get logic() {
    return this.gateway.logic();
  }

  async start(): Promise<this> {
    const core = new Core(
      { dir: this.dir, name: 'land-1', id: 1, state: state({ n: int }), log: logInto(this.lines), logBytes: 1 << 20 },
      made => (this.scene = new Scene(made)),
    );
    await new Promise<void>(resolve => (this.#sceneDone = core.run(() => resolve())));
    await this.startGateway();
    return this;
  }

  async startGateway(): Promise<void> {
    this.gateway = gatewayCore({
      dir: this.dir,
      name: 'gateway-1',
      id: 2,
      settings: settingsOf({ ws: 0, ...this.#options }),
      target: { service: land, nodes: ['land-1'] },
      log: logInto(this.lines),
      limits: this.#limits,
    });
    await new Promise<void>(resolve => (this.#gatewayDone = this.gateway.core.run(() => resolve())));
  }

  client(): FakeClient {
    return new FakeClient(this);
  }

  /** A client that has its first picture. */
  async joined(): Promise<FakeClient> {
    const client = this.client().hello();
    await until(() => client.outs.length > 0);
    return client;
  }

  async stopGateway(): Promise<void> {
    this.gateway.core.stop();
    await this.#gatewayDone;
  }

  /** End both. @throws when the gateway's state is not sound */
  async stop(): Promise<void> {
    const wrong = [
      ...this.logic.check(),
      ...this.gateway.core.store.check().map(({ where, what }) => `${where}: ${what}`),
    ];
    await this.stopGateway();
    this.scene.core.stop();
    await this.#sceneDone;
    if (wrong.length > 0) throw new Error(`the gateway's state is broken: ${wrong.join('; ')}`);
  }
}
