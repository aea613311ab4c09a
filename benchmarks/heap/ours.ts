/** Blocks of the heap of a segment on tmpfs, in transactions. */
import { state, u32 } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { openStore, storePlan } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir } from '../lib/tools.ts';
import { type HeapInput, run, sizes } from './work.ts';

export default function ours(input: HeapInput): Measured {
  pin(1);
  const plan = storePlan(state({ n: u32 }), { heapBytes: 512 * 1_048_576 });
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const { heap, log } = openStore(segment, plan);
  const { u32: U } = segment;
  // A node reserves pages ahead on a helper thread; here they are there from the start.
  if (input.size === 'full') segment.reserve(heap.base * 4, 192 * 1_048_576);
  const links = new Uint32Array(sizes[input.load][input.size].slots);
  const ends = new Uint32Array(links.length);
  const measured = run(
    {
      take(slot, words, mark) {
        const link = heap.alloc(words);
        const at = heap.base + link;
        log.write(at, mark);
        log.write(at + words - 1, mark);
        links[slot] = link;
        ends[slot] = words;
      },
      give(slot) {
        const link = links[slot];
        const at = heap.base + link;
        const sum = U[at] + U[at + ends[slot] - 1];
        heap.free(link);
        return sum;
      },
      begin: log.begin,
      commit: log.commit,
      footprint: () => heap.highWords * 4,
    },
    input,
  );
  segment.close(true);
  return measured;
}
