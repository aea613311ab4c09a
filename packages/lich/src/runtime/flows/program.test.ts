/** The program of docs/flows.md runs, with another service that is asked, and is begun again in the middle. */
import { CodedError, int, own, pool, protocol, ref, request, state, struct, text } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

const Bank = protocol({ charge: request({ amount: int }, { left: int }), refund: request({ amount: int }, {}) });
const bank = service('bank', {
  state: state({ gold: int }),
  protocol: Bank,
  start({ state }) {
    state.gold = 100;
  },
  on: {
    charge({ state }, { amount }) {
      if (state.gold < amount) throw new CodedError('BANK_POOR', `${state.gold} are left`);
      state.gold -= amount;
      return { left: state.gold };
    },
    refund({ state }, { amount }) {
      state.gold += amount;
      return {};
    },
  },
});

class Hero extends struct({ name: text(24), gold: int, swords: int }) {}
const Shop = protocol({
  buy: own({ who: ref<Hero>('heroes'), price: int }),
  deliver: own({ days: int }),
  open: own({}),
});
const letters: string[] = [];
const sendLetter = (text: string, o: { idempotencyKey: string; signal: AbortSignal }): Promise<string> => {
  letters.push(o.idempotencyKey);
  return Promise.resolve(`${text} sent`);
};

const shop = service('shop', {
  state: state({ heroes: pool(Hero), sold: int, delivered: int, opened: int }),
  protocol: Shop,
  config: { tax: 5 },
  start({ state }) {
    state.heroes.create({ name: 'Ada', gold: 20 });
  },
  on: {
    open(ctx) {
      const id = ctx.startFlow('deliver', { days: 3 });
      if (ctx.state.opened++ > 0) ctx.cancelFlow(id);
    },
  },
  flows: {
    *buy(ctx, { who, price }) {
      const paid = yield* ctx.do('pay', ({ state }) => {
        const hero = who && state.heroes.resolve(who.slot, who.generation);
        if (!hero || hero.gold < price) return false;
        hero.gold -= price;
        return true;
      });
      if (!paid) return; // still so after a kill: the step is not done again

      ctx.onUndo(() =>
        ctx.do('give back', ({ state }) => {
          const hero = who && state.heroes.resolve(who.slot, who.generation);
          if (hero) hero.gold += price;
        }),
      );
      yield* ctx.call(bank, 'charge', { amount: ctx.config.tax }, { withinMs: 5_000 });
      yield* ctx.do('hand over', ({ state }) => {
        const hero = who && state.heroes.resolve(who.slot, who.generation);
        if (hero) hero.swords++;
        state.sold++;
      });
    },
    deliver: {
      version: 2,
      accepts: 1, // flows that version 1 began go on with this code
      *run(ctx, { days }) {
        if (ctx.version >= 2)
          yield* ctx.effect('letter', (idempotencyKey, signal) => sendLetter('coming', { idempotencyKey, signal }));
        const won = yield* ctx.race({ morning: ctx.sleep(10), never: ctx.sleep(86_400_000) });
        yield* ctx.do(({ state }) => {
          if (won.by === 'morning') state.delivered++;
        });
        return days > 1 ? ctx.again({ days: days - 1 }) : undefined;
      },
    },
  },
});

let running: Running[] = [];
afterEach(async () => {
  for (const each of running) await each.stop();
  running = [];
  removeTestDirs();
});

it('the program of the page runs', async () => {
  const dir = testDir();
  const start = async (what: unknown): Promise<Running> => {
    const one = await startService(what as never, { dir, limits: { logBytes: 1 << 20 } });
    running.push(one);
    return one;
  };
  const vault = await start(bank);
  let store = await start(shop);
  const flows = (): number => store.core.store.pools.get('$flows')!.size;
  const buy = (price: number): void => {
    const ctx = store.logic as any;
    store.core.transact(() => ctx.startFlow('buy', { who: store.state.heroes.get(0), price }));
  };
  buy(21);
  await until(() => flows() === 0);
  expect(store.state.heroes.get(0)).toMatchObject({ gold: 20, swords: 0 });

  buy(20);
  await until(() => store.state.heroes.get(0).gold === 0);
  // The price is taken, and the flow begins again: it must not find that the hero is too poor.
  await store.stop();
  running.pop();
  store = await start(shop);
  await until(() => flows() === 0);
  expect(store.state.heroes.get(0)).toMatchObject({ gold: 0, swords: 1 });
  expect(vault.state.gold).toBe(95);

  // The bank says no: what was done is undone.
  vault.core.transact(() => void (vault.state.gold = 1));
  store.core.transact(() => void (store.state.heroes.get(0).gold = 7));
  buy(7);
  await until(() => flows() === 0);
  expect(store.state.heroes.get(0)).toMatchObject({ gold: 7, swords: 1 });
  expect(store.lines.find(({ message }) => message === 'flow buy failed')!.data.err.code).toBe('BANK_POOR');

  // One is delivered on three days; the other one is cancelled before it begins.
  const post = (): void => store.core.transact(() => (store.logic as any).post('open', {}));
  post();
  await until(() => store.state.opened === 1);
  post();
  await until(() => store.state.opened === 2 && flows() === 0);
  expect(store.state.delivered).toBe(3);
  expect(new Set(letters).size).toBe(3);
  for (const each of [store, vault]) expect(each.core.store.check()).toEqual([]);
});
