/** Steps that are over at the same time: the record has what came of each, also of those that a race does not need. */
import { int, own, pool, protocol, ref, request, state, struct } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

class Coin extends struct({ worth: int }) {}
const Bank = protocol({ toss: request({ n: int }, { n: int, coin: ref<Coin>('coins') }) });
const bank = service('bank', {
  state: state({ coins: pool(Coin), tosses: int }),
  protocol: Bank,
  start({ state }) {
    state.coins.create({ worth: 2 });
  },
  on: {
    toss({ state }, { n }) {
      state.tosses++;
      return { n, coin: state.coins.get(0) };
    },
  },
});
type Flow = (ctx: any, payload: any) => Generator<any, any, any>;
const scene = (run: Flow) =>
  service('scene', {
    state: state({ sum: int }),
    protocol: protocol({ go: own({}) }),
    on: {},
    flows: { go: run } as never,
  } as never);

let running: Running[] = [];
afterEach(async () => {
  for (const each of running) await each.stop();
  running = [];
  removeTestDirs();
});
const limits = { logBytes: 65_536 };

it('two that are over at once', async () => {
  const dir = testDir();
  const seen: unknown[] = [];
  running.push(await startService(bank as never, { dir, limits }));
  const one = await startService(
    scene(function* (ctx) {
      seen.push(yield* ctx.race({ a: ctx.sleep(5), b: ctx.sleep(5), c: ctx.sleep(5) }));
      seen.push(yield* ctx.race({ a: ctx.call(bank, 'toss', { n: 1 }), b: ctx.call(bank, 'toss', { n: 2 }) }));
      seen.push(yield* ctx.call(bank, 'toss', { n: 3 }));
    }) as never,
    { dir, limits },
  );
  running.push(one);
  one.core.transact(() => void (one.logic as any).startFlow('go', {}));
  await until(() => one.core.store.pools.get('$flows')!.size === 0 || one.lines.some(({ level }) => level === 'error'));
  expect(one.lines.filter(({ level }) => level === 'error')).toEqual([]);
  const coin = { slot: 0, generation: 1 };
  expect(seen).toEqual([
    { by: 'a', value: undefined },
    { by: 'a', value: { n: 1, coin } },
    { n: 3, coin },
  ]);
});

it('an answer that comes while its flow cannot go on is kept', async () => {
  const dir = testDir();
  const seen: unknown[] = [];
  const right: Flow = function* (ctx) {
    yield* ctx.do('first', () => {});
    seen.push(yield* ctx.call(bank, 'toss', { n: 4 }));
    seen.push(yield* ctx.call(bank, 'toss', { n: 5 }));
  };
  const start = (run: Flow): Promise<Running> => startService(scene(run) as never, { dir, limits });
  const vault = await startService(bank as never, { dir, limits });
  await vault.stop();
  let one = await start(right);
  one.core.transact(() => void (one.logic as any).startFlow('go', {}));
  const flow = () => one.core.store.pools.get('$flows')!.get(0) as any;
  await until(() => flow().waits.length === 1);
  await one.stop();
  // Code that does not go on with it is there when the bank answers.
  one = await start(function* (ctx) {
    yield* ctx.do('other', () => {});
  });
  running.push(await startService(bank as never, { dir, limits }));
  await until(() => flow().waits.length === 0 && flow().stuck === 1);
  expect(flow().steps.map(({ failed }: any) => failed)).toEqual([0, 2]);
  await one.stop();
  one = await start(right);
  running.push(one);
  await until(() => flow() === undefined);
  const coin = { slot: 0, generation: 1 };
  expect(seen).toEqual([
    { n: 4, coin },
    { n: 5, coin },
  ]);
  expect(running[0]!.state.tosses).toBe(2);
  for (const each of running) expect(each.core.store.check()).toEqual([]);
});

it('one that is cancelled in the moment in which it ends has ended', async () => {
  const one = await startService(
    scene(function* (ctx) {
      yield* ctx.sleep(60_000);
    }) as never,
    { dir: testDir(), limits },
  );
  running.push(one);
  let id = 0;
  one.core.transact(() => void (id = (one.logic as any).startFlow('go', {})));
  const flow = () => one.core.store.pools.get('$flows')!.get(0) as any;
  await until(() => flow().waits.length === 1);
  // Between the end of its sleep and the turn that sees it.
  one.core.transact(() => {
    flow().steps.push({ op: 0, kind: 2, failed: 0, atMs: one.core.now, label: '', value: new Uint8Array([0]) });
    flow().waits.clear();
    (one.logic as any).cancelFlow(id);
  });
  await until(() => flow() === undefined || one.lines.some(({ level }) => level === 'error'));
  expect(one.lines.filter(({ level }) => level !== 'info')).toEqual([]);
});
