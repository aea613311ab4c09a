/** One state under every Node: a cluster that runs on one major, is killed, and goes on on the next. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { capability, need } from '../../../../scripts/lib/capability.mjs';
import { openReader } from '../state/index.ts';
import { attachSegment } from '../shm/index.ts';
import { removeTestDirs, testDir } from './children.ts';
import { LichUp, logLines, until } from './lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('./fixtures/noisy/topology.ts', import.meta.url));
const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

function exeOf(pid: number | undefined): string | undefined {
  try {
    return pid === undefined ? undefined : fs.readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

describe.skipIf(!need('nodes'))('Node 20, 22, 24 and 26', () => {
  it('a state goes on over all majors, up and down again, through kills', { timeout: 600_000 }, async () => {
    const dir = testDir();
    const majors = [20, 22, 24, 26].filter(major => capability(`node${major}`).ok);
    let n = 0;
    for (const major of [...majors, ...majors.slice(0, -1).reverse()]) {
      const node = capability(`node${major}`).path!;
      up = await LichUp.up(TOPOLOGY, dir, {}, node);
      const cluster = up;
      expect(spawnSync(node, ['-p', 'process.version'], { encoding: 'utf8' }).stdout).toMatch(`v${major}.`);
      // It ends itself now and then.
      let exe: string | undefined;
      await until(() => (exe = exeOf(cluster.ownerOf('noisy-1'))) !== undefined);
      expect(exe).toBe(fs.realpathSync(node));
      const reader = openReader(attachSegment({ dir, name: 'noisy-1', kind: 'state' }));
      const now = (): number => (reader.snapshot(s => s.root()) as { n: number }).n;
      expect(now()).toBeGreaterThanOrEqual(n);
      const begun = now();
      await until(() => now() > begun + 5);
      let killed: number | undefined;
      await until(() => (killed = cluster.kill('noisy-1')) !== undefined);
      const atKill = now();
      await until(() => cluster.ownerOf('noisy-1') !== killed && now() > atKill + 5);
      expect(await cluster.stop()).toEqual({ code: 0, signal: null });
      up = undefined;
      n = now();
      const check = spawnSync(node, [LICH, 'check', 'noisy-1', '--dir', dir], { encoding: 'utf8' });
      expect(check.stderr + check.stdout).toContain('sound');
      expect(check.status).toBe(0);
    }
    const done = logLines(dir, 'noisy-1.audit.log').map(({ n }) => n as number);
    expect(done).toEqual(Array.from({ length: done.length }, (_, k) => k + 1));
  });
});
