/** Which catalog of a segment is in force: its own, or one of the two halves of region `catalogs` (see adopt.ts). */
import { crc32 } from 'node:zlib';
import type { Segment } from '../shm/index.ts';
import { StateError } from './errors.ts';
import { CATALOG } from './words.ts';

/** Name of the region. */
export const CATALOGS = 'catalogs';
/** Bytes of a half before its text. */
export const HALF_HEADER = 8;

/** Bytes of the region for a first catalog of so many: each half takes twice as much and some. */
export function catalogsBytes(catalogBytes: number): number {
  return 2 * Math.ceil((HALF_HEADER + catalogBytes * 2 + 8192) / 4096) * 4096;
}

/** The JSON text that describes the segment as it is.
 * @throws StateError `STATE_CORRUPT` */
export function catalogBytes(
  segment: Pick<Segment, 'catalog' | 'regions' | 'i32' | 'u32' | 'u8' | 'name'>,
): Uint8Array {
  const which = segment.i32[CATALOG];
  const region = segment.regions.get(CATALOGS);
  if (which === 0 || region === undefined) return segment.catalog;
  const half = region.bytes / 2;
  const at = region.offset + (which - 1) * half;
  const bytes = which === 1 || which === 2 ? segment.u32[at / 4] : 0;
  if (bytes > 0 && bytes + HALF_HEADER <= half) {
    const text = segment.u8.slice(at + HALF_HEADER, at + HALF_HEADER + bytes);
    if (crc32(text) === segment.u32[at / 4 + 1]) return text;
  }
  throw new StateError('STATE_CORRUPT', `${segment.name}: its catalog ${which} cannot be read`, { severity: 'fatal' });
}
