/** Walk a heap's words, and audit who owns its blocks: each block that is not foreign is to be reached exactly once. */
import type { Violation } from './errors.ts';
import { checkForeign, type ForeignUse } from './foreign.ts';
import { BINS, BLOCK_MIN, binOf, LEVELS, LINES, SIZE } from './heap-bins.ts';
import {
  BEFORE_FREE,
  BLOCK_HEADER,
  EDGE,
  FIRST,
  FLAGS,
  FOREIGN,
  FREE,
  HIGH,
  LOOSE,
  QUICK,
  QUICK_LISTS,
  QUICK_MAP,
  QUICK_UNITS,
  RESERVED,
  tagOf,
  USED,
  WAITING,
} from './heap.ts';
import type { Arrays } from './memory.ts';

/** Where a heap is; 0 words = there is none. */
export interface HeapPlace {
  readonly word: number;
  readonly words: number;
}

/** States of a block in the audit. */
const NONE = 0;
const THERE = 1;
const REACHED = 2;
const OF_FOREIGN = 3;

/** What a walk over all owners of blocks fills, and `leaks` reads at its end. */
export class HeapAudit {
  /** Word of link 0. */
  readonly base: number;
  /** Do violations say where they are? A walk that only tells whether there are any makes no names: it takes a quarter of
   * the time, and of the memory. */
  readonly named: boolean;
  /** By link / 2. */
  readonly #blocks: Uint8Array;
  #lost = 0;
  readonly #foreign = new Set<number>();
  /** Link -> where it was reached, when there are names. */
  readonly #reached = new Map<number, string>();
  readonly #out: Violation[];
  readonly #mem: Arrays;
  readonly #place: HeapPlace | undefined;

  /** Walks the heap's own words first. O(blocks). */
  constructor(mem: Arrays, place: HeapPlace | undefined, out: Violation[], named = true) {
    this.base = place?.word ?? 0;
    this.named = named;
    this.#out = out;
    this.#mem = mem;
    this.#place = place;
    const words = place === undefined ? 0 : Math.min(place.words, mem.u32[place.word + HIGH] || FIRST);
    const blocks = new Uint8Array((words >>> 1) + 1);
    this.#blocks = blocks;
    if (place === undefined || place.words === 0) return;
    checkHeap(mem, place, out, (link, _, foreign) => {
      blocks[link >>> 1] = foreign ? OF_FOREIGN : THERE;
      if (foreign) this.#foreign.add(link);
      else this.#lost++;
    });
  }

  /** Note that `where` owns the block at `link`, of at least `words` words.
   * @returns false when it must not be read: no block, too small, or another's */
  reach(link: number, words: number, where: string): boolean {
    const state = (link & 1) === 0 ? this.#blocks[link >>> 1] : NONE;
    if (state === THERE && words <= this.#wordsOf(link)) {
      this.#blocks[link >>> 1] = REACHED;
      this.#lost--;
      if (this.named) this.#reached.set(link, where);
      return true;
    }
    return this.#unfit(state ?? NONE, link, words, where);
  }

  #wordsOf(link: number): number {
    return (this.#mem.i32[this.base + link - 1] & SIZE) - BLOCK_HEADER;
  }

  #unfit(state: number, link: number, words: number, where: string): false {
    const bad = (what: string): false => {
      this.#out.push({ where, what });
      return false;
    };
    if (state === NONE) return bad(`link ${link} leads to no block`);
    if (state === REACHED || this.#reached.has(link))
      return bad(`link ${link} is owned by ${this.#reached.get(link) ?? 'others'} too`);
    this.#reached.set(link, where);
    if (state === OF_FOREIGN) return bad(`link ${link} leads to a block of foreign code`);
    this.#blocks[link >>> 1] = REACHED;
    this.#lost--;
    return bad(`the block at link ${link} has ${this.#wordsOf(link)} words, ${words} are wanted`);
  }

  /** Blocks that nobody reached: those of foreign code have an owner of theirs.
   * @returns what foreign code has */
  leaks(): ForeignUse[] {
    if (this.#place === undefined || this.#place.words === 0) return [];
    const uses = checkForeign(this.#mem, this.#place, this.#foreign, this.#out);
    if (this.#lost === 0) return uses;
    const some: string[] = [];
    const blocks = this.#blocks;
    for (let k = blocks.indexOf(THERE); k >= 0 && some.length < 8; k = blocks.indexOf(THERE, k + 1))
      some.push(`${k * 2} (${this.#wordsOf(k * 2)} words)`);
    const lost = this.#lost;
    this.#out.push({
      where: 'heap',
      what: `${lost} block${lost === 1 ? '' : 's'} leaked: link ${some.join(', ')}${lost > 8 ? ' …' : ''}`,
    });
    return uses;
  }
}

/** @param each called for each block in use */
export function checkHeap(
  mem: Arrays,
  { word: base, words }: HeapPlace,
  out: Violation[],
  each: (link: number, words: number, foreign: boolean) => void,
): void {
  const I = mem.i32;
  const bad = (what: string) => void out.push({ where: 'heap', what });
  for (let k = RESERVED; k < LINES; k++) if (I[base + k] !== 0) bad(`reserved word ${k} is ${I[base + k]}`);
  const high = mem.u32[base + HIGH] || FIRST;
  if (high < FIRST || high > words || (high & 1) !== 0) return bad(`high is ${high}, the region has ${words} words`);

  /** Block -> its size. */
  const free = new Map<number, number>();
  const quick = new Map<number, number>();
  let before = 0;
  for (let block = FIRST; block < high; ) {
    const size = I[base + block + 1] & SIZE;
    const flags = I[base + block + 1] & FLAGS;
    if (size < BLOCK_MIN || (size & 1) !== 0 || block + size > high) return bad(`block ${block} has ${size} words`);
    if (flags !== flagsAfter(before))
      bad(`block ${block} has flags ${flags >>> 0}, before it are ${before} free words`);
    const tag = I[base + block];
    if (tag === tagOf(LOOSE, block)) {
      if (before !== 0) bad(`block ${block} and the one before it are both free`);
      if (size > BLOCK_MIN && I[base + block + size - 1] !== size)
        bad(`free block ${block} of ${size} words ends with ${I[base + block + size - 1]}`);
      free.set(block, size);
      before = size;
    } else {
      before = 0;
      if (tag === tagOf(WAITING, block)) quick.set(block, size);
      else if (tag === tagOf(USED, block) || tag === tagOf(FOREIGN, block))
        each(block + BLOCK_HEADER, size - BLOCK_HEADER, tag === tagOf(FOREIGN, block));
      else return bad(`block ${block} has the tag ${(tag >>> 0).toString(16)}`);
    }
    block += size;
  }
  if (I[base + EDGE] !== flagsAfter(before))
    bad(`edge is ${I[base + EDGE] >>> 0}, before high are ${before} free words`);

  const sum = (sizes: Map<number, number>) => [...sizes.values()].reduce((all, size) => all + size, 0);
  if (sum(free) !== I[base + FREE]) bad(`${sum(free)} words are free, the count says ${I[base + FREE]}`);
  if (sum(quick) !== I[base + QUICK]) bad(`${sum(quick)} words are quick, the count says ${I[base + QUICK]}`);

  for (let line = 0; line < 27; line++) {
    for (let k = 0; k < 32; k++) {
      const bin = line * 32 + k;
      let previous = 0;
      for (let block = I[base + BINS + bin]; block !== 0; block = I[base + block + 2]) {
        const size = free.get(block);
        if (size === undefined) return bad(`bin ${bin} leads to block ${block}, which is not free or in a bin already`);
        free.delete(block);
        if (binOf(size) !== bin) bad(`block ${block} of ${size} words is in bin ${bin}`);
        if (I[base + block + 3] !== previous)
          bad(`block ${block} has ${I[base + block + 3]} before it, not ${previous}`);
        previous = block;
      }
      const bit = (I[base + LINES + line] >>> k) & 1;
      if (bit !== (I[base + BINS + bin] === 0 ? 0 : 1)) bad(`bit ${k} of line ${line} is ${bit}`);
    }
    const bit = (I[base + LEVELS] >>> line) & 1;
    if (bit !== (I[base + LINES + line] === 0 ? 0 : 1)) bad(`bit ${line} of the levels is ${bit}`);
  }
  if (free.size > 0) bad(`${free.size} free blocks are in no bin: ${[...free.keys()].slice(0, 8).join(', ')}`);

  for (let units = 0; units <= QUICK_UNITS; units++) {
    const first = I[base + QUICK_LISTS + units];
    for (let block = first; block !== 0; block = I[base + block + 2]) {
      if (quick.get(block) !== units * 2)
        return bad(`quick list ${units} leads to block ${block}, which is none of it`);
      quick.delete(block);
    }
    const bit = units === 0 ? 0 : (I[base + QUICK_MAP] >>> (units - 1)) & 1;
    if (bit !== (first === 0 ? 0 : 1)) bad(`bit ${units - 1} of the quick map is ${bit}`);
  }
  if (quick.size > 0) bad(`${quick.size} quick blocks are on no list: ${[...quick.keys()].slice(0, 8).join(', ')}`);
}

function flagsAfter(freeWords: number): number {
  return freeWords === 0 ? 0 : freeWords === BLOCK_MIN ? FLAGS : BEFORE_FREE;
}
