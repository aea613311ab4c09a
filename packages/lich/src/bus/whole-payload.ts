/** Payloads that are one value of any length.
 *
 *   BYTE  FIELD
 *      0  length   u32, bytes of the value
 *      4  value    opaque bytes, or msgpack
 *
 * Bytes are read in place: the handler is given a view of the sender's memory, good until it returns. That memory is
 * mapped for reading: who writes to it ends its own process. */
import { type WholePayload, SchemaError, show } from '@lich/schema';
import { Decoder, Encoder } from '@msgpack/msgpack';
import type { Segment } from '../shm/index.ts';
import type { PayloadCodec } from './payload.ts';

const LENGTH_BYTES = 4;

/** @param owner how errors name the message */
export function wholeCodec({ form, most }: WholePayload, owner: string): PayloadCodec {
  return form === 'bytes' ? bytesCodec(most, owner) : msgpackCodec(owner);
}

/** @returns bytes of the value at `at` @throws SchemaError `SCHEMA_WIRE` when they are not all there */
function lengthAt(from: Segment, at: number, room: number, most: number, owner: string): number {
  const length = from.u32[at >>> 2];
  if (room >= LENGTH_BYTES && length <= room - LENGTH_BYTES && (most === 0 || length <= most)) return length;
  throw new SchemaError('SCHEMA_WIRE', `${owner}: ${length} bytes in a payload of ${room}`, { severity: 'warn' });
}

function bytesCodec(most: number, owner: string): PayloadCodec {
  return {
    bytes: LENGTH_BYTES,
    sizeOf(value) {
      if (!(value instanceof Uint8Array))
        throw new SchemaError('SCHEMA_RANGE', `${owner}: ${show(value)} is not bytes`);
      if (most > 0 && value.length > most)
        throw new SchemaError('SCHEMA_RANGE', `${owner}: ${value.length} bytes do not fit into bytes(${most})`);
      return LENGTH_BYTES + value.length;
    },
    write(to, at, value) {
      const bytes = value as unknown as Uint8Array;
      to.u32[at >>> 2] = bytes.length;
      to.u8.set(bytes, at + LENGTH_BYTES);
    },
    read(from, at, room) {
      const begin = at + LENGTH_BYTES;
      return from.u8.subarray(begin, begin + lengthAt(from, at, room, most, owner)) as never;
    },
  };
}

/** Whole numbers keep their type: a bigint comes back as one. */
const OPTIONS = { useBigInt64: true } as const;
const encoder = new Encoder({ ...OPTIONS, ignoreUndefined: true, initialBufferSize: 1_024 });

/** An array is made before its elements are read: one in `length` bytes has no more of them. */
function decoderFor(length: number): Decoder {
  return new Decoder({ ...OPTIONS, maxArrayLength: length, maxMapLength: length });
}
const SHORT = 4_096;
const shortDecoder = decoderFor(SHORT);

function msgpackCodec(owner: string): PayloadCodec {
  let measured: { readonly value: unknown; readonly bytes: Uint8Array } | undefined;
  return {
    bytes: LENGTH_BYTES,
    sizeOf(value) {
      try {
        measured = { value, bytes: encoder.encode(value) };
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new SchemaError('SCHEMA_RANGE', `${owner}: msgpack cannot say ${show(value)}: ${why}`, { cause: error });
      }
      return LENGTH_BYTES + measured.bytes.length;
    },
    write(to, at, value) {
      if (measured === undefined || measured.value !== value)
        throw new TypeError(`${owner}: written without a measure`);
      const { bytes } = measured;
      to.u32[at >>> 2] = bytes.length;
      to.u8.set(bytes, at + LENGTH_BYTES);
    },
    read(from, at, room) {
      const length = lengthAt(from, at, room, 0, owner);
      // A copy: texts are not decoded in shared memory, and bytes inside may be kept.
      const bytes = from.u8.slice(at + LENGTH_BYTES, at + LENGTH_BYTES + length);
      try {
        return (length <= SHORT ? shortDecoder : decoderFor(length)).decode(bytes) as never;
      } catch (error) {
        throw new SchemaError('SCHEMA_WIRE', `${owner}: not msgpack`, { cause: error, severity: 'warn' });
      }
    },
  };
}
