import { SchemaError } from './errors.ts';
import { makeKind, type KindBase } from './kind.ts';
import type { Ref, Referable } from './ref-value.ts';

declare const TARGET: unique symbol;

/** What a ref field takes: a record of the pool, a client's mirror of one, its ref, or undefined for none. */
export type RefInput<T> = T | Ref | Referable | undefined;

/** The kind of `ref(pool)`: slot and generation, 8 bytes. */
export interface RefKind<T, Syncs extends boolean = boolean>
  extends KindBase<T | undefined, RefInput<T>, Syncs, 'ref'> {
  readonly [TARGET]: T;
  readonly pool: string;
  readonly sync: RefKind<T, true>;
}

/** A reference to a record of a pool, which is named because a class cannot name itself in its own base. Slot and
 * generation are stored: once the record is gone the field reads undefined, never somebody else.
 * @param pool the name of the pool in `state({…})` */
export function ref<T>(pool: string): RefKind<T, false> {
  if (typeof pool !== 'string' || pool === '')
    throw new SchemaError('SCHEMA_KIND', `ref takes the name of a pool, as in ref<Player>('players')`);
  return makeKind({ tag: 'ref', bytes: 8, align: 4, pool });
}
