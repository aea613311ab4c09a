/** A topic between real processes: publisher and subscribers are killed, and one is stopped for a while. Each publication is
 * heard once and in order; what the stopped one missed it is told; updates end with the newest of each key. */
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { StoreReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { KEYS } from '../testing/fixtures/market/game.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/market/topology.ts', import.meta.url));
const MANY = process.env.LICH_SOAK ? 200_000 : 6_000;

afterEach(removeTestDirs);

const root = (of: StoreReader): any => rootOf(of);
const bestOf = (board: StoreReader): Map<number, number> => new Map(root(board).best);

test('killed and stopped: once, in order, and told what is missing', { timeout: MANY * 100 }, async () => {
  const up = await LichUp.up(TOPOLOGY, testDir(), { MARKET_MANY: String(MANY) });
  try {
    const [market, one, two] = ['market-1', 'board-1', 'board-2'].map(name => up.reader(name)) as [
      StoreReader,
      StoreReader,
      StoreReader,
    ];
    await until(() => root(one).last > 0 && root(two).last > 0);
    const pid = up.ownerOf('board-2')!;
    process.kill(pid, 'SIGSTOP');
    const nodes = ['market-1', 'board-1'];
    for (let k = 0; root(market).said < MANY / 2; k++) {
      const { said } = root(market);
      up.kill(nodes[k % nodes.length]!);
      await until(() => root(market).said >= Math.min(said + MANY / 16, MANY / 2));
    }
    await until(() => root(market).said === MANY);
    process.kill(pid, 'SIGCONT');
    // The newest of each key, whoever was slow.
    const best = Array.from({ length: KEYS }, (_, k) => MANY - k);
    const isWhole = (board: StoreReader): boolean =>
      root(board).last === MANY && best.every(n => bestOf(board).get(n % KEYS) === n);
    await until(() => isWhole(one) && isWhole(two));
    for (const board of [one, two]) expect(root(board)).toMatchObject({ gaps: 0, back: 0 });
    // Six thousand messages fill its lanes.
    expect(root(two).missed).toBeGreaterThan(0);
    expect(root(market).slow).toBeGreaterThanOrEqual(root(two).missed);
    expect(root(market).slow).toBeLessThanOrEqual(root(one).missed + root(two).missed);
    for (const reader of [market, one, two]) expect(reader.check()).toEqual([]);
  } finally {
    await up.stop();
  }
});
