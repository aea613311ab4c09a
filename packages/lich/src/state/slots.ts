/** Slots: places for elements that are structs or containers, in chunks of the heap. A slot never moves while it is taken,
 * so the view of its element keeps its place; containers that move elements about (arrays, sorted maps) move the number
 * of the slot alone.
 *
 *   in the owner's head block
 *   WORD  FIELD       MEANING
 *      0  high        slots at and above were never taken: their bytes mean nothing
 *      1  free        first slot that was given back + 1, linked by its first word; 0 = none
 *      2  directory   27 links, see chunks.ts
 *
 * Invariant: taken + free slots = high. When the last one is given back, all of their memory is. */
import { CHUNK_LINKS, chunkParts, type ChunkPlaces, Chunks, chunkWord } from './chunks.ts';
import type { CheckContext } from './check.ts';
import type { StoreContext } from './memory.ts';

export const SLOTS_WORDS = 2 + CHUNK_LINKS;
const HIGH = 0;
const FREE = 1;
export const SLOTS_DIRECTORY = 2;

/** Slots of chunk 0 for elements of so many words: 256 bytes or two slots. */
export function firstSlots(stride: number): number {
  let first = 2;
  while (first * 2 * stride <= 64) first *= 2;
  return first;
}

/** Words of a slot for elements of so many bytes: 8-byte aligned where they have to be. */
export function slotStride(bytes: number, align: number): number {
  const words = Math.max(1, Math.ceil(bytes / 4));
  return align === 8 ? (words + 1) & -2 : words;
}

/** Slots of one stride; `at` is the word of the fields above. */
export class Slots {
  readonly #chunks: Chunks;
  readonly #U: Uint32Array;
  readonly #write: (word: number, value: number) => void;

  constructor(context: StoreContext, stride: number) {
    this.#chunks = new Chunks(context, stride, firstSlots(stride));
    this.#U = context.mem.u32;
    this.#write = context.log.write;
  }

  word(at: number, slot: number): number {
    return this.#chunks.word(at + SLOTS_DIRECTORY, slot);
  }

  /** The slot that begins at a word, or -1. */
  indexOf(at: number, word: number): number {
    return this.#chunks.indexOf(at + SLOTS_DIRECTORY, word);
  }

  /** @returns a slot that holds whatever was there @throws StateError `STATE_HEAP_FULL` */
  take(at: number): number {
    const free = this.#U[at + FREE];
    if (free !== 0) {
      this.#write(at + FREE, this.#U[this.word(at, free - 1)]);
      return free - 1;
    }
    const slot = this.#U[at + HIGH];
    this.#chunks.ensure(at + SLOTS_DIRECTORY, slot);
    this.#write(at + HIGH, slot + 1);
    return slot;
  }

  give(at: number, slot: number): void {
    this.#write(this.word(at, slot), this.#U[at + FREE]);
    this.#write(at + FREE, slot + 1);
  }

  /** Give back all slots, and their memory. */
  release(at: number): void {
    if (this.#U[at + HIGH] === 0) return;
    this.#chunks.release(at + SLOTS_DIRECTORY);
    this.#write(at + HIGH, 0);
    if (this.#U[at + FREE] !== 0) this.#write(at + FREE, 0);
  }
}

/** Where slots are in a memory that is not ours. */
export function slotPlaces(heapWord: number, stride: number): ChunkPlaces {
  return { heapWord, first: firstSlots(stride), stride, front: 0 };
}

/** Word of a slot; the directory was read, and `slot` is below its high. */
export function slotWord(u32: Uint32Array, places: ChunkPlaces, at: number, slot: number): number {
  return chunkWord(u32, places, at + SLOTS_DIRECTORY, slot);
}

/** Slots below high: those that may be read. */
export function slotsHigh(u32: Uint32Array, at: number): number {
  return u32[at + HIGH];
}

/** Walk the fields, chunks and free slots.
 * @param taken slots that the owner has found elements in: each is named once
 * @returns the places, or undefined when they must not be read */
export function checkSlots(
  { mem, out, heap }: CheckContext,
  at: number,
  stride: number,
  where: string,
): { places: ChunkPlaces; high: number; take(slot: number): boolean; end(): void } | undefined {
  const u32 = mem.u32;
  const places = slotPlaces(heap.base, stride);
  const bad = (what: string) => void out.push({ where, what });
  const high = u32[at + HIGH];
  let sound = true;
  let chunks = 0;
  for (const { chunk, link, words } of chunkParts(u32, places, at + SLOTS_DIRECTORY, high)) {
    chunks = chunk + 1;
    if (!heap.reach(link, words, `${where} slots ${chunk}`)) sound = false;
  }
  for (let k = chunks; k < CHUNK_LINKS; k++) {
    if (u32[at + SLOTS_DIRECTORY + k] !== 0) bad(`chunk ${k} of its slots is there, high is ${high}`);
  }
  if (!sound) return undefined;
  const seen = new Set<number>();
  const take = (slot: number): boolean => {
    if (slot >= high || seen.has(slot)) {
      bad(`slot ${slot} is ${slot >= high ? `beyond high ${high}` : 'named twice'}`);
      return false;
    }
    seen.add(slot);
    return true;
  };
  return {
    places,
    high,
    take,
    end() {
      for (let link = u32[at + FREE]; link !== 0; link = u32[slotWord(u32, places, at, link - 1)])
        if (!take(link - 1)) return;
      if (seen.size !== high) bad(`${seen.size} slots are taken or free, high is ${high}`);
    },
  };
}
