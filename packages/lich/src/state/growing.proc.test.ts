/** A state that grows and shrinks in all ways, in a process that is killed again and again: what is left is a commit, and
 * every block of its heap has an owner. */
import { join } from 'node:path';
import { describe } from 'vitest';
import { overKills } from '../testing/killed-owner.test-bed.ts';

describe('what grows', () => {
  overKills('leaks nothing', {
    file: join(import.meta.dirname, 'growing.child.mjs'),
    kills: 15,
    soak: 1_000,
    withinMs: 29,
  });
});
