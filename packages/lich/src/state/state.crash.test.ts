/** Crash points of the state: a workload over every structure, stopped after every store, recovered as a new process
 * would, checked, and compared with the model: byte by byte with the segment before or after the transaction. */
import { array, i32, int, list, map, pool, ref, state, struct, text, u16, u8 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog, StoreTrace } from '../testing/crash.ts';
import { RolledBack, StoreRun } from '../testing/store-run.ts';
import { type Store, storePlan } from './index.ts';
import { LOG_POS } from './words.ts';

class Item extends struct({ kind: u16, count: int, marks: array(u8, 3) }) {}
class Unit extends struct({
  name: text(12),
  hp: i32.init(100),
  gold: int,
  small: u8,
  mate: ref<Unit>('units'),
  main: Item,
  bag: map(int, Item, 6),
  path: list(i32, 5),
  items: list(Item, 3),
}) {}
const Schema = state({ units: pool(Unit, { capacity: 8 }), round: int.init(3), names: map(text(6), i32, 4) });
const plan = storePlan(Schema, { logWords: 1 << 12 });

type World = Store<any>;

/** Transactions in order; one that throws is rolled back. */
const work: ((w: World) => void)[] = [
  ({ state: s }) => void s.units.create({ name: 'Ann', gold: 5, path: [1, 2], main: { kind: 4, marks: [1, 2, 3] } }),
  ({ state: s }) => {
    const b = s.units.create({ name: 'Bob' });
    b.mate = s.units.get(0);
    b.bag.set(7, { kind: 1, count: 2 });
    b.bag.set(8, { kind: 2 });
    s.names.set('b', 1);
  },
  ({ state: s }) => {
    const [a, b] = [s.units.get(0), s.units.get(1)];
    a.gold -= 2;
    b.gold += 2;
    b.bag.set(7, { kind: 9, count: 9 });
    b.bag.delete(8);
    a.path.push(3);
    a.path.shift();
    a.name = 'Ann second';
  },
  ({ state: s }) => {
    s.units.get(0).hp = 1;
    s.units.create({ name: 'gone' });
    s.units.destroy(s.units.get(1));
    throw new RolledBack();
  },
  ({ state: s, log }) => {
    const a = s.units.get(0);
    a.items.push({ kind: 1 });
    const here = log.savepoint();
    a.items.push({ kind: 2, marks: [9] });
    a.items.first.count = 77;
    s.units.destroy(s.units.get(1));
    log.rollbackTo(here);
    a.items.push({ kind: 3 });
    s.round++;
  },
  ({ state: s }) => {
    s.units.destroy(s.units.get(1));
    const c = s.units.create({ name: 'Cid', items: [{ kind: 1 }, { kind: 2 }] });
    for (let k = 0; k < 6; k++) c.bag.set(k * 1e10, { kind: k });
    c.bag.delete(2e10);
    s.units.get(0).mate = c;
    s.names.clear();
    s.names.set('c', 2);
  },
  ({ state: s }) => {
    const a = s.units.get(0);
    a.main = { kind: 1 };
    a.main.marks.set(1, 200);
    a.path.remove(2);
    a.items.remove(a.items.first);
    a.items.clear();
    a.small = 255;
    s.units.get(1).bag.clear();
  },
  ({ state: s }) => s.units.forEach((u: object) => s.units.destroy(u)),
  ({ state: s }) => void s.units.create(),
];

function record(): StoreRun<World> {
  const run = new StoreRun<World>(plan);
  run.start();
  for (const step of work) run.transact(step);
  run.trace.stop();
  expect(run.store.check()).toEqual([]);
  return run;
}

describe('crash points', () => {
  it('every store of the workload: recovered to before or after, byte by byte', () => {
    const run = record();
    const { points, wrong, undone } = run.verify();
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(2_000);
    expect(undone).toBeGreaterThan(10_000);
  });

  it('a recovery that is killed at each of its stores is begun again', () => {
    const run = record();
    let points = 0;
    run.trace.replay((n, { S }) => {
      const second = new StoreTrace();
      const { segment, store } = run.reopen(S!, second);
      second.start({ S: segment });
      store.recover();
      second.replay((m, bytes) => {
        points++;
        const third = run.reopen(bytes.S!);
        third.store.recover();
        if (!run.isBeforeOrAfter(n, third.segment))
          throw new Error(`store ${n}, killed again after ${m} stores of the recovery`);
      }, 7);
    }, 97);
    expect(points).toBeGreaterThan(200);
  });

  it('finds the planted bug: data before its log position', () => {
    const run = record();
    run.trace.mutate(stores => dataBeforeLog(stores, 'S', LOG_POS * 4));
    expect(run.verify().wrong.length).toBeGreaterThan(100);
  });

  it('finds log entries with a wrong old word', () => {
    const run = record();
    const log = run.segment.regions.get('log')!;
    run.trace.mutate(stores =>
      stores.map((store, k) =>
        k % 50 === 0 && store.offset >= log.offset && store.offset < log.offset + log.bytes
          ? { ...store, bytes: store.bytes.map(b => b ^ 1) }
          : store,
      ),
    );
    expect(run.verify().wrong.length).toBeGreaterThan(20);
  });
});
