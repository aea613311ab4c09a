/** P1 for every structure: a process that does one operation of each kind after the other is stopped after every machine
 * instruction, and what a recovery would find is compared with the last commit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { need } from '../../../../scripts/lib/capability.mjs';
import { attachSegment } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { step } from '../testing/step/stepper.ts';
import { HIGH as HEAP_HIGH } from './heap.ts';

const VICTIM = fileURLToPath(new URL('../testing/step/structures.mjs', import.meta.url));
/** Times that each operation is gone through. */
const ROUNDS = process.env.LICH_SOAK ? 40 : 1;
/** A limit for machines where single steps are slow; not what is asserted. */
const SECONDS = process.env.LICH_SOAK ? 900 : 240;
/** Words that the stepper can watch, less what is not of the heap. */
const HEAP_MOST = 48_000;

afterEach(removeTestDirs);

describe.skipIf(!need('ptrace'))('after every machine instruction', () => {
  test('one operation of each structure', { timeout: 120_000 + SECONDS * 1_000 }, async () => {
    const dir = testDir();
    const victim = spawn(process.execPath, [VICTIM, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      let text = '';
      victim.stdout.on('data', chunk => (text += String(chunk)));
      while (!text.includes('\n')) await Promise.race([once(victim.stdout, 'data'), exited(victim)]);
      const operations = Number(text.split(' ')[1]);
      const state = attachSegment({ dir, name: 'victim', kind: 'state' });
      const watched: [number, number][] = [];
      for (const [name, { offset, bytes }] of state.regions) {
        if (name === 'root' || /^p\d+:/.test(name)) watched.push([offset / 4, Math.min(bytes / 4, 2_500)]);
        if (name === 'heap')
          watched.push([offset / 4, Math.min(state.u32[offset / 4 + HEAP_HIGH]! + 4_000, HEAP_MOST)]);
      }
      state.close();
      const found = await step({
        dir,
        name: 'victim',
        pid: victim.pid!,
        seconds: SECONDS,
        commits: ROUNDS * operations,
        patience: 300_000,
        watched,
      });
      process.stdout.write(`single-stepper, ${operations} operations: ${JSON.stringify(found)}\n`);
      expect(found).toMatchObject({ wrong: 0, wrongWord: -1 });
      expect(found.commits).toBeGreaterThanOrEqual(ROUNDS * operations);
      expect(found.differing).toBeGreaterThan(1_000);
    } finally {
      victim.kill('SIGKILL');
      if (victim.exitCode === null && victim.signalCode === null) await once(victim, 'exit');
    }
  });
});

async function exited(child: ReturnType<typeof spawn>): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null];
  throw new Error(`the victim ended with ${String(code)}`);
}
