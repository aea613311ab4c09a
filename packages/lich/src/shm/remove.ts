/** The only code that destroys segments, for `lich rm` and for demos that clean up after themselves. */
import * as fs from 'node:fs';
import { ShmError, coded } from './errors.ts';
import { beforePath, checkDir, lockPath, nextPath, segmentPath } from './files.ts';
import { holdsLock } from './held.ts';
import { OwnerLock, SUPERVISOR } from './owner-lock.ts';

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

/** Do something to a directory while nobody supervises it, or as its supervisor.
 * @throws ShmError `SHM_OWNER_ALIVE` with the pid of another supervisor */
export function asSupervisor<T>(dir: string, work: () => T): T {
  if (holdsLock(dir, SUPERVISOR)) return work();
  const lock = OwnerLock.open(dir, SUPERVISOR);
  if (lock.tryAcquire() === 'busy') {
    throw new ShmError(
      'SHM_OWNER_ALIVE',
      `${dir} is supervised by process ${lock.owner()?.pid ?? '(unknown)'}: end it first (lich stop --dir ${dir})`,
    );
  }
  try {
    return work();
  } finally {
    lock.release();
  }
}

/** Remove what belongs to no node once no node is left: the supervisor's lock and socket, bells, FIFOs and drafts; then the
 * directory, if it is empty.
 * @returns whether the directory is gone
 * @throws ShmError `SHM_OWNER_ALIVE` while another process supervises it */
export function removeCluster(dir: string): boolean {
  checkDir(dir);
  return asSupervisor(dir, () => removeRest(dir));
}

function removeRest(dir: string): boolean {
  const own = [`${SUPERVISOR}.lock`, `${SUPERVISOR}.sock`];
  const files = fs.readdirSync(dir).filter(file => !own.includes(file));
  if (files.some(file => /^[^.].*\.(?:state|lanes|report|inputs|lock)$/.test(file))) return false;
  for (const file of files) {
    if (file === 'bells' || /^\d+\.bell$/.test(file) || /^\.(?:tmp|next|before)-/.test(file))
      fs.rmSync(`${dir}/${file}`, { force: true });
  }
  for (const file of own) fs.rmSync(`${dir}/${file}`, { force: true });
  try {
    fs.rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}
