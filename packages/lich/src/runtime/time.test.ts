/** The program of docs/time.md runs, and is stopped for a while in the middle. */
import { int, own, pool, protocol, ref, state, struct, text } from '@lich/schema';
import { afterEach, expect, it, vi } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';

class Hero extends struct({ name: text(24), hp: int, shield: int, healing: int }) {}
const State = state({ heroes: pool(Hero, { capacity: 16 }), sold: int, expired: int, failed: int });

const Castle = protocol({
  respawn: own({ who: ref<Hero>('heroes') }),
  heal: own({ who: ref<Hero>('heroes') }),
  blast: own({ power: int }, { onCrash: 'skip' }), // may end the process: once is enough
  offer: own({ price: int }, { onOutage: 'skip' }), // worth nothing once it is late
  unshield: own({ who: ref<Hero>('heroes') }, { onOutage: 'shift' }), // an outage takes nothing off its time
});

const castle = service('castle', {
  state: State,
  protocol: Castle,
  start(ctx) {
    const who = ctx.state.heroes.create({ name: 'Ada', hp: 1 });
    ctx.post('respawn', { who });
    ctx.after(60_000, 'offer', { price: 5 });
    who.shield = ctx.after(90_000, 'unshield', { who });
    who.healing = ctx.every(20, 'heal', { who });
  },
  on: {
    respawn(_, { who }) {
      if (who) who.hp = 10;
    },
    heal(ctx, { who }) {
      if (who && ++who.hp === 15) ctx.cancel(who.healing);
    },
    blast(_, { power }) {
      if (power > 9_000) throw new Error('too much');
    },
    offer(ctx, { price }) {
      ctx.state.sold += price;
    },
    unshield(_, { who }) {
      if (who) who.shield = 0;
    },
  },
  onSkipped: {
    blast(ctx, _, why) {
      if (why === 'crash' || why === 'threw') ctx.state.failed++;
    },
    offer(ctx) {
      ctx.state.expired++;
    },
  },
});

afterEach(() => {
  vi.restoreAllMocks();
  removeTestDirs();
});

it('own messages: at once, later, again and again, cancelled; after a pause', async () => {
  const dir = testDir();
  const limits = { logBytes: 65_536, heapBytes: 1 << 20 };
  const first = await startService(castle as never, { dir, limits });
  const hero = first.state.heroes.get(0) as Hero;
  await until(() => hero.hp === 15);
  first.core.transact(() =>
    (first.logic as unknown as { post(name: string, payload: object): void }).post('blast', { power: 9_001 }),
  );
  await until(() => first.state.failed === 1);
  await first.stop();

  // An hour later.
  const clock = Date.now;
  let aheadMs = 3_600_000;
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + aheadMs);
  const second = await startService(castle as never, { dir, limits });
  await until(() => second.state.expired === 1);
  const same = second.state.heroes.get(0) as Hero;
  // The shield still holds as long as it would have without the pause.
  expect(same.shield).toBeGreaterThan(0);
  aheadMs += 90_000;
  await until(() => same.shield === 0);
  expect([same.hp, second.state.sold, second.state.failed]).toEqual([15, 0, 1]);
  expect(second.core.store.check()).toEqual([]);
  await second.stop();
});
