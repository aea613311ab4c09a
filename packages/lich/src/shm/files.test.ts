import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { fileIdOf, newFile, openOwned, sameFile } from './files.ts';

let dir: string;
beforeEach(() => {
  dir = testDir();
});
afterEach(removeTestDirs);

describe.each([
  ['without a name (O_TMPFILE)', true],
  ['as a draft, where the file system has no O_TMPFILE', false],
])('a file that is made %s', (_, unnamed) => {
  test('gets its name once, with its content', () => {
    const path = join(dir, 'x');
    const [one, two] = [newFile(path, unnamed), newFile(path, unnamed)];
    for (const [file, text] of [
      [one, 'one'],
      [two, 'two'],
    ] as const)
      fs.writeSync(file.fd, text);
    expect(fs.existsSync(path)).toBe(false);
    expect(two.publish()).toBe(true);
    expect(one.publish()).toBe(false);
    one.discard();
    for (const file of [one, two]) fs.closeSync(file.fd);
    expect(fs.readFileSync(path, 'utf8')).toBe('two');
    expect(fs.readdirSync(dir)).toEqual(['x']);
    expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  });

  test('is gone when it is dropped', () => {
    const file = newFile(join(dir, 'x'), unnamed);
    file.discard();
    fs.closeSync(file.fd);
    expect(fs.readdirSync(dir)).toEqual([]);
  });
});

test('a name leads to one file', () => {
  fs.writeFileSync(join(dir, 'a'), '', { mode: 0o600 });
  fs.linkSync(join(dir, 'a'), join(dir, 'b'));
  fs.writeFileSync(join(dir, 'c'), '', { mode: 0o600 });
  const open = openOwned(join(dir, 'a'));
  fs.closeSync(open.fd);
  expect(sameFile(fileIdOf(join(dir, 'b')), open)).toBe(true);
  expect(sameFile(fileIdOf(join(dir, 'c')), open)).toBe(false);
  expect(fileIdOf(join(dir, 'd'))).toBeUndefined();
});
