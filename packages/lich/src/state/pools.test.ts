/** The programs of docs/state.md about pools: they run, and do what is said there. */
import { i32, int, pool, state, struct, text, variants } from '@lich/schema';
import { expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { local, openStore, storePlan } from './index.ts';
import { NOW } from './words.ts';

class Player extends struct({ name: text(24), hp: i32.init(100), seenMs: int }) {
  get dead() {
    return this.hp <= 0;
  }
}

class Animal extends struct({ hp: i32.init(10) }) {}
class Wolf extends struct({ hp: i32.init(30), rage: int }) {}
class Sheep extends struct({ hp: i32.init(10), wool: int }) {}

const tempers = new Map<number, number>();
class Door extends struct({ number: int, openUntilMs: int }) {
  onResume(why: string) {
    // A crash shut all doors.
    if (why === 'crash') this.openUntilMs = 0;
    tempers.set(this.number, 0);
  }
}

const State = state({
  players: pool(Player),
  bosses: pool(Animal, { capacity: 16 }),
  animals: pool(variants({ Wolf, Sheep })),
  doors: pool(Door, { resume: 'eager' }),
});

class Steering {
  readonly hp: number;
  constructor(hp: number) {
    this.hp = hp;
  }
}
const steering = local(Player, player => new Steering(player.hp));

const plan = storePlan(State, { logWords: 1 << 14, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog };

it('does what docs/state.md says', () => {
  const store = openStore(memorySegment(parts), plan);
  store.recover();
  store.segment.f64[NOW >> 1] = 1_000;
  const { state } = store;
  const tick = () => {
    state.players.spread(1_000, player => {
      if (player.hp < 100 && !player.dead) player.hp++;
    });
  };
  store.log.begin();
  const ann = state.players.create({ name: 'Ann', hp: 50 });
  state.doors.create({ number: 7, openUntilMs: 9 });
  const wolf = state.animals.create('Wolf', { rage: 3 });
  state.animals.create('Sheep');
  let rage = 0;
  for (const animal of state.animals) {
    if (animal.variant === 'Wolf') rage += animal.rage; // or: animal instanceof Wolf
  }
  tick();
  store.log.commit();
  expect([rage, wolf.variant, state.players.capacity]).toEqual([3, 'Wolf', Number.POSITIVE_INFINITY]);
  for (let k = 0; k < 60; k++) {
    store.segment.f64[NOW >> 1]! += 17;
    store.log.begin();
    tick();
    store.log.commit();
  }
  expect(ann.hp).toBe(51);
  expect(steering(ann).hp).toBe(51);

  const next = openStore(memorySegment({ ...parts, bytes: new Uint8Array(store.segment.buffer) }), plan);
  next.recover();
  next.beginLife('crash');
  expect([next.state.doors.get(0)!.openUntilMs, tempers.get(7)]).toEqual([0, 0]);
});
