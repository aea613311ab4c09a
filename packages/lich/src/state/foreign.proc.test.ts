/** A C library whose memory is the segment, in a process that is killed again and again: its data is there, whole, and
 * agrees with the state that was committed with it. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';

const obey = join(import.meta.dirname, 'foreign.child.mjs');
const kills = process.env.LICH_SOAK === '1' ? 500 : 20;
let running: Child | undefined;

afterEach(async () => {
  await running?.kill();
  running = undefined;
  removeTestDirs();
});

describe('foreign code', () => {
  it(`goes on with its data over ${kills} kills`, async () => {
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
      // Board, table, static data, stack, room for a name, and two for each name: nothing is left over.
      expect(opened.blocks, at(kill)).toBe(5 + 2 * (opened.on as number));
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
