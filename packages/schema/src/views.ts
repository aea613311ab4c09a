/** The faces of what the state holds. Views of records, lists and maps read and write the segment itself; a view has one
 * identity while its record lives and throws `STATE_FREED` after. */
import type { Init, Plain } from './types.ts';
import type { Ref } from './ref-value.ts';
import type { VariantRecord, Variants } from './variants.ts';

/** A fixed number of elements. Numbers and texts are read and written by `get` and `set`; elements that are structs are
 * views that can be written through. */
export interface FixedArray<T, I = Init<T>, P = Plain<T>> extends Iterable<T> {
  readonly length: number;
  /** @throws StateError `STATE_INDEX` when index is not 0..length-1 */
  get(index: number): T;
  /** As `get`, but undefined outside; a negative index counts from the end. */
  at(index: number): T | undefined;
  set(index: number, value: I): void;
  fill(value: I): void;
  /** Overwrite all: what `values` does not reach becomes zero. */
  assign(values: Iterable<I>): void;
  indexOf(value: T): number;
  includes(value: T): boolean;
  forEach(fn: (value: T, index: number) => void): void;
  toArray(): P[];
}

/** An array that grows, of a kind declared by `array(E)`. As an Array, but that elements are read and written by `get` and
 * `set`; elements that are structs are given as plain objects and returned as views. */
export interface GrowingArray<T, I = Init<T>, P = Plain<T>> extends Iterable<T> {
  readonly length: number;
  /** O(1). @throws StateError `STATE_INDEX` when index is not 0..length-1 */
  get(index: number): T;
  /** As `get`, but undefined outside; a negative index counts from the end. */
  at(index: number): T | undefined;
  /** Overwrite an element. @throws StateError `STATE_INDEX` when index is not 0..length-1 */
  set(index: number, value: I): void;
  /** Add at the end. @returns the element as stored @throws StateError `STATE_HEAP_FULL` */
  push(value: I): T;
  /** Take the last element away; a struct comes as a plain copy, its view is freed. */
  pop(): P | undefined;
  /** Add before the element at `index`, 0..length. O(length - index). @returns the element as stored
   * @throws StateError `STATE_INDEX`, `STATE_HEAP_FULL` */
  insert(index: number, value: I): T;
  /** As Array.splice: take `count` elements away (all from `start` on when left out) and put others in their place.
   * O(length - start). @returns the removed ones, structs as plain copies; their views are freed */
  splice(start: number, count?: number, ...values: I[]): P[];
  /** In place and stable. Without `compare` numbers and bigints by size, texts as `<` compares them. */
  sort(compare?: (a: T, b: T) => number): this;
  reverse(): this;
  indexOf(value: T, from?: number): number;
  includes(value: T): boolean;
  find(fn: (value: T, index: number) => unknown): T | undefined;
  findIndex(fn: (value: T, index: number) => unknown): number;
  some(fn: (value: T, index: number) => unknown): boolean;
  every(fn: (value: T, index: number) => unknown): boolean;
  /** @returns a plain JavaScript array, as `filter` */
  map<R>(fn: (value: T, index: number) => R): R[];
  filter(fn: (value: T, index: number) => unknown): T[];
  reduce<R>(fn: (sum: R, value: T, index: number) => R, start: R): R;
  forEach(fn: (value: T, index: number) => void): void;
  /** Take all elements away and give their memory back. */
  clear(): void;
  /** Replace all. */
  assign(values: Iterable<I>): void;
  toArray(): P[];
}

/** A place in a list that stays with its element, plain data that can be kept: it leads to nothing once the element is
 * removed. */
export interface Cursor {
  readonly slot: number;
  readonly generation: number;
}

/** A linked list. Elements that are structs are given as plain objects and returned as views. */
export interface List<T, I = Init<T>, P = Plain<T>> extends Iterable<T> {
  readonly length: number;
  /** Infinity when it grows. */
  readonly capacity: number;
  /** Add at the end. @returns the element as stored @throws StateError `STATE_LIST_FULL`, `STATE_HEAP_FULL` */
  push(value: I): T;
  /** Add at the start. @returns the element as stored @throws StateError `STATE_LIST_FULL`, `STATE_HEAP_FULL` */
  unshift(value: I): T;
  /** Take the last element away; a struct comes as a plain copy, its view is freed. */
  pop(): P | undefined;
  /** Take the first element away; a struct comes as a plain copy, its view is freed. */
  shift(): P | undefined;
  readonly first: T | undefined;
  readonly last: T | undefined;
  /** The element at a place counted from the start, from the end when negative. O(distance). */
  at(index: number): T | undefined;
  /** Remove the first element that is `item`, or for which it answers true. @returns whether there was one. */
  remove(item: T | ((value: T) => boolean)): boolean;
  /** The cursor of the first element that is `item`, or of the element at an index counted as `at` counts it.
   * O(distance). For elements that are numbers it is always the index. */
  cursor(item: T | number): Cursor | undefined;
  /** From the first to the last. */
  cursors(): IterableIterator<Cursor>;
  /** The element at a cursor, undefined once it was removed. O(1), as all that takes a cursor. */
  get(cursor: Cursor): T | undefined;
  /** The cursor after this one; undefined at the end, and once the element was removed. */
  next(cursor: Cursor): Cursor | undefined;
  prev(cursor: Cursor): Cursor | undefined;
  /** @returns the element as stored, or undefined when the cursor leads to nothing; nothing is added then
   * @throws StateError `STATE_LIST_FULL`, `STATE_HEAP_FULL` */
  insertBefore(cursor: Cursor, value: I): T | undefined;
  insertAfter(cursor: Cursor, value: I): T | undefined;
  /** @returns the removed element, a struct as a plain copy, or undefined when the cursor leads to nothing */
  removeAt(cursor: Cursor): P | undefined;
  clear(): void;
  forEach(fn: (value: T, index: number) => void): void;
  toArray(): P[];
}

/** A hash map; iterates in the order of insertion. As a Map: entries added while it iterates are visited, deleted ones are
 * not. Values that are structs are given as plain objects and returned as views. */
export interface HashMap<K, V, KI = K, VI = Init<V>> extends Iterable<[K, V]> {
  readonly size: number;
  /** Infinity when it grows. */
  readonly capacity: number;
  /** O(1), as `has`, `set` and `delete`. */
  get(key: KI): V | undefined;
  has(key: KI): boolean;
  /** Store under a key; an existing value is overwritten in place and keeps its place in the order.
   * @returns the value as stored @throws StateError `STATE_MAP_FULL`, `STATE_HEAP_FULL` */
  set(key: KI, value: VI): V;
  /** @returns whether there was one. A struct's view is freed. */
  delete(key: KI): boolean;
  clear(): void;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  entries(): IterableIterator<[K, V]>;
  forEach(fn: (value: V, key: K) => void): void;
}

/** A hash set; iterates in the order of insertion. As a Set: keys added while it iterates are visited, deleted ones are
 * not. */
export interface HashSet<T, I = T, P = Plain<T>> extends Iterable<T> {
  readonly size: number;
  /** Infinity when it grows. */
  readonly capacity: number;
  /** O(1), as `add` and `delete`. */
  has(key: I): boolean;
  /** @throws StateError `STATE_SET_FULL`, `STATE_HEAP_FULL` */
  add(key: I): this;
  /** @returns whether it was there */
  delete(key: I): boolean;
  clear(): void;
  keys(): IterableIterator<T>;
  values(): IterableIterator<T>;
  entries(): IterableIterator<[T, T]>;
  forEach(fn: (value: T, key: T) => void): void;
  toArray(): P[];
}

/** Which keys `range` visits. */
export interface SortedRange<K> {
  /** The least key, itself included. Default: from the first. */
  readonly from?: K;
  /** The key to stop before. Default: to the last. */
  readonly to?: K;
  /** From the greatest to the least. Default false. */
  readonly reverse?: boolean;
}

/** A map in the order of its keys. Values that are structs are given as plain objects and returned as views. Iteration goes
 * on from the key where it is: entries added behind it are not visited, those before it are, deleted ones are not. */
export interface SortedMap<K, V, KI = K, VI = Init<V>> extends Iterable<[K, V]> {
  readonly size: number;
  /** O(log n), as `has`, `set`, `delete`, `floor`, `ceil`, `rank` and `at`. */
  get(key: KI): V | undefined;
  has(key: KI): boolean;
  /** @returns the value as stored @throws StateError `STATE_HEAP_FULL` */
  set(key: KI, value: VI): V;
  /** @returns whether there was one. A struct's view is freed. */
  delete(key: KI): boolean;
  clear(): void;
  readonly first: [K, V] | undefined;
  readonly last: [K, V] | undefined;
  /** The entry with the greatest key that is not above this one. */
  floor(key: KI): [K, V] | undefined;
  /** The entry with the least key that is not below this one. */
  ceil(key: KI): [K, V] | undefined;
  /** How many keys are below this one, which need not be there. */
  rank(key: KI): number;
  /** The entry with so many keys below it; counted from the end when negative. */
  at(rank: number): [K, V] | undefined;
  range(range?: SortedRange<KI>): IterableIterator<[K, V]>;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  entries(): IterableIterator<[K, V]>;
  forEach(fn: (value: V, key: K) => void): void;
}

/** First in, first out. Elements that are structs are given as plain objects and returned as views. */
export interface Queue<T, I = Init<T>, P = Plain<T>> extends Iterable<T> {
  readonly length: number;
  /** Infinity when it grows. */
  readonly capacity: number;
  /** Add at the end. @returns the element as stored @throws StateError `STATE_QUEUE_FULL`, `STATE_HEAP_FULL` */
  push(value: I): T;
  /** Take the first element away; a struct comes as a plain copy, its view is freed. */
  shift(): P | undefined;
  readonly first: T | undefined;
  readonly last: T | undefined;
  /** The element at a place counted from the first, from the last when negative. O(1) with a capacity, else a step for
   * each block before it. */
  at(index: number): T | undefined;
  clear(): void;
  forEach(fn: (value: T, index: number) => void): void;
  toArray(): P[];
}

/** Bits by number; iterates the numbers of those that are set, ascending. A growing one has all bits from `length` on
 * cleared. */
export interface Bits extends Iterable<number> {
  /** As declared; when it grows, one more than the highest bit that was ever set since it was cleared. */
  readonly length: number;
  /** How many are set. */
  readonly count: number;
  /** false outside. */
  get(bit: number): boolean;
  /** @throws StateError `STATE_INDEX` when bit is no whole number of 0..length-1 (growing: 0..2^30-1), `STATE_HEAP_FULL` */
  set(bit: number, on?: boolean): void;
  /** @returns what it is now @throws StateError `STATE_INDEX`, `STATE_HEAP_FULL` */
  flip(bit: number): boolean;
  /** The first bit from this one on that is set, or -1. */
  next(from?: number): number;
  /** The first bit from this one on that is clear, or -1; a growing one always has one. */
  nextClear(from?: number): number;
  /** Set the bits from..to-1, or clear them. Default: all up to `length`. */
  fill(on?: boolean, from?: number, to?: number): void;
  clear(): void;
  /** Set these bits and no others. */
  assign(bits: Iterable<number>): void;
  forEach(fn: (bit: number) => void): void;
  toArray(): number[];
}

/** A state machine of a record, in one of its states. `T` says what each state may switch to, `E` which events there are,
 * `N` in which state it is as far as the compiler knows: after `is('idle')` and in the result of `to('chase')` only the
 * switches of that state compile. In a text and in JSON it is the name of its state. */
export interface Machine<T, E extends string = never, N extends keyof T = keyof T> {
  /** The name of the state. */
  readonly state: N;
  /** Service time in ms at which it entered the state. */
  readonly since: number;
  /** Is it in one of these states? */
  is<M extends keyof T>(...states: M[]): this is Machine<T, E, M>;
  /** May it switch to this state from where it is? */
  can(target: keyof T): boolean;
  /** Switch: the exit action of the state that is left, the new state, its timeout and its entry action, all in this
   * transaction. To the state that it is in only where that is declared: it is left and entered then.
   * @throws StateError `STATE_SWITCH` for a switch that is not declared; nothing was done then */
  to<M extends T[N] & keyof T>(target: M): Machine<T, E, M>;
  /** Switch to where this event leads from here. @returns false, and nothing was done, when it leads nowhere from here */
  send(event: E): boolean;
  toString(): string;
  toJSON(): N;
}

/** All records of one class. Iterates in slot order; a record created during the walk may or may not be visited, one
 * destroyed during it is not visited after. */
export interface Pool<T> extends Iterable<T> {
  readonly name: string;
  readonly size: number;
  /** Most records at a time; of a pool that grows 2^30. */
  /** Most records; Infinity for a pool that grows. */
  readonly capacity: number;
  /** Make a record; what `init` leaves out has its initial or zero value. `init` is checked as a whole before a byte is
   * written. @throws StateError `STATE_POOL_FULL`, `STATE_HEAP_FULL`; SchemaError `SCHEMA_RANGE`; ShmError `SHM_NO_MEMORY` */
  create(init?: Init<T>): T;
  /** Its refs read undefined from now on, its view throws. @returns false when it was gone already.
   * @throws StateError `STATE_FOREIGN` for a record of another pool */
  destroy(record: T | Ref): boolean;
  /** The live record in a slot. O(1). */
  get(slot: number): T | undefined;
  /** The record that a ref leads to, or undefined when that one is gone. */
  resolve(slot: number, generation: number): T | undefined;
  /** @throws StateError `STATE_FREED`, `STATE_FOREIGN` */
  refOf(record: T): Ref;
  /** Is it live, and of this pool? */
  has(record: T | Ref): boolean;
  /** Faster than iteration. */
  forEach(fn: (record: T, slot: number) => void): void;
  /** Visit each live record once every `everyMs` of service time, an even part of them each time: called in each tick.
   * Where a round stands is part of the state: after a kill it goes on there. A record that lives through a round is
   * visited in it exactly once; one that is created meanwhile in this round or the next. Ticks that were lost to an outage
   * are not made up for: the round takes longer by them.
   * @param name tells spreads of one pool and one period apart; 8 spreads a pool
   * @throws StateError `STATE_SPREAD` when it is called twice in one tick */
  spread(everyMs: number, fn: (record: T, slot: number) => void, name?: string): void;
}

/** All records of a family, several classes in one pool. Iterates in slot order, as `Pool`. */
export interface FamilyPool<M extends Variants>
  extends Omit<Pool<VariantRecord<M>>, 'create'>,
    Iterable<VariantRecord<M>> {
  /** Make a record of the class with this name; what `init` leaves out has its initial or zero value. `init` is checked as
   * a whole before a byte is written. @throws StateError `STATE_POOL_FULL`, `STATE_HEAP_FULL`; SchemaError `SCHEMA_RANGE`;
   * ShmError `SHM_NO_MEMORY`; TypeError for a name that is none of the family */
  create<N extends keyof M & string>(variant: N, init?: Init<InstanceType<M[N]>>): VariantRecord<M, N>;
}
