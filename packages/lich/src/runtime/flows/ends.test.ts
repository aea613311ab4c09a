/** Flows that people look at and end, and how many there may be. */
import { int, own, protocol, request, state } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { readCounters } from '../report/counters.ts';
import { attachSegment } from '../../shm/index.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { giveOrder } from '../orders.ts';
import { service } from '../service.ts';
import { listFlows } from './list.ts';

const Shop = protocol({ order: request({ n: int }, { n: int }), wait: own({}), nap: own({}) });
const shop = service('shop', {
  state: state({ begun: int, undone: int, aborted: int }),
  protocol: Shop,
  on: {},
  flows: {
    *order(ctx, { n }) {
      ctx.onUndo(() => ctx.do(({ state: all }) => void all.undone++));
      yield* ctx.do('begin', ({ state: all }) => void all.begun++);
      yield* ctx.all([ctx.sleep(60_000), ctx.effect('never', () => new Promise(() => {}))]);
      return { n };
    },
    *wait(ctx) {
      yield* ctx.sleep(60_000);
    },
    *nap(ctx) {
      yield* ctx.sleep(60_000);
    },
  },
});
const other = service('shop', {
  ...shop.spec,
  on: { wait() {} },
  flows: { order: shop.spec.flows!.order, nap: shop.spec.flows!.nap },
} as never);
const asker = service('asker', {
  state: state({ codes: int }),
  protocol: protocol({ go: own({ n: int }) }),
  on: {},
  flows: {
    *go(ctx, { n }) {
      try {
        yield* ctx.call(shop, 'order', { n }, { withinMs: 600_000 });
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === 'RUNTIME_FLOW_CANCELLED') yield* ctx.do(({ state: all }) => void all.codes++);
      }
    },
  },
});

let running: Running[] = [];
afterEach(async () => {
  for (const each of running) await each.stop();
  running = [];
  removeTestDirs();
});

it('are listed, cancelled and dropped from outside; whoever asked is told', async () => {
  const dir = testDir();
  const limits = { logBytes: 1 << 20, flows: 16 };
  let one = await startService(shop, { dir, limits });
  const ask = await startService(asker, { dir, limits });
  running.push(ask);
  const start = (of: Running, name: string, payload: object): number => {
    let id = 0;
    of.core.transact(() => void (id = (of.logic as any).startFlow(name, payload)));
    return id;
  };
  for (const n of [1, 2, 3]) start(ask, 'go', { n });
  await until(() => one.state.begun === 3);
  const waiting = start(one, 'wait', {});
  const list = (o = {}) => listFlows(dir, 'shop-1', { limit: 10, ...o })!;
  await until(() => list().flows.every(({ waits }) => waits.length > 0));
  expect(list()).toMatchObject({
    count: 4,
    stuck: 0,
    kinds: [
      { name: 'order', version: 1, count: 3 },
      { name: 'wait', version: 1, count: 1 },
    ],
  });
  expect(list().flows[0]).toMatchObject({
    name: 'order',
    steps: 1,
    last: "do 'begin'",
    waits: ['sleep', "effect 'never'"],
    asker: 'service',
    stuck: undefined,
  });
  expect(list({ only: [String(waiting)] }).flows.map(({ id }) => id)).toEqual([waiting]);
  expect(list({ limit: 2 }).flows).toHaveLength(2);
  expect(listFlows(dir, 'asker-1', { limit: 0, only: ['go'] })).toMatchObject({ count: 3, flows: [] });

  // Cancelled: it undoes itself. Dropped: it does not.
  const [a, b] = list({ only: ['order'] }).flows.map(({ id }) => id);
  giveOrder(dir, 'shop-1', { verb: 'flows', how: 'cancel', flows: [a!] }, 0);
  await until(() => ask.state.codes === 1);
  giveOrder(dir, 'shop-1', { verb: 'flows', how: 'drop', flows: [b!, waiting] }, 1);
  await until(() => ask.state.codes === 2);
  expect(one.state.undone).toBe(1);
  expect(list().count).toBe(1);

  // For code that does not have it one is stuck, and can be dropped all the same.
  const stays = start(one, 'wait', {});
  await until(() => list({ only: ['wait'] }).flows[0]!.waits.length === 1);
  await one.stop();
  one = await startService(other, { dir, limits });
  running.push(one);
  one.core.transact(() => void (one.logic as any).cancelFlow(stays));
  await until(() => list().stuck === 1);
  expect(list({ onlyStuck: true }).flows).toMatchObject([
    { id: stays, stuck: expect.stringContaining('no flow wait') },
  ]);
  const shown = (): Record<string, number> => {
    const report = attachSegment({ dir, name: 'shop-1', kind: 'report', readOnly: true });
    const all = readCounters(report).filter(({ name }) => name.startsWith('lich_flows{'));
    report.close();
    return Object.fromEntries(all.map(({ name, value }) => [name, value]));
  };
  await until(() => shown()['lich_flows{what="stuck"}'] === 1);
  giveOrder(dir, 'shop-1', { verb: 'flows', how: 'drop', flows: [stays] }, 2);
  await until(() => list().count === 1);
  await until(() => shown()['lich_flows{what="stuck"}'] === 0);
  expect(shown()).toEqual({ 'lich_flows{what="waiting"}': 1, 'lich_flows{what="stuck"}': 0 });

  // No more than may be.
  for (let n = list().count; n < 16; n++) start(one, 'nap', {});
  expect(() => start(one, 'nap', {})).toThrow(
    expect.objectContaining({ code: 'RUNTIME_FLOWS_FULL', message: expect.stringContaining('limits.flows') }),
  );
  for (const each of running) expect(each.core.store.check()).toEqual([]);
});
