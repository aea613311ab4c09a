import { SchemaError } from './errors.ts';
import { isStructClass } from './struct-mark.ts';
import { struct, type StructClass } from './struct.ts';
import type { Problem } from './types.ts';

/** Several record classes by their names. */
export type Variants = Readonly<Record<string, StructClass>>;

/** Most classes of a family: they are numbered from 1 in 16 bits. */
export const VARIANTS_MAX = 0xffff;

const VARIANTS: unique symbol = Symbol.for('lich.variants') as never;

/** What `variants()` returns: what a pool may hold in place of one class. */
export interface Family<M extends Variants = Variants> {
  readonly [VARIANTS]: true;
  readonly classes: M;
}

// Carries types only; no object has it.
declare const VARIANT: unique symbol;
/** What a record has because it is of a family. */
export interface Variant<N> {
  /** The name of the record's class. */
  readonly variant: N;
  readonly [VARIANT]: N;
}

/** One record of a family: of its class, with the name of that class in `variant`. */
export type VariantRecord<M extends Variants, N extends keyof M = keyof M> = {
  [K in N]: InstanceType<M[K]> & Variant<K>;
}[N];

/** Each class that cannot be in a family becomes the sentence that the compiler then prints. */
export type CheckVariants<M> = {
  [K in keyof M]: M[K] extends StructClass<infer T>
    ? string extends keyof T // any class
      ? unknown
      : 'variant' extends keyof T
        ? Problem<'every record of a family has the name of its class in variant: rename the field'>
        : unknown
    : unknown;
};

/** Several record classes that share one pool: `pool(variants({ Wolf, Sheep }))`. A slot holds a record of any of them and
 * takes the bytes of the largest. `record.variant` is the name of its class, so `switch (animal.variant)` and
 * `animal instanceof Wolf` both tell them apart. Classes are found again by their names: the order in which they are given
 * does not matter, and a migration adds others.
 * @throws SchemaError `SCHEMA_STATE` without classes, for one whose name is not its key, and for a field named `variant` */
export function variants<const M extends Variants>(classes: M & CheckVariants<M>): Family<M> {
  const names = Object.keys(classes);
  if (names.length === 0 || names.length > VARIANTS_MAX)
    throw new SchemaError('SCHEMA_STATE', `variants takes 1..${VARIANTS_MAX} classes, not ${names.length}`);
  for (const name of names) {
    const given: unknown = classes[name];
    if (!isStructClass(given))
      throw new SchemaError('SCHEMA_STATE', `variants: ${name} is not a class that extends struct({ … })`);
    if (given.name !== name)
      throw new SchemaError(
        'SCHEMA_STATE',
        `variants: ${name} is class ${given.name}, and classes are found again by their names: give it as { ${given.name} }`,
      );
    if (Object.hasOwn(given.fields, 'variant') || 'variant' in (given.prototype as object))
      throw new SchemaError(
        'SCHEMA_STATE',
        `variants: ${name} has a ${Object.hasOwn(given.fields, 'variant') ? 'field' : 'member'} variant, where every record of a family has the name of its class; rename it`,
      );
  }
  return Object.freeze({ [VARIANTS]: true as const, classes: Object.freeze({ ...(classes as M) }) });
}

/** Was this made by `variants()`? */
export function isFamily(value: unknown): value is Family {
  return typeof value === 'object' && value !== null && (value as { [VARIANTS]?: unknown })[VARIANTS] === true;
}

/** A class without fields, which stands for all of a family where one class is asked for. @internal */
export function familyClass(family: Family): StructClass {
  const Base = class extends struct({}) {};
  Object.defineProperty(Base, 'name', { value: Object.keys(family.classes).join(' | ') });
  return Base as unknown as StructClass;
}
