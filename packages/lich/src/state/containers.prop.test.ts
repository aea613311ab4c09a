/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Lists, maps, sets, texts and bytes against those of JavaScript: random operations in random transactions, undone in part
 * and as a whole, in records that come and go; with a capacity and in the heap, with elements of all sorts. Afterwards the
 * segment is walked, nothing of the heap is lost, and the next process sees the same. */
import { bytes, list, map, set, text } from '@lich/schema';
import { describe, expect } from 'vitest';
import {
  type Bed,
  type Sort,
  type World,
  KEYS,
  SORTS,
  atLeast,
  code,
  equal,
  known,
  same,
  tryOut,
  words,
} from '../testing/containers.test-bed.ts';

function listBed(sort: Sort, capacity: number): Bed<any[]> {
  const most = capacity || Infinity;
  return {
    kind: capacity === 0 ? list(sort.kind) : list(sort.kind, capacity),
    empty: () => [],
    plain: model => model,
    apply(real, model, { verb, at, value }, world, put) {
      const given = sort.value(value, world);
      const shown = (v: any) =>
        sort.kind === SORTS.ref!.kind && v !== undefined ? world.store.pools.get('others')!.refOf(v) : v;
      const out = [...model];
      const place = model.length === 0 ? 0 : at % model.length;
      const add = (real1: () => unknown, model1: () => void): any[] => {
        if (model.length === most) {
          expect(real1).toThrow(code('STATE_LIST_FULL'));
          return model;
        }
        const stored = real1();
        if (sort.change === undefined) equal(shown(stored), given);
        model1();
        return out;
      };
      equal(real.length, model.length);
      if (verb < 30)
        return add(
          () => real.push(given),
          () => out.push(given),
        );
      if (verb < 36)
        return add(
          () => real.unshift(given),
          () => out.unshift(given),
        );
      if (verb < 44) {
        equal(real.pop(), out.pop());
        return out;
      }
      if (verb < 52) {
        equal(real.shift(), out.shift());
        return out;
      }
      if (verb < 53) {
        real.clear();
        return [];
      }
      if (verb < 55) {
        const all = [...model, given].slice(-Math.min(most, 3));
        put(all);
        return all;
      }
      if (verb < 56) {
        // To itself.
        put(real);
        return model;
      }
      if (model.length === 0) {
        expect([real.at(0), real.first, real.last, real.cursor(0)]).toEqual([
          undefined,
          undefined,
          undefined,
          undefined,
        ]);
        return model;
      }
      const cursor = real.cursor(place);
      if (verb < 66) {
        return add(
          () => real.insertBefore(cursor, given),
          () => out.splice(place, 0, given),
        );
      }
      if (verb < 76) {
        return add(
          () => real.insertAfter(cursor, given),
          () => out.splice(place + 1, 0, given),
        );
      }
      if (verb < 84) {
        equal(real.removeAt(cursor), out.splice(place, 1)[0]);
        equal(real.get(cursor), undefined);
        equal(real.removeAt(cursor), undefined);
        equal(real.next(cursor), undefined);
        equal(real.insertAfter(cursor, given), undefined);
        return out;
      }
      const view = real.at(place);
      if (sort.change !== undefined && verb < 92) {
        same(real.get(cursor), view);
        same(real.get(real.cursor(view)), view);
        out[place] = sort.change(view, model[place], value);
        return out;
      }
      if (sort.change !== undefined) {
        equal(real.remove(view), true);
        equal(real.remove(view), false);
        out.splice(place, 1);
        return out;
      }
      equal(shown(view), model[place]);
      if (place + 1 < model.length) equal(shown(real.get(real.next(cursor))), model[place + 1]);
      else equal(real.next(cursor), undefined);
      if (place > 0) equal(shown(real.get(real.prev(cursor))), model[place - 1]);
      return model;
    },
  };
}

function mapBed(key: Sort, sort: Sort, capacity: number): Bed<Map<unknown, [unknown, any]>> {
  const most = capacity || Infinity;
  const asRef = (world: World, v: any) =>
    typeof v === 'object' && v !== null && (v as any).n !== undefined ? world.store.pools.get('others')!.refOf(v) : v;
  return {
    kind: capacity === 0 ? map(key.kind, sort.kind) : map(key.kind, sort.kind, capacity),
    empty: () => new Map(),
    plain: model => [...model.values()],
    apply(real, model, { verb, at, value }, world, put) {
      const k = key.value(at, world);
      const name = known(k);
      const given = sort.value(value, world);
      const has = model.has(name);
      equal(real.size, model.size);
      equal(real.has(k), has);
      if (verb < 50) {
        if (!has && model.size === most) {
          expect(() => real.set(k, given)).toThrow(code('STATE_MAP_FULL'));
          return model;
        }
        const stored = real.set(k, given);
        if (sort.change === undefined) equal(asRef(world, stored), given);
        else same(real.get(k), stored);
        model.set(name, [k, given]);
        return model;
      }
      if (verb < 75) {
        const view = sort.change === undefined ? undefined : real.get(k);
        equal(real.delete(k), has);
        model.delete(name);
        equal(real.get(k), undefined);
        if (view !== undefined) expect(() => JSON.stringify(view)).toThrow(code('STATE_FREED'));
        return model;
      }
      if (verb < 76) {
        real.clear();
        return new Map();
      }
      if (verb < 78) {
        const all = [...model.values()].slice(0, 5);
        put(all);
        return new Map(all.map(entry => [known(entry[0]), entry]));
      }
      if (verb < 79) {
        put(real);
        return model;
      }
      if (!has) {
        equal(real.get(k), undefined);
        return model;
      }
      if (sort.change !== undefined) {
        const view = real.get(k);
        model.set(name, [k, sort.change(view, model.get(name)![1], value)]);
        same(real.get(k), view);
      } else equal(asRef(world, real.get(k)), model.get(name)![1]);
      if (verb > 97)
        equal(
          [...real.keys()].map(one => known(asRef(world, one))),
          [...model.keys()],
        );
      return model;
    },
  };
}

function setBed(key: Sort, capacity: number): Bed<Map<unknown, unknown>> {
  const most = capacity || Infinity;
  return {
    kind: capacity === 0 ? set(key.kind) : set(key.kind, capacity),
    empty: () => new Map(),
    plain: model => [...model.values()],
    apply(real, model, { verb, at }, world, put) {
      const k = key.value(at, world);
      const name = known(k);
      const has = model.has(name);
      equal(real.size, model.size);
      equal(real.has(k), has);
      if (verb < 55) {
        if (!has && model.size === most) {
          expect(() => real.add(k)).toThrow(code('STATE_SET_FULL'));
          return model;
        }
        same(real.add(k), real);
        if (!has) model.set(name, k);
      } else if (verb < 90) {
        equal(real.delete(k), has);
        model.delete(name);
      } else if (verb < 92) {
        real.clear();
        return new Map();
      } else if (verb < 94) {
        const all = [...model.values()].reverse().slice(0, 4);
        put(all);
        return new Map(all.map(one => [known(one), one]));
      } else equal(real.toArray(), [...model.values()]);
      return model;
    },
  };
}

function longBed(tag: 'text' | 'bytes'): Bed<{ value: any }> {
  const none = tag === 'text' ? '' : new Uint8Array(0);
  return {
    kind: tag === 'text' ? text() : bytes(),
    empty: () => ({ value: none }),
    plain: model => model.value,
    apply(real, model, { verb, at, value }, _world, put) {
      equal(real, model.value);
      const length = verb < 20 ? 0 : verb < 70 ? value % 20 : verb < 90 || tag === 'bytes' ? value : value * 16 + at;
      const next =
        tag === 'text'
          ? words(value)
              .repeat(300)
              .slice(at, at + length)
          : Uint8Array.from({ length }, (_, k) => k + at);
      put(next);
      return { value: next };
    },
  };
}

describe('list', () => {
  atLeast(100_000);
  for (const name of Object.keys(SORTS)) tryOut(`of ${name}`, listBed(SORTS[name]!, 0), SORTS[name]!.change ? 10 : 16);
  for (const name of ['i32', 'text()', 'Part', 'ref']) tryOut(`of ${name}, at most 5`, listBed(SORTS[name]!, 5), 23);
});

describe('map', () => {
  atLeast(100_000);
  for (const name of Object.keys(KEYS)) tryOut(`from ${name}`, mapBed(KEYS[name]!, SORTS.i32!, 0), 20);
  for (const name of Object.keys(SORTS))
    tryOut(`to ${name}`, mapBed(KEYS.int!, SORTS[name]!, 0), SORTS[name]!.change ? 8 : 16);
  for (const name of ['u32', 'text()', 'text(5)', 'ref'])
    tryOut(`from ${name} to Part, at most 7`, mapBed(KEYS[name]!, SORTS.Part!, 7), 16);
  tryOut('from text() to text()', mapBed(KEYS['text()']!, SORTS['text()']!, 0), 16);
});

describe('set', () => {
  atLeast(100_000);
  for (const name of Object.keys(KEYS)) tryOut(`of ${name}`, setBed(KEYS[name]!, 0), 23);
  for (const name of ['int', 'text()']) tryOut(`of ${name}, at most 9`, setBed(KEYS[name]!, 9), 23);
});

describe('without a limit', () => {
  atLeast(100_000);
  tryOut('text', longBed('text'), 190);
  tryOut('bytes', longBed('bytes'), 115);
});
