/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Growing arrays and queues against the Array of JavaScript, on the bed of testing/containers.test-bed.ts. */
import { array, queue } from '@lich/schema';
import { describe, expect } from 'vitest';
import {
  asGiven,
  atLeast,
  type Bed,
  code,
  OPTIONAL,
  type Sort,
  SORTS,
  tryOut,
} from '../testing/containers.test-bed.ts';

const ALL: Record<string, Sort> = { ...SORTS, ...OPTIONAL };

function arrayBed(sort: Sort): Bed<any[]> {
  const ordered = ['i32', 'u8', 'int', 'text'].includes(sort.kind.tag);
  return {
    kind: array(sort.kind),
    empty: () => [],
    plain: model => model,
    apply(real, model, { verb, at, value }, world, put) {
      const given = sort.value(value, world);
      const out = [...model];
      const place = at % (model.length + 1);
      const same = (stored: unknown) => {
        if (sort.change === undefined) expect(asGiven(world, stored)).toEqual(given);
      };
      expect(real.length).toBe(model.length);
      if (verb < 25) {
        same(real.push(given));
        out.push(given);
        return out;
      }
      if (verb < 35) {
        same(real.insert(place, given));
        out.splice(place, 0, given);
        return out;
      }
      if (verb < 45) {
        const gone = model.length > 0 ? real.at(-1) : undefined;
        expect(real.pop()).toEqual(out.pop());
        if (sort.change !== undefined && gone !== undefined)
          expect(() => JSON.stringify(gone)).toThrow(code('STATE_FREED'));
        return out;
      }
      if (verb < 60) {
        // Many at once, so that chunks come and go.
        const count = value % 5 === 0 ? value : value % 7;
        const more = Array.from({ length: verb % 4 === 0 ? at : at % 4 }, (_, k) =>
          sort.value((value + k) % 256, world),
        );
        const start = verb % 2 === 0 ? place : -place;
        const expected = out.splice(start, count, ...more);
        expect(real.splice(start, count, ...more)).toEqual(expected);
        return out;
      }
      if (verb < 61) {
        real.clear();
        return [];
      }
      if (verb < 63) {
        const all = [...model.slice(-5), given];
        put(all);
        return all;
      }
      if (verb < 64) {
        put(real);
        return model;
      }
      if (verb < 68) {
        real.reverse();
        return out.reverse();
      }
      if (verb < 72) {
        const key = (v: any) => JSON.stringify(v ?? null, (_, x) => (x instanceof Uint8Array ? [...x] : x));
        const plainOf = (v: any) =>
          v?.toJSON === undefined || sort.kind.tag === 'ref' ? asGiven(world, v) : v.toJSON();
        // What compares equal keeps its order.
        const by = (a: any, b: any) => key(a).length - key(b).length;
        if (ordered && verb < 70) {
          expect(real.sort()).toBe(real);
          return out.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        }
        real.sort((a: any, b: any) => by(plainOf(a), plainOf(b)));
        return out.sort(by);
      }
      if (model.length === 0) {
        expect([real.at(0), real.at(-1), real.indexOf(given)]).toEqual([undefined, undefined, -1]);
        expect(() => real.get(0)).toThrow(code('STATE_INDEX'));
        expect(() => real.set(0, given)).toThrow(code('STATE_INDEX'));
        return model;
      }
      const index = at % model.length;
      const view = real.get(index);
      if (sort.kind.tag !== 'bytes') expect(real.at(index - model.length)).toBe(view);
      if (verb < 80) {
        real.set(index, given);
        if (sort.change !== undefined && view !== undefined && given !== undefined) expect(real.get(index)).toBe(view);
        out[index] = given;
        return out;
      }
      if (sort.change !== undefined) {
        if (view !== undefined) expect(real.indexOf(view)).toBe(index);
        out[index] = sort.change(view, model[index], value);
        return out;
      }
      expect(asGiven(world, view)).toEqual(model[index]);
      if (typeof model[index] !== 'object') {
        expect(real.indexOf(model[index])).toBe(model.indexOf(model[index]));
        expect(real.includes(given)).toBe(model.includes(given));
      }
      if (verb > 97) {
        expect([...real].map(v => asGiven(world, v))).toEqual(model);
        expect(real.map((v: any) => asGiven(world, v))).toEqual(model);
        expect(real.filter((_: any, k: number) => k % 2 === 0).map((v: any) => asGiven(world, v))).toEqual(
          model.filter((_, k) => k % 2 === 0),
        );
        expect(real.reduce((sum: number, _: unknown, k: number) => sum + k, 1)).toBe(
          model.reduce((sum, _, k) => sum + k, 1),
        );
      }
      return model;
    },
  };
}

function queueBed(sort: Sort, capacity: number): Bed<any[]> {
  const most = capacity || Infinity;
  const many = sort.change === undefined ? 4 : 1;
  return {
    kind: capacity === 0 ? queue(sort.kind) : queue(sort.kind, capacity),
    empty: () => [],
    plain: model => model,
    apply(real, model, { verb, at, value }, world, put) {
      const given = sort.value(value, world);
      const out = [...model];
      expect(real.length).toBe(model.length);
      expect(real.capacity).toBe(most);
      if (verb < 55) {
        // Sometimes many, so that blocks come and go.
        const count = verb < 6 ? at * many : 1;
        for (let k = 0; k < count; k++) {
          if (out.length === most) {
            expect(() => real.push(given)).toThrow(code('STATE_QUEUE_FULL'));
            return out;
          }
          const stored = real.push(given);
          if (sort.change === undefined) expect(asGiven(world, stored)).toEqual(given);
          else expect(real.last).toBe(stored);
          out.push(given);
        }
        return out;
      }
      if (verb < 85) {
        const count = verb < 60 ? at * many : 1;
        for (let k = 0; k < count && k <= model.length; k++) {
          const gone = real.first;
          expect(real.shift()).toEqual(out.shift());
          if (sort.change !== undefined && gone !== undefined)
            expect(() => JSON.stringify(gone)).toThrow(code('STATE_FREED'));
        }
        return out;
      }
      if (verb < 86) {
        real.clear();
        return [];
      }
      if (verb < 88) {
        const all = [...model, given].slice(-Math.min(most, 3));
        put(all);
        return all;
      }
      if (verb < 89) {
        put(real);
        return model;
      }
      if (model.length === 0) {
        expect([real.first, real.last, real.at(0), real.shift()]).toEqual([undefined, undefined, undefined, undefined]);
        return model;
      }
      const index = at % model.length;
      const view = real.at(index);
      if (sort.kind.tag !== 'bytes') expect(real.at(index - model.length)).toBe(view);
      if (sort.change !== undefined) out[index] = sort.change(view, model[index], value);
      else {
        expect(asGiven(world, view)).toEqual(model[index]);
        expect(asGiven(world, real.first)).toEqual(model[0]);
        expect(asGiven(world, real.last)).toEqual(model.at(-1));
        expect([...real].map(v => asGiven(world, v))).toEqual(model);
      }
      return out;
    },
  };
}

/** Most operations are on elements that are quick to compare. */
const often = (sort: Sort, count: number) => (sort.change === undefined ? count : Math.ceil(count / 4));

describe('array', () => {
  atLeast(100_000);
  for (const name of Object.keys(ALL)) tryOut(`of ${name}`, arrayBed(ALL[name]!), often(ALL[name]!, 18));
});

describe('queue', () => {
  atLeast(100_000);
  for (const name of Object.keys(ALL)) tryOut(`of ${name}`, queueBed(ALL[name]!, 0), often(ALL[name]!, 15));
  for (const name of ['i32', 'text()', 'Part', 'ref', 'optional(Part)', 'list(text())'])
    tryOut(`of ${name}, at most 5`, queueBed(ALL[name]!, 5), often(ALL[name]!, 15));
});
