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
