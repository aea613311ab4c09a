/** LICH_CHECK_FLOWS: a flow that is no function of its record is found without a kill. */
import { int, own, pool, protocol, state, struct } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

class Hero extends struct({ gold: int }) {}
type Flow = (ctx: any, payload: any) => Generator<any, any, any>;
const scene = (run: Flow) =>
  service('scene', {
    state: state({ heroes: pool(Hero), bought: int }),
    protocol: protocol({ go: own({}) }),
    start({ state: all }: any) {
      all.heroes.create({ gold: 7 });
    },
    on: {},
    flows: { go: run } as never,
  } as never);

let running: Running | undefined;
beforeEach(() => void (process.env.LICH_CHECK_FLOWS = '1'));
afterEach(async () => {
  delete process.env.LICH_CHECK_FLOWS;
  await running?.stop();
  running = undefined;
  removeTestDirs();
});

async function problem(run: Flow): Promise<string | undefined> {
  const one = (running = await startService(scene(run) as never, { dir: testDir(), limits: { logBytes: 65_536 } }));
  one.core.transact(() => void (one.logic as any).startFlow('go', {}));
  const failed = () => one.lines.find(({ level }) => level === 'error');
  await until(() => one.core.store.pools.get('$flows')!.size === 0 || failed() !== undefined);
  const error = failed()?.data.err;
  if (error !== undefined) expect(error.code).toBe('RUNTIME_FLOW_STATE');
  return error?.message;
}

let calls = 0;
const WRONG: Record<string, [run: Flow, says: RegExp]> = {
  'a record that was kept': [
    function* (ctx) {
      let hero: any;
      yield* ctx.do((t: any) => void (hero = t.state.heroes.get(0)));
      yield* ctx.sleep(hero.gold);
    },
    /after step 1 it goes on; run again over its record it fails with TypeError/,
  ],
  'what a do left in a variable': [
    function* (ctx) {
      let price = 1;
      yield* ctx.do('look', (t: any) => void (price = t.state.heroes.get(0).gold));
      yield* ctx.sleep(1);
      if (price > 5) yield* ctx.do('dear', () => {});
      else yield* ctx.do('cheap', () => {});
    },
    /asks for do 'dear'; run again over its record it asks for do 'cheap'/,
  ],
  'the clock, or chance': [
    function* (ctx) {
      yield* ctx.do(() => {});
      yield* ctx.sleep(1);
      yield* ctx.sleep(Math.floor(Math.random() * 1e9));
    },
    /asks for sleep with \d+ ms; run again over its record it says \d+ ms/,
  ],
  'a variable of the module': [
    function* (ctx) {
      calls++;
      yield* ctx.do(() => {});
      yield* ctx.sleep(1);
      return calls;
    },
    /it returns \d+; run again over its record it returns \d+/,
  ],
};

describe('a flow that uses', () => {
  for (const [what, [run, says]] of Object.entries(WRONG))
    it(`${what} waits, and says so`, async () => {
      expect(await problem(run)).toMatch(says);
    });
});

it('a flow that uses its record alone goes on', async () => {
  const found = await problem(function* (ctx) {
    const price = yield* ctx.do((t: any) => t.state.heroes.get(0).gold);
    const pause = ctx.random.int(1, 3);
    const won = yield* ctx.race({ a: ctx.sleep(pause), b: ctx.sleep(2) });
    ctx.onUndo(() => ctx.do(() => {}));
    yield* ctx.all([ctx.sleep(ctx.now % 2), ctx.do('buy', (t: any) => void (t.state.bought += price))]);
    if (won.by === 'none') throw new Error('no');
  });
  expect(found).toBeUndefined();
  expect(running!.state.bought).toBe(7);
});
