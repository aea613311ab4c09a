import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (message: RegExp) =>
  expect.objectContaining({ code: 'SCHEMA_CATALOG', message: expect.stringMatching(message) });

class Vec extends S.struct({ x: S.f32, y: S.f32 }) {}
class Item extends S.struct({ kind: S.u16, at: Vec }) {}
class Player extends S.struct({
  name: S.text(24),
  hp: S.i32,
  mode: S.oneOf('walk', 'run'),
  bag: S.map(S.int, Item, 16),
  trail: S.array(Vec, 3),
  log: S.list(S.bytes(8), 4),
  friend: S.ref<Player>('players'),
}) {}
const declared = { players: S.pool(Player, { capacity: 100 }), round: S.int };
const State = S.state(declared);
const parts = {
  hidden: { players: { $lastN: S.int } },
  system: { $seed: S.u32, $timers: S.pool(Item, { capacity: 9 }) },
};

test('the catalog says all and is read back to the same layouts', () => {
  const layout = S.stateLayoutOf(State, parts);
  const catalog = JSON.parse(JSON.stringify(S.describe(layout)));
  const read = S.fromDescription(catalog);
  expect(S.describe(read)).toEqual(catalog);
  expect(S.layoutHash(read)).toBe(S.layoutHash(layout));
  expect(S.layoutHash(catalog)).toBe(S.layoutHash(layout));
  expect([...read.structs.keys()]).toEqual(['Vec', 'Item']);
  expect(read.pools.map(({ name, capacity, hidden, struct }) => ({ name, capacity, hidden, struct }))).toEqual([
    { name: 'players', capacity: 100, hidden: false, struct: undefined },
    { name: '$timers', capacity: 9, hidden: true, struct: undefined },
  ]);
  expect(read.pools[0].layout.fields.at(-1)).toMatchObject({ name: '$lastN', hidden: true });
  expect(read.root.fields.map(field => [field.name, field.hidden])).toEqual([
    ['round', false],
    ['$seed', true],
  ]);
  expect(layout.pools[0].struct).toBe(Player);
});

// One change each; the class keeps its name.
const like = (fields: Record<string, unknown>, name = 'Player') => {
  const Class = class extends (S.struct(fields as never) as unknown as S.StructClass) {};
  Object.defineProperty(Class, 'name', { value: name });
  return Class;
};
const hash = (
  fields: Record<string, unknown>,
  options: { name?: string; capacity?: number; parts?: S.HiddenParts } = {},
) => {
  const schema = S.state({
    players: S.pool(like(fields, options.name), { capacity: options.capacity ?? 100 }),
  } as never);
  return S.layoutHash(S.stateLayoutOf(schema, options.parts));
};
const base = { a: S.i32, b: S.u32, c: S.text(4), d: S.oneOf('x', 'y'), e: S.list(S.u8, 2) };

test('the hash changes with every part of the layout', () => {
  const hashes = [
    hash(base),
    hash({ b: S.u32, a: S.i32, c: S.text(4), d: S.oneOf('x', 'y'), e: S.list(S.u8, 2) }),
    hash({ ...base, a: S.u32 }),
    hash({ ...base, a: S.f32 }),
    hash({ ...base, c: S.text(5) }),
    hash({ ...base, c: S.bytes(4) }),
    hash({ ...base, d: S.oneOf('y', 'x') }),
    hash({ ...base, d: S.oneOf('x', 'y', 'z') }),
    hash({ ...base, e: S.list(S.u8, 3) }),
    hash({ ...base, e: S.list(S.i8, 2) }),
    hash({ ...base, e: S.array(S.u8, 2) }),
    hash({ ...base, f: S.u8 }),
    hash({ ...base, r: S.ref('players') }),
    hash({ a: S.i32, bb: S.u32, c: S.text(4), d: S.oneOf('x', 'y'), e: S.list(S.u8, 2) }),
    hash(base, { name: 'Hero' }),
    hash(base, { capacity: 101 }),
    hash(base, { parts: { hidden: { players: { $n: S.int } } } }),
    hash(base, { parts: { hidden: { players: { $n: S.u32 } } } }),
    hash(base, { parts: { system: { $n: S.int } } }),
    hash(base, { parts: { system: { $n: S.pool(Item) } } }),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
  for (const each of hashes) expect(each).toMatch(/^[0-9a-f]{16}$/);
});

test('the hash does not change with what is no layout', () => {
  expect(hash({ ...base, a: S.i32.sync })).toBe(hash(base));
  expect(hash({ ...base, a: S.i32.init(7) })).toBe(hash(base));
  expect(hash({ ...base })).toBe(hash(base));
  class WithMethods extends S.struct(base) {
    get dead() {
      return this.a === 0;
    }
  }
  Object.defineProperty(WithMethods, 'name', { value: 'Player' });
  expect(S.layoutHash(S.state({ players: S.pool(WithMethods, { capacity: 100 }) }))).toBe(hash(base));
});

test('what grows is described, and its hash differs from what has a capacity', () => {
  const growing: Record<string, unknown> = {
    a: S.text(),
    b: S.bytes(),
    c: S.array(S.text()),
    d: S.list(S.array(S.u8)),
    e: S.map(S.text(4), S.map(S.int, Item)),
    f: S.set(S.u64),
    g: S.sorted(S.int, S.optional(Item)),
    h: S.queue(S.queue(S.u8)),
    i: S.bits(),
    j: S.optional(S.list(S.u8, 3)),
  };
  const layout = S.stateLayoutOf(S.state({ players: S.pool(like(growing)) } as never));
  const catalog = JSON.parse(JSON.stringify(S.describe(layout)));
  expect(catalog.pools[0].capacity).toBe(0);
  expect(S.describe(S.fromDescription(catalog))).toEqual(catalog);
  const hashes = [
    hash(growing),
    hash({ ...growing, a: S.text(3) }),
    hash({ ...growing, b: S.text() }),
    hash({ ...growing, c: S.list(S.text()) }),
    hash({ ...growing, c: S.queue(S.text()) }),
    hash({ ...growing, d: S.list(S.array(S.u8), 1) }),
    hash({ ...growing, e: S.sorted(S.text(4), S.map(S.int, Item)) }),
    hash({ ...growing, f: S.set(S.i64) }),
    hash({ ...growing, f: S.set(S.u64, 4) }),
    hash({ ...growing, h: S.queue(S.queue(S.u8), 4) }),
    hash({ ...growing, i: S.bits(8) }),
    hash({ ...growing, i: S.bits(9) }),
    hash({ ...growing, j: S.list(S.u8, 3) }),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
});

test('the hash of this state is what it was: a change here is a change of the format', () => {
  expect(S.layoutHash(S.stateLayoutOf(State, parts))).toMatchInlineSnapshot(`"d0827bcab195c626"`);
});

test.each<[string, (catalog: any) => unknown, RegExp]>([
  ['no object', () => 3, /the catalog is not an object/],
  ['another format', catalog => ({ ...catalog, format: 2 }), /its format is 2, this version reads 1/],
  [
    'a moved field',
    catalog => ((catalog.pools[0].record.fields[1].offset += 4), catalog),
    /field hp of Player is said to be at 56 with 4 bytes, its kind is laid at 52 with 4/,
  ],
  ['a wrong size', catalog => ((catalog.root.bytes = 64), catalog), /root is said to take 64 bytes/],
  ['an unknown kind', catalog => ((catalog.root.fields[0].kind = 'u128'), catalog), /kind 'u128' is unknown/],
  [
    'a kind of the prototype',
    catalog => ((catalog.root.fields[0].kind = 'constructor'), catalog),
    /kind 'constructor' is unknown/,
  ],
  [
    'a struct within itself',
    catalog => ((catalog.structs[0].fields[0].kind = { tag: 'struct', name: 'Vec' }), catalog),
    /nested struct Vec is not described before it is used/,
  ],
  ['a struct twice', catalog => (catalog.structs.push(catalog.structs[0]), catalog), /struct Vec twice/],
  [
    'a field twice',
    catalog => (catalog.root.fields.push(catalog.root.fields[0]), catalog),
    /field round of root twice/,
  ],
  ['a pool twice', catalog => (catalog.pools.push(catalog.pools[0]), catalog), /a pool twice/],
  ['a capacity of -1', catalog => ((catalog.pools[0].capacity = -1), catalog), /capacity of pool `players` is -1/],
  [
    'a ref to no pool',
    catalog => ((catalog.pools[0].record.fields[6].kind.pool = 'x'), catalog),
    /pool `x`, which does not exist/,
  ],
  ['a name for code', catalog => ((catalog.root.fields[0].name = 'a;b'), catalog), /field name 'a;b' of root/],
  ['__proto__', catalog => ((catalog.root.fields[0].name = '__proto__'), catalog), /field name '__proto__'/],
  ['a text of -1', catalog => ((catalog.pools[0].record.fields[0].kind.length = -1), catalog), /1\.\.32767, not -1/],
  ['a text of no length', catalog => (delete catalog.pools[0].record.fields[0].kind.length, catalog), /not undefined/],
  [
    'endless kinds',
    catalog => {
      let kind: unknown = 'u8';
      for (let i = 0; i < 100_000; i++) kind = { tag: 'array', of: kind, length: 1 };
      catalog.root.fields[0].kind = kind;
      return catalog;
    },
    /nested deeper than 64/,
  ],
])('a catalog with %s is refused', (_, change, message) => {
  const catalog = JSON.parse(JSON.stringify(S.describe(S.stateLayoutOf(State, parts))));
  expect(() => S.fromDescription(change(catalog))).toThrow(coded(message));
});

test.each<[string, S.HiddenParts, RegExp]>([
  ['of no pool', { hidden: { plyers: { $n: S.int } } }, /pool `plyers`, which does not exist/],
  ['with a plain name', { hidden: { players: { n: S.int } } }, /must start with \$/],
  ['of the system with a plain name', { system: { n: S.int } }, /must start with \$/],
  ['with a ref to no pool', { system: { $n: S.ref('x') } }, /pool `x`, which does not exist/],
])('hidden parts %s are refused', (_, hidden, message) => {
  expect(() => S.stateLayoutOf(State, hidden)).toThrow(message);
});

test('a ref of the system may name a pool of the system', () => {
  const { root } = S.stateLayoutOf(State, { system: { $first: S.ref('$timers'), $timers: S.pool(Item) } });
  expect(root.fields.at(-1)).toMatchObject({ name: '$first', hidden: true });
});
