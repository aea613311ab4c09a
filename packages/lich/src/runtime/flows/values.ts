/** Values in the record of a flow: what it was started with, what its steps gave. Plain data, tagged, little-endian; a flow
 * sees what was recorded from the first time on, so a re-run never sees another value than the run before it.
 *
 *   TAG  IS           FOLLOWED BY
 *     0  undefined
 *     1  null
 *     2  false
 *     3  true
 *     4  whole        i32
 *     5  number       f64
 *     6  bigint       length u32, digits in UTF-8
 *     7  string       length u32 in bytes, UTF-8; half a character becomes U+FFFD
 *     8  bytes        length u32, bytes
 *     9  array        count u32, values
 *    10  object       count u32, (key: length u32, UTF-8; value) × count
 *
 * What is no plain data is refused: a record or a container of the state, because it would be read outside `ctx.do`; and
 * functions, promises, dates, maps and instances of classes, because a re-run could not be given the same. */
import { recordRefOf } from '@lich/schema';
import { RuntimeError } from '../errors.ts';

const TEXT = new TextEncoder();
const STRING = new TextDecoder('utf-8', { fatal: true });
/** Objects in objects. */
const DEPTH_MAX = 64;

class Out {
  bytes = new Uint8Array(256);
  view = new DataView(this.bytes.buffer);
  length = 0;

  room(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      bytes.set(this.bytes);
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    }
    return at;
  }

  u8(value: number): void {
    const at = this.room(1);
    this.bytes[at] = value;
  }

  u32(value: number): void {
    const at = this.room(4);
    this.view.setUint32(at, value, true);
  }

  raw(bytes: Uint8Array): void {
    this.u32(bytes.length);
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }
}

/** @param what named in errors
 * @param refs records become `{ slot, generation }` instead of being refused
 * @throws RuntimeError `RUNTIME_FLOW_STATE`, `RUNTIME_FLOW_VALUE` */
export function encode(value: unknown, what: string, refs = false): Uint8Array {
  const out = new Out();
  write(out, value, what, refs, 0);
  return out.bytes.subarray(0, out.length);
}

function write(out: Out, value: unknown, what: string, refs: boolean, depth: number): void {
  switch (typeof value) {
    case 'undefined':
      return out.u8(0);
    case 'boolean':
      return out.u8(value ? 3 : 2);
    case 'number': {
      const whole = (value | 0) === value && !Object.is(value, -0);
      out.u8(whole ? 4 : 5);
      const at = out.room(whole ? 4 : 8);
      if (whole) out.view.setInt32(at, value, true);
      else out.view.setFloat64(at, value, true);
      return;
    }
    case 'bigint':
      out.u8(6);
      return out.raw(TEXT.encode(String(value)));
    case 'string':
      out.u8(7);
      return out.raw(TEXT.encode(value));
    case 'object':
      return writeObject(out, value, what, refs, depth);
    default:
      refuse(what, `a ${typeof value}`);
  }
}

function writeObject(out: Out, value: object | null, what: string, refs: boolean, depth: number): void {
  if (value === null) return out.u8(1);
  if (depth >= DEPTH_MAX) refuse(what, `objects in objects, more than ${DEPTH_MAX} deep, or a circle`);
  if (value instanceof Uint8Array) {
    out.u8(8);
    return out.raw(value);
  }
  if (Array.isArray(value)) {
    out.u8(9);
    out.u32(value.length);
    for (let k = 0; k < value.length; k++) write(out, value[k], `${what}[${k}]`, refs, depth + 1);
    return;
  }
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== null && prototype !== Object.prototype) {
    const ref = recordRefOf(value);
    if (ref !== undefined && refs)
      return writeObject(out, { slot: ref.slot, generation: ref.generation }, what, refs, depth);
    const name = (value as { constructor?: { name?: string } }).constructor?.name || 'an object with a prototype';
    if (ref !== undefined)
      throw new RuntimeError(
        'RUNTIME_FLOW_STATE',
        `${what} is a record (${name}): state is seen inside ctx.do alone; return its values, or its ref`,
      );
    refuse(what, name);
  }
  const entries = Object.entries(value);
  out.u8(10);
  out.u32(entries.length);
  for (const [key, of] of entries) {
    out.raw(TEXT.encode(key));
    write(out, of, `${what}.${key}`, refs, depth + 1);
  }
}

function refuse(what: string, is: string): never {
  throw new RuntimeError(
    'RUNTIME_FLOW_VALUE',
    `${what} is ${is}: the record of a flow holds plain data (numbers, texts, bigints, bytes, arrays, plain objects)`,
  );
}

export function decode(bytes: Uint8Array): unknown {
  return new In(bytes).value();
}

class In {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #skip(count: number): number {
    const at = this.#at;
    this.#at += count;
    return at;
  }

  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #raw(): Uint8Array {
    const length = this.#u32();
    const at = this.#skip(length);
    return this.#bytes.slice(at, at + length);
  }

  value(): unknown {
    const tag = this.#bytes[this.#skip(1)];
    switch (tag) {
      case 0:
        return undefined;
      case 1:
        return null;
      case 2:
        return false;
      case 3:
        return true;
      case 4:
        return this.#view.getInt32(this.#skip(4), true);
      case 5:
        return this.#view.getFloat64(this.#skip(8), true);
      case 6:
        return BigInt(STRING.decode(this.#raw()));
      case 7:
        return STRING.decode(this.#raw());
      case 8:
        return this.#raw();
      case 9:
        return Array.from({ length: this.#u32() }, () => this.value());
      case 10: {
        const count = this.#u32();
        const object: Record<string, unknown> = {};
        for (let k = 0; k < count; k++) {
          const key = STRING.decode(this.#raw());
          const value = this.value();
          if (key === '__proto__')
            Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
          else object[key] = value;
        }
        return object;
      }
      default:
        throw new RangeError(`a flow's record has a value with tag ${tag}`);
    }
  }
}
