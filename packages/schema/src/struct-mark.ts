import type { StructClass } from './struct.ts';

/** The mark of what `struct()` makes, found on derived classes by inheritance. */
export const STRUCT: unique symbol = Symbol.for('lich.struct') as never;

export function isStructClass(value: unknown): value is StructClass {
  return typeof value === 'function' && (value as { [STRUCT]?: unknown })[STRUCT] === true;
}
