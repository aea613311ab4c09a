/** SIGUSR2: an owner lets go, its standby goes on, and the first one can take it back. */
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const PAIR = fileURLToPath(new URL('../testing/fixtures/pair/topology.ts', import.meta.url));

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  removeTestDirs();
});

it('nothing is lost or doubled, no process ends, and each handover is a life with the reason `deploy`', async () => {
  up = await LichUp.up(PAIR, testDir());
  const reader = up.reader('pong-1');
  const beyond = async (more: number) => {
    const { last } = rootOf(reader);
    await until(() => rootOf(reader).last! >= last! + more);
  };
  const pids = new Set<number>();
  // The next standby has to be there before there is somebody to hand to.
  const standbys = new Map([
    ['pong-1', 0],
    ['ping-1', 0],
  ]);
  for (let k = 0; k < 12; k++) {
    const node = k % 3 === 2 ? 'ping-1' : 'pong-1';
    const before = standbys.get(node)!;
    standbys.set(node, before + 1);
    await until(() => up!.log(node).filter(({ msg }) => msg === 'standing by').length > before);
    const owner = up.ownerOf(node)!;
    if (node === 'pong-1') pids.add(owner);
    process.kill(owner, 'SIGUSR2');
    await until(() => ![undefined, owner].includes(up!.ownerOf(node)));
    await beyond(200);
  }
  const { last, wrong } = rootOf(reader);
  expect(wrong).toBe(0);
  expect(last).toBeGreaterThan(2_000);
  expect(pids.size).toBe(2);
  const lives = up.log('pong-1').filter(line => line.msg === 'serving');
  expect(lives.map(({ epoch, reason }) => `${epoch} ${reason}`)).toEqual([
    '1 created',
    ...Array.from({ length: 8 }, (_, k) => `${k + 2} deploy`),
  ]);
  expect(up.log('pong-1').filter(({ level }) => level >= 40)).toEqual([]);
  expect(reader.check()).toEqual([]);
  reader.segment.close();
  expect(await up.stop()).toEqual({ code: 0, signal: null });
});
