/** Supervisors and owners are killed at any moment, often both at once: nothing is lost or doubled, and at the end
 * everything has an owner, a standby and one supervisor. LICH_SOAK=1 or LICH_ROUNDS make it longer. */
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, processesOf, rootOf, until } from '../../testing/lich-up.ts';
import { askSupervisor } from './control.ts';
import type { Ps } from './verbs.ts';

const BANK = fileURLToPath(new URL('../../testing/fixtures/bank/topology.ts', import.meta.url));
const POISON = fileURLToPath(new URL('../../testing/fixtures/poison/topology.ts', import.meta.url));
const ROUNDS = Number(process.env.LICH_ROUNDS ?? (process.env.LICH_SOAK === '1' ? 100 : 4));
const NODES = ['feeder-1', 'bank-1', 'audit-1'];

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

it('a storm of SIGKILLs on supervisors and owners', { timeout: 3_600_000 }, async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  // Lanes of either kind.
  const env = { BANK_LANES: seed % 2 === 0 ? 'use' : 'start' };
  console.log(`storm of supervisors: LICH_SEED=${seed}, ${ROUNDS} rounds, lanes: '${env.BANK_LANES}'`);
  let x = seed;
  const random = (below: number): number => (x = (x * 1_103_515_245 + 12_345) % 2 ** 31) % below;
  const dir = testDir();
  up = await LichUp.up(BANK, dir, env);
  const bank = up.reader('bank-1');
  const audit = up.reader('audit-1');
  for (let round = 0; round < ROUNDS; round++) {
    const before = rootOf(audit).last!;
    if (round > 0 && round % 10 === 0) console.log(`round ${round}`);
    const victims = NODES.filter(() => random(2) === 0);
    // Sometimes while the next supervisor is still adopting.
    const killFirst = random(2) === 0;
    if (killFirst) for (const node of victims) up.kill(node);
    up.process.kill('SIGKILL');
    await up.ended;
    up = new LichUp(BANK, dir, env);
    if (!killFirst) for (const node of victims) up.kill(node);
    await up.said('ready after');
    await until(() => rootOf(audit).last! > before + 200);
    expect({ bank: rootOf(bank).wrong, audit: rootOf(audit).wrong }).toEqual({ bank: 0, audit: 0 });
  }
  // Two processes for each node and the supervisor: what was started too late to be seen was adopted, or ended.
  await until(() => processesOf(dir).length === 2 * NODES.length + 1);
  const { nodes, supervisor } = await askSupervisor<Ps>(dir, 'ps');
  expect(supervisor).toBe(up.process.pid);
  for (const node of nodes) expect(node.processes.map(({ role }) => role).sort()).toEqual(['owner', 'standby']);
  expect(bank.check()).toEqual([]);
});

it('messages that are set aside one after the other are no crash loop', async () => {
  up = new LichUp(POISON, testDir(), { POISON_TOTAL: '50', POISON: '1:abort,2:abort,3:exit,30:abort' });
  await up.said('ready after');
  const victim = up.reader('victim-1');
  await until(() => rootOf(victim).last === 50);
  expect(up.output.match(/victim-1 +ended/g)?.length).toBe(8);
  expect(up.output).not.toContain('waits');
});
