/** Dumps of an owner that writes at full speed, and dumps and restores that are killed. */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { int, pool, state, struct, text } from '@lich/schema';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { attachSegment, createSegment } from '../shm/index.ts';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { dumpSegment, openDump, openReader, openStore, type Store, storePlan, WORDS } from './index.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const soak = process.env.LICH_SOAK === '1';
let dir: string;
let files: string;
const children: Child[] = [];

beforeEach(() => {
  dir = testDir();
  files = testDir();
});
afterEach(async () => {
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

/** state.child.mjs says what holds at each commit. */
it.each([1 << 18, 1 << 14])('each dump is one commit, with %i words of log', async logWords => {
  const owner = new Child(join(import.meta.dirname, 'state.child.mjs'));
  children.push(owner);
  await owner.ask('open', { dir, logWords });
  await owner.ask('storm', { accounts: 64 });
  const segment = attachSegment({ dir, name: 'bank', kind: 'state', readOnly: true });
  const first = segment.f64[WORDS.COMMIT_NO >> 1]!;
  let commitNo = 0;
  // Until the owner has been at work between them, on a machine where it may have to wait for us.
  for (let k = 0; k < (soak ? 2_000 : 30) || commitNo - first < 1_000; k++) {
    const file = join(files, `${k}.dump`);
    dumpSegment(segment, file);
    const { segment: copy, info } = openDump(file);
    const reader = openReader(copy);
    const { accounts, root } = reader.snapshot(s => ({
      accounts: [...s.pool('accounts').values()] as any[],
      root: s.root(),
    }));
    expect(accounts).toHaveLength(64);
    let total = 0;
    for (const { up, down, twin, label, items } of accounts) {
      total += up;
      expect({ down: up + down, twin, label }).toEqual({ down: 0, twin: up | 0, label: `L${up}` });
      expect(new Set(items.map(([key]: [number]) => key % 8)).size).toBeLessThanOrEqual(1);
    }
    expect([total, root['total']]).toEqual([0, 0]);
    expect(reader.check()).toEqual([]);
    commitNo = info.commitNo;
    fs.rmSync(file);
  }
  segment.close();
});

class Row extends struct({ name: text(40), n: int }) {}

it('a dump and a restore that are killed leave all or nothing', async () => {
  const plan = storePlan(state({ rows: pool(Row, { capacity: 200_000 }) }), { logWords: 1 << 18 });
  const { regions, catalog, layoutHash } = plan;
  const segment = createSegment({ dir, name: 'rows-1', kind: 'state', regions, catalog, layoutHash });
  const store = openStore(segment, plan) as Store<any>;
  for (let k = 0; k < 100_000; k += 1_000) {
    store.log.begin();
    for (let n = k; n < k + 1_000; n++)
      store.state.rows.create({ name: `row ${n} ${(n * 2_654_435_761) % 4_294_967_291}`, n });
    store.log.commit();
  }
  const count = (file: string) => openReader(openDump(file).segment).snapshot(s => s.entries('rows').length);
  const whole = join(files, 'whole.dump');
  const timeMs = (args: string[]) => {
    const began = performance.now();
    expect(spawnSync(process.execPath, [LICH, ...args]).status).toBe(0);
    return performance.now() - began;
  };
  const dumpMs = timeMs(['dump', 'rows-1', whole, '--dir', dir]);
  expect(count(whole)).toBe(100_000);
  const target = testDir();
  const restoreMs = timeMs(['restore', whole, 'copy-0', '--dir', target]);

  /** Start it, kill it after that time, and wait for its end. */
  const killAfter = async (args: string[], ms: number) => {
    const child = spawn(process.execPath, [LICH, ...args], { stdio: 'ignore' });
    const ended = new Promise(resolve => child.once('close', resolve));
    const timer = setTimeout(() => child.kill('SIGKILL'), ms);
    await ended;
    clearTimeout(timer);
  };
  const rounds = soak ? 100 : 4;
  for (let k = 1; k <= rounds; k++) {
    const part = 0.4 + (0.6 * k) / rounds;
    const file = join(files, `${k}.dump`);
    await killAfter(['dump', 'rows-1', file, '--dir', dir], dumpMs * part);
    if (fs.existsSync(file)) expect(count(file)).toBe(100_000);
    await killAfter(['restore', whole, `copy-${k}`, '--dir', target], restoreMs * part);
    const made = fs.existsSync(join(target, `copy-${k}.state`));
    expect(fs.existsSync(join(target, `copy-${k}.lanes`))).toBe(false);
    if (made) {
      const copy = attachSegment({ dir: target, name: `copy-${k}`, kind: 'state', readOnly: true });
      expect(openReader(copy).snapshot(s => s.entries('rows').length)).toBe(100_000);
      copy.close();
    } else expect(spawnSync(process.execPath, [LICH, 'restore', whole, `copy-${k}`, '--dir', target]).status).toBe(0);
    fs.rmSync(join(target, `copy-${k}.state`));
  }
  expect(fs.readdirSync(files).every(name => name.endsWith('.dump'))).toBe(true);
  segment.close();
});
