import { CloseCode, OutKind, protocol, command, state, pool, ref, writeWelcome, Writer } from '@lich/schema';
import { WebSocket, WebSocketServer } from 'ws';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connect, type ConnectOptions } from './connect.ts';
import type { ClientError } from './errors.ts';
import type { Status } from './connection.ts';
import type { Game, Takeover } from './game.ts';
import { Arena, type Drop, Player, playerValues, State } from './testing/arena.ts';
import { FakeGateway, type Server } from './testing/fake-gateway.ts';

type ArenaGame = Game<typeof Arena, typeof State>;
type Options = Partial<ConnectOptions<typeof Arena, typeof State>>;

let gateway: FakeGateway;
let games: ArenaGame[];
let statuses: string[];
let waiting: { status: Status; done: () => void }[];

beforeEach(async () => {
  games = [];
  statuses = [];
  waiting = [];
  gateway = await listen();
});
afterEach(async () => {
  for (const game of games) game.close();
  await gateway.close();
  if (gateway.faults.length > 0) throw new Error(`the client did wrong: ${gateway.faults.join('; ')}`);
});

async function listen(port = 0): Promise<FakeGateway> {
  const server = new WebSocketServer({ port, host: '127.0.0.1' });
  await new Promise(done => server.once('listening', done));
  return new FakeGateway(server as Server, Arena, State);
}

async function join(options: Options = {}): Promise<ArenaGame> {
  const game = await connect(gateway.url, {
    protocol: Arena,
    state: State,
    WebSocket,
    backoff: { minMs: 1, maxMs: 20 },
    onStatus: (status, reason) => {
      statuses.push(reason === undefined ? status : `${status} ${reason.code}`);
      waiting.filter(waiter => waiter.status === status).forEach(waiter => waiter.done());
    },
    ...options,
  });
  games.push(game);
  return game;
}

// The time limit is a watchdog.
const until = (what: () => boolean): Promise<void> =>
  vi.waitFor(() => what() || Promise.reject(new Error(`not yet: ${String(what)}`)), {
    timeout: 60_000,
    interval: 2,
  }) as Promise<never>;
/** Done within the callback, so that the status is still that. */
const next = (status: Status): Promise<void> => new Promise(done => waiting.push({ status, done }));
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: ClientError) => error.code,
  );
const walked = (dx: number) => ({ name: 'walk', payload: { dx, dy: 0 } });
const handled = (): unknown[] => gateway.session.handled.map(({ name, payload }) => ({ name, payload }));
async function cutAndWait(game: ArenaGame): Promise<void> {
  const { connections } = gateway;
  gateway.session.cut();
  await until(() => gateway.connections > connections && game.status === 'open');
}

describe('connect', () => {
  test('resolves with the first picture in view', async () => {
    gateway.world.players = new Map([[2, { generation: 1, values: playerValues({ hp: 3 }) }]]);
    gateway.me = { poolIndex: 1, slot: 2, generation: 1 };
    gateway.epoch = 4;
    gateway.tick = 77;
    const game = await join();
    expect(game.view.players.get(2)!.hp).toBe(3);
    expect(game.me).toBe(game.view.players.get(2));
    expect([game.status, game.epoch, game.tick, game.tickHz, game.pending]).toEqual(['open', 4, 77, 60, 0]);
    expect(game.token).toMatch(/^[0-9a-f]{32}$/);
    expect(statuses).toEqual(['open']);
  });

  test('hands out no event before callbacks can be registered', async () => {
    gateway.welcomeWith = (_, session) => {
      gateway.welcome(session, 0, false);
      session.event('count', { i: 1 });
      session.event('count', { i: 2 });
    };
    const seen: number[] = [];
    const game = await (async () => join())();
    game.on('count', ({ i }) => seen.push(i));
    await until(() => seen.length === 2);
    expect(seen).toEqual([1, 2]);
  });

  test('what came too early is not lost with the connection', async () => {
    gateway.welcomeWith = (_, session) => {
      gateway.welcomeWith = undefined;
      gateway.welcome(session, 0, false);
      session.event('count', { i: 1 });
      session.raw('not a frame');
    };
    const seen: number[] = [];
    const game = await join();
    game.on('count', ({ i }) => seen.push(i));
    await until(() => gateway.connections === 2 && game.status === 'open');
    expect(seen).toEqual([1]);
  });

  test('finds a WebSocket by itself', async () => {
    await join({ WebSocket: undefined });
    expect(gateway.connections).toBe(1);
  });

  test('waits for a gateway that is not there yet', async () => {
    const { url } = gateway;
    await gateway.close();
    const joining = connect(url, {
      protocol: Arena,
      state: State,
      WebSocket,
      backoff: { maxMs: 5 },
      onStatus: (status, reason) => statuses.push(`${status} ${reason?.code}`),
    });
    await until(() => statuses.length >= 2);
    gateway = await listen(Number(new URL(url).port));
    games.push(await joining);
    expect(statuses[0]).toBe('connecting CLIENT_CONNECTION');
  });

  test('gives up after connectTimeoutMs', async () => {
    const { url } = gateway;
    await gateway.close();
    const error = await connect(url, {
      protocol: Arena,
      state: State,
      WebSocket,
      connectTimeoutMs: 30,
      backoff: { maxMs: 5 },
    }).catch((reason: unknown) => reason as ClientError);
    expect(error).toMatchObject({ code: 'CLIENT_UNREACHABLE', retried: false, cause: { code: 'CLIENT_CONNECTION' } });
    gateway = await listen();
  });

  test('an attempt without WELCOME is given up for another', async () => {
    gateway.welcomeWith = (_, session) => {
      if (gateway.connections >= 2) gateway.welcome(session, 0, false);
    };
    gateway.sessions.length = 0;
    await join({ attemptTimeoutMs: 50 });
    expect([statuses[0], statuses.at(-1)]).toEqual(['connecting CLIENT_CONNECTION', 'open']);
  });

  test.each([
    ['a URL that is none', { url: 'nonsense' }, 'SyntaxError'],
    ['a token that is none', { token: 'xyz' }, 'TypeError'],
    ['no room at all', { maxPending: 0 }, 'RangeError'],
    ['a back-off of nothing', { backoff: { minMs: 0 } }, 'RangeError'],
  ])('%s is refused at once', async (_, { url, ...options }: { url?: string } & Options, name) => {
    const joining = connect(url ?? gateway.url, { protocol: Arena, state: State, WebSocket, ...options });
    await expect(joining).rejects.toMatchObject({ name });
    expect(gateway.connections).toBe(0);
  });

  test('a protocol that names a pool which the state lacks is refused', async () => {
    const Other = protocol({ take: command({ what: ref<Drop>('loot') }) });
    await expect(connect(gateway.url, { protocol: Other, state: State, WebSocket })).rejects.toMatchObject({
      code: 'SCHEMA_STATE',
    });
  });

  test('another protocol or state than the server has is refused with a code', async () => {
    const Other = state({ players: pool(Player) });
    expect(await codeOf(connect(gateway.url, { protocol: Arena, state: Other, WebSocket }))).toBe(
      'CLIENT_PROTOCOL_DIFFERS',
    );
  });

  test('a token finds the session again, and numbers go on', async () => {
    const first = await join();
    first.send('walk', { dx: 1, dy: 0 });
    await until(() => first.pending === 0 || gateway.session.handled.length === 1);
    first.close({ leave: false });
    const second = await join({ token: first.token });
    expect(second.token).toBe(first.token);
    expect(second.send('walk', { dx: 2, dy: 0 })).toBe(2);
    await until(() => gateway.session.handled.length === 2);
    expect(handled()).toEqual([walked(1), walked(2)]);
  });

  test('an unknown token is refused with a code', async () => {
    expect(await codeOf(join({ token: 'f'.repeat(32) }))).toBe('CLIENT_BAD_TOKEN');
    expect(statuses).toEqual(['closed CLIENT_BAD_TOKEN']);
  });
});

describe('messages', () => {
  test('go out numbered, in order', async () => {
    const game = await join();
    expect([1, 2, 3].map(dx => game.send('walk', { dx, dy: 0 }))).toEqual([1, 2, 3]);
    await until(() => gateway.session.handled.length === 3);
    expect(handled()).toEqual([walked(1), walked(2), walked(3)]);
    gateway.session.event('count', { i: 0 }); // carries ackN
    await until(() => game.pending === 0);
  });

  test('a mirrored record is sent as its ref', async () => {
    gateway.world.players = new Map([[2, { generation: 5, values: playerValues() }]]);
    const game = await join();
    game.send('hit', { who: game.view.players.get(2) });
    game.send('hit', {});
    await until(() => gateway.session.handled.length === 2);
    expect(gateway.session.handled.map(message => message.payload.who)).toEqual([
      { slot: 2, generation: 5 },
      undefined,
    ]);
  });

  test('are resent after a reconnect and done once', async () => {
    const game = await join();
    game.send('walk', { dx: 1, dy: 0 });
    await until(() => gateway.session.handled.length === 1);
    const lost = next('connecting');
    gateway.session.cut(); // before the client heard that 1 was done
    game.send('walk', { dx: 2, dy: 0 }); // into a connection that is gone
    await lost;
    game.send('walk', { dx: 3, dy: 0 }); // while there is none
    await until(() => gateway.session.handled.length === 3);
    expect(handled()).toEqual([walked(1), walked(2), walked(3)]);
    expect(gateway.session.resent).toBe(0); // WELCOME said that 1 was accepted
    expect(statuses).toEqual(['open', 'connecting CLIENT_CONNECTION', 'open']);
  });

  test('that do not fit are refused before they are numbered', async () => {
    const game = await join();
    expect(() => game.send('walk', { dx: NaN, dy: 0 })).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
    expect(await codeOf(game.ask('buy', { kind: 70_000 }))).toBe('SCHEMA_RANGE');
    expect(game.send('walk', { dx: 1, dy: 0 })).toBe(1);
  });

  test('that the protocol does not have are a programmer mistake', async () => {
    const game = (await join()) as unknown as {
      send(name: string): void;
      ask(name: string): Promise<void>;
      on(name: string, fn: () => void): void;
    };
    expect(() => game.send('fly')).toThrow(TypeError);
    expect(() => game.send('respawn')).toThrow(TypeError);
    expect(() => game.on('walk', () => undefined)).toThrow(TypeError);
    await expect(game.ask('walk')).rejects.toThrow(TypeError);
  });

  test('are bounded while they are not acknowledged', async () => {
    const game = await join({ maxPending: 3 });
    const lost = next('connecting');
    gateway.session.cut();
    await lost;
    for (let i = 0; i < 3; i++) game.send('walk', { dx: i, dy: 0 });
    expect(() => game.send('walk', { dx: 3, dy: 0 })).toThrow(expect.objectContaining({ code: 'CLIENT_FULL' }));
    expect(await codeOf(game.ask('buy', { kind: 1 }))).toBe('CLIENT_FULL');
    await until(() => gateway.session.handled.length === 3);
    gateway.session.event('count', { i: 0 });
    await until(() => game.pending === 0);
    expect(game.send('walk', { dx: 3, dy: 0 })).toBe(4);
  });
});

describe('requests', () => {
  test('are answered, refs in the reply as records in view', async () => {
    gateway.world.players = new Map([[2, { generation: 5, values: playerValues() }]]);
    gateway.onMessage = (session, { n }) => session.reply(n, { count: 3, from: { slot: 2, generation: 5 } });
    const game = await join();
    const { count, from } = await game.ask('buy', { kind: 7 });
    expect([count, from]).toEqual([3, game.view.players.get(2)]);
    gateway.onMessage = (session, { n }) => session.reply(n, { count: 3, from: { slot: 2, generation: 7 } });
    expect((await game.ask('buy', { kind: 7 })).from).toBeUndefined();
  });

  test('that the service refuses reject with its code', async () => {
    gateway.onMessage = (session, { n }) => session.refuse(n, 'NO_GOLD', '5 gold are missing');
    const game = await join();
    await expect(game.ask('buy', { kind: 7 })).rejects.toMatchObject({
      code: 'CLIENT_REFUSED',
      remoteCode: 'NO_GOLD',
      message: 'buy was refused: NO_GOLD: 5 gold are missing',
    });
  });

  test('wait over a broken connection', async () => {
    const game = await join();
    const reply = game.ask('buy', { kind: 7 });
    await until(() => gateway.session.handled.length === 1);
    await cutAndWait(game);
    gateway.session.reply(1, { count: 1 });
    expect(await reply).toMatchObject({ count: 1 });
  });

  test('are answered by output that is sent again', async () => {
    const game = await join();
    gateway.onMessage = session => {
      session.cut();
      session.reply(1, { count: 1 });
    };
    expect(await game.ask('buy', { kind: 7 })).toMatchObject({ count: 1 });
  });

  test('whose answer is in lost output reject, the others wait on', async () => {
    const game = await join();
    const [first, second] = [game.ask('buy', { kind: 1 }), codeOf(game.ask('buy', { kind: 2 }))];
    await until(() => gateway.session.handled.length === 2);
    gateway.session.reply(1, { count: 1 });
    await first;
    gateway.session.cut();
    gateway.session.reply(2, { count: 2 });
    gateway.session.loseOutput();
    const third = game.ask('buy', { kind: 3 });
    expect(await second).toBe('CLIENT_OUTPUT_LOST');
    await until(() => gateway.session.handled.length === 3);
    gateway.session.reply(3, { count: 3 });
    expect(await third).toMatchObject({ count: 3 });
  });

  test.each([true, false])('reject when the game ends (close by the server: %s)', async byServer => {
    const game = await join();
    const reply = codeOf(game.ask('buy', { kind: 1 }));
    if (byServer) gateway.session.socket!.close(CloseCode.SESSION_ENDED);
    else game.close();
    const code = byServer ? 'CLIENT_ENDED' : 'CLIENT_CLOSED';
    expect(await reply).toBe(code);
    expect(() => game.send('walk', { dx: 1, dy: 0 })).toThrow(expect.objectContaining({ code }));
    expect(await codeOf(game.ask('buy', { kind: 1 }))).toBe(code);
  });

  test('a reply that nobody waits for is ignored', async () => {
    const game = await join();
    game.send('walk', { dx: 1, dy: 0 });
    await until(() => gateway.session.handled.length === 1);
    gateway.session.refuse(1, 'ODD', '');
    await until(() => game.pending === 0);
    expect(game.status).toBe('open');
  });
});

describe('output', () => {
  test('events reach those who listen, until they stop', async () => {
    gateway.world.players = new Map([[2, { generation: 5, values: playerValues() }]]);
    const game = await join();
    const seen: unknown[] = [];
    const off = game.on('died', ({ name, by }) => seen.push([name, by?.name]));
    game.on('count', ({ i }) => seen.push(i));
    gateway.session.event('died', { name: 'bob', by: { slot: 2, generation: 5 } });
    gateway.session.event('count', { i: 1 });
    await until(() => seen.length === 2);
    off();
    gateway.session.event('died', { name: 'eve' });
    gateway.session.event('count', { i: 2 });
    await until(() => seen.length === 3);
    expect(seen).toEqual([['bob', 'ann'], 1, 2]);
  });

  test('that was handled before is ignored', async () => {
    const game = await join();
    const seen: number[] = [];
    game.on('count', ({ i }) => seen.push(i));
    for (let i = 0; i < 3; i++) gateway.session.event('count', { i });
    for (const output of gateway.session.kept) gateway.session.transmit(output);
    gateway.session.event('count', { i: 3 });
    await until(() => seen.length >= 4);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  test('that was not handled comes again after a reconnect', async () => {
    const game = await join();
    const seen: number[] = [];
    game.on('count', ({ i }) => seen.push(i));
    gateway.session.event('count', { i: 0 });
    await until(() => seen.length === 1);
    gateway.session.cut();
    gateway.session.event('count', { i: 1 });
    await until(() => seen.length === 2);
    expect(seen).toEqual([0, 1]);
    expect(gateway.hellos[1].lastSeq).toBeGreaterThan(0);
  });

  test('that is lost is made up for by a picture', async () => {
    gateway.world.players = new Map([1, 2].map(slot => [slot, { generation: 1, values: playerValues() }]));
    const game = await join();
    const log: string[] = [];
    game.view.players
      .onEnter(p => log.push(`+${p.id}`))
      .onChange(p => log.push(`~${p.id}`))
      .onLeave(p => log.push(`-${p.id}`));
    gateway.session.cut();
    gateway.world.players = new Map([
      [2, { generation: 1, values: playerValues({ hp: 1 }) }],
      [3, { generation: 1, values: playerValues() }],
    ]);
    gateway.session.event('count', { i: 1 });
    gateway.session.loseOutput();
    await until(() => game.view.players.get(3) !== undefined);
    expect(log).toEqual(['+1.1', '+2.1', '-1.1', '~2.1', '+3.1']);
  });

  test('of another gateway, whose seqs are lower, is taken', async () => {
    const game = await join();
    for (let i = 0; i < 50; i++) gateway.session.event('count', { i });
    await until(() => game.pending === 0);
    gateway.session.cut();
    gateway.session.seq = 0;
    gateway.session.loseOutput();
    const seen: number[] = [];
    game.on('count', ({ i }) => seen.push(i));
    await until(() => gateway.connections === 2 && game.status === 'open');
    gateway.session.event('count', { i: 99 });
    await until(() => seen.includes(99));
  });

  test('is acknowledged every 64 frames, or after 100 ms', async () => {
    const game = await join();
    await until(() => gateway.session.ackSeq === gateway.session.seq); // the picture, by time
    expect(gateway.session.acks).toBe(1);
    for (let i = 0; i < 128; i++) gateway.session.event('count', { i });
    await until(() => gateway.session.ackSeq === gateway.session.seq);
    expect(gateway.session.acks).toBeGreaterThanOrEqual(3);
    gateway.session.event('count', { i: 0 });
    await until(() => gateway.session.ackSeq === gateway.session.seq);
    expect(game.status).toBe('open');
  });

  test('is acknowledged by messages that go out anyway', async () => {
    const game = await join();
    const acked: boolean[] = [];
    gateway.onMessage = session => acked.push(session.ackSeq === session.seq);
    for (let i = 0; i < 20; i++) {
      const sent = new Promise<void>(done => {
        const off = game.on('count', () => {
          off();
          game.send('walk', { dx: i, dy: 0 });
          done();
        });
      });
      gateway.session.event('count', { i });
      await sent;
      await until(() => acked.length === i + 1);
    }
    expect(acked.every(Boolean)).toBe(true);
  });

  test('a new life is told once, with its gap', async () => {
    const game = await join();
    const takeovers: Takeover[] = [];
    const off = game.onTakeover(takeover => takeovers.push(takeover));
    gateway.session.delta(() => undefined);
    await until(() => game.tick === gateway.tick);
    const before = performance.now();
    await new Promise(done => setTimeout(done, 20));
    gateway.session.takeover(2, 'crash');
    gateway.session.delta(() => undefined);
    await until(() => game.tick === gateway.tick);
    expect(takeovers).toEqual([{ epoch: 2, reason: 'crash', gapMs: expect.any(Number) as number }]);
    expect(takeovers[0].gapMs).toBeGreaterThan(15);
    expect(takeovers[0].gapMs).toBeLessThanOrEqual(performance.now() - before + 20);
    expect(game.epoch).toBe(2);
    off();
    gateway.session.takeover(3, 'deploy');
    await until(() => game.epoch === 3);
    expect(takeovers).toHaveLength(1);
  });

  test('a new life whose news are lost is known by the picture', async () => {
    const game = await join();
    const takeovers: Takeover[] = [];
    game.onTakeover(takeover => takeovers.push(takeover));
    gateway.session.cut();
    gateway.session.takeover(2, 'crash');
    gateway.session.loseOutput();
    await until(() => takeovers.length === 1);
    expect(takeovers[0]).toMatchObject({ epoch: 2, reason: 'unknown' });
  });
});

describe('what the user throws', () => {
  test('in a callback is reported as uncaught and harms nothing', async () => {
    const uncaught: unknown[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', error => uncaught.push(error));
    try {
      const game = await join();
      const seen: number[] = [];
      game.on('count', () => {
        throw new Error('mine');
      });
      game.on('count', ({ i }) => seen.push(i));
      gateway.session.event('count', { i: 1 });
      gateway.session.event('count', { i: 2 });
      await until(() => seen.length === 2 && uncaught.length === 2);
      expect(game.status).toBe('open');
      expect(uncaught).toEqual([new Error('mine'), new Error('mine')]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const fn of others) process.on('uncaughtException', fn);
    }
  });
});

describe('close codes', () => {
  const FINAL: [number, string][] = [
    [CloseCode.MALFORMED, 'CLIENT_MALFORMED'],
    [CloseCode.BAD_TOKEN, 'CLIENT_BAD_TOKEN'],
    [CloseCode.PROTOCOL_DIFFERS, 'CLIENT_PROTOCOL_DIFFERS'],
    [CloseCode.REPLACED, 'CLIENT_REPLACED'],
    [CloseCode.SESSION_ENDED, 'CLIENT_ENDED'],
    [CloseCode.FRAME_TOO_LARGE, 'CLIENT_FRAME_TOO_LARGE'],
  ];
  const RETRIED: [number, string][] = [
    [CloseCode.TOO_FAST, 'CLIENT_TOO_FAST'],
    [CloseCode.OUTPUT_LOST, 'CLIENT_OUTPUT_LOST'],
    [CloseCode.TOO_MANY_SESSIONS, 'CLIENT_TOO_MANY'],
    [CloseCode.NO_SCENE, 'CLIENT_NO_SCENE'],
    [1001, 'CLIENT_CONNECTION'],
    [1011, 'CLIENT_CONNECTION'],
    [4999, 'CLIENT_CONNECTION'],
  ];

  test('there are no others', () => {
    const known = [...FINAL, ...RETRIED].map(([code]) => code);
    expect(known).toEqual(expect.arrayContaining(Object.values(CloseCode)));
  });

  test.each(FINAL)('%d ends the game with %s', async (closeCode, code) => {
    const game = await join();
    gateway.session.socket!.close(closeCode, 'told to');
    await until(() => game.status === 'closed');
    expect(statuses).toEqual(['open', `closed ${code}`]);
    expect(() => game.send('walk', { dx: 1, dy: 0 })).toThrow(
      expect.objectContaining({ code, closeCode, retried: false }),
    );
    expect(gateway.connections).toBe(1);
  });

  test.each(FINAL)('%d at HELLO rejects connect with %s', async (closeCode, code) => {
    gateway.refuseWith = closeCode;
    expect(await codeOf(join())).toBe(code);
  });

  test.each(RETRIED)('%d is retried (%s)', async (closeCode, code) => {
    const game = await join();
    gateway.session.socket!.close(closeCode);
    await until(() => gateway.connections === 2 && game.status === 'open');
    expect(statuses).toEqual(['open', `connecting ${code}`, 'open']);
  });

  test('a second socket of the session ends the first game', async () => {
    const first = await join();
    const second = await join({ token: first.token });
    await until(() => first.status === 'closed');
    expect(statuses).toContain('closed CLIENT_REPLACED');
    expect(second.status).toBe('open');
  });
});

describe('a server that does not keep its word', () => {
  const welcome = (session: { token: Uint8Array }, changes: object) => (writer: Writer) =>
    writeWelcome(writer, {
      token: session.token,
      resumed: true,
      lastN: 0,
      seq: 0,
      me: undefined,
      tickHz: 0,
      ...changes,
    });
  function writtenBy(fill: (writer: Writer) => void): Uint8Array {
    const writer = new Writer();
    fill(writer);
    return writer.finish();
  }

  test('a frame that does not decode closes the connection, and the next one goes on', async () => {
    const game = await join();
    game.send('walk', { dx: 1, dy: 0 });
    await until(() => gateway.session.handled.length === 1);
    gateway.session.raw(new Uint8Array([9, 9, 9]));
    await until(() => gateway.connections === 2 && game.status === 'open');
    expect(statuses).toEqual(['open', 'connecting CLIENT_BAD_FRAME', 'open']);
    expect(gateway.session.closeCodes).toEqual([CloseCode.MALFORMED]);
    expect(gateway.hellos[1].lastSeq).toBe(gateway.session.seq);
  });

  test.each([
    ['text', 'hello'],
    ['nothing', new Uint8Array(0)],
    ['output of an unknown kind', new Uint8Array([2, 100, 0, 9])],
    ['an event that is none', new Uint8Array([2, 100, 0, OutKind.EVENT, 0])],
    ['an event that does not exist', new Uint8Array([2, 100, 0, OutKind.EVENT, 77])],
    ['an acknowledgement of what was not sent', new Uint8Array([2, 100, 5, OutKind.EPOCH, 1, 0])],
    ['a delta of an unknown slot', new Uint8Array([2, 100, 0, OutKind.DELTA, 1, 1, 2, 6, 0, 0])],
  ])('%s is a bad frame', async (_, data) => {
    const game = await join();
    gateway.session.raw(data);
    await until(() => gateway.connections === 2 && game.status === 'open');
    expect(statuses[1]).toBe('connecting CLIENT_BAD_FRAME');
  });

  test('a frame that stays malformed is passed by with a picture', async () => {
    const game = await join();
    const ask = codeOf(game.ask('buy', { kind: 1 }));
    await until(() => gateway.session.handled.length === 1);
    gateway.session.out(OutKind.REPLY, writer => writer.raw(new Uint8Array([1, 1, 77])));
    gateway.session.event('count', { i: 1 });
    expect(await ask).toBe('CLIENT_OUTPUT_LOST');
    expect(gateway.hellos.slice(1).map(hello => hello.lastSeq === 0)).toEqual([false, true]);
    expect(game.status).toBe('open');
  });

  test.each([
    ['a WELCOME to another session', { token: new Uint8Array(16).fill(9) }],
    ['a WELCOME that accepted what was not sent', { lastN: 5 }],
    ['a WELCOME that goes on elsewhere', { seq: 1_000_000 }],
  ])('%s is a bad frame', async (_, changes) => {
    const game = await join();
    gateway.welcomeWith = (_socket, session) => {
      gateway.welcomeWith = undefined;
      session.raw(writtenBy(welcome(session, changes)));
    };
    gateway.session.cut();
    await until(() => gateway.connections === 3 && game.status === 'open');
    expect(statuses).toEqual(['open', 'connecting CLIENT_CONNECTION', 'connecting CLIENT_BAD_FRAME', 'open']);
  });

  test.each([
    ['a new session in place of the old', { resumed: false }],
    ['a session that went back', { lastN: 0 }],
  ])('%s ends the game', async (_, changes) => {
    const game = await join();
    game.send('walk', { dx: 1, dy: 0 });
    await until(() => gateway.session.handled.length === 1);
    gateway.session.event('count', { i: 1 });
    await until(() => game.pending === 0);
    gateway.welcomeWith = (_socket, session) => session.raw(writtenBy(welcome(session, changes)));
    gateway.session.cut();
    await until(() => game.status === 'closed');
    expect(statuses.at(-1)).toBe('closed CLIENT_ENDED');
  });

  test('output before WELCOME, a second WELCOME, a DELTA before the PICTURE', async () => {
    const bad = [
      () => gateway.session.event('count', { i: 0 }),
      () => {
        gateway.session.raw(writtenBy(welcome(gateway.session, {})));
        gateway.session.picture();
        gateway.session.raw(writtenBy(welcome(gateway.session, {})));
      },
      () => {
        gateway.session.raw(writtenBy(welcome(gateway.session, {})));
        gateway.session.delta(() => undefined);
      },
    ];
    const game = await join();
    for (const misbehave of bad) {
      const { connections } = gateway;
      statuses = [];
      gateway.welcomeWith = () => {
        gateway.welcomeWith = undefined;
        misbehave();
      };
      gateway.session.cut();
      await until(() => gateway.connections === connections + 2 && game.status === 'open');
      expect(statuses).toContain('connecting CLIENT_BAD_FRAME');
    }
  });
});

describe('close', () => {
  test('lets the player leave, after what was sent', async () => {
    const game = await join();
    game.send('walk', { dx: 1, dy: 0 });
    game.close();
    game.close();
    expect(statuses).toEqual(['open', 'closed']);
    await until(() => gateway.session.left);
    expect(handled()).toEqual([walked(1)]);
    await until(() => gateway.session.closeCodes.length === 1);
    expect(gateway.session.closeCodes).toEqual([1000]);
  });

  test('can leave the session there', async () => {
    const game = await join();
    game.close({ leave: false });
    await until(() => gateway.session.closeCodes.length === 1);
    expect(gateway.session.left).toBe(false);
  });

  test('from within a callback stops what follows', async () => {
    const game = await join();
    const seen: number[] = [];
    game.on('count', ({ i }) => {
      seen.push(i);
      game.close();
    });
    gateway.session.event('count', { i: 1 });
    gateway.session.event('count', { i: 2 });
    await until(() => gateway.session.closeCodes.length === 1);
    expect([seen, game.status]).toEqual([[1], 'closed']);
  });

  test.each(['open', 'connecting', 'greeting', 'fresh'])('leaves no timer behind (%s)', async when => {
    const timers = new Set<unknown>();
    const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
    vi.stubGlobal('setTimeout', (fn: () => void, ms: number) => {
      const timer = set(() => {
        timers.delete(timer);
        fn();
      }, ms);
      // Those of `ws` itself wait for its handshakes.
      if (!new Error().stack!.split('\n')[2].includes('node_modules/ws/')) timers.add(timer);
      return timer;
    });
    vi.stubGlobal('clearTimeout', (timer: never) => {
      timers.delete(timer);
      clear(timer);
    });
    try {
      const game = await join({ backoff: when === 'connecting' ? { minMs: 60_000, maxMs: 60_000 } : { minMs: 1 } });
      if (when !== 'fresh') await new Promise(done => setImmediate(done));
      gateway.session.event('count', { i: 1 });
      if (when === 'open') await new Promise<void>(done => void game.on('count', () => done()));
      if (when === 'connecting' || when === 'greeting') {
        const greeted = new Promise<void>(done => (gateway.welcomeWith = () => done()));
        const lost = next('connecting');
        gateway.session.cut();
        await (when === 'connecting' ? lost : greeted);
      }
      expect(timers.size).toBeGreaterThan(0);
      game.close();
      expect(timers.size).toBe(0);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
