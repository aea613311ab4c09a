/** Three services in a row under SIGKILLs: feeder → bank → audit, with every structure of the state in between. Whoever
 * dies, each move is made once, in order, and the money is the same at every commit. Read from outside.
 *
 * Between two kills the last victim has gone on: one that is killed four times at the same message has it set aside, which
 * is what suspects.proc is about. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { StoreReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { ACCOUNTS, START_MONEY } from '../testing/fixtures/bank/game.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));
const KILLS = Number(process.env.LICH_ROUNDS ?? (process.env.LICH_SOAK ? 6_000 : 20));
/** About what the feeder sends between two kills. */
const MOVES_PER_KILL = 400;
const NODES = ['feeder-1', 'bank-1', 'audit-1'] as const;

afterEach(removeTestDirs);

test(`${KILLS} kills: every move once, in order, nothing torn`, { timeout: KILLS * 4_000 + 60_000 }, async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  const moves = KILLS * MOVES_PER_KILL;
  // Lanes of either kind.
  const lanes = seed % 2 === 0 ? 'use' : 'start';
  const dir = testDir();
  const cluster = await LichUp.up(TOPOLOGY, dir, { BANK_MOVES: String(moves), BANK_LANES: lanes });
  try {
    const [feeder, bank, audit] = NODES.map(name => cluster.reader(name)) as [StoreReader, StoreReader, StoreReader];
    const progress = {
      'feeder-1': () => rootOf(feeder).sent!,
      'bank-1': () => rootOf(bank).last!,
      'audit-1': () => rootOf(audit).last!,
    };
    // What begins with a dot is being made, of each death: nothing is set aside yet.
    const setAside = (): string[] =>
      fs.existsSync(join(dir, 'quarantine'))
        ? fs.readdirSync(join(dir, 'quarantine')).filter(file => !file.startsWith('.'))
        : [];
    let kills = 0;
    while (kills < KILLS) {
      const name = NODES[Math.floor(random() * NODES.length)]!;
      const pid = cluster.kill(name);
      if (pid === undefined) continue;
      kills++;
      const when = `seed ${seed}, kill ${kills} of ${name}`;
      await until(() => cluster.ownerOf(name) !== pid);
      const before = { [name]: progress[name](), 'audit-1': progress['audit-1']() };
      expect(setAside(), when).toEqual([]);
      checkAll(when, feeder, bank, audit, moves);
      for (const [of, was] of Object.entries(before)) {
        const now = progress[of as keyof typeof progress];
        if (was < moves) await until(() => now() > was);
      }
    }
    await until(() => rootOf(audit).last === moves);
    checkAll(`seed ${seed}, at the end`, feeder, bank, audit, moves);
    expect(rootOf(feeder).sent).toBe(moves);
    expect(rootOf(bank).last).toBe(moves);
    expect(rootOf(audit).sum).toBe(moves * ACCOUNTS * START_MONEY);
    for (const reader of [feeder, bank, audit]) expect(reader.check(), `seed ${seed}`).toEqual([]);
  } finally {
    await cluster.stop();
  }
});

function checkAll(when: string, feeder: StoreReader, bank: StoreReader, audit: StoreReader, moves: number): void {
  const seen = rootOf(audit);
  const { root, total } = bank.snapshot(s => ({
    root: s.root() as Record<string, number>,
    total: [...s.pool('accounts').values()].reduce((sum, account) => sum + (account.money as number), 0),
  }));
  const sent = rootOf(feeder).sent!;
  expect({ wrong: root.wrong, auditWrong: seen.wrong }, when).toEqual({ wrong: 0, auditWrong: 0 });
  expect(total, when).toBe(ACCOUNTS * START_MONEY);
  // Read one after the other: who is behind cannot overtake who is ahead.
  expect(seen.last, when).toBeLessThanOrEqual(root.last!);
  expect(root.last, when).toBeLessThanOrEqual(sent);
  expect(sent, when).toBeLessThanOrEqual(moves);
}

function seeded(seed: number): () => number {
  let s = seed | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 32;
  };
}
