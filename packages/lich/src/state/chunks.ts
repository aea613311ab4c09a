/** Chunks: slots of one size in the heap, that never move. Growing copies nothing: a slot that was handed out stays where
 * it is until it is given back, at any size.
 *
 *   directory   27 links in the owner's head block, 0 = no such chunk
 *   chunk k     first << k slots, from first * (2^k - 1) on; `first` is a power of two, at least 2
 *
 *   chunk       [front words, one for each slot if the owner wants them][slots …]       8-byte aligned
 *
 * Front words (buckets of a hash table) are numbered as the slots are. What a new chunk holds is whatever was there. */
import { StateError } from './errors.ts';
import type { Heap } from './heap.ts';
import type { StoreContext } from './memory.ts';

/** Links of a directory: room for almost `first << 27` slots. */
export const CHUNK_LINKS = 27;

/** Slots of a chunk. */
export function chunkSlots(first: number, chunk: number): number {
  return first << chunk;
}

/** The first slot of a chunk. */
export function chunkStart(first: number, chunk: number): number {
  return (first << chunk) - first;
}

/** The chunk of a slot. */
export function chunkOfSlot(first: number, index: number): number {
  return Math.clz32(first) - Math.clz32(index + first);
}

/** Addresses in one mould of chunks; directories belong to the containers, and are given with each call. */
export class Chunks {
  /** Slots of chunk 0. */
  readonly first: number;
  /** Words from one slot to the next. */
  readonly stride: number;
  readonly #front: number;
  /** Zero bits above the highest of `first`. */
  readonly #zeros: number;
  readonly #U: Uint32Array;
  readonly #I: Int32Array;
  readonly #heap: Heap;
  readonly #base: number;
  readonly #write: (word: number, value: number) => void;
  readonly #fail: StoreContext['fail'];

  /** @param stride words of a slot, even where slots are to be 8-byte aligned
   * @param first slots of chunk 0, a power of two, at least 2
   * @param front words in front of a chunk for each of its slots: 0 or 1 */
  constructor(
    context: Pick<StoreContext, 'mem' | 'heap' | 'fail'> & { readonly log: Pick<StoreContext['log'], 'write'> },
    stride: number,
    first: number,
    front: 0 | 1 = 0,
  ) {
    this.first = first;
    this.stride = stride;
    this.#front = front;
    this.#zeros = Math.clz32(first);
    this.#U = context.mem.u32;
    this.#I = context.mem.i32;
    this.#heap = context.heap;
    this.#base = context.heap.base;
    this.#write = context.log.write;
    this.#fail = context.fail;
  }

  /** Word of a slot in the segment; its chunk is there. @param dir word of the directory */
  word(dir: number, index: number): number {
    // Counted from `first` on, the highest bit says the chunk and the others the slot in it. Sums are 32-bit numbers.
    const at = (index + this.first) | 0;
    const k = this.#zeros - Math.clz32(at);
    const size = this.first << k;
    const front = this.#front === 0 ? 0 : size;
    return (this.#base + this.#I[(dir + k) | 0] + front + Math.imul(at - size, this.stride)) | 0;
  }

  /** Front word of a slot. */
  front(dir: number, index: number): number {
    const at = (index + this.first) | 0;
    const k = this.#zeros - Math.clz32(at);
    return (this.#base + this.#I[(dir + k) | 0] + at - (this.first << k)) | 0;
  }

  /** The slot that begins at this word, or -1. */
  indexOf(dir: number, word: number): number {
    for (let k = 0; k < CHUNK_LINKS; k++) {
      const link = this.#U[dir + k];
      if (link === 0) continue;
      const slots = chunkSlots(this.first, k);
      const at = word - this.#base - link - slots * this.#front;
      if (at < 0 || at >= slots * this.stride) continue;
      return at % this.stride === 0 ? chunkStart(this.first, k) + at / this.stride : -1;
    }
    return -1;
  }

  /** Make the chunk of a slot, unless it is there.
   * @returns whether it was made: then its words hold whatever was there
   * @throws StateError `STATE_HEAP_FULL` */
  ensure(dir: number, index: number): boolean {
    const k = chunkOfSlot(this.first, index);
    if (k >= CHUNK_LINKS) return this.#tooMany();
    if (this.#U[dir + k] !== 0) return false;
    this.#write(dir + k, this.#heap.alloc(chunkSlots(this.first, k) * (this.stride + this.#front)));
    return true;
  }

  /** Give back the chunks that hold no slot below `slots`. */
  trim(dir: number, slots: number): void {
    for (let k = CHUNK_LINKS - 1; k >= 0 && (slots === 0 || chunkStart(this.first, k) >= slots); k--) {
      const link = this.#U[dir + k];
      if (link === 0) continue;
      this.#write(dir + k, 0);
      this.#heap.free(link);
    }
  }

  /** Give all back. */
  release(dir: number): void {
    this.trim(dir, 0);
  }

  #tooMany(): never {
    const most = (2 ** CHUNK_LINKS - 1) * this.first;
    return this.#fail(new StateError('STATE_HEAP_FULL', `one container holds ${most} elements at most`));
  }
}

/** Chunks in a memory that is not ours, or that stands still: for decode and check. */
export interface ChunkPlaces {
  /** Word of link 0. */
  readonly heapWord: number;
  readonly first: number;
  readonly stride: number;
  readonly front: 0 | 1;
}

/** Word of a slot. */
export function chunkWord(U: Uint32Array, places: ChunkPlaces, dir: number, index: number): number {
  const { heapWord, first, stride, front } = places;
  const k = chunkOfSlot(first, index);
  return heapWord + U[dir + k] + chunkSlots(first, k) * front + (index - chunkStart(first, k)) * stride;
}

/** Front word of a slot. */
export function chunkFront(U: Uint32Array, { heapWord, first }: ChunkPlaces, dir: number, index: number): number {
  const k = chunkOfSlot(first, index);
  return heapWord + U[dir + k] + index - chunkStart(first, k);
}

/** The chunks of a directory that hold slots below `slots`: link and words of what is used of each. */
export function* chunkParts(
  U: Uint32Array,
  { first, stride, front }: ChunkPlaces,
  dir: number,
  slots: number,
): Generator<{ chunk: number; link: number; words: number; used: number }, undefined> {
  for (let k = 0; k < CHUNK_LINKS; k++) {
    const start = chunkStart(first, k);
    if (start >= slots) return undefined;
    const size = chunkSlots(first, k);
    const used = Math.min(slots - start, size);
    yield { chunk: k, link: U[dir + k], words: size * (stride + front), used: size * front + used * stride };
  }
  return undefined;
}
