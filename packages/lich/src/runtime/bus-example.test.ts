/** The examples of docs/bus.md, run. */
import { bytes, command, int, map, msgpack, own, protocol, request, state, text, topic } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import { hear } from './hear.ts';
import { service } from './service.ts';

interface Filter {
  readonly symbols: readonly string[];
  readonly since?: Date;
}
const Market = protocol({
  price: topic({ symbol: text(8), value: int }),
  best: topic({ symbol: text(8), value: int }, { replaces: 'symbol' }),
});
const market = service('market', { state: state({ n: int }), protocol: Market, on: {} });

const Store = protocol({
  put: command({ player: int, gold: int }),
  load: request({ player: int }, bytes()),
  find: request(msgpack<Filter>(), msgpack<readonly number[]>()),
  online: command({ player: int, where: text(16) }, { replaces: 'player' }),
  reload: command({}),
});
const store = service('store', {
  state: state({ gold: map(int, int), loaded: int, reloaded: int }),
  protocol: Store,
  on: {
    put({ state: s }, { player, gold }) {
      s.gold.set(player, gold);
    },
    load: (_, { player }) => new TextEncoder().encode(`player ${player}`),
    find: ({ state: s }, { symbols }) => [...s.gold.keys()].slice(0, symbols.length),
    online() {},
    reload({ state: s }) {
      s.reloaded++;
    },
  },
});

const board = service('board', {
  state: state({ last: map(text(8), int), missed: int }),
  protocol: protocol({}),
  on: {},
  hears: {
    prices: {
      topic: hear(market, 'price'),
      handle({ state: s }, { symbol, value }, from) {
        s.last.set(symbol, value);
        if (from !== 'market-1') throw new Error('who is that?');
      },
      missed({ state: s }, count) {
        s.missed += count;
      },
    },
  },
});

const game = service('game', {
  state: state({ text: text(32), found: int }),
  protocol: protocol({ save: own({ player: int }) }),
  on: {},
  answers: {
    loaded(ctx, answer) {
      const blob = answer.of(store, 'load');
      ctx.state.text = new TextDecoder().decode(blob.slice());
    },
  },
  flows: {
    *save(ctx, { player }) {
      yield* ctx.send(store, 'put', { player, gold: 5 }, { key: player });
      yield* ctx.send(store, 'reload', {}, 'all');
      const found = yield* ctx.call(store, 'find', { symbols: ['A'] }, { key: player });
      yield* ctx.do(({ state: s }) => void (s.found = found.length));
    },
  },
});

const running: Running[] = [];
afterEach(async () => {
  await stopAll(running);
  removeTestDirs();
});

it('does what the page says', async () => {
  const dir = testDir();
  const start = async (what: any, name?: string): Promise<Running> => {
    const one = await startService(what, { dir, ...(name && { name }), limits: { logBytes: 1 << 18 } });
    running.push(one);
    return one;
  };
  const stores = [await start(store, 'store-1'), await start(store, 'store-2')];
  const [from, to, at] = [await start(game), await start(board), await start(market)];
  await until(() => at.core.store.pools.get('$subscribers')!.size === 1);
  at.core.transact(() => {
    at.logic.publish('price', { symbol: 'A', value: 3 });
    at.logic.publish('best', { symbol: 'A', value: 3 });
  });
  from.core.transact(() => {
    from.logic.startFlow('save', { player: 7 });
    from.logic.ask(store, 'load', { player: 9 }, { key: 9, answer: 'loaded' });
    from.logic.send(store, 'online', { player: 7, where: 'town' }, 1);
  });
  await until(() => to.state.last.get('A') === 3 && from.state.found === 1 && from.state.text !== '');
  expect(from.state.text).toBe('player 9');
  expect(stores.map(each => each.state.reloaded)).toEqual([1, 1]);
  expect(stores[0]!.state.gold.size + stores[1]!.state.gold.size).toBe(1);
});
