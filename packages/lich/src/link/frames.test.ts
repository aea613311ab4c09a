import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LinkError } from './errors.ts';
import { FrameReader } from './frame-reader.ts';
import {
  ACK,
  BYE,
  DATA,
  decode,
  encode,
  encodeAcks,
  encodeBye,
  encodeData,
  encodeHello,
  encodeNodes,
  encodePing,
  FRAME_BYTES_MAX,
  HELLO,
  HELLO_BYTES_MAX,
  NODES,
  PING,
} from './frames.ts';
import { anyFrame } from './testing/arbitrary-frames.test-bed.ts';

const RUNS = process.env.LICH_SOAK ? 1_000_000 : 20_000;

/** Bytes with a checksum that is right again. */
function sealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  view.setUint32(copy.length - 4, crc32(copy.subarray(0, copy.length - 4)), true);
  return copy;
}

function refusal(bytes: Uint8Array): string {
  try {
    decode(bytes);
  } catch (error) {
    if (error instanceof LinkError && error.code === 'LINK_BAD_FRAME') return error.message;
    throw error;
  }
  throw new Error('it was read');
}

const hello = encodeHello({ cluster: 'zone', host: 'b', created: 1_700_000_000_000, epoch: 3 });
const data = encodeData(
  { from: 1, to: 2, priority: 1, life: 77, start: 100, end: 112 },
  new Uint8Array(Int32Array.of(8, 0x70001, 5, 6, 1, 2, 3, 4).buffer),
);

describe('bytes', () => {
  test('are those of the table', () => {
    expect([...encodePing(PING, 0x01020304)].slice(0, 12)).toEqual([16, 0, 0, 0, 5, 0, 0, 0, 4, 3, 2, 1]);
    expect([...data.subarray(0, 40)]).toEqual(
      [
        [68, 0, 0, 0, DATA, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 64, 83, 64, 100, 0, 0, 0, 112, 0, 0, 0],
        [8, 0, 0, 0, 1, 0, 7, 0],
      ].flat(),
    );
    expect(hello[4]).toBe(HELLO);
    expect(hello.length).toBeLessThanOrEqual(HELLO_BYTES_MAX);
  });

  test('the largest HELLO is one that may come', () => {
    const longest = encodeHello({ cluster: 'é'.repeat(400), host: 'a'.repeat(31), created: 1, epoch: 0 });
    expect(longest.length).toBeLessThanOrEqual(HELLO_BYTES_MAX);
    expect(decode(longest)).toMatchObject({ cluster: 'é'.repeat(127) });
  });

  test('a record too large for a frame is refused before it is written', () => {
    const head = { from: 1, to: 2, priority: 0, life: 1, start: 0, end: FRAME_BYTES_MAX / 4 };
    expect(() => encodeData(head, new Uint8Array(FRAME_BYTES_MAX))).toThrow(
      expect.objectContaining({ code: 'LINK_RECORD_TOO_LARGE' }),
    );
  });
});

describe('what cannot be', () => {
  const changed = (bytes: Uint8Array, at: number, ...to: number[]): Uint8Array => {
    const copy = bytes.slice();
    copy.set(to, at);
    return sealed(copy);
  };
  const nodes = encodeNodes(1, 1, [{ id: 7, name: 'arena-1', created: 5, presence: 'in' }]);
  const acks = encodeAcks([{ from: 1, to: 2, priority: 0, life: 9, got: 4, room: 8, gap: true }]);
  const nan = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];
  const huge = [0xff, 0xff, 0xff, 0xff];

  test.each([
    ['a changed byte', data.map((byte, k) => (k === 45 ? byte ^ 1 : byte)), /checksum/],
    ['another length', changed(data, 0, 64), /says 64/],
    ['an unknown kind', changed(data, 4, 0), /kind 0/],
    ['an unknown kind', changed(data, 4, 8), /kind 8/],
    ['a priority that is none', changed(data, 5, 2), /priority 2/],
    ['a priority of what has none', changed(hello, 5, 1), /priority 1/],
    ['a count of what has none', changed(data, 6, 1), /1 entries/],
    ['a node that sends to itself', changed(data, 12, 1), /to itself/],
    ['a life that is none', changed(data, 16, ...nan), /life is NaN/],
    ['records that end elsewhere', changed(data, 28, 104), /8 words/],
    ['records that are longer than their range', changed(data, 28, 100), /8 words/],
    ['a record that ends beyond', changed(data, 32, 12), /record of 12 words/],
    ['a record without end', changed(data, 32, 0), /record of 0 words/],
    ['a record of a negative length', changed(data, 32, ...huge), /record of -1 words/],
    ['a record that is cut', changed(data, 32, 6), /record of 6 words/],
    ['a HELLO of a host that cannot be called so', changed(hello, hello.length - 6, 0x42), /host/],
    ['a HELLO with something behind it', changed(hello, hello.length - 5, 1), /byte \d+ is not 0/],
    ['a HELLO without a time', changed(hello, 16, ...nan), /created is NaN/],
    ['a presence that is none', changed(nodes, 20, 3), /no such presence/],
    ['a node that cannot be called so', changed(nodes, 22, 0x2f), /called/],
    ['more nodes than there are', changed(nodes, 6, 2), /cut short/],
    ['fewer nodes than there are', changed(nodes, 6, 0), /bytes too many/],
    ['an ACK with other flags', changed(acks, 32, 4), /flags 4/],
    ['an ACK with too much room', changed(acks, 28, ...huge), /room/],
    ['an ACK of nothing', changed(acks, 6, 0), /0 entries/],
    ['a text that is no UTF-8', changed(encodeBye('X', 'ab'), 11, 0xff), /UTF-8/],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });

  test('a node that comes twice', () => {
    const twice = [1, 2].map(() => ({ id: 7, name: 'arena-1', created: 5, presence: 'in' as const }));
    expect(refusal(encodeNodes(1, 1, twice))).toMatch(/twice/);
  });
});

test('each frame is read as it was written', () => {
  fc.assert(
    fc.property(anyFrame, fc.integer({ min: 0, max: 7 }), (frame, shift) => {
      const bytes = encode(frame);
      // Also where it begins at no multiple of four.
      const room = new Uint8Array(bytes.length + 8);
      room.set(bytes, shift);
      expect(decode(room.subarray(shift, shift + bytes.length))).toEqual(frame);
      expect(decode(Buffer.from(room.buffer, shift, bytes.length))).toEqual(frame);
    }),
    { numRuns: 2_000 },
  );
});

test(`mutated frames (${RUNS}) are refused by code, or would be written as the same bytes`, () => {
  let read = 0;
  const mutation = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(
      anyFrame,
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      fc.integer({ min: -8, max: 8 }),
      (frame, mutations, isSealed, grown) => {
        const whole = encode(frame);
        let bytes = new Uint8Array(Math.max(4, whole.length + (grown % 3 === 0 ? grown : 0)));
        bytes.set(whole.subarray(0, bytes.length));
        for (const [at, to] of mutations) bytes[at % bytes.length] = to;
        if (isSealed) {
          new DataView(bytes.buffer).setUint32(0, bytes.length, true);
          bytes = sealed(bytes) as Uint8Array<ArrayBuffer>;
        }
        try {
          const again = encode(decode(bytes));
          read++;
          expect(Buffer.compare(again, bytes)).toBe(0);
        } catch (error) {
          if (!(error instanceof LinkError) || error.code !== 'LINK_BAD_FRAME') throw error;
        }
      },
    ),
    { numRuns: RUNS },
  );
  // The checksum was not all that stood in the way.
  expect(read).toBeGreaterThan(RUNS / 100);
});

describe('a reader', () => {
  test('finds the same frames however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(frame => encode(frame)));
          const reader = new FrameReader(FRAME_BYTES_MAX);
          const found: unknown[] = [];
          for (let at = 0, k = 0; at < stream.length; k++) {
            const bytes = cuts[k % cuts.length]!;
            reader.push(stream.subarray(at, at + bytes), frame => {
              expect(frame.byteOffset % 4).toBe(0);
              found.push(decode(frame.slice()));
              return true;
            });
            at += bytes;
          }
          expect(found).toEqual(frames);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('refuses a length that cannot be as soon as it is there, and takes no room for it', () => {
    for (const bytes of [
      [0, 0, 0, 0],
      [255, 255, 255, 255],
      [13, 0, 0, 0],
      [8, 0, 0, 0],
      [0x04, 0x03, 0, 0],
    ]) {
      const reader = new FrameReader(HELLO_BYTES_MAX);
      expect(() => reader.push(Uint8Array.from(bytes), () => true)).toThrow(
        expect.objectContaining({ code: 'LINK_BAD_FRAME' }),
      );
    }
  });

  test('stops where it is told to', () => {
    const reader = new FrameReader(FRAME_BYTES_MAX);
    let frames = 0;
    reader.push(Buffer.concat([data, hello, data]), () => ++frames < 2);
    expect(frames).toBe(2);
  });
});

test('kinds are what other versions take them for', () => {
  expect([HELLO, NODES, DATA, ACK, PING, BYE]).toEqual([1, 2, 3, 4, 5, 7]);
});
