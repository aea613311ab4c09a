import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (code: S.SchemaCode, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

test.each<[unknown, number, number]>([
  [S.u8, 1, 1],
  [S.i8, 1, 1],
  [S.u16, 2, 2],
  [S.i16, 2, 2],
  [S.u32, 4, 4],
  [S.i32, 4, 4],
  [S.u64, 8, 8],
  [S.i64, 8, 8],
  [S.int, 8, 8],
  [S.f32, 4, 4],
  [S.f64, 8, 8],
  [S.bool, 1, 1],
  [S.oneOf('a'), 1, 1],
  [S.oneOf(...(Array.from({ length: 256 }, (_, i) => `n${i}`) as [string])), 1, 1],
  [S.oneOf(...(Array.from({ length: 257 }, (_, i) => `n${i}`) as [string])), 2, 2],
  [S.text(1), 4, 4],
  [S.text(24), 52, 4],
  [S.text(32767), 65536, 4],
  [S.bytes(1), 8, 4],
  [S.bytes(16), 20, 4],
  [S.ref('p'), 8, 4],
  [S.array(S.u8, 3), 4, 4],
  [S.array(S.u16, 4), 8, 4],
  [S.array(S.int, 2), 16, 8],
])('%s takes %i bytes aligned to %i', (kind, bytes, align) => {
  expect(S.kindOf(kind)).toMatchObject({ bytes, align, syncs: false, initial: undefined });
});

test('sync and init give copies and keep each other', () => {
  const kind = S.i32.sync.init(100);
  expect(kind).toMatchObject({ syncs: true, initial: 100, tag: 'i32', min: -(2 ** 31) });
  expect(S.i32.init(1).sync).toMatchObject({ syncs: true, initial: 1 });
  expect(S.i32).toMatchObject({ syncs: false, initial: undefined });
  expect(() => {
    (kind as { initial: number }).initial = 5;
  }).toThrow(TypeError);
});

test('an initial value is a checked private copy', () => {
  const given = new Uint8Array([1, 2]);
  const kind = S.bytes(2).init(given);
  given[0] = 9;
  expect(kind.initial).toEqual(new Uint8Array([1, 2]));
  expect(S.array(S.u8, 3).init([7]).initial).toEqual([7, 0, 0]);
  expect(() => S.i32.init('x' as never)).toThrow(coded('SCHEMA_RANGE', /^init: 'x' is not an i32/));
  expect(() => S.text(2).init('abc')).toThrow(coded('SCHEMA_RANGE', /3 characters/));
});

test.each<[string, () => unknown, RegExp]>([
  ['list.sync', () => (S.list(S.u8, 2) as never as { sync: unknown }).sync, /a list cannot be \.sync.*use array/],
  ['map.sync', () => (S.map(S.u8, S.u8, 2) as never as { sync: unknown }).sync, /a map cannot be \.sync/],
  ['ref.init', () => (S.ref('p') as never as S.Kind<unknown>).init(undefined), /a ref has no initial value/],
  ['text(0)', () => S.text(0), /1\.\.32767, not 0/],
  ['text(1.5)', () => S.text(1.5), /not 1\.5/],
  ['text(32768)', () => S.text(32768), /not 32768/],
  ['bytes(0)', () => S.bytes(0), /not 0/],
  ['array(0)', () => S.array(S.u8, 0), /length of 1\.\.16777216, not 0/],
  ['list(-1)', () => S.list(S.u8, -1), /capacity of 1\.\.16777216, not -1/],
  ['map without capacity', () => S.map(S.u8, S.u8, undefined as never), /not undefined/],
  ['map by float', () => S.map(S.f32 as never, S.u8, 2), /cannot be keyed by f32/],
  ['list of lists', () => S.list(S.list(S.u8, 2), 2), /is a list: wrap it in a struct/],
  ['array of a function', () => S.array((() => 0) as never, 2), /a function, not a kind/],
  ['array of nothing', () => S.array(class extends S.struct({}) {}, 2), /has no fields/],
  ['oneOf()', () => (S.oneOf as () => unknown)(), /1\.\.65536 names, not 0/],
  ['oneOf twice', () => S.oneOf('a', 'a'), /a name twice/],
  ['oneOf(3)', () => S.oneOf(3 as never), /names as strings/],
  ['ref()', () => (S.ref as (pool?: string) => unknown)(), /takes the name of a pool/],
  ['too large', () => S.array(S.array(S.int, 2 ** 20), 2 ** 20), /more than 1073741824: lower a capacity/],
])('%s is refused', (_, declare, message) => {
  expect(declare).toThrow(coded('SCHEMA_KIND', message));
});

const spelled = (kind: unknown) => S.describeKind(S.kindOf(kind));
test('kinds print as they are spelled', () => {
  class Item extends S.struct({ a: S.u8 }) {}
  expect(spelled(S.map(S.text(8), Item, 16))).toBe('map(text(8), Item, 16)');
  expect(spelled(S.array(S.oneOf('a', 'b').sync, 2))).toBe("array(oneOf('a', 'b'), 2)");
  expect(spelled(S.list(S.ref('p'), 3))).toBe("list(ref('p'), 3)");
});
