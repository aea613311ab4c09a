/** How long to wait before calling a host again. The wait is random between half of the cap and the cap, which doubles from
 * 50 ms on: to 2 s where nobody answers, to 250 ms where connections come about and break, so that a link that flaps goes
 * on with its work and costs at most a few handshakes a second. A connection that held for 2 s begins anew. */

const MIN_MS = 50;
const FLAPPING_MS = 250;
const MAX_MS = 2_000;
const HELD_MS = 2_000;

export class BackOff {
  readonly #random: () => number;
  #capMs = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** No connection came about. @returns ms to wait */
  failed(): number {
    return this.#next(MAX_MS);
  }

  /** A connection ended after `heldMs`. @returns ms to wait */
  ended(heldMs: number): number {
    if (heldMs >= HELD_MS) this.#capMs = 0;
    return this.#next(FLAPPING_MS);
  }

  #next(mostMs: number): number {
    this.#capMs = Math.min(mostMs, this.#capMs === 0 ? MIN_MS : this.#capMs * 2);
    return (this.#capMs / 2) * (1 + this.#random());
  }
}
