/** `lich migrate` between two lives of a real cluster, whose code changed in between. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { GUESTS } from '../testing/fixtures/shop/game.ts';
import { LichUp, processesOf, rootOf, until } from '../testing/lich-up.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const SHOP = fileURLToPath(new URL('../testing/fixtures/shop/topology.ts', import.meta.url));
const FIRST = { SHOP: '1' };
const SECOND = { SHOP: '2' };

let dir: string;
let up: LichUp | undefined;
beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

function migrate(env: Readonly<Record<string, string>>, ...args: string[]) {
  const done = spawnSync(process.execPath, [LICH, 'migrate', SHOP, ...args, '--dir', dir], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { code: done.status, out: done.stdout, errors: done.stderr };
}

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

async function beaten(beyond: number): Promise<void> {
  const reader = up!.reader('shop-1');
  await until(() => rootOf(reader).beats! > beyond);
  reader.segment.close();
}

function visitors() {
  const reader = up!.reader('shop-1');
  const found = reader.snapshot(s => s.entries('visitors').map(({ value }) => value));
  expect(reader.check()).toEqual([]);
  reader.segment.close();
  return found;
}

/** Guest `n` in the second shop. */
const second = (n: number) => ({
  title: `guest ${n}`,
  visits: n * 3,
  points: 10 + n * 3,
  bag: Array.from({ length: n % 4 }, (_, k) => [k, { kind: n, count: k, bound: false }]),
});

it('changed code is refused, told what to do, and goes on with all of it after the migration', {
  timeout: 300_000,
}, async () => {
  up = await LichUp.up(SHOP, dir, FIRST);
  await beaten(3);
  // On a live node only to look.
  const live = migrate(SECOND, '--dry-run');
  expect(live).toMatchObject({ code: 0, errors: '' });
  const alive = migrate(SECOND);
  expect(alive.code).toBe(1);
  expect(alive.errors).toMatch(/SHM_OWNER_ALIVE: `shop-1` is owned by process \d+: stop it, then migrate/);
  await killAll();

  const changed = new LichUp(SHOP, dir, SECOND);
  expect((await changed.ended).code).toBe(1);
  expect(changed.errors).toMatch(/SHM_LAYOUT: .*pool `guests` is called `visitors`, and \d+ more.*`lich migrate`/);

  const dry = migrate(SECOND, '--dry-run');
  expect(dry).toMatchObject({ code: 0, errors: '' });
  expect(dry.out).toMatch(/^shop-1: 200 records, \d+\.\d MiB in use\n {2}pool `guests` is called `visitors`\n/);
  expect(dry.out).toContain('  visitors.title: text(16) becomes text(24), every value fits\n');
  expect(dry.out).toContain('  Item.kind: u16 becomes u32, every value fits\n');
  expect(dry.out).not.toContain('$');
  expect(dry.out).toMatch(
    /every value fits; looked at in \d+ ms.*\nnothing was changed; without --dry-run it is done\n$/,
  );

  const narrow = migrate({ SHOP: '3' });
  expect(narrow.code).toBe(1);
  expect(narrow.out).toContain('does not fit: guests[86].visits: 258 is not a u8 (0..255)');
  expect(narrow.out).toContain('guests.bag is gone, its values are left behind (no exact way back)');
  expect(narrow.out).toMatch(/refused: nothing was changed\n$/);

  const done = migrate(SECOND);
  expect(done).toMatchObject({ code: 0, errors: '' });
  expect(done.out).toMatch(/\nshop-1: 200 records in .*the state before is kept/);
  expect(migrate(SECOND).out).toBe('shop-1: nothing to do, layout and sizes are those of the code\n');

  up = await LichUp.up(SHOP, dir, SECOND);
  expect(visitors()).toEqual(Array.from({ length: GUESTS }, (_, n) => second(n)));
  // What repeats goes on, and what was waiting comes, with what it said.
  const reader = up.reader('shop-1');
  const { beats } = rootOf(reader) as { beats: number };
  expect(beats).toBeGreaterThan(3);
  await until(() => rootOf(reader).rings === 1 && rootOf(reader).beats! > beats);
  reader.segment.close();
  const undo = migrate(SECOND, '--undo');
  expect(undo.errors).toContain('SHM_OWNER_ALIVE');
  await killAll();
  expect(migrate(SECOND, '--undo')).toMatchObject({
    code: 1,
    errors: expect.stringMatching(/STATE_MIGRATION: `shop-1` has lived once since its migration/),
  });
});

it('sizes alone, and back before anybody worked on it', { timeout: 300_000 }, async () => {
  up = await LichUp.up(SHOP, dir, FIRST);
  await beaten(1);
  await killAll();
  // What is under way lies in the lanes: those are not migrated, and a node without its own could not start.
  const lanes = migrate({ ...FIRST, SHOP_LANES: String(1 << 25) });
  expect(lanes.code).toBe(1);
  expect(lanes.out).toMatch(/limits\.lanesBytes is another .*Set it back\nrefused: nothing was changed\n$/);
  const larger = { ...FIRST, SHOP_HEAP: String(1 << 24) };
  expect(migrate(larger).out).toMatch(/limits\.heapBytes: 4\.0 MiB become 16\.0 MiB\n.*every value fits/);
  expect(migrate(larger).out).toContain('nothing to do');
  expect(migrate(larger, '--undo')).toMatchObject({
    code: 0,
    out: 'shop-1: is again what it was before its migration\n',
  });
  expect(migrate(larger, '--undo').out).toBe('shop-1: nothing to undo\n');
  expect(migrate(larger).code).toBe(0);
  up = await LichUp.up(SHOP, dir, larger);
  await beaten(1);
  const reader = up.reader('shop-1');
  expect(reader.segment.regions.get('heap')!.bytes).toBe(1 << 24);
  expect(reader.check()).toEqual([]);
  reader.segment.close();
});
