import { SchemaError } from './errors.ts';
import { innerKinds, type AnyKind, type FieldKind } from './kind.ts';
import { kindOf, layoutOf } from './layout.ts';
import { POOL_CAPACITY_MAX } from './limits.ts';
import { checkName, formerNames, type Former } from './names.ts';
import { isStructClass } from './struct-mark.ts';
import { validateStructClass, type StructClass } from './struct.ts';
import type { InOf, OutOf, Problem, ViewField } from './types.ts';
import { familyClass, isFamily, type Family, type VariantRecord, type Variants } from './variants.ts';
import type { FamilyPool, Pool } from './views.ts';

const POOL: unique symbol = Symbol.for('lich.pool') as never;

/** What `pool(Class, options)` takes. */
export interface PoolOptions {
  /** Most records at a time, 1..2^30. Default: the pool grows, in the heap, up to 2^30 records. */
  readonly capacity?: number;
  /** When records have their `onResume` in a life that found them: `slices` (default) = after the first message, some at a
   * time, and each before its first use; `eager` = all before the first message, about a second a million. No part of the layout. */
  readonly resume?: 'eager' | 'slices';
  /** What the pool was called before; what segments hold under an old name is found again. No part of the layout. */
  readonly was?: Former;
}

/** A pool as declared. */
export interface PoolDecl<H extends StructClass | Family = StructClass | Family> {
  readonly [POOL]: true;
  /** A class, or what `variants` returned. */
  readonly holds: H;
  /** The class; for a family one without fields that stands for all of them. */
  readonly struct: StructClass;
  /** 0 = the pool grows. */
  readonly capacity: number;
  /** What the pool was called before. */
  readonly was: readonly string[] | undefined;
  readonly resume: 'eager' | 'slices';
}

/** Declare a pool of records of one class, or of several: `pool(variants({ Wolf, Sheep }))`. */
export function pool<H extends StructClass | Family>(holds: H, options: PoolOptions = {}): PoolDecl<H> {
  if (!isStructClass(holds) && !isFamily(holds))
    throw new SchemaError('SCHEMA_STATE', 'pool takes a class that extends struct({ … }), or variants({ … })');
  const struct = isFamily(holds) ? familyClass(holds) : (holds as StructClass);
  const capacity = options.capacity ?? 0;
  if (options.capacity !== undefined && !isCapacity(capacity)) {
    throw new SchemaError(
      'SCHEMA_STATE',
      `pool of ${struct.name}: capacity takes 1..${POOL_CAPACITY_MAX}, not ${String(capacity)}; leave it out and the pool grows`,
    );
  }
  const was =
    options.was === undefined ? undefined : formerNames(options.was, `pool of ${struct.name}`, 'SCHEMA_STATE');
  const resume = options.resume ?? 'slices';
  if (resume !== 'slices' && resume !== 'eager')
    throw new SchemaError(
      'SCHEMA_STATE',
      `pool of ${struct.name}: resume takes 'slices' or 'eager', not ${String(resume)}`,
    );
  return Object.freeze({ [POOL]: true as const, holds, struct, capacity, was, resume });
}

/** Can a pool have this capacity? @internal */
export function isCapacity(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= POOL_CAPACITY_MAX;
}

/** Is this a pool as declared by `pool(Class)`? */
export function isPool(value: unknown): value is PoolDecl {
  return typeof value === 'object' && value !== null && (value as { [POOL]?: unknown })[POOL] === true;
}

/** A pool with its name. */
export interface NamedPool {
  readonly name: string;
  /** The class; for a family one without fields that stands for all of them. */
  readonly struct: StructClass;
  /** The classes of a family, by name; undefined for a pool of one class. */
  readonly variants: Variants | undefined;
  /** 0 = the pool grows. */
  readonly capacity: number;
  /** What the pool was called before. */
  readonly was: readonly string[] | undefined;
  readonly resume: 'eager' | 'slices';
}

/** What exists: pools of records and root fields. */
export interface StateSchema<F = any> {
  readonly fields: F;
  /** In declared order; a pool's index here is its number on the wire. */
  readonly pools: readonly NamedPool[];
  /** The fields that are no pools, in declared order. */
  readonly root: Readonly<Record<string, FieldKind>>;
}

/** Each entry that is neither pool nor kind becomes the sentence that the compiler then prints. */
export type CheckState<F> = {
  [K in keyof F]: F[K] extends PoolDecl | FieldKind
    ? unknown
    : Problem<'an entry of a state is pool(Class), a kind such as int, or a struct class'>;
};

/** The state as handlers see it: pools, and root fields to read and write. */
export type StateOf<S> =
  S extends StateSchema<infer F>
    ? {
        readonly [K in keyof F as F[K] extends PoolDecl ? K : never]: F[K] extends PoolDecl<infer H>
          ? PoolOf<H>
          : never;
      } & {
        -readonly [K in keyof F as F[K] extends PoolDecl | ViewField ? never : K]: OutOf<F[K]>;
      } & { readonly [K in keyof F as F[K] extends PoolDecl ? never : F[K] extends ViewField ? K : never]: OutOf<F[K]> }
    : never;
type PoolOf<H> = H extends Family<infer M> ? FamilyPool<M> : H extends abstract new () => infer T ? Pool<T> : never;

/** The names of a state's pools. */
export type PoolNames<S> =
  S extends StateSchema<infer F>
    ? { [K in keyof F & string]: F[K] extends PoolDecl ? K : never }[keyof F & string]
    : never;
/** The record type of a pool. */
export type RecordOfPool<S, Name> =
  S extends StateSchema<infer F>
    ? Name extends keyof F
      ? F[Name] extends PoolDecl<infer H>
        ? H extends Family<infer M>
          ? VariantRecord<M>
          : H extends abstract new () => infer T
            ? T
            : never
        : never
      : never
    : never;
/** What the root's plain fields take, for fixtures. */
export type RootInit<S> =
  S extends StateSchema<infer F>
    ? { readonly [K in keyof F as F[K] extends PoolDecl ? never : K]?: InOf<F[K]> }
    : never;

/** Declare what exists. Record classes are validated here, so a mistake shows when the module is loaded.
 * @throws SchemaError `SCHEMA_STATE` for a ref to a pool that does not exist and for two classes of one name,
 * `SCHEMA_STRUCT` for a class that holds what cannot live in a segment */
export function state<const F extends Readonly<Record<string, unknown>>>(fields: F & CheckState<F>): StateSchema<F> {
  const pools: NamedPool[] = [];
  const root: Record<string, FieldKind> = {};
  for (const [name, entry] of Object.entries(fields as Record<string, unknown>)) {
    checkName(name, 'state entry', 'SCHEMA_STATE');
    if (isPool(entry)) {
      const { holds, struct, capacity, was, resume } = entry;
      const variants = isFamily(holds) ? holds.classes : undefined;
      pools.push(Object.freeze({ name, struct, variants, capacity, was, resume }));
    } else {
      kindOf(entry, `state entry ${name}`);
      root[name] = entry as FieldKind;
    }
  }
  const schema: StateSchema<F> = Object.freeze({
    fields: Object.freeze({ ...(fields as F) }),
    pools: Object.freeze(pools),
    root: Object.freeze(root),
  });
  checkPoolsAndClasses(schema);
  return schema;
}

/** The classes of a pool's records. */
export function classesOf({ struct, variants }: NamedPool): readonly StructClass[] {
  return variants === undefined ? [struct] : Object.values(variants);
}

function checkPoolsAndClasses(schema: StateSchema): void {
  const poolNames = schema.pools.map(entry => entry.name);
  const classes = new Map<string, StructClass>();
  for (const entry of schema.pools) {
    for (const struct of classesOf(entry)) {
      visitClass(struct, classes);
      for (const field of layoutOf(struct).fields)
        visitKind(field.kind, `field ${field.name} of ${struct.name}`, poolNames, classes);
    }
  }
  for (const [name, field] of Object.entries(schema.root))
    visitKind(kindOf(field), `state entry ${name}`, poolNames, classes);
}

/** Refuse refs to pools that do not exist, and walk to every class inside a kind. @internal */
export function visitKind(
  kind: AnyKind,
  where: string,
  poolNames: readonly string[] | undefined,
  classes: Map<string, StructClass>,
): void {
  switch (kind.tag) {
    case 'ref':
      if (poolNames !== undefined && !poolNames.includes(kind.pool)) {
        throw new SchemaError(
          'SCHEMA_STATE',
          `${where} is a ref to pool \`${kind.pool}\`, which does not exist; there ${poolNames.length === 1 ? 'is' : 'are'} ${poolNames.map(name => `\`${name}\``).join(', ') || 'none'}`,
        );
      }
      break;
    case 'struct':
      if (kind.struct !== undefined) visitClass(kind.struct, classes);
      for (const field of kind.layout.fields)
        visitKind(field.kind, `field ${field.name} of ${kind.layout.name}`, poolNames, classes);
      break;
    default:
      for (const inner of innerKinds(kind)) visitKind(inner, where, poolNames, classes);
  }
}

function visitClass(struct: StructClass, classes: Map<string, StructClass>): void {
  validateStructClass(struct);
  const other = classes.get(struct.name);
  if (other !== undefined && other !== struct)
    throw new SchemaError(
      'SCHEMA_STATE',
      `two record classes are named ${struct.name}: classes are found again by name, rename one`,
    );
  classes.set(struct.name, struct);
}
