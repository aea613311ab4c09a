// HOT: measured by benchmarks/state
/** Text and bytes in place.
 *
 *   text(n)   [length u16][n UTF-16 units][0…]      bytes(n)  [length u32][n bytes][0…]
 *
 * Units beyond the length keep what an earlier, longer value left there and mean nothing. */
import type { Arrays } from './memory.ts';
import type { LogCore } from './undo-log.ts';

const fromCharCode = String.fromCharCode;

/** Texts that were read lately, by place. A hit is compared unit by unit with what is stored: making a string of 24 units
 * takes 110 ns, comparing one 30. */
const recent: string[] = new Array<string>(1024).fill('');
const CACHED_FROM = 6;
const CACHED_TO = 64;
/** Texts above this are made by one call of the platform. */
const LONG_FROM = 256;

/** @param word where the text begins
 * @param most its n: a length beyond it is cut */
export function readText(u16: Uint16Array, word: number, most: number): string {
  let length = u16[word * 2];
  if (length > most) length = most;
  return readUnits(u16, word * 2 + 1, length);
}

/** @param from unit, @param length units */
export function readUnits(u16: Uint16Array, from: number, length: number): string {
  if (length < CACHED_FROM || length > CACHED_TO)
    return length > LONG_FROM ? longText(u16, from, length) : makeText(u16, from, length);
  const place = ((from >>> 1) ^ (from >>> 11)) & 1023;
  const known = recent[place];
  return known.length === length && equalsUnits(u16, from, known)
    ? known
    : (recent[place] = makeText(u16, from, length));
}

function longText(u16: Uint16Array, from: number, length: number): string {
  return Buffer.from(u16.buffer, u16.byteOffset + from * 2, length * 2).toString('utf16le');
}

function makeText(u16: Uint16Array, from: number, units: number): string {
  let at = from;
  let length = units;
  let text = '';
  for (; length >= 8; length -= 8, at += 8) {
    text += fromCharCode(
      u16[at],
      u16[at + 1],
      u16[at + 2],
      u16[at + 3],
      u16[at + 4],
      u16[at + 5],
      u16[at + 6],
      u16[at + 7],
    );
  }
  switch (length) {
    case 1:
      return text + fromCharCode(u16[at]);
    case 2:
      return text + fromCharCode(u16[at], u16[at + 1]);
    case 3:
      return text + fromCharCode(u16[at], u16[at + 1], u16[at + 2]);
    case 4:
      return text + fromCharCode(u16[at], u16[at + 1], u16[at + 2], u16[at + 3]);
    case 5:
      return text + fromCharCode(u16[at], u16[at + 1], u16[at + 2], u16[at + 3], u16[at + 4]);
    case 6:
      return text + fromCharCode(u16[at], u16[at + 1], u16[at + 2], u16[at + 3], u16[at + 4], u16[at + 5]);
    case 7:
      return text + fromCharCode(u16[at], u16[at + 1], u16[at + 2], u16[at + 3], u16[at + 4], u16[at + 5], u16[at + 6]);
    default:
      return text;
  }
}

/** Logged store; the value was checked. */
export function writeText(mem: Arrays, log: LogCore, word: number, value: string): void {
  const { length } = value;
  const words = (length + 2) >> 1;
  if (words <= 2) for (let k = 0; k < words; k++) log.log(word + k);
  else log.keep(word, words);
  const u16 = mem.u16;
  const at = word * 2 + 1;
  u16[at - 1] = length;
  for (let k = 0; k < length; k++) u16[at + k] = value.charCodeAt(k);
}

/** Are the stored units those of `value`? */
export function equalsText(u16: Uint16Array, word: number, value: string): boolean {
  return u16[word * 2] === value.length && equalsUnits(u16, word * 2 + 1, value);
}

/** The same, from a unit on. */
export function equalsUnits(u16: Uint16Array, at: number, value: string): boolean {
  const { length } = value;
  for (let k = 0; k < length; k++) if (u16[at + k] !== value.charCodeAt(k)) return false;
  return true;
}

/** A copy of the stored bytes in memory of this process. */
export function readBytes(mem: Arrays, word: number, most: number): Uint8Array {
  const length = Math.min(mem.u32[word], most);
  const copy = new Uint8Array(length);
  const at = word * 4 + 4;
  const u8 = mem.u8;
  for (let k = 0; k < length; k++) copy[k] = u8[at + k];
  return copy;
}

/** Logged store; the value was checked. */
export function writeBytes(mem: Arrays, log: LogCore, word: number, value: Uint8Array): void {
  const { length } = value;
  log.keep(word, 1 + ((length + 3) >> 2));
  mem.u32[word] = length;
  const at = word * 4 + 4;
  const u8 = mem.u8;
  for (let k = 0; k < length; k++) u8[at + k] = value[k];
}
