/** Types of a game, inferred from its protocol and state. Nothing here exists at run time. */
import type { Mirror, PoolNames, Recordlike, RecordOfPool } from '@lich/schema';

/** The names of the fields of a record type that are sent to clients. */
type SentNames<T> = T extends Recordlike<infer F> ? Extract<keyof F, keyof Mirror<T>> : never;

/** The pools that clients see: those with a `.sync` field. */
export type SyncedPoolNames<S> = {
  [K in PoolNames<S>]: [SentNames<RecordOfPool<S, K>>] extends [never] ? never : K;
}[PoolNames<S>];

/** A mirrored record: the methods and getters of its class over its `.sync` fields, and `id`, which names this record
 * and no later one in its slot. A class with an `id` of its own keeps that. */
export type MirrorRecord<T> = T extends { id: unknown } ? Mirror<T> : Mirror<T> & { readonly id: string };

/** The player's own record: of the pool that the service names as `me`. */
export type Me<S> = MirrorRecord<RecordOfPool<S, SyncedPoolNames<S>>>;

/** What is in view of one pool. Iterates in the order in which the records came. */
export interface MirrorPool<T> extends Iterable<MirrorRecord<T>> {
  readonly size: number;
  get(slot: number): MirrorRecord<T> | undefined;
  /** Calls `fn` for each record in view now, and for each that comes. */
  onEnter(fn: (record: MirrorRecord<T>) => void): this;
  /** Calls `fn` after fields of a record have changed. */
  onChange(fn: (record: MirrorRecord<T>) => void): this;
  /** Calls `fn` when a record is gone or out of view; it keeps its last values. */
  onLeave(fn: (record: MirrorRecord<T>) => void): this;
}

/** What is in view: the pools that have `.sync` fields. */
export type View<S> = { readonly [K in SyncedPoolNames<S>]: MirrorPool<RecordOfPool<S, K>> };

/** The arguments after a message's name: its payload, which may be left out when none of it is needed. */
export type PayloadArgs<Payload> = object extends Payload ? [payload?: Payload] : [payload: Payload];
