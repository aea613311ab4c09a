/** The rules of `lich/lint` are on in the examples: what is planted there is found by the configuration of this tree. */
import * as fs from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { filesBelow, isTest } from './lib/tree.mjs';

const root = join(import.meta.dirname, '..');
const services = filesBelow(join(root, 'examples'), path => path.endsWith('.ts') && !isTest(path)).filter(path =>
  /^export default service\(/m.test(fs.readFileSync(path, 'utf8')),
);

const PLANTED = `
import { struct as planted } from 'lich';
let plantedState = 0;
export class Planted extends planted({}) {
  field = plantedState++;
  age() {
    return Date.now() - Math.random();
  }
}
`;

const tree = fs.mkdtempSync(join(tmpdir(), 'lich-lint-'));
afterAll(() => fs.rmSync(tree, { recursive: true }));
fs.copyFileSync(join(root, '.oxlintrc.json'), join(tree, '.oxlintrc.json'));
fs.symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));

/** What oxlint says of a copy of this file with `more` at its end. */
function lintWith(file: string, more: string): { code: number | null; found: string[] } {
  const copy = join(tree, relative(root, file));
  fs.mkdirSync(dirname(copy), { recursive: true });
  fs.writeFileSync(copy, fs.readFileSync(file, 'utf8') + more);
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
  const args = ['--disable-nested-config', '--format=json', copy];
  const done = spawnSync(process.execPath, [oxlint, ...args], { cwd: tree, encoding: 'utf8' });
  const { diagnostics } = JSON.parse(done.stdout) as { diagnostics: { code: string }[] };
  return { code: done.status, found: diagnostics.map(({ code }) => code).filter(code => code.startsWith('lich')) };
}

test('there are services among the examples', () => {
  expect(services.length).toBeGreaterThanOrEqual(2);
});

test.each(services.map(path => relative(root, path)))('%s', name => {
  expect(lintWith(join(root, name), '').found).toEqual([]);
  const planted = lintWith(join(root, name), PLANTED);
  expect(planted.code).not.toBe(0);
  expect(planted.found.sort()).toEqual([
    'lich(no-class-fields)',
    'lich(no-module-state)',
    'lich(no-wall-clock)',
    'lich(no-wall-clock)',
  ]);
});
