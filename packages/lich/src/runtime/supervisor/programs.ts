/** What runs a build: which Node, and which Lich. Both are parts of what a deploy changes, so each build says them itself:
 *
 *   .lich/build/<hash>/programs.json    { lich, version, nodes: { <kind>: <absolute path> } }
 *
 * Lich is the one that the project has installed, which its services import: not the one whose command line runs. Node is
 * the one that runs the supervisor, unless the topology says `node` at an entry. */
import { existsSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RuntimeError } from '../errors.ts';
import type { Topology } from '../topology.ts';

/** What the processes of a node are. */
export interface Program {
  /** The binary of Node. */
  readonly node: string;
  /** The first file of a node's process, of that project's Lich. */
  readonly entry: string;
}

interface Programs {
  readonly lich: string;
  readonly version: string;
  readonly nodes: Readonly<Record<string, string>>;
}

const OWN_ENTRY = fileURLToPath(new URL('../entry.js', import.meta.url));
const FILE = 'programs.json';

/** The Lich of a project.
 * @returns the first file of a node's process, and the version; those of this Lich when the project has none */
export function lichOf(project: string): { readonly entry: string; readonly version: string } {
  // Not by require.resolve: it remembers for good, and an install in between is what this is about.
  for (let at = resolve(project); ; at = dirname(at)) {
    const found = join(at, 'node_modules', 'lich');
    if (existsSync(join(found, 'package.json'))) {
      const { version } = JSON.parse(readFileSync(join(found, 'package.json'), 'utf8')) as { version: string };
      const entry = join(realpathSync(found), 'dist', 'bundle', 'node-entry.js');
      if (existsSync(entry)) return { entry, version };
    }
    if (at === dirname(at)) break;
  }
  return { entry: OWN_ENTRY, version: '' };
}

/** Write down what runs a build, once.
 * @param source the topology file
 * @throws RuntimeError `RUNTIME_BAD_TOPOLOGY` when a Node is not there */
export function notePrograms(build: string, source: string, project: string, topology: Topology): Programs {
  const { entry, version } = lichOf(project);
  const nodes = Object.fromEntries(
    [...topology.entries].flatMap(([kind, { node }]) =>
      node === undefined ? [] : [[kind, nodeAt(kind, resolve(dirname(source), node))]],
    ),
  );
  const programs: Programs = { lich: entry, version, nodes };
  const text = JSON.stringify(programs);
  const path = join(build, FILE);
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    writeFileSync(`${path}.${process.pid}`, text);
    renameSync(`${path}.${process.pid}`, path);
  }
  return programs;
}

function nodeAt(kind: string, path: string): string {
  if (existsSync(path)) return path;
  throw new RuntimeError('RUNTIME_BAD_TOPOLOGY', `topology ${kind}.node: ${path} does not exist`);
}

/** What runs the nodes of a kind from that build. */
export function programOf(build: string, kind: string): Program {
  try {
    const { lich, nodes } = JSON.parse(readFileSync(join(build, FILE), 'utf8')) as Programs;
    return { node: nodes[kind] ?? process.execPath, entry: lich };
  } catch {
    // A build of before there were programs.
    return { node: process.execPath, entry: OWN_ENTRY };
  }
}
