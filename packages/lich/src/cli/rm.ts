import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { asSupervisor, listSegments, removeCluster, removeNode, runtimeDir } from '../shm/index.ts';
import { UsageError } from './usage.ts';

/** `lich rm`: the only command that destroys state, and not while an owner lives. */
export function remove(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, all: { type: 'boolean', default: false } },
  });
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  if (values.all) {
    process.stdout.write(removeAll(dir) ? `${dir} is removed\n` : `${dir} keeps files that are not Lich's\n`);
    return 0;
  }
  if (positionals.length === 0) throw new UsageError('name the nodes to remove, or say --all');
  for (const name of positionals) {
    for (const path of removeNode(dir, name)) process.stdout.write(`removed ${path}\n`);
    // Orders that it has not done are none to the next one of its name.
    rmSync(join(dir, 'orders', name), { recursive: true, force: true });
  }
  return 0;
}

/** What lies beside the segments: the node directory, logs, addresses, messages that were set aside. */
const FOLDERS = ['nodes', 'logs', 'status', 'run', 'quarantine', 'orders', 'evidence', 'protocols'];

/** Destroy all nodes of a cluster, and its directory. @returns whether the directory is gone
 * @throws ShmError `SHM_OWNER_ALIVE` while a node or a supervisor runs */
export function removeAll(dir: string): boolean {
  return asSupervisor(dir, () => {
    for (const { name } of listSegments(dir)) removeNode(dir, name);
    for (const folder of FOLDERS) rmSync(join(dir, folder), { recursive: true, force: true });
    rmSync(join(dir, 'ids'), { force: true });
    return removeCluster(dir);
  });
}
