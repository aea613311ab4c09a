// HOT: measured by benchmarks/heap
/** Heap: blocks of any size in the last region of a state segment. All of it is under the undo log; nothing is rebuilt at
 * resume, and nothing has to be written before first use: zero bytes are an empty heap.
 *
 *   region    WORD   FIELD      MEANING
 *                0   high       blocks lie below; words at and above were never used. 0 = none yet, as 1024
 *                1   free       words in free blocks (not the quick ones)
 *                2   quick      words in quick blocks
 *                3   edge       flags that a block at `high` would have
 *                4   levels     | heap-bins.ts
 *                5   quickMap   bit u-1: quick list u has a block
 *                6   owners     link of the first owner of foreign blocks; foreign.ts
 *             7…15   reserved   zero
 *               16   lines      | heap-bins.ts
 *               64   quick      first block of quick list u, for u = 2..32
 *              128   bins       | heap-bins.ts
 *             1024   blocks     one after the other, without gaps, up to high
 *
 *   block     WORD   FIELD      MEANING                                          (8-byte aligned, 4 words at least)
 *                0   tag        its state (used, foreign, free, quick), mixed with where it is
 *                1   size       words, header included; bit 0 = the block before is free; bit 31 = and has 4 words
 *                2   payload    what a link leads to                    | free: next of the bin     | quick: next
 *                3                                                      |       previous of the bin |
 *             last                                                      |       size, from 6 words on
 *
 * A *link* is the word offset of a payload from the start of the region; 0 = none. So the heap can be copied whole.
 *
 * Two-level segregated fit with boundary tags: free blocks are in bins by size (heap-bins.ts). In front of the bins, quick
 * lists for blocks of up to 64 words, unmerged: at most 1/8 of what is in use waits there; beyond that blocks go to the
 * bins, and two from the lists with each.
 *
 *   alloc     quick list of that size · else a free block of that size or a larger one · else from `high`
 *             a larger block gives its END, so that it mostly stays where it is, in its bin:
 *             ┆ free, 40 words                ┆   →   ┆ free, 28 words       │ used, 12 ┆
 *   free      quick list · else merged with free neighbours, at once:
 *             ┆ free, 28 ┆ used, 12 ┆ free, 6 ┆   →   ┆ free, 46                         ┆
 *
 * Invariants: the blocks fill [1024, high) exactly; two free blocks are never neighbours; a free block is in the bin of
 * its size, a quick one in the list of its size; free + quick + words of used blocks = high - 1024; a map bit is set
 * exactly when its list has a block.
 *
 * No operation has a loop that grows with the heap. Logged words: alloc 3 or 4 from a quick list, at most 14; free 4 or 5,
 * at most 54, two drains included. (The last try before STATE_HEAP_FULL drains up to 256 blocks.) A block is 2 to 5 words
 * larger than what was asked for. What lies free between blocks: docs/state.md, "Heap". */
import { BLOCK_MIN, Bins, SIZE } from './heap-bins.ts';
import { doubleFree, heapFull, noBlock, overwritten } from './heap-errors.ts';
import type { StoreContext } from './memory.ts';
import type { Pages } from './pool.ts';

export { BLOCK_MIN, SIZE } from './heap-bins.ts';

export const HIGH = 0;
export const FREE = 1;
export const QUICK = 2;
export const EDGE = 3;
export const QUICK_MAP = 5;
export const OWNERS = 6;
export const RESERVED = 7;
export const QUICK_LISTS = 64;
/** Word of the first block. */
export const FIRST = 1024;

/** Words of a block before its payload. */
export const BLOCK_HEADER = 2;
/** Of the size word: the block before is free; and is one of 4 words, which has no room for its size at its end. */
export const BEFORE_FREE = 1;
export const BEFORE_TINY = 0x8000_0000 | 0;
export const FLAGS = BEFORE_FREE | BEFORE_TINY;

/** States of a block: the tag is one of these, mixed with the block's place. */
export const USED = 0x4c69_7573;
export const FOREIGN = 0x4c69_666f;
export const LOOSE = 0x4c69_6672;
export const WAITING = 0x4c69_7175;

/** Largest block, in pairs of words, that has a quick list. */
export const QUICK_UNITS = 32;
/** Quick blocks may take 1/8 of what is in use, and 8 KiB. */
const QUICK_SHARE = 3;
const QUICK_WORDS = 2048;
/** Quick blocks that are merged before the heap says that it is full. */
const LAST_DRAINS = 256;

export const HEAP_BYTES_DEFAULT = 128 * 1_048_576;
export const HEAP_BYTES_MIN = 65_536;

/** Bytes of which pages are reserved at a time: at least, at most; in between an eighth of what is used. */
const GROWTH_MIN = 256 * 1024;
const GROWTH_MAX = 8 * 1_048_576;

/** The tag of a block in a state. Mixed with its place, so that a copy of it elsewhere is no tag. */
export function tagOf(state: number, block: number): number {
  return state ^ Math.imul(block, 0x9e37_79b1);
}

/** Words of a block for so many words of payload. */
function blockWords(words: number): number {
  return words <= BLOCK_MIN - BLOCK_HEADER ? BLOCK_MIN : (words + BLOCK_HEADER + 1) & -2;
}

export interface HeapParts {
  readonly context: Pick<StoreContext, 'mem' | 'log' | 'fail'>;
  /** Word of the region, and its size; 0 words = the segment has none. */
  readonly word: number;
  readonly words: number;
  readonly pages: Pages;
}

/** Blocks of memory for what grows, in the owner's process. Everything inside transactions; undone by a rollback. */
export class Heap {
  /** Word of link 0 in the segment: word = base + link. */
  readonly base: number;
  readonly #words: number;
  /** With `high` above, nothing waits on quick lists. */
  readonly #eager: number;
  readonly #U: Uint32Array;
  readonly #I: Int32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #context: HeapParts['context'];
  readonly #pages: Pages;
  readonly #bins: Bins;
  #reserved = 0;

  /** @internal */
  constructor({ context, word, words, pages }: HeapParts) {
    this.base = word;
    this.#words = Math.min(words & -2, 0x4000_0000);
    this.#eager = this.#words - (this.#words >>> 3);
    this.#U = context.mem.u32;
    this.#I = context.mem.i32;
    this.#write = context.log.write;
    this.#context = context;
    this.#pages = pages;
    this.#bins = new Bins(context.mem.i32, context.log.write, word);
  }

  /** Words of the region: what limits.heapBytes was when the segment was made, in words. */
  get words(): number {
    return this.#words;
  }

  /** Words up to which the region was ever used, its own tables included. */
  get highWords(): number {
    return this.#words === 0 ? 0 : this.#U[this.base + HIGH] || FIRST;
  }

  /** Words below `highWords` in blocks that were given back. */
  get freeWords(): number {
    return this.#words === 0 ? 0 : this.#U[this.base + FREE] + this.#U[this.base + QUICK];
  }

  /** Words in allocated blocks, their headers included. */
  get usedWords(): number {
    return this.#words === 0 ? 0 : this.highWords - FIRST - this.freeWords;
  }

  /** Take a block. Its contents are whatever was there: what is stored there is logged, as everywhere in the heap.
   * @param words of payload, 0 counts as 1
   * @param foreign kept apart by the leak audit: nothing in the state leads to it
   * @returns link of the payload, 8-byte aligned
   * @throws StateError `STATE_HEAP_FULL`: the transaction, or the savepoint around it, has to be rolled back
   * @throws ShmError `SHM_NO_MEMORY`, with the same consequence
   * @remarks O(1); 3 logged words from a quick list, 6 to 20 else */
  alloc(words: number, foreign = false): number {
    if (!(words <= this.#words)) return this.#full(words);
    const size = blockWords(words);
    const state = foreign ? FOREIGN : USED;
    const { base } = this;
    if (size <= QUICK_UNITS * 2) {
      const I = this.#I;
      const list = base + QUICK_LISTS + (size >>> 1);
      const block = I[list];
      if (block !== 0) {
        const write = this.#write;
        const at = base + block;
        if (I[at] !== tagOf(WAITING, block)) this.#broken(block, 'on a quick list');
        const next = I[at + 2];
        write(list, next);
        if (next === 0) write(base + QUICK_MAP, I[base + QUICK_MAP] & ~(1 << ((size >>> 1) - 1)));
        write(base + QUICK, I[base + QUICK] - size);
        write(at, tagOf(state, block));
        return block + BLOCK_HEADER;
      }
    }
    return this.#fit(words, size, state) + BLOCK_HEADER;
  }

  /** Give a block back.
   * @throws StateError `STATE_DOUBLE_FREE`; `STATE_CORRUPT` for what is no block
   * @remarks O(1); 4 logged words into a quick list, 6 to 24 else */
  free(link: number): void {
    const I = this.#I;
    const write = this.#write;
    const { base } = this;
    const size = this.#sizeOf(link);
    const block = link - BLOCK_HEADER;
    const at = base + block;
    if (size <= QUICK_UNITS * 2) {
      const quick = I[base + QUICK] + size;
      if (quick <= this.#quickLimit(quick)) {
        const list = base + QUICK_LISTS + (size >>> 1);
        const next = I[list];
        write(at, tagOf(WAITING, block));
        write(at + 2, next);
        write(list, block);
        if (next === 0) write(base + QUICK_MAP, I[base + QUICK_MAP] | (1 << ((size >>> 1) - 1)));
        write(base + QUICK, quick);
        return;
      }
    }
    write(at, tagOf(LOOSE, block));
    this.#release(block, size);
    const quick = I[base + QUICK];
    if (quick > this.#quickLimit(quick) && this.#drain()) this.#drain();
  }

  /** Make a block larger or smaller: in place where it can be, else its first `keepWords` words are copied, logged, and
   * the old block is given back.
   * @param keepWords of its contents to keep, at most what it has
   * @returns its link from now on
   * @throws StateError as `alloc` and `free` */
  realloc(link: number, words: number, keepWords: number): number {
    const size = this.#sizeOf(link);
    if (!(words <= this.#words)) return this.#full(words);
    const need = blockWords(words);
    const block = link - BLOCK_HEADER;
    if (need <= size) {
      if (size - need >= BLOCK_MIN) this.#cut(block, size, need);
      return link;
    }
    if (this.#extend(block, size, need)) return link;
    const foreign = this.#I[this.base + block] === tagOf(FOREIGN, block);
    const moved = this.alloc(words, foreign);
    const count = Math.min(keepWords, size - BLOCK_HEADER);
    const U = this.#U;
    const from = this.base + link;
    const to = this.base + moved;
    this.#context.log.keep(to, count);
    for (let k = 0; k < count; k++) U[to + k] = U[from + k];
    this.free(link);
    return moved;
  }

  /** Usable words of a block: at least as many as were asked for.
   * @throws StateError `STATE_DOUBLE_FREE` when it was given back, `STATE_CORRUPT` for what is no block */
  wordsOf(link: number): number {
    return this.#sizeOf(link) - BLOCK_HEADER;
  }

  /** Is this the link of a block in use? */
  isBlock(link: number): boolean {
    const I = this.#I;
    const { base } = this;
    if (link >>> 0 !== link || (link & 1) !== 0 || link < FIRST + BLOCK_HEADER || link >= this.highWords) return false;
    const block = link - BLOCK_HEADER;
    const tag = I[base + block];
    return tag === tagOf(USED, block) || tag === tagOf(FOREIGN, block);
  }

  /** Was the block at this link taken by foreign code? */
  isForeign(link: number): boolean {
    return this.#I[this.base + link - BLOCK_HEADER] === tagOf(FOREIGN, link - BLOCK_HEADER);
  }

  /** Allocated blocks in the order of their links. O(blocks). */
  *blocks(): Generator<{ link: number; words: number; foreign: boolean }, undefined> {
    const I = this.#I;
    const { base } = this;
    const high = this.highWords;
    for (let block = FIRST; block < high; ) {
      const size = I[base + block + 1] & SIZE;
      if (size < BLOCK_MIN || block + size > high) this.#broken(block, `of ${size} words`);
      const foreign = I[base + block] === tagOf(FOREIGN, block);
      if (foreign || I[base + block] === tagOf(USED, block))
        yield { link: block + BLOCK_HEADER, words: size - BLOCK_HEADER, foreign };
      block += size;
    }
    return undefined;
  }

  /** Reserve what is in use and some more. @internal */
  reserve(): void {
    if (this.#words > 0) this.#grow(this.highWords);
  }

  /** The pages ahead: what to reserve next, or undefined while there are enough. @internal */
  wanted(): { offset: number; bytes: number; done: () => void } | undefined {
    const growth = this.#growth();
    if (this.#reserved >= this.#words || this.#reserved - this.highWords > growth / 2) return undefined;
    const words = Math.min(this.#words, this.#reserved + growth);
    return {
      offset: this.base * 4,
      bytes: words * 4,
      done: () => {
        if (words > this.#reserved) this.#reserved = words;
      },
    };
  }

  #growth(): number {
    return Math.min(GROWTH_MAX, Math.max(GROWTH_MIN, this.highWords >>> 1)) >>> 2;
  }

  #grow(high: number): void {
    const words = Math.min(this.#words, high + this.#growth());
    try {
      this.#pages.reserve(this.base * 4, words * 4);
    } catch (error) {
      // What needed the block is half done, maybe.
      this.#context.fail(error as Error);
    }
    this.#reserved = words;
  }

  /** Words that may wait on quick lists: none when little is left above `high`. */
  #quickLimit(quick: number): number {
    const I = this.#I;
    const { base } = this;
    const high = I[base + HIGH];
    return high > this.#eager ? 0 : ((high - FIRST - I[base + FREE] - quick) >>> QUICK_SHARE) + QUICK_WORDS;
  }

  /** Size of the block in use that a link leads to. */
  #sizeOf(link: number): number {
    if (!this.isBlock(link)) this.#unknown(link);
    return this.#I[this.base + link - 1] & SIZE;
  }

  /** A block of `size` words from the bins or from above `high`. */
  #fit(words: number, size: number, state: number, again = false): number {
    let block = this.#bins.find(size);
    if (block !== 0) this.#checked(block);
    if (block === 0 && this.#edge() >= size) block = this.highWords - this.#edge();
    if (block === 0) {
      const from = this.highWords - this.#edge();
      if (from + size <= this.#words) return this.#raise(from, size, state);
      // The last try: what waits on quick lists may merge into what is wanted.
      if (again) return this.#full(words);
      for (let k = 0; k < LAST_DRAINS && this.#drain(); k++);
      return this.#fit(words, size, state, true);
    }
    const I = this.#I;
    const write = this.#write;
    const at = this.base + block;
    const has = I[at + 1] & SIZE;
    const rest = has - size;
    if (rest < BLOCK_MIN) {
      this.#bins.unlink(block, has);
      write(at, tagOf(state, block));
      this.#flag(block + has, 0);
      write(this.base + FREE, I[this.base + FREE] - has);
      return block;
    }
    this.#bins.resize(block, has, rest);
    const taken = block + rest;
    write(at + rest, tagOf(state, taken));
    write(at + rest + 1, size | (rest === BLOCK_MIN ? FLAGS : BEFORE_FREE));
    this.#flag(taken + size, 0);
    write(this.base + FREE, I[this.base + FREE] - size);
    return taken;
  }

  /** Words of the free block below `high`. */
  #edge(): number {
    const I = this.#I;
    const { base } = this;
    const edge = I[base + EDGE];
    return edge === 0 ? 0 : (edge & BEFORE_TINY) !== 0 ? BLOCK_MIN : I[base + this.highWords - 1];
  }

  /** A block that ends at a higher `high`, and begins with the free one below it. */
  #raise(from: number, size: number, state: number): number {
    const I = this.#I;
    const write = this.#write;
    const { base } = this;
    const high = this.highWords;
    if (from + size > this.#reserved) this.#grow(from + size);
    if (from !== high) {
      this.#checked(from);
      this.#bins.unlink(from, high - from);
      write(base + FREE, I[base + FREE] - (high - from));
      write(base + EDGE, 0);
    }
    write(base + HIGH, from + size);
    write(base + from, tagOf(state, from));
    write(base + from + 1, size);
    return from;
  }

  /** Grow a block to `need` words without moving it. */
  #extend(block: number, size: number, need: number): boolean {
    const I = this.#I;
    const write = this.#write;
    const { base } = this;
    const high = this.highWords;
    const after = block + size;
    const flags = I[base + block + 1] & FLAGS;
    const has = after < high && I[base + after] === tagOf(LOOSE, after) ? I[base + after + 1] & SIZE : 0;
    if (size + has < need) {
      if (after + has !== high || block + need > this.#words) return false;
      if (block + need > this.#reserved) this.#grow(block + need);
      if (has > 0) {
        this.#bins.unlink(after, has);
        write(base + FREE, I[base + FREE] - has);
        write(base + EDGE, 0);
      }
      write(base + HIGH, block + need);
      write(base + block + 1, need | flags);
      return true;
    }
    this.#bins.unlink(after, has);
    const rest = size + has - need;
    if (rest < BLOCK_MIN) {
      write(base + FREE, I[base + FREE] - has);
      write(base + block + 1, (size + has) | flags);
      this.#flag(after + has, 0);
      return true;
    }
    write(base + FREE, I[base + FREE] - (has - rest));
    write(base + block + 1, need | flags);
    const loose = block + need;
    write(base + loose, tagOf(LOOSE, loose));
    this.#bins.link(loose, rest);
    write(base + loose + 1, rest);
    this.#flag(loose + rest, rest === BLOCK_MIN ? FLAGS : BEFORE_FREE);
    return true;
  }

  /** Give back the end of a block. */
  #cut(block: number, size: number, need: number): void {
    const write = this.#write;
    const at = this.base + block;
    write(at + 1, need | (this.#I[at + 1] & FLAGS));
    write(at + need, tagOf(LOOSE, block + need));
    write(at + need + 1, size - need);
    this.#release(block + need, size - need);
  }

  /** Merge a block with its free neighbours, into a bin. Its tag is LOOSE already. */
  #release(block: number, size: number): void {
    const I = this.#I;
    const write = this.#write;
    const { base } = this;
    const flags = I[base + block + 1] & FLAGS;
    let end = block + size;
    if (end < I[base + HIGH] && I[base + end] === tagOf(LOOSE, end)) {
      const after = I[base + end + 1] & SIZE;
      this.#bins.unlink(end, after);
      end += after;
    }
    if (flags === 0) {
      write(base + block + 1, end - block);
      this.#bins.link(block, end - block);
    } else {
      const before = (flags & BEFORE_TINY) !== 0 ? BLOCK_MIN : I[base + block - 1];
      this.#bins.resize(this.#checked(block - before), before, end - block + before);
      block -= before;
    }
    this.#flag(end, end - block === BLOCK_MIN ? FLAGS : BEFORE_FREE);
    write(base + FREE, I[base + FREE] + size);
  }

  /** What a block, or `high`, knows about the block before it. */
  #flag(block: number, flags: number): void {
    const I = this.#I;
    const at = block >= I[this.base + HIGH] ? this.base + EDGE : this.base + block + 1;
    if ((I[at] & FLAGS) !== flags) this.#write(at, (I[at] & SIZE) | flags);
  }

  /** One block from the quick lists into the bins. @returns false when there is none */
  #drain(): boolean {
    const I = this.#I;
    const write = this.#write;
    const { base } = this;
    const map = I[base + QUICK_MAP];
    if (map === 0) return false;
    const units = 32 - Math.clz32(map);
    const list = base + QUICK_LISTS + units;
    const block = I[list];
    if (I[base + block] !== tagOf(WAITING, block)) this.#broken(block, 'on a quick list');
    const next = I[base + block + 2];
    write(list, next);
    if (next === 0) write(base + QUICK_MAP, map & ~(1 << (units - 1)));
    write(base + QUICK, I[base + QUICK] - units * 2);
    write(base + block, tagOf(LOOSE, block));
    this.#release(block, units * 2);
    return true;
  }

  #checked(block: number): number {
    if (this.#I[this.base + block] !== tagOf(LOOSE, block)) this.#broken(block, 'in a bin');
    return block;
  }

  #full(words: number): never {
    return this.#context.fail(heapFull(words, this.#words, this.usedWords, this.freeWords));
  }

  #unknown(link: number): never {
    const block = link - BLOCK_HEADER;
    const tag = block >= FIRST && link < this.highWords ? this.#I[this.base + block] : undefined;
    if (tag === tagOf(LOOSE, block) || tag === tagOf(WAITING, block)) return doubleFree(link);
    return noBlock(link, this.highWords);
  }

  #broken(block: number, where: string): never {
    return overwritten(block + BLOCK_HEADER, where);
  }
}
