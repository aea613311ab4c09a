/** `lich deploy` of code with another layout, under load: records are brought over at the switch, and back when it goes
 * back; each of 300 guests counts the numbers that were for it. LICH_SOAK=1 tries every bad one. */
import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { processesOf, until } from '../../testing/lich-up.ts';
import { beyond, deploy, pongNow, running, up, type Version, whole } from '../../testing/ping-pong.test-bed.ts';

const SOAK = process.env.LICH_SOAK !== undefined;
/** Of deploys with kills. */
const ROUNDS = Number(process.env.LICH_ROUNDS ?? 40);
const FAST = ['--probation', '200'];
const SLOW = ['--probation', '15000'];

/** Guests as they are, as of one commit. */
function guests(): any[] {
  const reader = up!.reader('pong-1');
  const found = reader.snapshot(s => {
    const { last } = s.root() as { last: number };
    const all = [...Array(300).keys()].map(slot => s.record('guests', slot) as any);
    return all.map((guest, slot) => {
      const due = Math.floor((last - slot) / 300) + (slot === 0 ? 0 : 1);
      return { ...guest, due };
    });
  });
  reader.segment.close();
  return found;
}

/** Each number was counted once, by whatever name. */
function counted(name: string): void {
  const wrong = guests().filter(guest => guest[name] !== guest.due);
  expect(wrong).toEqual([]);
}

const ROOT = 'last: int, wrong: int, by: int, lives: int, fired: int';
const FIRST: Version = {
  fields: `${ROOT}, motto: text(8)`,
  note: "state.by = 1; if (n === 5) state.motto = 'five';",
  guest: "hits: u32, tags: list(u8), name: text(8).init('one')",
};
const SECOND: Version = {
  guest: "level: u8.init(7), visits: int.was('hits')",
  visit: 'guest.visits++;',
  note: 'state.by = 2;',
};

const BAD: readonly (readonly [what: string, version: Version, why: RegExp])[] = [
  [
    'a crash after its first commits',
    { ...SECOND, visit: 'guest.visits++; if (n % 997 === 0) process.abort();' },
    /in its probation, the new code ended by SIGABRT/,
  ],
  ['a resume that throws', { ...SECOND, resumed: "throw new Error('no map');" }, /no map \(.*; the old code runs on/],
  ['a resume that kills', { ...SECOND, resumed: 'process.abort();' }, /ended by SIGABRT/],
  [
    'an exit in its probation',
    { ...SECOND, visit: 'guest.visits++; if (n % 997 === 0) process.exit(3);' },
    /in its probation, the new code ended by code 3/,
  ],
  [
    'values that do not fit',
    { ...FIRST, guest: 'hits: u32, tags: list(u8), name: text(2)' },
    /does not fit: guests\[0\]\.name/,
  ],
  [
    'a hook that throws',
    { ...SECOND, born: "static migrate() { throw new Error('no level'); }" },
    /cannot be migrated: STATE_MIGRATION: guests\[0\]: its migrate hook threw: no level/,
  ],
  [
    'what has no exact way back',
    { ...FIRST, guest: "hits: u32, tags: set(u8), name: text(8).init('one')" },
    /no exact way back: guests\.tags.*--no-way-back/,
  ],
];

it('a layout goes there and back under load; a bad deploy of one goes back by itself, with all that was done', async () => {
  const { write } = await running(FIRST, 'standby: 1');
  for (const [what, version, why] of SOAK ? BAD : BAD.slice(0, 1)) {
    write(version);
    const { code, errors } = await deploy('pong', ...SLOW);
    expect(errors, what).toMatch(why);
    expect(code, what).toBe(1);
    await beyond(100);
    expect(pongNow(), what).toMatchObject({ by: 1, wrong: 0 });
    counted('hits');
    expect(guests()[5], what).toMatchObject({ name: 'one' });
  }
  write(SECOND);
  if (SOAK) {
    const dry = await deploy('--dry-run');
    expect(dry.out).toMatch(/pong-1: another layout; 300 records/);
    expect(dry.out).toMatch(/guests\.visits was called hits/);
    expect(dry.out).toMatch(/the way back: .* with the old segment, exactly; after it the state is migrated back/);
  }
  const there = await deploy(...FAST);
  expect(there).toMatchObject({ code: 0, errors: '' });
  expect(there.out).toMatch(/pong-1 +new code +pid \d+, after a pause of \d+ ms/);
  await whole();
  expect(pongNow().by).toBe(2);
  counted('visits');
  expect(guests()[5]).toMatchObject({ level: 7 });
  expect((await up!.logged('pong-1', 'the state was migrated')).records).toBe(300);
  // Killed, it is taken over by the new code.
  await until(() => up!.log('pong-1').at(-1)?.msg !== 'serving');
  up!.kill('pong-1');
  await whole();
  expect(pongNow().by).toBe(2);
  // As any other deploy: back to the first code, which finds the names again.
  write({ ...FIRST, note: 'state.by = 3;' });
  expect(await deploy(...FAST)).toMatchObject({ code: 0, errors: '' });
  await whole();
  counted('hits');
  expect(guests()[5]).toMatchObject({ name: 'one' });
  expect(pongNow()).toMatchObject({ by: 3, motto: 'five' });
});

it.runIf(SOAK)('where there is no way back, the new code goes on', async () => {
  const { write } = await running({ guest: 'hits: int, few: u8' });
  write({
    guest: 'hits: int, few: u32',
    visit: 'guest.hits++; guest.few = 300; if (state.lives === 1 && n % 997 === 0) process.exit(3);',
    note: 'state.by = 2;',
  });
  const { errors, code } = await deploy(...SLOW);
  expect(code).toBe(1);
  expect(errors).toMatch(/the way back was refused, the new code goes on there: .*300 is not a u8/);
  await whole();
  expect(pongNow()).toMatchObject({ by: 2, wrong: 0 });
  counted('hits');
});

it.runIf(SOAK)('whoever is killed meanwhile, at any moment: each number is counted once', async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  console.log(`kills during deploys of a layout: LICH_SEED=${seed}`);
  let s = seed + 1;
  const random = (): number => (s = (s * 48_271) % 0x7fff_ffff) / 0x7fff_ffff;
  const { write } = await running(FIRST, 'standby: 1');
  const versions = [FIRST, SECOND];
  let done = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    // Another edit each time, so that there is something to deploy.
    write({ ...versions[round % 2]!, top: `export const round = ${round};` });
    let isOver = false;
    const deploying = deploy('pong', '--probation', '300').then(({ code }) => {
      isOver = true;
      if (code === 0) done++;
    });
    const kills = 1 + Math.floor(random() * 3);
    for (let k = 0; k < kills && !isOver; k++) {
      const atMs = performance.now() + random() * 1_200;
      await until(() => isOver || performance.now() > atMs);
      const pids = processesOf(up!.dir).filter(pid => argsOf(pid).includes('"kind":"pong"'));
      const pid = pids[Math.floor(random() * pids.length)];
      if (pid !== undefined) kill(pid);
    }
    await deploying;
    await whole();
    const [guest] = guests();
    counted('visits' in guest ? 'visits' : 'hits');
  }
  console.log(`${done} of ${ROUNDS} deploys were done, the others went back`);
});

function argsOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
