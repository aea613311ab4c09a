/** The heap of a process that is killed again and again: nothing leaks, nothing is given out twice, nothing is lost. */
import { join } from 'node:path';
import { describe } from 'vitest';
import { overKills } from '../testing/killed-owner.test-bed.ts';

describe('a heap', () => {
  overKills('leaks nothing', {
    file: join(import.meta.dirname, 'heap.child.mjs'),
    kills: 20,
    soak: 1_000,
    withinMs: 13,
    finds: () => ({ leaked: 0 }),
  });
});
