/** Death is never guessed: a standby does not take over from an owner that is only stopped, however long, and does at
 * once when that owner is killed. Nobody writes meanwhile. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

/** How long it stands still: this is what is tested, not waited for. */
const STOPPED_MS = process.env.LICH_SOAK ? 10_000 : 3_000;
const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));

afterEach(removeTestDirs);

test('stopped: nobody takes over, not a byte changes; continued: it goes on; killed while stopped: taken over', {
  timeout: 300_000,
}, async () => {
  const cluster = await LichUp.up(TOPOLOGY, testDir());
  try {
    const audit = cluster.reader('audit-1');
    const bank = cluster.reader('bank-1');
    const owner = cluster.ownerOf('bank-1')!;

    process.kill(owner, 'SIGSTOP');
    await until(() => isStopped(owner));
    const before = bytesOf(cluster.dir);
    await sleep(STOPPED_MS);
    expect(cluster.ownerOf('bank-1')).toBe(owner);
    expect(bytesOf(cluster.dir)).toEqual(before);
    expect(bank.segment.epoch).toBe(1);

    const seen = rootOf(audit).last!;
    process.kill(owner, 'SIGCONT');
    await until(() => rootOf(audit).last! > seen + 1_000);
    expect(cluster.ownerOf('bank-1')).toBe(owner);

    process.kill(owner, 'SIGSTOP');
    await until(() => isStopped(owner));
    const still = bytesOf(cluster.dir);
    const handled = rootOf(bank).last!;
    expect(bytesOf(cluster.dir)).toEqual(still);
    process.kill(owner, 'SIGKILL');
    await until(() => rootOf(bank).last! > handled + 1_000);
    expect(cluster.ownerOf('bank-1')).not.toBe(owner);
    expect(bank.segment.epoch).toBe(2);
    expect({ bank: rootOf(bank).wrong, audit: rootOf(audit).wrong }).toEqual({ bank: 0, audit: 0 });
    expect(bank.check()).toEqual([]);
  } finally {
    await cluster.stop();
  }
});

/** Hashes of the two segments that only the bank's owner writes. */
function bytesOf(dir: string): string[] {
  return ['state', 'lanes'].map(kind =>
    createHash('sha256')
      .update(readFileSync(join(dir, `bank-1.${kind}`)))
      .digest('hex'),
  );
}

/** All threads of the process stand still. */
function isStopped(pid: number): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
