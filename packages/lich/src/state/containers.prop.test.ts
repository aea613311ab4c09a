/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Lists, maps, sets, texts and bytes against those of JavaScript: random operations in random transactions, undone in part
 * and as a whole, in records that come and go; with a capacity and in the heap, with elements of all sorts. Afterwards the
 * segment is walked, nothing of the heap is lost, and the next process sees the same. */
import {
  array,
  bytes,
  i32,
  i64,
  i8,
  int,
  list,
  map,
  oneOf,
  pool,
  ref,
  set,
  state,
  struct,
  text,
  u16,
  u32,
  u8,
} from '@lich/schema';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, type Store, storePlan } from './index.ts';

/** One operation: which, on what, with what. */
interface Op {
  readonly verb: number;
  readonly at: number;
  readonly value: number;
}

const code = (value: string) => expect.objectContaining({ code: value });

/** How a kind of element is given, and what it reads as. */
interface Sort {
  readonly kind: any;
  /** @returns what is stored for a number, as plain data */
  value(n: number, world: World): any;
  /** Change an element in place, through its view. @returns what it is now */
  change?(view: any, was: any, n: number): any;
}

interface World {
  readonly store: Store<any>;
  /** Refs that can be stored. */
  readonly refs: readonly { slot: number; generation: number }[];
}

class Part extends struct({ kind: u16, name: text(), marks: list(u8), flags: array(u8, 3), tags: set(text(4)) }) {}
class Plain extends struct({ a: i8, b: int, c: text(3) }) {}

const words = (n: number) => 'abcdefghijklmnopqrstuvwxyz\u{1F480}é'.repeat(1 + (n % 7)).slice(n % 9, n % 60);
const partOf = (n: number) => ({
  kind: n,
  name: words(n),
  marks: Array.from({ length: n % 4 }, (_, k) => k + (n % 7)),
  flags: [n % 2, 0, n % 3],
  tags: n % 3 === 0 ? [] : [`t${n % 5}`],
});

const SORTS: Record<string, Sort> = {
  i32: { kind: i32, value: n => n - 128 },
  u8: { kind: u8, value: n => n % 256 },
  int: { kind: int, value: n => (n - 128) * 2 ** 33 },
  'text(6)': { kind: text(6), value: n => words(n).slice(0, 6) },
  'text()': { kind: text(), value: words },
  'bytes()': { kind: bytes(), value: n => Uint8Array.from({ length: n % 40 }, (_, k) => k ^ n) },
  ref: { kind: ref<any>('others'), value: (n, { refs }) => refs[n % refs.length] },
  Plain: {
    kind: Plain,
    value: n => ({ a: (n % 100) - 50, b: n, c: words(n).slice(0, 3) }),
    change(view, was, n) {
      view.b = n * 2;
      return { ...was, b: n * 2 };
    },
  },
  Part: {
    kind: Part,
    value: partOf,
    change(view, was, n) {
      if (n % 4 === 0) {
        view.name = words(n + 5);
        return { ...was, name: words(n + 5) };
      }
      if (n % 4 === 1) {
        view.marks.push(n % 200);
        return { ...was, marks: [...was.marks, n % 200] };
      }
      if (n % 4 === 2) {
        view.tags.add(`x${n % 8}`);
        return { ...was, tags: [...new Set([...was.tags, `x${n % 8}`])] };
      }
      view.marks.clear();
      return { ...was, marks: [] };
    },
  },
  'list(text())': {
    kind: list(text()),
    value: n => [words(n), words(n + 1)].slice(0, n % 3),
    change(view, was, n) {
      view.unshift(words(n));
      if (n % 3 === 0) view.pop();
      return [words(n), ...was].slice(0, n % 3 === 0 ? -1 : undefined);
    },
  },
  'map(int, list(Part))': {
    kind: map(int, list(Part)),
    value: n => Array.from({ length: n % 3 }, (_, k) => [k, [partOf(n), partOf(n + k)]]),
    change(view, was, n) {
      view.set(n % 4, [partOf(n)]);
      const all = new Map(was);
      all.set(n % 4, [partOf(n)]);
      view.get(n % 4).first.kind = 7;
      (all.get(n % 4) as any)[0].kind = 7;
      return [...all];
    },
  },
  'list(Plain, 2)': {
    kind: list(Plain, 2),
    value: n => [{ a: 1, b: n, c: '' }].slice(0, n % 2),
    change(view, was, n) {
      if (was.length === 2) return was;
      view.push({ b: n });
      return [...was, { a: 0, b: n, c: '' }];
    },
  },
};

const KEYS: Record<string, Sort> = {
  u32: { kind: u32, value: n => n * 0x0100_0001 },
  i32: { kind: i32, value: n => (n - 20) * 0x0300_0001 },
  u8: { kind: u8, value: n => n },
  int: { kind: int, value: n => (n % 2 === 0 ? n : -n * 2 ** 40) + 0 },
  i64: { kind: i64, value: n => BigInt(n - 20) * 0x1_0000_0001n },
  oneOf: {
    kind: (oneOf as (...names: string[]) => any)(...Array.from({ length: 64 }, (_, k) => `name ${k}`)),
    value: n => `name ${n}`,
  },
  'text(5)': { kind: text(5), value: n => `${n % 2 === 0 ? 'k' : '\u{1F480}'}${n}` },
  'text()': { kind: text(), value: n => `a key that is longer than most ${n}`.slice(n % 30) + n },
  ref: { kind: ref<any>('others'), value: (n, { refs }) => refs[n % refs.length] },
};
/** Keys as a Map of JavaScript tells them apart. */
const known = (key: any) => (typeof key === 'object' && key !== null ? `ref ${key.slot}.${key.generation}` : key);

/** What operations are tried on: a container and its model, which is any plain value. */
interface Bed<M> {
  readonly kind: any;
  empty(): M;
  /** What plain() gives. */
  plain(model: M): unknown;
  /** @returns the model afterwards */
  apply(real: any, model: M, op: Op, world: World, put: (value: unknown) => void): M;
}

/** Operations so far, to be seen that there were enough. */
let operations = 0;
const runs = process.env.LICH_SOAK === '1' ? 10_000 : undefined;

/** @param count runs of this bed; each has about 250 operations */
function tryOut<M>(name: string, bed: Bed<M>, count: number): void {
  class Box extends struct({ before: u32, it: bed.kind as typeof u8, after: u32 }) {}
  class Other extends struct({ n: i32 }) {}
  const Schema = state({
    it: bed.kind as typeof u8,
    boxes: pool(Box, { capacity: 3 }),
    others: pool(Other, { capacity: 8 }),
  });
  const plan = storePlan(Schema, { logWords: 1 << 17, heapBytes: 1 << 21 });
  const op = fc.record({
    verb: fc.nat({ max: 99 }),
    at: fc.nat({ max: 40 }),
    value: fc.nat({ max: 255 }),
  });
  const step = fc.record({
    where: fc.nat({ max: 3 }),
    ops: fc.array(op, { maxLength: 40, size: 'max' }),
    undo: fc.integer({ min: 0, max: 4 }).map(n => n === 0),
  });
  const transaction = fc.record({
    steps: fc.array(step, { minLength: 1, maxLength: 3, size: 'max' }),
    rollback: fc.integer({ min: 0, max: 4 }).map(n => n === 0),
    recreate: fc.nat({ max: 12 }),
  });
  it(`${name}`, () => {
    let done = 0;
    fc.assert(
      fc.property(fc.array(transaction, { minLength: 1, maxLength: 10, size: 'max' }), history => {
        const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
        const store = openStore(segment, plan) as unknown as Store<any>;
        const { state: s, log } = store;
        log.begin();
        const refs = Array.from({ length: 8 }, (_, n) => s.others.refOf(s.others.create({ n })));
        for (let k = 0; k < 3; k++) s.boxes.create({ before: k, after: ~k >>> 0 });
        log.commit();
        const world: World = { store, refs };
        /** Three boxes and the root. */
        let models: M[] = Array.from({ length: 4 }, () => bed.empty());
        const holder = (k: number) => (k === 3 ? s : s.boxes.get(k));
        const sameAt = (k: number) => {
          const [real, model] = [(plain(holder(k)) as any).it, bed.plain(models[k]!)];
          equal(real, model);
        };
        const compare = () => {
          for (let k = 0; k < 4; k++) sameAt(k);
        };
        for (const { steps, rollback, recreate } of history) {
          const before = rollback ? structuredClone(models) : models;
          log.begin();
          if (recreate < 3) {
            // The last slot that was given back is the first that is taken.
            s.boxes.destroy(s.boxes.get(recreate));
            s.boxes.create({ before: recreate, after: ~recreate >>> 0 });
            models[recreate] = bed.empty();
          }
          for (const { where, ops, undo } of steps) {
            const here = undo ? structuredClone(models) : models;
            const savepoint = log.savepoint();
            for (const one of ops) {
              done++;
              const put = (value: unknown) => (holder(where).it = value);
              models[where] = bed.apply(holder(where).it, models[where]!, one, world, put);
            }
            if (undo) {
              log.rollbackTo(savepoint);
              models = here;
            }
            sameAt(where);
          }
          if (rollback) {
            log.rollback();
            models = before;
            compare();
          } else log.commit();
          log.nextStamp();
        }
        compare();
        expect(store.check()).toEqual([]);
        for (let k = 0; k < 3; k++) expect(plain(s.boxes.get(k))).toMatchObject({ before: k, after: ~k >>> 0 });
        const copy = memorySegment({
          regions: plan.regions,
          catalog: plan.catalog,
          bytes: new Uint8Array(segment.buffer),
        });
        const next = openStore(copy, plan) as unknown as Store<any>;
        expect(next.recover()).toEqual({ undone: 0 });
        expect(plain(next.state)).toEqual(plain(s));
        // Nothing is left of what is destroyed.
        log.begin();
        s.it = bed.plain(bed.empty());
        for (let k = 0; k < 3; k++) s.boxes.destroy(s.boxes.get(k));
        log.commit();
        expect(store.check()).toEqual([]);
      }),
      { numRuns: runs ?? count },
    );
    operations += done;
  });
}

/** As expect(…).toBe(…), which takes its time. */
function same(real: unknown, model: unknown): void {
  if (!Object.is(real, model)) expect(real).toBe(model);
}

/** As expect(…).toEqual(…). */
function equal(real: unknown, model: unknown): void {
  if (!Object.is(real, model) && !isDeepStrictEqual(real, model)) expect(real).toEqual(model);
}

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

/** Each `describe` does at least 100,000 operations. */
function enough(): void {
  operations = 0;
  afterAll(() => {
    const here = operations;
    operations = 0;
    expect(here).toBeGreaterThan(100_000);
  });
}

describe('list', () => {
  enough();
  for (const name of Object.keys(SORTS)) tryOut(`of ${name}`, listBed(SORTS[name]!, 0), SORTS[name]!.change ? 25 : 40);
  for (const name of ['i32', 'text()', 'Part', 'ref']) tryOut(`of ${name}, at most 5`, listBed(SORTS[name]!, 5), 60);
});

describe('map', () => {
  enough();
  for (const name of Object.keys(KEYS)) tryOut(`from ${name}`, mapBed(KEYS[name]!, SORTS.i32!, 0), 50);
  for (const name of Object.keys(SORTS))
    tryOut(`to ${name}`, mapBed(KEYS.int!, SORTS[name]!, 0), SORTS[name]!.change ? 20 : 40);
  for (const name of ['u32', 'text()', 'text(5)', 'ref'])
    tryOut(`from ${name} to Part, at most 7`, mapBed(KEYS[name]!, SORTS.Part!, 7), 40);
  tryOut('from text() to text()', mapBed(KEYS['text()']!, SORTS['text()']!, 0), 40);
});

describe('set', () => {
  enough();
  for (const name of Object.keys(KEYS)) tryOut(`of ${name}`, setBed(KEYS[name]!, 0), 60);
  for (const name of ['int', 'text()']) tryOut(`of ${name}, at most 9`, setBed(KEYS[name]!, 9), 60);
});

describe('without a limit', () => {
  enough();
  tryOut('text', longBed('text'), 500);
  tryOut('bytes', longBed('bytes'), 300);
});
