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
  [S.text(), 8, 4],
  [S.bytes(), 8, 4],
  [S.array(S.int), 4, 4],
  [S.list(S.int), 4, 4],
  [S.map(S.u64, S.int), 4, 4],
  [S.set(S.u64), 4, 4],
  [S.sorted(S.u64, S.int), 4, 4],
  [S.queue(S.int), 4, 4],
  [S.bits(), 4, 4],
  [S.bits(1), 4, 4],
  [S.bits(33), 8, 4],
  [S.queue(S.u8, 3), 20, 4],
  [S.queue(S.int, 3), 32, 8],
  [S.set(S.u8, 3), 100, 4],
  [S.optional(S.u8), 2, 2],
  [S.optional(S.u16), 4, 4],
  [S.optional(S.u32), 8, 4],
  [S.optional(S.int), 16, 8],
  [S.optional(S.text(24)), 56, 4],
  [S.optional(S.text()), 12, 4],
  [S.array(S.optional(S.u8), 3), 8, 4],
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

class Log extends S.struct({ n: S.u8, log: S.array(S.u8) }) {}
class Note extends S.struct({ at: Log }) {}

test.each<[string, () => unknown, RegExp]>([
  [
    'list.sync',
    () => (S.list(S.u8, 2) as never as { sync: unknown }).sync,
    /list\(u8, 2\) cannot be \.sync: it is a list, .*use array/,
  ],
  ['map.sync', () => (S.map(S.u8, S.u8, 2) as never as { sync: unknown }).sync, /map\(u8, u8, 2\) cannot be \.sync/],
  ['ref.init', () => (S.ref('p') as never as S.Kind<unknown>).init(undefined), /ref\('p'\) has no initial value/],
  ['text(0)', () => S.text(0), /1\.\.32767, not 0/],
  ['text(1.5)', () => S.text(1.5), /not 1\.5/],
  ['text(32768)', () => S.text(32768), /not 32768/],
  ['bytes(0)', () => S.bytes(0), /not 0/],
  ['array(0)', () => S.array(S.u8, 0), /length of 1\.\.16777216, not 0/],
  ['list(-1)', () => S.list(S.u8, -1), /capacity of 1\.\.16777216, not -1/],
  ['map without capacity', () => S.map(S.u8, S.u8, undefined), /not undefined/],
  ['map by float', () => S.map(S.f32 as never, S.u8, 2), /cannot be keyed by f32/],
  ['set by float', () => S.set(S.f32 as never, 2), /a set cannot be keyed by f32/],
  ['sorted by bool', () => S.sorted(S.bool as never, S.u8), /a sorted cannot be keyed by bool/],
  ['text(undefined)', () => S.text(undefined as never), /not undefined/],
  ['list(undefined)', () => S.list(S.u8, undefined), /not undefined; leave it out and the list grows/],
  ['bits(0)', () => S.bits(0), /1\.\.1073741824, not 0/],
  ['queue(2.5)', () => S.queue(S.u8, 2.5), /not 2\.5/],
  ['optional of a ref', () => S.optional(S.ref('p')), /a ref can be undefined already/],
  ['optional of optional', () => S.optional(S.optional(S.u8)), /an? optional can be undefined already/],
  [
    'text().sync',
    () => (S.text() as never as { sync: unknown }).sync,
    /is text\(\), which cannot be sent: use text\(n\)/,
  ],
  ['text().init', () => (S.text() as never as S.Kind<string>).init('a'), /text\(\) has no initial value/],
  ['array(E).sync', () => (S.array(S.u8) as never as { sync: unknown }).sync, /is an array without a length/],
  ['bits.sync', () => (S.bits(8) as never as { sync: unknown }).sync, /is a bits, .* use array\(bool, n\)/],
  [
    'optional(list).sync',
    () => S.optional(S.list(S.u8, 2)).sync,
    /optional\(list\(u8, 2\)\) cannot be \.sync: it is a list/,
  ],
  ['array(text()).sync', () => S.array(S.text(), 2).sync, /array\(text\(\), 2\) cannot be \.sync: it is text\(\)/],
  [
    'nested(Note).sync',
    () => S.nested(Note).sync,
    /Note cannot be \.sync: it, in its field at, in its field log, is an array/,
  ],
  ['nested(Note).init', () => S.nested(Note).init({ at: { log: [1] } }), /init of Note: what grows starts empty/],
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
  expect(spelled(S.map(S.text(), S.array(S.list(S.u8))))).toBe('map(text(), array(list(u8)))');
  expect(spelled(S.optional(S.queue(S.bytes(), 3)))).toBe('optional(queue(bytes(), 3))');
  expect(spelled(S.sorted(S.int, S.set(S.u8)))).toBe('sorted(int, set(u8))');
  expect(spelled(S.array(S.bits(), 2))).toBe('array(bits(), 2)');
});

test('what grows is told from what has a place of its own', () => {
  class Item extends S.struct({ a: S.u8, tags: S.optional(S.set(S.text(8))) }) {}
  const asked = (kind: unknown) => [S.isGrowing(S.kindOf(kind)), S.ownsHeap(S.kindOf(kind))];
  expect(asked(S.text())).toEqual([true, true]);
  expect(asked(S.text(1))).toEqual([false, false]);
  expect(asked(S.list(S.u8, 2))).toEqual([false, false]);
  expect(asked(S.list(Item, 2))).toEqual([false, true]);
  expect(asked(Item)).toEqual([false, true]);
  expect(asked(S.map(S.text(), S.u8, 4))).toEqual([false, true]);
  expect(asked(S.bits(3))).toEqual([false, false]);
  expect(asked(S.sorted(S.u8, S.u8))).toEqual([true, true]);
  const needs = (fields: object) => S.needsHeap(S.stateLayoutOf(S.state(fields as never)));
  class Flat extends S.struct({ a: S.u8 }) {}
  expect(needs({ flat: S.pool(Flat, { capacity: 3 }), n: S.int })).toBe(false);
  expect(needs({ flat: S.pool(Flat) })).toBe(true);
  expect(needs({ items: S.pool(Item, { capacity: 3 }) })).toBe(true);
  expect(needs({ news: S.text() })).toBe(true);
});
