/** Conversion of values from one layout to another: what `migrate` does to a field.
 *
 *   same          bytes are copied
 *   raw           value by value between the two memories (convert-raw.ts), checked where the new kind holds less
 *   plain         where the container itself became another: read as plain values, written through the new record
 *
 * Fields are matched by their names and former names (`layoutNames` of the schema). */
import {
  type AnyKind,
  describeKind,
  type FieldLayout,
  type LayoutNames,
  relateKinds,
  type StructLayout,
} from '@lich/schema';
import { type Bind, rawOf } from './convert-raw.ts';
import { type Change, changeOf, sameKind, Unfit } from './convert-values.ts';

/** What happens to a field of the new layout. */
export interface FieldConversion {
  readonly field: FieldLayout;
  /** The field of the old layout that it comes from; undefined for an added one. */
  readonly from: FieldLayout | undefined;
  /** `checked`: some values may not fit. */
  readonly how: 'same' | 'raw' | 'checked' | 'plain' | 'added' | 'hook';
  readonly raw: Bind | undefined;
  readonly change: Change | undefined;
}

/** What happens to a struct. */
export interface StructConversion {
  readonly from: StructLayout;
  readonly to: StructLayout;
  readonly fields: readonly FieldConversion[];
  readonly removed: readonly FieldLayout[];
}

/** @param hooked may the user's code fill a field that nothing leads to? */
export function convertStruct(
  from: StructLayout,
  to: StructLayout,
  names: LayoutNames,
  hooked: boolean,
): StructConversion {
  const used = new Set<string>();
  const fields = to.fields.map((field): FieldConversion => {
    const old = from.fields.find(each => each.name === names.field(from, to, field));
    if (old === undefined) return { field, from: undefined, how: 'added', raw: undefined, change: undefined };
    used.add(old.name);
    return { field, from: old, ...convertKind(old.kind, field.kind, names, hooked, field) };
  });
  return { from, to, fields, removed: from.fields.filter(field => !used.has(field.name)) };
}

function convertKind(
  from: AnyKind,
  to: AnyKind,
  names: LayoutNames,
  hooked: boolean,
  field: FieldLayout,
): Pick<FieldConversion, 'how' | 'raw' | 'change'> {
  if (sameKind(from, to, names)) return { how: 'same', raw: rawOf(from, to, names), change: undefined };
  const change = changeOf(from, to, names);
  if (change === undefined) {
    if (hooked) return { how: 'hook', raw: undefined, change: undefined };
    throw new Unfit(
      `field ${field.name} was ${describeKind(from)} and is ${describeKind(to)}: nothing leads from one to the other; give a hook, or the field another name`,
    );
  }
  const raw = rawOf(from, to, names);
  if (raw === undefined) return { how: 'plain', raw: undefined, change };
  return { how: relateKinds(from, to, names).effect === 'checked' ? 'checked' : 'raw', raw, change };
}
