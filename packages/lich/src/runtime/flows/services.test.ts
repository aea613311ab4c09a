/** A flow that answers another service's flow: when it ends, with what it returned or how it failed, over a life of each. */
import { CodedError, int, own, protocol, request, state } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

const gates: (() => void)[] = [];
const Work = protocol({ double: request({ n: int }, { twice: int }) });
const worker = service('worker', {
  state: state({ done: int }),
  protocol: Work,
  on: {},
  flows: {
    *double(ctx, { n }) {
      yield* ctx.do(({ state }) => void state.done++);
      yield* ctx.effect('gate', () => new Promise<void>(resolve => gates.push(resolve)));
      if (n < 0) throw new CodedError('WORK_NEGATIVE', `${n} is negative`);
      return { twice: 2 * n };
    },
  },
});
const asker = service('asker', {
  state: state({ sum: int, late: int, refused: int }),
  protocol: protocol({ go: own({ n: int, withinMs: int }) }),
  on: {},
  flows: {
    *go(ctx, { n, withinMs }) {
      try {
        const { twice } = yield* ctx.call(worker, 'double', { n }, { withinMs });
        yield* ctx.do(({ state }) => void (state.sum += twice));
      } catch (error) {
        const { code } = error as { code?: string };
        yield* ctx.do(({ state }) => {
          if (code === 'RUNTIME_ASK_TIMEOUT') state.late++;
          if (code === 'WORK_NEGATIVE') state.refused++;
        });
      }
    },
  },
});

let running: Running[] = [];
afterEach(async () => {
  for (const each of running) await each.stop();
  running = [];
  gates.length = 0;
  removeTestDirs();
});

it('is answered when that flow ends', async () => {
  const dir = testDir();
  const limits = { logBytes: 1 << 20 };
  const start = async (what: unknown): Promise<Running> => {
    const one = await startService(what as never, { dir, limits });
    running.push(one);
    return one;
  };
  const again = async (one: Running, what: unknown): Promise<Running> => {
    running = running.filter(each => each !== one);
    await one.stop();
    return start(what);
  };
  const open = (): void => {
    for (const gate of gates.splice(0)) gate();
  };
  let work = await start(worker);
  let ask = await start(asker);
  const flows = (of: Running): number => of.core.store.pools.get('$flows')!.size;
  const go = (n: number, withinMs = 60_000): void =>
    ask.core.transact(() => void (ask.logic as any).startFlow('go', { n, withinMs }));
  go(4);
  go(-1);
  await until(() => work.state.done === 2);
  ask = await again(ask, asker);
  work = await again(work, worker);
  await until(() => {
    open();
    return flows(ask) === 0 && flows(work) === 0;
  });
  expect(ask.state).toMatchObject({ sum: 8, refused: 1, late: 0 });

  // An answer that comes after the deadline is nobody's any more.
  go(100, 20);
  await until(() => ask.state.late === 1);
  await until(() => {
    open();
    return flows(work) === 0;
  });
  expect(ask.state.sum).toBe(8);
  expect(work.state.done).toBe(3);
  for (const each of running) expect(each.core.store.check()).toEqual([]);
});
