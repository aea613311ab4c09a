/** Keys of maps and sets: how they are hashed and compared. The hash is part of the format: a segment that one process made
 * is looked up by the next.
 *
 *   whole numbers of 32 bits and less, and `int` within 32 bits     mix(n)
 *   int beyond, u64, i64, ref (slot, generation)                    mix(lo ^ mix(hi)), of the words that are stored
 *   oneOf                                                           mix(index of the name)
 *   text                                                            mix(FNV-1a over its units)                         */
import type { AnyKind } from '@lich/schema';
import { refWords } from './ref-words.ts';
import { decode } from './decode.ts';
import { equalsLongText, readLongText } from './long-text.ts';
import type { Arrays, StoreContext } from './memory.ts';
import { equalsText, readText } from './text.ts';

/** Spread the bits of one word (after: "lowbias32" of C. Wellons' hash prospector). */
export function mix(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x7feb_352d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x846c_a68b | 0);
  return h ^ (h >>> 16);
}

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);
const scratchBig = new BigUint64Array(scratch.buffer);

/** Of an int that is no 32-bit number. */
export function hashWide(key: number): number {
  scratch[0] = key;
  return mix(scratchWords[0] ^ mix(scratchWords[1]));
}

export function hashInt(key: number): number {
  return (key | 0) === key ? mix(key) : hashWide(key);
}

export function hashText(text: string): number {
  let h = 0x811c_9dc5;
  for (let k = 0; k < text.length; k++) h = Math.imul(h ^ text.charCodeAt(k), 0x0100_0193);
  return mix(h);
}

/** The same for units in memory. @param from unit */
export function hashUnits(u16: Uint16Array, from: number, length: number): number {
  let h = 0x811c_9dc5;
  for (let k = 0; k < length; k++) h = Math.imul(h ^ u16[from + k], 0x0100_0193);
  return mix(h);
}

/** Keys of a kind in the form in which they are compared: whole numbers as themselves, names as their index, texts as
 * texts, bigints and refs as one number of 64 bits. */
export interface KeyForm {
  /** A key as it is looked up; undefined when this cannot be a key. */
  probe(key: unknown): unknown;
  hash(probe: unknown): number;
  /** Is the key of this entry the probe? @param entry word of the entry */
  equals(entry: number, probe: unknown): boolean;
  /** The probe of a stored key. */
  stored(entry: number): unknown;
  /** Its hash. */
  storedHash(entry: number): number;
}

/** @param offset bytes from an entry to its key
 * @param context to look up records as keys; undefined to look at what is stored only
 * @param heapWord word of link 0 of the heap */
export function keyForm(
  mem: Arrays,
  kind: AnyKind,
  offset: number,
  context: StoreContext | undefined,
  heapWord: number,
): KeyForm {
  const bare = formOf(mem, kind, offset, context, heapWord);
  return { ...bare, storedHash: bare.storedHash ?? (entry => bare.hash(bare.stored(entry))) };
}

type Bare = Omit<KeyForm, 'storedHash'> & Partial<KeyForm>;

function formOf(mem: Arrays, kind: AnyKind, offset: number, context: StoreContext | undefined, heapWord: number): Bare {
  const at = offset / 4;
  const hashBig = (probe: unknown): number => {
    scratchBig[0] = probe as bigint;
    return mix(scratchWords[0] ^ mix(scratchWords[1]));
  };
  switch (kind.tag) {
    case 'text': {
      const { u16, u32 } = mem;
      const form = { probe: asText, hash: (probe: unknown) => hashText(probe as string) };
      if (kind.length > 0) {
        return {
          ...form,
          equals: (entry, probe) => equalsText(u16, entry + at, probe as string),
          stored: entry => readText(u16, entry + at, kind.length),
          storedHash: entry => hashUnits(u16, (entry + at) * 2 + 1, Math.min(u16[(entry + at) * 2], kind.length)),
        };
      }
      return {
        ...form,
        equals: (entry, probe) => equalsLongText(mem, heapWord, entry + at, probe as string),
        stored: entry => readLongText(mem, entry + at, { heapWord }),
        storedHash: entry => hashUnits(u16, (heapWord + u32[entry + at]) * 2, u32[entry + at + 1]),
      };
    }
    case 'int': {
      const { f64 } = mem;
      return {
        probe: asNumber,
        hash: probe => hashInt(probe as number),
        equals: (entry, probe) => f64[(entry + at) / 2] === probe,
        stored: entry => f64[(entry + at) / 2],
      };
    }
    case 'u64':
    case 'i64': {
      const { u64 } = mem;
      return {
        probe: key =>
          typeof key === 'bigint' && key >= kind.min && key <= kind.max ? BigInt.asUintN(64, key) : undefined,
        hash: hashBig,
        equals: (entry, probe) => u64[(entry + at) / 2] === probe,
        stored: entry => u64[(entry + at) / 2],
      };
    }
    case 'ref': {
      const stored = (entry: number) => (BigInt(mem.u32[entry + at + 1]) << 32n) | BigInt(mem.u32[entry + at]);
      return {
        probe(key) {
          if (key !== undefined && (typeof key !== 'object' || key === null)) return undefined;
          const ref =
            context === undefined ? (key as { slot: number; generation: number }) : refWords(context, kind, key);
          return ref === undefined ? 0n : (BigInt(ref.generation) << 32n) | BigInt(ref.slot);
        },
        hash: hashBig,
        equals: (entry, probe) => stored(entry) === probe,
        stored,
      };
    }
    case 'oneOf': {
      const index = new Map<unknown, number>(kind.names.map((name, k) => [name, k]));
      const raw =
        kind.bytes === 1
          ? (entry: number) => mem.u8[entry * 4 + offset]
          : (entry: number) => mem.u16[(entry * 4 + offset) / 2];
      return {
        probe: key => index.get(key),
        hash: probe => mix(probe as number),
        equals: (entry, probe) => raw(entry) === probe,
        stored: raw,
      };
    }
    default: {
      const read = (entry: number) => decode(mem, kind, entry, offset, {});
      return {
        probe: asNumber,
        hash: probe => mix(probe as number),
        equals: (entry, probe) => read(entry) === probe,
        stored: read,
      };
    }
  }
}

function asText(key: unknown): unknown {
  return typeof key === 'string' ? key : undefined;
}

function asNumber(key: unknown): unknown {
  // Whole numbers have one zero.
  return typeof key === 'number' ? key + 0 : undefined;
}
