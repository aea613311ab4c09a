/** The client wire format: little-endian, byte-aligned, one encoding per value.
 *
 *   u8 u16 u32 u64 f32 f64   1, 2, 4, 8, 4, 8 bytes
 *   varint                   0..2^53-1, 7 bits a byte, low bits first, high bit = more follows; 1..8 bytes
 *   zigzag                   ±(2^53-1) as varint of 0, -1, 1, -2 … = 0, 1, 2, 3 …; 1..8 bytes
 *   text                     varint byte count, UTF-8
 *   bytes                    varint count, bytes
 *
 * The writer trusts its caller and checks ranges where kinds are known (codec.ts); the reader trusts nobody: it never
 * reads outside its bytes and allocates nothing before it has seen that the bytes for it are there. */
import { SchemaError } from './errors.ts';

const WRITER_BYTES_MAX = 0x4000_0000;
// Shared by all: nothing is kept in them from one call to the next.
const floats = new Float64Array(1);
const singles = new Float32Array(floats.buffer);
const words = new Uint32Array(floats.buffer);
const bigs = new BigUint64Array(floats.buffer);
const LOW = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Up to this many units or bytes a loop beats the platform's coder. */
const SHORT_TEXT = 48;

/** Builds a frame in a buffer that grows and is used again: `reset()`, write, then `view()` or `finish()`. */
export class Writer {
  /** Bytes written. May be set back to undo what was written last. */
  length = 0;
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(initialBytes = 1024) {
    this.#bytes = new Uint8Array(initialBytes);
  }

  reset(): this {
    this.length = 0;
    return this;
  }

  /** What was written, without a copy: overwritten by the next use. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length);
  }

  /** A copy of what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }

  u8(value: number): void {
    const at = this.#claim(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.#claim(2);
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
  }

  u32(value: number): void {
    const at = this.#claim(4);
    this.#word(at, value);
  }

  u64(value: bigint): void {
    const at = this.#claim(8);
    bigs[0] = value;
    this.#word(at, words[LOW]);
    this.#word(at + 4, words[HIGH]);
  }

  f32(value: number): void {
    const at = this.#claim(4);
    singles[0] = value;
    this.#word(at, words[0]);
  }

  f64(value: number): void {
    const at = this.#claim(8);
    floats[0] = value;
    this.#word(at, words[LOW]);
    this.#word(at + 4, words[HIGH]);
  }

  /** @param value a whole number 0..2^53-1 */
  varint(value: number): void {
    let at = this.#claim(8);
    const bytes = this.#bytes;
    let rest = value;
    while (rest > 0x7fff_ffff) {
      bytes[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  /** @param value a safe integer */
  zigzag(value: number): void {
    // Twice the value may pass 2^53, so the lowest byte, which has the sign, is split off first.
    const magnitude = value < 0 ? -(value + 1) : value;
    const low = ((magnitude % 0x40) << 1) | (value < 0 ? 1 : 0);
    if (magnitude < 0x40) {
      this.u8(low);
      return;
    }
    this.u8(low | 0x80);
    this.varint(Math.floor(magnitude / 0x40));
  }

  /** A lone surrogate, which UTF-8 cannot say, is sent as U+FFFD. */
  text(value: string): void {
    const units = value.length;
    if (units > SHORT_TEXT) {
      const encoded = encoder.encode(value);
      this.bytes(encoded);
      return;
    }
    // At most 3 bytes a unit; 48 units are 144 bytes, whose count may take two bytes. ASCII is the common case.
    const start = this.#claim(2 + 3 * units);
    const bytes = this.#bytes;
    let at = start + 1;
    for (let i = 0; i < units; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) {
        this.length = start;
        this.bytes(encoder.encode(value));
        return;
      }
      bytes[at++] = unit;
    }
    bytes[start] = units;
    this.length = at;
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  /** The bytes alone, without a count. */
  raw(value: Uint8Array): void {
    const at = this.#claim(value.length);
    this.#bytes.set(value, at);
  }

  #word(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  #claim(count: number): number {
    const at = this.length;
    const end = at + count;
    if (end > this.#bytes.length) this.#grow(end);
    this.length = end;
    return at;
  }

  #grow(needed: number): void {
    if (needed > WRITER_BYTES_MAX)
      throw new SchemaError('SCHEMA_RANGE', `a frame of ${needed} bytes, more than ${WRITER_BYTES_MAX}`);
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }
}

const EMPTY = new Uint8Array(0);

/** Reads a frame from the start. Every method throws SchemaError `SCHEMA_WIRE` when the bytes are not there or do not
 * say such a value; the place of the reader is then undefined. */
export class Reader {
  /** Bytes read. */
  at = 0;
  #bytes: Uint8Array;

  constructor(bytes: Uint8Array = EMPTY) {
    this.#bytes = EMPTY;
    this.reset(bytes);
  }

  /** Start over with other bytes, which must not change while they are read. */
  reset(bytes: Uint8Array): this {
    // Not the object itself: a Node Buffer slices without copying.
    this.#bytes =
      bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    return this;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.at;
  }

  /** @throws SchemaError `SCHEMA_WIRE` unless everything was read */
  end(): void {
    if (this.left !== 0) malformed(`${this.left} bytes too many`, this.at);
  }

  u8(): number {
    return this.#bytes[this.#claim(1)];
  }

  u16(): number {
    const at = this.#claim(2);
    return this.#bytes[at] | (this.#bytes[at + 1] << 8);
  }

  u32(): number {
    return this.#word(this.#claim(4));
  }

  u64(): bigint {
    const at = this.#claim(8);
    words[LOW] = this.#word(at);
    words[HIGH] = this.#word(at + 4);
    return bigs[0];
  }

  f32(): number {
    words[0] = this.#word(this.#claim(4));
    return singles[0];
  }

  f64(): number {
    const at = this.#claim(8);
    words[LOW] = this.#word(at);
    words[HIGH] = this.#word(at + 4);
    return floats[0];
  }

  varint(): number {
    const first = this.u8();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0) malformed('a number with a byte too many', this.at);
        if (value > Number.MAX_SAFE_INTEGER) malformed('a number past 2^53', this.at);
        return value;
      }
      scale *= 0x80;
      if (scale > 0x2_0000_0000_0000) malformed('a number past 2^53', this.at);
    }
  }

  zigzag(): number {
    const low = this.u8();
    let magnitude = (low & 0x7f) >>> 1;
    if (low >= 0x80) {
      const high = this.varint();
      if (high === 0) malformed('a number with a byte too many', this.at);
      magnitude += high * 0x40;
    }
    const value = (low & 1) === 1 ? -magnitude - 1 : magnitude;
    if (!Number.isSafeInteger(value)) malformed('a number past 2^53', this.at);
    return value;
  }

  /** @param unitsMax most UTF-16 units */
  text(unitsMax: number): string {
    const count = this.varint();
    if (count > 3 * unitsMax) malformed(`a text of ${count} bytes where ${unitsMax} characters fit`, this.at);
    const at = this.#claim(count);
    const bytes = this.#bytes;
    if (count <= SHORT_TEXT) {
      let ascii = '';
      let i = 0;
      while (i < count && bytes[at + i] < 0x80) ascii += String.fromCharCode(bytes[at + i++]);
      if (i === count)
        return count > unitsMax ? malformed(`a text of ${count} characters where ${unitsMax} fit`, this.at) : ascii;
    }
    let value: string;
    try {
      value = decoder.decode(bytes.slice(at, at + count)); // a copy: decoders refuse shared memory
    } catch (error) {
      return malformed('a text that is not UTF-8', at, error);
    }
    if (value.length > unitsMax) malformed(`a text of ${value.length} characters where ${unitsMax} fit`, this.at);
    return value;
  }

  /** A copy. @param most bytes that are acceptable */
  bytes(most: number): Uint8Array<ArrayBuffer> {
    const count = this.varint();
    if (count > most) malformed(`${count} bytes where ${most} fit`, this.at);
    const at = this.#claim(count);
    return new Uint8Array(this.#bytes.subarray(at, at + count));
  }

  /** The next `count` bytes in place, not copied: valid as long as the frame is. */
  raw(count: number): Uint8Array {
    const at = this.#claim(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** All that is left, in place. */
  rest(): Uint8Array {
    return this.raw(this.left);
  }

  #word(at: number): number {
    const bytes = this.#bytes;
    return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
  }

  #claim(count: number): number {
    const at = this.at;
    if (count > this.#bytes.length - at)
      malformed(`cut short: ${count} bytes are needed, ${this.#bytes.length - at} are left`, at);
    this.at = at + count;
    return at;
  }
}

/** @internal */
export function malformed(why: string, at: number, cause?: unknown): never {
  throw new SchemaError('SCHEMA_WIRE', `malformed at byte ${at}: ${why}`, {
    severity: 'warn',
    ...(cause === undefined ? undefined : { cause }),
  });
}
