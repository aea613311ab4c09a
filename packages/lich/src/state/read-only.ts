/** Types of what readers see: the views of a state without anything that writes. Nothing here exists at run time, where a
 * write through such a view is refused with `STATE_READ_ONLY`. */
import type {
  Bits,
  FixedArray,
  GrowingArray,
  HashMap,
  HashSet,
  List,
  Pool,
  Queue,
  Recordlike,
  Ref,
  SortedMap,
} from '@lich/schema';

/** What changes a container; reading has other names. */
type Writers =
  | 'add'
  | 'assign'
  | 'clear'
  | 'delete'
  | 'fill'
  | 'flip'
  | 'insert'
  | 'insertAfter'
  | 'insertBefore'
  | 'pop'
  | 'push'
  | 'remove'
  | 'removeAt'
  | 'reverse'
  | 'set'
  | 'shift'
  | 'sort'
  | 'splice'
  | 'unshift';

/** The records of a pool, as of one commit. */
export interface ReadOnlyPool<T> extends Iterable<ReadOnly<T>> {
  readonly name: string;
  readonly size: number;
  readonly capacity: number;
  /** The live record in a slot. */
  get(slot: number): ReadOnly<T> | undefined;
  /** Several at once, copied in one go: the cheapest way to read a group. */
  group(slots: Iterable<number>): (ReadOnly<T> | undefined)[];
  /** The record that a ref leads to, or undefined when that one is gone. */
  resolve(slot: number, generation: number): ReadOnly<T> | undefined;
  refOf(record: ReadOnly<T>): Ref;
  has(record: ReadOnly<T> | Ref): boolean;
  forEach(fn: (record: ReadOnly<T>, slot: number) => void): void;
}

/** A view of this type that can only be read. Methods of a record class stay: one that writes throws. */
export type ReadOnly<T> =
  T extends Recordlike<infer F>
    ? { readonly [K in keyof F]: ReadOnly<K extends keyof T ? T[K] : never> } & Omit<T, keyof F>
    : T extends Pool<infer E>
      ? ReadOnlyPool<E>
      : T extends GrowingArray<infer E, infer I, infer P>
        ? Omit<GrowingArray<ReadOnly<E>, I, P>, Writers>
        : T extends List<infer E, infer I, infer P>
          ? Omit<List<ReadOnly<E>, I, P>, Writers>
          : T extends FixedArray<infer E, infer I, infer P>
            ? Omit<FixedArray<ReadOnly<E>, I, P>, Writers>
            : T extends Queue<infer E, infer I, infer P>
              ? Omit<Queue<ReadOnly<E>, I, P>, Writers>
              : T extends SortedMap<infer K, infer V, infer KI, infer VI>
                ? Omit<SortedMap<ReadOnly<K>, ReadOnly<V>, KI, VI>, Writers>
                : T extends HashMap<infer K, infer V, infer KI, infer VI>
                  ? Omit<HashMap<ReadOnly<K>, ReadOnly<V>, KI, VI>, Writers>
                  : T extends Bits
                    ? Omit<Bits, Writers>
                    : T extends HashSet<infer E, infer I, infer P>
                      ? Omit<HashSet<ReadOnly<E>, I, P>, Writers>
                      : T;

/** A whole state: root fields and pools. */
export type ReadOnlyState<S> = { readonly [K in keyof S]: ReadOnly<S[K]> };
