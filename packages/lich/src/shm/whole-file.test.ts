import * as fs from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { enterWhole, sweepDrafts, writeWhole } from './whole-file.ts';

afterEach(removeTestDirs);

it('a file is written in place of another, or only where there is none', () => {
  const dir = testDir();
  const path = join(dir, 'a.json');
  writeWhole(path, 'one');
  writeWhole(path, 'two');
  expect(enterWhole(path, 'three')).toBe(false);
  expect(fs.readFileSync(path, 'utf8')).toBe('two');
  expect(enterWhole(join(dir, 'b.json'), 'four')).toBe(true);
  expect(fs.readdirSync(dir)).toEqual(['a.json', 'b.json']);
  expect(fs.statSync(path).mode & 0o077).toBe(0);
});

it('drafts of dead processes are swept, in folders too; those of the living and all else stay', () => {
  const dir = testDir();
  const dead = spawnSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).stdout.trim();
  fs.mkdirSync(join(dir, 'orders/a-1'), { recursive: true });
  const stale = [
    `nodes.${dead}.tmp`,
    `.tmp-${dead}-0-123`,
    `a-1.lock.next-${dead}`,
    `orders/a-1/3.json.${dead}.tmp`,
    `0001.${process.pid}.tmp`,
  ];
  const kept = [`0002.${process.ppid}.tmp`, 'a-1.lock', 'orders/a-1/3.json', 'notes.tmp', '.next-a-1.state'];
  for (const name of [...stale, ...kept]) fs.writeFileSync(join(dir, name), '');
  expect(sweepDrafts(dir).sort()).toEqual(stale.map(name => join(dir, name)).sort());
  for (const name of kept) expect(fs.existsSync(join(dir, name))).toBe(true);
});
