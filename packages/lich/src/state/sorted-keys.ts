// HOT: measured by benchmarks/containers
/** Keys of sorted maps: how they lie in a node, and in which order they are.
 *
 *   kind                    words in a node                        order
 *   u8 u16 u32 oneOf        1, the value or the name's index       by value; names as they were declared
 *   i8 i16 i32              1, with its sign                       by value
 *   int                     2, f64                                 by value
 *   u64 i64                 2                                      by value
 *   text(n)                 as in a record                         by UTF-16 units, as `<` of JavaScript
 *   text()                  2: link and length, units in the heap  the same
 *   ref                     2                                      by slot, then generation; none first
 *
 * Keys of one node lie one after the other. */
import type { AnyKind, RecordRef, RefShape } from '@lich/schema';
import type { Arrays } from './memory.ts';

/** What a key is compared as: numbers, names as their index, bigints, refs as slot << 32 | generation, texts. */
export type Probe = number | bigint | string;

/** Compares and stores keys of one kind. `word` is that of a key in a node. */
export interface KeyOrder {
  /** Words from one key to the next. */
  readonly words: number;
  /** A key as it is compared; undefined for what cannot be compared with keys of this kind (NaN, another type). */
  probe(key: unknown): Probe | undefined;
  /** Of `count` ascending keys from `word` on: how many are below the probe. */
  lower(word: number, count: number, probe: Probe): number;
  /** How many are not above it. */
  upper(word: number, count: number, probe: Probe): number;
  equals(word: number, probe: Probe): boolean;
  /** Not logged: the caller has kept the words. @param link of the block that `fill` wrote */
  store(word: number, probe: Probe, link: number): void;
  /** The probe of a stored key. */
  stored(word: number): Probe;
  /** The key as users see it; a ref whose record is gone reads undefined. */
  read(word: number): unknown;
}

/** What keys that are refs need of their store. */
export interface KeyRefs {
  /** @throws StateError `STATE_FREED`, `STATE_FOREIGN` */
  words(kind: RefShape, key: unknown): RecordRef | undefined;
  resolve(pool: string, slot: number, generation: number): unknown;
}

/** @param heapWord word of link 0, for text()
 * @param refs left out where keys are only compared and checked */
export function keyOrder(mem: Arrays, kind: AnyKind, heapWord: number, refs?: KeyRefs): KeyOrder {
  switch (kind.tag) {
    case 'u8':
    case 'u16':
    case 'u32':
      return new WordOrder(mem.u32, mem.i32);
    case 'i8':
    case 'i16':
    case 'i32':
      return new WordOrder(mem.i32, mem.i32);
    case 'oneOf':
      return new NameOrder(mem.u32, mem.i32, kind.names);
    case 'int':
      return new IntOrder(mem.f64);
    case 'u64':
      return new BigOrder(mem.u64);
    case 'i64':
      return new BigOrder(mem.i64);
    case 'ref':
      return new RefOrder(mem.u32, kind, refs);
    case 'text':
      return kind.length === 0
        ? new LongTextOrder(mem.u16, mem.u32, heapWord)
        : new TextOrder(mem.u16, kind.bytes / 4, kind.length);
    default:
      throw new TypeError(`keys of kind ${kind.tag} have no order`);
  }
}

function isNumber(key: unknown): key is number {
  return typeof key === 'number' && key === key;
}

class WordOrder implements KeyOrder {
  readonly words = 1;
  readonly #a: Int32Array | Uint32Array;
  readonly #i32: Int32Array;

  constructor(array: Int32Array | Uint32Array, i32: Int32Array) {
    this.#a = array;
    this.#i32 = i32;
  }

  probe(key: unknown): Probe | undefined {
    return isNumber(key) ? key : undefined;
  }

  lower(word: number, count: number, wanted: Probe): number {
    const probe = wanted as number;
    const a = this.#a;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[word + mid] < probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  upper(word: number, count: number, wanted: Probe): number {
    const probe = wanted as number;
    const a = this.#a;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[word + mid] <= probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  equals(word: number, probe: Probe): boolean {
    return this.#a[word] === probe;
  }

  store(word: number, probe: Probe): void {
    this.#i32[word] = probe as number;
  }

  stored(word: number): Probe {
    return this.#a[word];
  }

  read(word: number): unknown {
    return this.#a[word];
  }
}

class NameOrder extends WordOrder {
  readonly #names: readonly string[];
  readonly #index: ReadonlyMap<unknown, number>;

  constructor(u32: Uint32Array, i32: Int32Array, names: readonly string[]) {
    super(u32, i32);
    this.#names = names;
    this.#index = new Map(names.map((name, k) => [name, k]));
  }

  override probe(key: unknown): Probe | undefined {
    return this.#index.get(key);
  }

  override read(word: number): unknown {
    return this.#names[this.stored(word) as number];
  }
}

class IntOrder implements KeyOrder {
  readonly words = 2;
  readonly #f64: Float64Array;

  constructor(f64: Float64Array) {
    this.#f64 = f64;
  }

  probe(key: unknown): Probe | undefined {
    // Whole numbers have one zero.
    return isNumber(key) ? key + 0 : undefined;
  }

  lower(word: number, count: number, wanted: Probe): number {
    const probe = wanted as number;
    const a = this.#f64;
    const from = word >> 1;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[from + mid] < probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  upper(word: number, count: number, wanted: Probe): number {
    const probe = wanted as number;
    const a = this.#f64;
    const from = word >> 1;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[from + mid] <= probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  equals(word: number, probe: Probe): boolean {
    return this.#f64[word >> 1] === probe;
  }

  store(word: number, probe: Probe): void {
    this.#f64[word >> 1] = probe as number;
  }

  stored(word: number): Probe {
    return this.#f64[word >> 1];
  }

  read(word: number): unknown {
    return this.#f64[word >> 1];
  }
}

class BigOrder implements KeyOrder {
  readonly words = 2;
  readonly #a: BigUint64Array | BigInt64Array;

  constructor(array: BigUint64Array | BigInt64Array) {
    this.#a = array;
  }

  probe(key: unknown): Probe | undefined {
    return typeof key === 'bigint' ? key : undefined;
  }

  lower(word: number, count: number, wanted: Probe): number {
    const probe = wanted as bigint;
    const a = this.#a;
    const from = word >> 1;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[from + mid] < probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  upper(word: number, count: number, wanted: Probe): number {
    const probe = wanted as bigint;
    const a = this.#a;
    const from = word >> 1;
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (a[from + mid] <= probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  equals(word: number, probe: Probe): boolean {
    return this.#a[word >> 1] === probe;
  }

  store(word: number, probe: Probe): void {
    this.#a[word >> 1] = probe as bigint;
  }

  stored(word: number): Probe {
    return this.#a[word >> 1];
  }

  read(word: number): unknown {
    return this.#a[word >> 1];
  }
}

class RefOrder implements KeyOrder {
  readonly words = 2;
  readonly #u32: Uint32Array;
  readonly #kind: RefShape;
  readonly #refs: KeyRefs | undefined;

  constructor(u32: Uint32Array, kind: RefShape, refs: KeyRefs | undefined) {
    this.#u32 = u32;
    this.#kind = kind;
    this.#refs = refs;
  }

  probe(key: unknown): Probe | undefined {
    if (key !== undefined && (typeof key !== 'object' || key === null)) return undefined;
    const ref = this.#refs === undefined ? (key as RecordRef | undefined) : this.#refs.words(this.#kind, key);
    return ref === undefined ? 0n : (BigInt(ref.slot) << 32n) | BigInt(ref.generation);
  }

  lower(word: number, count: number, probe: Probe): number {
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.stored(word + mid * 2) < probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  upper(word: number, count: number, probe: Probe): number {
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.stored(word + mid * 2) <= probe) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  equals(word: number, probe: Probe): boolean {
    return this.stored(word) === probe;
  }

  store(word: number, probe: Probe): void {
    this.#u32[word] = Number((probe as bigint) >> 32n);
    this.#u32[word + 1] = Number((probe as bigint) & 0xffff_ffffn);
  }

  stored(word: number): Probe {
    return (BigInt(this.#u32[word]) << 32n) | BigInt(this.#u32[word + 1]);
  }

  read(word: number): unknown {
    const generation = this.#u32[word + 1];
    return generation === 0 ? undefined : this.#refs?.resolve(this.#kind.pool, this.#u32[word], generation);
  }
}

/** Stored units against a text: negative, 0 or positive. */
function compareUnits(u16: Uint16Array, at: number, length: number, text: string): number {
  const most = length < text.length ? length : text.length;
  for (let k = 0; k < most; k++) {
    const difference = u16[at + k] - text.charCodeAt(k);
    if (difference !== 0) return difference;
  }
  return length - text.length;
}

function unitsAsText(u16: Uint16Array, at: number, length: number): string {
  let text = '';
  for (let k = 0; k < length; k += 1024)
    text += String.fromCharCode.apply(null, u16.subarray(at + k, at + Math.min(length, k + 1024)) as never);
  return text;
}

/** Bisects by `compare`. */
abstract class Bisecting implements KeyOrder {
  readonly words: number;

  constructor(words: number) {
    this.words = words;
  }

  protected abstract compare(word: number, probe: string): number;
  abstract store(word: number, probe: Probe, link: number): void;
  abstract stored(word: number): Probe;

  probe(key: unknown): Probe | undefined {
    return typeof key === 'string' ? key : undefined;
  }

  lower(word: number, count: number, probe: Probe): number {
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.compare(word + mid * this.words, probe as string) < 0) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  upper(word: number, count: number, probe: Probe): number {
    let lo = 0;
    let hi = count;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if (this.compare(word + mid * this.words, probe as string) <= 0) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  equals(word: number, probe: Probe): boolean {
    return this.compare(word, probe as string) === 0;
  }

  read(word: number): unknown {
    return this.stored(word);
  }
}

class TextOrder extends Bisecting {
  readonly #u16: Uint16Array;
  readonly #most: number;

  constructor(u16: Uint16Array, words: number, most: number) {
    super(words);
    this.#u16 = u16;
    this.#most = most;
  }

  protected compare(word: number, probe: string): number {
    return compareUnits(this.#u16, word * 2 + 1, this.#u16[word * 2], probe);
  }

  store(word: number, probe: Probe): void {
    const text = probe as string;
    const u16 = this.#u16;
    u16[word * 2] = text.length;
    for (let k = 0; k < text.length; k++) u16[word * 2 + 1 + k] = text.charCodeAt(k);
  }

  stored(word: number): Probe {
    return unitsAsText(this.#u16, word * 2 + 1, Math.min(this.#u16[word * 2], this.#most));
  }
}

class LongTextOrder extends Bisecting {
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #heapWord: number;

  constructor(u16: Uint16Array, u32: Uint32Array, heapWord: number) {
    super(2);
    this.#u16 = u16;
    this.#u32 = u32;
    this.#heapWord = heapWord;
  }

  protected compare(word: number, probe: string): number {
    return compareUnits(this.#u16, (this.#heapWord + this.#u32[word]) * 2, this.#u32[word + 1], probe);
  }

  store(word: number, probe: Probe, link: number): void {
    this.#u32[word] = link;
    this.#u32[word + 1] = (probe as string).length;
  }

  stored(word: number): Probe {
    const at = (this.#heapWord + this.#u32[word]) * 2;
    return unitsAsText(this.#u16, at, Math.min(this.#u32[word + 1], this.#u16.length - at));
  }
}
