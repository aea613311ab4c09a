// Who may import whom. A package or room imports only those above it in this order:
//
//   @lich/schema   imports nothing, not even Node
//   @lich/client   imports @lich/schema
//   lich           ROOMS, top to bottom; another room's index.ts, internal.ts, api.ts, errors.ts or ids.ts, not its insides
//   examples, benchmarks   packages by their names, never by a path into them
//
// `testing` imports what it needs and is imported by tests only; a test may import `testing` and all that its room may.
// Type-only imports count: a type that leans the wrong way is a design that leans the wrong way.
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { filesBelow, isTest } from './tree.mjs';

export const ROOMS = ['shm', 'state', 'bus', 'runtime', 'link', 'keeper', 'gateway', 'game', 'cli', 'lint', 'testing'];
const DOORS = new Set(['index.ts', 'internal.ts', 'api.ts', 'errors.ts', 'ids.ts']);
const OURS = new Set(['@lich/schema', '@lich/client', 'lich']);

const COMMENT_OR_TEXT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
const IMPORT = /\b(?:(import|export)\s+(type\s+)?[^'";]*?\bfrom|import|import\s*\(|require\s*\()\s*(['"])([^'"\n]+)\3/g;

/** Every module that `text` names, with its line: imports, re-exports, type-only ones, `import('…')`, `require('…')`.
 * `runs` is false where the import is gone at run time. */
export function importsOf(text) {
  const code = text.replace(COMMENT_OR_TEXT, found => (/^['"]/.test(found) ? found : found.replace(/[^\n]/g, ' ')));
  return [...code.matchAll(IMPORT)].map(match => ({
    specifier: match[4],
    line: code.slice(0, match.index + match[0].length).split('\n').length,
    runs: !match[2],
    atLoad: !match[0].includes('('),
  }));
}

/** Where a file stands: its area (packages/x, examples/x, benchmarks, scripts), and in lich its room. */
function placeOf(root, file) {
  const parts = relative(root, file).split(sep);
  const area = parts[0] === 'packages' || parts[0] === 'examples' ? `${parts[0]}/${parts[1]}` : parts[0];
  const room = area === 'packages/lich' && parts[2] === 'src' && parts.length > 4 ? parts[3] : undefined;
  // What the tests of schema and client share lies in their src/testing; lich publishes a room of that name.
  const support = area !== 'packages/lich' && parts[0] === 'packages' && parts[2] === 'src' && parts[3] === 'testing';
  return { area, room, test: support || isTest(file), file };
}

function wrongRoom(from, to) {
  // Beside the rooms: src/index.ts gathers the package, other files there stand above all rooms.
  if (!from.room) {
    if (basename(from.file) === 'index.ts') return to.room === 'testing' ? '`testing` is for tests only' : undefined;
    return to.room && `a file beside the rooms may not import room \`${to.room}\``;
  }
  if (!to.room) return basename(to.file) === 'index.ts' ? 'a room may not import the whole package' : undefined;
  if (from.room === to.room || from.room === 'testing') return undefined;
  if (to.room === 'testing') return from.test ? undefined : '`testing` may be imported by tests only';
  if (ROOMS.indexOf(to.room) > ROOMS.indexOf(from.room))
    return `room \`${from.room}\` may not import \`${to.room}\`, which is below it`;
  if (!from.test && !DOORS.has(basename(to.file))) {
    return `the insides of room \`${to.room}\` are its own: import its index.ts or internal.ts`;
  }
  return undefined;
}

function wrongRelative(root, from, target) {
  const to = placeOf(root, target);
  if (to.test && !from.test) return 'a test may be imported by tests only';
  if (to.area === from.area) return from.area === 'packages/lich' ? wrongRoom(from, to) : undefined;
  if (from.test && to.area === 'scripts') return undefined;
  return `a path into ${to.area}: import a package by its name`;
}

const manifests = new Map();
/** The nearest package.json at or above `folder`, and not above `root`. */
function manifestOf(folder, root) {
  const path = join(folder, 'package.json');
  if (!manifests.has(path) && existsSync(path)) manifests.set(path, JSON.parse(readFileSync(path, 'utf8')));
  if (manifests.has(path)) return manifests.get(path);
  return folder === root ? {} : manifestOf(dirname(folder), root);
}

function wrongPackage(root, from, specifier) {
  const bound = !from.test && from.area; // what a package's own tests import does not reach its users
  if (specifier.startsWith('node:')) {
    return bound === 'packages/schema' || bound === 'packages/client'
      ? 'this package runs in browsers: no Node modules'
      : undefined;
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const own = manifestOf(dirname(from.file), root);
  if (OURS.has(name)) {
    // Fixtures, and the programs that tests write down, are a user's: they import the package that they stand in.
    if (name === own.name)
      return from.test || from.file.includes('/testing/fixtures/') ? undefined : 'inside a package, import by path';
    if (from.area === 'packages/schema') return '@lich/schema stands above all others';
    if (from.area === 'packages/client' && name === 'lich') return '@lich/client may not import the server';
    return undefined;
  }
  if (bound === 'packages/schema') return '@lich/schema imports nothing';
  if (bound === 'packages/client') return '@lich/client imports only @lich/schema';
  const tools = manifestOf(root, root);
  const declared = { ...own.dependencies, ...own.peerDependencies, ...own.optionalDependencies };
  const outside =
    from.area.startsWith('packages/') && !from.test ? {} : { ...tools.devDependencies, ...own.devDependencies };
  return name in declared || name in outside ? undefined : `${name} is not a dependency in package.json`;
}

/** Files of one room or package that import each other in a circle, each circle once. */
function circles(graph) {
  const state = new Map();
  const found = [];
  const visit = (file, path) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push(path.slice(path.indexOf(file)));
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

/** @returns each violation of the rules in the tree at `root`: `{ file, line, message }` */
export function checkTree(root) {
  const violations = [];
  const graph = new Map();
  const sources = ['packages', 'examples', 'benchmarks'].flatMap(area =>
    filesBelow(join(root, area), path => /\.m?ts$/.test(path)),
  );
  for (const file of sources) {
    const from = placeOf(root, file);
    for (const { specifier, line, runs, atLoad } of importsOf(readFileSync(file, 'utf8'))) {
      const target = specifier.startsWith('.') && resolve(dirname(file), specifier);
      const message = target ? wrongRelative(root, from, target) : wrongPackage(root, from, specifier);
      if (message) violations.push({ file, line, message: `'${specifier}': ${message}` });
      if (target && runs && atLoad) graph.set(file, [...(graph.get(file) ?? []), target]);
    }
  }
  for (const circle of circles(graph)) {
    const message = `imports itself: ${[...circle, circle[0]].map(file => relative(root, file)).join(' → ')}`;
    violations.push({ file: circle[0], line: 1, message });
  }
  return violations;
}
