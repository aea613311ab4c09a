/** A node needs no supervisor to serve. When the one that started it is gone it goes on, and ends in order when no other
 * one has come for `orphanMs`: nobody would ever end it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OwnerLock, ShmError, SUPERVISOR } from '../shm/index.ts';
import type { Log } from './log.ts';

/** How often a node looks whether there is a supervisor. */
const LOOK_MS = 500;

/** How long a node goes on without a supervisor. */
export const ORPHAN_MS = 30_000;

/** @param supervisor pid of the process that started this one
 * @param orphanMs counted in looks, so that a pause of the host or of this process does not count
 * @param end called once */
export function endWithoutSupervisor(
  o: { dir: string; supervisor: number; orphanMs: number },
  log: Log,
  end: () => void,
): void {
  let lock: OwnerLock | undefined;
  let missed = 0;
  const isThere = (): boolean => {
    if (process.ppid === o.supervisor) return true;
    try {
      // None is made: the directory may be gone.
      if (lock === undefined && !existsSync(join(o.dir, `${SUPERVISOR}.lock`))) return false;
      lock ??= OwnerLock.open(o.dir, SUPERVISOR);
      return lock.owner() !== undefined;
    } catch (error) {
      if (error instanceof ShmError) return false;
      throw error;
    }
  };
  const look = (): void => {
    if (isThere()) {
      if (missed > 0) log.info('a supervisor is there again');
      missed = 0;
      return;
    }
    if (missed++ === 0) log.warn('the supervisor is gone: going on without it', { forMs: o.orphanMs });
    if (missed * LOOK_MS < o.orphanMs) return;
    clearInterval(timer);
    log.warn('no supervisor came: ending in order', { afterMs: o.orphanMs });
    end();
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  look();
}
