/** Bytes of a message of one version, as those of another one. */
import { catalogOfStruct, hashOf, type MessageLayout, SchemaError, structsIn } from '@lich/schema';
import { payloadCodec, sizeOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { arraysOf } from '../state/internal.ts';
import { adapter } from './adapt.ts';

/** @returns the bytes of the other version, in memory of its own
 * @throws SchemaError `SCHEMA_WIRE` for bytes that are none of this one */
export type Translate = (from: Segment, at: number, room: number) => Uint8Array;

/** Refs stay what they are. */
const PLAIN_DOOR = {
  resolve: (_: string, slot: number, generation: number) => (generation === 0 ? undefined : { slot, generation }),
};

/** Of two layouts of which `problemOf` says nothing. @returns undefined where the bytes are the same */
export function translation(from: MessageLayout, to: MessageLayout): Translate | undefined {
  if (from.whole !== undefined || isSame(from, to)) return undefined;
  const [reader, writer] = [payloadCodec(from, PLAIN_DOOR), payloadCodec(to, PLAIN_DOOR)];
  const make = adapter(from, to);
  return (memory, at, room) => {
    if (room < reader.bytes)
      throw new SchemaError('SCHEMA_WIRE', `${room} bytes of ${reader.bytes}`, { severity: 'warn' });
    const value = make(reader.read(memory, at, room));
    const made = arraysOf(new ArrayBuffer((sizeOf(writer, value) + 15) & -16 || 16)) as unknown as Segment;
    writer.write(made, 0, value);
    return made.u8.subarray(0, writer.bytes);
  };
}

/** The same fields at the same places. */
function isSame(from: MessageLayout, to: MessageLayout): boolean {
  const [x, y] = [from, to].map(layout => {
    const structs = [...structsIn([layout]).values()].map(catalogOfStruct);
    return hashOf({ fields: { ...catalogOfStruct(layout), name: '' }, structs }, ['was']);
  });
  return x === y;
}
