import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CATCH_UP, Ticker } from './ticker.ts';

function world(hz: number, policy: 'skip' | 'catchUp') {
  const clock = { ms: 1_000 };
  const ticker = new Ticker(hz, policy, () => clock.ms);
  ticker.start();
  return { clock, ticker };
}

describe('ticks', () => {
  it('the first is due at once, the next a step later, and no tick is due twice', () => {
    const { clock, ticker } = world(50, 'skip');
    expect([ticker.due(), ticker.due()]).toEqual([1, 0]);
    clock.ms += 19;
    expect(ticker.due()).toBe(0);
    clock.ms += 1;
    expect([ticker.due(), ticker.due()]).toEqual([1, 0]);
    expect(ticker.skipped).toBe(0);
  });

  it('the step does not drift with late turns', () => {
    const { clock, ticker } = world(50, 'skip');
    let ticks = 0;
    for (let k = 0; k < 1_000; k++) {
      ticks += ticker.due();
      clock.ms += 7;
    }
    expect(ticks).toBe(Math.floor((999 * 7) / 20) + 1);
  });

  it('skip: what came too late is dropped and counted', () => {
    const { clock, ticker } = world(100, 'skip');
    ticker.due();
    clock.ms += 95;
    expect(ticker.due()).toBe(1);
    expect(ticker.skipped).toBe(8);
    clock.ms += 5;
    expect(ticker.due()).toBe(1);
  });

  it('catchUp: what came too late runs, at most 5 at once, the rest is dropped and counted', () => {
    const { clock, ticker } = world(100, 'catchUp');
    ticker.due();
    clock.ms += 30;
    expect([ticker.due(), ticker.skipped]).toEqual([3, 0]);
    clock.ms += 10_000;
    expect([ticker.due(), ticker.skipped]).toEqual([CATCH_UP, 1_000 - CATCH_UP]);
    clock.ms += 10;
    expect(ticker.due()).toBe(1);
  });

  it('any clock: ticks run and skipped are exactly the steps that passed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 7, 20, 60, 1_000),
        fc.constantFrom('skip' as const, 'catchUp' as const),
        fc.array(fc.double({ min: 0, max: 500, noNaN: true })),
        (hz, policy, gaps) => {
          const { clock, ticker } = world(hz, policy);
          let run = ticker.due();
          for (const gap of gaps) {
            clock.ms += gap;
            const due = ticker.due();
            expect(due).toBeLessThanOrEqual(policy === 'skip' ? 1 : CATCH_UP);
            run += due;
            expect(ticker.due()).toBe(0);
          }
          expect(run + ticker.skipped).toBe(Math.floor((clock.ms - 1_000) / ticker.stepMs) + 1);
        },
      ),
      { numRuns: 1_000, examples: [[7, 'skip', [499.9999999999999, 499.9999999999999]]] },
    );
  });

  it('says how long until the next', () => {
    const { clock, ticker } = world(50, 'skip');
    ticker.due();
    clock.ms += 5;
    expect(ticker.inMs()).toBe(15);
    clock.ms += 25;
    expect(ticker.inMs()).toBe(-10);
  });
});
