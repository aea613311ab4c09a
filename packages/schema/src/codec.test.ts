import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

class Vec extends S.struct({ x: S.f32.sync, y: S.f32 }) {}
const layout = S.layoutOf(
  {
    a: S.u8,
    b: S.i8,
    c: S.u16,
    d: S.i16,
    e: S.u32,
    f: S.i32,
    g: S.int,
    h: S.u64,
    i: S.i64,
    j: S.bool,
    k: S.oneOf('x', 'y'),
    l: S.text(4),
    m: S.bytes(4),
    n: S.ref('p'),
    o: S.array(S.u8, 2),
    p: Vec,
    q: S.ref('p'),
  },
  'All',
);
const value = {
  a: 255,
  b: -1,
  c: 300,
  d: -300,
  e: 300,
  f: -300,
  g: -1,
  h: 1n,
  i: -1n,
  j: true,
  k: 'y',
  l: 'é',
  m: new Uint8Array([5]),
  n: { slot: 3, generation: 300 },
  o: [1, 2],
  p: { x: 1.5, y: 0 },
  q: undefined,
};

test('each kind is written as the table says', () => {
  const writer = new S.Writer();
  S.codecOf(layout).write(writer, value);
  expect([...writer.view()]).toEqual([
    255, 255, 0xac, 2, 0xd7, 4, 0xac, 2, 0xd7, 4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1,
    1, 2, 0xc3, 0xa9, 1, 5, 3, 0xac, 2, 1, 2, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0,
  ]);
  expect(S.codecOf(layout).read(new S.Reader(writer.view()))).toEqual(value);
});

test('a record or a mirror goes where a ref is taken', () => {
  class P extends S.struct({ hp: S.i32 }) {}
  const codec = S.codecOf(S.layoutOf({ who: S.ref('players') }, 'hit'));
  const writer = new S.Writer();
  codec.write(writer, { who: S.mirrorOf(P, {}, { ref: { pool: 'players', slot: 7, generation: 3 } }) });
  expect([...writer.view()]).toEqual([7, 3]);
  const gone = { [S.RECORD_REF]: undefined };
  expect(() => codec.write(writer, { who: gone })).toThrow(
    coded('SCHEMA_RANGE', /^field who of hit: this record is gone/),
  );
  expect(() => codec.write(writer, { who: S.mirrorOf(P, {}) })).toThrow(
    coded('SCHEMA_RANGE', /^field who of hit: an object \(P\) is not a record of `players`/),
  );
  expect(() =>
    codec.write(writer, { who: S.mirrorOf(P, {}, { ref: { pool: 'items', slot: 7, generation: 3 } }) }),
  ).toThrow(coded('SCHEMA_RANGE', /^field who of hit: a record of `items` is not one of `players`$/));
});

test('a missing field is an error unless it has an initial value or is a ref', () => {
  const codec = S.codecOf(
    S.layoutOf({ a: S.u8.init(7), r: S.ref('p'), v: S.nested(Vec).init({ x: 2 }), b: S.text(3) }, 'M'),
  );
  const writer = new S.Writer();
  codec.write(writer, { b: '' });
  expect(codec.read(new S.Reader(writer.view()))).toEqual({ a: 7, r: undefined, v: { x: 2, y: 0 }, b: '' });
  expect(() => codec.write(writer, { a: 1 })).toThrow(
    coded('SCHEMA_RANGE', /^field b of M: missing, it takes text\(3\)$/),
  );
  expect(() => codec.write(writer, null as never)).toThrow(coded('SCHEMA_RANGE', /^M: null is not an object/));
});

test('what clients send has no NaN', () => {
  const P = S.protocol({
    walk: S.command({ dx: S.f32, at: S.array(Vec, 1) }),
    seen: S.event({ dx: S.f32 }),
    ask: S.request({ x: S.f64 }, { y: S.f64 }),
  });
  const [walk, seen, ask] = P.messages;
  const writer = new S.Writer();
  const refused = (write: () => void, message: RegExp) => expect(write).toThrow(coded('SCHEMA_RANGE', message));
  refused(
    () => S.payloadCodecOf(walk).write(writer, { dx: NaN, at: [] }),
    /^field dx of walk: NaN is not a finite number$/,
  );
  refused(
    () => S.payloadCodecOf(walk).write(writer, { dx: 1, at: [{ y: Infinity }] }),
    /^field at of walk: y: Infinity is not a finite/,
  );
  refused(() => S.payloadCodecOf(ask).write(writer, { x: -Infinity }), /-Infinity is not a finite number/);
  expect(writer.length).toBe(0);
  S.payloadCodecOf(seen).write(writer, { dx: NaN });
  expect(S.payloadCodecOf(seen).read(new S.Reader(writer.view()))).toEqual({ dx: NaN });
  expect(() =>
    S.payloadCodecOf(walk).read(new S.Reader(new Uint8Array([0, 0, 0xc0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0]))),
  ).toThrow(coded('SCHEMA_WIRE', /NaN where a finite number is needed/));
  writer.reset();
  S.replyCodecOf(ask).write(writer, { y: NaN });
  expect(() => S.replyCodecOf(walk)).toThrow(
    coded('SCHEMA_PROTOCOL', /message walk is of role command and has no reply/),
  );
});

test('of a nested struct only the marked fields are synced, unless all are asked for', () => {
  class P extends S.struct({ part: Vec, whole: S.nested(Vec).sync }) {}
  const own = S.layoutOf(P);
  const writer = new S.Writer();
  for (const field of own.fields) S.fieldCodecOf(own, field).write(writer, { x: 1.5, y: 1.5 });
  expect(writer.length).toBe(4 + 8);
  const reader = new S.Reader(writer.view());
  expect(own.fields.map(field => S.fieldCodecOf(own, field).read(reader))).toEqual([{ x: 1.5 }, { x: 1.5, y: 1.5 }]);
});

test('lists and maps are not sent, hidden fields neither', () => {
  expect(() => S.codecOf(S.layoutOf({ l: S.list(S.u8, 2) }, 'T'))).toThrow(
    coded('SCHEMA_KIND', /field l of T is a list/),
  );
  const codec = S.codecOf(S.layoutOf({ a: S.u8 }, 'T', { $n: S.int }));
  const writer = new S.Writer();
  codec.write(writer, { a: 1 });
  expect(writer.length).toBe(1);
});
