/** Messages of each kind in bytes that no sender writes: answered with a code, counted, and never thrown at the receiver. */
import {
  bytes,
  command,
  event,
  int,
  msgpack,
  oneOf,
  optional,
  pool,
  protocol,
  request,
  state,
  struct,
  text,
} from '@lich/schema';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { ANSWER, INPUT, JOIN, LEAVE, PICTURE, REFUSAL, REFUSED, tagOfProtocol } from './system-messages.ts';

const P = protocol({
  plain: command({ n: int, how: oneOf('a', 'b'), name: text(3), data: bytes(4), may: optional(int) }),
  ask: request({ n: int }, { n: int }),
  blob: command(bytes(8)),
  free: request(msgpack<unknown>(), msgpack<unknown>()),
  empty: command({}),
});
const handled: unknown[] = [];
const server = service('server', {
  state: state({ n: int }),
  protocol: P,
  on: {
    plain: (_, payload) => void handled.push(payload),
    ask: (_, payload) => payload,
    blob: (_, payload) => void handled.push(payload.length),
    free: (_, payload) => payload,
    empty: () => void handled.push('empty'),
  },
});
const tag = tagOfProtocol(P);
const typeNamed = (name: string): number => typeOf(tag, P.byName.get(name)!.id);

const running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  handled.length = 0;
  removeTestDirs();
});
async function world(
  what: any,
): Promise<{ to: Running; peer: Peer; say(type: number, a: number, b: number, said: Uint8Array): void }> {
  const dir = testDir();
  const peer = await Peer.start(dir, 'peer-1');
  const to = await startService(what, { dir, limits: { logBytes: 1 << 18 } });
  running.push(peer, to);
  return { to, peer, say: (type, a, b, said) => peer.say(to.core.self.index, type, a, b, said) };
}
const text8 = new TextDecoder();
const codeOf = (said: Uint8Array): string =>
  text8.decode(said.slice(8, 8 + new Uint32Array(said.slice(0, 4).buffer)[0]!));

describe('a command', () => {
  it('is refused with its type and the reason', async () => {
    const w = await world(server);
    const wrong: [name: string, said: Uint8Array][] = [
      ['plain', new Uint8Array(0)],
      ['plain', new Uint8Array(16)],
      ['plain', new Uint8Array(64).fill(255)],
      ['blob', new Uint8Array(0)],
      ['blob', new Uint8Array([9, 0, 0, 0, 1, 2, 3])],
      ['blob', new Uint8Array([255, 255, 255, 255])],
    ];
    for (const [name, said] of wrong) w.say(typeNamed(name), 0, 0, said);
    w.say(typeOf(tag, 99), 0, 0, new Uint8Array(0));
    w.say(typeOf(tag ^ 1, 0), 0, 0, new Uint8Array(0));
    w.say(typeNamed('empty'), 0, 0, new Uint8Array(0));
    await until(() => handled.length === 1 && w.peer.heard.length === wrong.length + 2);
    expect(handled).toEqual(['empty']);
    expect(w.peer.heard.map(({ type, a, b }) => [type, a, b])).toEqual([
      ...wrong.map(([name]) => [REFUSED, typeNamed(name), 1]),
      [REFUSED, typeOf(tag, 99), 0],
      [REFUSED, typeOf(tag ^ 1, 0), 0],
    ]);
    expect(w.to.logic.counts).toMatchObject({ handled: 1, illFormed: wrong.length, unknown: 2, failed: 0 });
  });

  it('any bytes are handled as what could have been sent, or refused', async () => {
    const w = await world(server);
    const said = fc.sample(fc.tuple(fc.constantFrom('plain', 'blob'), fc.uint8Array({ maxLength: 64 })), {
      numRuns: 400,
      seed: 3,
    });
    for (const [name, noise] of said) w.say(typeNamed(name), 0, 0, noise);
    const { counts } = w.to.logic;
    await until(() => counts.handled + counts.illFormed === said.length);
    expect(counts.failed).toBe(0);
    expect(handled.length).toBe(counts.handled);
    for (const payload of handled) {
      if (typeof payload === 'number') expect(payload).toBeLessThanOrEqual(8);
      else expect(payload).toMatchObject({ n: expect.any(Number), how: expect.stringMatching(/^[ab]$/) });
    }
  });
});

describe('a request', () => {
  it('is answered with a code', async () => {
    const w = await world(server);
    w.say(typeNamed('ask'), 5, 6, new Uint8Array(0));
    w.say(typeNamed('ask'), 7, 8, new Uint8Array(8).fill(255));
    w.say(typeNamed('free'), 9, 10, new Uint8Array([2, 0, 0, 0, 0xc1, 0xc1]));
    w.say(typeOf(tag, 77), 11, 12, new Uint8Array(0));
    w.say(typeNamed('ask'), 1, 2, new Uint8Array(8));
    await until(() => w.peer.heard.length === 5);
    expect(w.peer.heard.map(({ type, a, b, bytes: said }) => [type, a, b, type === REFUSAL && codeOf(said)])).toEqual([
      [REFUSAL, 5, 6, 'RUNTIME_ILL_FORMED'],
      [REFUSAL, 7, 8, 'RUNTIME_ILL_FORMED'],
      [REFUSAL, 9, 10, 'RUNTIME_ILL_FORMED'],
      [REFUSAL, 11, 12, 'RUNTIME_UNKNOWN_MESSAGE'],
      [ANSWER, 1, 2, false],
    ]);
    expect(w.to.logic.counts).toMatchObject({ handled: 1, illFormed: 3, unknown: 1, failed: 0 });
  });
});

describe('a reply', () => {
  it('is told as RUNTIME_ILL_FORMED, and leaves nothing waiting', async () => {
    const codes: string[] = [];
    const asker = service('asker', {
      state: state({ n: int }),
      protocol: protocol({}),
      on: {},
      answers: {
        told(_: unknown, answer) {
          try {
            answer.of(server, 'ask');
            codes.push('ok');
          } catch (error) {
            codes.push((error as { code: string }).code);
          }
        },
      },
    });
    const dir = testDir();
    const peer = await Peer.start(dir, 'server-1');
    const from = await startService(asker, { dir, limits: { logBytes: 1 << 18 } });
    running.push(peer, from);
    const replies = [
      new Uint8Array(0),
      new Uint8Array(new Int32Array([typeNamed('ask'), 0]).buffer),
      new Uint8Array([...new Uint8Array(new Int32Array([typeNamed('ask'), 0]).buffer), ...new Uint8Array(8).fill(255)]),
      new Uint8Array(new Int32Array([typeNamed('free'), 0, 0, 0]).buffer),
      new Uint8Array(new Int32Array([typeNamed('ask'), 0, 0, 0]).buffer),
    ];
    from.core.transact(() => {
      for (const _ of replies) from.logic.ask(server, 'ask', { n: 1 }, { answer: 'told' });
    });
    await until(() => peer.heard.length === replies.length);
    for (const [k, said] of replies.entries())
      peer.say(from.core.self.index, ANSWER, peer.heard[k]!.a, peer.heard[k]!.b, said);
    await until(() => codes.length === replies.length);
    expect(codes).toEqual(['RUNTIME_ILL_FORMED', 'ok', 'RUNTIME_ILL_FORMED', 'RUNTIME_UNKNOWN_MESSAGE', 'ok']);
  });
});

describe('a message of a gateway', () => {
  class Player extends struct({ gold: int }) {}
  const land = service('land', {
    state: state({ players: pool(Player) }),
    protocol: protocol({ walk: command({ n: int }), shown: event({}) }),
    me: 'players',
    on: { walk() {} },
  });

  it('that is cut short is refused, and the others go on', async () => {
    const w = await world(land);
    for (const type of [INPUT, LEAVE]) w.say(type, 1, 1, new Uint8Array(0));
    w.say(INPUT, 1, 1, new Uint8Array(16));
    w.say(PICTURE, 1, 1, new Uint8Array(0));
    w.say(JOIN, 1, 1, new Uint8Array(0));
    const refusals = () => w.peer.heard.filter(({ type }) => type === REFUSED).map(({ a, b }) => [a, b]);
    await until(() => refusals().length === 3);
    expect(refusals()).toEqual([
      [INPUT, 1],
      [LEAVE, 1],
      [INPUT, 1],
    ]);
    expect(w.to.logic.counts.illFormed).toBe(3);
    await until(() => w.to.core.store.pools.get('players')!.size === 1);
  });
});

it('msgpack between players and their service is refused when the service is defined', () => {
  class Player extends struct({ gold: int }) {}
  const State = state({ players: pool(Player) });
  const define = (messages: object, on: object) => () =>
    service('land', { state: State, protocol: protocol(messages as never), me: 'players', on } as never);
  expect(define({ a: command(msgpack()) }, { a() {} })).toThrow(
    /command a is msgpack, and from players; want bytes\(\)/,
  );
  expect(define({ a: request({}, msgpack()) }, { a() {} })).toThrow(/request a is msgpack/);
  expect(define({ a: request({}, msgpack(), { from: 'services' }) }, { a() {} })).not.toThrow();
});
