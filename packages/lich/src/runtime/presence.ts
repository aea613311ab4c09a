/** Has a node a process? Asked of its lock, where the kernel answers for it: nothing is guessed from a clock. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
  // Elsewhere: its lock is not here to be asked, and a link that stands still is no outage of its own.
  if (node?.via !== undefined) return 'in';
  const name = node?.name;
  // Opening would make it.
  if (name === undefined || !existsSync(join(core.dir, `${name}.lock`))) return 'gone';
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
