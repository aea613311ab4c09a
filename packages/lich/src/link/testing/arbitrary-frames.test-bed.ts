/** Frames of every kind, as fast-check makes them. */
import fc from 'fast-check';
import { ACK, BYE, DATA, type Frame, HELLO, NODES, PING, PONG, type Presence } from '../frames.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const word = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const life = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const created = fc.double({ min: 1, max: 1e15, noNaN: true });
const id = fc.tuple(u32, u32).filter(([a, b]) => a !== b);

/** Whole records of 4, 8 … words, some of them padding. */
const records = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), word), { minLength: 1, maxLength: 12 }).map(parts => {
  const words = parts.flatMap(([quarters, fill]) => {
    return Array.from({ length: quarters * 4 }, (_, k) => (k === 0 ? quarters * 4 : (fill + k) | 0));
  });
  return Int32Array.from(words);
});

export const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    kind: fc.constant(HELLO),
    version: u32,
    epoch: u32,
    created,
    cluster: text,
    host: fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/),
  }),
  fc.record({
    kind: fc.constant(NODES),
    epoch: u32,
    serial: u32,
    nodes: fc.uniqueArray(
      fc.record({
        id: u32,
        name: fc.stringMatching(/^[a-z]{1,12}-[1-9]$/),
        created: fc.oneof(fc.constant(0), created),
        presence: fc.constantFrom<Presence>('in', 'out', 'gone'),
      }),
      { maxLength: 8, comparator: (a, b) => a.id === b.id || a.name === b.name },
    ),
  }),
  fc
    .record({
      ids: id,
      priority: fc.constantFrom(0, 1),
      life,
      start: u32,
      gapWords: fc.integer({ min: 0, max: 4_096 }),
      records,
    })
    .map(({ ids: [from, to], priority, life, start, gapWords, records }) => {
      return {
        kind: DATA,
        from,
        to,
        priority,
        life,
        start,
        end: (start + gapWords + records.length) >>> 0,
        records,
      } as Frame;
    }),
  fc.record({
    kind: fc.constant(ACK),
    acks: fc.array(
      fc
        .record({
          ids: id,
          priority: fc.constantFrom(0, 1),
          life,
          got: u32,
          room: fc.integer({ min: 0, max: 0x3fff_ffff }),
          gap: fc.boolean(),
        })
        .map(({ ids: [from, to], ...rest }) => ({ from, to, ...rest })),
      { minLength: 1, maxLength: 8 },
    ),
  }),
  fc.record({ kind: fc.constantFrom(PING, PONG), token: u32 }) as fc.Arbitrary<Frame>,
  fc.record({ kind: fc.constant(BYE), code: text, message: text }),
) as fc.Arbitrary<Frame>;
