import type { AnyKind, NumberShape } from './kind.ts';
import { SchemaError } from './errors.ts';
import { BITS_MAX } from './limits.ts';
import { RECORD_REF, recordRefOf } from './ref-value.ts';

/** Say why a value cannot be stored as this kind, or undefined when it can.
 *
 * Inside a struct a missing field is fine (it takes its initial value), and so are missing elements at the end of an
 * array; an unknown name in a plain object is not.
 * @returns a sentence such as `300 is not a u8 (0..255)`, for a nested value with its path: `pos.x: …` */
export function check(kind: AnyKind, value: unknown): string | undefined {
  switch (kind.tag) {
    case 'bool':
      return typeof value === 'boolean' ? undefined : `${show(value)} is not a bool (true or false)`;
    case 'u64':
    case 'i64':
      if (typeof value === 'bigint' && value >= kind.min && value <= kind.max) return undefined;
      return `${show(value)} is not ${article(kind.tag)} (a bigint, ${kind.min}..${kind.max})`;
    case 'oneOf':
      if (typeof value === 'string' && kind.names.includes(value)) return undefined;
      return `${show(value)} is not one of ${list(kind.names)}`;
    case 'text':
      if (typeof value !== 'string') return `${show(value)} is not a text`;
      if (value.length <= kind.length || kind.length === 0) return undefined;
      return `${show(value)} has ${value.length} characters, text(${kind.length}) holds ${kind.length}`;
    case 'bytes':
      if (!(value instanceof Uint8Array)) return `${show(value)} is not a Uint8Array`;
      if (value.length <= kind.length || kind.length === 0) return undefined;
      return `${value.length} bytes do not fit into bytes(${kind.length})`;
    case 'ref':
      return checkRef(kind.pool, value);
    case 'struct':
      return checkStruct(kind.layout, value);
    case 'array':
      if (!isSequence(value)) return `${show(value)} is not an array`;
      return checkElements(kind.element, value, kind.length, `array of ${kind.length}`);
    case 'vector':
      if (!isSequence(value)) return `${show(value)} is not an array`;
      return checkElements(kind.element, value, Infinity, '');
    case 'list':
    case 'queue':
      if (!isSequence(value)) return `${show(value)} is not an array`;
      return checkElements(kind.element, value, most(kind.capacity), `${kind.tag} with capacity ${kind.capacity}`);
    case 'map':
    case 'sorted':
      return checkEntries(kind.key, kind.value, kind.capacity, value);
    case 'set':
      if (!isSequence(value)) return `${show(value)} is not a list of keys`;
      return checkKeys(kind.key, kind.capacity, value);
    case 'bits':
      return checkBits(kind.length || BITS_MAX, value);
    case 'optional':
      return value === undefined ? undefined : check(kind.value, value);
    case 'machine': {
      const name = stateNameOf(value);
      if (name !== undefined && kind.names.includes(name)) return undefined;
      return `${show(value)} is not a state (${list(kind.names)})`;
    }
    default:
      return checkNumber(kind, value);
  }
}

/** Throw `SCHEMA_RANGE` for a value that does not fit: ``field hp of Player: 300 is not a u8 (0..255)``. */
export function refuse(field: string, owner: string, kind: AnyKind, value: unknown): never {
  throw new SchemaError(
    'SCHEMA_RANGE',
    `field ${field} of ${owner}: ${check(kind, value) ?? `${show(value)} was refused`}`,
  );
}

function checkNumber(kind: NumberShape, value: unknown): string | undefined {
  if (typeof value === 'number') {
    if (value >= kind.min && value <= kind.max && (!kind.whole || Number.isInteger(value))) return undefined;
    // Floats hold NaN and the infinities; a finite number past the range would silently become one.
    if (!kind.whole && !Number.isFinite(value)) return undefined;
  }
  const range =
    kind.tag === 'int'
      ? 'a whole number, at most 2^53 - 1 either way'
      : kind.tag === 'f64'
        ? 'a number'
        : `${kind.min}..${kind.max}`;
  return `${show(value)} is not ${article(kind.tag)} (${range})`;
}

function checkRef(pool: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const ref = recordRefOf(value);
  if (ref === undefined && typeof value === 'object' && value !== null && RECORD_REF in value)
    return 'this record is gone: nothing can refer to it';
  if (ref === undefined) return `${show(value)} is not a record of \`${pool}\`, a { slot, generation } or undefined`;
  if (ref.pool !== undefined && ref.pool !== pool) return `a record of \`${ref.pool}\` is not one of \`${pool}\``;
  if (isU32(ref.slot) && isU32(ref.generation)) return undefined;
  return `slot ${show(ref.slot)}, generation ${show(ref.generation)} are not two u32`;
}

function checkStruct(
  layout: { name: string; fields: readonly { name: string; kind: AnyKind; hidden: boolean }[] },
  value: unknown,
): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `${show(value)} is not ${layout.name} ({ ${layout.fields
      .filter(f => !f.hidden)
      .map(f => f.name)
      .join(', ')} })`;
  const given = value as Record<string, unknown>;
  for (const field of layout.fields) {
    if (field.hidden) continue;
    const fieldValue = given[field.name];
    if (fieldValue === undefined) continue;
    const reason = check(field.kind, fieldValue);
    if (reason !== undefined) return nested(field.name, reason);
  }
  // A view or a mirror has more than fields (getters, methods); in a plain object an unknown name is a slip.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    for (const name in given) {
      if (!layout.fields.some(field => field.name === name && !field.hidden))
        return `${layout.name} has no field ${name}`;
    }
  }
  return undefined;
}

/** The state that a value names: a name, or the view of a machine. */
export function stateNameOf(value: unknown): string | undefined {
  const name: unknown = typeof value === 'object' && value !== null ? (value as { state?: unknown }).state : value;
  return typeof name === 'string' ? name : undefined;
}

/** Can a field, an element or a value of this kind be undefined? */
export function takesUndefined(kind: AnyKind): boolean {
  return kind.tag === 'ref' || kind.tag === 'optional';
}

function most(capacity: number): number {
  return capacity === 0 ? Infinity : capacity;
}

function checkKeys(key: AnyKind, capacity: number, values: Iterable<unknown>): string | undefined {
  let index = 0;
  for (const value of values) {
    if (index === most(capacity)) return `more keys than the set with capacity ${capacity} holds`;
    const reason = value === undefined ? 'undefined' : check(key, value);
    if (reason !== undefined) return nested(`[${index}]`, reason);
    index++;
  }
  return undefined;
}

function checkBits(length: number, values: unknown): string | undefined {
  if (!isSequence(values)) return `${show(values)} is not a list of the numbers of the bits that are set`;
  let index = 0;
  for (const bit of values) {
    if (typeof bit !== 'number' || !Number.isInteger(bit) || bit < 0 || bit >= length)
      return `[${index}]: ${show(bit)} is not the number of a bit (0..${length - 1})`;
    index++;
  }
  return undefined;
}

function checkElements(element: AnyKind, values: Iterable<unknown>, limit: number, what: string): string | undefined {
  let index = 0;
  for (const value of values) {
    if (index === limit) return `more elements than the ${what} holds`;
    if (value === undefined && !takesUndefined(element)) return `[${index}]: undefined`;
    const reason = check(element, value);
    if (reason !== undefined) return nested(`[${index}]`, reason);
    index++;
  }
  return undefined;
}

function checkEntries(key: AnyKind, value: AnyKind, capacity: number, entries: unknown): string | undefined {
  if (!isSequence(entries)) return `${show(entries)} is not a list of [key, value]`;
  let index = 0;
  for (const entry of entries) {
    if (index === most(capacity)) return `more entries than the map with capacity ${capacity} holds`;
    if (!Array.isArray(entry) || entry.length !== 2) return `[${index}]: ${show(entry)} is not [key, value]`;
    const reason =
      (entry[0] === undefined ? 'undefined' : check(key, entry[0])) ??
      (entry[1] === undefined && !takesUndefined(value) ? 'undefined' : check(value, entry[1]));
    if (reason !== undefined) return nested(`[${index}]`, reason);
    index++;
  }
  return undefined;
}

/** The zero or initial value of a kind, in plain form, fresh at each call. */
export function zeroOf(kind: AnyKind): unknown {
  if (kind.initial !== undefined) return copyValue(kind, kind.initial);
  switch (kind.tag) {
    case 'bool':
      return false;
    case 'u64':
    case 'i64':
      return 0n;
    case 'oneOf':
    case 'machine': // its initial state is kind.initial
      return kind.names[0];
    case 'text':
      return '';
    case 'bytes':
      return new Uint8Array(0);
    case 'ref':
    case 'optional':
      return undefined;
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
    case 'bits':
      return [];
    case 'struct':
    case 'array':
      return copyValue(kind, kind.tag === 'struct' ? {} : []);
    default:
      return 0;
  }
}

/** A plain copy of a value that was checked, missing fields filled in: what the field reads after it was written. */
export function copyValue(kind: AnyKind, value: unknown): unknown {
  switch (kind.tag) {
    case 'bytes':
      return Uint8Array.prototype.slice.call(value as Uint8Array);
    case 'f32':
      return Math.fround(value as number);
    case 'ref': {
      const ref = value === undefined ? undefined : recordRefOf(value);
      return ref === undefined || ref.generation === 0 ? undefined : { slot: ref.slot, generation: ref.generation };
    }
    case 'struct': {
      const copy: Record<string, unknown> = {};
      for (const field of kind.layout.fields) {
        if (field.hidden) continue;
        const given = (value as Record<string, unknown>)[field.name];
        copy[field.name] = given === undefined ? zeroOf(field.kind) : copyValue(field.kind, given);
      }
      return copy;
    }
    case 'array': {
      const copy = Array.from(value as Iterable<unknown>, element => copyValue(kind.element, element));
      while (copy.length < kind.length) copy.push(zeroOf(kind.element));
      return copy;
    }
    case 'vector':
    case 'list':
    case 'queue':
      return Array.from(value as Iterable<unknown>, element => copyValue(kind.element, element));
    case 'set':
      return Array.from(value as Iterable<unknown>, key => copyValue(kind.key, key));
    case 'bits':
      return Array.from(new Set(value as Iterable<number>), bit => bit + 0).sort((a, b) => a - b);
    case 'optional':
      return value === undefined ? undefined : copyValue(kind.value, value);
    case 'machine':
      return stateNameOf(value);
    case 'map':
    case 'sorted':
      return Array.from(value as Iterable<[unknown, unknown]>, entry => [
        copyValue(kind.key, entry[0]),
        copyValue(kind.value, entry[1]),
      ]);
    case 'u64':
    case 'i64':
    case 'bool':
    case 'oneOf':
    case 'text':
    case 'f64':
      return value;
    default:
      return (value as number) + 0; // -0 becomes 0: whole numbers have one zero
  }
}

/** A value as a message shows it: short, with its type visible. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
    case 'bigint':
      return `${value}n`;
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    case 'object':
      if (value === null) return 'null';
      if (Array.isArray(value)) return `an array of ${value.length}`;
      return `an object (${(Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null)?.constructor?.name ?? 'no class'})`;
    default:
      return String(value);
  }
}

function nested(step: string, reason: string): string {
  const path = /^[\w$[\].]+: /.exec(reason);
  if (path === null) return `${step}: ${reason}`;
  return reason.startsWith('[') ? step + reason : `${step}.${reason}`;
}

function article(tag: string): string {
  return `${/^[aeiof]/.test(tag) ? 'an' : 'a'} ${tag}`;
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 12).map(name => `'${name}'`);
  return names.length > 12 ? `${shown.join(', ')} … (${names.length} names)` : shown.join(', ');
}

/** Something that can be read twice: once here, once when it is stored. An iterator cannot. */
function isSequence(value: unknown): value is Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const { [Symbol.iterator]: iterate } = value as { [Symbol.iterator]?: () => unknown };
  return typeof iterate === 'function' && iterate.call(value) !== value;
}

function isU32(value: unknown): boolean {
  return typeof value === 'number' && value >>> 0 === value;
}
