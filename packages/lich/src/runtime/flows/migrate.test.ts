/** Flows in a state that gets another layout go on, and code that could not go on with them is found before. */
import { int, own, pool, protocol, state, struct } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { migrateNode } from '../../state/index.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { nodePlan } from '../node-plan.ts';
import { service } from '../service.ts';
import { flowProblems, waitingFlows } from './outlook.ts';

class Unit extends struct({ hp: int }) {}
class MoreUnit extends struct({ mana: int, hp: int }) {}
Object.defineProperty(MoreUnit, 'name', { value: 'Unit' });
const Before = state({ units: pool(Unit), done: int });
const After = state({ more: int, units: pool(MoreUnit), done: int });
const P = protocol({ raid: own({ n: int }) });
let open = (): void => {};

const scene = (of: typeof Before | typeof After, flows: object) =>
  service('scene', { state: of, protocol: P, on: {}, flows } as never);
const code = {
  *raid(ctx: any, { n }: { n: number }): Generator<any, void, any> {
    const hp = yield* ctx.do('first', (t: any) => (t.state.units.get(0).hp += n));
    yield* ctx.effect('gate', () => new Promise<void>(resolve => (open = resolve)));
    yield* ctx.do('last', (t: any) => void (t.state.done = hp));
  },
};

let running: Running | undefined;
afterEach(async () => {
  await running?.stop();
  removeTestDirs();
});

it('a flow goes on over a change of the layout', async () => {
  const dir = testDir();
  const limits = { logBytes: 65_536 };
  running = await startService(scene(Before, code) as never, { dir, limits });
  const first = running;
  first.core.transact(() => {
    first.state.units.create({ hp: 10 });
    (first.logic as any).startFlow('raid', { n: 5 });
  });
  await until(() => first.state.units.get(0).hp === 15);
  expect(waitingFlows(dir, 'scene-1')).toEqual([{ name: 'raid', version: 1, count: 1 }]);
  await first.stop();
  const next = scene(After, code);
  expect(flowProblems(dir, 'scene-1', next as never)).toEqual([]);
  expect(flowProblems(dir, 'scene-1', scene(Before, { raid: { version: 2, run: code.raid } }) as never)).toEqual([
    '1 flow `raid` of version 1: the new code goes on with 2..2; take the old steps for it, and say accepts, or end them before: lich flows cancel scene-1 raid',
  ]);
  migrateNode({ dir, name: 'scene-1', plan: nodePlan(next as never, limits) });

  running = await startService(next as never, { dir, limits });
  const second = running;
  await until(() => {
    open();
    return second.state.done === 15;
  });
  await until(() => second.core.store.pools.get('$flows')!.size === 0);
  expect(second.state.units.get(0)).toMatchObject({ hp: 15, mana: 0 });
  expect(second.core.store.check()).toEqual([]);
});
