import { expect, test } from 'vitest';
import * as S from './index.ts';

class Vec extends S.struct({ x: S.f32, y: S.f32 }) {}
class Item extends S.struct({ kind: S.u16, pos: Vec, names: S.array(S.text(4), 2) }) {}

test.each<[unknown, unknown, string]>([
  [S.u8, 300, '300 is not a u8 (0..255)'],
  [S.u8, 1.5, '1.5 is not a u8 (0..255)'],
  [S.i32, Number.NaN, 'NaN is not an i32 (-2147483648..2147483647)'],
  [S.i32, 'x', "'x' is not an i32 (-2147483648..2147483647)"],
  [S.int, 2 ** 53, '9007199254740992 is not an int (a whole number, at most 2^53 - 1 either way)'],
  [S.f64, null, 'null is not an f64 (a number)'],
  [S.u64, 1, '1 is not a u64 (a bigint, 0..18446744073709551615)'],
  [S.bool, 1, '1 is not a bool (true or false)'],
  [S.oneOf('a', 'b'), 'c', "'c' is not one of 'a', 'b'"],
  [S.text(3), 'four', "'four' has 4 characters, text(3) holds 3"],
  [S.bytes(3), new Uint8Array(4), '4 bytes do not fit into bytes(3)'],
  [S.ref('players'), 3, '3 is not a record of `players`, a { slot, generation } or undefined'],
  [
    S.ref('players'),
    { [S.RECORD_REF]: { pool: 'items', slot: 0, generation: 1 } },
    'a record of `items` is not one of `players`',
  ],
  [S.array(S.u8, 2), [1, 2, 3], 'more elements than the array of 2 holds'],
  [S.list(S.u8, 2), [1, 256], '[1]: 256 is not a u8 (0..255)'],
  [S.list(S.u8, 2), [1, 2, 3], 'more elements than the list with capacity 2 holds'],
  [S.queue(S.u8, 1), [1, 2], 'more elements than the queue with capacity 1 holds'],
  [S.set(S.u8, 1), [1, 2], 'more keys than the set with capacity 1 holds'],
  [S.set(S.u8), [1, 256], '[1]: 256 is not a u8 (0..255)'],
  [S.set(S.u8), 3, '3 is not a list of keys'],
  [S.array(S.u8), [1, undefined], '[1]: undefined'],
  [S.text(), 3, '3 is not a text'],
  [S.sorted(S.u8, S.list(S.u8)), [[1, [2, -1]]], '[0][1]: -1 is not a u8 (0..255)'],
  [S.bits(8), [7, 8], '[1]: 8 is not the number of a bit (0..7)'],
  [S.bits(), [2 ** 30], '[0]: 1073741824 is not the number of a bit (0..1073741823)'],
  [S.bits(), 'ab', "'ab' is not a list of the numbers of the bits that are set"],
  [S.optional(S.u8), 300, '300 is not a u8 (0..255)'],
  [S.map(S.u8, Item, 2), [[1, { kind: -1 }]], '[0].kind: -1 is not a u16 (0..65535)'],
  [Item, { pos: { x: 'a' } }, "pos.x: 'a' is not an f32 (-3.4028234663852886e+38..3.4028234663852886e+38)"],
  [Item, { names: ['a', 'aaaaa'] }, "names[1]: 'aaaaa' has 5 characters, text(4) holds 4"],
  [Item, { knid: 1 }, 'Item has no field knid'],
  [Item, 3, '3 is not Item ({ kind, pos, names })'],
])('%s refuses %s', (kind, value, sentence) => {
  expect(S.check(S.kindOf(kind), value)).toBe(sentence);
});

test('a class instance may have more than fields, a plain object may not', () => {
  const kind = S.kindOf(Vec);
  expect(S.check(kind, S.mirrorOf(Vec, { x: 1, y: 2 }))).toBe(undefined);
  expect(S.check(kind, Object.assign(Object.create(null), { z: 1 }))).toBe('Vec has no field z');
});

test('-0 becomes 0 in whole numbers and stays in floats', () => {
  expect(Object.is(S.copyValue(S.kindOf(S.int), -0), 0)).toBe(true);
  expect(Object.is(S.copyValue(S.kindOf(S.f64), -0), -0)).toBe(true);
});

test('refuse names field and owner', () => {
  expect(() => S.refuse('hp', 'Player', S.kindOf(S.u8), 300)).toThrow(
    expect.objectContaining({ code: 'SCHEMA_RANGE', message: 'field hp of Player: 300 is not a u8 (0..255)' }),
  );
});

test('zero values', () => {
  class All extends S.struct({
    a: S.u8,
    b: S.u64,
    c: S.bool,
    d: S.oneOf('x', 'y'),
    e: S.text(3),
    f: S.bytes(3),
    g: S.ref('p'),
    h: S.array(S.int, 2),
    i: Vec,
    j: S.list(S.u8, 2),
    k: S.map(S.u8, S.u8, 2),
    l: S.i32.init(100),
    m: S.nested(Vec).init({ y: 2 }),
    n: S.text(),
    o: S.array(S.u8),
    p: S.optional(S.u8),
    q: S.optional(S.u8).init(3),
    r: S.bits(4),
    s: S.sorted(S.u8, S.u8),
  }) {}
  expect(S.zeroOf(S.kindOf(All))).toEqual({
    a: 0,
    b: 0n,
    c: false,
    d: 'x',
    e: '',
    f: new Uint8Array(0),
    g: undefined,
    h: [0, 0],
    i: { x: 0, y: 0 },
    j: [],
    k: [],
    l: 100,
    m: { x: 0, y: 2 },
    n: '',
    o: [],
    p: undefined,
    q: 3,
    r: [],
    s: [],
  });
});

test('growing kinds have no limit but that of their values', () => {
  const long = 'a'.repeat(100_000);
  expect(S.check(S.kindOf(S.text()), long)).toBe(undefined);
  expect(S.check(S.kindOf(S.bytes()), new Uint8Array(100_000))).toBe(undefined);
  expect(S.check(S.kindOf(S.array(S.u8)), new Uint8Array(100_000))).toBe(undefined);
  expect(S.check(S.kindOf(S.map(S.text(), S.optional(S.u8))), [[long, undefined]])).toBe(undefined);
  expect(S.copyValue(S.kindOf(S.bits()), [5, 1, 5, -0])).toEqual([0, 1, 5]);
});
