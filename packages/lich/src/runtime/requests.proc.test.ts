/** Requests between real processes that are killed while they ask, before, in and after the handler of the server, and while
 * they are told: each is done once and answered once, or times out, and never both. */
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { StoreReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { POINTS, pointOf } from '../testing/fixtures/asks/game.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/asks/topology.ts', import.meta.url));
const MANY = (process.env.LICH_SOAK ? 40 : 1) * POINTS.length * 2;

afterEach(removeTestDirs);

async function cluster(
  env: Readonly<Record<string, string>>,
): Promise<{ up: LichUp; shop: StoreReader; bank: StoreReader }> {
  const dir = testDir();
  const up = await LichUp.up(TOPOLOGY, dir, { ASKS_DIR: testDir(), ...env });
  return { up, shop: up.reader('shop-1'), bank: up.reader('bank-1') };
}

const outcomesOf = (shop: StoreReader): Map<number, string> =>
  shop.snapshot(s => new Map(s.root()['outcomes'] as Map<number, string>));
const doneOf = (bank: StoreReader): Map<number, number> =>
  bank.snapshot(s => new Map(s.root()['done'] as Map<number, number>));

test(`killed at each of ${POINTS.length} points: done once, answered once`, { timeout: MANY * 10_000 }, async () => {
  const { up, shop, bank } = await cluster({ ASKS_KILLS: '1', ASKS_MANY: String(MANY) });
  try {
    await until(() => outcomesOf(shop).size === MANY);
    const [outcomes, done] = [outcomesOf(shop), doneOf(bank)];
    let sum = 0;
    for (let n = 1; n <= MANY; n++) {
      const isPoison = pointOf(n) === 'poison';
      expect([n, outcomes.get(n), done.get(n)]).toEqual([n, isPoison ? 'aside' : 'ok', isPoison ? undefined : 1]);
      if (!isPoison) sum += n;
    }
    expect(rootOf(shop)).toMatchObject({ twice: 0, sum });
    expect(rootOf(bank)).toMatchObject({ sum });
    for (const reader of [shop, bank]) expect(reader.check()).toEqual([]);
  } finally {
    await up.stop();
  }
});

test('a server that is stopped: timeouts, and its late answers are dropped', { timeout: 300_000 }, async () => {
  const many = 500;
  const { up, shop, bank } = await cluster({ ASKS_MANY: String(many), ASKS_WITHIN: '100', ASKS_PACE: '5' });
  const late = (): number => [...outcomesOf(shop).values()].filter(outcome => outcome === 'timeout').length;
  try {
    await until(() => outcomesOf(shop).size > 5);
    const pid = up.ownerOf('bank-1')!;
    process.kill(pid, 'SIGSTOP');
    const before = late();
    await until(() => late() >= before + 3);
    process.kill(pid, 'SIGCONT');
    // The outcome of a timeout is unknown to the shop, but the bank has all of them in its lane.
    await until(() => outcomesOf(shop).size === many && doneOf(bank).size === many);
    const outcomes = outcomesOf(shop);
    const sumOf = (which: (n: number) => boolean): number =>
      Array.from({ length: many }, (_, k) => k + 1).reduce((sum, n) => sum + (which(n) ? n : 0), 0);
    expect([...outcomes.values()].filter(outcome => outcome !== 'ok' && outcome !== 'timeout')).toEqual([]);
    expect([...doneOf(bank).values()].filter(times => times !== 1)).toEqual([]);
    expect(rootOf(bank).sum).toBe(sumOf(() => true));
    expect(rootOf(shop)).toMatchObject({ twice: 0, sum: sumOf(n => outcomes.get(n) === 'ok') });
  } finally {
    await up.stop();
  }
});
