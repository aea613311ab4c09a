/** A migration is killed at random points: the name leads to the old state or to the new one, and each is whole. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { attachSegment, createSegment, OwnerLock, takeBack } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { examineNode, migrateNode } from './migrate-node.ts';
import { ROOM, V1, V1_AGAIN, V2 } from './migrate.schemas.mjs';
import { storePlan } from './plan.ts';
import { openReader } from './reader.ts';
import { openStore } from './store.ts';

const CHILD = fileURLToPath(new URL('./migrate.child.mjs', import.meta.url));
const KILLS = process.env.LICH_SOAK ? 100 : 12;
const RECORDS = process.env.LICH_SOAK ? 20_000 : 4_000;
const [PLAN1, PLAN2, PLAN1_AGAIN] = [storePlan(V1, ROOM), storePlan(V2, ROOM), storePlan(V1_AGAIN, ROOM)];

afterEach(removeTestDirs);

/** A node that was killed inside a transaction. */
function killedNode(dir: string, records: number): void {
  const lock = OwnerLock.open(dir, 'game');
  lock.tryAcquire();
  const { layoutHash, regions, catalog } = PLAN1;
  const segment = createSegment({ dir, name: 'game', kind: 'state', layoutHash, regions, catalog });
  const store = openStore(segment, PLAN1);
  const players = store.state.players as unknown as {
    create(init: object): { bag: Map<number, object>; gold: number };
  };
  for (let n = 0; n < records; n++) {
    store.log.begin();
    const player = players.create({ name: `p${n}`, level: n & 255, gold: n * 1_000_003, luck: n / 3 });
    for (let k = 0; k < n % 4; k++) player.bag.set(k, { kind: n & 0xffff, count: k });
    store.log.commit();
  }
  store.log.begin();
  for (let n = 0; n < 10; n++) players.create({ name: 'never' }).gold = 1;
  segment.close();
  lock.release();
}

const read = (dir: string) => {
  const segment = attachSegment({ dir, name: 'game', kind: 'state', readOnly: true });
  const reader = openReader(segment);
  const isNew = segment.layoutHash === PLAN2.layoutHash;
  const records = reader.snapshot(s => s.entries(isNew ? 'people' : 'players'));
  const violations = reader.check();
  segment.close();
  return { isNew, records, violations };
};

function mustBeWhole({ isNew, records, violations }: ReturnType<typeof read>): void {
  expect(violations).toEqual([]);
  expect(records.length).toBe(RECORDS);
  for (const { slot: n, generation, value } of records) {
    const bag = Array.from({ length: n % 4 }, (_, k) => [k, { kind: n & 0xffff, count: k }]);
    const both = { name: `p${n}`, gold: n * 1_000_003, bag };
    const want = isNew ? { ...both, rank: n & 255, note: '' } : { ...both, level: n & 255, luck: n / 3 };
    // toEqual for each of so many would take most of the test's time.
    if (generation !== 1 || JSON.stringify(sorted(value)) !== JSON.stringify(sorted(want))) expect(value).toEqual(want);
  }
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return Array.isArray(value) ? value.map(sorted) : value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

test('killed at random points: the old one or the new one, whole', { timeout: 600_000 }, async () => {
  const dir = testDir();
  killedNode(dir, RECORDS);
  const back = () => {
    const lock = OwnerLock.open(dir, 'game');
    lock.tryAcquire();
    takeBack({ dir, name: 'game', kind: 'state' });
    lock.release();
  };
  const startMs = performance.now();
  migrateNode({ dir, name: 'game', plan: PLAN2 });
  const wholeMs = performance.now() - startMs;
  mustBeWhole(read(dir));
  back();
  mustBeWhole(read(dir));
  const ended = { old: 0, new: 0 };
  for (let n = 0; n < KILLS; n++) {
    const child = spawn(process.execPath, [CHILD, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    // Spread over the whole migration, and a little beyond its end.
    await new Promise(resolve => setTimeout(resolve, ((n + Math.random()) / KILLS) * wholeMs * 1.4));
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const seen = read(dir);
    mustBeWhole(seen);
    ended[seen.isNew ? 'new' : 'old']++;
    if (seen.isNew) back();
  }
  process.stdout.write(
    `migration of ${RECORDS} records (${Math.round(wholeMs)} ms), killed: ${JSON.stringify(ended)}\n`,
  );
  expect(ended.old).toBeGreaterThan(0);
  expect(readdirSync(dir).filter(name => name.startsWith('.'))).toEqual([]);
});

test.each([
  ['code that knows the later names', PLAN1_AGAIN],
  ['the very code of before', PLAN1],
])('there and back by %s: what was removed is found again in the state before', (_, again) => {
  const dir = testDir();
  killedNode(dir, 1_000);
  const before = read(dir).records;
  const outlook = examineNode({ dir, name: 'game', plan: PLAN2 });
  expect(outlook.unfit.count).toBe(0);
  expect(outlook.changes.map(({ change }) => change)).toEqual(
    expect.arrayContaining(['added', 'removed', 'renamed', 'widened', 'reordered', 'resized']),
  );
  expect(migrateNode({ dir, name: 'game', plan: PLAN2 })!.records).toBe(1_000);
  expect(migrateNode({ dir, name: 'game', plan: PLAN2 })).toBeUndefined();
  migrateNode({ dir, name: 'game', plan: again });
  const after = read(dir);
  expect(after.violations).toEqual([]);
  expect(after.records.map(({ slot, generation, value }) => ({ slot, generation, value: sorted(value) }))).toEqual(
    before.map(({ slot, generation, value }) => ({ slot, generation, value: sorted(value) })),
  );
});

test('a node that runs is not migrated', async () => {
  const dir = testDir();
  killedNode(dir, 10);
  const holder = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { OwnerLock } from ${JSON.stringify(fileURLToPath(new URL('../../dist/shm/index.js', import.meta.url)))};
     OwnerLock.open(${JSON.stringify(dir)}, 'game').tryAcquire(); console.log('held'); setInterval(() => {}, 1000);`,
  ]);
  await once(holder.stdout, 'data');
  expect(() => migrateNode({ dir, name: 'game', plan: PLAN2 })).toThrow(
    expect.objectContaining({ code: 'SHM_OWNER_ALIVE' }),
  );
  holder.kill('SIGKILL');
  await once(holder, 'exit');
});
