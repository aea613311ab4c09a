import { describe, expect, it } from 'vitest';
import { BACKOFF_MAX_MS, Crashes, LOOP_MS } from './crashes.ts';

describe('deaths in a row', () => {
  it('own ones of short lives wait longer and longer, up to a bound', () => {
    const crashes = new Crashes();
    const waits = Array.from({ length: 10 }, () => crashes.died(true, 0));
    expect(waits).toEqual([0, 0, 100, 200, 400, 800, 1600, 3200, BACKOFF_MAX_MS, BACKOFF_MAX_MS]);
    expect(crashes.inARow).toBe(10);
  });

  it("somebody else's SIGKILL costs nothing and forgets nothing", () => {
    const crashes = new Crashes();
    for (let k = 0; k < 3; k++) crashes.died(true, 0);
    for (let k = 0; k < 50; k++) expect(crashes.died(false, 0)).toBe(0);
    expect(crashes.inARow).toBe(3);
    expect(crashes.died(true, 0)).toBe(200);
  });

  it('a life that served long enough begins anew', () => {
    const crashes = new Crashes();
    for (let k = 0; k < 5; k++) crashes.died(true, 0);
    expect(crashes.died(true, LOOP_MS)).toBe(0);
    expect(crashes.inARow).toBe(1);
    crashes.serves(LOOP_MS - 1);
    expect(crashes.inARow).toBe(1);
    crashes.serves(LOOP_MS);
    expect(crashes.inARow).toBe(0);
  });

  it('deaths for which something was set aside are taken back: poison after poison is no loop', () => {
    const crashes = new Crashes();
    for (let k = 0; k < 100; k++) {
      expect(crashes.died(true, 0)).toBe(0);
      expect(crashes.died(true, 0)).toBe(0);
      crashes.contained(2);
    }
    expect(crashes.inARow).toBe(0);
    crashes.contained(4);
    expect(crashes.inARow).toBe(0);
  });
});
