/** The faces of what the state holds. Views of records, lists and maps read and write the segment itself; a view has one
 * identity while its record lives and throws `STATE_FREED` after. */
import type { Init, Plain } from './types.ts';
import type { Ref } from './ref-value.ts';

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

/** A linked list with a fixed capacity. Elements that are structs are given as plain objects and returned as views. */
export interface List<T, I = Init<T>, P = Plain<T>> extends Iterable<T> {
  readonly length: number;
  readonly capacity: number;
  /** Add at the end. @returns the element as stored @throws StateError `STATE_LIST_FULL` */
  push(value: I): T;
  /** Add at the start. @returns the element as stored @throws StateError `STATE_LIST_FULL` */
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
  clear(): void;
  forEach(fn: (value: T, index: number) => void): void;
  toArray(): P[];
}

/** A hash map with a fixed capacity; iterates in the order of insertion. Values that are structs are given as plain
 * objects and returned as views. */
export interface HashMap<K, V, KI = K, VI = Init<V>> extends Iterable<[K, V]> {
  readonly size: number;
  readonly capacity: number;
  /** O(1), as `has`, `set` and `delete`. */
  get(key: KI): V | undefined;
  has(key: KI): boolean;
  /** Store under a key; an existing value is overwritten in place and keeps its place in the order.
   * @returns the value as stored @throws StateError `STATE_MAP_FULL` */
  set(key: KI, value: VI): V;
  /** @returns whether there was one. A struct's view is freed. */
  delete(key: KI): boolean;
  clear(): void;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  entries(): IterableIterator<[K, V]>;
  forEach(fn: (value: V, key: K) => void): void;
}

/** All records of one class. Iterates in slot order; a record created during the walk may or may not be visited, one
 * destroyed during it is not visited after. */
export interface Pool<T> extends Iterable<T> {
  readonly name: string;
  readonly size: number;
  readonly capacity: number;
  /** Make a record; what `init` leaves out has its initial or zero value. `init` is checked as a whole before a byte is
   * written. @throws StateError `STATE_POOL_FULL`; SchemaError `SCHEMA_RANGE`; ShmError `SHM_NO_MEMORY` */
  create(init?: Init<T>): T;
  /** Its refs read undefined from now on, its view throws. @returns false when it was gone already.
   * @throws StateError `STATE_FOREIGN` for a record of another pool */
  destroy(record: T | Ref): boolean;
  /** The live record in a slot, 0..capacity-1. O(1). */
  get(slot: number): T | undefined;
  /** The record that a ref leads to, or undefined when that one is gone. */
  resolve(slot: number, generation: number): T | undefined;
  /** @throws StateError `STATE_FREED`, `STATE_FOREIGN` */
  refOf(record: T): Ref;
  /** Is it live, and of this pool? */
  has(record: T | Ref): boolean;
  /** Faster than iteration. */
  forEach(fn: (record: T, slot: number) => void): void;
}
