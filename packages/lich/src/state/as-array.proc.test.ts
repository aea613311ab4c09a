/** A package from npm that knows nothing of Lich, over an array in a segment, in a process that is killed again and again:
 * its data is whole each time, and the next life goes on with it. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';

const obey = join(import.meta.dirname, 'as-array.child.mjs');
const kills = process.env.LICH_SOAK === '1' ? 500 : 15;
let running: Child | undefined;

afterEach(async () => {
  await running?.kill();
  running = undefined;
  removeTestDirs();
});

describe('tinyqueue', () => {
  it(`goes on with its queue over ${kills} kills`, async () => {
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
      await new Promise(resolve => setTimeout(resolve, 1 + ((seed + kill * 7) % 17)));
      await running.kill();
    }
    expect(done).toBeGreaterThan(0);
    expect(cut).toBeGreaterThan(0);
  });
});
