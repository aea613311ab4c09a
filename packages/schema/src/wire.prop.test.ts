import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Reader, Writer } from './index.ts';
import { wellFormed } from './testing/arbitrary.ts';
import { outcomeOf } from './testing/outcome.ts';

const whole = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(),
  fc.nat({ max: 300 }),
  fc.constantFrom(0, 0x7f, 0x80, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1),
);
const signed = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer(),
  fc.integer({ min: -200, max: 200 }),
  fc.constantFrom(-(2 ** 53) + 1, 2 ** 53 - 1, -64, 63, 64, -65, -(2 ** 31)),
);
const anyText = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀', '\uD800', '\uDC00', '\uFEFF', '\0'), maxLength: 200 }),
);

/** One thing that can be written, and how it is read back. */
type Step = { write(w: Writer): void; read(r: Reader): unknown; expected: unknown };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.nat({ max: 0xff }).map((v): Step => ({ write: w => w.u8(v), read: r => r.u8(), expected: v })),
  fc.nat({ max: 0xffff }).map((v): Step => ({ write: w => w.u16(v), read: r => r.u16(), expected: v })),
  fc.nat({ max: 0xffff_ffff }).map((v): Step => ({ write: w => w.u32(v), read: r => r.u32(), expected: v })),
  fc
    .bigInt({ min: 0n, max: 2n ** 64n - 1n })
    .map((v): Step => ({ write: w => w.u64(v), read: r => r.u64(), expected: v })),
  fc.float().map((v): Step => ({ write: w => w.f32(v), read: r => r.f32(), expected: v })),
  fc.double().map((v): Step => ({ write: w => w.f64(v), read: r => r.f64(), expected: v })),
  whole.map((v): Step => ({ write: w => w.varint(v), read: r => r.varint(), expected: v })),
  signed.map((v): Step => ({ write: w => w.zigzag(v), read: r => r.zigzag(), expected: v })),
  anyText.map((v): Step => ({ write: w => w.text(v), read: r => r.text(v.length), expected: wellFormed(v) })),
  fc
    .uint8Array({ maxLength: 300 })
    .map((v): Step => ({ write: w => w.bytes(v), read: r => r.bytes(v.length), expected: v })),
  fc
    .uint8Array({ maxLength: 300 })
    .map((v): Step => ({ write: w => w.raw(v), read: r => r.raw(v.length), expected: v })),
);

test('what is written is read back, in any order, from any place in a buffer', () => {
  const writer = new Writer(1);
  fc.assert(
    fc.property(fc.array(step), fc.nat({ max: 9 }), (steps, shift) => {
      writer.reset();
      for (const each of steps) each.write(writer);
      const framed = new Uint8Array(writer.length + shift + 5).fill(0xaa);
      framed.set(writer.view(), shift);
      const reader = new Reader(framed.subarray(shift, shift + writer.length));
      for (const each of steps) expect(each.read(reader)).toEqual(each.expected);
      reader.end();
      expect(writer.finish()).toEqual(writer.view());
    }),
    { numRuns: 1000 },
  );
});

type Call = (r: Reader) => unknown;
const call: fc.Arbitrary<[string, Call]> = fc.oneof(
  fc.constantFrom<[string, Call]>(
    ['u8', r => r.u8()],
    ['u16', r => r.u16()],
    ['u32', r => r.u32()],
    ['u64', r => r.u64()],
    ['f32', r => r.f32()],
    ['f64', r => r.f64()],
    ['varint', r => r.varint()],
    ['zigzag', r => r.zigzag()],
    ['rest', r => r.rest()],
  ),
  fc.nat({ max: 100 }).map((n): [string, Call] => [`text ${n}`, r => r.text(n)]),
  fc.nat({ max: 100 }).map((n): [string, Call] => [`bytes ${n}`, r => r.bytes(n)]),
  fc.nat({ max: 100 }).map((n): [string, Call] => [`raw ${n}`, r => r.raw(n)]),
);
const noise = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc
    .array(fc.constantFrom(0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x41, 0xc3, 0xa9, 0xe2, 0xf0), { maxLength: 60 })
    .map(bytes => Uint8Array.from(bytes)),
);

/** The same calls over the same bytes between different neighbours: only what is inside may decide. */
function readBetween(bytes: Uint8Array, calls: [string, Call][], neighbour: number): unknown[] {
  const framed = new Uint8Array(bytes.length + 32).fill(neighbour);
  framed.set(bytes, 16);
  const reader = new Reader(framed.subarray(16, 16 + bytes.length));
  const results: unknown[] = [];
  for (const [, each] of calls) {
    const { value, code } = outcomeOf(() => each(reader));
    expect([undefined, 'SCHEMA_WIRE']).toContain(code);
    results.push(value instanceof Uint8Array ? [...value] : value, code);
    if (code !== undefined) break;
    expect(reader.left).toBeGreaterThanOrEqual(0);
  }
  return results;
}

test('random bytes are read or refused, and nothing outside them is seen', () => {
  fc.assert(
    fc.property(noise, fc.array(call, { maxLength: 12 }), (bytes, calls) => {
      expect(readBetween(bytes, calls, 0x00)).toEqual(readBetween(bytes, calls, 0x81));
    }),
    { numRuns: 5000 },
  );
});

test('a number has one encoding', () => {
  fc.assert(
    fc.property(noise, bytes => {
      for (const name of ['varint', 'zigzag'] as const) {
        const reader = new Reader(bytes);
        let value: number;
        try {
          value = reader[name]();
        } catch {
          continue;
        }
        const writer = new Writer();
        writer[name](value);
        expect([...writer.view()]).toEqual([...bytes.subarray(0, reader.at)]);
      }
    }),
    { numRuns: 3000 },
  );
});

test('a text has one encoding', () => {
  fc.assert(
    fc.property(noise, bytes => {
      const reader = new Reader(Uint8Array.from([bytes.length, ...bytes]));
      let value: string;
      try {
        value = reader.text(1000);
      } catch {
        return;
      }
      const writer = new Writer();
      writer.text(value);
      expect([...writer.view().subarray(1)]).toEqual([...bytes]);
    }),
    { numRuns: 3000 },
  );
});
