/** The same work for every contender of `timers`: so many timers wait, spread over an hour; some more are posted, as many
 * are cancelled, in any order; and then the hour passes. */
import type { Size } from '../lib/bench.ts';
import { numbers } from '../lib/tools.ts';

export interface Sizes {
  /** Timers that wait all the time. */
  readonly live: number;
  /** Posted, and cancelled, in one repetition. */
  readonly batch: number;
  readonly rounds: number;
  readonly warm: number;
  /** Looks at what is due, while nothing is. */
  readonly looks: number;
}

export const sizes: Record<Size, Sizes> = {
  small: { live: 5_000, batch: 1_000, rounds: 2, warm: 1, looks: 1_000 },
  full: { live: 1_000_000, batch: 100_000, rounds: 25, warm: 5, looks: 1_000_000 },
};

export const HOUR_MS = 3_600_000;
/** Service time when it begins. */
export const START_MS = 1_767_225_600_000;
/** Posted or cancelled in one transaction. */
export const PER_TRANSACTION = 16;
/** How far the clock goes at a time while the hour passes. */
export const STEP_MS = 50;

export interface Work {
  /** When timer `k` is due, in ms from the start: after the first second, so that nothing is due while it is measured. */
  readonly delays: Float64Array;
  /** The order in which a batch is cancelled. */
  readonly order: Uint32Array;
}

export function workOf({ live, batch }: Sizes): Work {
  const next = numbers();
  const delays = Float64Array.from({ length: live + batch }, () => 1_000 + (next() % (HOUR_MS - 1_000)));
  const order = Uint32Array.from({ length: batch }, (_, k) => k);
  for (let k = batch - 1; k > 0; k--) {
    const other = next() % (k + 1);
    const kept = order[k];
    order[k] = order[other];
    order[other] = kept;
  }
  return { delays, order };
}

/** The order in which timers fired, as a number. */
export class Fired {
  count = 0;
  #mixed = 0;

  add(id: number): void {
    this.count++;
    this.#mixed = (Math.imul(this.#mixed, 31) + id) | 0;
  }

  get digest(): string {
    return `${this.count} ${this.#mixed >>> 0}`;
  }
}
