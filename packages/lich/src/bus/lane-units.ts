/** Units of the data region, under the log: which of them belong to which ring. The words are `$units`, bus-state.ts. */
import type { UndoLog } from '../state/index.ts';
import { UNIT_INSIDE } from './bus-state.ts';

export class LaneUnits {
  readonly #S: Int32Array;
  readonly #log: UndoLog;
  /** word of `$units` */
  readonly #word: number;
  readonly #total: number;

  constructor(S: Int32Array, log: UndoLog, word: number, total: number) {
    this.#S = S;
    this.#log = log;
    this.#word = word;
    this.#total = total;
  }

  /** First fit of `count` free units, at a multiple of `count` so that what is given back joins again; -1 = none. */
  find(count: number): number {
    for (let first = 0; first + count <= this.#total; first += count) {
      let k = 0;
      while (k < count && this.#S[this.#word + first + k] === 0) k++;
      if (k === count) return first;
    }
    return -1;
  }

  /** In a transaction. */
  take(first: number, count: number): void {
    this.#log.write(this.#word + first, count);
    for (let k = 1; k < count; k++) this.#log.write(this.#word + first + k, UNIT_INSIDE);
  }

  /** The ring that begins there. In a transaction. */
  giveBack(first: number): void {
    const count = this.#S[this.#word + first];
    for (let k = 0; k < count; k++) this.#log.write(this.#word + first + k, 0);
  }
}
