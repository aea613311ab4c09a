/** A C library whose memory is the segment, in a process that is killed again and again: its data is there, whole, and
 * agrees with the state that was committed with it. */
import { join } from 'node:path';
import { describe } from 'vitest';
import { overKills } from '../testing/killed-owner.test-bed.ts';

describe('foreign code', () => {
  overKills('goes on with its data', {
    file: join(import.meta.dirname, 'foreign.child.mjs'),
    kills: 10,
    soak: 500,
    withinMs: 17,
    // Board, table, static data, stack, room for a name, and two for each name: nothing is left over.
    finds: ({ on }) => ({ blocks: 5 + 2 * (on as number) }),
  });
});
