/** Service files in TypeScript are compiled before anything starts, so that a restart after a crash never waits for a
 * compiler. Types are stripped and nothing else (erasable TypeScript, as Node itself does from 22.18 on); lines and
 * columns stay where they are, so stack traces need no source map.
 *
 *   project/            nearest package.json above the topology
 *     topology.ts   →   project/.lich/build/topology.js
 *     scene.ts      →   project/.lich/build/scene.js        bare imports still find project/node_modules */
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { init, parse } from 'es-module-lexer';
import { RuntimeError } from '../errors.ts';

const SOURCE = /\.(ts|mts)$/;

/** Compile `file` and all that it imports by relative paths.
 * @returns path of the compiled file (`file` itself when it is JavaScript)
 * @throws RuntimeError `RUNTIME_COMPILE`, naming file and line */
export async function compile(file: string): Promise<string> {
  await init;
  const entry = resolve(file);
  if (!existsSync(entry)) throw new RuntimeError('RUNTIME_COMPILE', `${entry} does not exist`);
  const project = projectOf(entry);
  const done = new Map<string, string>();
  const build = join(project, '.lich', 'build');
  mkdirSync(build, { recursive: true });
  writeWhenChanged(join(build, 'package.json'), '{ "type": "module" }\n');
  compileFile(entry, project, build, done);
  return done.get(entry)!;
}

/** Where a source file's compiled twin is. */
export function compiledPath(file: string): string {
  const source = resolve(file);
  const project = projectOf(source);
  return join(project, '.lich', 'build', relative(project, source).replace(SOURCE, '.js'));
}

function compileFile(source: string, project: string, build: string, done: Map<string, string>): void {
  if (done.has(source)) return;
  const inside = relative(project, source);
  if (inside.startsWith('..'))
    throw new RuntimeError('RUNTIME_COMPILE', `${source} is outside of the project ${project}`);
  const target = join(build, inside.replace(SOURCE, '.js'));
  for (const [other, path] of done) {
    if (path === target)
      throw new RuntimeError(
        'RUNTIME_COMPILE',
        `${source} and ${other} would both become ${target}: rename one of them`,
      );
  }
  done.set(source, target);
  const text = strip(readFileSync(source, 'utf8'), source);
  const imports = importsOf(text, source);
  let output = '';
  let from = 0;
  for (const { start, end, specifier } of imports) {
    const imported = resolve(dirname(source), specifier);
    if (!existsSync(imported)) {
      throw new RuntimeError(
        'RUNTIME_COMPILE',
        `${source}:${lineOf(text, start)} imports ${specifier}, which does not exist`,
      );
    }
    if (!statSync(imported).isFile()) {
      throw new RuntimeError(
        'RUNTIME_COMPILE',
        `${source}:${lineOf(text, start)} imports ${specifier}, which is no file`,
      );
    }
    compileFile(imported, project, build, done);
    output += text.slice(from, start) + specifier.replace(SOURCE, '.js');
    from = end;
  }
  output += text.slice(from);
  mkdirSync(dirname(target), { recursive: true });
  writeWhenChanged(target, output);
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

function importsOf(text: string, source: string): { start: number; end: number; specifier: string }[] {
  try {
    const [imports] = parse(text);
    return imports
      .filter(found => found.n !== undefined && /^\.{1,2}\//.test(found.n))
      .map(found => ({
        start: found.d > -1 ? found.s + 1 : found.s,
        end: found.d > -1 ? found.e - 1 : found.e,
        specifier: found.n!,
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

/** Written whole, and only when it differs: two starts at once do no harm. */
function writeWhenChanged(path: string, text: string): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}
