/** Crash points of maps, sets, lists, texts and bytes in the heap, one container of each kind after the other: a workload,
 * stopped after its stores, recovered as a new process would, walked (nothing of the heap is lost), and compared byte by
 * byte with the segment before or after the transaction. */
import { bytes, i32, int, list, map, pool, set, state, struct, text, u16, u8 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import type { Segment } from '../shm/index.ts';
import { dataBeforeLog, StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, type Store, storePlan } from './index.ts';
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
      throw new Error('rolled back');
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

const logged = (bytes: Uint8Array, segment: Segment): Buffer => {
  const { offset } = segment.regions.get('root')!;
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, segment.sizeBytes - offset);
};

interface Run {
  trace: StoreTrace;
  segment: Segment;
  /** Stores before each transaction, and the segment's logged bytes. */
  starts: { at: number; bytes: Buffer }[];
}

function record(steps: (typeof work)[string]): Run {
  const trace = new StoreTrace();
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, wrap: trace.wrap('S') });
  const store = openStore(segment, plan) as unknown as World;
  store.log.begin();
  const unit = store.state.units.create();
  store.log.commit();
  const starts: Run['starts'] = [];
  const note = () =>
    starts.push({ at: trace.length, bytes: Buffer.from(logged(new Uint8Array(segment.buffer), segment)) });
  trace.start({ S: segment });
  note();
  const destroy = (_: unknown, { state: s }: World) => void s.units.destroy(unit);
  for (const step of [...steps, destroy]) {
    store.log.begin();
    try {
      step(unit, store);
      store.log.commit();
    } catch (error) {
      if ((error as Error).message !== 'rolled back') throw error;
      store.log.rollback();
    }
    store.log.nextStamp();
    note();
  }
  trace.stop();
  expect(store.check()).toEqual([]);
  expect(store.heap.usedWords).toBe(0);
  return { trace, segment, starts };
}

/** Open crash points as the next process would. @returns points that are neither before nor after, or not sound */
function verify({ trace, starts }: Run, step: number): { points: number; wrong: string[] } {
  const wrong: string[] = [];
  let points = 0;
  let transaction = 0;
  trace.replay((n, { S }) => {
    points++;
    while (transaction + 1 < starts.length && starts[transaction + 1]!.at <= n) transaction++;
    try {
      const again = memorySegment({ regions: plan.regions, catalog: plan.catalog, bytes: S! });
      const store = openStore(again, plan);
      store.recover();
      const now = logged(new Uint8Array(again.buffer), again);
      const before = now.equals(starts[transaction]!.bytes);
      const after = transaction + 1 < starts.length && now.equals(starts[transaction + 1]!.bytes);
      if (!before && !after) wrong.push(`store ${n}: neither before nor after transaction ${transaction}`);
      const violations = store.check();
      if (violations.length > 0) wrong.push(`store ${n}: ${violations[0]!.where}: ${violations[0]!.what}`);
    } catch (error) {
      wrong.push(`store ${n}: ${String(error)}`);
    }
  }, step);
  return { points, wrong };
}

// Every store of a soak; else a part of them, another one in each run.
const every = process.env.LICH_SOAK === '1' ? 1 : 13 + (process.pid % 7);

describe('crash points', () => {
  for (const [name, steps] of Object.entries(work)) {
    it(`${name}: recovered to before or after, byte by byte`, () => {
      const { points, wrong } = verify(record(steps), every);
      expect(wrong.slice(0, 5)).toEqual([]);
      expect(points).toBeGreaterThan(50);
    });
  }

  it('finds the planted bug: data before its log position', () => {
    const run = record(work['map(int, i32)']!);
    run.trace.mutate(stores => dataBeforeLog(stores, 'S', LOG_POS * 4));
    expect(verify(run, 11).wrong.length).toBeGreaterThan(20);
  });
});
