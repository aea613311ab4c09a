/** A package from npm that knows nothing of Lich, over an array in a segment, in a process that is killed again and again:
 * its data is whole each time, and the next life goes on with it. */
import { join } from 'node:path';
import { describe } from 'vitest';
import { overKills } from '../testing/killed-owner.test-bed.ts';

describe('tinyqueue', () => {
  overKills('goes on with its queue', {
    file: join(import.meta.dirname, 'as-array.child.mjs'),
    kills: 15,
    soak: 500,
    withinMs: 17,
  });
});
