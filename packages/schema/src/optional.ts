import { elementOf } from './containers.ts';
import { SchemaError } from './errors.ts';
import { describeKind, makeKind, type FieldKind, type KindBase } from './kind.ts';
import { optionalSize } from './layout.ts';
import type { InOf } from './types.ts';

// Carries types only; no object has it.
declare const VALUE: unique symbol;

/** The kind of `optional(E)`. */
export interface OptionalKind<E, Syncs extends boolean = boolean> extends KindBase<any, any, Syncs, 'optional'> {
  readonly [VALUE]: E;
  /** Sent to clients; a nested struct with all of its fields. */
  readonly sync: OptionalKind<E, true>;
  /** Without it the field starts as undefined. */
  init(value: InOf<E>): OptionalKind<E, Syncs>;
}

/** A value of this kind, or undefined. Reading gives the value, or for a struct or a container its view, or undefined;
 * writing a value makes it, writing undefined gives its memory back. A struct is written as `value(Item, { count: 1 })`, or
 * as any record of the class, which is copied.
 * @param element any kind but ref, which reads undefined already, and but another optional */
export function optional<E extends FieldKind>(element: E): OptionalKind<E, false> {
  const value = elementOf(element, 'optional(…)');
  if (value.tag === 'ref' || value.tag === 'optional')
    throw new SchemaError(
      'SCHEMA_KIND',
      `optional(${describeKind(value)}): ${value.tag === 'ref' ? 'a ref' : 'an optional'} can be undefined already, leave optional out`,
    );
  return makeKind({ tag: 'optional', ...optionalSize(value), value });
}
