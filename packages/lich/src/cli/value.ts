/** Values as tools show them: in one line by kind, and as JSON. */
import type { AnyKind, StructLayout } from '@lich/schema';
import { cut } from './text.ts';

/** Elements of a container, and fields of a struct, that one line shows. */
const INLINE_MAX = 8;

/** Does the record that a ref names live? */
export type IsLive = (pool: string, slot: number, generation: number) => boolean;

/** `{ kind: 7, count: 1 }`, `"Bo"`, `players[3]`, `-` for what is not there. */
export function show(kind: AnyKind, value: unknown, isLive: IsLive): string {
  if (value === undefined) return '-';
  const inner = (of: AnyKind) => (item: unknown) => show(of, item, isLive);
  switch (kind.tag) {
    case 'text':
      return cut(JSON.stringify(value), 200);
    case 'oneOf':
      return String(value);
    case 'bytes': {
      const bytes = value as Uint8Array;
      return `<${Buffer.from(bytes.subarray(0, 32)).toString('hex')}${bytes.length > 32 ? `… ${bytes.length} bytes` : ''}>`;
    }
    case 'ref': {
      const { slot, generation } = value as { slot: number; generation: number };
      return isLive(kind.pool, slot, generation) ? `${kind.pool}[${slot}]` : `- (${kind.pool}[${slot}] is gone)`;
    }
    case 'struct':
      return showStruct(kind.layout, value as Record<string, unknown>, isLive);
    case 'map':
    case 'sorted': {
      const entry = ([key, item]: [unknown, unknown]) => `${inner(kind.key)(key)}: ${inner(kind.value)(item)}`;
      return wrap('{', value as [unknown, unknown][], entry, '}');
    }
    case 'set':
      return wrap('{', value as unknown[], inner(kind.key), '}');
    case 'array':
    case 'vector':
    case 'list':
    case 'queue':
      return wrap('[', value as unknown[], inner(kind.element), ']');
    case 'optional':
      return show(kind.value, value, isLive);
    case 'bits':
      return wrap('{', [...(value as Iterable<number>)], String, '}');
    default:
      return typeof value === 'number' && !Number.isInteger(value)
        ? String(Number(value.toPrecision(7)))
        : String(value);
  }
}

export function showStruct(layout: StructLayout, value: Record<string, unknown>, isLive: IsLive): string {
  const parts = Object.entries(value).map(([name, item]) => {
    const field = layout.fields.find(one => one.name === name);
    return `${name}: ${field === undefined ? String(item) : show(field.kind, item, isLive)}`;
  });
  return wrap('{', parts, String, '}', 64);
}

function wrap<T>(
  open: string,
  items: readonly T[],
  text: (item: T) => string,
  close: string,
  most = INLINE_MAX,
): string {
  if (items.length === 0) return `${open}${close}`;
  const shown = items.slice(0, most).map(text);
  if (items.length > most) shown.push(`… ${items.length - most} more`);
  const space = open === '{' ? ' ' : '';
  return `${open}${space}${shown.join(', ')}${space}${close}`;
}

/** For JSON.stringify: bigints as text, bytes as hex; maps are arrays of pairs already. */
export function jsonable(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(jsonable);
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, jsonable(item)]));
}
