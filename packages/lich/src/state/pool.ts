// HOT: measured by benchmarks/state
/** Pool: fixed-size slots with generations. All of it is under the undo log; nothing is rebuilt at resume.
 *
 *   region    WORD   FIELD      MEANING
 *                0   high       slots at and above were never used: zero bytes
 *                1   live       live records
 *                2   free       first slot that was given back + 1, linked by the first payload word; 0 = none
 *             3…15   reserved   zero
 *               16   bitmap     one bit a slot, set = live; 32 a word
 *                …   blocks     one stamp (lo, hi) for 64 slots: the newest of theirs; 8-byte aligned
 *                …   slots      64-byte aligned
 *
 *   slot      WORD   FIELD      MEANING
 *                0   fence      FENCE ^ slot number, from first use on
 *                1   generation odd = live; counts up at create and destroy
 *                2   stamp      lo, hi: when it changed last, destruction included
 *                4   payload    the record; one word at least
 *                …   fence      the same as word 0
 *
 * Invariants: bit set = generation odd; live = bits set; live + free slots = high; block stamp >= stamps of its slots.
 *
 *   create    take a slot (free, else high) · fences · generation odd · bit · live · stamp · payload = initial image
 *   destroy   generation even · bit · live · stamp · link onto the free list
 *
 * A ref is slot and generation: it reads undefined once the record is gone, and never leads to the next one. */
import { type PoolLayout, type Ref, RECORD_REF, type RecordRef, type StructLayout } from '@lich/schema';
import type { Pool as PoolFace } from '@lich/schema';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP, type ViewClass } from './accessors.ts';
import { OWNER } from './cell.ts';
import type { Violation } from './errors.ts';
import { StateError } from './errors.ts';
import type { Image } from './image.ts';
import type { ViewOwner } from './journal.ts';
import type { Arrays, StoreContext } from './memory.ts';

export const HIGH = 0;
export const LIVE = 1;
export const FREE = 2;
const RESERVED = 3;
export const BITMAP = 16;

/** Word offsets inside a pool's region, and its size. */
export interface PoolPlaces {
  readonly blocks: number;
  readonly slots: number;
  /** Words from one slot to the next. */
  readonly stride: number;
  readonly payloadWords: number;
  readonly bytes: number;
}

export function poolPlaces(layout: StructLayout, capacity: number): PoolPlaces {
  const payloadWords = Math.max(layout.bytes / 4, 1);
  const stride = Math.ceil((SLOT_HEADER + payloadWords + 1) / 2) * 2;
  const bitmapWords = Math.ceil(capacity / 32);
  const blocks = BITMAP + Math.ceil(bitmapWords / 2) * 2;
  const slots = Math.ceil((blocks + Math.ceil(capacity / 64) * 2) / 16) * 16;
  return { blocks, slots, stride, payloadWords, bytes: (slots + stride * capacity) * 4 };
}

/** Pages of a segment, reserved before they are touched. */
export interface Pages {
  /** @throws ShmError `SHM_NO_MEMORY` */
  reserve(offset: number, bytes: number): void;
}

export interface PoolParts {
  readonly context: StoreContext;
  readonly view: ViewClass;
  readonly mark: (base: number) => void;
  readonly pool: PoolLayout;
  readonly image: Image;
  /** Word of the region. */
  readonly word: number;
  readonly pages: Pages;
}

/** Bytes of slots whose pages are reserved at a time. */
const GROWTH_BYTES = 256 * 1024;
/** Most views that are made ahead at a time: a millisecond or two. */
const SPARES_MAX = 1024;

/** All records of one class, in the owner's process. `Pool` of @lich/schema is what handlers see of it. */
export class Pool<T extends object = any> implements PoolFace<T>, ViewOwner {
  readonly name: string;
  readonly capacity: number;
  /** Layout of a record, hidden fields included. */
  readonly layout: StructLayout;
  readonly #context: StoreContext;
  readonly #view: ViewClass;
  readonly #mark: (base: number) => void;
  readonly #image: Image;
  readonly #I: Int32Array;
  readonly #U: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #word: number;
  readonly #places: PoolPlaces;
  readonly #slots: number;
  readonly #stride: number;
  readonly #pages: Pages;
  readonly #views: (T | undefined)[] = [];
  readonly #spares: T[] = [];
  #reservedSlots = 0;
  /** Views made since `prepareAgain`. */
  #made = 0;

  /** @internal */
  constructor(parts: PoolParts) {
    const { pool, context } = parts;
    this.name = pool.name;
    this.capacity = pool.capacity;
    this.layout = pool.layout;
    this.#context = context;
    this.#view = parts.view;
    this.#mark = parts.mark;
    this.#image = parts.image;
    this.#I = context.mem.i32;
    this.#U = context.mem.u32;
    this.#write = context.log.write;
    this.#word = parts.word;
    this.#places = poolPlaces(pool.layout, pool.capacity);
    this.#slots = parts.word + this.#places.slots;
    this.#stride = this.#places.stride;
    this.#pages = parts.pages;
    const refOf = (view: object): RecordRef | undefined => this.#refOf(view);
    Object.defineProperty(parts.view.prototype, RECORD_REF, {
      get(this: object) {
        return refOf(this);
      },
      configurable: true,
    });
    Object.defineProperty(parts.view.prototype, OWNER, { value: context, configurable: true });
  }

  get size(): number {
    return this.#U[this.#word + LIVE];
  }

  /** Slots ever used: records have slots below. */
  get high(): number {
    return this.#U[this.#word + HIGH];
  }

  /** Make a record. O(size of its inline containers' tables).
   * @param init checked as a whole before a byte is written
   * @throws StateError `STATE_POOL_FULL`; SchemaError `SCHEMA_RANGE` */
  create(init?: object): T {
    const U = this.#U;
    const word = this.#word;
    if (init !== undefined) this.#view.check(init);
    const free = U[word + FREE];
    const write = this.#write;
    let slot: number;
    let base: number;
    if (free !== 0) {
      slot = free - 1;
      base = this.#slots + slot * this.#stride;
      write(word + FREE, U[base + SLOT_HEADER]);
    } else {
      slot = U[word + HIGH];
      if (slot >= this.#reservedSlots) this.#grow(slot);
      base = this.#slots + slot * this.#stride;
      write(word + HIGH, slot + 1);
      write(base, FENCE ^ slot);
      write(base + SLOT_HEADER + this.#places.payloadWords, FENCE ^ slot);
    }
    write(base + SLOT_GENERATION, (U[base + SLOT_GENERATION] + 1) | 0);
    const bits = word + BITMAP + (slot >>> 5);
    write(bits, U[bits] | (1 << (slot & 31)));
    write(word + LIVE, U[word + LIVE] + 1);
    this.#mark(base);
    this.#image.apply(base + SLOT_HEADER, this.#context.mem, this.#context.log, free === 0);
    const view = this.#place(slot, base);
    this.#context.journal.add(this, slot, undefined, this.#context.position());
    if (init !== undefined) this.#view.init(view, init);
    return view;
  }

  /** @returns false when it was gone already
   * @throws StateError `STATE_FOREIGN` for a record of another pool or store */
  destroy(record: T | Ref): boolean {
    const slot = this.#slotOf(record);
    if (slot < 0) return false;
    const U = this.#U;
    const word = this.#word;
    const write = this.#write;
    const base = this.#slots + slot * this.#stride;
    this.#mark(base);
    write(base + SLOT_GENERATION, (U[base + SLOT_GENERATION] + 1) | 0);
    const bits = word + BITMAP + (slot >>> 5);
    write(bits, U[bits] & ~(1 << (slot & 31)));
    write(word + LIVE, U[word + LIVE] - 1);
    write(base + SLOT_HEADER, U[word + FREE]);
    write(word + FREE, slot + 1);
    const view = this.#views[slot];
    if (view !== undefined) {
      this.#views[slot] = undefined;
      this.#view.free(view);
      this.#context.journal.add(this, slot, view, this.#context.position());
    }
    return true;
  }

  /** The live record in a slot. */
  get(slot: number): T | undefined {
    const view = this.#views[slot];
    if (view !== undefined) return view;
    if (slot >>> 0 !== slot || slot >= this.#U[this.#word + HIGH]) return undefined;
    const base = this.#slots + slot * this.#stride;
    return (this.#I[base + SLOT_GENERATION] & 1) === 0 ? undefined : this.#place(slot, base);
  }

  /** The record that a ref leads to, or undefined when that one is gone. */
  resolve(slot: number, generation: number): T | undefined {
    if (slot >>> 0 !== slot || slot >= this.#U[this.#word + HIGH] || (generation & 1) === 0) return undefined;
    if (this.#U[this.#slots + slot * this.#stride + SLOT_GENERATION] !== generation) return undefined;
    return this.get(slot);
  }

  isLive(slot: number, generation: number): boolean {
    return (
      slot < this.#U[this.#word + HIGH] &&
      (generation & 1) === 1 &&
      this.#U[this.#slots + slot * this.#stride + SLOT_GENERATION] === generation
    );
  }

  /** @throws StateError `STATE_FREED`, `STATE_FOREIGN` */
  refOf(record: T): Ref {
    if (!this.#view.is(record)) this.#foreign(record);
    const ref = this.#refOf(record);
    if (ref === undefined) throw new StateError('STATE_FREED', `this record of \`${this.name}\` was destroyed`);
    return { slot: ref.slot, generation: ref.generation };
  }

  has(record: T | Ref): boolean {
    return this.#slotOf(record) >= 0;
  }

  /** Visit live records in slot order. One created during the walk may or may not be visited; one destroyed during it is
   * not visited after. */
  forEach(fn: (record: T, slot: number) => void): void {
    const I = this.#I;
    const bitmap = this.#word + BITMAP;
    const views = this.#views;
    for (let k = 0; k << 5 < this.#U[this.#word + HIGH]; k++) {
      let bits = I[bitmap + k];
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        if (((I[bitmap + k] >>> bit) & 1) === 0) continue;
        const slot = (k << 5) | bit;
        fn(views[slot] ?? this.#place(slot, this.#slots + slot * this.#stride), slot);
      }
    }
  }

  /** In slot order, as forEach. */
  *[Symbol.iterator](): Generator<T, undefined> {
    for (let slot = 0; slot < this.#U[this.#word + HIGH]; slot++) {
      const bits = this.#I[this.#word + BITMAP + (slot >>> 5)];
      if (bits === 0) {
        slot |= 31;
        continue;
      }
      if (((bits >>> (slot & 31)) & 1) === 1) yield this.get(slot)!;
    }
    return undefined;
  }

  /** Visit the slots that changed at or after a stamp (see `UndoLog.nextStamp`), in slot order; records that were destroyed
   * since come as undefined. Skips 64 slots at a time.
   * @param stamp 0 = all slots that were ever used */
  changedSince(stamp: number, visit: (slot: number, record: T | undefined) => void): void {
    const U = this.#U;
    const high = U[this.#word + HIGH];
    const blocks = this.#word + this.#places.blocks;
    for (let block = 0; block << 6 < high; block++) {
      if (U[blocks + block * 2 + 1] * 0x1_0000_0000 + U[blocks + block * 2] < stamp) continue;
      const end = Math.min((block + 1) << 6, high);
      for (let slot = block << 6; slot < end; slot++) {
        const base = this.#slots + slot * this.#stride;
        if (U[base + SLOT_STAMP + 1] * 0x1_0000_0000 + U[base + SLOT_STAMP] >= stamp) visit(slot, this.get(slot));
      }
    }
  }

  /** The stamp of a slot: when it changed last. */
  stampOf(slot: number): number {
    const at = this.#slots + slot * this.#stride + SLOT_STAMP;
    return this.#U[at + 1] * 0x1_0000_0000 + this.#U[at];
  }

  /** The generation of a slot: odd = live. */
  generationOf(slot: number): number {
    return this.#U[this.#slots + slot * this.#stride + SLOT_GENERATION];
  }

  /** Word of the payload of a slot in the segment: for code that reads hidden fields in bulk. */
  payloadWord(slot: number): number {
    return this.#slots + slot * this.#stride + SLOT_HEADER;
  }

  /** Make views ahead, so that `count` are ready: outside handlers. A new view costs 0.1 µs a field, a prepared one 10 ns. */
  prepare(count: number): void {
    while (this.#spares.length < count) this.#spares.push(new this.#view(0, 0) as T);
  }

  /** Make as many views as were made since the last call. @internal */
  prepareAgain(): void {
    this.prepare(Math.min(this.#made, SPARES_MAX));
    this.#made = 0;
  }

  /** Reserve what is in use and some more. @internal */
  reserve(): void {
    this.#grow(Math.min(this.high, this.capacity - 1));
  }

  #reservedBytes(slots: number): number {
    return (this.#places.slots + this.#stride * Math.min(slots, this.capacity)) * 4;
  }

  /** The page ahead: what to reserve next, or undefined while there is enough. @internal */
  wanted(): { offset: number; bytes: number; done: () => void } | undefined {
    const growth = this.#growth();
    if (this.#reservedSlots >= this.capacity || this.#reservedSlots - this.high > growth / 2) return undefined;
    const slots = Math.min(this.capacity, this.#reservedSlots + growth);
    return {
      offset: this.#word * 4,
      bytes: this.#reservedBytes(slots),
      done: () => {
        if (slots > this.#reservedSlots) this.#reservedSlots = slots;
      },
    };
  }

  /** Forget all views: the segment was changed by another process. @internal */
  dropViews(): void {
    for (const view of this.#views) if (view !== undefined) this.#view.free(view);
    this.#views.length = 0;
  }

  #growth(): number {
    return Math.max(64, Math.ceil(GROWTH_BYTES / (this.#stride * 4)));
  }

  #grow(slot: number): void {
    if (slot >= this.capacity) {
      throw new StateError(
        'STATE_POOL_FULL',
        `pool \`${this.name}\` full: ${this.capacity} slots, raise capacity in pool(…, { capacity })`,
      );
    }
    const slots = Math.min(this.capacity, slot + this.#growth());
    this.#pages.reserve(this.#word * 4, this.#reservedBytes(slots));
    this.#reservedSlots = slots;
  }

  #place(slot: number, base: number): T {
    const views = this.#views;
    // Filled without holes, so that a look-up is one load.
    while (views.length <= slot) views.push(undefined);
    this.#made++;
    const spare = this.#spares.pop();
    if (spare === undefined) return (views[slot] = new this.#view(base, base + SLOT_STAMP) as T);
    this.#view.revive(spare, base);
    return (views[slot] = spare);
  }

  #refOf(view: object): RecordRef | undefined {
    const base = this.#view.base(view);
    if (base === 0) return undefined;
    return { slot: (base - this.#slots) / this.#stride, generation: this.#U[base + SLOT_GENERATION], pool: this.name };
  }

  /** @returns the slot of a live record or of a ref that is not stale, else -1 */
  #slotOf(record: T | Ref): number {
    if (typeof record !== 'object' || record === null)
      throw new TypeError(`pool \`${this.name}\` takes a record or a { slot, generation }`);
    if (this.#view.is(record)) {
      const base = this.#view.base(record);
      return base === 0 ? -1 : (base - this.#slots) / this.#stride;
    }
    const { slot, generation } = record as Ref;
    if (RECORD_REF in record || typeof slot !== 'number' || typeof generation !== 'number') this.#foreign(record);
    return this.isLive(slot, generation) ? slot : -1;
  }

  #foreign(record: object): never {
    throw new StateError(
      'STATE_FOREIGN',
      `pool \`${this.name}\` was given ${OWNER in record ? 'a record of another pool or store' : 'something that is no record of it'}`,
    );
  }

  /** @internal */
  undoAdd(slot: number): void {
    const view = this.#views[slot];
    if (view === undefined) return;
    this.#views[slot] = undefined;
    this.#view.free(view);
  }

  /** @internal */
  undoRemove(slot: number, view: object): void {
    this.#views[slot] = view as T;
    this.#view.revive(view, this.#slots + slot * this.#stride);
  }
}

/** Walk a pool's own words.
 * @param word of the region
 * @param each called for each live record, with the word of its payload */
export function checkPool(
  mem: Arrays,
  pool: PoolLayout,
  word: number,
  out: Violation[],
  each: (word: number, where: string) => void,
): void {
  const U = mem.u32;
  const where = pool.name;
  const { blocks, slots, stride, payloadWords } = poolPlaces(pool.layout, pool.capacity);
  const bad = (what: string) => void out.push({ where, what });
  const high = U[word + HIGH];
  const live = U[word + LIVE];
  if (high > pool.capacity || live > high || U[word + FREE] > high) {
    return bad(`high ${high}, live ${live}, free ${U[word + FREE]} with ${pool.capacity} slots`);
  }
  for (let k = RESERVED; k < BITMAP; k++) if (U[word + k] !== 0) bad(`reserved word ${k} is ${U[word + k]}`);
  let bits = 0;
  for (let k = 0; k < Math.ceil(pool.capacity / 32); k++) {
    for (let b = U[word + BITMAP + k]; b !== 0; b &= b - 1) {
      bits++;
      const slot = k * 32 + 31 - Math.clz32(b & -b);
      if (slot >= high) bad(`bit ${slot} is set, high is ${high}`);
    }
  }
  if (bits !== live) bad(`${bits} bits set, live says ${live}`);
  const stampAt = (at: number) => U[at + 1] * 0x1_0000_0000 + U[at];
  for (let slot = 0; slot < high; slot++) {
    const base = word + slots + slot * stride;
    const at = `${where}[${slot}]`;
    const wrong = (what: string) => void out.push({ where: at, what });
    const fence = (FENCE ^ slot) >>> 0;
    const end = base + SLOT_HEADER + payloadWords;
    if (U[base] !== fence || U[end] !== fence)
      wrong(`fences ${U[base].toString(16)} and ${U[end].toString(16)}, both are to be ${fence.toString(16)}`);
    for (let k = end + 1; k < base + stride; k++) if (U[k] !== 0) wrong(`padding word ${k - base} is ${U[k]}`);
    const generation = U[base + SLOT_GENERATION];
    const bit = (U[word + BITMAP + (slot >>> 5)] >>> (slot & 31)) & 1;
    if ((generation & 1) !== bit) wrong(`generation ${generation}, its bit is ${bit}`);
    const stamp = stampAt(base + SLOT_STAMP);
    if (stamp > stampAt(word + blocks + (slot >>> 6) * 2)) wrong(`stamp ${stamp} is newer than its block's`);
    if ((generation & 1) === 1) each(base + SLOT_HEADER, at);
  }
  const seen = new Set<number>();
  for (let link = U[word + FREE]; link !== 0; ) {
    if (link > high || seen.has(link))
      return bad(`the free list leads to slot ${link - 1} ${seen.has(link) ? 'twice' : `beyond high ${high}`}`);
    seen.add(link);
    const base = word + slots + (link - 1) * stride;
    if ((U[base + SLOT_GENERATION] & 1) === 1) bad(`slot ${link - 1} is on the free list and live`);
    link = U[base + SLOT_HEADER];
  }
  if (seen.size + live !== high) bad(`${live} live + ${seen.size} free is not high ${high}`);
}
