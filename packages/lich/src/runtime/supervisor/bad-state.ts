/** A state under which every life dies. It is evidence: it is never written again and never thrown away by itself. The
 * service goes on from the newest dump that is whole, where the topology names a folder with dumps.
 *
 *   <dir>/evidence/<node>-<epoch>-<ms since 1970>.state, .lanes        as they lay there
 *
 * The work is done by `lich restore` and `lich check`, in processes of their own: it takes seconds, and the supervisor has
 * other nodes. */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CodedError } from '@lich/schema';
import { attachSegment, OwnerLock, removeNode } from '../../shm/index.ts';
import { dumpInfo } from '../../state/index.ts';
import type { LoadedTopology } from '../load.ts';

const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
const KINDS = ['state', 'lanes'] as const;

/** @param folder relative to the topology file
 * @returns which dump it goes on from and where the old state is, or why there is none; then the state is where it was */
export async function restoreFromDump(
  dir: string,
  node: string,
  loaded: LoadedTopology,
  folder: string,
): Promise<{ dump: string; evidence: string } | { why: string }> {
  const at = resolve(dirname(loaded.file), folder);
  const dumps = dumpsOf(at, node);
  if (dumps.length === 0) return { why: `${at} has no dump of ${node}` };
  const evidence = evidencePath(dir, node);
  move(
    dir,
    node,
    kind => `${join(dir, node)}.${kind}`,
    kind => `${evidence}.${kind}`,
  );
  const failures: string[] = [];
  for (const dump of dumps) {
    try {
      await run('restore', dump, node, '--forget', '--dir', dir);
      await run('check', node, '--dir', dir);
      return { dump, evidence: `${evidence}.state` };
    } catch (error) {
      failures.push(`${dump}: ${error instanceof Error ? error.message : String(error)}`);
      removeNode(dir, node);
    }
  }
  move(
    dir,
    node,
    kind => `${evidence}.${kind}`,
    kind => `${join(dir, node)}.${kind}`,
  );
  return { why: `no dump can be restored: ${failures.join('; ')}` };
}

/** Dumps of a node in a folder, the newest first. */
function dumpsOf(folder: string, node: string): string[] {
  if (!fs.existsSync(folder)) return [];
  const found: { path: string; takenMs: number }[] = [];
  for (const file of fs.readdirSync(folder)) {
    if (!file.endsWith('.dump')) continue;
    const path = join(folder, file);
    try {
      const info = dumpInfo(path);
      if (info.node === node) found.push({ path, takenMs: info.takenMs });
    } catch (error) {
      // Half a file, or none of ours.
      if (!(error instanceof CodedError)) throw error;
    }
  }
  return found.sort((a, b) => b.takenMs - a.takenMs).map(({ path }) => path);
}

function evidencePath(dir: string, node: string): string {
  const folder = join(dir, 'evidence');
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const segment = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  const { epoch } = segment;
  segment.close();
  return join(folder, `${node}-${epoch}-${Date.now()}`);
}

/** Under the node's lock: nobody opens what is being moved. */
function move(dir: string, node: string, from: (kind: string) => string, to: (kind: string) => string): void {
  const lock = OwnerLock.open(dir, node);
  if (lock.tryAcquire() === 'busy') throw new Error(`${node} is owned by process ${lock.owner()?.pid ?? '(unknown)'}`);
  try {
    for (const kind of KINDS) if (fs.existsSync(from(kind))) fs.renameSync(from(kind), to(kind));
  } finally {
    lock.release();
  }
}

async function run(...args: string[]): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, [LICH, ...args]);
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string };
    throw new Error((stderr || stdout || String(error)).trim(), { cause: error });
  }
}
