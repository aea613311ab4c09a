import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as S from './index.ts';
import { outcomeOf } from './testing/outcome.ts';

class Vec extends S.struct({ x: S.f32.sync, y: S.f32 }) {}
class Item extends S.struct({ kind: S.u16 }) {}
class Player extends S.struct({
  name: S.text(8),
  x: S.f32.sync,
  hp: S.i32.sync,
  at: Vec,
  to: S.ref<Player>('players').sync,
}) {}
const manyFields = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, S.int.sync]));
class Wide extends (S.struct(manyFields) as unknown as S.StructClass) {}
const State = S.state({ items: S.pool(Item), players: S.pool(Player), wide: S.pool(Wide), round: S.int });
const plan = S.syncPlanOf(State);

type Event = unknown[];
function read(body: Uint8Array, full: boolean): Event[] {
  const events: Event[] = [];
  S.readSync(plan, body, full, {
    begin: (epoch, tick) => events.push(['begin', epoch, tick]),
    enter: (pool, slot, generation, values) => events.push(['enter', pool.name, slot, generation, values]),
    change: (pool, slot, values) => events.push(['change', pool.name, slot, values]),
    leave: (pool, slot) => events.push(['leave', pool.name, slot]),
  });
  return events;
}

test('the plan has the pools and fields that are sent', () => {
  expect(
    plan.pools.map(({ name, index, maskWords, fields }) => [
      name,
      index,
      maskWords,
      fields.map(field => field.name).slice(0, 5),
    ]),
  ).toEqual([
    ['players', 1, 1, ['x', 'hp', 'at', 'to']],
    ['wide', 2, 3, ['f0', 'f1', 'f2', 'f3', 'f4']],
  ]);
  expect(plan.byIndex[0]).toBe(undefined);
  expect(S.syncPlanOf(State)).toBe(plan);
});

test('a delta is written as the table says and read back', () => {
  const writer = new S.Writer();
  const sync = new S.SyncWriter(plan, writer);
  const [players, wide] = plan.pools;
  sync.begin(3, 300);
  sync.pool(players);
  sync.enter(0, 5, { x: 1.5, hp: -1, at: { x: 0, y: 9 }, to: { slot: 2, generation: 1 } });
  sync.change(2, [0b0010], { hp: 1 });
  sync.change(3, [0], {});
  sync.leave(1);
  sync.pool(wide);
  expect(sync.end()).toBe(3);
  expect([...writer.view()]).toEqual([3, 0xac, 2, 2, 5, 5, 0, 0, 0xc0, 0x3f, 1, 0, 0, 0, 0, 2, 1, 12, 2, 2, 10, 0, 0]);
  expect(read(writer.view(), false)).toEqual([
    ['begin', 3, 300],
    ['enter', 'players', 0, 5, { x: 1.5, hp: -1, at: { x: 0 }, to: { slot: 2, generation: 1 } }],
    ['change', 'players', 2, { hp: 1 }],
    ['leave', 'players', 1],
  ]);
  expect(() => read(writer.view(), true)).toThrow(
    expect.objectContaining({ code: 'SCHEMA_WIRE', message: expect.stringMatching(/op 12 of pool players/) }),
  );
});

test('a delta of nothing says so', () => {
  const writer = new S.Writer();
  const sync = new S.SyncWriter(plan, writer);
  sync.begin(1, 2);
  for (const pool of plan.pools) sync.pool(pool);
  expect(sync.end()).toBe(0);
  expect([...writer.view()]).toEqual([1, 2, 0]);
});

test('any ops over a pool with several mask words come back', () => {
  const wide = plan.pools[1];
  const op = fc.record({
    verb: fc.constantFrom('enter', 'change', 'leave'),
    slot: fc.nat({ max: 2 ** 30 }),
    generation: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    set: fc.uniqueArray(fc.nat({ max: 59 }), { minLength: 1 }),
  });
  const record = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, i * 1000]));
  fc.assert(
    fc.property(fc.array(op), ops => {
      const writer = new S.Writer();
      const sync = new S.SyncWriter(plan, writer);
      sync.begin(1, 1);
      sync.pool(wide);
      const expected: Event[] = [['begin', 1, 1]];
      for (const { verb, slot, generation, set } of ops) {
        if (verb === 'enter') {
          sync.enter(slot, generation, record);
          expected.push(['enter', 'wide', slot, generation, record]);
        } else if (verb === 'leave') {
          sync.leave(slot);
          expected.push(['leave', 'wide', slot]);
        } else {
          const mask = new Uint32Array(wide.maskWords);
          for (const bit of set) mask[Math.floor(bit / S.MASK_BITS)] |= 1 << (bit % S.MASK_BITS);
          sync.change(slot, mask, record);
          expected.push([
            'change',
            'wide',
            slot,
            Object.fromEntries(set.toSorted((a, b) => a - b).map(bit => [`f${bit}`, bit * 1000])),
          ]);
        }
      }
      expect(sync.end()).toBe(ops.length);
      expect(read(writer.view(), false)).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test('random bytes are read or refused', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(fc.nat({ max: 12 }), { maxLength: 60 }).map(bytes => Uint8Array.from(bytes)),
  );
  fc.assert(
    fc.property(noise, fc.boolean(), (bytes, full) => {
      expect([undefined, 'SCHEMA_WIRE']).toContain(outcomeOf(() => read(bytes, full)).code);
    }),
    { numRuns: 5000 },
  );
});

test.each<[string, number[]]>([
  ['a pool that is not sent', [1, 1, 1, 0, 0]],
  ['a pool that does not exist', [1, 1, 9, 0, 0]],
  ['slot -1', [1, 1, 2, 2, 0, 0]],
  ['an unknown verb', [1, 1, 2, 7, 0, 0]],
  ['generation 0', [1, 1, 2, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
  ['a mask bit without a field', [1, 1, 2, 4, 16, 0, 0]],
  ['bytes after the end', [1, 1, 0, 0]],
])('%s is refused', (_, bytes) => {
  expect(() => read(Uint8Array.from(bytes), false)).toThrow(expect.objectContaining({ code: 'SCHEMA_WIRE' }));
});

test('the hash changes with what is sent, and only with that', () => {
  const hash = (fields: Record<string, unknown>, rest: Record<string, unknown> = {}) => {
    class P extends (S.struct(fields as never) as unknown as S.StructClass) {}
    return S.syncPlanOf(S.state({ p: S.pool(P), ...rest } as never)).hash;
  };
  const base = hash({ a: S.u8.sync, b: S.u8, v: Vec });
  expect(hash({ a: S.u8.sync, v: Vec, b: S.u16, c: S.list(S.u8, 2) }, { round: S.int })).toBe(base);
  const others = [
    base,
    hash({ a: S.i8.sync, b: S.u8, v: Vec }),
    hash({ a: S.u8.sync, b: S.u8.sync, v: Vec }),
    hash({ b: S.u8.sync, v: Vec }),
    hash({ v: Vec, a: S.u8.sync }),
    hash({ a: S.u8.sync, v: S.nested(Vec).sync }),
    hash({ a: S.u8.sync, v: Vec, o: S.oneOf('a').sync }),
    hash({ a: S.u8.sync, v: Vec, o: S.oneOf('b').sync }),
  ];
  expect(new Set(others).size).toBe(others.length);
});

test('ops before pool() are a mistake of the program', () => {
  const sync = new S.SyncWriter(plan, new S.Writer());
  sync.begin(1, 1);
  expect(() => sync.leave(1)).toThrow(TypeError);
});
