/** Types inferred from a schema. Nothing here exists at run time.
 *
 * Cost: each field is looked at once, when it is used; nested structs are reached through their class and not unfolded. */
import type { ArrayKind, ListKind, MapKind, QueueKind, SetKind, SortedKind, VectorKind } from './containers.ts';
import type { AnyKindBase, ContainerTag, KindBase } from './kind.ts';
import type { MachineKind } from './machine.ts';
import type { OptionalKind } from './optional.ts';
import type { RefInput, RefKind } from './ref.ts';
import type { Ref, Referable } from './ref-value.ts';
import type { StructKind } from './struct.ts';
import type { Variant } from './variants.ts';
import type { FixedArray, GrowingArray, HashMap, HashSet, List, Machine, Queue, SortedMap } from './views.ts';

declare const PROBLEM: unique symbol;
/** A type that nothing has; the compiler prints the sentence. */
export interface Problem<Sentence extends string> {
  readonly [PROBLEM]: Sentence;
}

/** Carries the fields of a record class in its instance type; no object has it. */
declare const FIELDS: unique symbol;
/** A record of any class with these fields. */
export interface Recordlike<F> {
  readonly [FIELDS]: F;
}

/** Fields that read as a view: written through, not assigned. */
export type ViewField =
  | KindBase<any, any, boolean, 'struct' | 'array' | 'machine' | ContainerTag>
  | (abstract new () => unknown);

/** The instance type of a record class with these fields. */
export type RecordOf<F> = Recordlike<F> & {
  -readonly [K in keyof F as F[K] extends ViewField ? never : K]: OutOf<F[K]>;
} & {
  readonly [K in keyof F as F[K] extends ViewField ? K : never]: OutOf<F[K]>;
};

/** What reading a field of this kind gives. */
export type OutOf<K> =
  K extends KindBase<any, any, boolean, 'array' | 'optional' | 'machine' | ContainerTag>
    ? ViewOf<K>
    : K extends KindBase<infer Out, any, boolean, any>
      ? Out
      : K extends abstract new () => infer T
        ? T
        : never;
type ViewOf<K> =
  K extends ArrayKind<infer E>
    ? FixedArray<OutOf<E>, InOf<E>, PlainOf<E>>
    : K extends VectorKind<infer E>
      ? GrowingArray<OutOf<E>, InOf<E>, PlainOf<E>>
      : K extends ListKind<infer E>
        ? List<OutOf<E>, InOf<E>, PlainOf<E>>
        : K extends QueueKind<infer E>
          ? Queue<OutOf<E>, InOf<E>, PlainOf<E>>
          : K extends MapKind<infer Key, infer V>
            ? HashMap<OutOf<Key>, OutOf<V>, InOf<Key>, InOf<V>>
            : K extends SortedKind<infer Key, infer V>
              ? SortedMap<OutOf<Key>, OutOf<V>, InOf<Key>, InOf<V>>
              : K extends SetKind<infer Key>
                ? HashSet<OutOf<Key>, InOf<Key>, PlainOf<Key>>
                : K extends OptionalKind<infer E>
                  ? OutOf<E> | undefined
                  : K extends MachineKind<infer T, infer E>
                    ? Machine<T, E>
                    : K extends KindBase<infer Out, any, boolean, any>
                      ? Out
                      : never;
/** What writing a field of this kind takes; for a struct, what `create` takes. */
export type InOf<K> =
  K extends KindBase<any, any, boolean, 'array' | 'optional' | 'machine' | ContainerTag>
    ? ContentsOf<K>
    : // Taken from the kind's own property: a class may then use its containers of refs to itself in its getters.
      K extends RefKind<infer T>
      ? RefInput<T>
      : K extends KindBase<any, infer In, boolean, any>
        ? In
        : K extends abstract new () => infer T
          ? Init<T>
          : never;
type ContentsOf<K> =
  K extends ArrayKind<infer E>
    ? readonly InOf<E>[]
    : K extends VectorKind<infer E> | ListKind<infer E> | QueueKind<infer E>
      ? Iterable<InOf<E>>
      : K extends MapKind<infer Key, infer V> | SortedKind<infer Key, infer V>
        ? Iterable<readonly [InOf<Key>, InOf<V>]>
        : K extends SetKind<infer Key>
          ? Iterable<InOf<Key>>
          : K extends OptionalKind<infer E>
            ? InOf<E> | undefined
            : K extends MachineKind<infer T, any>
              ? keyof T & string
              : K extends KindBase<any, infer In, boolean, any>
                ? In
                : never;
/** A value of this kind as plain data. */
export type PlainOf<K> =
  K extends KindBase<any, any, boolean, 'array' | 'optional' | 'machine' | ContainerTag>
    ? PlainContentsOf<K>
    : K extends KindBase<any, any, boolean, 'ref'>
      ? Ref | undefined
      : K extends KindBase<infer Out, any, boolean, infer Tag>
        ? Tag extends 'struct'
          ? Plain<Out>
          : Out
        : K extends abstract new () => infer T
          ? Plain<T>
          : never;
type PlainContentsOf<K> =
  K extends ArrayKind<infer E>
    ? PlainOf<E>[]
    : K extends VectorKind<infer E> | ListKind<infer E> | QueueKind<infer E>
      ? PlainOf<E>[]
      : K extends MapKind<infer Key, infer V> | SortedKind<infer Key, infer V>
        ? [PlainOf<Key>, PlainOf<V>][]
        : K extends SetKind<infer Key>
          ? PlainOf<Key>[]
          : K extends OptionalKind<infer E>
            ? PlainOf<E> | undefined
            : K extends MachineKind<infer T, any>
              ? keyof T & string
              : number[];

/** What `create` takes for a record type: any of its fields as plain values. For other types, the type itself. */
export type Init<T> = T extends Recordlike<infer F> ? InitFields<F> : T;
/** What a record can be made from: any of its fields. */
export type InitFields<F> = { readonly [K in keyof F]?: InOf<F[K]> };

/** What `plain(record)` gives, of a family with the name of the class in `variant`: refs as slot and generation, lists and arrays as arrays, maps as arrays of [key, value]. */
export type Plain<T> =
  T extends Recordlike<infer F> ? (T extends Variant<infer N> ? PlainFields<F> & { variant: N } : PlainFields<F>) : T;
/** A record as plain data: all of its fields. */
export type PlainFields<F> = { -readonly [K in keyof F]: PlainOf<F[K]> };

type Syncing<K> =
  K extends KindBase<any, any, true, any>
    ? true
    : K extends AnyKindBase
      ? false
      : K extends abstract new () => Recordlike<infer F>
        ? SyncedNames<F> extends never
          ? false
          : true
        : false;
type SyncedNames<F> = { [K in keyof F]: Syncing<F[K]> extends true ? K : never }[keyof F];

/** A client's mirror of a record: the class's methods and getters over those fields that are `.sync`. The others are not
 * there: a getter that reads one sees undefined. A ref reads the mirror of its record, or undefined when that one is not
 * in view; arrays are plain arrays. */
export type Mirror<T> =
  T extends Recordlike<infer F>
    ? Omit<T, keyof F | keyof Recordlike<F>> & { readonly [K in SyncedNames<F>]: MirrorField<F[K]> } & Referable
    : T;
type MirrorField<K> =
  K extends RefKind<infer T>
    ? Mirror<T> | undefined
    : K extends StructKind<infer C, true>
      ? MirrorWhole<InstanceType<C>>
      : K extends ArrayKind<infer E>
        ? readonly MirrorElement<E>[]
        : K extends OptionalKind<infer E>
          ? MirrorElement<E> | undefined
          : K extends MachineKind<infer T2, any>
            ? keyof T2 & string
            : K extends AnyKindBase
              ? OutOf<K>
              : K extends abstract new () => infer T
                ? Omit<Mirror<T>, keyof Referable>
                : never;
type MirrorElement<E> = E extends abstract new () => infer T ? MirrorWhole<T> : MirrorField<E>;
type MirrorWhole<T> =
  T extends Recordlike<infer F>
    ? Omit<T, keyof F | keyof Recordlike<F>> & {
        readonly [K in keyof F]: F[K] extends abstract new () => infer N ? MirrorWhole<N> : MirrorField<F[K]>;
      }
    : T;
