/** Arrays of numbers that the garbage collector frees: what a server keeps such things in otherwise. No transactions, and
 * nothing survives the process. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin } from '../lib/tools.ts';
import { type HeapInput, run, sizes } from './work.ts';

export default function objects(input: HeapInput): Measured {
  pin(1);
  nowNs();
  const { slots } = sizes[input.load][input.size];
  const blocks: (Int32Array | number[] | undefined)[] = new Array(slots).fill(undefined);
  const before = process.memoryUsage.rss();
  return run(
    {
      take(slot, words, mark) {
        // Small ones as a list of numbers, large ones as the typed array that a careful program would take.
        const block = words <= 64 ? new Array<number>(words).fill(0) : new Int32Array(words);
        block[0] = mark;
        block[words - 1] = mark;
        blocks[slot] = block;
      },
      give(slot) {
        const block = blocks[slot]!;
        blocks[slot] = undefined;
        return block[0] + block[block.length - 1];
      },
      begin() {},
      commit() {},
      footprint: () => process.memoryUsage.rss() - before,
    },
    input,
  );
}
