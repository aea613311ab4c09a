/** Topics over real segments, in one process: who hears what, over lives and new nodes, what a slow one misses, and what
 * comes in bytes that nobody wrote. */
import { bytes, command, int, msgpack, protocol, state, text, topic } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { typeOf } from '../bus/index.ts';
import { removeNode } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import { hear } from './hear.ts';
import { hashOfName } from './names.ts';
import { service } from './service.ts';
import { MISSED, PUBLICATION, REFUSED, SUBSCRIBE, tagOfProtocol } from './system-messages.ts';

const MarketProtocol = protocol({
  price: topic({ symbol: text(8), value: int }),
  best: topic({ symbol: text(8), value: int }, { replaces: 'symbol' }),
  blob: topic(bytes()),
  news: topic(msgpack<{ readonly text: string }>()),
});
const market = service('market', { state: state({ n: int }), protocol: MarketProtocol, on: {} });
const typeNamed = (name: string): number => typeOf(tagOfProtocol(MarketProtocol), MarketProtocol.byName.get(name)!.id);

let doing: (heard: unknown) => void = () => {};
const hearers = (hears: object): any =>
  service('board', {
    state: state({ heard: int, missed: int, sum: int }),
    protocol: protocol({ go: command({}) }),
    on: { go() {} },
    hears: hears as never,
  });
const heard: unknown[] = [];
const handle = (ctx: any, payload: any, from: string): void => {
  ctx.state.heard++;
  ctx.state.sum += payload.value ?? 0;
  const said = payload instanceof Uint8Array ? [...payload] : payload;
  heard.push([from, said]);
  doing(said);
};
const prices = { prices: { topic: hear(market, 'price'), handle } };
const board = hearers(prices);

let running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  heard.length = 0;
  doing = () => {};
  removeTestDirs();
});
async function start(what: any, dir: string, name?: string, limits: object = {}): Promise<Running> {
  const one = await startService(what, { dir, ...(name && { name }), limits: { logBytes: 1 << 18, ...limits } });
  running.push(one);
  return one;
}
async function peer(dir: string, name: string): Promise<Peer> {
  const one = await Peer.start(dir, name);
  running.push(one);
  return one;
}
async function end(one: Running | Peer): Promise<void> {
  running = running.filter(each => each !== one);
  await one.stop();
}
function publish(from: Running, name: string, payload: object): boolean {
  let all = false;
  from.core.transact(() => void (all = from.logic.publish(name, payload)));
  return all;
}
const subscribers = (of: Running): number => of.core.store.pools.get('$subscribers')!.size;

describe('a topic', () => {
  it('is heard by all who say so, in the order of each publisher, with what it says', async () => {
    const dir = testDir();
    const one = await start(market, dir);
    const boards = [await start(board, dir, 'board-1'), await start(board, dir, 'board-2')];
    const two = await start(market, dir, 'market-2');
    await until(() => subscribers(one) === 2 && subscribers(two) === 2);
    for (let value = 1; value <= 3; value++) {
      expect(publish(one, 'price', { symbol: 'A', value })).toBe(true);
      expect(publish(two, 'price', { symbol: 'B', value })).toBe(true);
      expect(publish(one, 'best', { symbol: 'A', value })).toBe(true);
    }
    await until(() => heard.length === 12);
    for (const [from, symbol] of [
      ['market-1', 'A'],
      ['market-2', 'B'],
    ]) {
      const said = heard.filter(each => (each as [string])[0] === from).map(each => (each as [string, object])[1]);
      // Of two boards, which take turns.
      const values = said.map(each => (each as { value: number }).value);
      expect(values.filter((value, k) => values.indexOf(value) === k)).toEqual([1, 2, 3]);
      expect(said).toEqual(values.map(value => ({ symbol, value })));
    }
    expect(boards.map(each => each.state.sum)).toEqual([12, 12]);
  });

  it('may be bytes or msgpack, and be heard in several places', async () => {
    const dir = testDir();
    const from = await start(market, dir);
    const places = {
      blob: { topic: hear(market, 'blob'), handle },
      again: { topic: hear(market, 'blob'), handle },
      news: { topic: hear(market, 'news'), handle },
    };
    await start(hearers(places), dir);
    await until(() => subscribers(from) === 3);
    publish(from, 'blob', new Uint8Array([1, 2, 3]));
    publish(from, 'news', { text: 'x'.repeat(5_000) });
    await until(() => heard.length === 3);
    expect(heard).toEqual([
      ['market-1', [1, 2, 3]],
      ['market-1', [1, 2, 3]],
      ['market-1', { text: 'x'.repeat(5_000) }],
    ]);
    expect(() => publish(from, 'blob', { no: 'bytes' })).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
  });

  it('is part of the transaction that publishes it', async () => {
    const dir = testDir();
    const from = await start(market, dir);
    await start(board, dir);
    await until(() => subscribers(from) === 1);
    expect(() =>
      from.core.transact(() => {
        from.logic.publish('price', { symbol: 'A', value: 1 });
        throw new Error('on purpose');
      }),
    ).toThrow('on purpose');
    publish(from, 'price', { symbol: 'A', value: 2 });
    await until(() => heard.length === 1);
    expect(heard).toEqual([['market-1', { symbol: 'A', value: 2 }]]);
  });

  it('whose handler throws is undone, and not heard again', async () => {
    const dir = testDir();
    const from = await start(market, dir);
    const to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    doing = said => {
      if ((said as { value: number }).value === 1) throw new Error('on purpose');
    };
    for (const value of [1, 2]) publish(from, 'price', { symbol: 'A', value });
    await until(() => heard.length === 2);
    expect(to.state).toMatchObject({ heard: 1, sum: 2 });
  });
});

describe('who hears', () => {
  it('is told once, and kept over lives of either side', async () => {
    const dir = testDir();
    let from = await start(market, dir);
    let to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    const sent = from.core.bus.inbox.headOf(to.core.self.index);
    await end(to);
    publish(from, 'price', { symbol: 'A', value: 1 });
    await end(from);
    from = await start(market, dir);
    publish(from, 'price', { symbol: 'A', value: 2 });
    to = await start(board, dir);
    await until(() => heard.length === 2);
    publish(from, 'price', { symbol: 'A', value: 3 });
    await until(() => heard.length === 3);
    expect(to.state).toMatchObject({ heard: 3, sum: 6 });
    // A node that says nothing else said nothing more.
    expect(from.core.bus.inbox.headOf(to.core.self.index)).toBe(sent);
  });

  it('follows the code: other places, none, and again', async () => {
    const dir = testDir();
    const from = await start(market, dir);
    let to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    const rows = (): string[] => {
      const found: string[] = [];
      from.core.store.pools.get('$subscribers')!.forEach((one: any) => void found.push(`${one.topic} ${one.place}`));
      return found.sort();
    };
    const row = (topicName: string, place: string): string => `${hashOfName(topicName)} ${hashOfName(place)}`;
    await end(to);
    to = await start(hearers({ ...prices, other: { topic: hear(market, 'best'), handle } }), dir);
    await until(() => subscribers(from) === 2);
    expect(rows()).toEqual([row('price', 'prices'), row('best', 'other')].sort());
    // What was under way to a place that is gone is passed over.
    await end(to);
    publish(from, 'best', { symbol: 'A', value: 1 });
    publish(from, 'price', { symbol: 'A', value: 1 });
    to = await start(board, dir);
    await until(() => subscribers(from) === 1 && heard.length === 1 && to.logic.counts.ignored === 1);
    await end(to);
    to = await start(hearers({}), dir);
    await until(() => subscribers(from) === 0);
    expect(publish(from, 'price', { symbol: 'A', value: 2 })).toBe(true);
    await end(to);
    to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    expect(heard).toEqual([['market-1', { symbol: 'A', value: 1 }]]);
  });

  it('may say so before the publisher has that topic, or while it has not', async () => {
    const dir = testDir();
    const bare = service('market', {
      state: state({ n: int }),
      protocol: protocol({ other: command({}) }),
      on: { other() {} },
    });
    let from = await start(bare, dir);
    await start(board, dir);
    await until(() => subscribers(from) === 1);
    for (const [code, value] of [
      [market, 1],
      [bare, 0],
      [market, 2],
    ] as const) {
      await end(from);
      from = await start(code, dir);
      expect(subscribers(from)).toBe(1);
      if (code === market) publish(from, 'price', { symbol: 'A', value });
    }
    await until(() => heard.length === 2);
    expect(heard.map(each => (each as [string, { value: number }])[1].value)).toEqual([1, 2]);
  });

  it('and was removed is forgotten; made anew it hears again, and so does one whose publisher was made anew', async () => {
    const dir = testDir();
    let from = await start(market, dir);
    let to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    await end(to);
    removeNode(dir, 'board-1');
    await until(() => from.core.bus.inbox.metId(to.core.self.index) === 0);
    expect(publish(from, 'price', { symbol: 'A', value: 1 })).toBe(true);
    expect(subscribers(from)).toBe(0);
    to = await start(board, dir);
    await until(() => subscribers(from) === 1);
    await end(from);
    removeNode(dir, 'market-1');
    from = await start(market, dir);
    await until(() => subscribers(from) === 1);
    publish(from, 'price', { symbol: 'A', value: 2 });
    await until(() => heard.length === 1);
    expect(heard).toEqual([['market-1', { symbol: 'A', value: 2 }]]);
  });
});

describe('a subscriber that is too slow', () => {
  const SUBSCRIBED = new Uint8Array(
    new Uint32Array([2, hashOfName('price'), 1, hashOfName('best'), 2]).buffer as ArrayBuffer,
  );
  const LANES = { lanesBytes: 1 << 20, maxLaneBytes: 65_536 };

  it('is told how many it missed, in their place; the others have them; what replaces is kept', async () => {
    const dir = testDir();
    const slow = await peer(dir, 'slow-1');
    const from = await start(market, dir, 'market-1', LANES);
    const to = await start(board, dir);
    slow.say(from.core.self.index, SUBSCRIBE, 0, 0, SUBSCRIBED);
    await until(() => subscribers(from) === 3);
    slow.paused = true;
    let reached = 0;
    const MANY = 3_000;
    for (let value = 1; value <= MANY; value++) {
      if (publish(from, 'price', { symbol: 'A', value })) reached = value;
      if (value % 100 === 0) await until(() => to.state.heard === value);
    }
    for (let value = 1; value <= 9; value++)
      expect(publish(from, 'best', { symbol: `S${value % 3}`, value })).toBe(true);
    expect(reached).toBeLessThan(MANY);
    expect(publish(from, 'price', { symbol: 'A', value: MANY + 1 })).toBe(false);
    await until(() => to.state.heard === MANY + 1);
    slow.paused = false;
    await until(() => slow.heard.some(({ type }) => type === MISSED));
    publish(from, 'price', { symbol: 'A', value: MANY + 2 });
    const valuesOf = (name: string): number[] =>
      slow.heard
        .filter(({ type, a }) => type === PUBLICATION && a === typeNamed(name))
        .map(({ bytes: said }) => new Float64Array(said.slice(24, 32).buffer)[0]!);
    await until(() => valuesOf('price').at(-1) === MANY + 2 && valuesOf('best').length === 3);
    expect(valuesOf('price')).toEqual([...Array.from({ length: reached }, (_, k) => k + 1), MANY + 2]);
    expect(new Set(valuesOf('best'))).toEqual(new Set([7, 8, 9]));
    // A first one may have had room where a publication had none.
    const missed = slow.heard.filter(({ type }) => type === MISSED);
    expect(missed.every(({ a, b }) => a === typeNamed('price') && b === 1)).toBe(true);
    const counts = missed.map(({ bytes: said }) => new Uint32Array(said.slice(0, 4).buffer)[0]!);
    expect(counts.reduce((x, y) => x + y)).toBe(MANY + 1 - reached);
  });

  it('has it handled', async () => {
    const dir = testDir();
    const publisher = await peer(dir, 'market-1');
    const missed: unknown[] = [];
    const places = {
      prices: {
        topic: hear(market, 'price'),
        handle,
        missed: (_: unknown, ...said: unknown[]) => void missed.push(said),
      },
    };
    const to = await start(hearers(places), dir);
    await until(() => publisher.heard.length === 1);
    const count = new Uint8Array(new Uint32Array([5, 1]).buffer as ArrayBuffer);
    publisher.say(to.core.self.index, MISSED, typeNamed('price'), hashOfName('prices') | 0, count);
    await until(() => missed.length === 1);
    expect(missed).toEqual([[2 ** 32 + 5, 'market-1']]);
  });
});

describe('bytes that nobody wrote', () => {
  it('are refused with a reason, and counted, on both sides', async () => {
    const dir = testDir();
    const publisher = await peer(dir, 'market-1');
    const to = await start(board, dir);
    await until(() => publisher.heard.length === 1);
    const place = hashOfName('prices') | 0;
    const wrong: [type: number, a: number, b: number, said: Uint8Array][] = [
      [PUBLICATION, typeNamed('price'), place, new Uint8Array(0)],
      [PUBLICATION, typeNamed('price'), place, new Uint8Array(32).fill(255)],
      [MISSED, typeNamed('price'), place, new Uint8Array(0)],
      [PUBLICATION, typeNamed('best'), place, new Uint8Array(32)],
      [SUBSCRIBE, 0, 0, new Uint8Array(0)],
    ];
    for (const [type, a, b, said] of wrong) publisher.say(to.core.self.index, type, a, b, said);
    const refusals = () => publisher.heard.filter(({ type }) => type === REFUSED).map(({ a, b }) => [a, b]);
    await until(() => refusals().length === wrong.length);
    expect(refusals()).toEqual([
      [PUBLICATION, 1],
      [PUBLICATION, 1],
      [MISSED, 1],
      [PUBLICATION, 3],
      [SUBSCRIBE, 1],
    ]);
    expect(to.logic.counts).toMatchObject({ illFormed: 4, unknown: 1, failed: 0, handled: 0 });
    // Of a place that is not there: nobody's fault.
    publisher.say(to.core.self.index, PUBLICATION, typeNamed('price'), 12_345, new Uint8Array(32));
    await until(() => to.logic.counts.ignored === 1);

    const from = await start(market, dir, 'market-2');
    await until(() => subscribers(from) === 1);
    const before = subscribers(from);
    for (const said of [new Uint32Array([3, 1, 2]), new Uint32Array([0xffff_ffff]), new Uint32Array(0)])
      publisher.say(from.core.self.index, SUBSCRIBE, 0, 0, new Uint8Array(said.buffer as ArrayBuffer));
    await until(() => from.logic.counts.illFormed === 3);
    expect(subscribers(from)).toBe(before);
  });
});

it('what is heard is checked when the service is defined', () => {
  const define =
    (hears: unknown): (() => unknown) =>
    () =>
      hearers(hears as object);
  for (const hears of [
    5,
    { a: 5 },
    { a: {} },
    { a: { topic: hear(market, 'price') } },
    { a: { topic: hear(market, 'price'), handle: 5 } },
  ])
    expect(define(hears)).toThrow(expect.objectContaining({ code: 'RUNTIME_BAD_SERVICE' }));
  expect(define({ a: { topic: hear(market, 'price'), async handle() {} } })).toThrow(/AsyncFunction/);
  expect(() => hear(market, 'nothing' as never)).toThrow(expect.objectContaining({ code: 'RUNTIME_UNKNOWN_MESSAGE' }));
  expect(() =>
    service('odd', { state: state({}), protocol: protocol({ t: topic({}) }), on: { t() {} } as never }),
  ).toThrow(/no handler: topics go to others/);
});
