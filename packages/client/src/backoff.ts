/** How long to wait before connecting again: full jitter, so that a thousand clients whose gateway died do not come back
 * in one instant. The wait is random in [0, cap); the cap starts at `minMs` and doubles up to `maxMs`.
 *
 * A connection that held longer than the cap it had cost starts over. One that did not, since the gateway closed it at
 * once, keeps the cap growing.
 *
 * After: Brooker, "Exponential Backoff and Jitter", 2015. */
export interface BackoffOptions {
  /** Cap of the first wait, ms. Default 50. */
  readonly minMs?: number;
  /** Highest cap, ms. Default 5,000. */
  readonly maxMs?: number;
}

/** @internal */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #capMs = 0;

  constructor(options: BackoffOptions = {}, random: () => number = Math.random) {
    this.#minMs = atLeastOne(options.minMs ?? 50, 'minMs');
    this.#maxMs = atLeastOne(options.maxMs ?? 5_000, 'maxMs');
    this.#random = random;
  }

  /** The next wait in ms; its cap is the next one's half. */
  next(): number {
    this.#capMs = Math.min(this.#maxMs, this.#capMs === 0 ? this.#minMs : this.#capMs * 2);
    return this.#random() * this.#capMs;
  }

  /** A connection ended that was open for `heldMs`. */
  held(heldMs: number): void {
    if (heldMs > this.#capMs) this.#capMs = 0;
  }
}

function atLeastOne(value: number, name: string): number {
  if (!(value >= 1)) throw new RangeError(`backoff.${name} takes 1 or more ms, not ${value}`);
  return value;
}
