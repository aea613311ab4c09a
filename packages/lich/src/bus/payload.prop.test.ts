/** Payloads of every kind, there and back through a lane's bytes; values that do not fit are refused before a byte is
 * written, and what another process may have left in the bytes never breaks a reader. */
import {
  array,
  bool,
  bytes,
  command,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  int,
  oneOf,
  optional,
  protocol,
  ref,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
} from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { payloadCodec } from './payload.ts';

class Vec extends struct({ x: f32, y: f32, tag: oneOf('a', 'b', 'c'), level: u8.init(7) }) {}
const MANY = Array.from({ length: 300 }, (_, k) => `name ${k}`) as [string, ...string[]];

const P = protocol({
  all: command({
    a: u8,
    b: i8,
    c: u16,
    d: i16,
    e: u32,
    f: i32,
    g: int,
    h: f32,
    i: f64,
    j: u64,
    k: i64,
    l: bool,
    m: oneOf('red', 'green'),
    n: oneOf(...MANY),
    o: text(9),
    p: bytes(7),
    q: ref('units'),
    r: Vec,
    s: array(i16, 5),
    t: array(Vec, 2),
    u: array(text(3), 3),
    v: u8.init(9),
    w: text(4).init('x'),
    x: optional(u8),
    y: optional(Vec),
    z: array(optional(f64), 3),
    aa: optional(text(3)),
    ab: optional(i16).init(5),
  }),
});
const layout = P.byName.get('all')!.layout;
const door = {
  resolve: (pool: string, slot: number, generation: number) =>
    generation === 0 ? undefined : { pool, slot, generation },
};
const codec = payloadCodec(layout, door, 'all');
const AT = 8192 + 64;
const segment = memorySegment({ regions: [{ name: 'data', bytes: 65_536 }] });

const f32s = fc.float({ noNaN: false });
const vec = fc.record({ x: f32s, y: f32s, tag: fc.constantFrom('a', 'b', 'c'), level: fc.nat(255) });
const none = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const whole = (min: number, max: number) => fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max, 0));
const values = fc.record({
  a: whole(0, 255),
  b: whole(-128, 127),
  c: whole(0, 65_535),
  d: whole(-32_768, 32_767),
  e: whole(0, 2 ** 32 - 1),
  f: whole(-(2 ** 31), 2 ** 31 - 1),
  g: fc.oneof(fc.maxSafeInteger(), fc.constantFrom(-0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER)),
  h: f32s,
  i: fc.double(),
  j: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constant(2n ** 64n - 1n)),
  k: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  l: fc.boolean(),
  m: fc.constantFrom('red', 'green'),
  n: fc.constantFrom(...MANY),
  o: fc.string({ maxLength: 9, unit: 'binary' }).filter(t => t.length <= 9),
  p: fc.uint8Array({ maxLength: 7 }),
  q: fc.option(fc.record({ slot: fc.nat(1_000), generation: fc.nat(1_000).map(g => g * 2 + 1) }), { nil: undefined }),
  r: vec,
  s: fc.array(whole(-32_768, 32_767), { minLength: 5, maxLength: 5 }),
  t: fc.array(vec, { minLength: 2, maxLength: 2 }),
  u: fc.array(fc.string({ maxLength: 3, unit: 'grapheme-ascii' }), { minLength: 3, maxLength: 3 }),
  v: fc.nat(255),
  w: fc.string({ maxLength: 4, unit: 'grapheme-ascii' }),
  x: none(fc.nat(255)),
  y: none(vec),
  z: fc.array(none(fc.double()), { minLength: 3, maxLength: 3 }),
  aa: none(fc.string({ maxLength: 3, unit: 'grapheme-ascii' })),
  ab: whole(-32_768, 32_767),
});

type Value = Record<string, unknown>;
const expected = (value: Value): Value => ({
  ...value,
  g: (value.g as number) + 0,
  q: value.q && { pool: 'units', ...(value.q as object) },
});
const area = () => Buffer.from(segment.u8.slice(AT - 64, AT + layout.bytes + 64));

describe('payloads', () => {
  it('come back as they were sent, whatever was in the bytes before', () => {
    fc.assert(
      fc.property(values, fc.nat(255), (value, before) => {
        segment.u8.fill(before, AT, AT + layout.bytes);
        codec.write(segment, AT, value);
        expect(codec.read(segment, AT, layout.bytes)).toEqual(expected(value));
      }),
    );
  });

  it('beyond 2 GiB too', () => {
    // Sparse: what is not touched costs nothing.
    const far = memorySegment({ regions: [{ name: 'data', bytes: 2 ** 31 + 65_536 }] });
    fc.assert(
      fc.property(values, value => {
        codec.write(far, 2 ** 31 + AT, value);
        expect(codec.read(far, 2 ** 31 + AT, layout.bytes)).toEqual(expected(value));
      }),
      { numRuns: 30 },
    );
  });

  it('stay inside their bytes', () => {
    fc.assert(
      fc.property(values, value => {
        segment.u8.fill(0xaa, AT - 64, AT + layout.bytes + 64);
        codec.write(segment, AT, value);
        expect(
          [...segment.u8.slice(AT - 64, AT), ...segment.u8.slice(AT + layout.bytes, AT + layout.bytes + 64)].every(
            byte => byte === 0xaa,
          ),
        ).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  const bad: [string, unknown][] = [
    ...['a', 'b', 'c', 'd', 'e', 'f', 'g'].flatMap((name): [string, unknown][] =>
      [NaN, Infinity, 1.5, 2 ** 53, '1', null, undefined, 1n, {}].map(value => [name, value]),
    ),
    ['a', 256],
    ['a', -1],
    ['b', 128],
    ['b', -129],
    ['c', 65_536],
    ['d', 32_768],
    ['e', 2 ** 32],
    ['e', -1],
    ['f', 2 ** 31],
    ['h', 1e39],
    ['h', 'x'],
    ['h', undefined],
    ['h', null],
    ['i', '1'],
    ['i', undefined],
    ['i', null],
    ['j', -1n],
    ['j', 2n ** 64n],
    ['j', 1],
    ['k', 2n ** 63n],
    ['k', undefined],
    ['l', 1],
    ['l', undefined],
    ['l', 'true'],
    ['m', 'blue'],
    ['m', 0],
    ['m', undefined],
    ['n', 'name 300'],
    ['o', 'ten letters'],
    ['o', 5],
    ['o', undefined],
    ['p', [1]],
    ['p', new Uint8Array(8)],
    ['p', undefined],
    ['q', 5],
    ['q', { slot: -1, generation: 1 }],
    ['q', { slot: 1 }],
    ['r', { x: 1, y: 1, tag: 'z' }],
    ['r', { x: 1, y: 1, tag: 'a', z: 1 }],
    ['r', null],
    ['r', undefined],
    ['s', [1, 2, 3, 4, 5, 6]],
    ['s', [40_000]],
    ['s', 'abc'],
    ['s', undefined],
    ['t', [{ x: 'a' }]],
    ['u', ['four']],
    ['v', 300],
    ['w', 'fives'],
  ];
  const good = fc.sample(values, { numRuns: 1, seed: 1 })[0]!;
  it.each(bad)('field %s refuses %s, and not a byte is written', (name, value) => {
    codec.write(segment, AT, good);
    const before = area();
    let code = 'nothing';
    try {
      codec.write(segment, AT, { ...good, [name]: value });
    } catch (error) {
      code = (error as { code: string }).code;
      expect((error as Error).message).toMatch(new RegExp(`field ${name} of all`));
    }
    expect(code).toBe('SCHEMA_RANGE');
    expect(area().equals(before)).toBe(true);
  });

  it('what may be missing takes its initial value: refs, fields with one, parts of structs and arrays', () => {
    const { q: _q, v: _v, w: _w, ...rest } = good as Value;
    segment.u8.fill(0xff, AT, AT + layout.bytes);
    codec.write(segment, AT, { ...rest, r: { x: 1 }, s: [4], t: [{ y: 2 }] });
    expect(codec.read(segment, AT, layout.bytes)).toEqual({
      ...expected(good as Value),
      q: undefined,
      v: 9,
      w: 'x',
      r: { x: 1, y: 0, tag: 'a', level: 7 },
      s: [4, 0, 0, 0, 0],
      t: [
        { x: 0, y: 2, tag: 'a', level: 7 },
        { x: 0, y: 0, tag: 'a', level: 7 },
      ],
    });
  });

  it('a value that is no object is refused with a code', () => {
    for (const value of [undefined, null, 5, 'x'])
      expect(() => codec.write(segment, AT, value as never)).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
  });

  it('any bytes are read, or refused with a code, without looking beyond them', () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.uint8Array({ minLength: layout.bytes, maxLength: layout.bytes }), noise => {
        segment.u8.fill(0x55, AT - 64, AT + layout.bytes + 64);
        segment.u8.set(noise, AT);
        let value: Value;
        try {
          value = codec.read(segment, AT, layout.bytes);
        } catch (error) {
          expect((error as { code?: string }).code).toBe('SCHEMA_WIRE');
          refused++;
          return;
        }
        // What was read could have been sent.
        codec.write(segment, AT + layout.bytes + 64 + (-(AT + layout.bytes) & 15), { ...value, q: undefined });
        expect((value.o as string).length).toBeLessThanOrEqual(9);
        expect((value.p as Uint8Array).length).toBeLessThanOrEqual(7);
        expect(value.p).toBeInstanceOf(Uint8Array);
        expect((value.p as Uint8Array).buffer).not.toBeInstanceOf(SharedArrayBuffer);
      }),
    );
    expect(refused).toBeGreaterThan(0);
  });
});
