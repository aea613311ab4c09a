/** A package from npm that works on a Map it is given, over a map in a segment, in a process that is killed again and again:
 * no answer is lost, none is worked out twice, and the next life goes on with them. */
import { join } from 'node:path';
import { describe } from 'vitest';
import { overKills } from '../testing/killed-owner.test-bed.ts';

describe('memoize', () => {
  overKills('goes on with its answers', {
    file: join(import.meta.dirname, 'as-map.child.mjs'),
    kills: 15,
    soak: 500,
    withinMs: 17,
  });
});
