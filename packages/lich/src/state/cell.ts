/** A cell reads and writes one value of a kind that is no view: numbers, bool, names, text, bytes, refs. The elements of
 * arrays, lists and maps are cells; the fields of structs have generated code instead (accessors.ts).
 *
 * A cell counts in units of its own: bytes for u8, words for text, pairs of words for f64. */
import type { AnyKind } from '@lich/schema';
import { readLongBytes, readLongText, writeLongBytes, writeLongText } from './long-text.ts';
import type { StoreContext } from './memory.ts';
import { optionalCell } from './optional.ts';
import { refWords } from './ref-words.ts';
import { readBytes, readText, writeBytes, writeText } from './text.ts';

export interface Cell {
  /** Units from one element of an array to the next. */
  readonly step: number;
  /** The unit at a byte offset from a word. */
  unit(word: number, offset: number): number;
  read(unit: number): unknown;
  /** Logged. The value was checked. */
  write(unit: number, value: unknown): void;
}

/** @returns undefined for the kinds that are views: struct, array and containers */
export function cellOf(kind: AnyKind, context: StoreContext): Cell | undefined {
  const { mem, log } = context;
  switch (kind.tag) {
    case 'u8':
      return byteCell(mem.u8);
    case 'i8':
      return byteCell(mem.i8);
    case 'u16':
      return halfCell(mem.u16);
    case 'i16':
      return halfCell(mem.i16);
    case 'u32':
      return wordCell(mem.u32);
    case 'i32':
      return wordCell(mem.i32);
    case 'f32':
      return wordCell(mem.f32);
    case 'f64':
      return doubleCell(mem.f64, false);
    case 'int':
      return doubleCell(mem.f64, true);
    case 'u64':
      return bigCell(mem.u64);
    case 'i64':
      return bigCell(mem.i64);
    case 'bool': {
      const u8 = mem.u8;
      return {
        step: 1,
        unit: (word, offset) => word * 4 + offset,
        read: unit => u8[unit] !== 0,
        write(unit, value) {
          log.log(Math.floor(unit / 4));
          u8[unit] = value === true ? 1 : 0;
        },
      };
    }
    case 'oneOf': {
      const { names } = kind;
      const index = new Map(names.map((name, k) => [name, k]));
      const raw = kind.bytes === 1 ? byteCell(mem.u8) : halfCell(mem.u16);
      return {
        step: 1,
        unit: raw.unit,
        read: unit => names[raw.read(unit) as number],
        write: (unit, value) => raw.write(unit, index.get(value as string)!),
      };
    }
    case 'text':
      if (kind.length === 0) {
        const place = { heapWord: context.heap.base };
        return {
          step: 2,
          unit: (word, offset) => word + offset / 4,
          read: unit => readLongText(mem, unit, place),
          write: (unit, value) => writeLongText(context, unit, value as string),
        };
      }
      return {
        step: kind.bytes / 4,
        unit: (word, offset) => word + offset / 4,
        read: unit => readText(mem.u16, unit, kind.length),
        write: (unit, value) => writeText(mem, log, unit, value as string),
      };
    case 'bytes':
      if (kind.length === 0) {
        const place = { heapWord: context.heap.base };
        return {
          step: 2,
          unit: (word, offset) => word + offset / 4,
          read: unit => readLongBytes(mem, unit, place),
          write: (unit, value) => writeLongBytes(context, unit, value as Uint8Array),
        };
      }
      return {
        step: kind.bytes / 4,
        unit: (word, offset) => word + offset / 4,
        read: unit => readBytes(mem, unit, kind.length),
        write: (unit, value) => writeBytes(mem, log, unit, value as Uint8Array),
      };
    case 'ref': {
      const u32 = mem.u32;
      return {
        step: 2,
        unit: (word, offset) => word + offset / 4,
        read(unit) {
          const generation = u32[unit + 1];
          return generation === 0 ? undefined : context.resolve(kind.pool, u32[unit], generation);
        },
        write(unit, value) {
          const ref = refWords(context, kind, value);
          log.log2(unit);
          u32[unit] = ref?.slot ?? 0;
          u32[unit + 1] = ref?.generation ?? 0;
        },
      };
    }
    case 'optional': {
      const inner = cellOf(kind.value, context);
      return inner && optionalCell(kind, inner, context);
    }
    default:
      return undefined;
  }

  function byteCell(array: Uint8Array | Int8Array): Cell {
    return {
      step: 1,
      unit: (word, offset) => word * 4 + offset,
      read: unit => array[unit],
      write(unit, value) {
        log.log(Math.floor(unit / 4));
        array[unit] = value as number;
      },
    };
  }
  function halfCell(array: Uint16Array | Int16Array): Cell {
    return {
      step: 1,
      unit: (word, offset) => word * 2 + offset / 2,
      read: unit => array[unit],
      write(unit, value) {
        log.log(Math.floor(unit / 2));
        array[unit] = value as number;
      },
    };
  }
  function wordCell(array: Uint32Array | Int32Array | Float32Array): Cell {
    return {
      step: 1,
      unit: (word, offset) => word + offset / 4,
      read: unit => array[unit],
      write(unit, value) {
        log.log(unit);
        array[unit] = value as number;
      },
    };
  }
  function doubleCell(array: Float64Array, whole: boolean): Cell {
    return {
      step: 1,
      unit: (word, offset) => (word + offset / 4) / 2,
      read: unit => array[unit],
      write(unit, value) {
        log.log2(unit * 2);
        // Whole numbers have one zero.
        array[unit] = whole ? (value as number) + 0 : (value as number);
      },
    };
  }
  function bigCell(array: BigUint64Array | BigInt64Array): Cell {
    return {
      step: 1,
      unit: (word, offset) => (word + offset / 4) / 2,
      read: unit => array[unit],
      write(unit, value) {
        log.log2(unit * 2);
        array[unit] = value as bigint;
      },
    };
  }
}
