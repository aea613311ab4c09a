import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { compile, compiledPath, projectOf } from './compile.ts';

afterEach(removeTestDirs);

function project(files: Record<string, string>): string {
  const dir = testDir();
  for (const [name, text] of Object.entries({ 'package.json': '{}', ...files })) {
    fs.mkdirSync(dirname(`${dir}/${name}`), { recursive: true });
    fs.writeFileSync(`${dir}/${name}`, text);
  }
  return dir;
}

/** Not written out: the check of this repository's own imports reads tests too. */
const importing = (...files: string[]): string => files.map(file => `${'import'} '${file}';`).join(' ');

const load = async (file: string) =>
  (await import(`${pathToFileURL(file).href}?${Math.random()}`)) as Record<string, unknown>;

describe('compiling', () => {
  it('follows relative imports of every spelling, and leaves all others', async () => {
    const dir = project({
      'src/a.ts': `
        import { b } from './b.ts';
        import type { T } from './types.ts';
        import c, { type U } from "../lib/c.mts";
        import * as d from './d.js';
        import './effect.mjs';
        export * from './e.ts';
        export { f as g } from '../lib/f.ts';
        import { join } from 'node:path';
        const text = "import './not.ts'"; // import './nor.ts'
        export const value: T = { all: [b, c, d.d, join('x', 'y'), text] satisfies unknown[] };
        export const late = async (): Promise<number> => (await import('./late.ts')).late;
        export let u: U | undefined;`,
      'src/b.ts': `import { late } from './late.ts'; export const b: number = 1 + late;`,
      'src/late.ts': 'import "./a.ts"; export const late = 100 as number;',
      'src/types.ts': 'export interface T { all: unknown[] }',
      'lib/c.mts': 'export type U = 1; export default <const X,>(x: X) => x;',
      'lib/f.ts': 'export const f = "f";',
      'src/d.js': 'export const d = "d";',
      'src/effect.mjs': 'globalThis.effect = 1;',
      'src/e.ts': 'export enum_; declare const enum_: 1;'.replace(/.*/, 'export const e = "e";'),
    });
    const path = await compile(`${dir}/src/a.ts`);
    expect(path).toBe(`${dir}/.lich/build/src/a.js`);
    expect(compiledPath(`${dir}/src/a.ts`)).toBe(path);
    const loaded = (await load(path)) as any;
    expect(loaded.value.all.map((x: unknown) => (typeof x === 'function' ? 'fn' : x))).toEqual([
      101,
      'fn',
      'd',
      'x/y',
      "import './not.ts'",
    ]);
    expect([loaded.e, loaded.g, await loaded.late()]).toEqual(['e', 'f', 100]);
    expect(fs.existsSync(`${dir}/.lich/build/src/types.js`)).toBe(false);
  });

  it('keeps lines and columns, so that stack traces are right', async () => {
    const dir = project({
      'a.ts': 'interface A {\n  a: number;\n}\nexport function fail(x: A): never {\n  throw new Error(`at ${x}`);\n}\n',
    });
    const { fail } = await load(await compile(`${dir}/a.ts`));
    try {
      (fail as (x: unknown) => void)(1);
    } catch (error) {
      expect((error as Error).stack).toMatch(/a\.js\?[^:]*:5:9/);
    }
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['a missing file', {}, /a\.ts does not exist/],
    [
      'an import that is missing',
      { 'a.ts': `\n\n${importing('./none.ts')}` },
      /a\.ts:3 imports \.\/none\.ts, which does not exist/,
    ],
    [
      'the same in what is imported',
      { 'a.ts': importing('./b.ts'), 'b.ts': `\n${importing('./none.ts')}` },
      /b\.ts:2 imports \.\/none\.ts/,
    ],
    [
      'an import without its extension',
      { 'a.ts': importing('./b'), 'b.ts': '' },
      /a\.ts:1 imports \.\/b, which does not exist/,
    ],
    [
      'an import of a folder',
      { 'a.ts': `\n${importing('./b')}`, 'b/index.ts': '' },
      /a\.ts:2 imports \.\/b, which is no file/,
    ],
    ['a syntax error', { 'a.ts': 'const a = 1;\nconst b = ;\n' }, /a\.ts:2: /],
    ['a syntax error in what is imported', { 'a.ts': importing('./b.ts'), 'b.ts': '\n\n\nconst = 1;' }, /b\.ts:4: /],
    ['a syntax error in JavaScript', { 'a.ts': importing('./b.js'), 'b.js': 'export const a = ;\nimport {' }, /b\.js/],
    ['an enum', { 'a.ts': '\nenum A { b }' }, /a\.ts:2: .*enum/],
    [
      'two files with one compiled name',
      { 'a.ts': importing('./b.ts', './b.mts'), 'b.ts': '', 'b.mts': '' },
      /b\.mts and .*b\.ts would both become .*b\.js/,
    ],
    [
      'an import outside of the project',
      { 'a.ts': `import '../outside-${process.pid}.ts';` },
      /outside of the project/,
    ],
  ])('%s: a coded error with file and line', async (_, files, message) => {
    const dir = project(files);
    const outside = `${dir}/../outside-${process.pid}.ts`;
    fs.writeFileSync(outside, '');
    try {
      await expect(compile(`${dir}/a.ts`)).rejects.toMatchObject({
        code: 'RUNTIME_COMPILE',
        message: expect.stringMatching(message) as string,
      });
    } finally {
      fs.rmSync(outside);
    }
  });

  it('writes again only what changed', async () => {
    const dir = project({ 'a.ts': importing('./b.ts'), 'b.ts': 'export const b = 1;' });
    await compile(`${dir}/a.ts`);
    const inode = (name: string) => fs.statSync(`${dir}/.lich/build/${name}`).ino;
    const before = [inode('a.js'), inode('b.js')];
    await compile(`${dir}/a.ts`);
    expect([inode('a.js'), inode('b.js')]).toEqual(before);
    fs.writeFileSync(`${dir}/b.ts`, 'export const b = 2;');
    await compile(`${dir}/a.ts`);
    expect(inode('a.js')).toBe(before[0]);
    expect(inode('b.js')).not.toBe(before[1]);
  });

  it('the project is where the nearest package.json is', () => {
    const dir = project({ 'deep/er/a.ts': '', 'other/package.json': '{}', 'other/src/a.ts': '' });
    expect(projectOf(`${dir}/deep/er/a.ts`)).toBe(dir);
    expect(projectOf(`${dir}/other/src/a.ts`)).toBe(`${dir}/other`);
  });

  it('8 processes and 8 turns at once: every file is whole whenever it is there', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, k) => [
        `f${k}.ts`,
        `${k < 19 ? `import './f${k + 1}.ts';` : ''} export const x: string = '${'x'.repeat(20_000)}'; export const end = ${k};`,
      ]),
    );
    const dir = project(files);
    const code = `import { compile } from ${JSON.stringify(fileURLToPath(new URL('../../../dist/runtime/supervisor/compile.js', import.meta.url)))};
      await Promise.all(Array.from({ length: 8 }, () => compile(${JSON.stringify(`${dir}/f0.ts`)})));
      const { end } = await import(${JSON.stringify(`${dir}/.lich/build/f0.js`)}); if (end !== 0) process.exit(2);`;
    await Promise.all(
      Array.from({ length: 8 }, () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])),
    );
    const built = fs.readdirSync(`${dir}/.lich/build`).sort();
    expect(built).toEqual([...Array.from({ length: 20 }, (_, k) => `f${k}.js`), 'package.json'].sort());
    for (let k = 0; k < 20; k++)
      expect(fs.readFileSync(`${dir}/.lich/build/f${k}.js`, 'utf8')).toMatch(new RegExp(`end = ${k};$`));
  });
});
