/** Values of declared kinds on the wire. A codec is compiled once per layout into arrays of small functions.
 *
 *   u8 i8 bool                   1 byte (bool 0 or 1)
 *   u16 u32                      varint
 *   i16 i32 int                  zigzag
 *   u64 i64                      8 bytes
 *   f32 f64                      4, 8 bytes
 *   oneOf, machine               varint index
 *   text, bytes                  varint byte count, bytes
 *   ref                          varint slot, varint generation; 0, 0 = none
 *   struct                       its fields in declared order
 *   array                        its elements
 *   optional                     1 byte, 1 and the value, or 0
 *
 * Both directions check ranges: the writer throws `SCHEMA_RANGE` and leaves the frame as it was, the reader throws
 * `SCHEMA_WIRE`. */
import { check, refuse, show, stateNameOf, takesUndefined, zeroOf } from './check.ts';
import { SchemaError } from './errors.ts';
import { describeKind, unsendable, type AnyKind, type NumberShape } from './kind.ts';
import type { FieldLayout, StructLayout } from './layout.ts';
import type { MessageSpec } from './protocol.ts';
import { recordRefOf } from './ref-value.ts';
import type { WholePayload } from './whole.ts';
import { malformed, type Reader, type Writer } from './wire.ts';

/** Writes and reads a struct in the client wire format. O(bytes). */
export interface Codec {
  /** Append a value. Takes a plain object, a record or a mirror. A field may be missing when it is a ref, is
   * optional or has an initial value. @throws SchemaError `SCHEMA_RANGE`, nothing is appended then */
  write(writer: Writer, value: object): void;
  /** Read a value as a plain object; refs are `{ slot, generation }` or undefined. @throws SchemaError `SCHEMA_WIRE` */
  read(reader: Reader): Record<string, unknown>;
}

/** What a codec refuses besides what the kinds say. */
export interface CodecOptions {
  /** Refuse NaN and the infinities in f32 and f64, both ways: for what clients send, since one NaN in a position
   * spreads through everything that is computed from it. Default false. */
  readonly finite?: boolean;
}

type WriteValue = (writer: Writer, value: any) => void;
type ReadValue = (reader: Reader) => unknown;
/** One field: `refused` is thrown by value so that the reason is made only when it is needed. */
export interface ValueCodec {
  readonly write: WriteValue;
  readonly read: ReadValue;
}

const REFUSED = Symbol('refused');

/** The codec of a message or of any struct; hidden fields are not sent.
 * @throws SchemaError `SCHEMA_KIND` for what is not sent: containers, `text()`, `bytes()` */
export function codecOf(layout: StructLayout, options: CodecOptions = {}): Codec {
  const fields = layout.fields.filter(field => !field.hidden);
  const { write, read } = structCodec(layout.name, fields, options, 'strict', false);
  return {
    write(writer, value) {
      const start = writer.length;
      try {
        write(writer, value);
      } catch (error) {
        writer.length = start;
        if (error !== REFUSED) throw error;
        explain(layout, fields, value, options);
      }
    },
    read: read as (reader: Reader) => Record<string, unknown>,
  };
}

/** The codec of one field's value, for `.sync` fields: of a nested struct that is not `.sync` itself only the fields
 * that its class marks are sent. Write throws as `Codec.write` does. */
export function fieldCodecOf(layout: StructLayout, field: FieldLayout): ValueCodec {
  const codec = valueCodec(field.kind, {}, true);
  return {
    write(writer, value) {
      const start = writer.length;
      try {
        codec.write(writer, value);
      } catch (error) {
        writer.length = start;
        if (error !== REFUSED) throw error;
        refuse(field.name, layout.name, field.kind, value);
      }
    },
    read: codec.read,
  };
}

/** The codec of a message's payload. What clients send (commands and requests) has finite floats only. */
export function payloadCodecOf(message: MessageSpec): Codec {
  if (message.layout.whole !== undefined) return oneValueCodec(message.name, message.layout.whole);
  return codecOf(message.layout, { finite: message.role === 'command' || message.role === 'request' });
}

/** The codec of a request's reply. @throws SchemaError `SCHEMA_PROTOCOL` for a message without one */
export function replyCodecOf(message: MessageSpec): Codec {
  if (message.reply === undefined)
    throw new SchemaError(
      'SCHEMA_PROTOCOL',
      `message ${message.name} is of role ${message.role} and has no reply: only requests have`,
    );
  if (message.reply.whole !== undefined) return oneValueCodec(message.reply.name, message.reply.whole);
  return codecOf(message.reply);
}

/** Of a message that is one value: bytes, to the end of the frame. */
function oneValueCodec(name: string, { form, most }: WholePayload): Codec {
  const refuse = (): never => {
    throw new SchemaError('SCHEMA_PROTOCOL', `${name} is ${form}, which is for services alone: clients do not know it`);
  };
  if (form === 'msgpack') return { write: refuse, read: refuse };
  return {
    write(writer, value) {
      if (!(value instanceof Uint8Array)) throw new SchemaError('SCHEMA_RANGE', `${name}: ${show(value)} is not bytes`);
      if (most > 0 && value.length > most)
        throw new SchemaError('SCHEMA_RANGE', `${name}: ${value.length} bytes do not fit into bytes(${most})`);
      writer.raw(value);
    },
    read(reader) {
      if (most > 0 && reader.left > most) malformed(`${reader.left} bytes where ${most} fit`, reader.at);
      return reader.rest().slice() as unknown as Record<string, unknown>;
    },
  };
}

// Slow path: find the field to name in the message.
function explain(layout: StructLayout, fields: readonly FieldLayout[], value: unknown, options: CodecOptions): never {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SchemaError('SCHEMA_RANGE', `${layout.name}: ${show(value)} is not an object with its fields`);
  for (const field of fields) {
    const given = (value as Record<string, unknown>)[field.name];
    if (given === undefined && !takesUndefined(field.kind) && field.initial === undefined) {
      throw new SchemaError(
        'SCHEMA_RANGE',
        `field ${field.name} of ${layout.name}: missing, it takes ${describeKind(field.kind)}`,
      );
    }
    if (given === undefined) continue;
    const reason = check(field.kind, given) ?? (options.finite === true ? checkFinite(field.kind, given) : undefined);
    if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `field ${field.name} of ${layout.name}: ${reason}`);
  }
  throw new SchemaError('SCHEMA_RANGE', `${layout.name}: a value changed while it was written`);
}

function checkFinite(kind: AnyKind, value: any): string | undefined {
  switch (kind.tag) {
    case 'f32':
    case 'f64':
      return Number.isFinite(value) ? undefined : `${String(value)} is not a finite number`;
    case 'optional':
      return value === undefined ? undefined : checkFinite(kind.value, value);
    case 'array':
      for (const element of value as Iterable<unknown>) {
        const reason = checkFinite(kind.element, element);
        if (reason !== undefined) return reason;
      }
      return undefined;
    case 'struct':
      for (const field of kind.layout.fields) {
        const given = (value as Record<string, unknown>)[field.name];
        const reason = given === undefined ? undefined : checkFinite(field.kind, given);
        if (reason !== undefined) return `${field.name}: ${reason}`;
      }
      return undefined;
    default:
      return undefined;
  }
}

function structCodec(
  name: string,
  fields: readonly FieldLayout[],
  options: CodecOptions,
  missing: 'strict' | 'zero',
  synced: boolean,
): ValueCodec {
  const names = fields.map(field => field.name);
  const codecs = fields.map(field => valueCodec(field.kind, options, synced, `field ${field.name} of ${name}`));
  const writes = codecs.map(codec => codec.write);
  const reads = codecs.map(codec => codec.read);
  // What stands in for a field that is not there; refs and optional ones have undefined, which their writer takes.
  const stands = fields.map(field =>
    missing === 'zero' || field.initial !== undefined ? zeroOf(field.kind) : undefined,
  );
  const count = fields.length;
  return {
    write(writer, value) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw REFUSED;
      for (let i = 0; i < count; i++) {
        const given: unknown = value[names[i]];
        writes[i](writer, given === undefined ? stands[i] : given);
      }
    },
    read(reader) {
      const value: Record<string, unknown> = {};
      for (let i = 0; i < count; i++) value[names[i]] = reads[i](reader);
      return value;
    },
  };
}

function valueCodec(kind: AnyKind, options: CodecOptions, synced: boolean, where = 'a field'): ValueCodec {
  switch (kind.tag) {
    case 'f32':
    case 'f64':
      return floatCodec(kind, options.finite === true);
    case 'bool':
      return {
        write(writer, value) {
          if (typeof value !== 'boolean') throw REFUSED;
          writer.u8(value ? 1 : 0);
        },
        read(reader) {
          const byte = reader.u8();
          return byte > 1 ? malformed(`${byte} is not a bool`, reader.at) : byte === 1;
        },
      };
    case 'u64':
    case 'i64': {
      const signed = kind.tag === 'i64';
      const { min, max } = kind;
      return {
        write(writer, value) {
          if (typeof value !== 'bigint' || value < min || value > max) throw REFUSED;
          writer.u64(BigInt.asUintN(64, value));
        },
        read: signed ? reader => BigInt.asIntN(64, reader.u64()) : reader => reader.u64(),
      };
    }
    case 'oneOf':
    case 'machine': {
      const { names } = kind;
      const nameOf = kind.tag === 'machine' ? stateNameOf : (value: unknown) => value as string;
      const indexes = new Map<string | undefined, number>(names.map((name, index) => [name, index]));
      return {
        write(writer, value) {
          const index = indexes.get(nameOf(value));
          if (index === undefined) throw REFUSED;
          writer.varint(index);
        },
        read(reader) {
          const index = reader.varint();
          return index < names.length ? names[index] : malformed(`${index} names none of ${names.length}`, reader.at);
        },
      };
    }
    case 'text': {
      const { length } = kind;
      if (length === 0) return refuseKind(kind, where);
      return {
        write(writer, value) {
          if (typeof value !== 'string' || value.length > length) throw REFUSED;
          writer.text(value);
        },
        read: reader => reader.text(length),
      };
    }
    case 'bytes': {
      const { length } = kind;
      if (length === 0) return refuseKind(kind, where);
      return {
        write(writer, value) {
          if (!(value instanceof Uint8Array) || value.length > length) throw REFUSED;
          writer.bytes(value);
        },
        read: reader => reader.bytes(length),
      };
    }
    case 'ref':
      return {
        write(writer, value) {
          if (value !== undefined && check(kind, value) !== undefined) throw REFUSED;
          const ref = value === undefined ? undefined : recordRefOf(value);
          const none = ref === undefined || ref.generation === 0;
          writer.varint(none ? 0 : ref.slot);
          writer.varint(none ? 0 : ref.generation);
        },
        read(reader) {
          const slot = reader.varint();
          const generation = reader.varint();
          if (slot > 0xffff_ffff || generation > 0xffff_ffff) malformed('a ref past 32 bits', reader.at);
          if (generation === 0) return slot === 0 ? undefined : malformed('a slot without a generation', reader.at);
          return { slot, generation };
        },
      };
    case 'struct': {
      const part = synced && !kind.syncsWhole;
      const fields = kind.layout.fields.filter(field => !field.hidden && (!part || field.syncs));
      return structCodec(kind.layout.name, fields, options, 'zero', part);
    }
    case 'array':
      return arrayCodec(kind.length, valueCodec(kind.element, options, false, where), kind.element);
    case 'optional':
      return optionalCodec(valueCodec(kind.value, options, false, where));
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
    case 'bits':
      return refuseKind(kind, where);
    default:
      return wholeCodec(kind);
  }
}

function refuseKind(kind: AnyKind, where: string): never {
  throw new SchemaError('SCHEMA_KIND', `${where}${unsendable(kind)!}`);
}

function optionalCodec({ write, read }: ValueCodec): ValueCodec {
  return {
    write(writer, value) {
      writer.u8(value === undefined ? 0 : 1);
      if (value !== undefined) write(writer, value);
    },
    read(reader) {
      const byte = reader.u8();
      if (byte > 1) malformed(`${byte} is not whether there is a value`, reader.at);
      return byte === 1 ? read(reader) : undefined;
    },
  };
}

function arrayCodec(length: number, element: ValueCodec, kind: AnyKind): ValueCodec {
  const { write, read } = element;
  const zero = zeroOf(kind);
  return {
    write(writer, value) {
      if (typeof value !== 'object' || value === null || typeof value[Symbol.iterator] !== 'function') throw REFUSED;
      let count = 0;
      for (const given of value as Iterable<unknown>) {
        if (count++ === length) throw REFUSED;
        write(writer, given);
      }
      while (count++ < length) write(writer, zero);
    },
    read(reader) {
      const values: unknown[] = [];
      for (let i = 0; i < length; i++) values.push(read(reader));
      return values;
    },
  };
}

function floatCodec(kind: NumberShape, finite: boolean): ValueCodec {
  const { tag, min, max } = kind;
  return {
    write(writer, value) {
      if (typeof value !== 'number' || !(value >= min && value <= max)) {
        if (typeof value !== 'number' || finite || Number.isFinite(value)) throw REFUSED;
      }
      if (tag === 'f32') writer.f32(value);
      else writer.f64(value);
    },
    read(reader) {
      const value = tag === 'f32' ? reader.f32() : reader.f64();
      return finite && !Number.isFinite(value)
        ? malformed(`${value} where a finite number is needed`, reader.at)
        : value;
    },
  };
}

function wholeCodec(kind: NumberShape): ValueCodec {
  const { tag, min, max } = kind;
  const fits = (value: unknown): value is number =>
    typeof value === 'number' && value >= min && value <= max && Math.floor(value) === value;
  const within = (value: number, reader: Reader): number =>
    value >= min && value <= max ? value : malformed(`${value} is not a ${tag}`, reader.at);
  switch (tag) {
    case 'u8':
    case 'i8':
      return {
        write(writer, value) {
          if (!fits(value)) throw REFUSED;
          writer.u8(value & 0xff);
        },
        read: tag === 'u8' ? reader => reader.u8() : reader => (reader.u8() << 24) >> 24,
      };
    case 'u16':
    case 'u32':
      return {
        write(writer, value) {
          if (!fits(value)) throw REFUSED;
          writer.varint(value);
        },
        read: reader => within(reader.varint(), reader),
      };
    default:
      return {
        write(writer, value) {
          if (!fits(value)) throw REFUSED;
          writer.zigzag(value);
        },
        read: reader => within(reader.zigzag(), reader),
      };
  }
}
