/** The tools over real clusters: while they run at full speed, after everybody was killed, and after a restore. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { checkCommand } from './check.ts';
import { diff } from './diff.ts';
import { dump } from './dump.ts';
import { inspect } from './inspect.ts';
import { LichUp, processesOf, rootOf, until } from '../testing/lich-up.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const BANK = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));
/** fixtures/bank/game.ts: 16 accounts with 1000 each; money only moves. */
const MONEY = 16_000;

let dir: string;
let files: string;
let up: LichUp | undefined;

beforeEach(() => {
  dir = testDir();
  files = testDir();
});
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

function lich(...args: string[]): { code: number | null; out: string; errors: string } {
  const done = spawnSync(process.execPath, [LICH, ...args, '--dir', dir], { encoding: 'utf8' });
  return { code: done.status, out: done.stdout, errors: done.stderr };
}

const HERE = { inspect, dump, diff, check: checkCommand };

/** The same in this process, which is quicker. */
function here(verb: keyof typeof HERE, ...args: string[]): { code: number; out: string; errors: string } {
  let out = '';
  let errors = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(text => ((out += String(text)), true)),
    vi.spyOn(process.stderr, 'write').mockImplementation(text => ((errors += String(text)), true)),
  ];
  try {
    return { code: HERE[verb]([...args, '--dir', dir]), out, errors };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

function found(...args: string[]): { path: string; value: any }[] {
  const { code, out, errors } = here('inspect', ...args, '--json');
  expect(errors).toBe('');
  expect(code).toBe(0);
  return JSON.parse(out).found;
}

const moneyIn = (name: string): number =>
  found(name, 'accounts').reduce((sum: number, { value }) => sum + value.money, 0);
const lastOf = (name: string): number => found(name, 'last')[0]!.value;

/** Wait until the bank has done a number of moves. */
async function moved(beyond: number): Promise<void> {
  const reader = up!.reader('bank-1');
  await until(() => rootOf(reader)['last']! > beyond);
  reader.segment.close();
}

/** As after a power cut of everything: no process has a last word. */
async function killAll(): Promise<void> {
  up!.process.kill('SIGKILL');
  for (const pid of processesOf(dir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended by itself.
    }
  }
  await up!.ended;
  await until(() => processesOf(dir).length === 0);
  up = undefined;
}

it('inspect, dump, diff and check look at a live cluster, a dead one and dumps', async () => {
  up = await LichUp.up(BANK, dir);
  await moved(100);
  const live = JSON.parse(lich('inspect', 'bank-1', '--json').out);
  expect(live).toMatchObject({ from: 'live', pid: up.ownerOf('bank-1'), epoch: 1, name: 'bank-1' });
  expect(live.survey.pools[0]).toMatchObject({ name: 'accounts', live: 16, high: 16, capacity: 64 });
  expect(live.catalog.pools.map((pool: { name: string }) => pool.name)).toContain('receipts');
  // Each dump is one commit: no move is half in it.
  for (let k = 0; k < 3; k++) {
    const file = join(files, `${k}.dump`);
    expect(lich('dump', 'bank-1', file)).toMatchObject({ code: 0, errors: '' });
    expect(moneyIn(file)).toBe(MONEY);
  }
  const check = lich('check', 'bank-1', 'audit-1', join(files, '0.dump'));
  expect(check.code).toBe(0);
  expect(check.out.match(/sound/g)).toHaveLength(3);

  await killAll();
  const dead = JSON.parse(here('inspect', 'bank-1', '--json').out);
  expect(dead.from).toBe('dead');
  expect(moneyIn('bank-1')).toBe(MONEY);
  expect(here('check').code).toBe(0);
  expect(here('dump', 'bank-1', join(files, 'dead.dump')).code).toBe(0);
  expect(here('diff', 'bank-1', join(files, 'dead.dump'))).toMatchObject({ code: 0, out: 'the same\n' });
  const differ = here('diff', join(files, '0.dump'), 'bank-1', '--limit', '3');
  expect(differ.code).toBe(1);
  expect(differ.out).toMatch(/^root: \d fields changed\n {2}~ last: \d+ -> \d+\n/);
  expect(differ.out).toMatch(/accounts: 0 added, 0 removed, 16 changed, 0 the same\n {2}~ accounts\[0\] "account 0 at/);
  expect(differ.out).toContain('… 13 records more');
});

it('what is shown to people', async () => {
  up = await LichUp.up(BANK, dir);
  await moved(100);
  await killAll();
  const overview = here('inspect', 'bank-1').out;
  expect(overview).toContain('bank-1: does not run\nlife 1, commit ');
  expect(overview).toMatch(/\naccounts: pool of Account\n {2}16 live of 64, 16 slots used, \d+ bytes a record/);
  expect(overview).toMatch(/\n {4}holdings {2}map\(u16, Holding, 8\)\n/);
  expect(overview).not.toContain('$');
  expect(here('inspect', 'bank-1', '--all').out).toContain('$peers');
  expect(here('inspect', 'bank-1', '--sizes').out).toMatch(/undo log +1\.0 MiB/);
  const record = here('inspect', 'bank-1', 'accounts[3]').out;
  expect(record).toMatch(/^accounts\[3\]: Account, generation 1, stamp \d+\n {2}name +text\(20\) +"account 3/);
  expect(record).toMatch(/friend +ref\('accounts'\) +accounts\[\d+\]/);
  expect(here('inspect', 'bank-1', 'accounts[3].holdings').out).toMatch(
    /entries\n {2}\d+ +\{ count: \d+, first: \d+ \}/,
  );
  expect(here('inspect', 'bank-1', 'accounts[level>=0].money', '--limit', '4').out).toMatch(/… 12 more; --limit 16/);
});

it('errors have codes, and the exit code says which kind', () => {
  fs.writeFileSync(join(files, 'no.dump'), 'no dump at all, but long enough to be read');
  const no = join(files, 'no.dump');
  expect(lich('inspect')).toMatchObject({ code: 2 });
  expect(lich('inspect', 'bank-1')).toMatchObject({ code: 1, errors: expect.stringContaining('SHM_NOT_FOUND') });
  expect(lich('inspect', no)).toMatchObject({ code: 1, errors: expect.stringContaining('STATE_DUMP_FOREIGN') });
  expect(lich('diff', no, no)).toMatchObject({ code: 2, errors: expect.stringContaining('STATE_DUMP_FOREIGN') });
  expect(lich('restore', no)).toMatchObject({ code: 1, errors: expect.stringContaining('STATE_DUMP_FOREIGN') });
  expect(lich('dump', 'bank-1')).toMatchObject({ code: 1, errors: expect.stringContaining('SHM_NOT_FOUND') });
  expect(lich('dump', 'a', 'b', 'c')).toMatchObject({ code: 2 });
  expect(fs.readdirSync(dir)).toEqual([]);
});

it('a restored node goes on from its dump, and its streams begin anew', async () => {
  up = await LichUp.up(BANK, dir);
  await moved(100);
  const file = join(files, 'bank.dump');
  expect(here('dump', 'bank-1', file).code).toBe(0);
  const then = lastOf(file);
  await moved(then + 100);
  expect(lich('restore', file)).toMatchObject({ code: 1, errors: expect.stringContaining('BUS_REMEMBERED') });
  expect(lich('restore', file, '--forget')).toMatchObject({ code: 1, errors: expect.stringContaining('SHM_EXISTS') });
  await up.stop();
  expect(lich('rm', 'bank-1').code).toBe(0);
  const refused = lich('restore', file);
  expect(refused.errors).toMatch(/BUS_REMEMBERED: bank-1 is remembered by audit-1, feeder-1/);
  expect(fs.existsSync(join(dir, 'bank-1.state'))).toBe(false);
  expect(lich('restore', file, '--forget')).toMatchObject({ code: 0, errors: '' });
  expect(lastOf('bank-1')).toBe(then);
  expect(here('diff', 'bank-1', file).code).toBe(0);

  up = await LichUp.up(BANK, dir);
  const running = up;
  await moved(then + 100);
  expect(moneyIn('bank-1')).toBe(MONEY);
  // The log of the life before was on from the same file.
  const restored = await running.logged('bank-1', 'serving', line => line.epoch === 2);
  expect(restored).toMatchObject({ reason: 'restore' });
  await until(() => running.log('feeder-1').some(line => line.msg?.startsWith('a node is not the one')));
  expect(here('check').code).toBe(0);
  // Only the first life after it has that reason.
  await running.stop();
  up = await LichUp.up(BANK, dir);
  expect(await up.logged('bank-1', 'serving', line => line.epoch === 3)).toMatchObject({ reason: 'restart' });
});

it('a node restored under another name, in a directory where nobody knows it, starts', async () => {
  up = await LichUp.up(BANK, dir);
  await moved(100);
  const file = join(files, 'bank.dump');
  expect(here('dump', 'bank-1', file).code).toBe(0);
  await up.stop();
  const then = lastOf(file);
  dir = testDir();
  expect(lich('restore', file)).toMatchObject({ code: 0, errors: '' });
  up = await LichUp.up(BANK, dir);
  const reader = up.reader('bank-1');
  // The feeder of this cluster counts from 1, and the bank takes it.
  await until(() => rootOf(reader)['last'] !== then);
  reader.segment.close();
  expect(moneyIn('bank-1')).toBe(MONEY);
  expect(await up.logged('bank-1', 'serving')).toMatchObject({ reason: 'restore' });
  expect(here('check').code).toBe(0);
});
