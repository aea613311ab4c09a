/** What a new record or root starts as: its initial values as words, and the words that must be zero. Slots of lists and
 * entries of maps are not among them: a header of zeros makes them unreachable. */
import { type AnyKind, mapLayout, type StructLayout, zeroOf } from '@lich/schema';
import type { Arrays } from './memory.ts';
import type { LogCore } from './undo-log.ts';

/** A run of words. `sparse` runs (bucket tables) are zero already for the most part: they are looked at word by word. */
interface Run {
  readonly word: number;
  words: number;
  readonly sparse: boolean;
}

export interface Image {
  /** Write it, logged. @param fresh the bytes there are zero */
  apply(word: number, mem: Arrays, log: LogCore, fresh: boolean): void;
}

export function imageOf(layout: StructLayout): Image {
  const runs: Run[] = [];
  // A struct of nothing still has one word, which links free slots.
  if (layout.bytes === 0) runs.push({ word: 0, words: 1, sparse: false });
  for (const field of layout.fields) addRuns(field.kind, field.offset, runs);
  const dense = runs.filter(run => !run.sparse);
  const bytes = new ArrayBuffer(Math.max(layout.bytes, 8));
  const view = new DataView(bytes);
  for (const field of layout.fields) encode(field.kind, field.initial, field.offset, view);
  const words = new Int32Array(bytes, 0, bytes.byteLength >> 2);
  const initial: { word: number; value: number }[] = [];
  for (const { word, words: count } of dense) {
    for (let k = word; k < word + count; k++) if (words[k] !== 0) initial.push({ word: k, value: words[k] });
  }
  return {
    apply(at, mem, log, fresh) {
      const I = mem.i32;
      if (fresh) {
        for (const { word, value } of initial) log.write(at + word, value);
        return;
      }
      for (const run of runs) {
        if (run.sparse) {
          for (let k = at + run.word; k < at + run.word + run.words; k++) if (I[k] !== 0) log.write(k, 0);
          continue;
        }
        log.keep(at + run.word, run.words);
        for (let k = run.word; k < run.word + run.words; k++) I[at + k] = words[k];
      }
    },
  };
}

function addRuns(kind: AnyKind, offset: number, runs: Run[]): void {
  switch (kind.tag) {
    case 'struct':
      for (const field of kind.layout.fields) addRuns(field.kind, offset + field.offset, runs);
      break;
    case 'array':
      if (hasContainer(kind.element))
        for (let k = 0; k < kind.length; k++) addRuns(kind.element, offset + k * kind.stride, runs);
      else add(offset, kind.bytes, false, runs);
      break;
    case 'list':
      add(offset, 20, false, runs);
      break;
    case 'map':
      add(offset, 24, false, runs);
      add(offset + 24, mapLayout(kind).bucketCount * 4, true, runs);
      break;
    default:
      add(offset, kind.bytes, false, runs);
  }
}

function hasContainer(kind: AnyKind): boolean {
  if (kind.tag === 'struct') return kind.layout.fields.some(field => hasContainer(field.kind));
  if (kind.tag === 'array') return hasContainer(kind.element);
  return kind.tag === 'list' || kind.tag === 'map';
}

function add(offset: number, bytes: number, sparse: boolean, runs: Run[]): void {
  const word = offset >> 2;
  const end = (offset + bytes + 3) >> 2;
  const last = runs.at(-1);
  // Padding between two fields (one word at most) belongs to the run.
  if (last !== undefined && !sparse && !last.sparse && word <= last.word + last.words + 1) {
    last.words = Math.max(last.words, end - last.word);
  } else runs.push({ word, words: end - word, sparse });
}

/** Write a plain initial value, or the kind's zero, which is zero bytes but for structs with initial values inside. */
function encode(kind: AnyKind, value: unknown, offset: number, view: DataView): void {
  switch (kind.tag) {
    case 'struct': {
      const given = (value ?? zeroOf(kind)) as Record<string, unknown>;
      for (const field of kind.layout.fields)
        encode(field.kind, given[field.name] ?? field.initial, offset + field.offset, view);
      return;
    }
    case 'array': {
      const given = value as unknown[] | undefined;
      for (let k = 0; k < kind.length; k++)
        encode(kind.element, given?.[k] ?? kind.element.initial, offset + k * kind.stride, view);
      return;
    }
    case 'list':
    case 'map':
    case 'ref':
      return;
    default:
  }
  if (value === undefined) return;
  switch (kind.tag) {
    case 'u8':
    case 'i8':
      return view.setUint8(offset, value as number);
    case 'u16':
    case 'i16':
      return view.setUint16(offset, value as number, true);
    case 'u32':
    case 'i32':
      return view.setUint32(offset, value as number, true);
    case 'f32':
      return view.setFloat32(offset, value as number, true);
    case 'f64':
    case 'int':
      return view.setFloat64(offset, value as number, true);
    case 'u64':
    case 'i64':
      return view.setBigUint64(offset, BigInt.asUintN(64, value as bigint), true);
    case 'bool':
      return view.setUint8(offset, value === true ? 1 : 0);
    case 'oneOf': {
      const index = kind.names.indexOf(value as string);
      return kind.bytes === 1 ? view.setUint8(offset, index) : view.setUint16(offset, index, true);
    }
    case 'text': {
      const text = value as string;
      view.setUint16(offset, text.length, true);
      for (let k = 0; k < text.length; k++) view.setUint16(offset + 2 + 2 * k, text.charCodeAt(k), true);
      return;
    }
    case 'bytes': {
      const bytes = value as Uint8Array;
      view.setUint32(offset, bytes.length, true);
      for (let k = 0; k < bytes.length; k++) view.setUint8(offset + 4 + k, bytes[k]);
      return;
    }
  }
}
