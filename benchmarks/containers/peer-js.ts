/** Map, Set and Array of JavaScript; for a list, objects that are linked; for a queue, an array with a place to read from. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin } from '../lib/tools.ts';
import { type Box, effortOf, measure, type Work } from './work.ts';

export default function js(work: Work): Measured {
  pin(1);
  nowNs();
  return measure(work, { ...boxOf(work), begin() {}, commit() {} }, effortOf(work));
}

interface Linked {
  previous: Linked | undefined;
  next: Linked | undefined;
  value: number;
}

function boxOf({ structure, entries }: Work): Omit<Box, 'begin' | 'commit'> {
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
      const m = new Map<number, number>();
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
      const s = new Set<number>();
      return {
        insert: key => void s.add(key),
        get: key => (s.has(key) ? 1 : 0),
        delete: key => void s.delete(key),
        iterate: walk(s),
        size: () => s.size,
      };
    }
    case 'array': {
      const a: number[] = [];
      return {
        insert: (_, value) => void a.push(value),
        get: key => a[key],
        set(key, value) {
          a[key] = value;
        },
        delete: () => void a.pop(),
        iterate: walk(a),
        size: () => a.length,
      };
    }
    case 'list': {
      const cursors: Linked[] = new Array<Linked>(entries);
      let first: Linked | undefined;
      let last: Linked | undefined;
      let length = 0;
      return {
        insert(_, value) {
          const one: Linked = { previous: last, next: undefined, value };
          if (last === undefined) first = one;
          else last.next = one;
          last = one;
          cursors[length++] = one;
        },
        get: (_, k) => cursors[k].value,
        delete(_, k) {
          const { previous, next } = cursors[k];
          if (previous === undefined) first = next;
          else previous.next = next;
          if (next === undefined) last = previous;
          else next.previous = previous;
          length--;
        },
        iterate() {
          sum = 0;
          for (let at = first; at !== undefined; at = at.next) sum += at.value;
          return sum;
        },
        size: () => length,
      };
    }
    case 'queue': {
      let a: number[] = [];
      let from = 0;
      return {
        insert: (_, value) => void a.push(value),
        delete() {
          from++;
          if (from < a.length) return;
          a = [];
          from = 0;
        },
        iterate() {
          sum = 0;
          for (let k = from; k < a.length; k++) sum += a[k];
          return sum;
        },
        size: () => a.length - from,
      };
    }
    default:
      throw new TypeError(`JavaScript has no ${structure}`);
  }
}
