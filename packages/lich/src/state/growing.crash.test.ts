/** Crash points of arrays, queues, bits, sorted maps and optional values: a workload over all of them, stopped after its
 * stores, recovered as a new process would, checked (nothing of the heap is lost), and compared byte by byte with the
 * segment before or after the transaction. */
import { array, bits, i32, int, map, optional, pool, queue, sorted, state, struct, text, u16, u8 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog } from '../testing/crash.ts';
import { RolledBack, StoreRun } from '../testing/store-run.ts';
import { type Store, storePlan } from './index.ts';
import { LOG_POS } from './words.ts';

class Item extends struct({ kind: u16, name: text(), marks: array(u8) }) {}
class Unit extends struct({
  values: array(int),
  small: array(u8),
  items: array(Item),
  names: array(text()),
  jobs: queue(Item),
  ring: queue(text(), 3),
  flags: bits(),
  fixed: bits(40),
  byNumber: sorted(i32, i32),
  byName: sorted(text(), Item),
  n: optional(u8),
  title: optional(text()),
  main: optional(Item),
  bag: optional(map(int, Item)),
}) {}
const Schema = state({ units: pool(Unit, { capacity: 4 }), top: sorted(text(60), i32) });
const plan = storePlan(Schema, { logWords: 1 << 15, heapBytes: 1 << 17 });

type World = Store<any>;

const item = (k: number) => ({ kind: k, name: `item ${k}`, marks: [k, k + 1] });

/** Transactions in order; one that throws is rolled back. */
const work: ((w: World) => void)[] = [
  ({ state: s }) =>
    void s.units.create({
      values: [3, 1, 2],
      items: [item(1)],
      byNumber: [[5, 5]],
      title: 'x',
      main: item(2),
      flags: [3],
    }),
  ({ state: s }) => {
    const u = s.units.get(0);
    for (let k = 0; k < 40; k++) u.values.push(40 - k);
    u.values.sort();
    u.small.assign([1, 2, 3, 4, 5, 6, 7]);
    u.small.splice(1, 3, 9);
    for (let k = 0; k < 5; k++) u.items.insert(0, item(k));
    u.items.sort((a: Item, b: Item) => b.kind - a.kind);
  },
  ({ state: s }) => {
    const u = s.units.get(0);
    u.values.splice(3, 30);
    u.items.splice(1, 2, item(7));
    u.names.assign(['a', 'a longer name', 'c']);
    u.names.splice(1, 1, 'b', 'and one more');
    for (let k = 0; k < 12; k++) u.jobs.push(item(k));
    for (let k = 0; k < 9; k++) u.jobs.shift();
  },
  ({ state: s }) => {
    const u = s.units.get(0);
    for (let k = 0; k < 4; k++) {
      u.ring.push(`ring ${k}`);
      if (k > 1) u.ring.shift();
    }
    u.flags.set(5000);
    u.flags.fill(true, 100, 140);
    u.fixed.fill();
    for (let k = 0; k < 40; k++) u.byNumber.set((k * 17) % 41, k);
  },
  ({ state: s }) => {
    for (let k = 0; k < 30; k++) s.top.set(`${(k * 7) % 31} ${'x'.repeat(40)}`, k);
    for (let k = 0; k < 8; k++) s.units.get(0).byName.set(`name ${(k * 5) % 8}`, item(k));
  },
  ({ state: s }) => {
    const u = s.units.get(0);
    u.byNumber.clear();
    u.items.clear();
    u.jobs.clear();
    throw new RolledBack();
  },
  ({ state: s, log }) => {
    const u = s.units.get(0);
    for (let k = 0; k < 25; k++) s.top.delete(`${k} ${'x'.repeat(40)}`);
    const here = log.savepoint();
    u.main = undefined;
    u.byName.clear();
    u.values.clear();
    log.rollbackTo(here);
    u.title = undefined;
    u.n = 7;
    u.bag = [[1, item(1)]];
    u.main.name = 'another';
  },
  ({ state: s }) => {
    const u = s.units.get(0);
    u.flags.fill(false, 100, 5001);
    u.main = undefined;
    for (let k = 0; k < 7; k++) u.byName.delete(`name ${k}`);
    u.bag = undefined;
  },
  ({ state: s }) => void s.units.destroy(s.units.get(0)),
  ({ state: s }) => s.top.clear(),
];

function record(): StoreRun<World> {
  const run = new StoreRun<World>(plan);
  run.start();
  for (const step of work) run.transact(step);
  run.trace.stop();
  expect(run.store.check()).toEqual([]);
  return run;
}

describe('crash points of what grows', () => {
  it('recovered to before or after, byte by byte; nothing of the heap is lost', () => {
    const run = record();
    // A prime: over many runs of the suite it is the same points, but no structure of the workload hides behind it.
    const { points, wrong } = run.verify(process.env.LICH_SOAK === '1' ? 1 : 61);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(500);
  });

  it('finds the planted bug: data before its log position', () => {
    const run = record();
    run.trace.mutate(stores => dataBeforeLog(stores, 'S', LOG_POS * 4));
    expect(run.verify(211).wrong.length).toBeGreaterThan(5);
  });
});
