import { SchemaError } from './errors.ts';
import { makeKind, type Kind } from './kind.ts';

/** One of the given names, stored as its index: 1 byte up to 256 names, else 2. The zero value is the first name.
 * Names are text: their order is part of the layout, so new ones go to the end.
 * @throws SchemaError `SCHEMA_KIND` without names, with a name twice, or with more than 65,536 */
export function oneOf<const Names extends readonly [string, ...string[]]>(
  ...names: Names
): Kind<Names[number], Names[number], false, 'oneOf'> {
  if (names.length === 0 || names.length > 0x1_0000)
    throw new SchemaError('SCHEMA_KIND', `oneOf takes 1..65536 names, not ${names.length}`);
  for (const name of names) {
    if (typeof name !== 'string')
      throw new SchemaError('SCHEMA_KIND', `oneOf takes names as strings, not ${typeof name}`);
  }
  if (new Set(names).size !== names.length)
    throw new SchemaError('SCHEMA_KIND', `oneOf(${names.join(', ')}) has a name twice`);
  const bytes = names.length <= 256 ? 1 : 2;
  return makeKind({ tag: 'oneOf', bytes, align: bytes, names: Object.freeze([...names]) });
}
