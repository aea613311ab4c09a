// HOT: measured by benchmarks/state
/** Pool: fixed-size slots with generations. All of it is under the undo log; nothing is rebuilt at resume. Where its parts
 * are, in the pool's region or in chunks of the heap, is in pool-places.ts.
 *
 *   slot      WORD   FIELD      MEANING
 *                0   fence      FENCE ^ slot number, from first use on
 *                1   generation odd = live; counts up at create and destroy
 *                2   stamp      lo, hi: when it changed last, destruction included
 *                4   payload    the record; one word at least
 *                …   fence      the same as word 0
 *
 * Invariants: bit set = generation odd; live = bits set; live + free slots = high; block stamp >= stamps of its slots;
 * a chunk is there exactly when `high` is beyond its first slot.
 *
 *   create    take a slot (free, else high) · fences · generation odd · bit · live · stamp · payload = initial image
 *   destroy   generation even · bit · live · stamp · link onto the free list
 *
 * Slots of a region are zero before first use. What the heap hands out is not: a slot there, and the bits and the stamp of
 * its block of 64, are zeroed when they are first used.
 *
 * Hidden fields named `$_…` (32 bits each) belong to the slot: they are zero at first use, and neither create nor destroy
 * changes them.
 *
 * A ref is slot and generation: it reads undefined once the record is gone, and never leads to the next one. */
import { type PoolLayout, type Ref, RECORD_REF, type RecordRef, type StructLayout } from '@lich/schema';
import type { Pool as PoolFace } from '@lich/schema';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP, type ViewClass } from './accessors.ts';
import { OWNER } from './ref-words.ts';
import { StateError } from './errors.ts';
import type { StoreContext } from './memory.ts';
import { partsSince, type StampedPart, stampedParts } from './parts.ts';
import { FREE, HIGH, LIVE, type PoolPlaces, PoolSlots, poolPlaces, SPREADS } from './pool-places.ts';
import { type Pages, PoolRoom } from './pool-room.ts';
import { type RecordClass, RecordClasses } from './record-classes.ts';
import type { PoolResume, ResumePool } from './resume.ts';
import { SlotViews } from './slot-views.ts';
import { siteOfSpread, Spreads } from './spread.ts';
import { OPEN } from './undo-log.ts';
import { type PoolVisits, SITE_WALK } from './visits.ts';

export { BITMAP, HIGH, poolPlaces } from './pool-places.ts';
export type { PoolPlaces } from './pool-places.ts';
export type { Pages } from './pool-room.ts';
export type { RecordClass } from './record-classes.ts';

export interface PoolParts {
  readonly context: StoreContext;
  /** One, or those of a family in the order of the layout's `variants`. */
  readonly classes: readonly RecordClass[];
  readonly mark: (base: number) => void;
  readonly pool: PoolLayout;
  /** Word of the region. */
  readonly word: number;
  readonly pages: Pages;
  readonly visits: PoolVisits;
}

/** Most views that are made ahead at a time: a millisecond or two. */
const SPARES_MAX = 1024;

/** All records of one class, in the owner's process. `Pool` of @lich/schema is what handlers see of it. */
export class Pool<T extends object = any> implements PoolFace<T>, ResumePool {
  readonly name: string;
  /** Infinity for a pool that grows. */
  readonly capacity: number;
  /** Layout of a record, hidden fields included. */
  readonly layout: StructLayout;
  /** @internal */
  readonly visits: PoolVisits;
  readonly #context: StoreContext;
  readonly #classes: RecordClasses;
  /** Of the first class: what is the same for all. */
  readonly #view: ViewClass;
  readonly #mark: (base: number) => void;
  readonly #I: Int32Array;
  readonly #U: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #word: number;
  readonly #places: PoolPlaces;
  readonly #at: PoolSlots;
  readonly #spreads: Spreads;
  readonly #room: PoolRoom;
  /** Word offsets in the payload that a slot keeps over its records: hidden fields of 4 bytes named `$_…`. */
  readonly #kept: readonly number[];
  readonly #views = new SlotViews<T>();
  /** Never of another kind of elements for the engine, also while it is empty: code that knows it stays good. */
  readonly #spares: T[] = emptyOfObjects<T>();
  /** onResume of this life, until all of them have run. */
  #resume: PoolResume | undefined;
  /** Views of records that still wait for their onResume, where somebody looked at them outside a transaction. */
  readonly #parked = new Map<number, T>();
  /** Called for the view of each record that is destroyed. */
  readonly #afterDestroy: ((view: T) => void)[] = [];
  readonly #parts = new Map<StructLayout, StampedPart[]>();
  readonly #generations = (slot: number): number => this.generationOf(slot);
  /** Views made since `prepareAgain`. */
  #made = 0;

  /** @internal */
  constructor(parts: PoolParts) {
    const { pool, context } = parts;
    this.name = pool.name;
    this.capacity = pool.capacity === 0 ? Number.POSITIVE_INFINITY : pool.capacity;
    this.layout = pool.layout;
    this.visits = parts.visits;
    this.#context = context;
    this.#classes = new RecordClasses(pool, parts.classes, context);
    this.#view = parts.classes[0]!.view;
    this.#mark = parts.mark;
    this.#I = context.mem.i32;
    this.#U = context.mem.u32;
    this.#write = context.log.write;
    this.#word = parts.word;
    this.#places = poolPlaces(pool.layout, pool.capacity);
    this.#at = new PoolSlots(context.mem.u32, this.#places, parts.word, context.heap.base);
    const place = { context, name: pool.name, word: parts.word, slots: this.#at };
    this.#spreads = new Spreads(place);
    this.#room = new PoolRoom({ ...place, pages: parts.pages });
    this.#kept = pool.layout.fields
      .filter(field => field.hidden && field.name.startsWith('$_'))
      .map(field => field.offset / 4);
    const refOf = (view: object): RecordRef | undefined => this.#refOf(view);
    for (const each of parts.classes) {
      const target = each.view.prototype as object;
      Object.defineProperty(target, RECORD_REF, {
        get(this: object) {
          return refOf(this);
        },
        configurable: true,
      });
      Object.defineProperty(target, OWNER, { value: context, configurable: true });
    }
  }

  get size(): number {
    return this.#U[this.#word + LIVE];
  }

  /** Slots ever used: records have slots below. */
  get high(): number {
    return this.#U[this.#word + HIGH];
  }

  /** Make a record; of a family, one of the class with that name: `create('Wolf', { … })`. O(size of its inline containers'
   * tables).
   * @param init checked as a whole before a byte is written
   * @throws StateError `STATE_POOL_FULL`, `STATE_HEAP_FULL`; SchemaError `SCHEMA_RANGE` */
  create(init?: object): T;
  create(variant: string, init?: object): T;
  create(first?: object | string, second?: object): T {
    const { one } = this.#classes;
    return one === undefined
      ? this.#create(this.#classes.named(first), second)
      : this.#create(one, first as object | undefined);
  }

  #create(kind: RecordClass, init: object | undefined): T {
    const U = this.#U;
    const word = this.#word;
    const { view: cls, image } = kind;
    if (init !== undefined) cls.check(init);
    const free = U[word + FREE];
    const write = this.#write;
    let slot: number;
    let base: number;
    if (free !== 0) {
      slot = free - 1;
      base = this.#at.base(slot);
      write(word + FREE, U[base + SLOT_HEADER]);
    } else {
      slot = U[word + HIGH];
      base = this.#room.first(slot);
      write(word + HIGH, slot + 1);
      write(base, FENCE ^ slot);
      write(base + SLOT_HEADER + this.#places.payloadWords, FENCE ^ slot);
    }
    write(base + SLOT_GENERATION, (U[base + SLOT_GENERATION] + 1) | 0);
    const bits = this.#at.bits(slot);
    write(bits, U[bits] | (1 << (slot & 31)));
    write(word + LIVE, U[word + LIVE] + 1);
    if (U[word + SPREADS] !== 0) this.#spreads.count(slot, 1);
    this.#mark(base);
    const kept = this.#kept;
    const payload = base + SLOT_HEADER;
    const { mem, log } = this.#context;
    const values = kept.length === 0 || free === 0 ? undefined : kept.map(k => U[payload + k]);
    // What another class left there is not what this one expects of a used slot.
    const isFamily = this.#classes.one === undefined;
    const clean = free !== 0 && isFamily;
    if (clean) this.#room.zero(payload, this.#places.payloadWords);
    image.apply(payload, mem, log, free === 0 || clean);
    if (isFamily) this.#classes.note(payload, kind);
    if (values !== undefined) kept.forEach((k, n) => write(payload + k, values[n]!));
    this.#resume?.created(slot);
    const view = this.#place(slot, base);
    this.#context.journal.add(this, slot, undefined, this.#context.position());
    if (init !== undefined) cls.init(view, init);
    if (kind.enter !== undefined) this.#enter(kind.enter, view);
    return view;
  }

  #enter(enter: (record: object) => void, view: T): void {
    try {
      enter(view);
    } catch (error) {
      // After STATE_LOG_FULL and the like only the rollback of all is left.
      if (this.#view.base(view) !== 0 && this.#context.canWrite()) this.destroy(view);
      throw error;
    }
  }

  /** The layout of the record in a slot: in a family that of its class. */
  layoutAt(slot: number): StructLayout {
    return this.#classes.at(this.#at.base(slot)).layout;
  }

  /** @returns false when it was gone already
   * @throws StateError `STATE_FOREIGN` for a record of another pool or store */
  destroy(record: T | Ref): boolean {
    const slot = this.#slotOf(record);
    if (slot < 0) return false;
    const U = this.#U;
    const word = this.#word;
    const write = this.#write;
    const base = this.#at.base(slot);
    this.#mark(base);
    write(base + SLOT_GENERATION, (U[base + SLOT_GENERATION] + 1) | 0);
    const bits = this.#at.bits(slot);
    write(bits, U[bits] & ~(1 << (slot & 31)));
    write(word + LIVE, U[word + LIVE] - 1);
    if (U[word + SPREADS] !== 0) this.#spreads.count(slot, -1);
    this.#classes.at(base).release?.(base + SLOT_HEADER);
    write(base + SLOT_HEADER, U[word + FREE]);
    write(word + FREE, slot + 1);
    const view = this.#views.take(slot) ?? this.#parked.get(slot);
    if (view !== undefined) {
      this.#parked.delete(slot);
      for (const fn of this.#afterDestroy) fn(view);
      this.#classes.free(view);
      this.#context.journal.add(this, slot, view, this.#context.position());
    }
    return true;
  }

  /** The live record in a slot. */
  get(slot: number): T | undefined {
    if (slot >>> 0 !== slot) return undefined;
    const view = this.#views.peek(slot);
    if (view !== undefined) return view;
    if (slot >= this.#U[this.#word + HIGH]) return undefined;
    const base = this.#at.base(slot);
    return (this.#I[base + SLOT_GENERATION] & 1) === 0 ? undefined : this.#use(slot, base);
  }

  /** The live record in a slot, for who only shows it: where its onResume is still to come, that is no first use. */
  peek(slot: number): T | undefined {
    if (slot >>> 0 !== slot) return undefined;
    const view = this.#views.peek(slot) ?? this.#parked.get(slot);
    if (view !== undefined) return view;
    if (slot >= this.#U[this.#word + HIGH]) return undefined;
    const base = this.#at.base(slot);
    if ((this.#I[base + SLOT_GENERATION] & 1) === 0) return undefined;
    return this.#resume?.isPending(slot) === true ? this.#park(slot, base) : this.#place(slot, base);
  }

  /** As forEach, by `peek`. */
  peekEach(fn: (record: T, slot: number) => void): void {
    for (let slot = 0; slot < this.#U[this.#word + HIGH]; slot++) {
      const record = this.#I[this.#at.bits(slot)] === 0 ? undefined : this.peek(slot);
      if (record !== undefined) fn(record, slot);
    }
  }

  /** The record that a ref leads to, or undefined when that one is gone. */
  resolve(slot: number, generation: number): T | undefined {
    if (slot >>> 0 !== slot || slot >= this.#U[this.#word + HIGH] || (generation & 1) === 0) return undefined;
    if (this.#U[this.#at.base(slot) + SLOT_GENERATION] !== generation) return undefined;
    return this.get(slot);
  }

  isLive(slot: number, generation: number): boolean {
    return (
      slot < this.#U[this.#word + HIGH] &&
      (generation & 1) === 1 &&
      this.#U[this.#at.base(slot) + SLOT_GENERATION] === generation
    );
  }

  /** @throws StateError `STATE_FREED`, `STATE_FOREIGN` */
  refOf(record: T): Ref {
    if (!this.#classes.is(record)) this.#foreign(record);
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
    const visits = this.visits.walks ? this.visits : undefined;
    const before = visits?.enter(SITE_WALK) ?? 0;
    try {
      this.#each(fn, visits);
    } finally {
      visits?.leave(before);
    }
  }

  #each(fn: (record: T, slot: number) => void, visits: PoolVisits | undefined): void {
    const I = this.#I;
    const at = this.#at;
    const views = this.#views;
    const generations = this.#generations;
    for (let start = 0; start < this.#U[this.#word + HIGH]; start += 32) {
      const word = at.bits(start);
      let bits = I[word];
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        if (((I[word] >>> bit) & 1) === 0) continue;
        const slot = start | bit;
        if (visits !== undefined && !visits.visit(slot, generations)) continue;
        const record = views.peek(slot) ?? this.#use(slot, at.base(slot));
        if (record !== undefined) fn(record, slot);
      }
    }
  }

  /** Visit each live record once in `everyMs` of service time, in even parts: call it in each tick. See spread.ts.
   * @throws StateError `STATE_SPREAD` */
  spread(everyMs: number, fn: (record: T, slot: number) => void, name = ''): void {
    const views = this.#views;
    const { visits } = this;
    const generations = this.#generations;
    const before = visits.enter(siteOfSpread(everyMs, name));
    try {
      this.#spreads.run(everyMs, name, slot => {
        if (!visits.visit(slot, generations)) return;
        const record = views.peek(slot) ?? this.#use(slot, this.#at.base(slot));
        if (record !== undefined) fn(record, slot);
      });
    } finally {
      visits.leave(before);
    }
  }

  /** In slot order, as forEach. */
  [Symbol.iterator](): Generator<T, undefined> {
    return this.#records(this.visits.walks ? this.visits : undefined);
  }

  *#records(visits: PoolVisits | undefined): Generator<T, undefined> {
    const before = visits?.enter(SITE_WALK) ?? 0;
    try {
      for (let slot = 0; slot < this.#U[this.#word + HIGH]; slot++) {
        const bits = this.#I[this.#at.bits(slot)];
        if (bits === 0) {
          slot |= 31;
          continue;
        }
        if (((bits >>> (slot & 31)) & 1) === 0 || visits?.visit(slot, this.#generations) === false) continue;
        const record = this.get(slot);
        if (record !== undefined) yield record;
      }
    } finally {
      visits?.leave(before);
    }
    return undefined;
  }

  /** Visit the slots that changed at or after a stamp (see `UndoLog.nextStamp`), in slot order; records that were destroyed
   * since come as undefined. Skips 64 slots at a time. To look at a record here is no use of it, as in `peek`.
   * @param stamp 0 = all slots that were ever used */
  changedSince(stamp: number, visit: (slot: number, record: T | undefined) => void): void {
    const U = this.#U;
    const high = U[this.#word + HIGH];
    for (let start = 0; start < high; start += 64) {
      const block = this.#at.block(start);
      if (U[block + 1] * 0x1_0000_0000 + U[block] < stamp) continue;
      const end = Math.min(start + 64, high);
      for (let slot = start; slot < end; slot++) {
        const base = this.#at.base(slot);
        if (U[base + SLOT_STAMP + 1] * 0x1_0000_0000 + U[base + SLOT_STAMP] >= stamp) visit(slot, this.peek(slot));
      }
    }
  }

  /** Which growing containers of the live record in a slot changed at or after a stamp: their names, `home.bag` for those in
   * nested structs. They have stamps of their own; all else of a record has the record's. One that is empty and has no
   * memory of the heap counts as changed. */
  partsSince(slot: number, stamp: number): string[] {
    const base = this.#at.base(slot);
    const { layout } = this.#classes.at(base);
    let parts = this.#parts.get(layout);
    if (parts === undefined) this.#parts.set(layout, (parts = stampedParts(layout)));
    return partsSince(parts, this.#context.mem, base + SLOT_HEADER, this.#context.heap.base, stamp);
  }

  /** The stamp of a slot: when it changed last. */
  stampOf(slot: number): number {
    const at = this.#at.base(slot) + SLOT_STAMP;
    return this.#U[at + 1] * 0x1_0000_0000 + this.#U[at];
  }

  /** The generation of a slot: odd = live. */
  generationOf(slot: number): number {
    return this.#U[this.#at.base(slot) + SLOT_GENERATION];
  }

  /** A life begins: records are to have their onResume. @internal */
  beginResume(resume: PoolResume | undefined): void {
    this.#resume = resume;
  }

  /** All have had theirs. @internal */
  endResume(): void {
    this.#resume = undefined;
    for (const slot of this.#parked.keys()) this.get(slot);
  }

  /** @internal */
  bitsAt(slot: number): number {
    return this.#I[this.#at.bits(slot)];
  }

  /** @internal */
  unplace(slot: number): void {
    const view = this.#views.take(slot);
    if (view !== undefined) this.#parked.set(slot, view);
  }

  /** Call `fn` with the view of each record that is destroyed from now on, before it is freed. */
  onDestroy(fn: (view: T) => void): void {
    this.#afterDestroy.push(fn);
  }

  /** Bring slots into being up to this number, none of them live nor on the free list: whoever fills a new segment sets
   * them right. In a transaction. @internal */
  makeSlots(count: number): void {
    const write = this.#write;
    for (let slot = this.high; slot < count; slot++) {
      const base = this.#room.first(slot);
      write(this.#word + HIGH, slot + 1);
      write(base, FENCE ^ slot);
      write(base + SLOT_HEADER + this.#places.payloadWords, FENCE ^ slot);
    }
  }

  /** Does a slot of this pool begin at this word? */
  owns(base: number): boolean {
    const { grows, stride } = this.#places;
    const high = this.#U[this.#word + HIGH];
    if (grows) {
      const slot = this.#at.slotAt(base);
      return slot < high && this.#at.base(slot) === base;
    }
    const from = this.#at.base(0);
    return base >= from && base < from + high * stride;
  }

  /** Word of the payload of a slot in the segment: for code that reads hidden fields in bulk. */
  payloadWord(slot: number): number {
    return this.#at.base(slot) + SLOT_HEADER;
  }

  /** Make views ahead, so that `count` are ready: outside handlers. A new view costs 0.1 µs a field, a prepared one 10 ns. */
  prepare(count: number): void {
    // A family's records are of several classes: nobody knows which.
    if (this.#classes.one === undefined) return;
    while (this.#spares.length < count) this.#spares.push(new this.#view(0, 0) as T);
  }

  /** Make as many views as were made since the last call. @internal */
  prepareAgain(): void {
    this.prepare(Math.min(this.#made, SPARES_MAX));
    this.#made = 0;
  }

  /** Reserve what is in use and some more. @internal */
  reserve(): void {
    this.#room.reserve(this.high);
  }

  /** The pages ahead: what to reserve next, or undefined while there are enough. @internal */
  wanted(): { offset: number; bytes: number; done: () => void } | undefined {
    return this.#room.wanted(this.high);
  }

  /** Forget all views: the segment was changed by another process. @internal */
  dropViews(): void {
    this.#views.each(view => this.#classes.free(view));
    this.#views.clear();
    for (const view of this.#parked.values()) this.#classes.free(view);
    this.#parked.clear();
    this.#resume = undefined;
  }

  /** The view of a live record that has none in its place; undefined when its onResume destroyed it. */
  #use(slot: number, base: number): T | undefined {
    const resume = this.#resume;
    if (resume === undefined || !resume.isPending(slot)) {
      const parked = this.#parked.size === 0 ? undefined : this.#parked.get(slot);
      if (parked === undefined) return this.#place(slot, base);
      this.#parked.delete(slot);
      return this.#views.put(slot, parked);
    }
    // Looked at outside a transaction: the first use is still to come.
    if (this.#context.log.state() !== OPEN) return this.#park(slot, base);
    const view = this.#parked.get(slot) ?? this.#make(base);
    this.#parked.delete(slot);
    this.#views.put(slot, view);
    resume.run(slot, view);
    return this.#view.base(view) === 0 ? undefined : view;
  }

  #place(slot: number, base: number): T {
    return this.#views.put(slot, this.#make(base));
  }

  #park(slot: number, base: number): T {
    let view = this.#parked.get(slot);
    if (view === undefined) this.#parked.set(slot, (view = this.#make(base)));
    return view;
  }

  #make(base: number): T {
    this.#made++;
    const spare = this.#spares.pop();
    if (spare === undefined) return new (this.#classes.at(base).view)(base, base + SLOT_STAMP) as T;
    this.#view.revive(spare, base);
    return spare;
  }

  #refOf(view: object): RecordRef | undefined {
    const base = this.#view.base(view);
    if (base === 0) return undefined;
    return { slot: this.#slotAt(base), generation: this.#U[base + SLOT_GENERATION], pool: this.name };
  }

  /** The number of the slot that begins at a word. In a pool that grows its fence says it, the directory has to agree. */
  #slotAt(base: number): number {
    const slot = this.#at.slotAt(base);
    if (!this.#places.grows) return slot;
    if (slot >= this.#U[this.#word + HIGH] || this.#at.base(slot) !== base) this.#broken(base);
    return slot;
  }

  #broken(base: number): never {
    throw new StateError(
      'STATE_CORRUPT',
      `the fences of a record of ${this.name} were overwritten (word ${base}): something wrote beyond a record; run \`lich check\``,
      { severity: 'fatal' },
    );
  }

  /** @returns the slot of a live record or of a ref that is not stale, else -1 */
  #slotOf(record: T | Ref): number {
    if (typeof record !== 'object' || record === null)
      throw new TypeError(`pool \`${this.name}\` takes a record or a { slot, generation }`);
    if (this.#classes.is(record)) {
      const base = this.#view.base(record);
      return base === 0 ? -1 : this.#slotAt(base);
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
    const view = this.#views.take(slot);
    this.#parked.delete(slot);
    if (view !== undefined) this.#classes.free(view);
  }

  /** @internal */
  undoRemove(slot: number, view: object): void {
    this.#views.put(slot, view as T);
    this.#classes.of(view).view.revive(view, this.#at.base(slot));
  }
}

function emptyOfObjects<T extends object>(): T[] {
  const array = [{} as T];
  array.pop();
  return array;
}
