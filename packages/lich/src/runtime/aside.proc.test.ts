/** Messages that end the process which handles them, in real processes: set aside, the sender told, the rest goes on. And
 * good messages under a storm of SIGKILLs: none is set aside. */
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { listQuarantine, type MessageEntry } from './quarantine.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/poison/topology.ts', import.meta.url));
const TOTAL = 300;
const SOAK = process.env.LICH_SOAK !== undefined;
/** Records do so in suspects.proc.test.ts; a hang takes seconds to be seen. */
const SOAK_CASES: [string, string, number, string][] = SOAK
  ? [
      ['abort', '1', 2, 'SIGABRT'],
      ['kill', '0', 4, 'SIGKILL'],
      ['loop', '0', 2, 'SIGKILL'],
      ['loop', '1', 2, 'SIGKILL'],
      ['memory', '0', 2, ''],
    ]
  : [];

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

async function start(env: Record<string, string>): Promise<{ dir: string; up: LichUp }> {
  const dir = testDir();
  up = new LichUp(TOPOLOGY, dir, { POISON_TOTAL: String(TOTAL), POISON: '', ...env });
  await up.said('ready after');
  return { dir, up };
}

const asides = (dir: string) => listQuarantine(dir).map(({ entry }) => entry as MessageEntry);

const numberIn = (aside: MessageEntry) => Buffer.from(aside.payload, 'base64').readDoubleLE(0);
const sumTo = (n: number) => (n * (n + 1)) / 2;
const endsOf = (node: string, how: string) =>
  up!.output.split('\n').filter(line => line.startsWith(node) && line.includes('ended') && line.includes(how)).length;

describe('a message that ends its process', () => {
  it.each([['abort', '0', 2, 'SIGABRT'], ['exit', '0', 2, 'code 3'], ['kill', '1', 4, 'SIGKILL'], ...SOAK_CASES])(
    'by %s, with %s standbys, is set aside after %i deaths; the rest goes on',
    async (harm, standby, deaths, how) => {
      // Whatever it came by.
      const priority = harm === 'exit' ? 'control' : 'data';
      const { dir, up } = await start({ POISON: `120:${harm}`, POISON_STANDBY: standby, POISON_PRIORITY: priority });
      const victim = up.reader('victim-1');
      await until(() => rootOf(victim).last === TOTAL);
      expect(rootOf(victim)).toMatchObject({ handled: TOTAL - 1, sum: sumTo(TOTAL) - 120, wrong: 0 });
      const found = asides(dir);
      expect(found.length).toBe(1);
      const isControl = Number(priority === 'control');
      expect(found[0]).toMatchObject({ node: 'victim-1', from: 'driver-1', deaths, messageId: 0, priority: isControl });
      expect(found[0]!.fields).toBe(`{"n":120,"harm":"${harm}"}`);
      expect(numberIn(found[0]!)).toBe(120);
      // On a busy machine a process that still loads is taken for one that hangs.
      if (harm === 'loop') expect(endsOf('victim-1', how)).toBeGreaterThanOrEqual(deaths);
      else {
        expect(endsOf('victim-1', how)).toBe(deaths);
        expect(endsOf('victim-1', '')).toBe(deaths);
      }
      await up.logged('victim-1', 'a message was set aside');
      expect(up.log('victim-1').filter(({ msg }) => msg.startsWith('a message was set aside')).length).toBe(1);
      await until(() =>
        up
          .log('driver-1')
          .some(
            ({ msg, receiver, messageId }) =>
              msg === 'a message was refused by its receiver' && receiver === 'victim-1' && messageId === 0,
          ),
      );
      expect(rootOf(up.reader('driver-1'))).toMatchObject({ sent: TOTAL });
      expect(victim.check()).toEqual([]);
    },
  );

  it('one after the other, and the first and the last of all', async () => {
    const { dir, up } = await start({ POISON: `1:abort,2:abort,150:exit,${TOTAL}:abort` });
    const victim = up.reader('victim-1');
    await until(() => asides(dir).length === 4);
    await until(() => rootOf(victim).handled === TOTAL - 4);
    expect(
      asides(dir)
        .map(numberIn)
        .sort((a, b) => a - b),
    ).toEqual([1, 2, 150, TOTAL]);
    expect(rootOf(victim)).toMatchObject({ wrong: 0, sum: sumTo(TOTAL) - 153 - TOTAL });
  });

  it('an own message: set aside too, and other own messages go on', async () => {
    const { dir, up } = await start({ POISON: '100:own' });
    const victim = up.reader('victim-1');
    await until(() => rootOf(victim).last === TOTAL && asides(dir).length === 1);
    const { ticks } = rootOf(victim);
    await until(() => rootOf(victim).ticks! > ticks!);
    expect(asides(dir)[0]).toMatchObject({ from: 'victim-1', deaths: 2, messageId: 1 });
    expect(numberIn(asides(dir)[0]!)).toBe(100);
    expect(rootOf(victim)).toMatchObject({ handled: TOTAL, bombs: 0, wrong: 0 });
  });
});

describe('a storm of SIGKILLs', () => {
  it.each([
    ['0', SOAK ? 25 : 6],
    ['1', SOAK ? 40 : 12],
  ])('with %s standbys: %i kills while good messages are handled set nothing aside', async (standby, kills) => {
    const total = SOAK ? 4_000 : 1_000;
    const { dir, up } = await start({ POISON_TOTAL: String(total), POISON_STANDBY: standby });
    const victim = up.reader('victim-1');
    let last = 0;
    for (let k = 0; k < kills; k++) {
      let pid: number | undefined;
      // Every other one as soon as there is a new owner: it is killed while it starts, waits or handles its first message.
      await until(
        () =>
          (pid = up.ownerOf('victim-1')) !== undefined &&
          pid !== last &&
          (k % 2 === 0 || rootOf(victim).ticks! % 7 === k % 7),
      );
      last = pid!;
      try {
        process.kill(pid!, 'SIGKILL');
      } catch {
        // It was between two lives.
      }
    }
    await until(() => rootOf(victim).last === total);
    expect(rootOf(victim)).toMatchObject({ handled: total, sum: sumTo(total), wrong: 0 });
    expect(asides(dir)).toEqual([]);
    expect(victim.check()).toEqual([]);
  });
});
