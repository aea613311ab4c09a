/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Random transactions against a model of plain objects: pool, list, map, text, refs, nested, rollbacks, savepoints. After
 * each run the segment is checked, and a copy of it, opened as the next process would, holds the same. */
import { array, bool, i32, i8, int, list, map, oneOf, pool, ref, state, struct, text, u16 } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openReader, openStore, plain, type Store, storePlan } from './index.ts';

class Part extends struct({ kind: u16, level: i8.init(1), marks: array(bool, 3) }) {}
class Thing extends struct({
  name: text(8),
  n: int.init(5),
  small: i8,
  mood: oneOf('calm', 'cross', 'glad'),
  part: Part,
  mate: ref<Thing>('things'),
  numbers: list(i32, 4),
  parts: list(Part, 3),
  byName: map(text(3), i32, 4),
  byNumber: map(int, Part, 4),
}) {}
const Schema = state({ things: pool(Thing, { capacity: 6 }), round: int, seen: list(text(4), 3) });
const plan = storePlan(Schema, { logWords: 1 << 14 });

const SLOTS = 6;

interface PartModel {
  kind: number;
  level: number;
  marks: boolean[];
}
interface ThingModel {
  slot: number;
  generation: number;
  name: string;
  n: number;
  small: number;
  mood: string;
  part: PartModel;
  mate: { slot: number; generation: number } | undefined;
  numbers: number[];
  parts: PartModel[];
  byName: [string, number][];
  byNumber: [number, PartModel][];
}
interface Model {
  things: (ThingModel | undefined)[];
  generations: number[];
  round: number;
  seen: string[];
}

const partOf = (init: Partial<PartModel>): PartModel => ({
  kind: init.kind ?? 0,
  level: init.level ?? 1,
  marks: [...(init.marks ?? []), false, false, false].slice(0, 3),
});

/** The state as the model has it. A ref to what is gone reads undefined. */
function seenAs(model: Model): unknown {
  const isLive = (r: { slot: number; generation: number } | undefined) =>
    r !== undefined && model.things[r.slot]?.generation === r.generation;
  return {
    round: model.round,
    seen: model.seen,
    things: model.things.flatMap(t => (t === undefined ? [] : [{ ...t, mate: isLive(t.mate) ? t.mate : undefined }])),
  };
}

function read(store: Store<any>): unknown {
  const { things, round, seen } = store.state;
  const out: unknown[] = [];
  for (const t of things) out.push({ ...things.refOf(t), ...plain(t) });
  return { round, seen: seen.toArray(), things: out };
}

type Op = (real: Store<any>, model: Model) => void;

const part = fc.record(
  {
    kind: fc.integer({ min: 0, max: 65_535 }),
    level: fc.integer({ min: -128, max: 127 }),
    marks: fc.array(fc.boolean(), { maxLength: 3 }),
  },
  { requiredKeys: [] },
);
const shortText = fc.string({ maxLength: 8, unit: 'binary' }).filter(s => s.length <= 8);
const key = fc.constantFrom('', 'a', 'b', 'abc', 'é', '\u{1F480}x');
const numberKey = fc.constantFrom(0, 1, -1, 2 ** 40, 7, -(2 ** 52));
const slot = fc.nat({ max: SLOTS - 1 });

/** The thing in a slot, in both, if it lives. */
const on =
  (k: number, fn: (real: any, model: ThingModel, all: Model) => void): Op =>
  (real, model) => {
    const m = model.things[k];
    const r = real.state.things.get(k);
    if (m === undefined) {
      expect(r).toBeUndefined();
      return;
    }
    fn(r, m, model);
  };

/** Both refuse, with this code, or both do it. */
function both(can: boolean, code: string, real: () => void, model: () => void): void {
  if (can) {
    real();
    model();
  } else expect(real).toThrow(expect.objectContaining({ code }));
}

const ops: fc.Arbitrary<Op>[] = [
  fc.tuple(shortText, part, fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 4 })).map(
    ([name, p, numbers]): Op =>
      (real, model) => {
        const free = model.things.filter(t => t === undefined).length > 0;
        both(
          free,
          'STATE_POOL_FULL',
          () => {
            const made = real.state.things.create({ name, part: p, numbers });
            const { slot: at, generation } = real.state.things.refOf(made);
            expect(model.things[at]).toBeUndefined();
            model.generations[at]! += 1;
            expect(generation).toBe(model.generations[at]);
            model.things[at] = {
              slot: at,
              generation,
              name,
              n: 5,
              small: 0,
              mood: 'calm',
              part: partOf(p),
              mate: undefined,
              numbers: [...numbers],
              parts: [],
              byName: [],
              byNumber: [],
            };
            expect(real.state.things.get(at)).toBe(made);
          },
          () => {},
        );
      },
  ),
  slot.map(
    (k): Op =>
      (real, model) => {
        const view = real.state.things.get(k);
        if (model.things[k] === undefined) return;
        const { part: nested } = view;
        expect(real.state.things.destroy(view)).toBe(true);
        expect(real.state.things.destroy(view)).toBe(false);
        expect(() => view.n).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        expect(() => (view.n = 1)).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        expect(() => nested.kind).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        expect(() => (nested.kind = 1)).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        model.things[k] = undefined;
        model.generations[k]! += 1;
      },
  ),
  fc
    .tuple(slot, shortText, fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -200, max: 200 }))
    .map(([k, name, n, small]) =>
      on(k, (r, m) => {
        r.name = name;
        m.name = name;
        r.n += n;
        m.n += n;
        both(
          small >= -128 && small <= 127,
          'SCHEMA_RANGE',
          () => (r.small = small),
          () => (m.small = small),
        );
      }),
    ),
  fc
    .tuple(slot, fc.constantFrom('calm', 'cross', 'glad'), part, fc.nat({ max: 2 }), fc.boolean())
    .map(([k, mood, p, at, flag]) =>
      on(k, (r, m) => {
        r.mood = mood;
        m.mood = mood;
        r.part = p;
        m.part = partOf(p);
        r.part.marks.set(at, flag);
        m.part.marks[at] = flag;
      }),
    ),
  fc.tuple(slot, slot, fc.boolean()).map(([k, other, none]) =>
    on(k, (r, m, all) => {
      const target = none ? undefined : all.things[other];
      // A store is given by the harness below.
      r.mate = target === undefined ? undefined : { slot: target.slot, generation: target.generation };
      m.mate = target === undefined ? undefined : { slot: target.slot, generation: target.generation };
      expect(r.mate === undefined).toBe(target === undefined);
    }),
  ),
  fc
    .tuple(
      slot,
      fc.constantFrom('push', 'unshift', 'pop', 'shift', 'remove', 'clear', 'at'),
      fc.integer({ min: -9, max: 9 }),
    )
    .map(([k, verb, n]) =>
      on(k, (r, m) => {
        const full = m.numbers.length === 4;
        if (verb === 'push' || verb === 'unshift')
          both(
            !full,
            'STATE_LIST_FULL',
            () => expect(r.numbers[verb](n)).toBe(n),
            () => m.numbers[verb](n),
          );
        else if (verb === 'pop' || verb === 'shift') expect(r.numbers[verb]()).toBe(m.numbers[verb]());
        else if (verb === 'remove') {
          const at = m.numbers.indexOf(n);
          expect(r.numbers.remove(n)).toBe(at >= 0);
          if (at >= 0) m.numbers.splice(at, 1);
        } else if (verb === 'clear') {
          r.numbers.clear();
          m.numbers = [];
        } else expect(r.numbers.at(n)).toBe(m.numbers.at(n));
        expect([...r.numbers]).toEqual(m.numbers);
        expect(r.numbers.length).toBe(m.numbers.length);
        expect([r.numbers.first, r.numbers.last]).toEqual([m.numbers[0], m.numbers.at(-1)]);
      }),
    ),
  fc.tuple(slot, fc.constantFrom('push', 'pop', 'removeFirst', 'change', 'assign'), part).map(([k, verb, p]) =>
    on(k, (r, m) => {
      if (verb === 'push')
        both(
          m.parts.length < 3,
          'STATE_LIST_FULL',
          () => expect(r.parts.push(p)).toBe(r.parts.last),
          () => m.parts.push(partOf(p)),
        );
      else if (verb === 'pop') expect(r.parts.pop()).toEqual(m.parts.pop());
      else if (verb === 'removeFirst' && m.parts.length > 0) {
        const first = r.parts.first;
        expect(r.parts.remove(first)).toBe(true);
        expect(() => first.kind).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        m.parts.shift();
      } else if (verb === 'change' && m.parts.length > 0) {
        r.parts.last.level = p.level ?? 0;
        m.parts.at(-1)!.level = p.level ?? 0;
      } else if (verb === 'assign') {
        r.parts = [p, {}];
        m.parts = [partOf(p), partOf({})];
      }
    }),
  ),
  fc
    .tuple(slot, key, fc.integer({ min: -9, max: 9 }), fc.constantFrom('set', 'set', 'delete', 'get', 'clear'))
    .map(([k, name, n, verb]) =>
      on(k, (r, m) => {
        const at = m.byName.findIndex(([known]) => known === name);
        if (verb === 'set') {
          both(
            at >= 0 || m.byName.length < 4,
            'STATE_MAP_FULL',
            () => expect(r.byName.set(name, n)).toBe(n),
            () => {
              if (at >= 0) m.byName[at]![1] = n;
              else m.byName.push([name, n]);
            },
          );
        } else if (verb === 'delete') {
          expect(r.byName.delete(name)).toBe(at >= 0);
          if (at >= 0) m.byName.splice(at, 1);
        } else if (verb === 'clear') {
          r.byName.clear();
          m.byName = [];
        } else {
          expect(r.byName.get(name)).toBe(m.byName[at]?.[1]);
          expect(r.byName.has(name)).toBe(at >= 0);
        }
        expect([...r.byName]).toEqual(m.byName);
        expect([...r.byName.keys()]).toEqual(m.byName.map(([known]) => known));
      }),
    ),
  fc.tuple(slot, numberKey, part, fc.constantFrom('set', 'delete', 'change')).map(([k, number, p, verb]) =>
    on(k, (r, m) => {
      const at = m.byNumber.findIndex(([known]) => known === number);
      if (verb === 'set') {
        both(
          at >= 0 || m.byNumber.length < 4,
          'STATE_MAP_FULL',
          () => expect(r.byNumber.set(number, p)).toBe(r.byNumber.get(number)),
          () => {
            if (at >= 0) m.byNumber[at]![1] = partOf(p);
            else m.byNumber.push([number, partOf(p)]);
          },
        );
      } else if (verb === 'delete') {
        const view = r.byNumber.get(number);
        expect(r.byNumber.delete(number)).toBe(at >= 0);
        if (at < 0) return;
        expect(() => view.kind).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
        m.byNumber.splice(at, 1);
      } else if (at >= 0) {
        r.byNumber.get(number).kind = p.kind ?? 3;
        m.byNumber[at]![1].kind = p.kind ?? 3;
      }
    }),
  ),
  fc.tuple(fc.integer({ min: -5, max: 5 }), fc.string({ maxLength: 4, unit: 'grapheme-ascii' })).map(
    ([n, word]): Op =>
      (real, model) => {
        real.state.round += n;
        model.round += n;
        both(
          model.seen.length < 3,
          'STATE_LIST_FULL',
          () => real.state.seen.push(word),
          () => model.seen.push(word),
        );
        if (model.seen.length === 3 && n > 2) expect(real.state.seen.shift()).toBe(model.seen.shift());
      },
  ),
];

const op = fc.oneof(...ops);
/** Part of a transaction: kept, or undone to a savepoint. */
const step = fc.record({ ops: fc.array(op, { maxLength: 6 }), undo: fc.integer({ min: 0, max: 3 }).map(n => n === 0) });
const transaction = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 3 }),
  rollback: fc.integer({ min: 0, max: 3 }).map(n => n === 0),
});

const runs = process.env.LICH_SOAK === '1' ? 20_000 : 120;

describe('state against a model', () => {
  it(`${runs} random histories`, () => {
    fc.assert(
      fc.property(fc.array(transaction, { minLength: 1, maxLength: 8 }), history => {
        const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
        const store = openStore(segment, plan) as Store<any>;
        let model: Model = {
          things: new Array(SLOTS).fill(undefined),
          generations: new Array(SLOTS).fill(0),
          round: 0,
          seen: [],
        };
        /** Views that are known to the world outside, by slot and generation: one identity while the record lives. */
        const views = new Map<string, object>();
        const identities = () => {
          for (const t of model.things) {
            if (t === undefined) continue;
            const view = store.state.things.get(t.slot);
            const known = views.get(`${t.slot}.${t.generation}`);
            if (known !== undefined) expect(view).toBe(known);
            else views.set(`${t.slot}.${t.generation}`, view);
          }
        };
        for (const { steps, rollback } of history) {
          const before = structuredClone(model);
          identities();
          store.log.begin();
          for (const { ops: todo, undo } of steps) {
            const here = structuredClone(model);
            const savepoint = store.log.savepoint();
            for (const one of todo) one(store, model);
            if (undo) {
              store.log.rollbackTo(savepoint);
              model = here;
              // Views made in the part that is undone are of no generation that will be.
              for (const [name, view] of views) if (!store.state.things.has(view)) views.delete(name);
            }
            expect(read(store)).toEqual(seenAs(model));
          }
          if (rollback) {
            store.log.rollback();
            model = before;
          } else store.log.commit();
          expect(read(store)).toEqual(seenAs(model));
          for (const [name, view] of views) {
            const [at, generation] = name.split('.').map(Number);
            if (model.things[at!]?.generation !== generation) {
              expect(store.state.things.has(view)).toBe(false);
              views.delete(name);
            }
          }
          identities();
        }
        expect(store.check()).toEqual([]);
        const reader = openReader(segment);
        expect(reader.check()).toEqual([]);
        expect(reader.snapshot(s => [...s.pool('things').keys()])).toEqual(
          model.things.flatMap(t => (t === undefined ? [] : [t.slot])),
        );
        const copy = memorySegment({
          regions: plan.regions,
          catalog: plan.catalog,
          bytes: new Uint8Array(segment.buffer),
        });
        const next = openStore(copy, plan) as Store<any>;
        expect(next.recover()).toEqual({ undone: 0 });
        expect(read(next)).toEqual(seenAs(model));
      }),
      { numRuns: runs },
    );
  });
});
