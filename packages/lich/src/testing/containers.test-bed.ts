/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** A bed on which containers are tried out against those of JavaScript: random operations in random transactions, undone in
 * part and as a whole, in records that come and go. Afterwards the segment is walked, nothing of the heap is lost, and
 * the next process sees the same. Each property draws a seed of its own and prints it when it fails. */
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
  optional,
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
import { afterAll, expect, it } from 'vitest';
import { openStore, plain, type Store, storePlan } from '../state/index.ts';
import { memorySegment } from './memory-segment.ts';

/** One operation: which, on what, with what. */
export interface Op {
  readonly verb: number;
  readonly at: number;
  readonly value: number;
}

export const code = (value: string) => expect.objectContaining({ code: value });

/** How a kind of element is given, and what it reads as. */
export interface Sort {
  readonly kind: any;
  /** @returns what is stored for a number, as plain data */
  value(n: number, world: World): any;
  /** Change an element in place, through its view. @returns what it is now */
  change?(view: any, was: any, n: number): any;
}

export interface World {
  readonly store: Store<any>;
  /** Refs that can be stored. */
  readonly refs: readonly { slot: number; generation: number }[];
}

class Part extends struct({ kind: u16, name: text(), marks: list(u8), flags: array(u8, 3), tags: set(text(4)) }) {}
class Plain extends struct({ a: i8, b: int, c: text(3) }) {}

export const words = (n: number) => 'abcdefghijklmnopqrstuvwxyz\u{1F480}é'.repeat(1 + (n % 7)).slice(n % 9, n % 60);
export const partOf = (n: number) => ({
  kind: n,
  name: words(n),
  marks: Array.from({ length: n % 4 }, (_, k) => k + (n % 7)),
  flags: [n % 2, 0, n % 3],
  tags: n % 3 === 0 ? [] : [`t${n % 5}`],
});

export const SORTS: Record<string, Sort> = {
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

export const KEYS: Record<string, Sort> = {
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
/** Elements that may be missing. */
export const OPTIONAL: Record<string, Sort> = {
  'optional(u8)': { kind: optional(u8), value: n => (n % 3 === 0 ? undefined : n) },
  'optional(u16)': { kind: optional(u16), value: n => (n % 3 === 0 ? undefined : n * 200) },
  'optional(int)': { kind: optional(int), value: n => (n % 3 === 0 ? undefined : n * 2 ** 40) },
  'optional(text())': { kind: optional(text()), value: n => (n % 3 === 0 ? undefined : words(n)) },
  'optional(Part)': {
    kind: optional(Part),
    value: n => (n % 3 === 0 ? undefined : partOf(n)),
    change: (view, was, n) => (view === undefined ? undefined : SORTS.Part!.change!(view, was, n)),
  },
  'optional(list(text()))': {
    kind: optional(list(text())),
    value: n => (n % 3 === 0 ? undefined : [words(n), words(n + 1)].slice(0, n % 3)),
    change: (view, was, n) => (view === undefined ? undefined : SORTS['list(text())']!.change!(view, was, n)),
  },
};

/** A stored value as the plain data that it was made from. */
export function asGiven(world: World, value: any): any {
  return typeof value === 'object' && value !== null && value.n !== undefined && !Array.isArray(value)
    ? world.store.pools.get('others')!.refOf(value)
    : value;
}

/** Keys as a Map of JavaScript tells them apart. */
export const known = (key: any) =>
  typeof key === 'object' && key !== null ? `ref ${key.slot}.${key.generation}` : key;

/** What operations are tried on: a container and its model, which is any plain value. */
export interface Bed<M> {
  readonly kind: any;
  empty(): M;
  /** What plain() gives. */
  plain(model: M): unknown;
  /** @returns the model afterwards */
  apply(real: any, model: M, op: Op, world: World, put: (value: unknown) => void): M;
}

/** As expect(…).toBe(…), which takes its time. */
export function same(real: unknown, model: unknown): void {
  if (!Object.is(real, model)) expect(real).toBe(model);
}

/** As expect(…).toEqual(…). */
export function equal(real: unknown, model: unknown): void {
  if (!Object.is(real, model) && !isDeepStrictEqual(real, model)) expect(real).toEqual(model);
}

/** Operations so far in this `describe`. */
let operations = 0;

/** Said in a `describe`: all of its beds together do at least so many operations. */
export function atLeast(count: number): void {
  operations = 0;
  afterAll(() => {
    const here = operations;
    operations = 0;
    expect(here).toBeGreaterThan(count);
  });
}

const runs = process.env.LICH_SOAK === '1' ? 10_000 : undefined;

/** @param count runs of this bed; each has about 650 operations: making a store costs more than a few hundred of them */
export function tryOut<M>(name: string, bed: Bed<M>, count: number): void {
  class Box extends struct({ before: u32, it: bed.kind as typeof u8, after: u32 }) {}
  class Other extends struct({ n: i32 }) {}
  const Schema = state({
    it: bed.kind as typeof u8,
    boxes: pool(Box, { capacity: 3 }),
    others: pool(Other, { capacity: 8 }),
  });
  const plan = storePlan(Schema, { logWords: 1 << 19, heapBytes: 1 << 22 });
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
      fc.property(fc.array(transaction, { minLength: 1, maxLength: 30, size: 'max' }), history => {
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
        const compare = (...which: number[]) => {
          for (const k of which) equal((plain(holder(k)) as any).it, bed.plain(models[k]!));
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
            const here = undo ? structuredClone(models[where]!) : models[where]!;
            const savepoint = log.savepoint();
            for (const one of ops) {
              done++;
              const put = (value: unknown) => (holder(where).it = value);
              models[where] = bed.apply(holder(where).it, models[where]!, one, world, put);
            }
            if (undo) {
              log.rollbackTo(savepoint);
              models[where] = here;
            }
            compare(where);
          }
          if (rollback) {
            log.rollback();
            models = before;
            compare(0, 1, 2, 3);
          } else log.commit();
          log.nextStamp();
        }
        compare(0, 1, 2, 3);
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
      { numRuns: runs ?? count, endOnFailure: process.env.LICH_SHRINK === '0' },
    );
    operations += done;
  });
}
