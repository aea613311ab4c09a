/** What a new record or root starts as: its initial values as words, and the words that must be zero. Slots of lists and
 * entries of maps are not among them: a header of zeros makes them unreachable. */
import { type AnyKind, isGrowing, mapLayout, setLayout, type StructLayout, zeroOf } from '@lich/schema';
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

/** Of a record, hidden fields included. */
export function imageOf(layout: StructLayout): Image {
  const runs: Run[] = [];
  // A struct of nothing still has one word, which links free slots.
  if (layout.bytes === 0) runs.push({ word: 0, words: 1, sparse: false });
  const bytes = new ArrayBuffer(Math.max(layout.bytes, 8));
  const view = new DataView(bytes);
  addFields(layout, 0, runs);
  for (const field of layout.fields) encode(field.kind, field.initial, field.offset, view);
  return image(runs, new Int32Array(bytes));
}

/** Of an element of a container, or any other place that holds one value of a kind. */
export function imageOfKind(kind: AnyKind): Image {
  if (kind.tag === 'struct') return imageOf(kind.layout);
  const runs: Run[] = [];
  const bytes = new ArrayBuffer(Math.ceil(Math.max(kind.bytes, 8) / 4) * 4);
  addRuns(kind, 0, runs);
  encode(kind, kind.initial, 0, new DataView(bytes));
  return image(runs, new Int32Array(bytes));
}

function image(runs: readonly Run[], words: Int32Array): Image {
  const initial: { word: number; value: number }[] = [];
  for (const { word, words: count, sparse } of runs) {
    for (let k = word; !sparse && k < word + count; k++) if (words[k] !== 0) initial.push({ word: k, value: words[k] });
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

/** Fields, and the padding between and behind them: memory of the heap holds whatever was there. */
function addFields(layout: StructLayout, offset: number, runs: Run[]): void {
  let end = 0;
  for (const field of layout.fields) {
    if (field.offset - end >= 4) add(offset + Math.ceil(end / 4) * 4, 4, false, runs);
    addRuns(field.kind, offset + field.offset, runs);
    end = field.offset + field.bytes;
  }
  if (layout.bytes - end >= 4) add(offset + Math.ceil(end / 4) * 4, 4, false, runs);
}

function addRuns(kind: AnyKind, offset: number, runs: Run[]): void {
  switch (kind.tag) {
    case 'struct':
      addFields(kind.layout, offset, runs);
      break;
    case 'array':
      if (hasContainer(kind.element))
        for (let k = 0; k < kind.length; k++) addRuns(kind.element, offset + k * kind.stride, runs);
      else add(offset, kind.bytes, false, runs);
      break;
    case 'list':
      add(offset, isGrowing(kind) ? kind.bytes : 20, false, runs);
      break;
    case 'map':
    case 'set': {
      if (isGrowing(kind)) return add(offset, kind.bytes, false, runs);
      add(offset, 24, false, runs);
      const { bucketCount } = kind.tag === 'map' ? mapLayout(kind) : setLayout(kind);
      add(offset + 24, bucketCount * 4, true, runs);
      break;
    }
    case 'queue':
      add(offset, isGrowing(kind) ? kind.bytes : 8, false, runs);
      break;
    default:
      // An optional value as a whole: none is zero bytes all over.
      add(offset, kind.bytes, false, runs);
  }
}

/** Is it, or holds it, a container of which only the header counts? */
function hasContainer(kind: AnyKind): boolean {
  if (kind.tag === 'struct') return kind.layout.fields.some(field => hasContainer(field.kind));
  if (kind.tag === 'array') return hasContainer(kind.element);
  return kind.tag === 'list' || kind.tag === 'map' || kind.tag === 'set' || kind.tag === 'queue';
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
export function encode(kind: AnyKind, value: unknown, offset: number, view: DataView): void {
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
    case 'optional':
      if (value === undefined) return;
      encode(kind.value, value, offset, view);
      if (kind.bytes - kind.flag >= 4) view.setUint32(offset + kind.flag, 1, true);
      else view.setUint8(offset + kind.flag, 1);
      return;
    default:
  }
  if (value === undefined || isGrowing(kind)) return;
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
    default:
      // Containers and refs begin as zero bytes.
      return;
  }
}
