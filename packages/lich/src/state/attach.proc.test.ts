/** Owner, standby and readers as processes of their own. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { attach } from './index.ts';

const children: Child[] = [];
let dir: string;
beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

async function has(as: string): Promise<Child> {
  const child = new Child(join(import.meta.dirname, 'attach.child.mjs'));
  children.push(child);
  await child.ask('attach', { dir, as });
  return child;
}

test('one owner at a time; the message names it', async () => {
  const owner = await has('owner');
  const other = new Child(join(import.meta.dirname, 'attach.child.mjs'));
  children.push(other);
  const { error } = await other.order('attach', { dir, as: 'owner' });
  expect(error).toMatchObject({ code: 'SHM_OWNER_ALIVE' });
  expect(error!.message).toContain(`pid ${owner.pid}`);
});

test('a standby takes over from an owner that was killed in a transaction, and a reader goes on', async () => {
  const owner = await has('owner');
  await owner.ask('write', { n: 30 });
  const standby = await has('standby');
  const reader = attach(dir, { as: 'reader', node: 'desk' });
  await owner.ask('write', { n: 500 });
  await owner.ask('write', { n: 7, open: true });
  const now = () => reader.snapshot(s => [s.root()['total'], s.entries('notes').length]);
  expect(now()).toEqual([530, 2]);
  const taking = standby.ask('takeOver');
  await owner.kill();
  const taken = await taking;
  expect(taken).toMatchObject({ outcome: 'resumed', total: 530, notes: [30, 500], violations: [] });
  expect(taken['undone']).toBeGreaterThan(0);
  expect(now()).toEqual([530, 2]);
  await standby.ask('write', { n: 1 });
  expect(now()).toEqual([531, 3]);
  expect(reader.read(s => [...s['notes']].map(note => note.text.length))).toEqual([30, 500, 1]);
  expect(reader.check()).toEqual([]);
  reader.close();
});

test('a standby that blocks', async () => {
  const owner = await has('owner');
  await owner.ask('write', { n: 3 });
  const standby = await has('standby');
  const blocked = standby.ask('block');
  await owner.ask('close');
  expect(await blocked).toEqual({ total: 3 });
});

for (const as of ['reader', 'keeper', 'tool'] as const) {
  test(`a stray store ends the ${as} and not the state`, async () => {
    const owner = await has('owner');
    await owner.ask('write', { n: 3 });
    const reader = await has(as);
    reader.process.send({ do: 'stray' });
    const end = await reader.ended;
    expect(['SIGSEGV', 'SIGBUS']).toContain(end.signal);
    expect(await owner.ask('write', { n: 4 })).toEqual({ size: 2 });
  });
}
