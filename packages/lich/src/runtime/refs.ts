/** Refs in the payloads of players' messages: the wire gives slot and generation, handlers see the record, or undefined. */
import { type AnyKind, recordRefOf, type StructLayout } from '@lich/schema';
import type { RefDoor } from '../bus/index.ts';

/** Replace each ref in `payload` by its record, in place. @returns the payload */
export function resolveRefs(
  layout: StructLayout,
  payload: Record<string, unknown>,
  door: RefDoor,
): Record<string, unknown> {
  for (const field of layout.fields) {
    if (hasRef(field.kind)) payload[field.name] = resolve(field.kind, payload[field.name], door);
  }
  return payload;
}

function resolve(kind: AnyKind, value: unknown, door: RefDoor): unknown {
  if (kind.tag === 'ref') {
    const ref = value === undefined ? undefined : recordRefOf(value);
    return ref && door.resolve(kind.pool, ref.slot, ref.generation);
  }
  if (kind.tag === 'optional') return value === undefined ? undefined : resolve(kind.value, value, door);
  if (kind.tag === 'array') return (value as unknown[]).map(item => resolve(kind.element, item, door));
  return kind.tag === 'struct' ? resolveRefs(kind.layout, value as Record<string, unknown>, door) : value;
}

function hasRef(kind: AnyKind): boolean {
  if (kind.tag === 'ref') return true;
  if (kind.tag === 'array') return hasRef(kind.element);
  if (kind.tag === 'optional') return hasRef(kind.value);
  return kind.tag === 'struct' && kind.layout.fields.some(field => hasRef(field.kind));
}
