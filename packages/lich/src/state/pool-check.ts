/** Walk a pool's own words: header, directory, bits, block stamps, slots, free list, spreads. */
import type { PoolLayout } from '@lich/schema';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP } from './accessors.ts';
import type { Violation } from './errors.ts';
import type { HeapAudit } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import {
  CHUNKS_MAX,
  chunkFirst,
  chunkOf,
  chunkWords,
  FREE,
  HIGH,
  LIVE,
  PoolSlots,
  poolPlaces,
  RESERVED,
  SPREAD_AREA,
} from './pool-places.ts';
import { bitsIn, checkSpreads } from './spread.ts';

/** @param word of the region
 * @param heap reached for each chunk
 * @param each called for each live record, with the word of its payload */
export function checkPool(
  mem: Arrays,
  pool: PoolLayout,
  word: number,
  heap: HeapAudit,
  out: Violation[],
  each: (word: number, where: string) => void,
): void {
  const U = mem.u32;
  const where = pool.name;
  const places = poolPlaces(pool.layout, pool.capacity);
  const { stride, payloadWords, capacity, grows } = places;
  const at = new PoolSlots(U, places, word, heap.base);
  const bad = (what: string) => void out.push({ where, what });
  const high = U[word + HIGH];
  const live = U[word + LIVE];
  if (high > capacity || live > high || U[word + FREE] > high) {
    return bad(`high ${high}, live ${live}, free ${U[word + FREE]} with ${capacity} slots`);
  }
  for (let k = RESERVED; k < SPREAD_AREA; k++) if (U[word + k] !== 0) bad(`reserved word ${k} is ${U[word + k]}`);
  if (grows && !checkDirectory()) return;
  let bits = 0;
  // Bits of slots that were never used are zero; in a chunk, where their block of 64 was.
  const end = grows ? Math.ceil(high / 64) * 64 : capacity;
  for (let start = 0; start < end; start += 32) {
    const set = U[at.bits(start)];
    bits += bitsIn(set);
    const over = high - start;
    const beyond = over >= 32 ? 0 : over <= 0 ? set : set >>> over;
    if (beyond !== 0) bad(`a bit from ${Math.max(start, high)} on is set, high is ${high}`);
  }
  if (bits !== live) bad(`${bits} bits set, live says ${live}`);
  const stampAt = (at: number) => U[at + 1] * 0x1_0000_0000 + U[at];
  for (let slot = 0; slot < high; slot++) {
    const base = at.base(slot);
    const here = heap.named ? `${where}[${slot}]` : where;
    const wrong = (what: string) => void out.push({ where: here, what });
    const fence = (FENCE ^ slot) >>> 0;
    const end = base + SLOT_HEADER + payloadWords;
    if (U[base] !== fence || U[end] !== fence)
      wrong(`fences ${U[base].toString(16)} and ${U[end].toString(16)}, both are to be ${fence.toString(16)}`);
    for (let k = end + 1; k < base + stride; k++) if (U[k] !== 0) wrong(`padding word ${k - base} is ${U[k]}`);
    const generation = U[base + SLOT_GENERATION];
    const bit = (U[at.bits(slot)] >>> (slot & 31)) & 1;
    if ((generation & 1) !== bit) wrong(`generation ${generation}, its bit is ${bit}`);
    const stamp = stampAt(base + SLOT_STAMP);
    if (stamp > stampAt(at.block(slot))) wrong(`stamp ${stamp} is newer than its block's`);
    if ((generation & 1) === 1) each(base + SLOT_HEADER, here);
  }
  const seen = new Set<number>();
  for (let link = U[word + FREE]; link !== 0; ) {
    if (link > high || seen.has(link))
      return bad(`the free list leads to slot ${link - 1} ${seen.has(link) ? 'twice' : `beyond high ${high}`}`);
    seen.add(link);
    const base = at.base(link - 1);
    if ((U[base + SLOT_GENERATION] & 1) === 1) bad(`slot ${link - 1} is on the free list and live`);
    link = U[base + SLOT_HEADER];
  }
  if (seen.size + live !== high) bad(`${live} live + ${seen.size} free is not high ${high}`);
  out.push(...checkSpreads(U, mem.f64, word, at, where));

  /** @returns false when slots cannot be found by it */
  function checkDirectory(): boolean {
    const chunks = high === 0 ? 0 : chunkOf(places.top, high - 1) + 1;
    let good = true;
    for (let chunk = 0; chunk < CHUNKS_MAX; chunk++) {
      const link = U[at.directory + chunk];
      if (chunk >= chunks) {
        if (link !== 0) bad(`chunk ${chunk} is there, high is ${high}`);
      } else if (!heap.reach(link, chunkWords(places, chunk), `${where}[${chunkFirst(places.top, chunk)}…]`))
        good = false;
    }
    return good;
  }
}
