/** An owner that is killed again and again, wherever it is: each life finds what was committed last, and nothing wrong. */
import { afterEach, expect, it } from 'vitest';
import { type Answer, Child, removeTestDirs, testDir } from './children.ts';

let running: Child | undefined;

export interface Kills {
  /** The child: `killedOwner` of owner.mjs. It counts its transactions in `done`. */
  readonly file: string;
  readonly kills: number;
  /** Instead, with LICH_SOAK. */
  readonly soak: number;
  /** A life is killed some ms after it began to work, at most so many. */
  readonly withinMs: number;
  /** What else each life finds at its begin: answers and their values. */
  finds?(found: Answer): Partial<Answer>;
}

/** @param what it does over the kills, as a sentence without them */
export function overKills(what: string, o: Kills): void {
  const kills = process.env.LICH_SOAK === '1' ? o.soak : o.kills;
  afterEach(async () => {
    await running?.kill();
    running = undefined;
    removeTestDirs();
  });
  it(`${what} over ${kills} kills`, async () => {
    const dir = testDir();
    const seed = Math.floor(Math.random() * 2 ** 31);
    let done = 0;
    let cut = 0;
    for (let kill = 0; kill <= kills; kill++) {
      const where = `seed ${seed}, kill ${kill}`;
      running = new Child(o.file);
      const found = await running.ask('open', { dir });
      expect(found.wrong, where).toEqual([]);
      expect(found.took, where).toBe(kill === 0 ? 'acquired' : 'died');
      expect(found.done, where).toBeGreaterThanOrEqual(done);
      expect(found, where).toMatchObject(o.finds?.(found) ?? {});
      done = found.done as number;
      if ((found.undone as number) > 0) cut++;
      if (kill < kills) await running.ask('churn', { seed: seed + kill });
      // It is killed wherever it is then: a transaction takes some microseconds.
      await new Promise(resolve => setTimeout(resolve, 1 + ((seed + kill * 7) % o.withinMs)));
      expect(running.process.exitCode, `${where}: it ended by itself`).toBe(null);
      await running.kill();
    }
    expect(done).toBeGreaterThan(0);
    // Some kills hit an open transaction: most do.
    expect(cut).toBeGreaterThan(0);
  });
}
