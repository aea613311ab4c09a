/** Change stamps: of records, of blocks of them, of parts of a record; over rollbacks and lives. */
import {
  array,
  bits,
  i32,
  int,
  list,
  map,
  pool,
  queue,
  set,
  sorted,
  state,
  struct,
  text,
  variants,
} from '@lich/schema';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, type Store, storePlan } from './index.ts';

class Item extends struct({ n: int, marks: list(int) }) {}
class Home extends struct({ at: int, rooms: list(text(4)) }) {}
class Unit extends struct({
  hp: i32,
  bag: map(int, Item),
  seen: set(int),
  path: array(i32),
  ranks: sorted(int, int),
  todo: queue(int),
  flags: bits(),
  note: text(),
  few: list(int, 3),
  home: Home,
}) {}
class Rock extends struct({ veins: list(int) }) {}
const Schema = state({ units: pool(Unit), things: pool(variants({ Unit, Rock })) });
const plan = storePlan(Schema, { logWords: 1 << 17, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog };
const open = (bytes?: ArrayBufferLike) => {
  const store = openStore(
    memorySegment(bytes ? { ...parts, bytes: new Uint8Array(bytes) } : parts),
    plan,
  ) as Store<any>;
  store.recover();
  return store;
};

const ALL = ['bag', 'seen', 'path', 'ranks', 'todo', 'flags', 'home.rooms'];
/** A change of each part, and of what is none. */
const changes: Record<string, (unit: any, n: number) => void> = {
  bag: (unit, n) => void unit.bag.set(n, { n }),
  seen: (unit, n) => void unit.seen.add(n),
  path: (unit, n) => void unit.path.push(n),
  ranks: (unit, n) => void unit.ranks.set(n, n),
  todo: (unit, n) => void unit.todo.push(n),
  flags: (unit, n) => void unit.flags.set(n),
  'home.rooms': (unit, n) => void unit.home.rooms.push(`${n % 1000}`),
  '': (unit, n) => {
    unit.hp = n % 1000;
    unit.note = `${n}`;
    unit.home.at = n;
    if (unit.few.length < 3) unit.few.push(n);
  },
};

function filled(store: Store<any>): any {
  store.log.begin();
  const unit = store.state.units.create({});
  for (const change of Object.values(changes)) change(unit, 1);
  store.log.commit();
  return unit;
}

it('names the growing containers that changed since a line, an element in one of them too', () => {
  const store = open();
  const unit = filled(store);
  const { units } = store.state;
  const line = store.log.nextStamp();
  expect(units.partsSince(0, line)).toEqual([]);
  store.log.begin();
  unit.bag.get(1).n = 9;
  unit.home.at = 3;
  store.log.commit();
  expect(units.partsSince(0, line)).toEqual(['bag']);
  const next = store.log.nextStamp();
  store.log.begin();
  unit.bag.get(1).marks.push(4);
  store.log.commit();
  expect(units.partsSince(0, next)).toEqual(['bag']);
  store.log.nextStamp();
  store.log.begin();
  unit.path.clear();
  unit.home = { at: 4, rooms: ['x'] };
  store.log.rollback();
  expect(units.partsSince(0, next)).toEqual(['bag']);
  expect(units.partsSince(0, line)).toEqual(['bag']);
  expect(units.partsSince(0, 0)).toEqual(ALL);
});

it('counts what has no block as changed, and goes by the class in a family', () => {
  const store = open();
  store.log.begin();
  store.state.units.create({});
  const { things } = store.state;
  things.create('Rock', { veins: [1] });
  things.create('Unit', { path: [1] });
  store.log.commit();
  const line = store.log.nextStamp();
  expect(store.state.units.partsSince(0, line)).toEqual(ALL);
  expect(things.partsSince(0, line)).toEqual([]);
  expect(things.partsSince(0, 0)).toEqual(['veins']);
  expect(things.partsSince(1, line)).toEqual(ALL.filter(name => name !== 'path'));
});

it('names what changed, whatever happened: records, blocks, parts', () => {
  const step = fc.tuple(
    fc.nat({ max: 99 }),
    fc.constantFrom(...Object.keys(changes)),
    fc.constantFrom('commit', 'commit', 'rollback', 'part', 'line', 'kill', 'destroy'),
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), steps => {
      let store = open();
      store.log.begin();
      for (let k = 0; k < 100; k++) {
        const unit = store.state.units.create({});
        for (const change of Object.values(changes)) change(unit, k);
      }
      store.log.commit();
      let line = store.log.nextStamp();
      /** By slot: parts, and '' for all else. */
      let changed = new Map<number, Set<string>>();
      const note = (slot: number, part: string) => {
        const known = changed.get(slot) ?? new Set();
        changed.set(slot, known.add(part));
      };
      // No change is one that was made before.
      let n = 200;
      for (const [slot, part, how] of steps) {
        n++;
        const { units } = store.state;
        store.log.begin();
        const unit = units.get(slot);
        if (unit === undefined) {
          store.log.commit();
          continue;
        }
        const at = store.log.savepoint();
        if (how === 'destroy') units.destroy(unit);
        else changes[part]!(unit, n);
        if (how === 'part') store.log.rollbackTo(at);
        if (how === 'rollback') store.log.rollback();
        else if (how === 'kill') {
          store = open(store.segment.buffer);
          continue;
        } else store.log.commit();
        if (how !== 'rollback' && how !== 'part') note(slot, how === 'destroy' ? 'gone' : part);
        if (how === 'line') {
          line = store.log.nextStamp();
          changed = new Map();
        }
      }
      const { units } = store.state;
      const seen = new Map<number, boolean>();
      units.changedSince(line, (slot: number, record: unknown) => {
        seen.set(slot, record !== undefined);
        const known = changed.get(slot);
        if (record === undefined || known === undefined) return;
        expect(units.partsSince(slot, line)).toEqual(ALL.filter(name => known.has(name)));
      });
      expect([...seen.keys()]).toEqual([...changed.keys()].sort((a, b) => a - b));
      for (const [slot, known] of changed) expect(seen.get(slot)).toBe(!known.has('gone'));
    }),
    { numRuns: 60 },
  );
});
