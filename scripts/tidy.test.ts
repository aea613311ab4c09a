/** What no compiler or linter sees: stale tables, files with two subjects, codes without a word on them. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { missingFrom, type LockFile } from './complete-lock.mjs';
import { filesBelow, isTest } from './lib/tree.mjs';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const json = <T>(path: string) => JSON.parse(read(path).replace(/^\s*\/\/.*$/gm, '')) as T;
const named = (path: string) => relative(root, path);

const MOST_LINES = 600;
const sources = filesBelow(join(root, 'packages'), path => /\.(ts|c|h)$/.test(path) && !isTest(path)).map(named);
const text = new Map(sources.map(path => [path, read(path)]));
const workspaces = ['packages', 'examples']
  .flatMap(area => filesBelow(join(root, area), path => basename(path) === 'package.json'))
  .map(path => named(path).replace('/package.json', ''));

type Manifest = {
  name: string;
  version: string;
  private?: boolean;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  exports?: Record<string, { types: string; default: string }>;
};

test(`no source has more than ${MOST_LINES} lines: past that a file has two subjects`, () => {
  const long = sources.filter(path => text.get(path)!.trimEnd().split('\n').length > MOST_LINES);
  expect(long).toEqual([]);
});

test('a hot file says on its first line which benchmark measures it, and that topic exists', () => {
  const wrong = sources.filter(path => {
    const source = text.get(path)!;
    if (!/^\s*\/\/ HOT\b/m.test(source)) return false;
    const topic = /^\/\/ HOT: measured by benchmarks\/([\w-]+)\n/.exec(source)?.[1];
    return !topic || !existsSync(join(root, 'benchmarks', topic, 'topic.ts'));
  });
  expect(wrong).toEqual([]);
});

test('an index.ts holds named re-exports only', () => {
  const wrong = sources.filter(
    path =>
      basename(path) === 'index.ts' &&
      /^export (\* from '\.|const|let|function|class|default|interface|enum)/m.test(text.get(path)!),
  );
  expect(wrong).toEqual([]);
});

describe('error codes', () => {
  const CODE = /\b(?:SCHEMA|CLIENT|SHM|STATE|BUS|RUNTIME|LINK|KEEPER|GATEWAY|GAME|CLI|TESTING)_[A-Z0-9_]*[A-Z0-9]\b/g;
  const quoted = (source: string) =>
    new Set((source.match(/'[A-Z0-9_]+'|"[A-Z0-9_]+"/g) ?? []).flatMap(word => word.match(CODE) ?? []));
  const sets = new Map(
    sources.filter(path => basename(path) === 'errors.ts').map(path => [path, quoted(text.get(path)!)]),
  );
  const closed = new Set([...sets.values()].flatMap(codes => [...codes]));
  const docs = join(root, 'docs/errors.md');

  test('each code of an errors.ts is used somewhere', () => {
    const used = new Set(
      sources.filter(path => basename(path) !== 'errors.ts').flatMap(path => [...quoted(text.get(path)!)]),
    );
    // In its own errors.ts the set itself is the first mention; a table that throws it is a second one.
    const thrownHere = (code: string) => [...sets.keys()].some(path => text.get(path)!.split(`'${code}'`).length > 2);
    expect([...closed].filter(code => !used.has(code) && !thrownHere(code))).toEqual([]);
  });

  test('the addon throws codes of the closed sets only', () => {
    const native = sources.filter(path => path.endsWith('.c')).flatMap(path => [...quoted(text.get(path)!)]);
    expect(native.filter(code => !closed.has(code))).toEqual([]);
  });

  test.skipIf(!existsSync(docs))('docs/errors.md tells of each code, and of no other', () => {
    const told = new Set(readFileSync(docs, 'utf8').match(CODE) ?? []);
    expect({
      untold: [...closed].filter(code => !told.has(code)),
      gone: [...told].filter(code => !closed.has(code)),
    }).toEqual({
      untold: [],
      gone: [],
    });
  });
});

describe('packages', () => {
  const manifests = new Map(workspaces.map(path => [path, json<Manifest>(`${path}/package.json`)]));
  const published = [...manifests.values()].filter(manifest => !manifest.private);

  test('all carry one version', () => {
    expect(new Set(published.map(({ version }) => version)).size).toBe(1);
  });

  test('each is compiled and its tests are checked', () => {
    const references = (path: string) => json<{ references: { path: string }[] }>(path).references.map(one => one.path);
    expect(references('tsconfig.build.json')).toEqual(expect.arrayContaining(workspaces));
    expect(references('tsconfig.json')).toEqual(
      expect.arrayContaining(workspaces.map(path => `${path}/tsconfig.test.json`)),
    );
  });

  test('what is exported exists', () => {
    const targets = [...manifests].flatMap(([path, { exports = {} }]) =>
      Object.values(exports).map(target => join(path, target.default.replace('dist/', 'src/').replace(/\.js$/, '.ts'))),
    );
    expect(targets.filter(path => !existsSync(join(root, path)))).toEqual([]);
  });

  test('dependencies.md gives a reason for each dependency, and for no other', () => {
    const all = [
      json<Manifest>('package.json'),
      json<Manifest>('benchmarks/peers/package.json'),
      ...manifests.values(),
    ];
    const ours = new Set(published.map(({ name }) => name));
    const wanted = new Set(
      all.flatMap(one => Object.keys({ ...one.dependencies, ...one.devDependencies })).filter(name => !ours.has(name)),
    );
    const listed = new Set([...read('dependencies.md').matchAll(/^\| `([^`]+)`/gm)].map(match => match[1]));
    expect([...listed].sort()).toEqual([...wanted].sort());
  });
});

describe.each(['package-lock.json', 'benchmarks/peers/package-lock.json'])('%s', path => {
  const lock = json<LockFile>(path);
  test('lists every platform package, or npm ci refuses it elsewhere (node scripts/complete-lock.mjs)', () => {
    expect(missingFrom(lock).map(([name]) => name)).toEqual([]);
  });
  test('holds no download addresses', () => {
    const addresses = Object.values(lock.packages).filter(({ link, resolved }) => resolved && !link);
    expect(addresses).toEqual([]);
  });
});
