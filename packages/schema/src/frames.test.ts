import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as S from './index.ts';
import { outcomeOf } from './testing/outcome.ts';

const bytesOf = (write: (w: S.Writer) => void) => {
  const writer = new S.Writer();
  write(writer);
  return writer.finish();
};
const token = Uint8Array.from({ length: 16 }, (_, i) => i);
const position = fc.maxSafeNat();

test('frames of the client come back', () => {
  fc.assert(
    fc.property(
      position,
      position,
      position,
      fc.uint8Array(),
      fc.option(fc.constant(token), { nil: undefined }),
      (a, b, c, payload, given) => {
        expect(
          S.readClientFrame(
            bytesOf(w => S.writeHello(w, { protocolHash: 'p', stateHash: 's', token: given, lastSeq: a })),
          ),
        ).toEqual({
          type: 'hello',
          version: 1,
          protocolHash: 'p',
          stateHash: 's',
          token: given,
          lastSeq: a,
        });
        const n = Math.max(a, 1);
        const frame = bytesOf(w => {
          S.writeMessage(w, n, b, c);
          w.raw(payload);
        });
        expect(S.readClientFrame(frame)).toEqual({ type: 'message', n, ackSeq: b, id: c, payload });
        expect(S.readClientFrame(bytesOf(w => S.writeAck(w, a)))).toEqual({ type: 'ack', seq: a });
      },
    ),
  );
  expect(S.readClientFrame(bytesOf(w => S.writeBye(w)))).toEqual({ type: 'bye' });
});

test('frames of the gateway come back', () => {
  fc.assert(
    fc.property(
      position,
      position,
      fc.constantFrom(...Object.values(S.OutKind)),
      fc.uint8Array(),
      (seq, ackN, kind, body) => {
        const frame = bytesOf(w => {
          S.writeOut(w, seq, ackN, kind);
          w.raw(body);
        });
        expect(S.readGatewayFrame(frame)).toEqual({ type: 'out', seq, ackN, kind, body });
        expect(S.readGatewayFrame(bytesOf(w => S.writeTaken(w, ackN)))).toEqual({ type: 'taken', n: ackN });
      },
    ),
  );
  for (const me of [undefined, { poolIndex: 0, slot: 0, generation: 1 }]) {
    const welcome = { token, resumed: me !== undefined, lastN: 7, seq: 300, me, tickHz: 59.94 };
    expect(S.readGatewayFrame(bytesOf(w => S.writeWelcome(w, welcome)))).toEqual({ type: 'welcome', ...welcome });
  }
});

test('bodies come back', () => {
  expect(S.readEvent(bytesOf(w => (S.writeEvent(w, 300), w.u8(9))))).toEqual({ id: 300, payload: new Uint8Array([9]) });
  expect(S.readReply(bytesOf(w => (S.writeReply(w, 5), w.u8(9))))).toEqual({
    n: 5,
    ok: true,
    payload: new Uint8Array([9]),
  });
  const long = 'x'.repeat(5000);
  expect(S.readReply(bytesOf(w => S.writeReplyError(w, 5, long, long)))).toEqual({
    n: 5,
    ok: false,
    code: long.slice(0, 64),
    message: long.slice(0, 1024),
  });
  expect(S.readEpoch(bytesOf(w => S.writeEpoch(w, 12, 'crash')))).toEqual({ epoch: 12, reason: 'crash' });
});

test('the first bytes are those of the table', () => {
  expect([...bytesOf(w => S.writeMessage(w, 1, 2, 3))]).toEqual([2, 1, 2, 3]);
  expect([
    ...bytesOf(w => S.writeHello(w, { protocolHash: 'a', stateHash: 'b', token: undefined, lastSeq: 0 })),
  ]).toEqual([1, 1, 1, 97, 1, 98, 0, 0]);
  expect([...bytesOf(w => S.writeOut(w, 1, 2, S.OutKind.EVENT))]).toEqual([2, 1, 2, 3]);
  expect([...bytesOf(w => S.writeBye(w))]).toEqual([4]);
});

test('a hello of another version is told apart, not misread', () => {
  expect(S.readClientFrame(new Uint8Array([1, 9, 255, 255]))).toMatchObject({
    type: 'hello',
    version: 9,
    token: undefined,
  });
});

test.each<[string, number[]]>([
  ['an empty frame', []],
  ['type 0', [0]],
  ['type 5', [5]],
  ['a token of 3 bytes', [1, 1, 0, 0, 3, 1, 2, 3, 0]],
  ['message 0', [2, 0, 0, 0]],
  ['a long ack', [3, 1, 1]],
  ['a long bye', [4, 0]],
])('%s from a client is refused', (_, bytes) => {
  expect(() => S.readClientFrame(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: 'SCHEMA_WIRE' }));
});

test('random bytes are read or refused by every reader', () => {
  const readers = [S.readClientFrame, S.readGatewayFrame, S.readEvent, S.readReply, S.readEpoch];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 6 }), (bytes, type) => {
      if (bytes.length > 0 && type > 0) bytes[0] = type;
      for (const read of readers) {
        expect([undefined, 'SCHEMA_WIRE']).toContain(outcomeOf<unknown>(() => read(bytes)).code);
      }
    }),
    { numRuns: 5000 },
  );
});

test('close codes have names, and say whether to come back', () => {
  expect(new Set(Object.values(S.CloseCode)).size).toBe(Object.keys(S.CloseCode).length);
  expect(S.closeNameOf(4406)).toBe('PROTOCOL_DIFFERS');
  expect(S.closeNameOf(1006)).toBe(undefined);
  expect([4503, 4408, 4429, 4412, 1006, 1001].every(S.mayRetry)).toBe(true);
  expect([4400, 4401, 4406, 4409, 4410, 4413].some(S.mayRetry)).toBe(false);
});

test('a token of the wrong size is a mistake of the program', () => {
  expect(() =>
    S.writeWelcome(new S.Writer(), {
      token: new Uint8Array(3),
      resumed: false,
      lastN: 0,
      seq: 0,
      me: undefined,
      tickHz: 60,
    }),
  ).toThrow(TypeError);
});
