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
    const build = await compile([`${dir}/src/a.ts`]);
    const path = compiledPath(`${dir}/src/a.ts`, build.dir);
    expect(path).toMatch(/\/\.lich\/build\/[0-9a-f]{20}\/src\/a\.js$/);
    const loaded = (await load(path)) as any;
    expect(loaded.value.all.map((x: unknown) => (typeof x === 'function' ? 'fn' : x))).toEqual([
      101,
      'fn',
      'd',
      'x/y',
      "import './not.ts'",
    ]);
    expect([loaded.e, loaded.g, await loaded.late()]).toEqual(['e', 'f', 100]);
    expect(fs.existsSync(`${build.dir}/src/types.js`)).toBe(false);
    expect(build.sources.map(file => file.slice(dir.length)).sort()).toEqual([
      '/lib/c.mts',
      '/lib/f.ts',
      '/src/a.ts',
      '/src/b.ts',
      '/src/d.js',
      '/src/e.ts',
      '/src/effect.mjs',
      '/src/late.ts',
    ]);
  });

  it('keeps lines and columns, so that stack traces are right', async () => {
    const dir = project({
      'a.ts': 'interface A {\n  a: number;\n}\nexport function fail(x: A): never {\n  throw new Error(`at ${x}`);\n}\n',
    });
    const { fail } = await load(compiledPath(`${dir}/a.ts`, (await compile([`${dir}/a.ts`])).dir));
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
      await expect(compile([`${dir}/a.ts`])).rejects.toMatchObject({
        code: 'RUNTIME_COMPILE',
        message: expect.stringMatching(message) as string,
      });
    } finally {
      fs.rmSync(outside);
    }
  });

  it('a build never changes: other code is another build, the same code the same one', async () => {
    const dir = project({ 'a.ts': importing('./b.ts'), 'b.ts': 'export const b = 1;', 'c.ts': 'export const c = 1;' });
    const all = [`${dir}/a.ts`, `${dir}/c.ts`];
    const first = await compile(all);
    const inode = (build: string) => fs.statSync(`${build}/b.js`).ino;
    const before = inode(first.dir);
    expect((await compile(all)).dir).toBe(first.dir);
    expect(inode(first.dir)).toBe(before);
    fs.writeFileSync(`${dir}/b.ts`, 'export const b = 2;');
    const second = await compile(all);
    expect(second.dir).not.toBe(first.dir);
    expect(inode(first.dir)).toBe(before);
    expect(fs.readFileSync(`${first.dir}/b.js`, 'utf8')).toContain('b = 1');
    expect(fs.readFileSync(`${second.dir}/b.js`, 'utf8')).toContain('b = 2');
    expect(second.hashOf(`${dir}/a.ts`)).not.toBe(first.hashOf(`${dir}/a.ts`));
    expect(second.hashOf(`${dir}/c.ts`)).toBe(first.hashOf(`${dir}/c.ts`));
    fs.writeFileSync(`${dir}/b.ts`, 'export const b: number = 1;'.replace(': number', ''));
    expect((await compile(all)).dir).toBe(first.dir);
  });

  it('a build that fails leaves nothing', async () => {
    const dir = project({ 'a.ts': importing('./b.ts'), 'b.ts': 'const = 1;' });
    await expect(compile([`${dir}/a.ts`])).rejects.toMatchObject({ code: 'RUNTIME_COMPILE' });
    expect(fs.existsSync(`${dir}/.lich`)).toBe(false);
  });

  it('old builds that nobody looked at are removed, but for the newest', async () => {
    const dir = project({ 'a.ts': 'export const a = 0;' });
    const built: string[] = [];
    for (let k = 0; k < 23; k++) {
      fs.writeFileSync(`${dir}/a.ts`, `export const a = ${k};`);
      built.push((await compile([`${dir}/a.ts`])).dir);
      if (k !== 1) fs.utimesSync(built[k]!, k, k);
    }
    fs.writeFileSync(`${dir}/a.ts`, 'export const last = 1;');
    await compile([`${dir}/a.ts`]);
    expect(built.map(each => fs.existsSync(each)).slice(0, 6)).toEqual([false, true, false, false, false, true]);
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
      const builds = await Promise.all(Array.from({ length: 8 }, () => compile([${JSON.stringify(`${dir}/f0.ts`)}])));
      const { end } = await import(builds[0].dir + '/f0.js'); if (end !== 0 || builds[7].dir !== builds[0].dir) process.exit(2);`;
    await Promise.all(
      Array.from({ length: 8 }, () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])),
    );
    const [build, ...others] = fs.readdirSync(`${dir}/.lich/build`);
    expect(others).toEqual([]);
    const built = fs.readdirSync(`${dir}/.lich/build/${build}`).sort();
    expect(built).toEqual([...Array.from({ length: 20 }, (_, k) => `f${k}.js`), 'package.json'].sort());
    for (let k = 0; k < 20; k++)
      expect(fs.readFileSync(`${dir}/.lich/build/${build}/f${k}.js`, 'utf8')).toMatch(new RegExp(`end = ${k};$`));
  });
});
