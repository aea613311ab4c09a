/** What the heap refuses, in words. */
import { StateError } from './errors.ts';

/** All numbers in words. */
export function heapFull(wanted: number, words: number, used: number, free: number): StateError {
  return new StateError(
    'STATE_HEAP_FULL',
    words === 0
      ? `${wanted * 4} bytes are wanted of a heap, and this segment has none: set limits.heapBytes, which is taken when the segment is made`
      : `heap full: no room for a block of ${wanted * 4} bytes, ${used * 4} of ${words * 4} bytes are in use and ${free * 4} free in smaller blocks: raise limits.heapBytes`,
  );
}

export function doubleFree(link: number): never {
  throw new StateError('STATE_DOUBLE_FREE', `the block at link ${link} was given back before`);
}

export function noBlock(link: number, high: number): never {
  throw new StateError(
    'STATE_CORRUPT',
    `link ${link} leads to no block of the heap, whose blocks lie below ${high}; run \`lich check\``,
    { severity: 'fatal' },
  );
}

export function overwritten(link: number, where: string): never {
  throw new StateError(
    'STATE_CORRUPT',
    `the block at link ${link}, ${where}, was overwritten: something wrote to it after it was given back, or beyond the block before; run \`lich check\``,
    { severity: 'fatal' },
  );
}
