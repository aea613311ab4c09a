/** @thi.ng/malloc: an allocator over an ArrayBuffer, in JavaScript. It walks the list of its blocks at each free. */
import type { Measured } from '../lib/bench.ts';
import { pin } from '../lib/tools.ts';
import { loadPeer } from '../lib/trial.ts';
import { type HeapInput, run, sizes } from './work.ts';

interface MemPool {
  malloc(bytes: number): number;
  free(address: number): boolean;
  stats(): { readonly top: number };
}

export default async function thing(input: HeapInput): Promise<Measured> {
  pin(1);
  const { MemPool } = await loadPeer<{ MemPool: new (options: object) => MemPool }>('@thi.ng/malloc');
  const buffer = new ArrayBuffer(64 * 1_048_576);
  const U = new Uint32Array(buffer);
  const pool = new MemPool({ buf: buffer, compact: true, split: true });
  const { slots } = sizes[input.load][input.size];
  const addresses = new Uint32Array(slots);
  const ends = new Uint32Array(slots);
  return run(
    {
      take(slot, words, mark) {
        const address = pool.malloc(words * 4);
        if (address === 0) throw new Error('the pool is full');
        U[address >>> 2] = mark;
        U[(address >>> 2) + words - 1] = mark;
        addresses[slot] = address;
        ends[slot] = words;
      },
      give(slot) {
        const at = addresses[slot] >>> 2;
        const sum = U[at] + U[at + ends[slot] - 1];
        pool.free(addresses[slot]);
        return sum;
      },
      begin() {},
      commit() {},
      footprint: () => pool.stats().top,
    },
    input,
  );
}
