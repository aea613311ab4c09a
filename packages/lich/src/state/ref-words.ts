/** What is stored of a ref, and to which store a record belongs. */
import { type AnyKind, RECORD_REF, type RecordRef, recordRefOf, refuse } from '@lich/schema';
import { StateError } from './errors.ts';
import type { StoreContext } from './memory.ts';

/** On records: the store that they belong to. */
export const OWNER: unique symbol = Symbol('lich.owner');

/** The two words of what a ref field is given. @throws StateError `STATE_FREED`, `STATE_FOREIGN`; SchemaError `SCHEMA_RANGE` */
export function refWords(context: StoreContext, kind: AnyKind & { tag: 'ref' }, value: unknown): RecordRef | undefined {
  if (value === undefined) return undefined;
  const ref = recordRefOf(value);
  if (ref === undefined) {
    if (typeof value === 'object' && value !== null && RECORD_REF in value) {
      throw new StateError('STATE_FREED', `a record that was destroyed cannot be stored as a ref to \`${kind.pool}\``);
    }
    return refuse('ref', `\`${kind.pool}\``, kind, value);
  }
  const owner = (value as { [OWNER]?: unknown })[OWNER];
  if ((owner !== undefined && owner !== context) || (ref.pool !== undefined && ref.pool !== kind.pool)) {
    throw new StateError(
      'STATE_FOREIGN',
      `a ref to \`${kind.pool}\` takes a record of that pool, not one of ${owner === context ? `\`${ref.pool}\`` : 'another store'}`,
    );
  }
  if (ref.slot >>> 0 !== ref.slot || ref.generation >>> 0 !== ref.generation)
    return refuse('ref', `\`${kind.pool}\``, kind, value);
  return ref;
}
