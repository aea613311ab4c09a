import { array, f64, map, pool, ref, state, struct, text, u32 } from '@lich/schema';
import TinyQueue from 'tinyqueue';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { asArray, openStore, storePlan } from './index.ts';

class Point extends struct({ x: u32, y: u32 }) {}
class Unit extends struct({ name: text(12), at: f64 }) {}
const Schema = state({
  numbers: array(f64),
  points: array(Point),
  units: pool(Unit, { capacity: 64 }),
  turns: array(ref<Unit>('units')),
  cache: map(text(20), u32),
});
const open = () => {
  const plan = storePlan(Schema, { logWords: 1 << 16, heapBytes: 1 << 20 });
  return openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan);
};

describe('asArray', () => {
  it('is an array to all who ask', () => {
    const { log, state: s } = open();
    log.begin();
    const a = asArray(s.numbers);
    expect(asArray(s.numbers)).toBe(a);
    expect(Array.isArray(a)).toBe(true);
    expect(a.push(5, 3, 9)).toBe(3);
    a[3] = 1;
    expect([...a, a.length, a.at(-1), 3 in a, 4 in a]).toEqual([5, 3, 9, 1, 4, 1, true, false]);
    expect(a).toEqual([5, 3, 9, 1]);
    expect(JSON.stringify(a)).toBe('[5,3,9,1]');
    expect(Object.keys(a)).toEqual(['0', '1', '2', '3']);
    expect(a.concat([7])).toEqual([5, 3, 9, 1, 7]);
    expect(a.sort((x, y) => x - y)).toBe(a);
    expect([a.shift(), a.unshift(8, 6), a.pop(), a.indexOf(6)]).toEqual([1, 5, 9, 1]);
    a.length = 2;
    expect(s.numbers.toArray()).toEqual([8, 6]);
    a.fill(4);
    expect(a.map(x => x * 2).filter(x => x > 7)).toEqual([8, 8]);
    expect(() => (a[3] = 1)).toThrow(/there are no holes/);
    expect(() => (a.length = 9)).toThrow(/cannot get 9 without values/);
    expect(() => ((a as unknown as { note: number }).note = 1)).toThrow(/only elements are kept/);
    log.rollback();
    expect(a).toEqual([]);
    expect(() => a.push(1)).toThrow(/STATE_NO_TRANSACTION|outside a transaction/);
  });

  it('does what an Array does, over random calls', () => {
    const number = fc.integer({ min: -20, max: 20 });
    const calls: fc.Arbitrary<(a: number[]) => unknown> = fc.oneof(
      fc.array(number, { maxLength: 4 }).map(values => (a: number[]) => a.push(...values)),
      fc.constant((a: number[]) => a.pop()),
      fc.constant((a: number[]) => a.shift()),
      fc.array(number, { maxLength: 3 }).map(values => (a: number[]) => a.unshift(...values)),
      fc.tuple(number, fc.nat(5), fc.array(number, { maxLength: 3 })).map(
        ([start, count, values]) =>
          (a: number[]) =>
            a.splice(start, count, ...values),
      ),
      fc.tuple(fc.nat(30), number).map(([index, value]) => (a: number[]) => {
        if (index <= a.length) a[index] = value;
      }),
      fc.constant((a: number[]) => [...a.sort((x, y) => x - y)]),
      fc.constant((a: number[]) => [...a.reverse()]),
      fc.nat(30).map(length => (a: number[]) => {
        if (length <= a.length) a.length = length;
      }),
      fc.tuple(number, number, number).map(
        ([to, from, end]) =>
          (a: number[]) =>
            a.copyWithin(to, from, end).slice(),
      ),
      fc.tuple(number, number).map(([from, end]) => (a: number[]) => [
        a.slice(from, end),
        a.includes(from),
        a.lastIndexOf(end),
        a.join(),
        a.findLast(x => x > from),
      ]),
    );
    fc.assert(
      fc.property(fc.array(calls, { maxLength: 40, size: 'max' }), list => {
        const { log, state: s } = open();
        log.begin();
        const a = asArray(s.numbers);
        const model: number[] = [];
        for (const call of list) {
          expect(call(a)).toEqual(call(model));
          expect([...a]).toEqual(model);
        }
        log.commit();
      }),
      { numRuns: 60 },
    );
  });

  it('copies structs, and gives plain ones away', () => {
    const { log, state: s } = open();
    log.begin();
    const a = asArray(s.points);
    a.push({ x: 1, y: 2 } as Point, { x: 3, y: 4 } as Point);
    a[0] = a[1]!;
    a[1]!.x = 9;
    expect(a.pop()).toEqual({ x: 9, y: 4 });
    expect(s.points.toArray()).toEqual([{ x: 3, y: 4 }]);
    log.commit();
  });
});

describe('tinyqueue, unmodified', () => {
  it('keeps records in order of their time, in the segment', () => {
    const store = open();
    const { log, state: s } = store;
    log.begin();
    const queue = new TinyQueue<Unit>(asArray(s.turns) as Unit[], (a, b) => a.at - b.at);
    for (const [name, at] of [
      ['c', 3],
      ['a', 1],
      ['d', 4],
      ['b', 2],
    ] as const)
      queue.push(s.units.create({ name, at }));
    log.commit();
    log.begin();
    const first = queue.pop()!;
    expect(first).toBe(s.units.get(1));
    first.at = 2.5;
    queue.push(first);
    log.commit();
    expect(s.turns.get(0)!.name).toBe('b');
    // The next life makes its queue over what is there.
    const again = new TinyQueue<Unit>(asArray(s.turns).slice() as Unit[], (a, b) => a.at - b.at);
    expect(Array.from({ length: 4 }, () => again.pop()!.name)).toEqual(['b', 'a', 'c', 'd']);
    expect(store.check()).toEqual([]);
  });
});
