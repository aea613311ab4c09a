/** Classes of a family are found by name: a world that is killed and opened by code in which they are in another order,
 * renamed, more, or in other files; and what is gone, or has other bytes, is refused with the segment as it was. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachSegment } from '../shm/index.ts';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { openReader } from './index.ts';

const children: Child[] = [];
let dir: string;

beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

const start = () => {
  const made = new Child(join(import.meta.dirname, 'families.child.mjs'));
  children.push(made);
  return made;
};

/** The next process, with this version of the code; the one before is killed in the middle of a transaction. */
async function next(before: Child | undefined, version: string): Promise<Child> {
  if (before !== undefined) {
    await before.ask('createOpen', { variant: 'Sheep' });
    await before.kill();
  }
  const child = start();
  const opened = await child.ask('open', { dir, version });
  expect(opened).toMatchObject({ outcome: before === undefined ? 'created' : 'resumed', violations: [] });
  if (before !== undefined) expect(opened.undone).toBeGreaterThan(0);
  return child;
}

const wolf = { hp: 10, name: 'w', rage: 7 };
const sheep = { hp: 10, name: 's', wool: 3, owner: 'somebody with a rather long name' };

async function world(): Promise<Child> {
  const first = await next(undefined, 'first');
  await first.ask('create', { variant: 'Wolf', init: wolf });
  await first.ask('create', { variant: 'Sheep', init: sheep });
  await first.ask('create', { variant: 'Goat', init: { milk: 5 } });
  return first;
}

describe('classes', () => {
  it('are found by name when they are in another order, renamed, more, and in other files', async () => {
    const first = await world();
    const kept = [
      { variant: 'Wolf', ...wolf },
      { variant: 'Sheep', ...sheep },
      { variant: 'Goat', milk: 5 },
    ];
    expect((await first.ask('all')).animals).toEqual(kept);

    const reordered = await next(first, 'reordered');
    expect((await reordered.ask('all')).animals).toEqual(kept);

    const tried = await next(reordered, 'renamed');
    // The way back.
    const back = await next(tried, 'first');
    expect((await back.ask('all')).animals).toEqual(kept);

    const renamed = await next(back, 'renamed');
    kept[0] = { variant: 'Direwolf', ...wolf };
    expect((await renamed.ask('all')).animals).toEqual(kept);
    await renamed.ask('create', { variant: 'Direwolf', init: { rage: 1 } });
    kept.push({ variant: 'Direwolf', hp: 10, name: '', rage: 1 });

    const added = await next(renamed, 'added');
    expect((await added.ask('all')).animals).toEqual(kept);
    await added.ask('create', { variant: 'Cow', init: {} });
    kept.push({ variant: 'Cow', horns: 2 } as never);

    const moved = await next(added, 'moved');
    expect((await moved.ask('all')).animals).toEqual(kept);

    // Tools that have no code read what the last owner said.
    await moved.kill();
    const segment = attachSegment({ dir, name: 'world', kind: 'state' });
    const reader = openReader(segment);
    expect(reader.snapshot(s => s.entries('animals').map(entry => entry.value))).toEqual(kept);
    expect(reader.check()).toEqual([]);
    segment.close();
  });

  it('that are gone are refused with the records that need them, and the file is left as it is', async () => {
    const first = await world();
    await first.ask('createOpen', { variant: 'Goat' });
    await first.kill();
    const path = attachSegment({ dir, name: 'world', kind: 'state' });
    const before = fs.readFileSync(path.path);
    path.close();
    const gone = start();
    const refused = await gone.order('open', { dir, version: 'gone' });
    expect(refused.error).toMatchObject({
      code: 'STATE_CLASS_GONE',
      message: expect.stringMatching(/^pool `animals` of .* has 1 record of class Goat/),
    });
    expect(fs.readFileSync(path.path).equals(before)).toBe(true);

    // Without such records it is let go.
    const again = start();
    await again.ask('open', { dir, version: 'moved' });
    await again.ask('destroy', { slot: 2 });
    await again.kill();
    const without = start();
    expect(await without.ask('open', { dir, version: 'gone' })).toMatchObject({ outcome: 'resumed', violations: [] });
    expect((await without.ask('all')).animals.length).toBe(2);
  });

  it('whose bytes differ, and a slot that grows, are for a migration', async () => {
    const first = await world();
    await first.kill();
    for (const [version, message] of [
      ['unlike', /age/],
      ['larger', /another size|Whale/],
    ] as const) {
      const child = start();
      expect((await child.order('open', { dir, version })).error).toMatchObject({
        code: 'SHM_LAYOUT',
        message: expect.stringMatching(message),
      });
    }
    const back = start();
    expect(await back.ask('open', { dir, version: 'first' })).toMatchObject({ outcome: 'resumed', violations: [] });
  });

  it('of a process that is killed while it takes over are those of one of the two', async () => {
    const first = await world();
    await first.kill();
    for (let k = 0; k < 6; k++) {
      const version = k % 2 === 0 ? 'renamed' : 'added';
      const child = start();
      const opening = child.order('open', { dir, version });
      await new Promise(resolve => setTimeout(resolve, 60 + k * 15));
      await child.kill();
      await opening;
    }
    const last = start();
    expect(await last.ask('open', { dir, version: 'added' })).toMatchObject({ violations: [] });
    expect((await last.ask('all')).animals.map((each: { variant: string }) => each.variant)).toEqual([
      'Direwolf',
      'Sheep',
      'Goat',
    ]);
  });
});
