import { SchemaError } from './errors.ts';
import {
  describeKind,
  hasMachine,
  makeKind,
  type AnyKind,
  type FieldKind,
  type KeyTag,
  type KindBase,
} from './kind.ts';
import { arraySize, bitsSize, kindOf, LINK_BYTES, listLayout, mapLayout, queueLayout, setLayout } from './layout.ts';
import { BITS_MAX, COUNT_MAX } from './limits.ts';
import type { InOf } from './types.ts';
import type { Bits } from './views.ts';

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
/** The kind of `array(element)`, which grows. Never sent to clients, as all kinds below. */
export interface VectorKind<E> extends KindBase<any, any, false, 'vector'> {
  readonly [ELEMENT]: E;
}
/** The kind of `list(element)`. */
export interface ListKind<E> extends KindBase<any, any, false, 'list'> {
  readonly [ELEMENT]: E;
}
/** The kind of `map(key, value)`. */
export interface MapKind<K, V> extends KindBase<any, any, false, 'map'> {
  readonly [KEY]: K;
  readonly [ELEMENT]: V;
}
/** The kind of `set(key)`. */
export interface SetKind<K> extends KindBase<any, any, false, 'set'> {
  readonly [KEY]: K;
}
/** The kind of `sorted(key, value)`. */
export interface SortedKind<K, V> extends KindBase<any, any, false, 'sorted'> {
  readonly [KEY]: K;
  readonly [ELEMENT]: V;
}
/** The kind of `queue(element)`. */
export interface QueueKind<E> extends KindBase<any, any, false, 'queue'> {
  readonly [ELEMENT]: E;
}
/** The kind of `bits()`. As plain data it is the numbers of the bits that are set, ascending. */
export interface BitsKind extends KindBase<Bits, Iterable<number>, false, 'bits'> {}

/** What a map or a set may be keyed by. */
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

/** Elements of one kind by index. With `n`: always n of them, in the record itself. Without: as many as there are, in the
 * heap, with push, pop, insert, splice and sort.
 * @param n 1..2^24 */
export function array<E extends FieldKind>(element: E): VectorKind<E>;
export function array<E extends FieldKind>(element: E, n: number): ArrayKind<E, false>;
export function array(element: FieldKind, ...limit: [number?]): any {
  const n = limitOf('array', limit);
  if (n === 0) return makeKind({ tag: 'vector', ...LINK, element: elementOf(element, 'array(…)') });
  const kind = elementOf(element, `array(…, ${n})`);
  return makeKind({ tag: 'array', ...arraySize(kind, n), element: kind, length: n });
}

/** Elements of one kind, linked: O(1) at both ends, at a cursor and for removing a known element. Grows in the heap, or
 * with a capacity lies in the record itself.
 * @param capacity 1..2^24 */
export function list<E extends FieldKind>(element: E, capacity?: number): ListKind<E>;
export function list(element: FieldKind, ...limit: [number?]): any {
  const capacity = limitOf('list', limit);
  const kind = elementOf(element, `list(…${upTo(capacity)})`);
  const { bytes, align } = capacity === 0 ? LINK : listLayout({ element: kind, capacity });
  return makeKind({ tag: 'list', bytes, align, element: kind, capacity });
}

/** Values under keys: O(1) access, iterates in the order of insertion. Grows in the heap, or with a capacity lies in the
 * record itself.
 * @param key a whole number, bigint, text, oneOf or ref kind
 * @param capacity 1..2^24 */
export function map<K extends KeyKind, V extends FieldKind>(key: K, value: V, capacity?: number): MapKind<K, V>;
export function map(key: KeyKind, value: FieldKind, ...limit: [number?]): any {
  const capacity = limitOf('map', limit);
  const keyKind = keyOf(key, 'map');
  const valueKind = elementOf(value, `map(${describeKind(keyKind)}, …${upTo(capacity)})`);
  const { bytes, align } = capacity === 0 ? LINK : mapLayout({ key: keyKind, value: valueKind, capacity });
  return makeKind({ tag: 'map', bytes, align, key: keyKind, value: valueKind, capacity });
}

/** Keys, each once: O(1) access, iterates in the order of insertion. Grows in the heap, or with a capacity lies in the
 * record itself.
 * @param key a whole number, bigint, text, oneOf or ref kind
 * @param capacity 1..2^24 */
export function set<K extends KeyKind>(key: K, capacity?: number): SetKind<K>;
export function set(key: KeyKind, ...limit: [number?]): any {
  const capacity = limitOf('set', limit);
  const keyKind = keyOf(key, 'set');
  const { bytes, align } = capacity === 0 ? LINK : setLayout({ key: keyKind, capacity });
  return makeKind({ tag: 'set', bytes, align, key: keyKind, capacity });
}

/** Values under keys in the order of the keys, in the heap: O(log n) access, ranges, and ranks. Numbers by size, texts as
 * `<` compares them, oneOf by the place of the name, refs by slot, then generation.
 * @param key a whole number, bigint, text, oneOf or ref kind */
export function sorted<K extends KeyKind, V extends FieldKind>(key: K, value: V): SortedKind<K, V> {
  const keyKind = keyOf(key, 'sorted');
  const valueKind = elementOf(value, `sorted(${describeKind(keyKind)}, …)`);
  return makeKind({ tag: 'sorted', ...LINK, key: keyKind, value: valueKind, capacity: 0 });
}

/** First in, first out: O(1) at both of its ends. Grows in the heap, or with a capacity lies in the record
 * itself.
 * @param capacity 1..2^24 */
export function queue<E extends FieldKind>(element: E, capacity?: number): QueueKind<E>;
export function queue(element: FieldKind, ...limit: [number?]): any {
  const capacity = limitOf('queue', limit);
  const kind = elementOf(element, `queue(…${upTo(capacity)})`);
  const { bytes, align } = capacity === 0 ? LINK : queueLayout({ element: kind, capacity });
  return makeKind({ tag: 'queue', bytes, align, element: kind, capacity });
}

/** Bits by number. With `n`: the bits 0..n-1, in the record itself. Without: as far as one was set, in the heap.
 * @param n 1..2^30 */
export function bits(n?: number): BitsKind;
export function bits(...limit: [number?]): any {
  const n = limitOf('bits', limit, BITS_MAX);
  if (n === 0) return makeKind({ tag: 'bits', ...LINK, length: 0 });
  return makeKind({ tag: 'bits', bytes: bitsSize(n), align: 4, length: n });
}

const LINK = { bytes: LINK_BYTES, align: 4 } as const;

/** The kind of an element or a value. @internal */
export function elementOf(element: unknown, where: string): AnyKind {
  const kind = kindOf(element, `the element of ${where}`);
  if (hasMachine(kind))
    throw new SchemaError(
      'SCHEMA_KIND',
      `the element of ${where} is ${kind.tag === 'machine' ? 'a machine' : `${describeKind(kind)}, which has a machine`}: a machine is a field of a record, its timeout has to find it again`,
    );
  if (kind.bytes === 0) throw new SchemaError('SCHEMA_KIND', `the element of ${where} has no fields`);
  return kind;
}

function keyOf(key: unknown, what: string): AnyKind {
  const kind = kindOf(key, `the key of a ${what}`);
  if (KEY_TAGS.includes(kind.tag)) return kind;
  throw new SchemaError(
    'SCHEMA_KIND',
    `a ${what} cannot be keyed by ${describeKind(kind)}: use a whole number, text, oneOf or ref`,
  );
}

function upTo(capacity: number): string {
  return capacity === 0 ? '' : `, ${capacity}`;
}

// A limit that was given as undefined is a slip, not a wish to grow.
function limitOf(what: string, limit: readonly unknown[], most = COUNT_MAX): number {
  if (limit.length === 0) return 0;
  const [n] = limit;
  if (typeof n === 'number' && Number.isInteger(n) && n >= 1 && n <= most) return n;
  const name = what === 'array' || what === 'bits' ? 'length' : 'capacity';
  throw new SchemaError(
    'SCHEMA_KIND',
    `${what} takes a ${name} of 1..${most}, not ${String(n)}; leave it out and the ${what} grows`,
  );
}
