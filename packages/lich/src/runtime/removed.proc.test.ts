/** A node that is removed (`lich rm`) and made again under its old name, while the others keep their state: both ends see
 * that it is another one, and begin their streams anew, instead of waiting for ever or handling what was handled. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { removeNode } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));

afterEach(removeTestDirs);

test.each([
  ['audit-1', 'use'],
  ['bank-1', 'start'],
  ['feeder-1', 'use'],
])('%s removed between two runs, lanes made at %s: messages flow again', { timeout: 300_000 }, async (name, lanes) => {
  const dir = testDir();
  const env = { BANK_LANES: lanes };
  const first = await LichUp.up(TOPOLOGY, dir, env);
  await until(() => rootOf(first.reader('audit-1')).last! > 500);
  await first.stop();
  const kept = rootOf(first.reader('audit-1'));
  expect(removeNode(dir, name)).toHaveLength(4);

  const second = await LichUp.up(TOPOLOGY, dir, env);
  try {
    const audit = second.reader('audit-1');
    const bank = second.reader('bank-1');
    const from = { audit: rootOf(audit).last!, bank: rootOf(bank).last! };
    // A new feeder counts from 1 again.
    if (name === 'bank-1') expect(from.audit).toBeGreaterThanOrEqual(kept.last!);
    await until(() => rootOf(bank).last! !== from.bank && rootOf(audit).last! !== from.audit);
    const wrong = { bank: rootOf(bank).wrong!, audit: rootOf(audit).wrong! };
    await until(() => rootOf(audit).last! > 2_000);
    // Where a new life met an old one the numbers jumped, once at most at either end; after that each came in its turn.
    expect(wrong.bank + wrong.audit).toBeLessThanOrEqual(2);
    expect(rootOf(bank).wrong! + rootOf(audit).wrong!).toBeLessThanOrEqual(3);
    expect([...bank.check(), ...audit.check()]).toEqual([]);
  } finally {
    await second.stop();
  }
});

test('a node whose lanes are lost, its state kept, goes on', { timeout: 300_000 }, async () => {
  const dir = testDir();
  const first = await LichUp.up(TOPOLOGY, dir);
  await until(() => rootOf(first.reader('audit-1')).last! > 500);
  await first.stop();
  rmSync(join(dir, 'bank-1.lanes'));
  const second = await LichUp.up(TOPOLOGY, dir);
  try {
    const audit = second.reader('audit-1');
    const from = rootOf(audit).last!;
    await until(() => rootOf(audit).last! > from + 2_000);
    expect(second.reader('bank-1').check()).toEqual([]);
  } finally {
    await second.stop();
  }
});
