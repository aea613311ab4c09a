import { describe, expect, test } from 'vitest';
import { ClientError } from './errors.ts';
import { Session, type Ask } from './session.ts';

const payload = new Uint8Array(1);
const numbers = (session: Session): number[] => [...session.pending].map(message => message.n);
const asked = (rejected: unknown[]): Ask => ({
  spec: undefined as never,
  resolve: () => undefined,
  reject: error => rejected.push(error.code),
});

describe('a session', () => {
  test('numbers from 1 and keeps what is not acknowledged, in order', () => {
    const session = new Session(10);
    for (let i = 0; i < 5; i++) session.add(0, payload);
    session.acknowledge(2);
    session.acknowledge(1); // never goes back
    expect(numbers(session)).toEqual([3, 4, 5]);
    session.acknowledge(5);
    expect([session.acked, session.last, session.pendingCount]).toEqual([5, 5, 0]);
    expect(session.add(0, payload).n).toBe(6);
  });

  test('goes on after the last number of the client before it', () => {
    const session = new Session(10);
    session.continueAfter(41);
    expect(session.add(0, payload).n).toBe(42);
    expect(numbers(session)).toEqual([42]);
  });

  test('is bounded by what is not acknowledged', () => {
    const session = new Session(2);
    session.add(0, payload);
    session.add(0, payload);
    expect(() => session.add(0, payload)).toThrow(expect.objectContaining({ code: 'CLIENT_FULL' }));
    expect(() => session.add(0, payload)).toThrow(/2 messages are not acknowledged: .*maxPending/);
    session.acknowledge(1);
    expect(session.add(0, payload).n).toBe(3);
  });

  test('is bounded by what is not answered', () => {
    const session = new Session(1);
    session.add(0, payload, asked([]));
    session.acknowledge(1);
    expect(() => session.add(0, payload, asked([]))).toThrow(/not answered/);
    expect(session.add(0, payload).n).toBe(2);
  });

  test('rejects those who asked up to a number', () => {
    const session = new Session(10);
    const rejected: unknown[] = [];
    for (let i = 0; i < 3; i++) session.add(0, payload, asked(rejected));
    session.rejectAsks(2, () => new ClientError('CLIENT_OUTPUT_LOST', ''));
    expect(rejected).toEqual(['CLIENT_OUTPUT_LOST', 'CLIENT_OUTPUT_LOST']);
    expect([1, 2, 3].map(n => session.takeAsk(n) !== undefined)).toEqual([false, false, true]);
    expect(session.takeAsk(3)).toBeUndefined();
  });

  test.each([0, -1, 1.5, NaN])('a bound of %d is refused', maxPending => {
    expect(() => new Session(maxPending)).toThrow(RangeError);
  });
});
