/** When no process ran: from the last turn of a life to the beginning of the next one, in service time.
 *
 *   $outages   WORD   FIELD      MEANING
 *                 0   total      f64, ms of all of them
 *                 2   known      [from f64][to f64] of the last ones, oldest first; to = 0: no more
 *
 * An outage is written before service time moves on. A life that is killed before it does finds the same `from` and makes
 * that outage longer, so no ms counts twice.
 *
 * Those before which nothing waits any more are forgotten. Where more than KNOWN are still needed (again and again killed
 * before what is late has been handled), the two oldest become one, with the time in between. */
import { array, f64 } from '@lich/schema';
import type { UndoLog } from '../state/index.ts';

const KNOWN = 8;

/** Root fields of a service with own messages. */
export function outageFields() {
  return { $outages: array(f64, 1 + KNOWN * 2) };
}

export class Outages {
  readonly #F: Float64Array;
  readonly #log: Pick<UndoLog, 'writeF64'>;
  /** f64 index */
  readonly #at: number;

  constructor(F: Float64Array, log: Pick<UndoLog, 'writeF64'>, word: number) {
    this.#F = F;
    this.#log = log;
    this.#at = word / 2;
  }

  /** Ms of all outages so far. */
  get totalMs(): number {
    return this.#F[this.#at];
  }

  /** When the outage ended in which this fell due; -1 when a process ran. */
  endOf(dueMs: number): number {
    const F = this.#F;
    for (let at = this.#at + 1; at < this.#at + 1 + KNOWN * 2 && F[at + 1] !== 0; at += 2)
      if (dueMs > F[at] && dueMs <= F[at + 1]) return F[at + 1];
    return -1;
  }

  /** Note one, in a transaction.
   * @param neededMs nothing waits that fell due before */
  add(fromMs: number, toMs: number, neededMs: number): void {
    const known = this.#known();
    const last = known.at(-1);
    let longer = toMs - fromMs;
    if (last !== undefined && last.from === fromMs) {
      longer = Math.max(0, toMs - last.to);
      last.to += longer;
    } else {
      for (let k = known.length - 1; k >= 0; k--) if (known[k]!.to < neededMs) known.splice(k, 1);
      if (known.length === KNOWN) known.splice(0, 2, { from: known[0]!.from, to: known[1]!.to });
      known.push({ from: fromMs, to: toMs });
    }
    this.#put(0, this.totalMs + longer);
    for (let k = 0; k < KNOWN; k++) {
      this.#put(1 + k * 2, known[k]?.from ?? 0);
      this.#put(2 + k * 2, known[k]?.to ?? 0);
    }
  }

  #known(): { from: number; to: number }[] {
    const known = [];
    for (let k = 0; k < KNOWN; k++) {
      const from = this.#F[this.#at + 1 + k * 2]!;
      const to = this.#F[this.#at + 2 + k * 2]!;
      if (to !== 0) known.push({ from, to });
    }
    return known;
  }

  #put(index: number, value: number): void {
    if (this.#F[this.#at + index] !== value) this.#log.writeF64((this.#at + index) * 2, value);
  }
}
