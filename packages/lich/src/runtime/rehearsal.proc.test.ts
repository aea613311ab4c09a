/** Standbys that rehearse, in real processes: what they run reaches nobody, and what they become is as good as new. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { ACCOUNTS, START_MONEY } from '../testing/fixtures/bank/game.ts';

const fixture = (path: string) => fileURLToPath(new URL(`../testing/fixtures/${path}/topology.ts`, import.meta.url));

let up: LichUp;
afterEach(async () => {
  await up.stop();
  removeTestDirs();
});

/** The line of a rehearsal with messages, by another process than these. */
async function rehearsed(node: string, not: readonly number[] = []): Promise<{ pid: number; messages: number }> {
  return up.logged(node, 'rehearsed', line => line.messages > 0 && !not.includes(line.pid));
}

describe('a standby that has rehearsed', () => {
  it('takes over, twice in a row: every move once, in order, all structures sound', async () => {
    up = await LichUp.up(fixture('bank'), testDir());
    const [feeder, bank, audit] = ['feeder-1', 'bank-1', 'audit-1'].map(name => up.reader(name));
    const seen: number[] = [];
    for (let k = 0; k < 2; k++) {
      const { pid } = await rehearsed('bank-1', seen);
      seen.push(pid);
      up.kill('bank-1');
      await up.logged('bank-1', 'serving', line => line.pid === pid);
    }
    const { last } = rootOf(bank!);
    await until(() => rootOf(audit!).last! > last!);
    expect(rootOf(bank!).wrong).toBe(0);
    expect(rootOf(audit!).wrong).toBe(0);
    const total = bank!.snapshot(s => [...s.pool('accounts').values()].reduce((sum, a) => sum + Number(a.money), 0));
    expect(total).toBe(ACCOUNTS * START_MONEY);
    for (const reader of [feeder, bank, audit]) expect(reader!.check()).toEqual([]);
  });
});

describe('what a rehearsal runs', () => {
  it('reaches nobody: no line, no function of onCommit, no message, no state', async () => {
    const dir = testDir();
    up = await LichUp.up(fixture('drill'), dir);
    const { pid, messages } = await rehearsed('drill-1');
    expect(messages).toBeGreaterThan(0);
    const owner = up.ownerOf('drill-1')!;
    expect(owner).not.toBe(pid);
    const outside = fs.readFileSync(join(dir, 'outside'), 'utf8').trim().split('\n');
    expect([...new Set(outside)]).toEqual([String(owner)]);
    expect(
      up
        .log('drill-1')
        .filter(line => line.msg === 'hit')
        .every(line => line.pid === owner),
    ).toBe(true);
    // Each number once, in order, or the count would differ.
    const { hits, next } = rootOf(up.reader('drill-1'));
    expect(hits).toBe(next);
    expect(rootOf(up.reader('sender-1')).wrong).toBe(0);
  });

  it('may write more than the log holds: no round follows on that copy', async () => {
    up = await LichUp.up(fixture('drill'), testDir(), { DRILL_HARM: 'much' });
    await rehearsed('drill-1');
    expect(up.log('drill-1').filter(line => line.msg === 'a rehearsal failed')).toEqual([]);
  });

  it.each(['abort', 'exit'])('may %s: the next standby does without, and the owner does not notice', async harm => {
    const dir = testDir();
    up = await LichUp.up(fixture('drill'), dir, { DRILL_HARM: harm });
    const owner = up.ownerOf('drill-1');
    const line = await up.logged('drill-1', 'the standby before this one died while it rehearsed');
    await up.logged('drill-1', 'standing by', ({ pid }) => pid === line.pid);
    expect(up.ownerOf('drill-1')).toBe(owner);
    expect(fs.existsSync(join(dir, 'status', 'drill-1.rehearsing'))).toBe(false);
    const { hits, next } = rootOf(up.reader('drill-1'));
    expect(hits).toBe(next);
  });
});
