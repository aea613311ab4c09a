// HOT: measured by benchmarks/containers
/** Bits as memory: word loops, release, decode, check. The bytes are drawn in bits.ts. */
import type { BitsShape } from '@lich/schema';
import type { CheckContext } from './check.ts';
import { CHUNK_LINKS, chunkParts, type ChunkPlaces, Chunks, chunkStart, chunkWord } from './chunks.ts';
import type { DecodeOptions } from './decode.ts';
import type { Arrays, StoreContext } from './memory.ts';
import type { Release } from './release.ts';

export const LENGTH = 2;
export const PAGES = 3;
export const DIRECTORY = 4;
export const HEAD_WORDS = DIRECTORY + CHUNK_LINKS;
export const PAGE_WORDS = 32;
export const PAGE_SHIFT = 10;
/** Page links of chunk 0. */
export const FIRST = 4;
export const BITS_MAX = 0x4000_0000;

/** Bits set in a word. */
export function population(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

function lowest(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The first bit from `from` on that differs from those of `skip`, in words of memory, below `end`; or -1. */
export function scan(I: Int32Array, word: number, from: number, end: number, skip: number): number {
  if (from >= end) return -1;
  let k = from >>> 5;
  let bits = (I[word + k] ^ skip) & (-1 << (from & 31));
  while (bits === 0) {
    k++;
    if (k << 5 >= end) return -1;
    bits = I[word + k] ^ skip;
  }
  const found = (k << 5) + lowest(bits);
  return found < end ? found : -1;
}

/** What all growing bits of a store share. */
export function bitsChunks(context: StoreContext): Chunks {
  return new Chunks(context, 1, FIRST);
}

function places(heapWord: number): ChunkPlaces {
  return { heapWord, first: FIRST, stride: 1, front: 0 };
}

export function releaseBits(context: StoreContext): Release {
  const { mem, heap } = context;
  const chunks = bitsChunks(context);
  return word => {
    const link = mem.u32[word];
    if (link === 0) return;
    const head = heap.base + link;
    for (let p = 0; p < mem.u32[head + PAGES]; p++) {
      const page = mem.u32[chunks.word(head + DIRECTORY, p)];
      if (page !== 0) heap.free(page);
    }
    chunks.release(head + DIRECTORY);
    heap.free(link);
  };
}

/** Numbers of the bits that are set, ascending. */
export function decodeBits(mem: Arrays, kind: BitsShape, word: number, options: DecodeOptions): number[] {
  const out: number[] = [];
  const collect = (at: number, from: number, count: number): void => {
    for (let bit = scan(mem.i32, at, 0, count, 0); bit >= 0; bit = scan(mem.i32, at, bit + 1, count, 0))
      out.push(from + bit);
  };
  if (kind.length > 0) {
    collect(word, 0, kind.length);
    return out;
  }
  const { heapWord = 0 } = options;
  if (mem.u32[word] === 0) return out;
  const head = heapWord + mem.u32[word];
  options.need?.(head, HEAD_WORDS);
  const dir = head + DIRECTORY;
  const pages = Math.min(mem.u32[head + PAGES], BITS_MAX >>> PAGE_SHIFT);
  for (const part of chunkParts(mem.u32, places(heapWord), dir, pages)) {
    if (part.link === 0) return out;
    options.need?.(heapWord + part.link, part.used);
  }
  for (let p = 0; p < pages; p++) {
    const link = mem.u32[chunkWord(mem.u32, places(heapWord), dir, p)];
    if (link === 0) continue;
    options.need?.(heapWord + link, PAGE_WORDS);
    collect(heapWord + link, p << PAGE_SHIFT, 1 << PAGE_SHIFT);
  }
  return out;
}

export function checkBits({ mem, heap, out }: CheckContext, kind: BitsShape, word: number, where: string): void {
  const u32 = mem.u32;
  const bad = (what: string) => void out.push({ where, what });
  if (kind.length > 0) {
    const rest = kind.length & 31;
    const last = u32[word + ((kind.length - 1) >>> 5)];
    if (rest !== 0 && last >>> rest !== 0) bad(`bits at and above ${kind.length} are set`);
    return;
  }
  const link = u32[word];
  if (link === 0 || !heap.reach(link, HEAD_WORDS, where)) return;
  const head = heap.base + link;
  const length = u32[head + LENGTH];
  const pages = u32[head + PAGES];
  if (length > BITS_MAX || pages > Math.ceil(length / (1 << PAGE_SHIFT)))
    return bad(`${pages} pages with length ${length}`);
  for (const part of chunkParts(u32, places(heap.base), head + DIRECTORY, pages))
    if (!heap.reach(part.link, part.words, `${where} chunk ${part.chunk}`)) return;
  for (let k = 0; k < CHUNK_LINKS; k++)
    if (u32[head + DIRECTORY + k] !== 0 && chunkStart(FIRST, k) >= pages) bad(`chunk ${k} is there, pages is ${pages}`);
  for (let p = 0; p < pages; p++) {
    const page = u32[chunkWord(u32, places(heap.base), head + DIRECTORY, p)];
    if (page === 0 || !heap.reach(page, PAGE_WORDS, `${where} page ${p}`)) continue;
    const from = p << PAGE_SHIFT;
    if (scan(mem.i32, heap.base + page, 0, 1 << PAGE_SHIFT, 0) < 0) bad(`page ${p} has no bit set`);
    if (scan(mem.i32, heap.base + page, Math.max(0, length - from), 1 << PAGE_SHIFT, 0) >= 0)
      bad(`bits at and above ${length} are set`);
  }
}
