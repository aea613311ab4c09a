/** A small storm. `npm run soak` runs the large one, `npm run storm` any. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { need } from '../../scripts/lib/capability.mjs';
import type { StormResult } from './storm-result.ts';

const soak = process.env.LICH_SOAK === '1';
const size = soak ? ['--kills', '200', '--bots', '50'] : ['--kills', '10', '--bots', '10', '--eager'];
const seed = String(soak ? Date.now() % 1_000_000 : 1);

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

test.skipIf(!need('linux'))(`kills, seed ${seed}: nothing lost, doubled or torn, nobody disconnected`, async () => {
  const storm = join(import.meta.dirname, 'dist/storm.js');
  const { code, stdout, stderr } = await new Promise<Ended>(resolve => {
    execFile(process.execPath, [storm, ...size, '--seed', seed, '--json'], { encoding: 'utf8' }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout: out, stderr: err }),
    );
  });
  const last = stdout.trim().split('\n').at(-1)!;
  expect(last, `${stdout}\n${stderr}`).toMatch(/^\{/);
  const result = JSON.parse(last) as StormResult;
  expect(result, stderr).toMatchObject({ lost: 0, doubled: 0, torn: 0, disconnects: 0, violations: 0 });
  expect(code, stderr).toBe(0);
  expect(result.kills).toBe(Number(size[1]));
  expect(result.takeovers).toBe(result.killed.scene + result.killed.again);
  expect(result.checks).toBeGreaterThan(0);
});
