/** Inheritance of record classes. Fields come first from the bases, then from the class itself; methods and getters come
 * along; nothing of it costs anything when a field is read. */
import { SchemaError } from './errors.ts';
import { kindOf } from './layout.ts';
import { checkName } from './names.ts';
import { isStructClass, noteMixed, STRUCT } from './struct-mark.ts';
import { struct, validateStructClass, type CheckFields, type StructClass } from './struct.ts';
import type { Problem, RecordOf } from './types.ts';

/** The declared fields of a record class. */
export type FieldsOf<C extends StructClass> = C['fields'];
/** Static members that a derived class gets from its base as they are. */
type Statics<C> = { [K in keyof C as K extends 'fields' | 'prototype' | 'was' ? never : K]: C[K] };
/** A field that the base has already becomes the sentence that the compiler then prints. */
type CheckNew<F, Has> = {
  [K in keyof F]: K extends keyof Has ? Problem<'the base has a field or a member of this name already'> : unknown;
};

/** What `extend()` returns: the base of a derived record class. */
export type ExtendedBase<B extends StructClass, F> = Statics<B> & {
  /** @throws SchemaError `SCHEMA_NOT_CONSTRUCTIBLE`: records are made by their pool. */
  new (): InstanceType<B> & RecordOf<F>;
  /** The base's fields, then the new ones. */
  readonly fields: FieldsOf<B> & Readonly<F>;
};

type Together<U> = (U extends unknown ? (of: U) => void : never) extends (of: infer I) => void ? I : never;
/** What `mix()` returns: the base of a record class with several bases. */
export interface MixedBase<P extends readonly StructClass[], F> {
  /** @throws SchemaError `SCHEMA_NOT_CONSTRUCTIBLE`: records are made by their pool. */
  new (): Together<InstanceType<P[number]>> & RecordOf<F>;
  /** The fields of all bases, then the new ones. */
  readonly fields: Together<FieldsOf<P[number]>> & Readonly<F>;
}

/** Declare a record class with the fields, methods and getters of another one and more fields:
 * `class Wolf extends extend(Animal, { rage: f32 }) {}`. The base's fields lie first, where they lie in the base itself.
 * `wolf instanceof Animal` holds, and methods can be overridden and call `super`.
 * @throws SchemaError `SCHEMA_STRUCT` for a field that the base has already, or has a method or getter of that name */
export function extend<B extends StructClass, const F extends Readonly<Record<string, unknown>>>(
  base: B,
  fields: F & CheckFields<F> & CheckNew<F, InstanceType<B>>,
): ExtendedBase<B, F> {
  checkBase(base, 'extend');
  for (const name of Object.keys(fields)) {
    checkName(name, 'field', 'SCHEMA_KIND');
    kindOf(fields[name], `field ${name}`);
    if (Object.hasOwn(base.fields, name))
      throw new SchemaError('SCHEMA_STRUCT', `extend(${base.name}): ${base.name} has a field ${name} already`);
    if (name in (base.prototype as object))
      throw new SchemaError('SCHEMA_STRUCT', `extend(${base.name}): ${name} is a method or getter of ${base.name}`);
  }
  // Erased: the compiler cannot follow a class that is a value.
  const Base = base as unknown as new () => object;
  class Extended extends Base {
    static readonly fields = Object.freeze({ ...(base.fields as object), ...(fields as F) });
    static readonly [STRUCT] = true;
  }
  return Extended as never;
}

/** Declare a record class with several bases: `class Griffin extends mix(Eagle, Lion, { pride: u8 }) {}`. It has the fields
 * of all of them, in the order of the bases, then its own; and copies of their methods, getters and setters. A field that
 * two bases have from one common base is there once; anything else that two bases have under one name is refused, because
 * none of them could be meant. `griffin instanceof Eagle` and `griffin instanceof Lion` hold, as for the bases of both; in
 * a copied method `super` means what it means in the class that the method is from. Static members are not copied.
 * @throws SchemaError `SCHEMA_STRUCT` for two fields or two members of one name, named with the classes that have them */
export function mix<const P extends readonly [StructClass, ...StructClass[]]>(...bases: P): MixedBase<P, {}>;
export function mix<
  const P extends readonly [StructClass, ...StructClass[]],
  const F extends Readonly<Record<string, unknown>>,
>(...bases: [...P, F & CheckFields<F> & CheckNew<F, Together<InstanceType<P[number]>>>]): MixedBase<P, F>;
export function mix(...given: unknown[]): any {
  const own = isStructClass(given.at(-1)) ? {} : (given.at(-1) as Record<string, unknown>);
  const bases = given.filter((base, index) => index < given.length - 1 || isStructClass(base)) as StructClass[];
  for (const base of bases) checkBase(base, 'mix');
  const what = `mix(${bases.map(base => base.name).join(', ')})`;
  if (bases.length === 0) throw new SchemaError('SCHEMA_STRUCT', 'mix takes record classes, then an object of fields');
  const fields: Record<string, unknown> = {};
  const members = new Map<string | symbol, { member: PropertyDescriptor; from: StructClass }>();
  const owners = new Map<string, string>();
  const refuse = (name: string | symbol, one: string, other: string): never => {
    throw new SchemaError('SCHEMA_STRUCT', `${what}: ${one} and ${other} both have ${String(name)}; rename one`);
  };
  for (const base of bases) {
    for (const [name, field] of Object.entries(base.fields)) {
      if (Object.hasOwn(fields, name) && fields[name] !== field) refuse(name, owners.get(name)!, base.name);
      fields[name] = field;
      owners.set(name, base.name);
    }
    for (const [name, member] of membersOf(base)) {
      const known = members.get(name);
      if (known === undefined) members.set(name, { member, from: base });
      else if (!sameMember(known.member, member)) refuse(name, known.from.name, base.name);
    }
  }
  for (const [name, field] of Object.entries(own)) {
    if (Object.hasOwn(fields, name)) refuse(name, owners.get(name)!, 'the new fields');
    fields[name] = field;
    owners.set(name, 'the new fields');
  }
  const Mixed = struct(fields as never) as unknown as StructClass;
  const prototype = Mixed.prototype as object;
  for (const [name, { member, from }] of members) {
    if (Object.hasOwn(fields, name)) refuse(name, owners.get(String(name))!, from.name);
    Object.defineProperty(prototype, name, member);
  }
  noteMixed(prototype, bases);
  return Mixed;
}

function checkBase(base: unknown, what: string): void {
  if (!isStructClass(base))
    throw new SchemaError('SCHEMA_STRUCT', `${what} takes a class that extends struct({ … }), not ${String(base)}`);
  validateStructClass(base);
}

/** Methods and accessors of a class and of those that it extends, the nearest of each name. */
function membersOf(base: StructClass): Map<string | symbol, PropertyDescriptor> {
  const members = new Map<string | symbol, PropertyDescriptor>();
  for (
    let at = base.prototype as object | null;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    for (const name of Reflect.ownKeys(at)) {
      if (name !== 'constructor' && !members.has(name)) members.set(name, Object.getOwnPropertyDescriptor(at, name)!);
    }
  }
  return members;
}

function sameMember(a: PropertyDescriptor, b: PropertyDescriptor): boolean {
  return a.value === b.value && a.get === b.get && a.set === b.set;
}
