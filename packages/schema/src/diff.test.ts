import { expect, test } from 'vitest';
import * as S from './index.ts';

const named = (name: string, fields: Record<string, unknown>, was?: S.Former): S.StructClass => {
  const Class = class extends (S.struct(fields as never) as unknown as S.StructClass) {};
  Object.defineProperty(Class, 'name', { value: name });
  if (was !== undefined) Object.defineProperty(Class, 'was', { value: was });
  return Class;
};
const stateOf = (fields: Record<string, unknown>, options: S.PoolOptions = { capacity: 10 }, was?: S.Former) =>
  S.state({ players: S.pool(named('Player', fields, was), options) } as never);
/** What changes when a record of one field gets another kind. */
const told = (from: unknown, to: unknown) => {
  const changes = S.diff(stateOf({ a: from }), stateOf({ a: to }));
  return changes.map(({ change, effect, inverse }) => `${change}, ${effect}${inverse ? '' : ', no way back'}`);
};

class Vec extends S.struct({ x: S.f32 }) {}
class Flat extends S.struct({ x: S.f32, z: S.f32 }) {}

test.each<[unknown, unknown, string[]]>([
  [S.u8, S.u8, []],
  [S.u8.init(3), S.u8.sync.was('b'), []],
  [S.u8, S.u16, ['widened, lossless']],
  [S.u8, S.i16, ['widened, lossless']],
  [S.u8, S.i8, ['narrowed, checked']],
  [S.u32, S.i32, ['narrowed, checked']],
  [S.u32, S.int, ['widened, lossless']],
  [S.int, S.u32, ['narrowed, checked']],
  [S.int, S.i64, ['widened, lossless']],
  [S.u64, S.int, ['narrowed, checked']],
  [S.u64, S.i64, ['narrowed, checked']],
  [S.int, S.f64, ['widened, lossless']],
  [S.u64, S.f64, ['narrowed, checked']],
  [S.i32, S.f32, ['narrowed, checked']],
  [S.u16, S.f32, ['widened, lossless']],
  [S.f32, S.f64, ['widened, lossless']],
  [S.f64, S.f32, ['narrowed, checked, no way back']],
  [S.f64, S.int, ['narrowed, checked']],
  [S.bool, S.u8, ['widened, lossless']],
  [S.u8, S.bool, ['narrowed, checked']],
  [S.text(4), S.text(5), ['widened, lossless']],
  [S.text(4), S.text(), ['widened, lossless']],
  [S.text(), S.text(4), ['narrowed, checked']],
  [S.bytes(4), S.bytes(3), ['narrowed, checked']],
  [S.bits(4), S.bits(), ['widened, lossless']],
  [S.text(4), S.bytes(8), ['kind, refused, no way back']],
  [S.oneOf('a', 'b'), S.oneOf('a', 'b', 'c'), ['widened, lossless']],
  [S.oneOf('a', 'b'), S.oneOf('b', 'a'), ['reordered, lossless']],
  [S.oneOf('a', 'b'), S.oneOf('a'), ['narrowed, checked']],
  [S.oneOf('a', 'b'), S.text(1), ['kind, lossless']],
  [S.oneOf('aa', 'b'), S.text(1), ['kind, checked']],
  [S.text(1), S.oneOf('a'), ['kind, checked']],
  [S.u8, S.optional(S.u8), ['widened, lossless']],
  [S.optional(S.u8), S.u8, ['narrowed, checked']],
  [S.optional(S.u8), S.optional(S.u16), ['widened, lossless']],
  [S.u16, S.optional(S.u8), ['narrowed, checked']],
  [S.optional(S.f64), S.f32, ['narrowed, checked, no way back']],
  [S.ref('players'), S.u32, ['kind, refused, no way back']],
  [S.list(S.u8, 3), S.list(S.u8, 4), ['resized, lossless']],
  [S.list(S.u8, 3), S.list(S.u8), ['resized, lossless']],
  [S.list(S.u8), S.list(S.u8, 3), ['resized, checked']],
  [S.list(S.u8), S.list(S.u16), ['widened, lossless']],
  [S.list(S.u8, 4), S.list(S.u16, 3), ['widened, checked']],
  [S.list(S.u8), S.array(S.u8), ['kind, lossless']],
  [S.array(S.u8), S.set(S.u8), ['kind, checked, no way back']],
  [S.set(S.u8), S.queue(S.u8), ['kind, lossless']],
  [S.array(S.u8, 3), S.array(S.u8, 4), ['resized, lossless']],
  [S.array(S.u8, 3), S.array(S.u8), ['resized, lossless']],
  [S.map(S.u8, S.text(3)), S.map(S.u16, S.text(3)), ['widened, lossless']],
  [S.map(S.u8, S.u8), S.sorted(S.u8, S.u8), ['kind, lossless, no way back']],
  [S.map(S.u8, S.u8), S.map(S.u8, S.ref('players')), ['kind, refused, no way back']],
  [S.map(S.u8, S.u8), S.list(S.u8), ['kind, refused, no way back']],
  [Vec, Flat, ['kind, lossless', 'added, lossless', 'removed, lossless']],
  [Flat, Vec, ['kind, dropped, no way back', 'added, lossless', 'removed, lossless']],
])('%s to %s', (from, to, changes) => {
  expect(told(from, to)).toEqual(changes);
});

test('sentences name the place and say what becomes of the values', () => {
  const old = stateOf({ hp: S.u8, name: S.text(8), mode: S.oneOf('a', 'b'), gone: S.u8 });
  const next = stateOf({ name: S.text(4), health: S.u16.was('hp'), mode: S.oneOf('b'), fresh: S.int.init(3) });
  expect(S.diff(old, next).map(change => change.sentence)).toEqual([
    'players.name: text(8) becomes text(4), values longer than 4 do not fit',
    'players.health was called hp',
    'players.health: u8 becomes u16, every value fits',
    "players.mode: oneOf('a', 'b') becomes oneOf('b'), values 'a' do not fit",
    'players.fresh is new, it starts with its initial value',
    'players.gone is gone, its values are left behind',
    'fields of players are declared in another order',
  ]);
  expect(S.effectOf(S.diff(old, next))).toBe('dropped');
  expect(S.effectOf([])).toBe('lossless');
});

test('pools: added, removed, renamed, resized, reordered', () => {
  const Item = named('Item', { n: S.u8, next: S.ref('items') });
  const Other = named('Other', { n: S.u8 });
  const old = S.state({ items: S.pool(Item, { capacity: 5 }), a: S.pool(Other), b: S.pool(Other) } as never);
  const Thing = named('Item', { n: S.u8, next: S.ref('things') });
  const next = S.state({
    b: S.pool(Other, { capacity: 7 }),
    things: S.pool(Thing, { was: 'items' }),
    c: S.pool(Other),
  } as never);
  expect(S.diff(old, next).map(({ change, name, effect, sentence }) => [change, name, effect, sentence])).toEqual([
    ['resized', 'b', 'checked', 'pool `b`: growing becomes 7 slots, more than 7 records do not fit'],
    ['renamed', 'things', 'lossless', 'pool `items` is called `things`'],
    ['resized', 'things', 'lossless', 'pool `things`: 5 slots become growing, every record fits'],
    ['added', 'c', 'lossless', 'pool `c` is new'],
    ['removed', 'a', 'dropped', 'pool `a` is gone, its records are left behind'],
    ['reordered', 'pools', 'lossless', 'pools are declared in another order'],
  ]);
});

test('root fields and nested classes', () => {
  const old = S.state({ round: S.u8, at: named('Vec', { x: S.f32, y: S.f32 }) } as never);
  const next = S.state({ round: S.u16, at: named('Place', { y: S.f32, z: S.f32.was('x') }, 'Vec') } as never);
  expect(S.diff(old, next).map(change => change.sentence)).toEqual([
    'round: u8 becomes u16, every value fits',
    'class Vec is called Place',
    'Place.y is at byte 0, it was at 4',
    'Place.z was called x',
    'Place.z is at byte 4, it was at 0',
    'fields of Place are declared in another order',
  ]);
});

test('families: classes added, removed, renamed, and a pool that becomes one', () => {
  const [Wolf, Sheep] = [named('Wolf', { hp: S.u8 }), named('Sheep', { wool: S.u8 })];
  const [Dog, Fox] = [named('Dog', { hp: S.u16 }, 'Wolf'), named('Fox', { hp: S.u8 })];
  const family = (classes: S.Variants) => S.state({ animals: S.pool(S.variants(classes)) } as never);
  const sentences = (old: S.DiffSide, next: S.DiffSide) =>
    S.diff(old, next).map(({ sentence, effect }) => `${sentence} (${effect})`);
  expect(sentences(family({ Wolf, Sheep }), family({ Sheep, Dog, Fox }))).toEqual([
    'class Wolf of pool `animals` is called Dog (lossless)',
    'animals.Dog.hp: u8 becomes u16, every value fits (lossless)',
    'class Fox is new in pool `animals` (lossless)',
  ]);
  expect(sentences(family({ Wolf, Sheep }), family({ Sheep }))).toEqual([
    'class Wolf is gone from pool `animals`, records of it do not fit (checked)',
  ]);
  const single = S.state({ animals: S.pool(Wolf) } as never);
  expect(sentences(single, family({ Wolf, Sheep }))[0]).toBe(
    'pool `animals` held Wolf and holds Sheep | Wolf (lossless)',
  );
  expect(sentences(family({ Wolf, Sheep }), single)[0]).toBe(
    'pool `animals` held Sheep | Wolf and holds Wolf (checked)',
  );
  expect(sentences(single, family({ Sheep }))[0]).toBe('pool `animals` held Wolf and holds Sheep (refused)');
});

test('annotations may stay: once the old layout knows them they are behind', () => {
  const before = stateOf({ health: S.u8 });
  const after = stateOf({ hp: S.u8.was('health') });
  const later = stateOf({ hp: S.u8.was('health'), health: S.u8 });
  const changes = (from: S.DiffSide, to: S.DiffSide) => S.diff(from, to).map(({ change, name }) => `${change} ${name}`);
  expect(changes(before, after)).toEqual(['renamed hp']);
  expect(changes(after, after)).toEqual([]);
  expect(changes(after, later)).toEqual(['added health']);
  expect(changes(before, later)).toEqual(['renamed hp', 'added health']);
  const swapped = stateOf({ a: S.u8.was('b'), b: S.u16.was('a') });
  expect(changes(stateOf({ a: S.u16, b: S.u8 }), swapped)).toContain('renamed a');
  expect(changes(S.describe(swapped), swapped)).toEqual([]);
  expect(changes(stateOf({ c: S.u8 }), stateOf({ a: S.u8.was('b', 'c') }))).toEqual(['renamed a']);
});

test('former names are in the catalog and not in the hash', () => {
  const Old = named('Player', { hp: S.u8 });
  const New = named('Player', { hp: S.u8.was('health', 'life') }, ['Hero', 'Human']);
  const layout = S.stateLayoutOf(S.state({ players: S.pool(New, { was: 'heroes' }), at: New } as never));
  const catalog = JSON.parse(JSON.stringify(S.describe(layout)));
  expect(catalog.pools[0]).toMatchObject({
    was: ['heroes'],
    record: { was: ['Hero', 'Human'], fields: [{ was: ['health', 'life'] }] },
  });
  expect(S.describe(S.fromDescription(catalog))).toEqual(catalog);
  const bare = S.state({ players: S.pool(Old), at: Old } as never);
  expect(S.layoutHash(catalog)).toBe(S.layoutHash(bare));
  expect(S.diff(bare, layout)).toEqual([]);
  const says = (kind: unknown) => S.protocol({ walk: S.command({ a: kind } as never) }).hash;
  expect(says(S.u8.was('b'))).toBe(says(S.u8));
  expect(says(New)).toBe(says(Old));
});

test('a class that extends another was not what that one was', () => {
  class Base extends S.struct({ a: S.u8 }) {
    static was = 'Root';
  }
  class Derived extends S.extend(Base, { b: S.u8 }) {}
  expect(S.layoutOf(Base).was).toEqual(['Root']);
  expect(S.layoutOf(Derived).was).toBe(undefined);
});

test.each<[string, () => unknown, string, RegExp]>([
  ['was()', () => (S.u8 as any).was(), 'SCHEMA_KIND', /takes the name from before/],
  ["was('')", () => S.u8.was(''), 'SCHEMA_KIND', /takes the name from before/],
  ['was(3)', () => S.u8.was(3 as never), 'SCHEMA_KIND', /takes the name from before/],
  ['pool was 3', () => S.pool(Vec, { was: 3 as never }), 'SCHEMA_STATE', /pool of Vec: was takes/],
  ['class was 3', () => S.layoutOf(named('A', { a: S.u8 }, 3 as never)), 'SCHEMA_STRUCT', /static was of A: was takes/],
  ['no catalog', () => S.diff({ format: 9 } as never, S.state({ a: S.u8 })), 'SCHEMA_CATALOG', /its format is 9/],
])('%s is refused', (_, declare, code, message) => {
  expect(declare).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});

test("the runtime's parts count unless one side is a schema", () => {
  const schema = stateOf({ a: S.u8 });
  const parts = { hidden: { players: { $n: S.int } }, system: { $seed: S.u32, $more: S.pool(Vec) } };
  const full = S.stateLayoutOf(schema, parts);
  expect(S.diff(full, schema)).toEqual([]);
  expect(S.diff(S.stateLayoutOf(schema), full).map(({ change, name }) => `${change} ${name}`)).toEqual([
    'added $n',
    'added $more',
    'added $seed',
  ]);
});
