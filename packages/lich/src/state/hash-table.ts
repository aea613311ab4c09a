// HOT: measured by benchmarks/containers
/** Hash table of maps and sets: a slot chain (slot-chain.ts), whose slots are entries, and buckets. All of it is under the
 * undo log.
 *
 *   control    WORD  FIELD      MEANING
 *                 0  count      entries
 *                 1  free       first entry that was given back + 1, linked by chain; 0 = none
 *                 2  first      oldest entry + 1, 0 = empty
 *                 3  last       newest entry + 1, 0 = empty
 *                 4  high       entries at and above were never used since the record was made: their bytes mean nothing
 *                 5  buckets    in the heap: how many there are; else zero
 *     (n)         6  buckets    first entry of the chain + 1, 0 = none
 *     (n)         …  entries                                                                       offsets from mapLayout()
 *     in the heap, after the stamp of the head block:
 *                 6  directory  links of the chunks; bucket b is front word b of its chunk
 *
 *   entry          [chain + 1][prev + 1][next + 1][generation, odd = in use][key][value]
 *
 * With a capacity there are a power of two of buckets, >= capacity. In the heap there are as many as there were entries at
 * most: *linear hashing* (Litwin 1980). The insert that makes one entry more than there are buckets adds one, and gives
 * it its share of one other chain: with N buckets, of which 2^L <= N < 2^(L+1),
 *
 *     bucket of h = h mod 2^(L+1), or where there is no such bucket yet, h mod 2^L
 *
 *     N = 6      0 1 2 3 4 5          bucket 6 takes from 2 what has bit 2 set:
 *     N = 7      0 1 2 3 4 5 6        each insert moves about one entry to another chain, at any size
 *
 * Invariants: those of the slot chain; each entry is in the chain of its hash; no two keys are equal. */
import type { AnyKind } from '@lich/schema';
import { type Cell, cellOf } from './cell.ts';
import { CHAIN_FIRST, type ChainShape, TABLE } from './chain-shape.ts';
import type { Chunks } from './chunks.ts';
import { freed } from './door.ts';
import { endlessChain, HOPS_MASK, lookUpOf } from './hash-code.ts';
import { hashInt, type KeyForm, keyForm, mix } from './hash-keys.ts';
import type { StoreContext } from './memory.ts';
import type { Release } from './release.ts';
import { SlotChain } from './slot-chain.ts';

const { count: COUNT, high: HIGH, buckets: BUCKETS, rest: REST, chain: CHAIN } = TABLE;

/** Keys that are hashed without a call through their form. */
const WORD = 0;
const INT = 1;
const LONG_TEXT = 2;
const OTHER = 3;

function modeOf(kind: AnyKind): number {
  switch (kind.tag) {
    case 'u32':
    case 'i32':
      return WORD;
    case 'int':
      return INT;
    case 'text':
      return kind.length === 0 ? LONG_TEXT : OTHER;
    default:
      return OTHER;
  }
}

/** The bucket of a hash among `count`, a table in the heap. */
export function bucketOf(hash: number, count: number): number {
  const mask = count === 1 ? 0 : 0xffff_ffff >>> Math.clz32(count - 1);
  const bucket = hash & mask;
  return bucket < count ? bucket : bucket & (mask >>> 1);
}

/** Calls for all maps or sets of a kind; which one is meant is said by each, with the word of its control part. */
export class HashTable {
  readonly chain: SlotChain;
  readonly keyCell: Cell;
  /** The slot that `find` or `insert` came to last. */
  slot = -1;
  readonly #U: Uint32Array;
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #write: (word: number, value: number) => void;
  readonly #chunks: Chunks | undefined;
  readonly #grows: boolean;
  readonly #entries: number;
  readonly #stride: number;
  readonly #mode: number;
  readonly #form: KeyForm;
  /** Buckets - 1 with a capacity. */
  readonly #mask: number;
  /** Bytes, and words, from an entry to its key. */
  readonly #keyBytes: number;
  readonly #key: number;
  readonly #heapWord: number;
  /** Of what keys own in the heap. */
  readonly releaseKey: Release | undefined;

  constructor(
    context: StoreContext,
    shape: ChainShape,
    key: AnyKind,
    keyOffset: number,
    bucketCount: number,
    releaseKey: Release | undefined,
    value: AnyKind | undefined,
    valueOffset: number,
  ) {
    this.chain = new SlotChain(context, shape);
    this.keyCell = cellOf(key, context)!;
    this.#U = context.mem.u32;
    this.#I = context.mem.i32;
    this.#F = context.mem.f64;
    this.#write = context.log.write;
    this.#chunks = this.chain.chunks;
    this.#grows = shape.capacity === 0;
    this.#entries = shape.slots;
    this.#stride = shape.stride;
    this.#mode = modeOf(key);
    this.#heapWord = context.heap.base;
    this.#form = keyForm(context.mem, key, keyOffset, context, this.#heapWord);
    this.#mask = bucketCount - 1;
    this.#keyBytes = keyOffset;
    this.#key = keyOffset >>> 2;
    this.releaseKey = releaseKey;
    const code = lookUpOf({
      context,
      key,
      keyWords: this.#key,
      value,
      valueOffset,
      entries: shape.slots,
      stride: shape.stride,
      grows: this.#grows,
      bucketCount,
      out: this,
    });
    this.find = code?.find ?? ((home, wanted) => this.#find(home, wanted));
    this.get = code?.get;
  }

  /** Look a key up. @param home 0 = freed
   * @returns word of the entry, 0 = it is not there; `slot` says which slot it is
   * @throws StateError `STATE_FREED` */
  readonly find: (home: number, key: unknown) => number;
  /** The value of a key, for values that are numbers. */
  readonly get: ((home: number, key: unknown) => unknown) | undefined;

  /** `find` for all keys: hash-code.ts has it for the usual ones. */
  #find(home: number, key: unknown): number {
    const control = this.chain.control(home || freed());
    const I = this.#I;
    if (control === 0 || I[control + COUNT] === 0) return 0;
    const form = this.#form;
    const probe = form.probe(key);
    if (probe === undefined) return 0;
    let link = I[this.#bucket(control, form.hash(probe))];
    for (let hops = 1; link !== 0; hops++) {
      const entry = this.#entry(control, link - 1);
      if (form.equals(entry, probe)) {
        this.slot = link - 1;
        return entry;
      }
      link = I[entry];
      if ((hops & HOPS_MASK) === 0) this.#mustEnd(control, hops);
    }
    return 0;
  }

  /** A chain is not longer than there are entries: one that is leads in a circle. */
  #mustEnd(control: number, hops: number): void {
    if (!(hops <= this.#I[control + COUNT])) endlessChain();
  }

  /** Add a key that was checked, that is not there, and for which there is room.
   * @returns word of the entry; `slot` says which slot it is
   * @throws StateError `STATE_HEAP_FULL` */
  insert(control: number, key: unknown): number {
    const U = this.#U;
    const write = this.#write;
    const index = this.chain.take(control, 0);
    const entry = this.#entry(control, index);
    if (this.#mode === LONG_TEXT) {
      // Whatever was there is no text to give back.
      write(entry + this.#key, 0);
      write(entry + this.#key + 1, 0);
    }
    this.keyCell.write(this.keyCell.unit(entry, this.#keyBytes), key);
    if (this.#grows && U[control + COUNT] > U[control + BUCKETS]) this.#split(control);
    const bucket = this.#bucket(control, this.#hashOf(entry));
    write(entry, U[bucket]);
    write(bucket, index + 1);
    this.slot = index;
    return entry;
  }

  /** Take an entry out. @returns the slot before it in the order + 1, 0 = it was the first */
  remove(control: number, entry: number, index: number): number {
    const U = this.#U;
    let at = this.#bucket(control, this.#hashOf(entry));
    for (let hops = 1; U[at] !== index + 1; hops++) {
      at = this.#entry(control, U[at] - 1) + CHAIN;
      if ((hops & HOPS_MASK) === 0) this.#mustEnd(control, hops);
    }
    this.#write(at, U[entry]);
    this.releaseKey?.(entry + this.#key);
    const before = this.chain.give(control, index);
    if (this.#grows && U[control + COUNT] === 0 && U[control + HIGH] > CHAIN_FIRST) this.#drop(control, CHAIN_FIRST);
    return before;
  }

  /** Take all entries out. What keys and values own was given back. */
  clear(control: number): void {
    if (this.#grows) return this.#drop(control, 0);
    const U = this.#U;
    const from = control + REST;
    for (let at = from; at <= from + this.#mask; at++) if (U[at] !== 0) this.#write(at, 0);
    this.chain.drop(control);
  }

  #drop(control: number, slots: number): void {
    if (this.#U[control + BUCKETS] !== 0) this.#write(control + BUCKETS, 0);
    this.chain.drop(control, slots);
  }

  /** Words from an entry to its key; for keys that are not narrower. */
  get keyWords(): number {
    return this.#key;
  }

  entry(control: number, index: number): number {
    return this.#entry(control, index);
  }

  keyOf(entry: number): unknown {
    return this.keyCell.read(this.keyCell.unit(entry, this.#keyBytes));
  }

  // What chunks.ts does, for chunks of which the first has four slots. All words are below 2^30: sums stay 32-bit numbers (`| 0`), links are read as such.

  #entry(control: number, index: number): number {
    if (!this.#grows) return (control + this.#entries + Math.imul(index, this.#stride)) | 0;
    const at = (index + CHAIN_FIRST) | 0;
    const k = 29 - Math.clz32(at);
    const size = CHAIN_FIRST << k;
    return (this.#heapWord + this.#I[(control + REST + k) | 0] + size + Math.imul(at - size, this.#stride)) | 0;
  }

  #bucket(control: number, hash: number): number {
    if (!this.#grows) return (control + REST + (hash & this.#mask)) | 0;
    const I = this.#I;
    const count = I[(control + BUCKETS) | 0];
    // As bucketOf.
    const mask = count === 1 ? 0 : -1 >>> Math.clz32(count - 1);
    const bucket = hash & mask;
    const at = ((bucket < count ? bucket : bucket & (mask >>> 1)) + CHAIN_FIRST) | 0;
    const k = 29 - Math.clz32(at);
    return (this.#heapWord + I[(control + REST + k) | 0] + at - (CHAIN_FIRST << k)) | 0;
  }

  #hashOf(entry: number): number {
    switch (this.#mode) {
      case WORD:
        return mix(this.#U[entry + 4]);
      case INT:
        return hashInt(this.#F[(entry + 4) >>> 1]);
      default:
        return this.#form.storedHash(entry);
    }
  }

  /** One bucket more: it takes its share of the chain that had it. The new entry is in no chain yet. */
  #split(control: number): void {
    const U = this.#U;
    const write = this.#write;
    const count = U[control + BUCKETS];
    const dir = control + REST;
    const chunks = this.#chunks!;
    write(control + BUCKETS, count + 1);
    // Where the end of either chain is.
    let fresh = chunks.front(dir, count);
    if (count === 0) return write(fresh, 0);
    let stays = chunks.front(dir, count & ~(0x8000_0000 >>> Math.clz32(count)));
    let link = U[stays];
    for (let hops = 1; link !== 0; hops++) {
      if ((hops & HOPS_MASK) === 0) this.#mustEnd(control, hops);
      const entry = this.#entry(control, link - 1);
      const next = U[entry];
      if (bucketOf(this.#hashOf(entry), count + 1) === count) {
        write(fresh, link);
        fresh = entry;
      } else {
        if (U[stays] !== link) write(stays, link);
        stays = entry;
      }
      link = next;
    }
    if (U[stays] !== 0) write(stays, 0);
    write(fresh, 0);
  }
}
