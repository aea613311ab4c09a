import { SchemaError, type SchemaCode } from './errors.ts';

const IDENTIFIER = /^[\p{ID_Start}_][\p{ID_Continue}_]*$/u;
// What objects have anyway, and what the runtime or a printer asks a record for.
const TAKEN = new Set([...Object.getOwnPropertyNames(Object.prototype), 'toJSON', 'then', 'onResume', 'prototype']);

/** Refuse a name that code cannot be generated for, or that would hide something every object has. */
export function checkName(name: string, what: string, code: SchemaCode): void {
  if (name.startsWith('$'))
    throw new SchemaError(code, `${what} ${name}: names that start with $ belong to the runtime`);
  if (!IDENTIFIER.test(name))
    throw new SchemaError(code, `${what} '${name}': a name is letters, digits and _, and starts with a letter`);
  if (TAKEN.has(name))
    throw new SchemaError(code, `${what} ${name}: every object has a ${name} already, choose another name`);
}

/** What something was called before: one name or several. */
export type Former = string | readonly string[];

/** Former names as a list, refused unless they are names. @internal */
export function formerNames(former: Former, where: string, code: SchemaCode): readonly string[] {
  const names: readonly unknown[] = typeof former === 'string' ? [former] : former;
  if (!Array.isArray(names) || names.length === 0 || names.some(name => typeof name !== 'string' || name === ''))
    throw new SchemaError(code, `${where}: was takes the name from before, or a list of names`);
  return Object.freeze([...names] as string[]);
}
