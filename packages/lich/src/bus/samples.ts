/** When records were shown, by samples: one for each lane, in its out entry. It is made anew when the receiver has passed
 * what was noted before, so it tells how old the oldest record is, and the receiver, once behind it, how long one was under
 * way. A lane is looked at once in each turn of the loop at most, or a millisecond: that costs a message nothing. */
import type { Segment } from '../shm/index.ts';
import { hostMs } from './clock.ts';
import { OUT_SAMPLE_AT, OUT_SAMPLE_MS, OUT_SAMPLE_NO } from './lanes-layout.ts';

export class Samples {
  /** Of the loop's turn; whoever turns it sets it. No small integer: with the first time that is put here all code that
   * knows samples would be compiled anew. */
  nowMs = Number.NEGATIVE_INFINITY;
  readonly #O: Int32Array;
  readonly #F: Float64Array;
  readonly #lookedMs: Float64Array;

  /** @param lanes that the samples lie in */
  constructor(lanes: Segment, count: number) {
    this.#O = lanes.i32;
    this.#F = lanes.f64;
    this.#lookedMs = new Float64Array(count).fill(Number.NaN);
  }

  /** Was that lane not looked at in this turn? */
  isDue(slot: number): boolean {
    return this.#lookedMs[slot] !== this.nowMs;
  }

  /** Records of a lane from a position on are about to be shown.
   * @param entry word of its out entry @param head how far its receiver is */
  look(slot: number, entry: number, from: number, head: number | undefined): void {
    this.#lookedMs[slot] = this.nowMs;
    const O = this.#O;
    const before = O[entry + OUT_SAMPLE_NO];
    if (before !== 0 && (head === undefined || ((head - O[entry + OUT_SAMPLE_AT]) | 0) <= 0)) return;
    Atomics.store(O, entry + OUT_SAMPLE_NO, 0);
    this.#F[(entry + OUT_SAMPLE_MS) / 2] = hostMs();
    Atomics.store(O, entry + OUT_SAMPLE_AT, from);
    Atomics.store(O, entry + OUT_SAMPLE_NO, (before + 1) | 0 || 1);
  }

  /** The entry is that of another lane from now on. */
  drop(entry: number): void {
    this.#O[entry + OUT_SAMPLE_NO] = 0;
  }
}
