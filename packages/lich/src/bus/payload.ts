/** Message payloads in lanes: the struct layout of @lich/schema, little-endian, written and read in place by code that
 * is generated once a message type. Values are checked before a byte is written, so a message is whole or not sent; and
 * again when they are read, since the bytes are another process's: what no sender could have written is SCHEMA_WIRE.
 *
 * A handler gets its payload as a fresh plain object: that stays valid after the handler, and costs less than a view
 * that has to be guarded against use after its record is gone. */
import {
  type AnyKind,
  check,
  type FieldLayout,
  type MessageLayout,
  recordRefOf,
  refuse,
  SchemaError,
  show,
  zeroOf,
} from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { wholeCodec } from './whole-payload.ts';

/** Turns what a ref field holds into what a handler sees. */
export interface RefDoor {
  /** @returns the record, or undefined when it is gone */
  resolve(pool: string, slot: number, generation: number): unknown;
}

/** Writes and reads the payload of one message type in a segment. */
export interface PayloadCodec {
  /** Of each payload; where their length varies, of the shortest. */
  readonly bytes: number;
  /** Where it varies: bytes that this value takes. `write` takes the very value that was measured last.
   * @throws SchemaError `SCHEMA_RANGE` */
  readonly sizeOf?: (value: unknown) => number;
  /** @param at byte offset of the payload, a multiple of 16
   * @throws SchemaError `SCHEMA_RANGE`, before a byte is written */
  readonly write: (to: Segment, at: number, value: Readonly<Record<string, unknown>>) => void;
  /** @param room bytes that are there, at least `bytes`
   * @throws SchemaError `SCHEMA_WIRE` for bytes that no sender writes */
  readonly read: (from: Segment, at: number, room: number) => Record<string, unknown>;
}

/** @returns bytes that a payload takes */
export function sizeOf(codec: PayloadCodec, value: unknown): number {
  return codec.sizeOf === undefined ? codec.bytes : codec.sizeOf(value);
}

type WriteField = (to: Segment, at: number, value: unknown) => void;
type ReadField = (from: Segment, at: number) => unknown;

/** @param owner how errors name the message, e.g. `walk` */
export function payloadCodec(layout: MessageLayout, door: RefDoor, owner = layout.name): PayloadCodec {
  if (layout.whole !== undefined) return wholeCodec(layout.whole, owner);
  const writers = layout.fields.map(field => writerOf(field.kind));
  const readers = layout.fields.map(field => readerOf(field.kind, door));
  // As on the wire, a field that has an initial value may be left out.
  const initial = layout.fields.map(field => (field.initial === undefined ? undefined : zeroOf(field.kind)));
  const checks = layout.fields.map((field, k) => {
    const given = `value[${JSON.stringify(field.name)}]`;
    const taken = initial[k] === undefined ? given : `${given} === undefined ? initial[${k}] : ${given}`;
    return `const v${k} = ${taken}; ${checkCode(field, k)}`;
  });
  const stores = layout.fields.map((field, k) => storeCode(field, k));
  // A number is checked after it is loaded, anything else by its reader.
  const takes = layout.fields.map((field, k) =>
    field.kind.tag === 'int' ? `const v${k} = ${loadCode(field, k)}; if (!Number.isSafeInteger(v${k})) ill();` : '',
  );
  const loads = layout.fields.map(
    (field, k) => `${JSON.stringify(field.name)}: ${field.kind.tag === 'int' ? `v${k}` : loadCode(field, k)}`,
  );
  // Generated once a message type, from the layout alone: no text of a message ever becomes code.
  // oxlint-disable-next-line typescript/no-implied-eval
  const make = new Function(
    'refuse',
    'check',
    'fields',
    'owner',
    'writers',
    'readers',
    'initial',
    'notObject',
    'ill',
    `'use strict';
     const bad = (k, v) => refuse(fields[k].name, owner, fields[k].kind, v);
     return {
       write(to, at, value) { if (typeof value !== 'object' || value === null) notObject(value); ${checks.join('\n')} ${stores.join('\n')} },
       read(from, at) { ${takes.join(' ')} return { ${loads.join(', ')} }; },
     };`,
  );
  const notObject = (value: unknown): never => {
    throw new SchemaError('SCHEMA_RANGE', `${owner}: ${show(value)} is not an object with its fields`);
  };
  const { write, read } = make(
    refuse,
    check,
    layout.fields,
    owner,
    writers,
    readers,
    initial,
    notObject,
    illFormed,
  ) as Pick<PayloadCodec, 'write' | 'read'>;
  return { bytes: layout.bytes, write, read };
}

/** Bytes that are no value of their kind. */
function illFormed(): never {
  throw new SchemaError('SCHEMA_WIRE', 'the bytes are no values of these fields', { severity: 'warn' });
}

/** The view and the shift of its index, for kinds that one typed-array store covers. */
type NumberView = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64';
const PLAIN: Partial<Record<AnyKind['tag'], readonly [view: NumberView, shift: number]>> = {
  u8: ['u8', 0],
  i8: ['i8', 0],
  u16: ['u16', 1],
  i16: ['i16', 1],
  u32: ['u32', 2],
  i32: ['i32', 2],
  f32: ['f32', 2],
  f64: ['f64', 3],
  int: ['f64', 3],
};

function checkCode(field: FieldLayout, k: number): string {
  const { kind } = field;
  const v = `v${k}`;
  switch (kind.tag) {
    case 'u8':
    case 'i8':
    case 'u16':
    case 'i16':
    case 'u32':
    case 'i32':
      return `if (!Number.isInteger(${v}) || ${v} < ${kind.min} || ${v} > ${kind.max}) bad(${k}, ${v});`;
    case 'int':
      return `if (!Number.isSafeInteger(${v})) bad(${k}, ${v});`;
    case 'f64':
      return `if (typeof ${v} !== 'number') bad(${k}, ${v});`;
    case 'f32':
      return `if (typeof ${v} !== 'number' || ((${v} > ${kind.max} || ${v} < ${kind.min}) && Number.isFinite(${v}))) bad(${k}, ${v});`;
    case 'ref':
    case 'optional':
      return `if (${v} !== undefined && check(fields[${k}].kind, ${v}) !== undefined) bad(${k}, ${v});`;
    default:
      return `if (${v} === undefined || check(fields[${k}].kind, ${v}) !== undefined) bad(${k}, ${v});`;
  }
}

function storeCode(field: FieldLayout, k: number): string {
  const plain = PLAIN[field.kind.tag];
  // + 0 turns -0 into 0: whole numbers have one zero.
  if (plain)
    return `to.${plain[0]}[(at + ${field.offset}) >>> ${plain[1]}] = v${k}${field.kind.tag === 'int' ? ' + 0' : ''};`;
  return `writers[${k}](to, at + ${field.offset}, v${k});`;
}

function loadCode(field: FieldLayout, k: number): string {
  const plain = PLAIN[field.kind.tag];
  return plain
    ? `from.${plain[0]}[(at + ${field.offset}) >>> ${plain[1]}]`
    : `readers[${k}](from, at + ${field.offset})`;
}

/** Writes a value that was checked. */
function writerOf(kind: AnyKind): WriteField {
  switch (kind.tag) {
    case 'bool':
      return (to, at, value) => void (to.u8[at] = value ? 1 : 0);
    case 'oneOf':
      return kind.bytes === 1
        ? (to, at, value) => void (to.u8[at] = kind.names.indexOf(value as string))
        : (to, at, value) => void (to.u16[at >>> 1] = kind.names.indexOf(value as string));
    case 'u64':
      return (to, at, value) => void (to.u64[at >>> 3] = value as bigint);
    case 'i64':
      return (to, at, value) => void (to.i64[at >>> 3] = value as bigint);
    case 'text':
      return (to, at, value) => {
        const text = value as string;
        to.u16[at >>> 1] = text.length;
        for (let k = 0; k < text.length; k++) to.u16[(at >>> 1) + 1 + k] = text.charCodeAt(k);
      };
    case 'bytes':
      return (to, at, value) => {
        const bytes = value as Uint8Array;
        to.u32[at >>> 2] = bytes.length;
        to.u8.set(bytes, at + 4);
      };
    case 'ref':
      return (to, at, value) => {
        const ref = value === undefined ? undefined : recordRefOf(value);
        to.u32[at >>> 2] = ref?.slot ?? 0;
        to.u32[(at >>> 2) + 1] = ref?.generation ?? 0;
      };
    case 'struct': {
      const fields = kind.layout.fields.map(field => ({ ...field, write: writerOf(field.kind) }));
      return (to, at, value) => {
        for (const field of fields) {
          field.write(to, at + field.offset, (value as Record<string, unknown>)[field.name] ?? zeroOf(field.kind));
        }
      };
    }
    case 'array': {
      const write = writerOf(kind.element);
      return (to, at, value) => {
        const items = [...(value as Iterable<unknown>)];
        for (let k = 0; k < kind.length; k++) write(to, at + k * kind.stride, items[k] ?? zeroOf(kind.element));
      };
    }
    case 'optional': {
      const write = writerOf(kind.value);
      const flag = kind.flag < 4 ? ('u8' as const) : ('u32' as const);
      return (to, at, value) => {
        if (value !== undefined) write(to, at, value);
        to[flag][(at + kind.flag) / (flag === 'u8' ? 1 : 4)] = value === undefined ? 0 : 1;
      };
    }
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
    case 'bits':
    case 'machine':
      throw new TypeError(`a ${kind.tag} cannot be in a message`);
    default: {
      const [view, shift] = PLAIN[kind.tag]!;
      if (!kind.whole) return (to, at, value) => void (to[view][at >>> shift] = value as number);
      return (to, at, value) => void (to[view][at >>> shift] = (value as number) + 0);
    }
  }
}

function readerOf(kind: AnyKind, door: RefDoor): ReadField {
  switch (kind.tag) {
    case 'bool':
      return (from, at) => (from.u8[at] > 1 ? illFormed() : from.u8[at] === 1);
    case 'oneOf':
      return kind.bytes === 1
        ? (from, at) => kind.names[from.u8[at]] ?? illFormed()
        : (from, at) => kind.names[from.u16[at >>> 1]] ?? illFormed();
    case 'u64':
      return (from, at) => from.u64[at >>> 3];
    case 'i64':
      return (from, at) => from.i64[at >>> 3];
    case 'text':
      return (from, at) => {
        const length = from.u16[at >>> 1];
        if (length > kind.length) illFormed();
        let text = '';
        for (let k = 1; k <= length; k++) text += String.fromCharCode(from.u16[(at >>> 1) + k]);
        return text;
      };
    case 'bytes':
      return (from, at) => {
        const length = from.u32[at >>> 2];
        return length > kind.length ? illFormed() : from.u8.slice(at + 4, at + 4 + length);
      };
    case 'ref':
      return (from, at) => door.resolve(kind.pool, from.u32[at >>> 2], from.u32[(at >>> 2) + 1]);
    case 'struct': {
      const fields = kind.layout.fields.map(field => ({ ...field, read: readerOf(field.kind, door) }));
      return (from, at) => Object.fromEntries(fields.map(field => [field.name, field.read(from, at + field.offset)]));
    }
    case 'array': {
      const read = readerOf(kind.element, door);
      return (from, at) => Array.from({ length: kind.length }, (_, k) => read(from, at + k * kind.stride));
    }
    case 'optional': {
      const read = readerOf(kind.value, door);
      const flag = kind.flag < 4 ? ('u8' as const) : ('u32' as const);
      return (from, at) => {
        const is = from[flag][(at + kind.flag) / (flag === 'u8' ? 1 : 4)];
        return is > 1 ? illFormed() : is === 1 ? read(from, at) : undefined;
      };
    }
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
    case 'bits':
    case 'machine':
      throw new TypeError(`a ${kind.tag} cannot be in a message`);
    default: {
      const [view, shift] = PLAIN[kind.tag]!;
      if (kind.tag !== 'int') return (from, at) => from[view][at >>> shift];
      return (from, at) => (Number.isSafeInteger(from.f64[at >>> 3]) ? from.f64[at >>> 3] : illFormed());
    }
  }
}
