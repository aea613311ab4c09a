/** Containers of a record in a segment on tmpfs, in transactions of 64 operations. */
import { array, i32, list, map, pool, queue, set, sorted, state, struct, u32, type Cursor } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { openStore, storePlan } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir } from '../lib/tools.ts';
import { type Box, effortOf, measure, type Work } from './work.ts';

class Holder extends struct({
  map: map(u32, i32),
  set: set(u32),
  sorted: sorted(u32, i32),
  array: array(i32),
  list: list(i32),
  queue: queue(i32),
}) {}

export default function ours(work: Work): Measured {
  pin(1);
  const schema = state({ holders: pool(Holder, { capacity: 1 }) });
  const plan = storePlan(schema, { heapBytes: 1 << 29 });
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const { log, state: root } = openStore(segment, plan);
  log.begin();
  const holder = root.holders.create();
  log.commit();
  const { begin, commit } = log;
  const result = measure(work, { ...boxOf(holder, work), begin, commit }, effortOf(work));
  segment.close(true);
  return result;
}

function boxOf(holder: Holder, { structure, entries }: Work): Omit<Box, 'begin' | 'commit'> {
  let sum = 0;
  const add = (value: number) => {
    sum += value;
  };
  const walk = (it: { forEach(fn: (value: number) => void): void }) => () => {
    sum = 0;
    it.forEach(add);
    return sum;
  };
  switch (structure) {
    case 'map': {
      const m = holder.map;
      return {
        insert: (key, value) => void m.set(key, value),
        get: key => m.get(key)!,
        set: (key, value) => void m.set(key, value),
        delete: key => void m.delete(key),
        iterate: walk(m),
        size: () => m.size,
      };
    }
    case 'sorted': {
      const m = holder.sorted;
      return {
        insert: (key, value) => void m.set(key, value),
        get: key => m.get(key)!,
        set: (key, value) => void m.set(key, value),
        delete: key => void m.delete(key),
        iterate: walk(m),
        size: () => m.size,
      };
    }
    case 'set': {
      const s = holder.set;
      return {
        insert: key => void s.add(key),
        get: key => (s.has(key) ? 1 : 0),
        delete: key => void s.delete(key),
        iterate: walk(s),
        size: () => s.size,
      };
    }
    case 'array': {
      const a = holder.array;
      return {
        insert: (_, value) => void a.push(value),
        get: key => a.get(key),
        set: (key, value) => a.set(key, value),
        delete: () => void a.pop(),
        iterate: walk(a),
        size: () => a.length,
      };
    }
    case 'list': {
      const l = holder.list;
      const cursors: Cursor[] = new Array<Cursor>(entries);
      return {
        insert(_, value) {
          l.push(value);
          cursors[l.length - 1] = l.cursor(-1)!;
        },
        get: (_, k) => l.get(cursors[k])!,
        delete: (_, k) => void l.removeAt(cursors[k]),
        iterate: walk(l),
        size: () => l.length,
      };
    }
    case 'queue': {
      const q = holder.queue;
      return {
        insert: (_, value) => void q.push(value),
        delete: () => void q.shift(),
        iterate: walk(q),
        size: () => q.length,
      };
    }
  }
}
