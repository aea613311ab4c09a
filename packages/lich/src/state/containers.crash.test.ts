/** Crash points of maps, sets, lists, texts and bytes in the heap, one container of each kind after the other: a workload,
 * stopped after its stores, recovered as a new process would, walked (nothing of the heap is lost), and compared byte by
 * byte with the segment before or after the transaction. */
import { bytes, i32, int, list, map, pool, set, state, struct, text, u16, u8 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog } from '../testing/crash.ts';
import { RolledBack, StoreRun } from '../testing/store-run.ts';
import { type Store, storePlan } from './index.ts';
import { LOG_POS } from './words.ts';

class Item extends struct({ kind: u16, name: text(), marks: list(u8), byName: map(text(), int) }) {}
class Unit extends struct({
  numbers: map(int, i32),
  names: map(text(), Item),
  few: map(text(4), text(), 4),
  seen: set(text(6)),
  ids: set(int),
  path: list(i32),
  items: list(Item),
  three: list(Item, 3),
  note: text(),
  raw: bytes(),
}) {}
const Schema = state({ units: pool(Unit, { capacity: 4 }), spare: int });
const plan = storePlan(Schema, { logWords: 1 << 15, heapBytes: 1 << 16 });

type World = Store<any>;

const item = (k: number) => ({ kind: k, name: `item ${k}`, marks: [k, k + 1], byName: [[`n${k}`, k]] });

/** Transactions in order, one container each; one that throws is rolled back. */
const work: Record<string, ((unit: any, world: World) => void)[]> = {
  'map(int, i32)': [
    u => {
      for (let k = 0; k < 40; k++) u.numbers.set(k * 3, k);
    },
    u => {
      for (let k = 0; k < 40; k += 3) u.numbers.delete(k * 3);
      for (let k = 0; k < 30; k++) u.numbers.set(k * 1e12, k);
    },
    (u, { log }) => {
      const here = log.savepoint();
      u.numbers.clear();
      u.numbers.set(1, 1);
      log.rollbackTo(here);
      u.numbers.set(3, 33);
    },
    u => u.numbers.clear(),
    u => (u.numbers = [[1, 1]]),
  ],
  'map(text(), struct)': [
    u => {
      for (let k = 0; k < 6; k++) u.names.set(`unit ${k}`, item(k));
    },
    u => {
      u.names.delete('unit 2');
      u.names.set('unit 3', { name: 'another, longer than the one before' });
      u.names.get('unit 4').byName.set('more', 7);
      u.names.get('unit 4').marks.clear();
    },
    u => {
      u.names.clear();
      throw new RolledBack();
    },
    u => (u.names = []),
  ],
  'map(text(4), text(), 4)': [
    u => {
      for (const k of ['a', 'b', 'c', 'd']) u.few.set(k, k.repeat(50));
    },
    u => {
      u.few.set('a', '');
      u.few.set('b', 'b'.repeat(200));
      u.few.delete('c');
      u.few.set('e', 'e');
    },
    u => u.few.clear(),
  ],
  set: [
    u => {
      for (let k = 0; k < 20; k++) {
        u.seen.add(`s${k}`);
        u.ids.add(k);
      }
    },
    u => {
      for (let k = 0; k < 20; k++) u.ids.delete(k);
      u.seen.delete('s4');
      u.seen.add('s4');
    },
    u => {
      u.seen.clear();
      u.ids.add(4);
    },
  ],
  list: [
    u => {
      for (let k = 0; k < 20; k++) u.path.push(k);
      for (let k = 0; k < 3; k++) u.items.push(item(k));
    },
    u => {
      u.path.shift();
      u.path.insertAfter(u.path.cursor(5), 99);
      u.path.removeAt(u.path.cursor(7));
      u.items.remove(u.items.at(1));
      u.items.unshift(item(9));
      u.three = u.items;
    },
    u => {
      while (u.path.length > 0) u.path.pop();
      u.three.shift();
      u.three.push(item(5));
      u.items.clear();
    },
  ],
  'text and bytes': [
    u => {
      u.note = 'x'.repeat(100);
      u.raw = new Uint8Array(70).fill(7);
    },
    u => {
      u.note = 'y'.repeat(90);
      u.raw = new Uint8Array(300).fill(8);
    },
    u => {
      u.note = '';
      u.raw = new Uint8Array(3);
    },
  ],
};

function record(steps: (typeof work)[string]): StoreRun<World> {
  const run = new StoreRun<World>(plan);
  const { log, state: s, heap } = run.store;
  log.begin();
  const unit = s.units.create();
  log.commit();
  run.start();
  for (const step of steps) run.transact(store => step(unit, store));
  run.transact(() => s.units.destroy(unit));
  run.trace.stop();
  expect(run.store.check()).toEqual([]);
  expect(heap.usedWords).toBe(0);
  return run;
}

// Every store of a soak; else a part of them, another one in each run.
const every = process.env.LICH_SOAK === '1' ? 1 : 13 + (process.pid % 7);

describe('crash points', () => {
  for (const [name, steps] of Object.entries(work)) {
    it(`${name}: recovered to before or after, byte by byte`, () => {
      const { points, wrong } = record(steps).verify(every);
      expect(wrong.slice(0, 5)).toEqual([]);
      expect(points).toBeGreaterThan(50);
    });
  }

  it('finds the planted bug: data before its log position', () => {
    const run = record(work['map(int, i32)']!);
    run.trace.mutate(stores => dataBeforeLog(stores, 'S', LOG_POS * 4));
    expect(run.verify(11).wrong.length).toBeGreaterThan(20);
  });
});
