/** When ticks are due: a fixed step on the monotonic clock. Steps that come too late (a long handler, a stopped process,
 * the time of a takeover) are dropped and counted, or caught up, at most `CATCH_UP` in one turn. */

/** Steps that `catchUp` runs at once; what is due beyond them is dropped. */
export const CATCH_UP = 5;

export class Ticker {
  readonly stepMs: number;
  readonly #policy: 'skip' | 'catchUp';
  readonly #clock: () => number;
  #startMs = 0;
  /** Steps that ran or were dropped. A count, not a sum of times: sums round, and a tick would be due twice. */
  #steps = 0;
  /** Steps dropped so far. */
  skipped = 0;

  /** @param clock ms that never go back */
  constructor(hz: number, policy: 'skip' | 'catchUp', clock: () => number = () => performance.now()) {
    this.stepMs = 1000 / hz;
    this.#policy = policy;
    this.#clock = clock;
  }

  /** The first tick is due now: players have waited long enough. */
  start(): void {
    this.#startMs = this.#clock();
    this.#steps = 0;
  }

  /** @returns how many ticks to run now */
  due(): number {
    const steps = Math.floor((this.#clock() - this.#startMs) / this.stepMs) + 1 - this.#steps;
    if (steps <= 0) return 0;
    this.#steps += steps;
    const run = this.#policy === 'skip' ? 1 : Math.min(steps, CATCH_UP);
    this.skipped += steps - run;
    return run;
  }

  /** @returns ms until the next tick is due; below 0 when it is late */
  inMs(): number {
    return this.#startMs + this.#steps * this.stepMs - this.#clock();
  }
}
