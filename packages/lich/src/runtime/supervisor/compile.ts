/** Service files in TypeScript are compiled before anything starts, so that a restart after a crash never waits for a
 * compiler. Types are stripped and nothing else (erasable TypeScript, as Node itself does from 22.18 on); lines and
 * columns stay where they are, so stack traces need no source map.
 *
 *   project/            nearest package.json above the topology
 *     topology.ts   →   project/.lich/build/4f0c…/topology.js
 *     scene.ts      →   project/.lich/build/4f0c…/scene.js      bare imports still find project/node_modules
 *
 * A build is named by what is in it and never changed: a process that runs from it may be started from it again, whatever
 * became of the sources. Builds that nobody looked at for a day are removed, but for the newest few. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { init, parse } from 'es-module-lexer';
import { RuntimeError } from '../errors.ts';
import { lichOf } from './programs.ts';

const SOURCE = /\.(ts|mts)$/;
const KEPT_BUILDS = 20;
const KEPT_MS = 24 * 3_600_000;
const NAME_CHARACTERS = 20;

/** Compiled files, whole and for good. */
export interface Build {
  /** Absolute: `project/.lich/build/<name>`. */
  readonly dir: string;
  /** Of a file that was asked for: what it and all that it imports became. Equal = the same code. */
  readonly hashOf: (file: string) => string;
  /** All files that were read. */
  readonly sources: readonly string[];
}

/** Compile files of one project, and all that they import by relative paths.
 * @throws RuntimeError `RUNTIME_COMPILE`, naming file and line; nothing is left behind then */
export async function compile(files: readonly string[]): Promise<Build> {
  await init;
  const entries = files.map(file => resolve(file));
  const project = projectOf(entries[0]!);
  const done = new Map<string, Compiled>();
  for (const entry of entries) {
    if (!existsSync(entry)) throw new RuntimeError('RUNTIME_COMPILE', `${entry} does not exist`);
    compileFile(entry, project, done);
  }
  const all = [...done.values()];
  // The same sources under another Lich are another build.
  const { entry, version } = lichOf(project);
  const name = createHash('sha256')
    .update(`${entry}\0${version}\0${hashOfAll(all)}`)
    .digest('hex');
  const dir = join(project, '.lich', 'build', name.slice(0, NAME_CHARACTERS));
  if (existsSync(dir)) touch(dir);
  else write(dir, all);
  return {
    dir,
    hashOf: file => hashOfAll(closureOf(resolve(file), done)),
    sources: [...done.keys()],
  };
}

/** Where a source file's compiled twin is.
 * @param build directory of the build */
export function compiledPath(file: string, build: string): string {
  return join(build, relative(resolve(build, '../../..'), resolve(file)).replace(SOURCE, '.js'));
}

/** Say that a build is in use still: it is kept for another day. */
export function touch(build: string): void {
  const now = new Date();
  try {
    utimesSync(build, now, now);
  } catch {
    // Somebody removed it: who needs it will say so.
  }
}

interface Compiled {
  /** Relative to the build. */
  readonly target: string;
  readonly output: string;
  /** Sources that it imports. */
  readonly imports: readonly string[];
}

function hashOfAll(files: readonly Compiled[]): string {
  const hash = createHash('sha256');
  for (const { target, output } of [...files].sort((a, b) => (a.target < b.target ? -1 : 1)))
    hash.update(`${target}\0${Buffer.byteLength(output)}\0`).update(output);
  return hash.digest('hex');
}

function closureOf(source: string, done: ReadonlyMap<string, Compiled>): Compiled[] {
  const found = new Set<string>([source]);
  for (const each of found) for (const imported of done.get(each)?.imports ?? []) found.add(imported);
  return [...found].flatMap(each => done.get(each) ?? []);
}

/** Whole, or not there: two that write the same build at once do no harm. */
function write(dir: string, files: readonly Compiled[]): void {
  const builds = dirname(dir);
  const draft = `${dir}.${process.pid}.${drafts++}.tmp`;
  mkdirSync(draft, { recursive: true });
  writeFileSync(join(draft, 'package.json'), '{ "type": "module" }\n');
  for (const { target, output } of files) {
    const path = join(draft, target);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, output);
  }
  try {
    renameSync(draft, dir);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(dir)) throw error;
  }
  prune(builds);
}

let drafts = 0;

function prune(builds: string): void {
  const found = readdirSync(builds).flatMap(name => {
    const path = join(builds, name);
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? {};
    return mtimeMs === undefined ? [] : [{ path, mtimeMs }];
  });
  found.sort((a, b) => b.mtimeMs - a.mtimeMs);
  for (const { path, mtimeMs } of found.slice(KEPT_BUILDS))
    if (Date.now() - mtimeMs > KEPT_MS) rmSync(path, { recursive: true, force: true });
}

/** What files became, while their text is the same: a build after an edit compiles what was edited. */
const known = new Map<
  string,
  { readonly text: string; readonly output: string; readonly imports: readonly Import[] }
>();
const KNOWN_MAX = 4096;

function compileFile(source: string, project: string, done: Map<string, Compiled>): void {
  if (done.has(source)) return;
  const inside = relative(project, source);
  if (inside.startsWith('..'))
    throw new RuntimeError('RUNTIME_COMPILE', `${source} is outside of the project ${project}`);
  const target = inside.replace(SOURCE, '.js');
  for (const [other, compiled] of done) {
    if (compiled.target === target)
      throw new RuntimeError(
        'RUNTIME_COMPILE',
        `${source} and ${other} would both become ${target}: rename one of them`,
      );
  }
  const original = readFileSync(source, 'utf8');
  let result = known.get(source);
  if (result?.text !== original) {
    const text = strip(original, source);
    const imports = importsOf(text, source);
    let output = '';
    let from = 0;
    for (const { start, end, specifier } of imports) {
      output += text.slice(from, start) + specifier.replace(SOURCE, '.js');
      from = end;
    }
    result = { text: original, output: output + text.slice(from), imports };
    if (known.size >= KNOWN_MAX) known.clear();
    known.set(source, result);
  }
  const { output, imports } = result;
  const imported = imports.map(({ line, specifier }) => {
    const path = resolve(dirname(source), specifier);
    const where = `${source}:${line} imports ${specifier}`;
    if (!existsSync(path)) throw new RuntimeError('RUNTIME_COMPILE', `${where}, which does not exist`);
    if (!statSync(path).isFile()) throw new RuntimeError('RUNTIME_COMPILE', `${where}, which is no file`);
    return path;
  });
  done.set(source, { target, output, imports: imported });
  for (const path of imported) compileFile(path, project, done);
}

function strip(text: string, source: string): string {
  if (!SOURCE.test(source)) return text;
  try {
    return amaro().transformSync(text, { mode: 'strip-only', filename: source }).code;
  } catch (error) {
    const {
      message = String(error),
      startLine,
      snippet,
    } = error as { message?: string; startLine?: number; snippet?: string };
    const where = startLine === undefined ? source : `${source}:${startLine}`;
    throw new RuntimeError(
      'RUNTIME_COMPILE',
      `${where}: ${message}${snippet === undefined ? '' : `\n${snippet.trimEnd()}`}`,
      { cause: error },
    );
  }
}

interface Amaro {
  transformSync(source: string, options: { mode: 'strip-only'; filename?: string }): { code: string };
}

let stripper: Amaro | undefined;

/** Loaded on first use: processes that only run compiled code never pay for it. */
function amaro(): Amaro {
  stripper ??= createRequire(import.meta.url)('amaro') as Amaro;
  return stripper;
}

interface Import {
  readonly start: number;
  readonly end: number;
  readonly specifier: string;
  readonly line: number;
}

function importsOf(text: string, source: string): Import[] {
  try {
    const [imports] = parse(text);
    return imports
      .filter(found => found.n !== undefined && /^\.{1,2}\//.test(found.n))
      .map(found => ({
        start: found.d > -1 ? found.s + 1 : found.s,
        end: found.d > -1 ? found.e - 1 : found.e,
        specifier: found.n!,
        line: lineOf(text, found.s),
      }));
  } catch (error) {
    throw new RuntimeError('RUNTIME_COMPILE', `${source}: ${(error as Error).message}`, { cause: error });
  }
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** The directory of the nearest package.json above, else the file's own. */
export function projectOf(file: string): string {
  for (let dir = dirname(file); ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'package.json'))) return dir;
    if (dir === dirname(dir) || dir.endsWith(`${sep}node_modules`)) return dirname(file);
  }
}
