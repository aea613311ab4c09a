import type { StructClass } from './struct.ts';

/** The mark of what `struct()` makes, found on derived classes by inheritance. */
export const STRUCT: unique symbol = Symbol.for('lich.struct') as never;

/** Was this made by `struct()`, or does it extend such a class? Also true across copies of the package. */
export function isStructClass(value: unknown): value is StructClass {
  return typeof value === 'function' && (value as { [STRUCT]?: unknown })[STRUCT] === true;
}

// By the prototype of a class that `mix` made: the classes that it was mixed from.
const mixed = new WeakMap<object, readonly StructClass[]>();

/** Note what a class was mixed from. @internal */
export function noteMixed(prototype: object, bases: readonly StructClass[]): void {
  mixed.set(prototype, bases);
}

/** Does this object have the prototype in its chain, or in the chain of a class that was mixed in? @internal */
export function inherits(object: object | null, prototype: object): boolean {
  for (let at = object && (Object.getPrototypeOf(object) as object | null); at !== null; ) {
    if (at === prototype) return true;
    for (const base of mixed.get(at) ?? []) {
      if (base.prototype === prototype || inherits(base.prototype as object, prototype)) return true;
    }
    at = Object.getPrototypeOf(at) as object | null;
  }
  return false;
}
