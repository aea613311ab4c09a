/** The heap of a process that is killed again and again: nothing leaks, nothing is given out twice, nothing is lost. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';

const obey = join(import.meta.dirname, 'heap.child.mjs');
const kills = process.env.LICH_SOAK === '1' ? 1_000 : 50;
let running: Child | undefined;

afterEach(async () => {
  await running?.kill();
  running = undefined;
  removeTestDirs();
});

describe('a heap', () => {
  it(`leaks nothing over ${kills} kills`, async () => {
    const dir = testDir();
    const seed = Math.floor(Math.random() * 2 ** 31);
    const at = (kill: number) => `seed ${seed}, kill ${kill}`;
    let done = 0;
    let cut = 0;
    for (let kill = 0; kill <= kills; kill++) {
      running = new Child(obey);
      const opened = await running.ask('open', { dir });
      expect(opened.wrong, at(kill)).toEqual([]);
      expect(opened.leaked, at(kill)).toBe(0);
      expect(opened.took, at(kill)).toBe(kill === 0 ? 'acquired' : 'died');
      expect(opened.done, at(kill)).toBeGreaterThanOrEqual(done);
      done = opened.done as number;
      if ((opened.undone as number) > 0) cut++;
      if (kill < kills) await running.ask('churn', { seed: seed + kill });
      // It is killed wherever it is then: a transaction takes some microseconds.
      await new Promise(resolve => setTimeout(resolve, (seed + kill * 7) % 13));
      await running.kill();
    }
    expect(done).toBeGreaterThan(0);
    // Some kills hit an open transaction: most do.
    expect(cut).toBeGreaterThan(0);
  });
});
