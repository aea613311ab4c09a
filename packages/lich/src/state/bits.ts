// HOT: measured by benchmarks/containers
/** bits: one bit for each number. All of it is under the undo log.
 *
 * bits(n) lies in the record: bit 32w + i is bit i of word w; bits at and above n are zero.
 *
 * bits() grows, in pages of 1024 bits, of which only those exist that have a bit set:
 *
 *   head    WORD   FIELD       MEANING
 *              0   stamp       lo, hi
 *              2   length      one more than the highest bit that was set since the last clear()
 *              3   pages       entries of the directory that hold something; those beyond mean nothing
 *              4   directory   27 links: chunks of page links (u32), see chunks.ts
 *
 *   page       0   bits        32 words
 *
 * Invariants: bits at and above length are clear; each page has a bit set; pages = those that length needs, or fewer.
 * To set bit b costs O(1), and at first use of a higher page a word for each page below it: at most 4 MiB for bit 2^30. */
import type { Bits, BitsShape } from '@lich/schema';
import {
  BITS_MAX,
  DIRECTORY,
  FIRST,
  HEAD_WORDS,
  LENGTH,
  PAGE_SHIFT,
  PAGE_WORDS,
  PAGES,
  population,
  scan,
} from './bits-walk.ts';
import { chunkOfSlot, type Chunks, chunkStart } from './chunks.ts';
import { ContainerView } from './container.ts';
import type { ElementSpec } from './elements.ts';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';

abstract class BitsBase extends ContainerView implements Bits {
  protected readonly spec: ElementSpec;
  protected readonly I: Int32Array;

  constructor(spec: ElementSpec, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.spec = spec;
    this.I = spec.context.mem.i32;
  }

  abstract readonly length: number;
  abstract readonly count: number;
  abstract get(bit: number): boolean;
  abstract next(from?: number): number;
  abstract nextClear(from?: number): number;
  abstract clear(): void;
  /** Most bits. */
  protected abstract most(): number;
  /** Set the bits of `mask` in word `k`, or clear them; returns nothing. */
  protected abstract put(k: number, mask: number, on: boolean): void;

  set(bit: number, on = true): void {
    this.#mustBe(bit);
    if (typeof on !== 'boolean') throw new TypeError(`set(bit, on) of ${this.spec.what} takes true or false`);
    this.put(bit >>> 5, 1 << (bit & 31), on);
  }

  flip(bit: number): boolean {
    this.#mustBe(bit);
    const on = !this.get(bit);
    this.put(bit >>> 5, 1 << (bit & 31), on);
    return on;
  }

  fill(on = true, from = 0, to = this.length): void {
    if (from >>> 0 !== from || to >>> 0 !== to || to > this.most())
      throw new StateError('STATE_INDEX', `bits ${from}..${to} are not within 0..${this.most()} of ${this.spec.what}`);
    for (let k = from >>> 5; k << 5 < to; k++) {
      const low = Math.max(from - (k << 5), 0);
      const high = Math.min(to - (k << 5), 32);
      if (high > low) this.put(k, (-1 << low) & (-1 >>> (32 - high)), on);
    }
  }

  assign(bits: Iterable<number>): void {
    if (bits === this) return;
    const all = [...bits];
    for (const bit of all) this.#mustBe(bit);
    this.clear();
    for (const bit of all) this.put(bit >>> 5, 1 << (bit & 31), true);
  }

  forEach(fn: (bit: number) => void): void {
    for (let bit = this.next(0); bit >= 0; bit = this.$word === 0 ? -1 : this.next(bit + 1)) fn(bit);
  }

  /** Ascending; goes on from the bit where it is: bits set behind it are not visited, those set before it are. */
  *[Symbol.iterator](): Generator<number, undefined> {
    for (let bit = this.next(0); bit >= 0; bit = this.$word === 0 ? -1 : this.next(bit + 1)) yield bit;
    return undefined;
  }

  #mustBe(bit: number): void {
    if (bit >>> 0 !== bit || bit >= this.most())
      throw new StateError('STATE_INDEX', `bit ${String(bit)} is outside 0..${this.most() - 1} of ${this.spec.what}`);
  }
}

/** A bit to start from: whole, 0 at least. */
function start(from: number): number {
  return from > 0 ? Math.ceil(from) : 0;
}

/** bits(n). */
export class FixedBitsView extends BitsBase {
  readonly #length: number;

  constructor(spec: ElementSpec, kind: BitsShape, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#length = kind.length;
  }

  get length(): number {
    return this.#length;
  }

  get count(): number {
    const home = this.home();
    let sum = 0;
    for (let k = 0; k << 5 < this.#length; k++) sum += population(this.I[home + k]);
    return sum;
  }

  get(bit: number): boolean {
    const home = this.home();
    return bit >>> 0 === bit && bit < this.#length && ((this.I[home + (bit >>> 5)] >>> (bit & 31)) & 1) === 1;
  }

  next(from = 0): number {
    return scan(this.I, this.home(), start(from), this.#length, 0);
  }

  nextClear(from = 0): number {
    return scan(this.I, this.home(), start(from), this.#length, -1);
  }

  clear(): void {
    const home = this.home();
    for (let k = 0; k << 5 < this.#length; k++) if (this.I[home + k] !== 0) this.#write(home + k, 0);
  }

  protected most(): number {
    return this.#length;
  }

  protected put(k: number, mask: number, on: boolean): void {
    const at = this.home() + k;
    const was = this.I[at];
    const is = on ? was | mask : was & ~mask;
    if (is !== was) this.#write(at, is);
  }

  #write(word: number, value: number): void {
    this.$touch();
    this.spec.context.log.write(word, value);
  }
}
containerFace(FixedBitsView.prototype);

/** bits(). */
export class BitsView extends BitsBase {
  readonly #chunks: Chunks;
  readonly #base: number;

  constructor(spec: ElementSpec, chunks: Chunks, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#chunks = chunks;
    this.#base = spec.context.heap.base;
  }

  get length(): number {
    const head = this.head();
    return head === 0 ? 0 : this.I[head + LENGTH];
  }

  get count(): number {
    const head = this.head();
    let sum = 0;
    for (let p = 0; head !== 0 && p < this.I[head + PAGES]; p++) {
      const page = this.#page(head, p);
      for (let k = 0; page !== 0 && k < PAGE_WORDS; k++) sum += population(this.I[page + k]);
    }
    return sum;
  }

  get(bit: number): boolean {
    const head = this.head();
    if (head === 0 || bit >>> 0 !== bit || bit >= this.I[head + LENGTH]) return false;
    const page = this.#page(head, bit >>> PAGE_SHIFT);
    return page !== 0 && ((this.I[page + ((bit >>> 5) & (PAGE_WORDS - 1))] >>> (bit & 31)) & 1) === 1;
  }

  next(from = 0): number {
    const head = this.head();
    if (head === 0) return -1;
    const first = start(from);
    if (first >= this.I[head + LENGTH]) return -1;
    let at = first & 1023;
    for (let p = first >>> PAGE_SHIFT; p < this.I[head + PAGES]; p++, at = 0) {
      const page = this.#page(head, p);
      if (page === 0) continue;
      const found = scan(this.I, page, at, 1 << PAGE_SHIFT, 0);
      if (found >= 0) return (p << PAGE_SHIFT) + found;
    }
    return -1;
  }

  nextClear(from = 0): number {
    const head = this.head();
    const first = start(from);
    if (first >= BITS_MAX) return -1;
    if (head === 0) return first;
    let at = first & 1023;
    for (let p = first >>> PAGE_SHIFT; ; p++, at = 0) {
      const page = p < this.I[head + PAGES] ? this.#page(head, p) : 0;
      const found = page === 0 ? at : scan(this.I, page, at, 1 << PAGE_SHIFT, -1);
      if (found >= 0) return (p << PAGE_SHIFT) + found < BITS_MAX ? (p << PAGE_SHIFT) + found : -1;
    }
  }

  clear(): void {
    const head = this.head();
    if (head === 0 || this.I[head + LENGTH] === 0) return;
    const { heap, log } = this.spec.context;
    this.$touch();
    for (let p = 0; p < this.I[head + PAGES]; p++) {
      const page = this.#page(head, p);
      if (page !== 0) heap.free(page - this.#base);
    }
    this.#chunks.release(head + DIRECTORY);
    log.write(head + LENGTH, 0);
    log.write(head + PAGES, 0);
  }

  protected most(): number {
    return BITS_MAX;
  }

  protected put(k: number, mask: number, on: boolean): void {
    const I = this.I;
    const p = k >>> 5;
    const { heap, log } = this.spec.context;
    let head = this.head();
    if (!on) {
      this.$touch();
      const page = head === 0 || p >= I[head + PAGES] ? 0 : this.#page(head, p);
      if (page === 0) return;
      const at = page + (k & (PAGE_WORDS - 1));
      const is = I[at] & ~mask;
      if (is === I[at]) return;
      if (is === 0) {
        let others = 0;
        for (let n = 0; n < PAGE_WORDS; n++) others |= page + n === at ? 0 : I[page + n];
        if (others === 0) {
          log.write(this.#chunks.word(head + DIRECTORY, p), 0);
          heap.free(page - this.#base);
          return;
        }
      }
      log.write(at, is);
      return;
    }
    head = this.openHead(HEAD_WORDS);
    this.$touch();
    const pages = I[head + PAGES];
    if (p >= pages) this.#reach(head, pages, p + 1);
    let page = this.#page(head, p);
    if (page === 0) {
      const link = heap.alloc(PAGE_WORDS);
      page = this.#base + link;
      log.keep(page, PAGE_WORDS);
      for (let n = 0; n < PAGE_WORDS; n++) I[page + n] = 0;
      log.write(this.#chunks.word(head + DIRECTORY, p), link);
    }
    const at = page + (k & (PAGE_WORDS - 1));
    if ((I[at] | mask) !== I[at]) log.write(at, I[at] | mask);
    const length = (k << 5) + 32 - Math.clz32(mask);
    if (length > I[head + LENGTH]) log.write(head + LENGTH, length);
  }

  /** Word of a page, 0 when it has no bit set. */
  #page(head: number, p: number): number {
    const link = this.I[this.#chunks.word(head + DIRECTORY, p)];
    return link === 0 ? 0 : this.#base + link;
  }

  /** Entries for the pages from..to-1: none. */
  #reach(head: number, from: number, to: number): void {
    const { I } = this;
    const { log } = this.spec.context;
    const dir = head + DIRECTORY;
    for (let p = from; p < to; ) {
      this.#chunks.ensure(dir, p);
      const at = this.#chunks.word(dir, p);
      const end = chunkStart(FIRST, chunkOfSlot(FIRST, p) + 1);
      const run = Math.min(end, to) - p;
      log.keep(at, run);
      for (let n = 0; n < run; n++) I[at + n] = 0;
      p += run;
    }
    log.write(head + PAGES, to);
  }
}
containerFace(BitsView.prototype);
