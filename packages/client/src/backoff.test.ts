import { describe, expect, test } from 'vitest';
import { Backoff } from './backoff.ts';

const MOST = 1 - Number.EPSILON;

describe('waits', () => {
  test('double from minMs up to maxMs, and are random below that', () => {
    const backoff = new Backoff({ minMs: 50, maxMs: 300 }, () => MOST);
    expect([1, 2, 3, 4, 5].map(() => Math.ceil(backoff.next()))).toEqual([50, 100, 200, 300, 300]);
    const least = new Backoff({}, () => 0);
    expect([least.next(), least.next()]).toEqual([0, 0]);
  });

  test('start over after a connection that held longer than its cap, and only then', () => {
    const backoff = new Backoff({}, () => MOST);
    for (let i = 0; i < 4; i++) backoff.next(); // the cap is 400 ms
    backoff.held(399);
    expect(Math.ceil(backoff.next())).toBe(800);
    backoff.held(801);
    expect(Math.ceil(backoff.next())).toBe(50);
  });

  test.each([
    [{ minMs: 0 }, /minMs/],
    [{ maxMs: NaN }, /maxMs/],
  ])('%o is refused', (options, message) => {
    expect(() => new Backoff(options)).toThrow(message);
  });
});
