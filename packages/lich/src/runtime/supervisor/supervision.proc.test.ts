/** What a supervisor does about owners that hang, leak or die again and again, and what it does for those that another
 * supervisor had started. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { dumpSegment, openReader } from '../../state/index.ts';
import { attachSegment, OwnerLock } from '../../shm/index.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, processesOf, rootOf, until } from '../../testing/lich-up.ts';
import { askSupervisor } from './control.ts';
import type { Ps, PsNode } from './verbs.ts';

const PAIR = fileURLToPath(new URL('../../testing/fixtures/pair/topology.ts', import.meta.url));
const BANK = fileURLToPath(new URL('../../testing/fixtures/bank/topology.ts', import.meta.url));
const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
const SICK = fileURLToPath(new URL('../../testing/fixtures/sick/topology.ts', import.meta.url));

const ups: LichUp[] = [];
afterEach(async () => {
  for (const up of ups.splice(0)) await up.stop();
  removeTestDirs();
});

async function start(
  topology: string,
  dir: string,
  env: Record<string, string> = {},
  args?: string[],
): Promise<LichUp> {
  const up = new LichUp(topology, dir, { SICK_FILE: `${dir}/orders`, ...env }, args);
  ups.push(up);
  await up.said('ready after');
  return up;
}

const order = (dir: string, what: string): void => {
  fs.writeFileSync(`${dir}/orders.new`, what);
  fs.renameSync(`${dir}/orders.new`, `${dir}/orders`);
};
const ps = (dir: string): Promise<Ps> => askSupervisor<Ps>(dir, 'ps');
const nodeOf = async (dir: string, name: string): Promise<PsNode> =>
  (await ps(dir)).nodes.find(node => node.name === name)!;
const beatsBeyond = (up: LichUp, node: string, more: number): Promise<void> => {
  const reader = up.reader(node);
  const { beats } = rootOf(reader);
  return until(() => rootOf(reader).beats! > beats! + more);
};
const coreLimit = (pid: number) =>
  /^Max core file size +(?<soft>\S+) +(?<hard>\S+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'latin1'))!.groups!;
const noteOf = (dir: string, node: string, pid: number) => OwnerLock.open(dir, node).readExit(pid);

describe('a supervisor that is killed', () => {
  it('nobody misses it; the next one adopts what runs, and restarts what dies', async () => {
    const dir = testDir();
    const one = await start(PAIR, dir);
    const pong = one.reader('pong-1');
    const before = new Map((await ps(dir)).nodes.map(node => [node.name, node]));
    one.process.kill('SIGKILL');
    await one.ended;
    const { last } = rootOf(pong);
    await until(() => rootOf(pong).last! > last! + 500);
    const two = await start(PAIR, dir);
    for (const node of (await ps(dir)).nodes) {
      const { processes, epoch } = before.get(node.name)!;
      const pids = (all: PsNode['processes']) => all.map(({ pid }) => pid).sort((a, b) => a - b);
      expect(pids(node.processes)).toEqual(pids(processes));
      expect(node.processes.every(({ isAdopted }) => isAdopted)).toBe(true);
      expect(node.epoch).toBe(epoch);
    }
    const owner = two.kill('pong-1')!;
    await two.said('taken over');
    await until(() => rootOf(pong).last! > last! + 1_000);
    // A new standby, of the new supervisor's own.
    await until(() => two.output.includes(`pid ${owner}, nobody says how`));
    await until(() => processesOf(dir).length === 5);
    expect(rootOf(pong).wrong).toBe(0);
    expect(await two.stop()).toEqual({ code: 0, signal: null });
    expect(processesOf(dir)).toEqual([]);
  });

  it('another topology is refused, and changes nothing; lich stop ends what nobody adopted', async () => {
    const dir = testDir();
    const one = await start(PAIR, dir);
    one.process.kill('SIGKILL');
    await one.ended;
    const running = processesOf(dir).sort((a, b) => a - b);
    const two = new LichUp(BANK, dir, {}, []);
    expect(await two.ended).toEqual({ code: 1, signal: null });
    expect(two.errors).toMatch(/RUNTIME_IN_USE: p[io]ng-1 runs in .* of .*pair\/topology\.ts/);
    expect(processesOf(dir).sort((a, b) => a - b)).toEqual(running);
    await expect(askSupervisor(dir, 'ps')).rejects.toMatchObject({ code: 'RUNTIME_NO_SUPERVISOR' });
    const stopped = execFileSync(process.execPath, [LICH, 'stop', '--dir', dir], { encoding: 'utf8' });
    expect(stopped).toMatch(/no supervisor ran in .*; 4 processes were ended in order/);
    expect(processesOf(dir)).toEqual([]);
  });
});

describe('an owner that hangs', () => {
  it.each(['0', '1'])('with %s standbys: is killed and blamed, the state goes on', async standby => {
    const dir = testDir();
    const up = await start(SICK, dir, { SICK_POLLS: '4', SICK_STANDBY: standby });
    const pid = up.ownerOf('patient-1')!;
    await beatsBeyond(up, 'patient-1', 5);
    order(dir, 'hang');
    await up.said('hangs');
    await until(() => noteOf(dir, 'patient-1', pid)?.cause === 'hung');
    await until(() => ![undefined, pid].includes(up.ownerOf('patient-1')));
    await beatsBeyond(up, 'patient-1', 5);
    expect(up.reader('patient-1').check()).toEqual([]);
  });
});

describe('an owner that takes more memory than it may', () => {
  it('a leak: it ends in order, and its node goes on', async () => {
    const dir = testDir();
    const up = await start(SICK, dir, { SICK_MEMORY: '256', SICK_STANDBY: '1', SICK_CORES: '1' });
    await up.logged('patient-1', 'standing by');
    // A look in passing at `cores: true`, and at what the others have.
    const [patient, nurse] = ['patient-1', 'nurse-1'].map(name => coreLimit(up.ownerOf(name)!));
    expect([patient!.soft, nurse!.soft]).toEqual([patient!.hard, '1']);
    order(dir, 'leak');
    await up.said('too large');
    await up.said('taken over');
    await beatsBeyond(up, 'patient-1', 5);
    await up.said('code 0');
  });

  it('one that does not listen any more is killed', async () => {
    const dir = testDir();
    const up = await start(SICK, dir, { SICK_MEMORY: '256', SICK_STANDBY: '1' });
    const pid = up.ownerOf('patient-1')!;
    await up.logged('patient-1', 'standing by');
    order(dir, 'gorge');
    await up.said('too large');
    await until(() => ![undefined, pid].includes(up.ownerOf('patient-1')));
    await beatsBeyond(up, 'patient-1', 5);
  });
});

describe('a state that kills', () => {
  it('is left alone after maxCrashes, as evidence; others go on; lich start tries again', async () => {
    const dir = testDir();
    const up = await start(SICK, dir, { SICK_CRASHES: '4', SICK_STANDBY: '1' });
    order(dir, 'poison');
    await up.said('is down');
    expect(up.output).toContain('waits');
    await beatsBeyond(up, 'nurse-1', 20);
    expect(await nodeOf(dir, 'patient-1')).toMatchObject({ status: 'down', processes: [], crashes: 4 });
    expect(rootOf(up.reader('patient-1'))).toMatchObject({ poisoned: 1 });
    await expect(askSupervisor(dir, 'start', { nodes: ['doctor-1'] })).rejects.toMatchObject({
      code: 'RUNTIME_UNKNOWN_NODE',
    });
    await askSupervisor(dir, 'start', { nodes: ['patient-1'] });
    await until(() => up.output.split('is down').length === 3);
    // Told to remove what is left, it does not remove evidence.
    expect(await up.stop()).toEqual({ code: 0, signal: null });
    expect(fs.existsSync(`${dir}/patient-1.state`)).toBe(true);
  });

  it('goes on from the newest whole dump, where the topology names a folder; the state that killed is kept', async () => {
    const dir = testDir();
    const dumps = testDir();
    const up = await start(SICK, dir, { SICK_CRASHES: '4', SICK_DUMPS: dumps });
    const segment = attachSegment({ dir, name: 'patient-1', kind: 'state', readOnly: true });
    dumpSegment(segment, `${dumps}/one.dump`);
    await beatsBeyond(up, 'patient-1', 20);
    dumpSegment(segment, `${dumps}/two.dump`);
    const { beats } = rootOf(up.reader('patient-1'));
    await beatsBeyond(up, 'patient-1', 20);
    dumpSegment(segment, `${dumps}/damaged.dump`);
    const bytes = fs.readFileSync(`${dumps}/damaged.dump`);
    bytes[bytes.length - 100] ^= 0xff;
    fs.writeFileSync(`${dumps}/damaged.dump`, bytes);
    order(dir, 'poison');
    await up.said('restored');
    expect(up.output).toMatch(/restored +from .*two\.dump/);
    await beatsBeyond(up, 'patient-1', 5);
    const patient = up.reader('patient-1');
    expect(rootOf(patient)).toMatchObject({ poisoned: 0, lives: 1 });
    expect(rootOf(patient).beats).toBeLessThan(beats! + 10_000);
    expect(await up.logged('patient-1', 'serving', ({ reason }) => reason === 'restore')).toBeDefined();
    const [kept] = fs.readdirSync(`${dir}/evidence`).filter(file => file.endsWith('.state'));
    fs.mkdirSync(`${dir}/look`);
    fs.copyFileSync(`${dir}/evidence/${kept}`, `${dir}/look/patient-1.state`);
    fs.chmodSync(`${dir}/look/patient-1.state`, 0o600);
    fs.chmodSync(`${dir}/look`, 0o700);
    const evidence = attachSegment({ dir: `${dir}/look`, name: 'patient-1', kind: 'state', readOnly: true });
    expect(rootOf(openReader(evidence))).toMatchObject({ poisoned: 1 });
  });
});

describe('what is asked over the socket', () => {
  it('stop, start and kill of one node; lich stop ends everything', async () => {
    const dir = testDir();
    const up = await start(SICK, dir, {}, []);
    await askSupervisor(dir, 'stop', { nodes: ['patient-1'] });
    expect(await nodeOf(dir, 'patient-1')).toMatchObject({ status: 'stopped', processes: [] });
    await beatsBeyond(up, 'nurse-1', 10);
    await askSupervisor(dir, 'start', { nodes: ['patient-1'] });
    await beatsBeyond(up, 'patient-1', 5);
    const [killed] = await askSupervisor<{ pid: number }[]>(dir, 'kill', { nodes: ['patient-1'] });
    await until(() => noteOf(dir, 'patient-1', killed!.pid)?.cause === 'asked');
    await until(() => ![undefined, killed!.pid].includes(up.ownerOf('patient-1')));
    const events: { type: string }[] = [];
    await askSupervisor(dir, 'stop', {}, event => events.push(event as { type: string }));
    expect(events.filter(({ type }) => type === 'exited').length).toBe(2);
    expect(await up.ended).toEqual({ code: 0, signal: null });
    expect(fs.existsSync(dir)).toBe(false);
  });

  it('a second Ctrl-C does not wait for who hangs', async () => {
    const dir = testDir();
    const up = await start(SICK, dir, { SICK_POLLS: '0' }, []);
    order(dir, 'hang');
    await until(() => !fs.existsSync(`${dir}/orders`));
    up.process.kill('SIGINT');
    await up.said('ending');
    up.process.kill('SIGINT');
    expect(await up.ended).toEqual({ code: 130, signal: null });
    expect(up.output).toContain('killing');
    expect(processesOf(dir)).toEqual([]);
    expect(fs.existsSync(`${dir}/patient-1.state`)).toBe(true);
  });
});
