/** Which owner locks this thread of JavaScript holds: a segment is opened for writing only under its node's lock. */
import { lockPath } from './files.ts';

const held = new Set<string>();

export function noteHeld(path: string): void {
  held.add(path);
}

export function noteReleased(path: string): void {
  held.delete(path);
}

export function holdsLock(dir: string, name: string): boolean {
  return held.has(lockPath(dir, name));
}
