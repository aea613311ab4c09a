/** P1, instruction by instruction: a live bank (testing/fixtures/bank) is stopped after every machine instruction while
 * it handles messages, and what a recovery would find is compared with the last commit. A thousand random kills cannot
 * show two stores in the wrong order; this does in seconds, as the planted bug proves. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { need } from '../../../../scripts/lib/capability.mjs';
import { attachSegment } from '../shm/index.ts';
import { catalogOf } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { step } from '../testing/step/stepper.ts';

const COMMITS = process.env.LICH_SOAK ? 2_000 : 12;
/** A limit for machines where single steps are slow; not what is asserted. */
const SECONDS = process.env.LICH_SOAK ? 600 : 40;
/** Far more than a transaction takes. */
const PATIENCE = 60_000;
/** Messages handled before. */
const WARM = 2_000;
const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));
const VICTIM = fileURLToPath(new URL('../testing/step/victim.mjs', import.meta.url));

afterEach(removeTestDirs);

describe.skipIf(!need('ptrace'))('after every machine instruction', () => {
  test('the bank: state, cursors and tails are the last commit, nothing is shown before it', {
    timeout: 120_000 + SECONDS * 1_000,
  }, async () => {
    const dir = testDir();
    const cluster = await LichUp.up(TOPOLOGY, dir);
    try {
      const bank = cluster.reader('bank-1');
      // Compiled by then: compiling takes a hundred thousand instructions in the middle of a transaction.
      await until(() => rootOf(bank).last! > WARM);
      const pid = cluster.ownerOf('bank-1')!;
      const found = await step({
        dir,
        name: 'bank-1',
        pid,
        seconds: SECONDS,
        commits: COMMITS,
        patience: PATIENCE,
        ...watchedOf(dir, 'bank-1'),
      });
      process.stdout.write(`single-stepper, bank: ${JSON.stringify(found)}\n`);
      expect(found).toMatchObject({ wrong: 0, ahead: 0, wrongWord: -1 });
      expect(found.commits).toBeGreaterThanOrEqual(5);
      expect(found.differing).toBeGreaterThan(1_000);
    } finally {
      await cluster.stop();
    }
  });

  test.each([
    ['good', false],
    ['swapped', true],
  ] as const)('the log alone, %s order of stores: found wrong %s', { timeout: 120_000 }, async (variant, isBad) => {
    const dir = testDir();
    const victim = spawn(process.execPath, [VICTIM, dir, variant], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await said(victim, 'ready');
      const state = attachSegment({ dir, name: 'victim', kind: 'state' });
      const root = state.regions.get('root')!.offset / 4;
      state.close();
      const found = await step({
        dir,
        name: 'victim',
        pid: victim.pid!,
        seconds: SECONDS,
        commits: COMMITS,
        patience: PATIENCE,
        watched: [[root, 64]],
      });
      process.stdout.write(`single-stepper, ${variant}: ${JSON.stringify(found)}\n`);
      expect(found.differing).toBeGreaterThan(1_000);
      if (isBad) expect(found.wrong).toBeGreaterThanOrEqual(3);
      else expect(found.wrong).toBe(0);
    } finally {
      victim.kill('SIGKILL');
      await once(victim, 'exit');
    }
  });
});

/** The users' state whole, the cursors and the lanes; of the timers the head, and what waits at once. */
function watchedOf(dir: string, name: string): { watched: [number, number][]; published: [number, number][] } {
  const state = attachSegment({ dir, name, kind: 'state' });
  const lanes = attachSegment({ dir, name, kind: 'lanes' });
  const root = state.regions.get('root')!.offset;
  const watched: [number, number][] = [];
  const word = (field: string): number => (root + catalogOf(state).root.fields.find(f => f.name === field)!.offset) / 4;
  for (const field of catalogOf(state).root.fields) {
    if (field.bytes <= 1024) watched.push([(root + field.offset) >> 2, Math.ceil(field.bytes / 4)]);
  }
  watched.push([word('$out'), 8 * 4]);
  watched.push([word('$timers'), 48]);
  for (const [region, { offset, bytes }] of state.regions) {
    // Head, bitmap, stamps and the first records of each pool.
    if (/^p\d+:/.test(region)) watched.push([offset / 4, Math.min(bytes / 4, 1_500)]);
  }
  const published: [number, number][] = [];
  const [out, into] = [lanes.regions.get('out')!.offset / 4, lanes.regions.get('in')!.offset / 4];
  for (let slot = 0; slot < 4; slot++) published.push([out + slot * 16 + 5, word('$out') + slot * 8 + 5]);
  for (let node = 0; node < 8; node++) published.push([into + node * 16, word('$in') + node]);
  state.close();
  lanes.close();
  return { watched, published };
}

function said(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', chunk => {
      text += String(chunk);
      if (text.includes(words)) resolve();
    });
    child.once('exit', () => reject(new Error(`it ended and had said: ${text}`)));
  });
}
