import type { StructClass } from './struct.ts';

/** The mark of what `struct()` makes, found on derived classes by inheritance. */
export const STRUCT: unique symbol = Symbol.for('lich.struct') as never;

/** Was this made by `struct()`, or does it extend such a class? Also true across copies of the package. */
export function isStructClass(value: unknown): value is StructClass {
  return typeof value === 'function' && (value as { [STRUCT]?: unknown })[STRUCT] === true;
}
