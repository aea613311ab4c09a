/** A package from npm that works on a Map it is given, over a map in a segment, in a process that is killed again and again:
 * no answer is lost, none is worked out twice, and the next life goes on with them. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';

const obey = join(import.meta.dirname, 'as-map.child.mjs');
const kills = process.env.LICH_SOAK === '1' ? 500 : 15;
let running: Child | undefined;

afterEach(async () => {
  await running?.kill();
  running = undefined;
  removeTestDirs();
});

describe('memoize', () => {
  it(`goes on with its answers over ${kills} kills`, async () => {
    const dir = testDir();
    const seed = Math.floor(Math.random() * 2 ** 31);
    const at = (kill: number) => `seed ${seed}, kill ${kill}`;
    let asked = 0;
    let cut = 0;
    for (let kill = 0; kill <= kills; kill++) {
      running = new Child(obey);
      const opened = await running.ask('open', { dir });
      expect(opened.wrong, at(kill)).toEqual([]);
      expect(opened.took, at(kill)).toBe(kill === 0 ? 'acquired' : 'died');
      expect(opened.asked, at(kill)).toBeGreaterThanOrEqual(asked);
      asked = opened.asked as number;
      if ((opened.undone as number) > 0) cut++;
      if (kill < kills) await running.ask('churn', { seed: seed + kill });
      await new Promise(resolve => setTimeout(resolve, 1 + ((seed + kill * 7) % 17)));
      await running.kill();
    }
    expect(asked).toBeGreaterThan(0);
    expect(cut).toBeGreaterThan(0);
  });
});
