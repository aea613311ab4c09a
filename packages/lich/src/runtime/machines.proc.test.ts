/** State machines with timeouts under SIGKILLs: each switch is whole, none is lost, none comes twice. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LAMPS } from '../testing/fixtures/lamps/game.ts';
import { LichUp, until } from '../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/lamps/topology.ts', import.meta.url));
const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const KILLS = process.env.LICH_SOAK ? 300 : 6;

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

interface Lamp {
  readonly exits: number;
  readonly entries: number;
  readonly spentMs: number;
  readonly madeMs: number;
  readonly light: string;
}

it('lamps blink on', { timeout: KILLS * 10_000 + 60_000 }, async () => {
  up = await LichUp.up(TOPOLOGY, testDir());
  const cluster = up;
  const reader = cluster.reader('lamps-1');
  const lamps = () => reader.snapshot(s => [...s.pool('lamps').values()] as unknown as Lamp[]);
  const entries = () => lamps().reduce((sum, lamp) => sum + lamp.entries, 0);
  for (let kills = 0; kills < KILLS; ) {
    const before = entries();
    // A little later at each kill, so that they hit at different points of the work.
    await until(() => entries() >= before + 3 * LAMPS + kills * 7);
    if (cluster.kill('lamps-1') === undefined) continue;
    kills++;
    await until(() => entries() >= before + 4 * LAMPS + kills * 7);
    // Entered once more than left.
    for (const lamp of lamps()) expect(lamp.entries).toBe(lamp.exits + 1);
  }
  const all = lamps();
  expect(all.length).toBe(LAMPS);
  all.forEach((lamp, n) => {
    const order = n % 2 === 0 ? ['dark', 'dim', 'bright'] : ['bright', 'dark', 'dim'];
    expect([n, lamp.light]).toEqual([n, order[lamp.exits % 3]]);
    // No state ended before its time: so many switches take at least so long.
    const least = Math.floor(lamp.exits / 3) * 15;
    expect(lamp.spentMs).toBeGreaterThanOrEqual(least);
  });
  expect(reader.check()).toEqual([]);

  const drawn = execFileSync(process.execPath, [LICH, 'inspect', 'lamps-1', '--machine', '--dir', cluster.dir], {
    encoding: 'utf8',
  });
  expect(drawn).toMatch(/^sign {2}1 record\n/);
  expect(drawn).toContain('lamps.light  40 records\n  ● dark ');
  expect(drawn).toMatch(/○ dim .*\n {2}├──► dark {4}to\n {2}└──► bright {2}after 3 ms\n/);
});
