/** text() and bytes(): contents of any length in a block of the heap.
 *
 *   home       WORD  FIELD      MEANING
 *                 0  link       block with the contents; 0 = none
 *                 1  length     UTF-16 units, or bytes; 0 exactly when link is 0
 *
 * A value that fits into the block that is there, and uses a quarter of it at least, is written over the old one. Words
 * beyond the length mean nothing. */
import { type Arrays, heapRange, type StoreContext } from './memory.ts';
import { equalsUnits, readUnits } from './text.ts';

/** Blocks of up to so many words are kept for whatever is shorter. */
const KEPT_WORDS = 16;

export interface LongPlace {
  /** Word of link 0 of the heap. */
  readonly heapWord?: number;
  need?(word: number, count: number): void;
}

export function readLongText(mem: Arrays, word: number, place: LongPlace): string {
  const link = mem.u32[word];
  if (link === 0) return '';
  const length = mem.u32[word + 1];
  return readUnits(mem.u16, heapRange(mem, place, link, (length + 1) >>> 1) * 2, length);
}

export function readLongBytes(mem: Arrays, word: number, place: LongPlace): Uint8Array {
  const link = mem.u32[word];
  if (link === 0) return new Uint8Array(0);
  const length = mem.u32[word + 1];
  const from = heapRange(mem, place, link, (length + 3) >>> 2) * 4;
  const copy = new Uint8Array(length);
  copy.set(mem.u8.subarray(from, from + length));
  return copy;
}

/** Logged store; the value was checked. @throws StateError `STATE_HEAP_FULL` */
export function writeLongText(context: StoreContext, word: number, value: string): void {
  const { length } = value;
  const at = place(context, word, length, (length + 1) >>> 1) * 2;
  const u16 = context.mem.u16;
  for (let k = 0; k < length; k++) u16[at + k] = value.charCodeAt(k);
}

/** Logged store; the value was checked. @throws StateError `STATE_HEAP_FULL` */
export function writeLongBytes(context: StoreContext, word: number, value: Uint8Array): void {
  // Ours may be among it, as when a field is given to itself.
  const { length } = value;
  const at = place(context, word, length, (length + 3) >>> 2) * 4;
  const u8 = context.mem.u8;
  if (length > 64) u8.set(value, at);
  else for (let k = 0; k < length; k++) u8[at + k] = value[k];
}

/** Is the stored text this one? */
export function equalsLongText(mem: Arrays, heapWord: number, word: number, value: string): boolean {
  const U = mem.u32;
  return U[word + 1] === value.length && equalsUnits(mem.u16, (heapWord + U[word]) * 2, value);
}

/** A block for the contents, its words logged. @returns its word, 0 for no contents */
function place(context: StoreContext, word: number, length: number, words: number): number {
  const { mem, heap, log } = context;
  const U = mem.u32;
  let link = U[word];
  if (length === 0) {
    if (link === 0) return 0;
    heap.free(link);
    log.log2(word);
    U[word] = 0;
    U[word + 1] = 0;
    return 0;
  }
  const has = link === 0 ? 0 : heap.wordsOf(link);
  if (has < words || (has > KEPT_WORDS && has > words * 4)) {
    const made = heap.alloc(words);
    if (link !== 0) heap.free(link);
    link = made;
  }
  log.log2(word);
  U[word] = link;
  U[word + 1] = length;
  const at = heap.base + link;
  log.keep(at, words);
  return at;
}
