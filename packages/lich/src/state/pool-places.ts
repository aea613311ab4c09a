// HOT: measured by benchmarks/state
/** Where the parts of a pool are: the one place that computes addresses of slots, for the owner, for check() and for
 * readers with a copy of the words.
 *
 *   region    WORD   FIELD      MEANING
 *                0   high       slots at and above were never used
 *                1   live       live records
 *                2   free       first slot that was given back + 1, linked by the first payload word; 0 = none
 *                3   spreads    entries of `spread` in use, from the first on
 *             4…15   reserved   zero
 *               16   spread     8 entries of 16 words, see spread.ts
 *
 *   with a capacity (addresses are literals)             without one, it grows in the heap
 *              144   bitmap     32 slots a word                     144   directory   links of chunks, 0 = not there yet
 *                …   blocks     stamps, 64-byte aligned slots
 *                …   slots
 *
 *   chunk     WORD   FIELD      MEANING            n slots, a multiple of 64
 *                0   bitmap     n/32 words         32 slots and their block's stamp are zeroed when the first slot of 64
 *             n/32   blocks     n/64 × (lo, hi)    is used, and each slot when it is
 *             n/16   slots
 *
 * Chunk 0 has 64 slots, the next ones double what there is (64, 128, 256 …) up to about a mebibyte, then all are of that
 * size. A slot never moves. The number of a slot is in its fences, so a record finds its chunk from its own words. */
import type { StructLayout } from '@lich/schema';
import { FENCE, SLOT_HEADER } from './accessors.ts';

export const HIGH = 0;
export const LIVE = 1;
export const FREE = 2;
export const SPREADS = 3;
export const RESERVED = 4;
export const SPREAD_AREA = 16;
export const SPREAD_WORDS = 16;
export const SPREADS_MAX = 8;
/** Word of the bitmap, or of the directory, in the region. */
export const BITMAP = SPREAD_AREA + SPREADS_MAX * SPREAD_WORDS;

/** Chunks of a pool at most: more than fit the largest heap. */
export const CHUNKS_MAX = 8192;
/** log2 of the slots in the first chunk. */
const FIRST_LOG2 = 6;
/** log2 of the slots in the largest. */
const TOP_LOG2 = 14;
/** Bytes that a chunk should not exceed: its pages are reserved in one go. */
const CHUNK_BYTES = 1_048_576;

/** Word offsets inside a pool's region, and its size. */
export interface PoolPlaces {
  /** Most slots. */
  readonly capacity: number;
  /** In chunks of the heap. */
  readonly grows: boolean;
  /** Block stamps and slots of a pool with a capacity. */
  readonly blocks: number;
  readonly slots: number;
  /** Words from one slot to the next. */
  readonly stride: number;
  readonly payloadWords: number;
  /** log2 of the slots in the largest chunk. */
  readonly top: number;
  /** Of the region. */
  readonly bytes: number;
}

/** @param capacity 0 = the pool grows */
export function poolPlaces(layout: StructLayout, capacity: number): PoolPlaces {
  const payloadWords = Math.max(layout.bytes / 4, 1);
  const stride = Math.ceil((SLOT_HEADER + payloadWords + 1) / 2) * 2;
  const most = Math.floor(Math.log2(CHUNK_BYTES / 4 / stride));
  const top = Math.min(TOP_LOG2, Math.max(FIRST_LOG2, most));
  if (capacity === 0) {
    const bytes = (BITMAP + CHUNKS_MAX) * 4;
    const slots = Math.min(2 ** 30, (CHUNKS_MAX - (top - FIRST_LOG2)) * 2 ** top);
    return { capacity: slots, grows: true, blocks: 0, slots: 0, stride, payloadWords, top, bytes };
  }
  const bitmapWords = Math.ceil(capacity / 32);
  const blocks = BITMAP + Math.ceil(bitmapWords / 2) * 2;
  const slots = Math.ceil((blocks + Math.ceil(capacity / 64) * 2) / 16) * 16;
  const bytes = (slots + stride * capacity) * 4;
  return { capacity, grows: false, blocks, slots, stride, payloadWords, top, bytes };
}

/** The chunk that has this slot. */
export function chunkOf(top: number, slot: number): number {
  if (slot >>> top !== 0) return (slot >>> top) + top - FIRST_LOG2;
  return slot < 64 ? 0 : 26 - Math.clz32(slot);
}

/** First slot of a chunk. */
export function chunkFirst(top: number, chunk: number): number {
  if (chunk === 0) return 0;
  const doubling = top - FIRST_LOG2;
  return chunk <= doubling ? 32 << chunk : (chunk - doubling) << top;
}

/** Slots of a chunk. */
export function chunkSlots(top: number, chunk: number): number {
  if (chunk === 0) return 64;
  return chunk <= top - FIRST_LOG2 ? 32 << chunk : 1 << top;
}

/** Words that a chunk takes in the heap. */
export function chunkWords({ top, stride }: PoolPlaces, chunk: number): number {
  const slots = chunkSlots(top, chunk);
  return slots / 16 + slots * stride;
}

/** Addresses of the slots of one pool, over the words of a segment or over a copy of them at the same indexes. Of a pool
 * that grows the directory (`directoryWords` from `directory` on) has to be there, and the chunk of the slot. */
export class PoolSlots {
  readonly places: PoolPlaces;
  /** First word of the directory. */
  readonly directory: number;
  readonly #U: Uint32Array;
  readonly #grows: boolean;
  readonly #bits: number;
  readonly #blocks: number;
  readonly #slots: number;
  readonly #stride: number;
  readonly #top: number;
  readonly #heap: number;

  /** @param word of the region
   * @param heapWord of link 0 */
  constructor(U: Uint32Array, places: PoolPlaces, word: number, heapWord: number) {
    this.places = places;
    this.directory = word + BITMAP;
    this.#U = U;
    this.#grows = places.grows;
    this.#bits = word + BITMAP;
    this.#blocks = word + places.blocks;
    this.#slots = word + places.slots;
    this.#stride = places.stride;
    this.#top = places.top;
    this.#heap = heapWord;
  }

  /** Words of the directory that lead to the slots below `high`. */
  directoryWords(high: number): number {
    return high === 0 || !this.#grows ? 0 : chunkOf(this.#top, high - 1) + 1;
  }

  /** Word of a slot. */
  base(slot: number): number {
    if (!this.#grows) return this.#slots + slot * this.#stride;
    const top = this.#top;
    const chunk = chunkOf(top, slot);
    const start = this.#heap + this.#U[this.directory + chunk] + chunkSlots(top, chunk) / 16;
    return start + (slot - chunkFirst(top, chunk)) * this.#stride;
  }

  /** The slot that begins at a word. In a pool that grows its fence says the number: it has to be there. */
  slotAt(base: number): number {
    return this.#grows ? (this.#U[base] ^ FENCE) >>> 0 : (base - this.#slots) / this.#stride;
  }

  /** The word that has the bit of a slot: bit `slot & 31`. */
  bits(slot: number): number {
    if (!this.#grows) return this.#bits + (slot >>> 5);
    const chunk = chunkOf(this.#top, slot);
    return this.#heap + this.#U[this.directory + chunk] + ((slot - chunkFirst(this.#top, chunk)) >>> 5);
  }

  /** Word of the stamp (lo, hi) of the 64 slots that this one is among. */
  block(slot: number): number {
    if (!this.#grows) return this.#blocks + (slot >>> 6) * 2;
    const top = this.#top;
    const chunk = chunkOf(top, slot);
    const start = this.#heap + this.#U[this.directory + chunk] + chunkSlots(top, chunk) / 32;
    return start + ((slot - chunkFirst(top, chunk)) >>> 6) * 2;
  }

  /** Slots from this one on that lie one after the other, at most `most`. */
  run(slot: number, most: number): number {
    if (!this.#grows) return most;
    const chunk = chunkOf(this.#top, slot);
    return Math.min(most, chunkFirst(this.#top, chunk) + chunkSlots(this.#top, chunk) - slot);
  }
}
