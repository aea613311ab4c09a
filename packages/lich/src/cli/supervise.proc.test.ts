/** `lich ps`, `logs`, `kill`, `stop` beside a `lich up`. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, until } from '../testing/lich-up.ts';

const PAIR = fileURLToPath(new URL('../testing/fixtures/pair/topology.ts', import.meta.url));
const BIN = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));

afterEach(removeTestDirs);

function lich(dir: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [BIN, ...args, '--dir', dir], { encoding: 'utf8' });
}

it('where nothing runs: a sentence each, and exit code 1', () => {
  const dir = testDir();
  expect(lich(dir, 'ps')).toMatchObject({ status: 1, stdout: `nothing runs in ${dir}\n` });
  expect(lich(dir, 'logs')).toMatchObject({ status: 1, stdout: `no log in ${dir}/logs\n` });
  for (const args of [['stop'], ['kill', 'a-1'], ['start', 'a-1']])
    expect(lich(dir, ...args)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('RUNTIME_NO_SUPERVISOR: no supervisor runs'),
    });
  expect(lich(dir, 'kill')).toMatchObject({ status: 2 });
  expect(lich(dir, 'logs', '--level', 'loud')).toMatchObject({ status: 2 });
});

it('beside one that runs', async () => {
  const dir = testDir();
  const up = await LichUp.up(PAIR, dir);
  await up.logged('pong-1', 'standing by');
  const before = lich(dir, 'ps');
  expect(before.status).toBe(0);
  expect(before.stdout).toMatch(/^NODE +STATUS +ROLE +PID +UP +LIFE +OWN +STATE$/m);
  const owner = up.ownerOf('pong-1')!;
  expect(before.stdout).toMatch(
    new RegExp(`^pong-1 +serving +owner +${owner} +\\d+s +1 +[\\d.]+ MiB +[\\d.]+ MiB$`, 'm'),
  );
  expect(before.stdout.match(/^ +standby +\d+/gm)?.length).toBe(2);

  const follow = spawn(process.execPath, [BIN, 'logs', '-f', 'pong-1', '-n', '1', '--dir', dir]);
  let followed = '';
  follow.stdout.on('data', chunk => (followed += String(chunk)));
  await until(() => followed.includes('\n'));
  expect(lich(dir, 'kill', 'pong-1')).toMatchObject({ status: 0, stdout: `pong-1       killed      pid ${owner}\n` });
  await until(() => /pong-1 +info +serving \{"event":"life","epoch":2,"reason":"crash"/.test(followed));
  follow.kill();

  await up.said('taken over');
  const json = JSON.parse(lich(dir, 'ps', '--json').stdout) as { supervisor: number; nodes: { name: string }[] };
  expect(json.supervisor).toBe(up.process.pid);
  expect(json.nodes.map(({ name }) => name).sort()).toEqual(['ping-1', 'pong-1']);
  expect(lich(dir, 'stop', 'nobody-1')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('RUNTIME_UNKNOWN_NODE: there is no node "nobody-1"; there are'),
  });
  const log = lich(dir, 'logs', '--lines', '1000').stdout.split('\n').slice(0, -1);
  const times = log.map(line => line.slice(0, 12)).filter(time => /^\d/.test(time));
  expect(times).toEqual([...times].sort());
  expect(log.some(line => line.includes('ping-1'))).toBe(true);

  const stopped = lich(dir, 'stop', '--keep');
  expect(stopped.status).toBe(0);
  // The standby that follows the killed one may not have begun yet.
  expect(stopped.stdout.match(/ended/g)?.length).toBeGreaterThanOrEqual(3);
  expect(await up.ended).toEqual({ code: 0, signal: null });
});
