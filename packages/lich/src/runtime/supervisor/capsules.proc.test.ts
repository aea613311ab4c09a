/** What kept ending a process, with the state before it: looked at, done again off line, handled again when there is a cure. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { openDump, openReader } from '../../state/index.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, rootOf, until } from '../../testing/lich-up.ts';
import { listQuarantine, type Quarantined } from '../quarantine.ts';

const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
const fixture = (name: string) => fileURLToPath(new URL(`../../testing/fixtures/${name}/topology.ts`, import.meta.url));
const TOTAL = 200;
const sumTo = (n: number) => (n * (n + 1)) / 2;

let up: LichUp | undefined;
let environment: Record<string, string> = {};
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

async function start(name: string, env: Record<string, string>): Promise<LichUp> {
  environment = env;
  up = await LichUp.up(fixture(name), testDir(), env);
  return up;
}

function lich(...args: string[]): Promise<{ code: number; said: string }> {
  return new Promise(resolve => {
    const env = { ...process.env, ...environment };
    const child = execFile(process.execPath, [LICH, ...args], { env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, said: stdout + stderr }),
    );
  });
}

async function capsuleOf(dir: string): Promise<Quarantined> {
  await until(() => listQuarantine(dir)[0]?.about !== undefined);
  return listQuarantine(dir)[0]!;
}

describe('a message in quarantine', () => {
  it('has its capsule, is done again off line, and is handled when there is a cure: once', async () => {
    const cure = `${testDir()}/cure`;
    const env = { POISON: '120:abort', POISON_TOTAL: String(TOTAL), POISON_CURE: cure, POISON_STANDBY: '1' };
    const { dir } = await start('poison', env);
    const { entry, about, dump, folder } = await capsuleOf(dir);
    expect(about).toMatchObject({ exact: true, exit: 'SIGABRT' });
    expect(about!.lastWords).toContain('victim.js');
    const { segment } = openDump(dump!);
    expect(rootOf(openReader(segment))).toMatchObject({ last: 119, sum: sumTo(119) });

    // A copy of the folder is all that it takes.
    const copy = `${testDir()}/capsule`;
    fs.cpSync(folder, copy, { recursive: true });
    const replay = await lich('replay', copy);
    expect(replay.code).toBe(1);
    expect(replay.said).toContain('it ended the process again: SIGABRT');
    expect(replay.said).toContain('last: 119 -> 120');

    const victim = up!.reader('victim-1');
    await until(() => rootOf(victim).last === TOTAL);
    expect((await lich('quarantine', 'list', '--dir', dir)).said).toContain(entry.id);
    const shown = (await lich('quarantine', 'show', entry.id, '--dir', dir)).said;
    expect(shown).toContain('state before it');
    expect(shown).toContain('  {"n":120,"harm":"abort"}\n');
    expect(shown).toMatch(/last words of victim-1:\n {2}\d\d:\d\d:\d\d\.\d{3} victim-1 /);
    const again = await lich('quarantine', 'requeue', entry.id, '--dir', dir);
    expect(again.code).toBe(1);
    expect(again.said).toContain('RUNTIME_SET_ASIDE');
    expect(rootOf(victim)).toMatchObject({ handled: TOTAL - 1 });

    fs.writeFileSync(cure, '');
    const cured = `${entry.id} is handled\n`;
    expect((await lich('quarantine', 'requeue', entry.id, '--dir', dir)).said).toBe(cured);
    expect(rootOf(victim)).toMatchObject({ handled: TOTAL, sum: sumTo(TOTAL) });
    expect(listQuarantine(dir)).toEqual([]);
    expect((await lich('quarantine', 'show', entry.id, '--dir', dir)).said).toContain('RUNTIME_NOT_IN_QUARANTINE');
    expect(victim.check()).toEqual([]);
  });

  it('of the node itself is done again, and dropped', async () => {
    const { dir } = await start('poison', { POISON: '100:own', POISON_TOTAL: String(TOTAL) });
    const { entry, folder } = await capsuleOf(dir);
    expect(entry.what).toBe('bomb');
    const replay = await lich('replay', folder);
    expect(replay.said).toContain('it ended the process again: SIGABRT');
    expect(replay.said).toContain('bombs: 0 -> 1');
    expect(await lich('quarantine', 'drop', entry.id, '--dir', dir)).toMatchObject({ code: 0 });
    expect(listQuarantine(dir)).toEqual([]);
  });
});

describe('a suspended record', () => {
  it.each(['spread:abort', 'resume:abort', ...(process.env.LICH_SOAK === undefined ? [] : ['of:exit', 'tried:abort'])])(
    '%s: ends the process off line too',
    async mad => {
      const { dir } = await start('mad', { MAD: mad, MAD_STANDBY: '1' });
      if (mad.startsWith('resume')) up!.kill('land-1');
      const { about, folder, entry } = await capsuleOf(dir);
      expect([entry.what, about!.exact]).toEqual(['monsters[13]', true]);
      const replay = await lich('replay', folder);
      expect(replay.code).toBe(1);
      expect(replay.said).toContain('it ended the process again');
      expect(replay.said).toContain('monsters[13]');
    },
  );

  it('is visited again when it is released', async () => {
    const cure = `${testDir()}/cure`;
    const { dir } = await start('mad', { MAD: 'walk:abort', MAD_CURE: cure });
    await capsuleOf(dir);
    fs.writeFileSync(cure, '');
    expect((await lich('quarantine', '--dir', dir)).said).toContain('monsters[13] is suspended after 2 deaths');
    expect(await lich('quarantine', 'release', 'land-1', 'monsters[13]', '--dir', dir)).toMatchObject({ code: 0 });
    const land = up!.reader('land-1');
    await until(() => (land.snapshot(s => s.entry('monsters', 13))!.value['beats'] as number) > 6);
    expect(listQuarantine(dir)).toEqual([]);
    expect((await lich('quarantine', '--dir', dir)).said).toBe('nothing is in quarantine\n');
  });
});
