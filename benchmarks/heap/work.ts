/** The same work for every contender of `heap`: blocks of a game's sizes are taken and given back. Most of them die young;
 * some stay; and from phase to phase the sizes change, so that what is free is not what is wanted. */
import { nowNs } from 'lich/shm';
import type { Measured, Size } from '../lib/bench.ts';
import { median } from '../lib/bench.ts';
import { numbers } from '../lib/tools.ts';

/** `crowd`: tens of thousands of blocks live, and the sizes change from phase to phase; `steady`: they do not change;
 * `few`: as crowd, with so few that a list of them can be walked at each free. */
export type Load = 'crowd' | 'steady' | 'few';

export interface HeapInput {
  readonly size: Size;
  readonly load: Load;
}

interface Sizes {
  /** Places for blocks; about half of them are taken. */
  readonly slots: number;
  /** Blocks taken, and given back, together. */
  readonly operations: number;
}

export const sizes: Record<Load, Record<Size, Sizes>> = {
  crowd: { small: { slots: 4_096, operations: 80_000 }, full: { slots: 65_536, operations: 20_000_000 } },
  steady: { small: { slots: 4_096, operations: 80_000 }, full: { slots: 65_536, operations: 20_000_000 } },
  few: { small: { slots: 256, operations: 8_000 }, full: { slots: 1_024, operations: 400_000 } },
};

/** Operations whose time is taken together: what a frame does. */
export const SLICE = 1_000;
/** Operations in a transaction, where there are transactions. */
export const PER_TRANSACTION = 20;
/** Percent of full size, one phase after the other. */
const PHASES = [100, 60, 140, 80, 180, 50, 120, 100];
/** What a contender does. A block is told by a number; 0 is none. */
export interface Allocator {
  /** Take a block and store `mark` in its first and its last word. */
  take(slot: number, words: number, mark: number): void;
  /** Give it back. @returns its two marks, added */
  give(slot: number): number;
  begin(): void;
  commit(): void;
  /** Bytes that it takes for its blocks now. */
  footprint(): number;
}

/** Slices between two looks at the footprint. */
const LOOK = 16;

export function run(allocator: Allocator, { size, load }: HeapInput): Measured {
  const { slots, operations } = sizes[load][size];
  const next = numbers();
  const words = new Uint32Array(slots);
  const hot = slots >>> 4;
  const slices: number[] = [];
  let asked = 0;
  let askedMost = 0;
  let work = 0;
  let taken = 0;
  let footprint = 0;
  const perPhase = Math.ceil(operations / PHASES.length);
  for (let done = 0; done < operations; ) {
    const from = nowNs();
    for (const end = Math.min(operations, done + SLICE); done < end; ) {
      allocator.begin();
      for (const last = Math.min(end, done + PER_TRANSACTION); done < last; done++) {
        const scale = load === 'steady' ? 100 : PHASES[Math.floor(done / perPhase)];
        const r = next();
        // Three of four in a window that moves on; the others anywhere.
        const slot = (r & 3) !== 0 ? ((done >>> 6) + ((r >>> 2) % hot)) % slots : (r >>> 2) % slots;
        if (words[slot] === 0) {
          const count = sizeOf(next(), scale);
          words[slot] = count;
          allocator.take(slot, count, done);
          asked += count;
          taken++;
        } else {
          work = (work + allocator.give(slot)) % 0x4000_0000;
          asked -= words[slot];
          words[slot] = 0;
        }
      }
      allocator.commit();
      if (asked > askedMost) askedMost = asked;
    }
    slices.push((nowNs() - from) / SLICE);
    if (slices.length % LOOK === 0) footprint = Math.max(footprint, allocator.footprint());
  }
  return {
    figures: {
      step: median(slices),
      slowest: (Math.max(...slices.slice(slices.length >>> 4)) * SLICE) / 1000,
      footprint: Math.max(footprint, allocator.footprint()) / (askedMost * 4),
    },
    work: `${work} ${taken} ${asked} ${askedMost}`,
  };
}

/** Words of a block: names and list elements, records, bags, buffers, chunks of large containers. */
function sizeOf(r: number, scale: number): number {
  const part = r % 100;
  const within = (r >>> 7) % 1024;
  const [low, high] =
    part < 40 ? [4, 16] : part < 70 ? [16, 64] : part < 90 ? [64, 256] : part < 98 ? [256, 1024] : [1024, 16_384];
  return Math.max(2, Math.floor(((low + ((high - low) * within) / 1024) * scale) / 100));
}
