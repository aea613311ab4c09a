/** A state that grows and shrinks in all ways, in a process that is killed again and again: what is left is a commit, and
 * every block of its heap has an owner. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';

const obey = join(import.meta.dirname, 'growing.child.mjs');
const kills = process.env.LICH_SOAK === '1' ? 1_000 : 15;
let running: Child | undefined;

afterEach(async () => {
  await running?.kill();
  running = undefined;
  removeTestDirs();
});

describe('what grows', () => {
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
      expect(opened.took, at(kill)).toBe(kill === 0 ? 'acquired' : 'died');
      expect(opened.done, at(kill)).toBeGreaterThanOrEqual(done);
      done = opened.done as number;
      if ((opened.undone as number) > 0) cut++;
      if (kill < kills) await running.ask('churn', { seed: seed + kill });
      await new Promise(resolve => setTimeout(resolve, 1 + ((seed + kill * 7) % 29)));
      expect(running.process.exitCode, `${at(kill)}: it ended by itself`).toBe(null);
      await running.kill();
    }
    expect(done).toBeGreaterThan(0);
    expect(cut).toBeGreaterThan(0);
  });
});
