// HOT: measured by benchmarks/heap
/** The bins of a heap: its free blocks by size, found in a few steps (two-level segregated fit, after Masmano, Ripoll,
 * Crespo, Real 2004). Line 0 has a bin for each size up to 62 words; each further line has 32 bins for a power of two.
 *
 *   region    WORD   FIELD      MEANING
 *                4   levels     bit f: line f has a bin with a block
 *               16   lines      one word for each of 27 lines, bit s: bin 32 f + s has a block
 *              128   bins       first block of each of 27 × 32 bins
 *
 *   block        2   next       of the bin
 *                3   previous   0 = the first
 *             last   size       from 6 words on
 *
 * What keeps the free ones together: blocks of more than 64 words stand in their bin by place, as far as 8 steps tell; a
 * search takes the best of the first 8 in the bin of its size, else the lowest among the first ones of 4 bins above.
 * (Measured over a churn of 20 M operations whose sizes change: high is 1.20 times the most that was asked for; 1.35 with
 * the bins as stacks, 1.44 with the first of its bin or of the next.)
 *
 * Invariants: heap.ts. Logged words: link 6 at most, unlink 3, resize 10. */

export const LEVELS = 4;
export const LINES = 16;
export const BINS = 128;

/** Words of the smallest block. */
export const BLOCK_MIN = 4;
/** The bits of a block's size word that are its size. */
export const SIZE = 0x7fff_fffe;

/** Blocks that a search looks at in the bin of its size, and that an insertion passes. */
const STEPS = 8;
/** Bins above of which the lowest block is taken. */
const BINS_ABOVE = 4;
/** Larger blocks stand by place. */
const BY_PLACE = 64;

/** The bin of free blocks of this size. */
export function binOf(size: number): number {
  const units = size >>> 1;
  if (units < 32) return units;
  const log = 31 - Math.clz32(units);
  return ((log - 4) << 5) | ((units >>> (log - 5)) & 31);
}

/** @internal */
export class Bins {
  readonly #I: Int32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #base: number;

  /** @param base word of the region */
  constructor(I: Int32Array, write: (word: number, value: number) => void, base: number) {
    this.#I = I;
    this.#write = write;
    this.#base = base;
  }

  /** A free block of at least so many words, or 0. Reads only. */
  find(size: number): number {
    const I = this.#I;
    const base = this.#base;
    let bin = binOf(size);
    // Its own bin may hold smaller ones.
    let best = 0;
    let bestSize = 0x7fff_ffff;
    for (let block = I[base + BINS + bin], k = 0; block !== 0 && k < STEPS; block = I[base + block + 2], k++) {
      const has = I[base + block + 1] & SIZE;
      if (has < size || has >= bestSize) continue;
      best = block;
      bestSize = has;
      if (has === size) break;
    }
    if (best !== 0) return best;
    bin++;
    let line = bin >>> 5;
    let bits = I[base + LINES + line] & (-1 << (bin & 31));
    let levels = line >= 31 ? 0 : I[base + LEVELS] & (-1 << (line + 1));
    for (let k = 0; k < BINS_ABOVE; k++) {
      if (bits === 0) {
        if (levels === 0) break;
        line = 31 - Math.clz32(levels & -levels);
        levels &= levels - 1;
        bits = I[base + LINES + line];
      }
      const first = I[base + BINS + (line << 5) + (31 - Math.clz32(bits & -bits))];
      bits &= bits - 1;
      if (best === 0 || first < best) best = first;
    }
    return best;
  }

  /** Into the bin of its size, and the size at its end. */
  link(block: number, size: number): void {
    const I = this.#I;
    const write = this.#write;
    const base = this.#base;
    const bin = binOf(size);
    const at = base + block;
    let next = I[base + BINS + bin];
    let previous = 0;
    if (size > BY_PLACE) {
      for (let k = 0; next !== 0 && next < block && k < STEPS; k++) {
        previous = next;
        next = I[base + next + 2];
      }
    }
    write(at + 2, next);
    write(at + 3, previous);
    if (size > BLOCK_MIN) write(at + size - 1, size);
    if (next !== 0) write(base + next + 3, block);
    if (previous !== 0) {
      write(base + previous + 2, block);
      return;
    }
    write(base + BINS + bin, block);
    if (next !== 0) return;
    const line = bin >>> 5;
    const bits = I[base + LINES + line];
    write(base + LINES + line, bits | (1 << (bin & 31)));
    if (bits === 0) write(base + LEVELS, I[base + LEVELS] | (1 << line));
  }

  /** Out of the bin of its size. */
  unlink(block: number, size: number): void {
    const I = this.#I;
    const write = this.#write;
    const base = this.#base;
    const next = I[base + block + 2];
    const previous = I[base + block + 3];
    if (next !== 0) write(base + next + 3, previous);
    if (previous !== 0) {
      write(base + previous + 2, next);
      return;
    }
    const bin = binOf(size);
    write(base + BINS + bin, next);
    if (next !== 0) return;
    const line = bin >>> 5;
    const bits = I[base + LINES + line] & ~(1 << (bin & 31));
    write(base + LINES + line, bits);
    if (bits === 0) write(base + LEVELS, I[base + LEVELS] & ~(1 << line));
  }

  /** Give a free block another size, and the bin for that. */
  resize(block: number, from: number, to: number): void {
    const at = this.#base + block;
    if (binOf(from) === binOf(to)) {
      this.#write(at + 1, to);
      if (to > BLOCK_MIN) this.#write(at + to - 1, to);
      return;
    }
    this.unlink(block, from);
    this.#write(at + 1, to);
    this.link(block, to);
  }
}
