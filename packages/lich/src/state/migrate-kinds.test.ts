/** Migration of each kind of container, of families, of capacities; and what hooks and limits do. */
import {
  array,
  bits,
  int,
  list,
  map,
  optional,
  pool,
  queue,
  set,
  sorted,
  type StateSchema,
  state,
  struct,
  text,
  u16,
  u32,
  u8,
  variants,
} from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Segment } from '../shm/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { examineMigration, migrate } from './migrate.ts';
import { plain } from './plain.ts';
import { type StorePlan, storePlan } from './plan.ts';
import { catalogOf } from './reader.ts';
import { openStore } from './store.ts';

/** A log that a migration has to use many times over. */
const ROOM = { logWords: 1 << 14, heapBytes: 1 << 22 };
const room = ({ regions, catalog }: StorePlan): Segment => memorySegment({ regions, catalog });

function made<S extends StateSchema>(schema: S, fill: (state: any) => void) {
  const plan = storePlan(schema, { ...ROOM, logWords: 1 << 18 });
  const segment = room(plan);
  const store = openStore(segment, plan);
  store.log.begin();
  fill(store.state);
  store.log.commit();
  expect(store.check()).toEqual([]);
  return { segment, store };
}

function migrated(old: Segment, schema: StateSchema, options: typeof ROOM = ROOM) {
  const plan = storePlan(schema, options);
  const layouts = catalogOf(old);
  const outlook = examineMigration(old, plan, { layouts });
  const segment = room(plan);
  const report = migrate(old, segment, plan, { layouts });
  expect(outlook.unfit.list).toEqual([]);
  const store = openStore(segment, plan);
  expect(store.check()).toEqual([]);
  return { segment, store, report, state: store.state as any };
}

const refused = (old: Segment, schema: StateSchema): string => {
  const plan = storePlan(schema, ROOM);
  const found = examineMigration(old, plan, { layouts: catalogOf(old) }).unfit;
  let message = '';
  try {
    migrate(old, room(plan), plan, { layouts: catalogOf(old) });
  } catch (error) {
    expect(error).toMatchObject({ code: 'STATE_MIGRATION' });
    message = (error as Error).message;
  }
  expect(message.startsWith(`${found.count} values do not fit`)).toBe(true);
  for (const line of found.list) expect(message).toContain(line);
  return message;
};

/** A record with each container; `n` is the kind of the numbers in it, `Item` the class of its structs. */
const everything = <K extends typeof u8 | typeof u16 | typeof u32>(n: K, Item: any) => ({
  vector: array(n),
  items: array(Item),
  list: list(n),
  few: list(Item, 3),
  byName: map(text(), Item),
  small: map(u8, n, 4),
  deep: map(int, list(Item)),
  names: set(text(8)),
  order: sorted(int, Item),
  line: queue(Item),
  flags: bits(),
  maybe: optional(n),
  one: optional(Item),
  fixed: array(n, 3),
  long: text(),
});

const A = (() => {
  class Item extends struct({ kind: u8, name: text(6) }) {}
  class Thing extends struct(everything(u8, Item)) {}
  return state({ things: pool(Thing), last: list(Item), all: map(int, array(u8)) });
})();
const B = (() => {
  class Item extends struct({ extra: u32.init(7), name: text(9), kind: u16 }) {}
  class Thing extends struct({ id: int, ...everything(u32, Item) }) {}
  return state({ things: pool(Thing, { capacity: 64 }), all: map(int, array(u16)), last: list(Item) });
})();

const number = fc.nat(255);
const item = fc.record({ kind: number, name: fc.string({ maxLength: 6 }) });
const some = <T>(each: fc.Arbitrary<T>) => fc.array(each, { maxLength: 12 });
const step = fc.record({
  at: fc.nat(4),
  drop: fc.nat(30),
  vector: some(number),
  items: some(item),
  few: fc.array(item, { maxLength: 3 }),
  names: some(fc.string({ maxLength: 8 })),
  byName: some(fc.tuple(fc.string({ maxLength: 5 }), item)),
  deep: some(fc.tuple(fc.nat(5), item)),
  bit: fc.nat(200),
  maybe: fc.option(number, { nil: undefined }),
  one: fc.option(item, { nil: undefined }),
  long: fc.string({ maxLength: 60 }),
});

describe('containers', () => {
  it('of each kind, there and back, without views where the container stays what it is', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), steps => {
        const from = made(A, root => {
          for (let k = 0; k < 5; k++) root.things.create();
          for (const s of steps) {
            const thing = root.things.get(s.at);
            thing.vector.assign(s.vector);
            thing.items.assign(s.items);
            for (const each of s.vector) thing.list.push(each);
            // Free slots between those in use.
            const gone = thing.list.cursor(s.drop % (thing.list.length + 1));
            if (gone !== undefined) thing.list.removeAt(gone);
            while (thing.list.length > 5) thing.list.shift();
            thing.few.clear();
            for (const each of s.few) thing.few.push(each);
            for (const [key, each] of s.byName) thing.byName.set(key, each);
            for (const [key] of s.byName.slice(2)) thing.byName.delete(key);
            for (const each of s.vector.slice(0, 4)) {
              thing.small.clear();
              thing.small.set(each, each);
            }
            for (const [key, each] of s.deep) {
              if (!thing.deep.has(key)) thing.deep.set(key, []);
              thing.deep.get(key).push(each);
              thing.order.set(key, each);
            }
            for (const name of s.names) thing.names.add(name);
            for (const each of s.items) thing.line.push(each);
            if (s.items.length > 4) thing.line.shift();
            if (thing.items.length > 2) thing.items.splice(1, 1);
            thing.flags.set(s.bit);
            thing.maybe = s.maybe;
            thing.one = s.one;
            thing.fixed.set(1, s.at);
            thing.long = s.long;
            for (const each of s.items) root.last.push(each);
            root.all.set(s.at, s.vector);
          }
        });
        const there = migrated(from.segment, B);
        const wide = (value: any): any => JSON.parse(JSON.stringify(value, (_, each) => each ?? null));
        const more = (value: any): any => {
          if (Array.isArray(value)) return value.map(more);
          if (typeof value !== 'object' || value === null) return value;
          const out = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, more(each)]));
          return 'kind' in out ? { extra: 7, ...out } : 'vector' in out ? { id: 0, ...out } : out;
        };
        const all = (things: Iterable<object>) => [...things].map(each => sortKeys(wide(plain(each))));
        expect(all(there.state.things)).toEqual(all(from.store.state.things).map(more).map(sortKeys));
        // It goes on: what was rewritten takes changes as if it had always been so.
        there.store.log.begin();
        for (const thing of there.state.things) {
          thing.vector.push(70_000);
          thing.items.push({ kind: 300 });
          thing.list.push(70_000);
          for (let k = 0; k < 9; k++) thing.byName.set(`new ${k}`, { kind: k });
          thing.deep.set(99, [{ kind: 1 }]);
          thing.order.set(99, { kind: 1 });
        }
        there.store.log.commit();
        expect(there.store.check()).toEqual([]);
        there.store.log.begin();
        for (const thing of there.state.things) {
          thing.vector.pop();
          thing.items.pop();
          thing.list.pop();
          for (let k = 0; k < 9; k++) thing.byName.delete(`new ${k}`);
          thing.deep.delete(99);
          thing.order.delete(99);
        }
        there.store.log.commit();
        const back = migrated(there.segment, A);
        expect(all(back.state.things)).toEqual(all(from.store.state.things));
        expect(back.state.last.toArray()).toEqual(from.store.state.last.toArray());
        expect(back.state.all.toArray()).toEqual((from.store.state.all as any).toArray());
      }),
      { numRuns: process.env.LICH_SOAK ? 1_000 : 40 },
    );
  });

  it('an element that does not fit is named by its place', () => {
    const old = made(B, root => {
      const thing = root.things.create();
      thing.vector.assign([1, 2, 300]);
      thing.items.push({ kind: 256 });
      thing.byName.set('sword', { name: '123456789' });
      thing.deep.set(5, [{}, { kind: 999 }]);
      thing.few.push({ kind: 777 });
      root.all.set(3, [4, 5, 6_000]);
    });
    const message = refused(old.segment, A);
    for (const where of [
      'things[0].vector: [2]: 300 is not a u8',
      'things[0].items: [0]: kind: 256 is not',
      'things[0].byName: [sword]: name: ',
      'things[0].deep: [5]: [1]: kind: 999 is not',
      'things[0].few: [0]: kind: 777 is not',
      'the root.all: [3]: [2]: 6000 is not',
    ])
      expect(message).toContain(where);
  });
});

function sortKeys(value: any): any {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sortKeys(value[key])]),
  );
}

describe('pools', () => {
  class Unit extends struct({ n: int, bag: map(int, u16) }) {}
  const growing = state({ units: pool(Unit) });
  const capped = (capacity: number) => state({ units: pool(Unit, { capacity }) });

  it('a growing pool gets a capacity, and loses it; slots and refs stay', () => {
    const old = made(growing, ({ units }) => {
      for (let n = 0; n < 200; n++) units.create({ n }).bag.set(n, n);
      for (let n = 0; n < 200; n += 3) units.destroy(units.get(n));
    });
    const refs = [...old.store.state.units].map(unit => old.store.state.units.refOf(unit));
    const there = migrated(old.segment, capped(200));
    const back = migrated(there.segment, growing);
    for (const each of [there, back]) {
      expect([...each.state.units].map(unit => plain(unit as object))).toEqual(
        [...old.store.state.units].map(unit => plain(unit)),
      );
      for (const { slot, generation } of refs) expect(each.state.units.resolve(slot, generation).n).toBe(slot);
    }
    expect(refused(old.segment, capped(198))).toContain('units[199]: is beyond the new capacity 198');
    back.store.log.begin();
    for (let n = 0; n < 300; n++) back.state.units.create({ n });
    back.store.log.commit();
    expect(back.store.check()).toEqual([]);
  });

  it('a heap of another size, and one that is too small', () => {
    const old = made(growing, ({ units }) => {
      for (let n = 0; n < 500; n++) units.create({ n }).bag.set(n, n);
    });
    expect(migrated(old.segment, growing, { ...ROOM, heapBytes: 1 << 24 }).state.units.size).toBe(500);
    const plan = storePlan(growing, { ...ROOM, heapBytes: 65_536 });
    expect(() => migrate(old.segment, room(plan), plan, { layouts: catalogOf(old.segment) })).toThrow(
      /STATE_MIGRATION|raise limits\.heapBytes/,
    );
  });

  it('classes of a family are added, renamed and gone', () => {
    class Wolf extends struct({ teeth: u8 }) {}
    class Sheep extends struct({ wool: map(int, int) }) {}
    class Goat extends struct({ horns: u8 }) {}
    const old = made(state({ animals: pool(variants({ Wolf, Sheep, Goat })) }), ({ animals }) => {
      for (let n = 0; n < 50; n++) animals.create(n % 2 ? 'Wolf' : 'Sheep', n % 2 ? { teeth: n } : {});
      animals.get(0).wool.set(1, 2);
    });
    const renamed = (() => {
      class Direwolf extends struct({ size: u32.init(3), teeth: u16 }) {
        static was = 'Wolf';
      }
      class Cow extends struct({ milk: int }) {}
      class Sheep extends struct({ wool: map(int, u32), shorn: u8 }) {}
      return state({ animals: pool(variants({ Cow, Sheep, Direwolf })) });
    })();
    const { state: root } = migrated(old.segment, renamed);
    expect([...root.animals].map(each => plain(each as object))).toEqual(
      Array.from({ length: 50 }, (_, n) =>
        n % 2
          ? { variant: 'Direwolf', size: 3, teeth: n }
          : { variant: 'Sheep', wool: n === 0 ? [[1, 2]] : [], shorn: 0 },
      ),
    );
    const gone = state({ animals: pool(variants({ Wolf })) });
    expect(refused(old.segment, gone)).toContain('animals[0]: is a Sheep, which the new code does not have');
  });

  it('what a hook throws says where', () => {
    const old = made(growing, ({ units }) => {
      for (let n = 0; n < 5; n++) units.create({ n });
    });
    const hooked = (() => {
      class Unit extends struct({ n: int, bag: map(int, u16), twice: int }) {
        static migrate(unit: Unit, was: { n: number }): void {
          if (was.n === 3) throw new RangeError('no threes');
          unit.twice = was.n * 2;
        }
      }
      return state({ units: pool(Unit) });
    })();
    const plan = storePlan(hooked, ROOM);
    expect(() => migrate(old.segment, room(plan), plan, { layouts: catalogOf(old.segment) })).toThrow(
      expect.objectContaining({
        code: 'STATE_MIGRATION',
        message: 'units[3]: its migrate hook threw: no threes',
        cause: expect.any(RangeError),
      }),
    );
  });
});
