/** Plain values straight from memory, by layout alone: for `plain()`, console.log and readers from outside. Makes no
 * views. Lengths and links are bounded by the layout, so that memory which is not ours cannot lead it astray. */
import { type AnyKind, listLayout, mapLayout, type StructLayout } from '@lich/schema';
import type { Arrays } from './memory.ts';
import { readBytes, readText } from './text.ts';

/** Tells whether a stored ref is shown: undefined for every stored one. */
export type IsLive = (pool: string, slot: number, generation: number) => boolean;

export interface DecodeOptions {
  readonly isLive?: IsLive | undefined;
  /** Fields of the runtime too. */
  readonly hidden?: boolean;
}

/** Links in segments are index + 1; 0 = none. */
export const END = 0;

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
      return readText(mem.u16, word + offset / 4, kind.length);
    case 'bytes':
      return readBytes(mem, word + offset / 4, kind.length);
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
      const { slots, stride, payload } = listLayout(kind);
      const at = word + offset / 4;
      const out: unknown[] = [];
      for (let link = mem.u32[at]; link !== END && link <= kind.capacity && out.length < kind.capacity; ) {
        const slot = at + (slots + (link - 1) * stride) / 4;
        out.push(decode(mem, kind.element, slot, payload, options));
        link = mem.u32[slot + 1];
      }
      return out;
    }
    case 'map': {
      const { entries, stride, key, value } = mapLayout(kind);
      const at = word + offset / 4;
      const out: [unknown, unknown][] = [];
      for (let link = mem.u32[at + 2]; link !== END && link <= kind.capacity && out.length < kind.capacity; ) {
        const entry = at + (entries + (link - 1) * stride) / 4;
        out.push([decode(mem, kind.key, entry, key, options), decode(mem, kind.value, entry, value, options)]);
        link = mem.u32[entry + 2];
      }
      return out;
    }
    default:
      throw new TypeError(`${kind.tag} is not read yet`);
  }
}
