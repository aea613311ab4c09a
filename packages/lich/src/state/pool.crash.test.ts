/** Crash points of pools that grow, families and spreads, and of a takeover that writes its catalog: the process stops after
 * a store, the next one recovers, checks, and has the bytes of before or after the transaction. */
import { i32, int, list, pool, state, struct, text, variants } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { RolledBack, StoreRun } from '../testing/store-run.ts';
import { openStore, type Store, storePlan } from './index.ts';
import { CATALOG, NOW } from './words.ts';

class Unit extends struct({ hp: i32.init(100), note: text() }) {}
class Wolf extends struct({ rage: int, prey: list(int) }) {}
class Sheep extends struct({ wool: int.init(4), name: text(6) }) {}
const Schema = state({ units: pool(Unit), animals: pool(variants({ Wolf, Sheep })) });
const options = { logWords: 1 << 12, heapBytes: 1 << 16 };
const plan = storePlan(Schema, options);
const parts = { regions: plan.regions, catalog: plan.catalog, layoutHash: plan.layoutHash };

type World = Store<any>;

const work: ((w: World) => void)[] = [
  ({ state: s }) => {
    for (let k = 0; k < 62; k++) s.units.create({ hp: k });
  },
  ({ state: s }) => {
    s.animals.create('Wolf', { rage: 1, prey: [1, 2] });
    s.animals.create('Sheep', { name: 'dolly' });
    s.units.spread(100, () => {});
  },
  // Into the second chunk.
  ({ state: s }) => {
    for (let k = 0; k < 5; k++) s.units.create({ note: 'a note that lies in the heap' });
  },
  ({ state: s, segment }) => {
    segment.f64[NOW >> 1]! += 50;
    s.units.spread(100, (unit: Unit, slot: number) => {
      unit.hp++;
      if (slot % 7 === 0) s.units.destroy(unit);
      if (slot % 11 === 0) s.units.create({ hp: -1 });
    });
  },
  ({ state: s }) => {
    s.animals.destroy(s.animals.get(0));
    s.animals.create('Sheep', { wool: 9 });
    s.units.create();
    throw new RolledBack();
  },
  ({ state: s, log }) => {
    s.animals.destroy(s.animals.get(0));
    const here = log.savepoint();
    s.animals.create('Wolf', { prey: [3] });
    s.units.destroy(s.units.get(66));
    log.rollbackTo(here);
    s.animals.create('Sheep', { name: 'ann' });
  },
  ({ state: s, segment }) => {
    segment.f64[NOW >> 1]! += 60;
    s.units.spread(100, (unit: Unit) => void (unit.hp -= 2));
    s.units.spread(30, () => {}, 'other');
  },
  ({ state: s }) => s.animals.forEach((each: object) => s.animals.destroy(each)),
];

describe('crash points of pools', () => {
  it('are recovered to before or after, byte by byte', () => {
    const run = new StoreRun<World>(plan);
    run.store.recover();
    run.start();
    for (const step of work) run.transact(step);
    run.trace.stop();
    expect(run.store.check()).toEqual([]);
    const { points, wrong } = run.verify(11);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(500);
  });

  it('of a takeover by code with other names: the segment says the old ones or the new ones', () => {
    const first = openStore(memorySegment(parts), plan) as World;
    first.recover();
    first.log.begin();
    first.state.animals.create('Wolf', { rage: 5 });
    first.state.animals.create('Sheep', {});
    first.log.commit();
    class Direwolf extends struct({ rage: int, prey: list(int) }) {
      static was = 'Wolf';
    }
    class Cow extends struct({ horns: int.init(2) }) {}
    const renamed = state({ units: pool(Unit), animals: pool(variants({ Cow, Direwolf, Sheep })) });
    const later = storePlan(renamed, options);
    const trace = new StoreTrace();
    const bytes = new Uint8Array(first.segment.buffer);
    const taken = memorySegment({ ...parts, bytes, wrap: trace.wrap('S') });
    const store = openStore(taken, later) as World;
    trace.start({ S: taken });
    trace.atomics(() => store.recover());
    const seen = new Set<string>();
    trace.replay((n, { S }) => {
      for (const code of n % 13 === 0 || n > trace.length - 3 ? [plan, later] : []) {
        const next = openStore(memorySegment({ ...parts, bytes: S! }), code as typeof plan) as World;
        next.recover();
        expect(next.check(), `store ${n}`).toEqual([]);
        const [wolf, sheep] = [...next.state.animals];
        expect([wolf.rage, sheep.variant]).toEqual([5, 'Sheep']);
        // The earlier code finds its class again, whichever catalog is in force.
        expect(wolf.variant).toBe(code === plan ? 'Wolf' : 'Direwolf');
        seen.add(String(next.segment.i32[CATALOG]));
      }
    });
    // As it was made; the later code's; that of the earlier one, which went back.
    expect(seen).toEqual(new Set(['0', '1', '2']));
  });
});
