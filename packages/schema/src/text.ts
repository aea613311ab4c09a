import { SchemaError } from './errors.ts';
import { makeKind, type Kind, type KindBase } from './kind.ts';
import { bytesSize, LONG_BYTES, textSize } from './layout.ts';

/** The kind of `text()`: a string of any length, in the heap. Never sent to clients. */
export interface LongTextKind extends KindBase<string, string, false, 'text'> {
  readonly length: 0;
}
/** The kind of `bytes()`: any number of bytes, in the heap. Never sent to clients. */
export interface LongBytesKind extends KindBase<Uint8Array, Uint8Array, false, 'bytes'> {
  readonly length: 0;
}

/** A string. With `n`: of at most n UTF-16 units, as `.length` counts them, in the record itself. Without: of any length,
 * in the heap; it starts empty and is not sent to clients.
 * @param n 1..32767 */
export function text(): LongTextKind;
export function text(n: number): Kind<string, string, false, 'text'>;
export function text(...limit: [number?]): any {
  const [n] = limit;
  if (limit.length === 0) return makeKind({ tag: 'text', bytes: LONG_BYTES, align: 4, length: 0 });
  if (!isCount(n, 0x7fff)) throw new SchemaError('SCHEMA_KIND', `text(n) takes n = 1..32767, not ${n}`);
  return makeKind({ tag: 'text', bytes: textSize(n), align: 4, length: n });
}

/** Bytes, with `n` at most n of them in the record itself, without in the heap. Reading gives a copy, so that what is
 * read stays what it was.
 * @param n 1..2^24 */
export function bytes(): LongBytesKind;
export function bytes(n: number): Kind<Uint8Array, Uint8Array, false, 'bytes'>;
export function bytes(...limit: [number?]): any {
  const [n] = limit;
  if (limit.length === 0) return makeKind({ tag: 'bytes', bytes: LONG_BYTES, align: 4, length: 0 });
  if (!isCount(n, 0x100_0000)) throw new SchemaError('SCHEMA_KIND', `bytes(n) takes n = 1..16777216, not ${n}`);
  return makeKind({ tag: 'bytes', bytes: bytesSize(n), align: 4, length: n });
}

function isCount(n: unknown, most: number): n is number {
  return typeof n === 'number' && Number.isInteger(n) && n >= 1 && n <= most;
}
