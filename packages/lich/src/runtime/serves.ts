/** Has a node a process? Asked of its lock, where the kernel answers for it: nothing is guessed from a clock. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OwnerLock } from '../shm/index.ts';
import type { Core } from './core.ts';
import { errorData } from './log.ts';

/** @returns true too for a node that is stopped: its process holds the lock */
export function serves(core: Core, index: number): boolean {
  if (index === core.self.index) return true;
  const name = core.directory.byIndex(index)?.name;
  // It is made when the node starts for the first time, and not by those who look.
  if (name === undefined || !existsSync(join(core.dir, `${name}.lock`))) return false;
  try {
    return OwnerLock.open(core.dir, name).owner() !== undefined;
  } catch (error) {
    core.log.warn('the lock of a node cannot be read; it is taken to be out', { node: name, ...errorData(error) });
    return false;
  }
}
