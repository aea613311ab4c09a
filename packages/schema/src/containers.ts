import { SchemaError } from './errors.ts';
import { describeKind, makeKind, type FieldKind, type KeyTag, type KindBase } from './kind.ts';
import { arraySize, kindOf, listLayout, mapLayout } from './layout.ts';
import type { InOf } from './types.ts';

// Carry types only; no object has them.
declare const ELEMENT: unique symbol;
declare const KEY: unique symbol;

// What these read and take is worked out from the element when it is used (types.ts), not here: a class may then have
// containers of refs to itself, whose type is not known while its own base is.

/** The kind of `array(element, n)`. */
export interface ArrayKind<E, Syncs extends boolean = boolean> extends KindBase<any, any, Syncs, 'array'> {
  readonly [ELEMENT]: E;
  readonly sync: ArrayKind<E, true>;
  /** What `values` does not reach starts as zero. */
  init(values: readonly InOf<E>[]): ArrayKind<E, Syncs>;
}
/** The kind of `list(element, capacity)`. Never sent to clients. */
export interface ListKind<E> extends KindBase<any, any, false, 'list'> {
  readonly [ELEMENT]: E;
}
/** The kind of `map(key, value, capacity)`. Never sent to clients. */
export interface MapKind<K, V> extends KindBase<any, any, false, 'map'> {
  readonly [KEY]: K;
  readonly [ELEMENT]: V;
}

/** What a map may be keyed by. */
export type KeyKind = KindBase<any, any, boolean, KeyTag>;

const KEY_TAGS: readonly string[] = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'u64',
  'i64',
  'int',
  'oneOf',
  'text',
  'ref',
];

/** Always n elements of one kind.
 * @param n 1..2^24 */
export function array<E extends FieldKind>(element: E, n: number): ArrayKind<E, false> {
  checkCount('array', n);
  const kind = elementOf(element, `array(…, ${n})`);
  return makeKind({ tag: 'array', ...arraySize(kind, n), element: kind, length: n });
}

/** Up to `capacity` elements of one kind, linked: O(1) at both ends and for removing a known element.
 * @param capacity 1..2^24 */
export function list<E extends FieldKind>(element: E, capacity: number): ListKind<E> {
  checkCount('list', capacity);
  const kind = elementOf(element, `list(…, ${capacity})`);
  const { bytes, align } = listLayout({ element: kind, capacity });
  return makeKind({ tag: 'list', bytes, align, element: kind, capacity });
}

/** Up to `capacity` values under keys: O(1) access, iterates in the order of insertion.
 * @param key a whole number, bigint, text, oneOf or ref kind
 * @param capacity 1..2^24 */
export function map<K extends KeyKind, V extends FieldKind>(key: K, value: V, capacity: number): MapKind<K, V> {
  checkCount('map', capacity);
  const keyKind = kindOf(key, 'the key of a map');
  if (!KEY_TAGS.includes(keyKind.tag)) {
    throw new SchemaError(
      'SCHEMA_KIND',
      `a map cannot be keyed by ${describeKind(keyKind)}: use a whole number, text, oneOf or ref`,
    );
  }
  const valueKind = elementOf(value, `map(${describeKind(keyKind)}, …, ${capacity})`);
  const { bytes, align } = mapLayout({ key: keyKind, value: valueKind, capacity });
  return makeKind({ tag: 'map', bytes, align, key: keyKind, value: valueKind, capacity });
}

function elementOf(element: unknown, where: string) {
  const kind = kindOf(element, `the element of ${where}`);
  if (kind.tag === 'list' || kind.tag === 'map') {
    throw new SchemaError(
      'SCHEMA_KIND',
      `the element of ${where} is a ${kind.tag}: wrap it in a struct class with that field`,
    );
  }
  if (kind.bytes === 0) throw new SchemaError('SCHEMA_KIND', `the element of ${where} has no fields`);
  return kind;
}

function checkCount(what: string, n: number): void {
  if (!Number.isInteger(n) || n < 1 || n > 0x100_0000) {
    throw new SchemaError(
      'SCHEMA_KIND',
      `${what} takes a ${what === 'array' ? 'length' : 'capacity'} of 1..16777216, not ${String(n)}`,
    );
  }
}
