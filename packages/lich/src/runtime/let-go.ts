/** Let go: an owner hands its node to the process that waits for it, in order, and becomes a standby of its own code.
 *
 *   owner      last message · published · word HANDED · lock released · unmapped · waits until the lock was taken · standby
 *   successor                                            lock taken · as any takeover, with the reason `deploy`
 *
 * Nothing is closed clean: the state is in use. Whoever is killed between any two of these leaves what a killed owner
 * leaves. */
import type { OwnerLock } from '../shm/index.ts';
import type { Core } from './core.ts';
import { setPhase } from './node-words.ts';

const WORDS_PAGE = 4096 / 4;
/** 1 = the last owner let go in order. Unlogged; the next owner takes it away. */
export const HANDED = WORDS_PAGE + 272;

/** Nobody came for the lock within this time: the owner takes it back. */
const SUCCESSOR_MS = 1_000;

/** The loop has ended, and all is published. */
export function handOver(core: Core): void {
  const { store, lanes, lock } = core;
  setPhase(store.segment, 'closed');
  store.segment.i32[HANDED] = 1;
  lock.release();
  // Nobody waits for what comes now, and none of it writes.
  core.bus.close();
  core.recording.close(false);
  lanes.close();
  store.segment.close();
  core.bells.close();
}

/** Was the state handed over? Asked once, by the new owner. */
export function takeHanded(core: Core): boolean {
  const S = core.store.segment.i32;
  const handed = S[HANDED] === 1;
  S[HANDED] = 0;
  return handed;
}

/** The lock was let go: wait until another process has taken it, so that this one does not take it back at once.
 * @returns false when nobody came */
export async function successorCame(lock: OwnerLock): Promise<boolean> {
  const untilMs = performance.now() + SUCCESSOR_MS;
  while (lock.lastOwner()?.pid === process.pid) {
    if (performance.now() > untilMs) return false;
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  return true;
}
