/** Requests between services over real segments, in one process: what is answered, refused, late, or never answered. */
import {
  CodedError,
  command,
  event,
  f64,
  int,
  map,
  pool,
  protocol,
  ref,
  request,
  state,
  struct,
  text,
  u32,
} from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { idOf, payloadCodec, tagOf, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, type Running, startService, until } from '../testing/service-rig.ts';
import { RuntimeError } from './errors.ts';
import type { HandlerAskOptions } from './handler-asks.ts';
import type { Answer } from './requests.ts';
import { service } from './service.ts';
import { ANSWER, REFUSAL, REFUSED, tagOfProtocol } from './system-messages.ts';

class Account extends struct({ gold: int, name: text(8) }) {}
const BankState = state({ accounts: pool(Account), charged: int });
const BankProtocol = protocol({
  charge: request({ amount: int }, { left: f64, n: u32, who: ref<Account>('accounts') }),
  note: command({ n: int }),
});
let charging: (ctx: any, amount: number) => unknown = () => ({ left: 1, n: 1 });
const bank = service('bank', {
  state: BankState,
  protocol: BankProtocol,
  on: {
    charge: (ctx, { amount }) => {
      ctx.state.charged++;
      return charging(ctx, amount) as { left: number; n: number };
    },
    note() {},
  },
});

const ShopState = state({ asked: int, told: int, sum: int });
const ShopProtocol = protocol({ go: command({ n: int }), sold: request({ n: int }, { n: int }) });
let going: (ctx: any, n: number) => unknown = () => {};
const told: { answer: string; note: number }[] = [];
let telling: (ctx: any, answer: Answer, note: number) => void = () => {};
const shop = service('shop', {
  state: ShopState,
  protocol: ShopProtocol,
  on: { go: (ctx, { n }) => void going(ctx, n), sold: (_, { n }) => ({ n }) },
  answers: {
    charged(ctx, answer, note) {
      ctx.state.told++;
      told.push({ answer: answer.failed?.code ?? JSON.stringify(answer.of(bank, 'charge')), note });
      telling(ctx, answer, note);
    },
  },
});

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  told.length = 0;
  charging = () => ({ left: 1, n: 1 });
  going = () => {};
  telling = () => {};
  removeTestDirs();
});

const bytesOf = (message: { layout: any }, value: object): Uint8Array => {
  const segment = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
  payloadCodec(message.layout, { resolve: () => undefined }).write(segment, 8192, value as never);
  return segment.u8.slice(8192, 8192 + message.layout.bytes);
};
const goType = typeOf(tagOfProtocol(ShopProtocol), 0);
const chargeType = typeOf(tagOfProtocol(BankProtocol), 0);
/** [type as the server has it][0][the reply] */
const answerOf = (reply: object): Uint8Array => {
  const bytes = bytesOf({ layout: BankProtocol.byName.get('charge')!.reply }, reply);
  return new Uint8Array([...new Uint8Array(new Int32Array([chargeType, 0]).buffer), ...bytes]);
};
const text8 = new TextDecoder();
function refusalOf(bytes: Uint8Array): { code: string; message: string } {
  const [code, message] = new Uint32Array(bytes.slice(0, 8).buffer) as unknown as [number, number];
  return {
    code: text8.decode(bytes.slice(8, 8 + code)),
    message: text8.decode(bytes.slice(8 + code, 8 + code + message)),
  };
}

async function start(what: any, dir: string, o: object = {}): Promise<Running> {
  const running = await startService(what, { dir, limits: { logBytes: 1 << 18 }, ...o });
  cleanUp.push(async () => {
    expect(running.core.store.check()).toEqual([]);
    await running.stop();
  });
  return running;
}

/** A shop, and somebody who tells it to ask. */
async function world(dir = testDir()): Promise<{ dir: string; shop: Running; peer: Peer; go(n: number): void }> {
  const peer = await Peer.start(dir, 'peer-1');
  cleanUp.push(() => peer.stop());
  const running = await start(shop, dir);
  const bytes = (n: number): Uint8Array => bytesOf(ShopProtocol.byName.get('go')!, { n });
  return { dir, shop: running, peer, go: n => peer.say(running.core.self.index, goType, 0, 0, bytes(n)) };
}
const ask = (ctx: any, amount: number, options: Partial<HandlerAskOptions> = {}): number =>
  ctx.ask(bank, 'charge', { amount }, { withinMs: 60_000, answer: 'charged', note: amount, ...options });

describe('a request', () => {
  it('is answered with what its handler returns, whatever the numbers', async () => {
    const w = await world();
    await start(bank, w.dir);
    charging = (_, amount) => ({ left: amount / 4, n: 0xffff_fff0 });
    going = (ctx, n) => ask(ctx, n, { note: n === 3 ? -1.5 : 2 ** 53 - 1 });
    w.go(3);
    w.go(5);
    await until(() => told.length === 2);
    expect(told).toEqual([
      { answer: '{"left":0.75,"n":4294967280}', note: -1.5 },
      { answer: '{"left":1.25,"n":4294967280}', note: 2 ** 53 - 1 },
    ]);
  });

  it('is refused with the code of what its handler threw, which is undone', async () => {
    const w = await world();
    const server = await start(bank, w.dir);
    charging = (_, amount) => {
      if (amount === 1) throw new TypeError('a bug, with a secret');
      if (amount === 2) return { left: 'much', n: 0 };
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', 'coded');
    };
    const messages: string[] = [];
    telling = (_, answer) => void messages.push(answer.failed!.message);
    going = ask;
    for (const n of [1, 2, 3]) w.go(n);
    await until(() => told.length === 3);
    expect(told.map(t => t.answer)).toEqual(['RUNTIME_HANDLER_FAILED', 'SCHEMA_RANGE', 'RUNTIME_UNKNOWN_MESSAGE']);
    expect(messages[0]).toBe('charge failed and was undone');
    expect(messages[2]).toBe('coded');
    expect(server.state.charged).toBe(0);
  });

  it('and what `of` is asked for has to be what was asked', async () => {
    const w = await world();
    await start(bank, w.dir);
    const errors: string[] = [];
    telling = (_, answer) => {
      for (const read of [
        () => answer.of(shop as never, 'sold' as never),
        () => answer.of(bank as never, 'note' as never),
      ])
        try {
          read();
        } catch (error) {
          errors.push((error as RuntimeError).code);
        }
    };
    going = ask;
    w.go(1);
    await until(() => told.length === 1);
    expect(errors).toEqual(['RUNTIME_UNKNOWN_MESSAGE', 'RUNTIME_UNKNOWN_MESSAGE']);
  });

  it('that its receiver does not know is refused', async () => {
    const w = await world();
    await start(bank, w.dir);
    const other = { name: 'bank', protocol: protocol({ charge: request({ amount: int, tip: int }, { left: int }) }) };
    going = ctx => ctx.ask(other, 'charge', { amount: 1, tip: 1 }, { withinMs: 60_000, answer: 'charged' });
    w.go(1);
    await until(() => told.length === 1);
    expect(told[0]!.answer).toBe('RUNTIME_UNKNOWN_MESSAGE');
  });

  it('of a handler that is undone was never asked', async () => {
    const w = await world();
    const server = await start(bank, w.dir);
    going = (ctx, n) => {
      ask(ctx, n);
      if (n === 1) throw new Error('on purpose');
    };
    w.go(1);
    w.go(2);
    await until(() => told.length === 1);
    expect(told[0]!.note).toBe(2);
    expect(server.state.charged).toBe(1);
  });

  it('is no more than a part of an attempt', async () => {
    const w = await world();
    const server = await start(bank, w.dir);
    going = ctx => {
      ctx.attempt(undefined, () => {
        ask(ctx, 1);
        throw new Error('on purpose');
      });
      expect(() => ask(ctx, 'x' as never)).toThrow(/amount/);
      expect(() => ask(ctx, 1, { answer: 'nobody' })).toThrow(/answers.nobody/);
      expect(() => ask(ctx, 1, { withinMs: 0.5 })).toThrow(RangeError);
      ask(ctx, 2);
    };
    w.go(1);
    await until(() => told.length === 1);
    expect(told[0]!.note).toBe(2);
    expect(server.state.charged).toBe(1);
  });

  it('can be given up, and nothing comes', async () => {
    const w = await world();
    const server = await start(bank, w.dir);
    going = (ctx, n) => {
      const handle = ask(ctx, n);
      if (n === 1) expect([ctx.cancel(handle), ctx.cancel(handle)]).toEqual([true, false]);
    };
    w.go(1);
    w.go(2);
    await until(() => told.length === 1);
    expect(told[0]!.note).toBe(2);
    expect(server.state.charged).toBe(2);
  });

  it('whose answer is thrown at is over, and what the throw undid is not counted', async () => {
    const w = await world();
    await start(bank, w.dir);
    telling = (_, __, note) => {
      if (note === 1) throw new Error('on purpose');
    };
    going = ask;
    w.go(1);
    w.go(2);
    await until(() => told.length === 2);
    expect(w.shop.state.told).toBe(1);
  });

  it('to oneself is one like any other', async () => {
    const w = await world();
    const seen: number[] = [];
    going = (ctx, n) => ctx.ask(shop, 'sold', { n }, { withinMs: 60_000, answer: 'charged' });
    telling = (_, answer) => void seen.push(answer.of(shop, 'sold').n);
    // `told` asks for the wrong one, and throws before it can tell: this test looks at the right one alone.
    going = (ctx, n) => {
      expect(ctx.ask(shop, 'sold', { n }, { withinMs: 60_000, answer: 'charged' })).toBeGreaterThan(0);
    };
    w.go(7);
    await until(() => w.shop.logic.counts.failed === 1);
    expect(seen).toEqual([]);
  });
});

describe('an answer', () => {
  it('that names no request, another one, or comes twice or from somebody else is dropped', async () => {
    const w = await world();
    const server = await Peer.start(w.dir, 'bank-1');
    cleanUp.push(() => server.stop());
    going = ask;
    w.go(1);
    await until(() => server.heard.length === 1);
    const { type, a, b } = server.heard[0]!;
    expect([type, a > 0]).toEqual([chargeType, true]);
    const reply = answerOf({ left: 2, n: 2 });
    const shopIndex = w.shop.core.self.index;
    w.peer.say(shopIndex, ANSWER, a, b, reply);
    for (const [x, y] of [
      [a + 1, b],
      [a, b + 1],
      [0, 0],
      [-1, -1],
      [2 ** 24, b],
    ] as const)
      server.say(shopIndex, ANSWER, x, y, reply);
    server.say(shopIndex, ANSWER, a, b, reply);
    server.say(shopIndex, ANSWER, a, b, reply);
    server.say(shopIndex, REFUSAL, a, b, new Uint8Array(8));
    await until(() => told.length === 1);
    w.go(2);
    await until(() => server.heard.length === 2);
    server.say(shopIndex, ANSWER, server.heard[1]!.a, server.heard[1]!.b, reply);
    await until(() => told.length === 2);
    expect(told.map(({ note }) => note)).toEqual([1, 2]);
  });

  it('that is too short, or says no reason, is a failure and no crash', async () => {
    const w = await world();
    const server = await Peer.start(w.dir, 'bank-1');
    cleanUp.push(() => server.stop());
    going = ask;
    for (const n of [1, 2, 3]) w.go(n);
    await until(() => server.heard.length === 3);
    const [first, second, third] = server.heard as [any, any, any];
    const to = w.shop.core.self.index;
    server.say(to, ANSWER, first.a, first.b, new Uint8Array(4));
    server.say(to, REFUSAL, second.a, second.b, new Uint8Array(0));
    server.say(to, REFUSAL, third.a, third.b, new Uint8Array(8).fill(255));
    await until(() => told.length === 2 && w.shop.logic.counts.failed === 1);
    expect(told.map(t => t.answer)).toEqual(['RUNTIME_HANDLER_FAILED', 'RUNTIME_HANDLER_FAILED']);
  });

  it('that comes after the deadline is dropped', async () => {
    const w = await world();
    const server = await Peer.start(w.dir, 'bank-1');
    cleanUp.push(() => server.stop());
    going = (ctx, n) => ask(ctx, n, { withinMs: 5 });
    w.go(1);
    await until(() => told.length === 1 && server.heard.length === 1);
    expect(told).toEqual([{ answer: 'RUNTIME_ASK_TIMEOUT', note: 1 }]);
    const { a, b } = server.heard[0]!;
    const reply = answerOf({ left: 2, n: 2 });
    server.say(w.shop.core.self.index, ANSWER, a, b, reply);
    going = (ctx, n) => ask(ctx, n);
    w.go(2);
    await until(() => server.heard.length === 2);
    expect(told.length).toBe(1);
    expect(w.shop.state.told).toBe(1);
  });

  it('that has no room waits in the state, and nobody waits for it', async () => {
    const dir = testDir();
    const server = await start(bank, dir, { limits: { logBytes: 1 << 18, lanesBytes: 1 << 20, maxLaneBytes: 65_536 } });
    const [asker, other] = [await Peer.start(dir, 'peer-1'), await Peer.start(dir, 'peer-2')];
    cleanUp.push(
      () => asker.stop(),
      () => other.stop(),
    );
    asker.paused = true;
    const bytes = bytesOf(BankProtocol.byName.get('charge')!, { amount: 1 });
    const MANY = 3_000;
    for (let n = 1; n <= MANY; n++) asker.say(server.core.self.index, chargeType, n, 7, bytes);
    await until(() => server.state.charged === MANY);
    other.say(server.core.self.index, chargeType, 1, 1, bytes);
    await until(() => other.heard.length === 1);
    expect(server.core.store.check()).toEqual([]);
    asker.paused = false;
    await until(() => asker.heard.length === MANY);
    expect(new Set(asker.heard.map(({ type, a, b }) => `${type} ${a} ${b}`)).size).toBe(MANY);
    expect(asker.heard.every(({ type, b }) => type === ANSWER && b === 7)).toBe(true);
  });
});

describe('a service with players', () => {
  class Player extends struct({ gold: int }) {}
  const P = protocol({
    walk: command({ n: int }),
    grant: command({ n: int }, { from: 'services' }),
    count: request({ n: int }, { n: int }, { from: 'both' }),
    buy: request({ n: int }, { n: int }),
    seen: event({ n: int }),
  });
  const scene = service('scene', {
    state: state({ players: pool(Player), granted: int }),
    protocol: P,
    me: 'players',
    on: {
      walk() {},
      grant({ state: s }, { n }) {
        s.granted += n;
      },
      count: ({ me }, { n }) => ({ n: me === undefined ? n : -1 }),
      buy: (_, { n }) => ({ n }),
    },
  });
  const tag = tagOfProtocol(P);
  const say = (peer: Peer, to: Running, name: string, a: number, n: number): void => {
    const message = P.byName.get(name)!;
    peer.say(to.core.self.index, typeOf(tag, message.id), a, 1, bytesOf(message, { n }));
  };

  it('takes from services what is said to be from services, and refuses the rest', async () => {
    const dir = testDir();
    const running = await start(scene, dir);
    const peer = await Peer.start(dir, 'peer-1');
    cleanUp.push(() => peer.stop());
    say(peer, running, 'grant', 0, 5);
    say(peer, running, 'walk', 0, 5);
    say(peer, running, 'count', 3, 8);
    say(peer, running, 'buy', 4, 8);
    await until(() => peer.heard.length === 3);
    expect(running.state.granted).toBe(5);
    const [walked, counted, bought] = peer.heard as [any, any, any];
    expect([walked.type, idOf(walked.a), tagOf(walked.a)]).toEqual([REFUSED, 0, tag]);
    expect([counted.type, counted.a, new Float64Array(counted.bytes.slice(8, 16).buffer)[0]]).toEqual([ANSWER, 3, 8]);
    expect([bought.type, bought.a, refusalOf(bought.bytes).code]).toEqual([REFUSAL, 4, 'RUNTIME_UNKNOWN_MESSAGE']);
  });
});

describe('the example of docs/requests.md', () => {
  // Of the bank.
  const Counter = protocol({
    charge: request({ player: int, amount: int }, { left: int }),
  });
  const counter = service('counter', {
    state: state({ gold: map(int, int) }),
    protocol: Counter,
    start({ state: s }) {
      s.gold.set(7, 30);
    },
    on: {
      charge({ state: s }, { player, amount }) {
        const left = (s.gold.get(player) ?? 0) - amount;
        if (left < 0) throw new TooPoor('BANK_TOO_POOR', `${amount} are too much`);
        s.gold.set(player, left);
        return { left };
      },
    },
  });
  class TooPoor extends CodedError {}

  // Of the shop.
  const Market = protocol({
    buy: command({ player: int, price: int }, { from: 'services' }),
  });
  const market = service('market', {
    state: state({ sold: int, poor: int, unknown: int, left: int }),
    protocol: Market,
    on: {
      buy(ctx, { player, price }) {
        ctx.ask(counter, 'charge', { player, amount: price }, { withinMs: 5_000, answer: 'charged', note: player });
      },
    },
    answers: {
      charged({ state: s }, answer, player) {
        if (answer.failed?.code === 'RUNTIME_ASK_TIMEOUT') s.unknown++;
        else if (answer.failed) s.poor += player;
        else {
          s.left = answer.of(counter, 'charge').left;
          s.sold++;
        }
      },
    },
  });

  it('takes the gold once, or says why not', async () => {
    const dir = testDir();
    await start(counter, dir);
    const running = await start(market, dir);
    const peer = await Peer.start(dir, 'peer-1');
    cleanUp.push(() => peer.stop());
    const buy = Market.byName.get('buy')!;
    for (const price of [20, 20])
      peer.say(running.core.self.index, typeOf(tagOfProtocol(Market), 0), 0, 0, bytesOf(buy, { player: 7, price }));
    await until(() => running.state.sold + running.state.poor === 8);
    expect(running.state).toMatchObject({ sold: 1, poor: 7, unknown: 0, left: 10 });
  });
});
