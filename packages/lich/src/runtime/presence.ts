/** Has a node a process? Asked of its lock, where the kernel answers for it: nothing is guessed from a clock. Of a node on
 * another host the link says what its lock says there:
 *
 *   status/link-1.far.json   { "arena-2": "in", … }    written by the link when it changes
 *
 * While a host cannot be asked its nodes are out: nothing is known of them, and what waits for them goes on waiting. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeEntry } from '../bus/index.ts';
import { OwnerLock } from '../shm/index.ts';
import type { Core } from './core.ts';
import { errorData } from './log.ts';

/** - `in` has a process, which may be stopped: it holds the lock all the same
 * - `out` has none now
 * - `gone` was removed, or has never started: it has no lock */
export type Presence = 'in' | 'out' | 'gone';

export function presenceOf(core: Core, index: number): Presence {
  if (index === core.self.index) return 'in';
  const node = core.directory.byIndex(index);
  if (node === undefined) return 'gone';
  return node.via === undefined ? presenceHere(core, node.name) : presenceThere(core, node, node.via);
}

function presenceHere(core: Core, name: string): Presence {
  // Opening would make it.
  if (!existsSync(join(core.dir, `${name}.lock`))) return 'gone';
  try {
    return OwnerLock.open(core.dir, name).owner() === undefined ? 'out' : 'in';
  } catch (error) {
    core.log.warn('the lock of a node cannot be read; the node is taken to be out', {
      node: name,
      ...errorData(error),
    });
    return 'out';
  }
}

function presenceThere(core: Core, node: NodeEntry, via: string): Presence {
  if (presenceHere(core, via) !== 'in') return 'out';
  return readSaid(sayPath(core.dir, via)).get(node.name) ?? 'out';
}

const sayPath = (dir: string, link: string): string => join(dir, 'status', `${link}.far.json`);

/** Many deadlines may be over at once. */
const READ_AGAIN_MS = 50;
const said = new Map<string, { readonly atMs: number; readonly nodes: ReadonlyMap<string, Presence> }>();

function readSaid(path: string): ReadonlyMap<string, Presence> {
  const nowMs = performance.now();
  const known = said.get(path);
  if (known !== undefined && nowMs - known.atMs < READ_AGAIN_MS) return known.nodes;
  let nodes = new Map<string, Presence>();
  try {
    nodes = new Map(Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, Presence>));
  } catch {
    // Not yet, or of a link that was removed.
  }
  said.set(path, { atMs: nowMs, nodes });
  return nodes;
}

/** What a link knows of the nodes of other hosts, by name: for those here who wait for them. */
export function sayPresence(dir: string, link: string, nodes: ReadonlyMap<string, Presence>): void {
  const path = sayPath(dir, link);
  mkdirSync(join(dir, 'status'), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(Object.fromEntries(nodes)), { mode: 0o600 });
  renameSync(`${path}.${process.pid}`, path);
}
