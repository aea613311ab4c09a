/** Plain values straight from memory, by layout alone: for `plain()`, console.log and readers from outside. Makes no
 * views. Lengths and links are bounded by the layout, so that memory which is not ours cannot lead it astray. */
import { type AnyKind, listLayout, machineLayout, mapLayout, setLayout, type StructLayout } from '@lich/schema';
import { decodeBits } from './bits-walk.ts';
import { chainSlots, listShape, tableShape } from './chain-shape.ts';
import type { Arrays } from './memory.ts';
import { readLongBytes, readLongText } from './long-text.ts';
import { decodeOptional } from './optional-walk.ts';
import { decodeQueue } from './queue-walk.ts';
import { decodeSorted } from './sorted-walk.ts';
import { readBytes, readText } from './text.ts';
import { decodeVector } from './vector-walk.ts';

/** Tells whether a stored ref is shown: undefined for every stored one. */
export type IsLive = (pool: string, slot: number, generation: number) => boolean;

export interface DecodeOptions {
  readonly isLive?: IsLive | undefined;
  /** Fields of the runtime too. */
  readonly hidden?: boolean;
  /** Word of link 0 of the heap. */
  readonly heapWord?: number;
  /** Called before words of the heap are read: who reads a copy fetches them, to the same word. */
  need?(word: number, count: number): void;
}

export function decodeStruct(
  mem: Arrays,
  layout: StructLayout,
  word: number,
  options: DecodeOptions = {},
): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of layout.fields) {
    if (field.hidden && options.hidden !== true) continue;
    out[field.name] = decode(mem, field.kind, word, field.offset, options);
  }
  return out;
}

/** What reads a value of any kind: walks of one kind are given it for what is inside. */
export type Decode = typeof decode;

/** @param word even where the kind's align is 8
 * @param offset bytes from there */
export function decode(mem: Arrays, kind: AnyKind, word: number, offset: number, options: DecodeOptions): unknown {
  switch (kind.tag) {
    case 'u8':
      return mem.u8[word * 4 + offset];
    case 'i8':
      return mem.i8[word * 4 + offset];
    case 'u16':
      return mem.u16[(word * 4 + offset) / 2];
    case 'i16':
      return mem.i16[(word * 4 + offset) / 2];
    case 'u32':
      return mem.u32[word + offset / 4];
    case 'i32':
      return mem.i32[word + offset / 4];
    case 'f32':
      return mem.f32[word + offset / 4];
    case 'f64':
    case 'int':
      return mem.f64[(word + offset / 4) / 2];
    case 'u64':
      return mem.u64[(word + offset / 4) / 2];
    case 'i64':
      return mem.i64[(word + offset / 4) / 2];
    case 'bool':
      return mem.u8[word * 4 + offset] !== 0;
    case 'oneOf':
      return kind.names[kind.bytes === 1 ? mem.u8[word * 4 + offset] : mem.u16[(word * 4 + offset) / 2]];
    case 'text':
      return kind.length === 0
        ? readLongText(mem, word + offset / 4, options)
        : readText(mem.u16, word + offset / 4, kind.length);
    case 'bytes':
      return kind.length === 0
        ? readLongBytes(mem, word + offset / 4, options)
        : readBytes(mem, word + offset / 4, kind.length);
    case 'machine':
      return kind.names[mem.u32[word + (offset + machineLayout.state) / 4]];
    case 'ref': {
      const at = word + offset / 4;
      const slot = mem.u32[at];
      const generation = mem.u32[at + 1];
      if (generation === 0 || options.isLive?.(kind.pool, slot, generation) === false) return undefined;
      return { slot, generation };
    }
    case 'struct':
      return decodeStruct(mem, kind.layout, word + offset / 4, options);
    case 'array': {
      const out: unknown[] = new Array(kind.length);
      for (let k = 0; k < kind.length; k++) out[k] = decode(mem, kind.element, word, offset + k * kind.stride, options);
      return out;
    }
    case 'list': {
      const { payload } = listLayout(kind);
      const out: unknown[] = [];
      for (const slot of chainSlots(mem, listShape(kind), word + offset / 4, options))
        out.push(decode(mem, kind.element, slot, payload, options));
      return out;
    }
    case 'map': {
      const { key, value } = mapLayout(kind);
      const out: [unknown, unknown][] = [];
      for (const entry of chainSlots(mem, tableShape(kind), word + offset / 4, options))
        out.push([decode(mem, kind.key, entry, key, options), decode(mem, kind.value, entry, value, options)]);
      return out;
    }
    case 'set': {
      const { key } = setLayout(kind);
      const out: unknown[] = [];
      for (const entry of chainSlots(mem, tableShape(kind), word + offset / 4, options))
        out.push(decode(mem, kind.key, entry, key, options));
      return out;
    }
    case 'vector':
      return decodeVector(mem, kind, word + offset / 4, options, decode);
    case 'queue':
      return decodeQueue(mem, kind, word + offset / 4, options, decode);
    case 'sorted':
      return decodeSorted(mem, kind, word + offset / 4, options, decode);
    case 'bits':
      return decodeBits(mem, kind, word + offset / 4, options);
    case 'optional':
      return decodeOptional(mem, kind, word, offset, options, decode);
  }
}
