/** Two states, byte by byte: all that is under the log, from the root to the end of the segment. */
import type { Segment } from '../../shm/index.ts';
import { GRANULE_BYTES } from '../../shm/index.ts';

/** The first word that differs. */
export interface Difference {
  /** Index of the word in the segment. */
  readonly word: number;
  readonly a: number;
  readonly b: number;
}

/** @param a a mapped segment, nothing open
 * @param b likewise, or a dump as a segment
 * @returns undefined when they are equal
 * @remarks looks at pages in use only; about 1 GB/s */
export function firstDifference(a: Segment, b: Segment): Difference | undefined {
  const root = a.regions.get('root')!.offset;
  const zero = new Int32Array(0);
  for (let granule = Math.floor(root / GRANULE_BYTES); granule < a.sizeBytes / GRANULE_BYTES; granule++) {
    const inA = isReserved(a, granule);
    const inB = isReserved(b, granule);
    if (!inA && !inB) continue;
    const from = Math.max(root, granule * GRANULE_BYTES) / 4;
    const to = ((granule + 1) * GRANULE_BYTES) / 4;
    const A = inA ? a.i32 : zero;
    const B = inB ? b.i32 : zero;
    for (let word = from; word < to; word++) {
      const x = inA ? A[word] : 0;
      const y = inB ? B[word] : 0;
      if (x !== y) return { word, a: x, b: y };
    }
  }
  return undefined;
}

/** A segment that has no bitmap (a dump) has all of its pages: those that it does not hold are zero. */
function isReserved(segment: Segment, granule: number): boolean {
  const bitmap = segment.regions.get('reserved');
  return bitmap === undefined || ((segment.u8[bitmap.offset + (granule >>> 3)]! >>> (granule & 7)) & 1) === 1;
}
