/** The only code that destroys segments, for `lich rm` and for demos that clean up after themselves. */
import * as fs from 'node:fs';
import { ShmError, coded } from './errors.ts';
import { beforePath, checkDir, lockPath, nextPath, segmentPath } from './files.ts';
import { holdsLock } from './held.ts';
import { OwnerLock } from './owner-lock.ts';

/** Destroy a node: its segments and its lock. Nobody can take the lock meanwhile: it is held here until the name is
 * gone, and a standby that waits for it then learns `SHM_LOCK_STALE`.
 * @returns the files that were removed
 * @throws ShmError `SHM_OWNER_ALIVE` with the pid while an owner lives; nothing is removed then. */
export function removeNode(dir: string, name: string): string[] {
  checkDir(dir);
  const lockFile = lockPath(dir, name);
  const state = segmentPath(dir, name, 'state');
  const files = [
    nextPath(state),
    beforePath(state),
    state,
    segmentPath(dir, name, 'lanes'),
    segmentPath(dir, name, 'report'),
    segmentPath(dir, name, 'inputs'),
    lockFile,
  ];
  const present = files.filter(path => fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  if (present.length === 0) return [];
  let lock: OwnerLock | undefined;
  try {
    lock = OwnerLock.open(dir, name);
  } catch (error) {
    // A lock that no Lich can open is held by none.
    if (!(error instanceof ShmError) || !(error.code === 'SHM_LOCK_CORRUPT' || error.code === 'SHM_BAD_FILE'))
      throw error;
  }
  if (lock !== undefined && (holdsLock(dir, name) || lock.tryAcquire() === 'busy')) {
    const owner = lock.owner();
    throw new ShmError(
      'SHM_OWNER_ALIVE',
      `\`${name}\` in ${dir} is owned by process ${owner?.pid ?? '(unknown)'}: stop it first, then remove`,
    );
  }
  try {
    // The lock goes last: killed in between, what is left is still a node under one lock.
    return files.filter(path => {
      if (fs.lstatSync(path, { throwIfNoEntry: false }) === undefined) return false;
      coded('remove', () => fs.rmSync(path));
      return true;
    });
  } finally {
    lock?.release();
  }
}

/** Remove what belongs to no node once no node is left: bells, FIFOs and drafts; then the directory, if it is empty.
 * @returns whether the directory is gone */
export function removeCluster(dir: string): boolean {
  checkDir(dir);
  const files = fs.readdirSync(dir);
  if (files.some(file => /^[^.].*\.(?:state|lanes|report|inputs|lock)$/.test(file))) return false;
  for (const file of files) {
    if (file === 'bells' || /^\d+\.bell$/.test(file) || /^\.(?:tmp|next|before)-/.test(file))
      fs.rmSync(`${dir}/${file}`, { force: true });
  }
  try {
    fs.rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}
