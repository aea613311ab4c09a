/** Messages that are one value: there and back, refused before a byte is written, and never read beyond their bytes. */
import { bytes, command, int, msgpack, protocol, request, type SchemaError } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { type PayloadCodec, payloadCodec, sizeOf } from './payload.ts';

const P = protocol({
  blob: command(bytes()),
  few: command(bytes(7)),
  free: request(msgpack<unknown>(), msgpack<unknown>()),
  both: request({ n: int }, bytes()),
});
const codecOf = (name: string): PayloadCodec =>
  payloadCodec(P.byName.get(name)!.layout, { resolve: () => undefined }, name);
const [blob, few, free] = [codecOf('blob'), codecOf('few'), codecOf('free')];
const AT = 8192 + 64;
const ROOM = 32_768;
const segment = memorySegment({ regions: [{ name: 'data', bytes: 65_536 }] });

/** @returns bytes written */
function write(codec: PayloadCodec, value: unknown): number {
  const size = sizeOf(codec, value);
  codec.write(segment, AT, value as never);
  return size;
}
const codeOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    return (error as SchemaError).code;
  }
  return 'nothing';
};

const data = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'grapheme' }),
    fc.maxSafeInteger(),
    fc.double().filter(n => !Object.is(n, -0)),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ maxLength: 8 }).filter(key => key !== '__proto__'),
      tie('value'),
      {
        maxKeys: 5,
        noNullPrototype: true,
      },
    ),
  ),
})).value;

describe('bytes', () => {
  it('come back as they were sent, in place', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4_000 }), sent => {
        const size = write(blob, sent);
        expect(size).toBe(4 + sent.length);
        const read = blob.read(segment, AT, size) as unknown as Uint8Array;
        expect([...read]).toEqual([...sent]);
        expect(read.buffer).toBe(segment.u8.buffer);
      }),
    );
  });

  it('stay inside their bytes', () => {
    segment.u8.fill(0xaa, AT - 64, AT + 200);
    write(blob, new Uint8Array(33).fill(1));
    expect([...segment.u8.slice(AT - 64, AT), ...segment.u8.slice(AT + 37, AT + 200)].every(b => b === 0xaa)).toBe(
      true,
    );
  });

  it('of more than the declared length, or none, are refused', () => {
    expect(write(few, new Uint8Array(7))).toBe(11);
    expect(codeOf(() => write(few, new Uint8Array(8)))).toBe('SCHEMA_RANGE');
    for (const wrong of [undefined, null, 'abc', [1], {}, new Uint16Array(1)])
      expect(codeOf(() => write(blob, wrong))).toBe('SCHEMA_RANGE');
    segment.u32[AT >> 2] = 8;
    expect(codeOf(() => few.read(segment, AT, 100))).toBe('SCHEMA_WIRE');
  });

  it('that claim to be longer than their record are refused', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.nat(100), (length, room) => {
        segment.u32[AT >> 2] = length;
        const code = codeOf(() => blob.read(segment, AT, room));
        expect(code).toBe(room >= 4 && length <= room - 4 ? 'nothing' : 'SCHEMA_WIRE');
      }),
    );
  });
});

describe('msgpack', () => {
  it('comes back as it was sent: numbers, bigints, texts, bytes, arrays, objects', () => {
    fc.assert(
      fc.property(data, sent => {
        const size = write(free, sent);
        expect(free.read(segment, AT, ROOM)).toEqual(sent);
        expect(free.read(segment, AT, size)).toEqual(sent);
      }),
    );
  });

  it('has dates, and leaves out what is undefined', () => {
    const at = new Date(1_700_000_000_123);
    write(free, { at, gone: undefined });
    expect(free.read(segment, AT, ROOM)).toEqual({ at });
  });

  it('of what is no data is refused, and nothing is written', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    for (const wrong of [() => 1, Symbol('x'), { f() {} }, circle])
      expect(codeOf(() => write(free, wrong))).toBe('SCHEMA_RANGE');
  });

  it('is measured before it is written', () => {
    expect(() => free.write(segment, AT, { other: 1 } as never)).toThrow(TypeError);
  });

  it('any bytes are read, or refused with a code, and nothing is reserved for what is not there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), noise => {
        segment.u32[AT >> 2] = noise.length;
        segment.u8.set(noise, AT + 4);
        expect(['nothing', 'SCHEMA_WIRE']).toContain(codeOf(() => free.read(segment, AT, noise.length + 4)));
      }),
      { numRuns: 500 },
    );
    // An array of 2^32 - 1 elements in five bytes.
    segment.u32[AT >> 2] = 5;
    segment.u8.set([0xdd, 0xff, 0xff, 0xff, 0xff], AT + 4);
    expect(codeOf(() => free.read(segment, AT, 9))).toBe('SCHEMA_WIRE');
  });
});
