/** sorted-btree: a B+ tree in plain JavaScript. */
import BTreeModule from 'sorted-btree';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin } from '../lib/tools.ts';
import { effortOf, measure, type Work } from './work.ts';

interface Tree {
  readonly size: number;
  get(key: number): number | undefined;
  set(key: number, value: number): boolean;
  delete(key: number): boolean;
  forEachPair(fn: (key: number, value: number) => void): unknown;
}

// Its CommonJS default is inside of the default.
const BTree = (BTreeModule as unknown as { default?: typeof BTreeModule }).default ?? BTreeModule;

export default function btree(work: Work): Measured {
  pin(1);
  nowNs();
  const m = new (BTree as unknown as new () => Tree)();
  let sum = 0;
  const add = (value: number) => {
    sum += value;
  };
  return measure(
    work,
    {
      begin() {},
      commit() {},
      insert: (key, value) => void m.set(key, value),
      get: key => m.get(key)!,
      set: (key, value) => void m.set(key, value),
      delete: key => void m.delete(key),
      iterate() {
        sum = 0;
        m.forEachPair((_, value) => add(value));
        return sum;
      },
      size: () => m.size,
    },
    effortOf(work),
  );
}
