/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Bits against a Set of numbers, and optional fields against a variable, on the bed of testing/containers.test-bed.ts. */
import { bits } from '@lich/schema';
import { describe, expect } from 'vitest';
import { asGiven, atLeast, type Bed, code, OPTIONAL, type Sort, tryOut } from '../testing/containers.test-bed.ts';

interface Model {
  readonly on: ReadonlySet<number>;
  /** Of one that grows. */
  readonly length: number;
}

/** @param reach bits that are tried */
function bitsBed(length: number, reach: number): Bed<Model> {
  const sortedBits = ({ on }: Model) => [...on].sort((a, b) => a - b);
  return {
    kind: length === 0 ? bits() : bits(length),
    empty: () => ({ on: new Set(), length: 0 }),
    plain: sortedBits,
    apply(real, model, { verb, at, value }, _world, put) {
      const bit = (at * 2617 + value * 31) % reach;
      const on = new Set(model.on);
      const most = length === 0 ? 2 ** 30 : length;
      const after = (): Model => ({ on, length: Math.max(model.length, ...[...on].map(b => b + 1)) });
      expect(real.length).toBe(length === 0 ? model.length : length);
      expect(real.get(bit)).toBe(on.has(bit));
      if (verb < 25) {
        real.set(bit);
        on.add(bit);
        return after();
      }
      if (verb < 45) {
        real.set(bit, false);
        on.delete(bit);
        return after();
      }
      if (verb < 55) {
        expect(real.flip(bit)).toBe(!on.has(bit));
        if (!on.delete(bit)) on.add(bit);
        return after();
      }
      if (verb < 65) {
        const to = Math.min(reach, bit + value * (verb % 2 === 0 ? 1 : 9));
        real.fill(verb < 60, bit, to);
        for (let k = bit; k < to; k++) {
          if (verb < 60) on.add(k);
          else on.delete(k);
        }
        return after();
      }
      if (verb < 66) {
        real.clear();
        return { on: new Set(), length: 0 };
      }
      if (verb < 68) {
        const some = sortedBits(model).slice(0, value).reverse();
        put(some);
        return { on: new Set(some), length: Math.max(0, ...some.map(b => b + 1)) };
      }
      if (verb < 69) {
        put(real);
        return model;
      }
      if (verb < 72) {
        for (const wrong of [-1, 0.5, most, Number.NaN]) {
          expect(real.get(wrong)).toBe(false);
          expect(() => real.set(wrong)).toThrow(code('STATE_INDEX'));
          expect(() => real.flip(wrong)).toThrow(code('STATE_INDEX'));
        }
        return model;
      }
      const all = sortedBits(model);
      expect(real.count).toBe(all.length);
      expect(real.next(bit)).toBe(all.find(b => b >= bit) ?? -1);
      let clear = bit;
      while (on.has(clear)) clear++;
      expect(real.nextClear(bit)).toBe(clear < most ? clear : -1);
      if (verb > 95) expect([...real]).toEqual(all);
      return model;
    },
  };
}

/** The model is in an object, so that undefined can be cloned. */
function optionalBed(sort: Sort): Bed<{ value: any }> {
  return {
    kind: sort.kind,
    empty: () => ({ value: undefined }),
    plain: model => model.value,
    apply(real, model, { verb, value }, world, put) {
      const was = model.value;
      if (sort.change === undefined) expect(asGiven(world, real)).toEqual(was);
      else expect(real === undefined).toBe(was === undefined);
      if (verb < 60) {
        const given = sort.value(value, world);
        put(given);
        if (sort.change !== undefined && was !== undefined && given === undefined)
          expect(() => JSON.stringify(real)).toThrow(code('STATE_FREED'));
        return { value: given };
      }
      if (verb < 65) {
        if (sort.change !== undefined) put(real);
        return model;
      }
      return sort.change === undefined ? model : { value: sort.change(real, was, value) };
    },
  };
}

// Each `describe` does more than 100,000 operations.
describe('bits', () => {
  atLeast(100_000);
  for (const [length, reach] of [
    [0, 100],
    [0, 5000],
    [0, 200_000],
    [1, 1],
    [32, 32],
    [70, 70],
    [5000, 5000],
  ])
    tryOut(`${length === 0 ? 'bits()' : `bits(${length})`}, up to ${reach}`, bitsBed(length!, reach!), 31);
});

/** Those that take longer to compare. */
const often: Record<string, number> = { 'optional(Part)': 13, 'optional(list(text()))': 13 };

describe('optional', () => {
  atLeast(100_000);
  for (const name of Object.keys(OPTIONAL)) tryOut(name, optionalBed(OPTIONAL[name]!), often[name] ?? 49);
});
