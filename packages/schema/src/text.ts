import { SchemaError } from './errors.ts';
import { makeKind, type Kind } from './kind.ts';
import { bytesSize, textSize } from './layout.ts';

/** A string of at most n UTF-16 units, as `.length` counts them.
 * @param n 1..32767 */
export function text(n: number): Kind<string, string, false, 'text'> {
  if (!Number.isInteger(n) || n < 1 || n > 0x7fff)
    throw new SchemaError('SCHEMA_KIND', `text(n) takes n = 1..32767, not ${n}`);
  return makeKind({ tag: 'text', bytes: textSize(n), align: 4, length: n });
}

/** At most n bytes. Reading gives a copy, so that what is read stays what it was.
 * @param n 1..2^24 */
export function bytes(n: number): Kind<Uint8Array, Uint8Array, false, 'bytes'> {
  if (!Number.isInteger(n) || n < 1 || n > 0x100_0000)
    throw new SchemaError('SCHEMA_KIND', `bytes(n) takes n = 1..16777216, not ${n}`);
  return makeKind({ tag: 'bytes', bytes: bytesSize(n), align: 4, length: n });
}
