/** Flows of ten steps over three services, each killed at another point: in its code, in a step, after a commit, in a handler
 * of another service, in an effect. Whoever dies and when, the effect of each step is there exactly once. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, rootOf, until } from '../../testing/lich-up.ts';
import { PRICE, STEPS } from '../../testing/fixtures/trip/game.ts';

const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
const TOPOLOGY = fileURLToPath(new URL('../../testing/fixtures/trip/topology.ts', import.meta.url));
/** Steps that are one `do` of the flow. */
const DOS = [0, 2, 6, 7, 9];
const POINTS = [
  'begin',
  ...Array.from({ length: 9 }, (_, k) => `before-${k + 1}`),
  ...DOS.flatMap(step => [`in-${step}`, `after-${step}`]),
  ...['bank', 'hotel'].flatMap(name => [`${name}-in`, `${name}-after`]),
  'effect-before',
  'effect-after',
  'in-pay',
  'after-pay',
  'paid',
  'charged',
  'in-say',
  'after-say',
];
/** Trips in which a process dies at a random moment, not at a point. */
const RANDOM_KILLS = process.env.LICH_SOAK ? 500 : 3;

afterEach(removeTestDirs);

test('a flow that ends the process is set aside, and the others go on', { timeout: 300_000 }, async () => {
  const env = { TRIP_POINTS: Array(20).fill('none').join(','), TRIP_DIED: testDir(), TRIP_BAD: '1' };
  const cluster = await LichUp.up(TOPOLOGY, testDir(), env);
  try {
    const trip = cluster.reader('trip-1');
    await until(() => rootOf(trip).ended === 20);
    const line = await cluster.logged('trip-1', 'flow bad is stuck');
    expect(line.err.code).toBe('RUNTIME_SET_ASIDE');
    const flows = (): any[] => trip.snapshot(r => [...r.pool('$flows').values()]);
    expect(flows().map(({ name, stuck }) => [name, stuck])).toEqual([['bad', 2]]);
    // It stays so over kills.
    const epoch = trip.segment.epoch;
    cluster.kill('trip-1');
    await until(() => trip.segment.epoch > epoch);
    expect(flows().map(({ name, stuck }) => [name, stuck])).toEqual([['bad', 2]]);
    expect(trip.check()).toEqual([]);
    // People see it, and end it.
    const lich = (...args: string[]): { status: number | null; stdout: string } =>
      spawnSync(process.execPath, [LICH, 'flows', ...args, '--dir', cluster.dir], { encoding: 'utf8' });
    const seen = lich();
    expect(seen.stdout).toMatch(/^trip-1: 1 flow: 1 bad v1; 1 stuck\n/);
    expect(seen.stdout).toMatch(/bad v1 +\d+s +1 +\d+s +other code\n +it ended the process again and again\n/);
    expect(seen.status).toBe(1);
    expect(lich('drop', 'trip-1', 'bad')).toMatchObject({ status: 0, stdout: '1 flow of trip-1 is dropped\n' });
    expect(lich('--json')).toMatchObject({ status: 0, stdout: expect.stringContaining('"count": 0') });
    expect(trip.check()).toEqual([]);
  } finally {
    await cluster.stop();
  }
});

test(`a flow killed at each of ${POINTS.length} points, and ${RANDOM_KILLS} times at random`, {
  timeout: 600_000,
}, async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  let s = seed | 1;
  const random = (below: number): number => {
    s = Math.imul(s ^ (s >>> 15), 0x2c1b_3c6d) + 0x9e37_79b9;
    return (s >>> 0) % below;
  };
  const points = [...POINTS, ...Array.from({ length: RANDOM_KILLS * 3 + 1 }, () => 'none')];
  const died = testDir();
  const cluster = await LichUp.up(TOPOLOGY, testDir(), { TRIP_POINTS: points.join(','), TRIP_DIED: died });
  try {
    const [trip, bank, hotel] = ['trip-1', 'bank-1', 'hotel-1'].map(name => cluster.reader(name));
    for (let n = 0; n <= POINTS.length; n++) await until(() => rootOf(trip!).ended! > n);
    for (let kills = 0; kills < RANDOM_KILLS && rootOf(trip!).ended! < points.length; ) {
      const before = rootOf(trip!).ended!;
      for (let spin = random(200_000); spin > 0; spin--);
      if (cluster.kill(['trip-1', 'bank-1', 'hotel-1'][random(3)]!) !== undefined) kills++;
      await until(() => rootOf(trip!).ended! > before);
    }
    await until(() => rootOf(trip!).ended === points.length);
    const all = points.length;
    const said = trip!.snapshot(r => r.root()) as Record<string, any>;
    expect(said, `seed ${seed}`).toMatchObject({ ended: all, wrong: 0, bought: all, poor: 0, gold: 0 });
    expect([...said.done], `seed ${seed}`).toEqual(
      Array.from({ length: STEPS }, (_, step) => (DOS.includes(step) ? all : 0)),
    );
    expect(rootOf(bank!), `seed ${seed}`).toMatchObject({ charges: 3 * all, gold: (2 + PRICE) * all });
    expect(rootOf(hotel!), `seed ${seed}`).toMatchObject({ nights: 2 * all });
    // Each point was reached, and each effect has one key, whatever it was cut off by.
    expect(POINTS.filter((_, n) => !fs.existsSync(`${died}/${n}`))).toEqual([]);
    const mails = fs.readFileSync(`${died}/mails`, 'utf8').split('\n').slice(0, -1);
    expect(new Set(mails).size, `seed ${seed}`).toBe(all);
    expect(trip!.snapshot(r => [...r.pool('$flows').values()].length + [...r.pool('$flowWakes').values()].length)).toBe(
      0,
    );
    for (const reader of [trip!, bank!, hotel!]) expect(reader.check(), `seed ${seed}`).toEqual([]);
  } finally {
    await cluster.stop();
  }
});
