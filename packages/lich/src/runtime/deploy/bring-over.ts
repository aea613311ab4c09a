/** A state of another layout becomes this code's: forwards when a deploy switches, backwards when it is taken back. Between
 * two owners, by the one who has just got the lock. Killed anywhere, the name leads to the one state or to the other, each
 * whole, and whoever is next begins again. */
import { attachSegment, type Segment, ShmError } from '../../shm/index.ts';
import { migrateOwned, openStore, returnOwned } from '../../state/index.ts';
import type { Core } from '../core.ts';
import { setPhase } from '../node-words.ts';

/** What was done. */
export interface Brought {
  readonly how: 'the state of before the deploy goes on' | 'the state was migrated';
  readonly records?: number;
  readonly ms: number;
  /** That was reached before. */
  readonly epoch: number;
}

/** @returns undefined when the state has this code's layout, or there is none
 * @throws those of `migrateNode`: the state is then as it was */
export function bringOver({ dir, name, plan, migrates }: Core): Brought | undefined {
  if (isOurs(dir, name, plan)) return undefined;
  const startMs = performance.now();
  const took = (): number => Math.round((performance.now() - startMs) * 10) / 10;
  const epoch = returnOwned({ dir, name, plan });
  if (epoch !== undefined) return { how: 'the state of before the deploy goes on', ms: took(), epoch };
  const report = migrateOwned({ dir, name, plan, check: migrates !== 'rehearsed' });
  return { how: 'the state was migrated', records: report?.records ?? 0, ms: took(), epoch: 0 };
}

function isOurs(dir: string, name: string, plan: Core['plan']): boolean {
  let state: Segment | undefined;
  try {
    state = attachSegment({ dir, name, kind: 'state' });
    openStore(state, plan);
    return true;
  } catch (error) {
    const code = error instanceof ShmError ? error.code : '';
    if (code === 'SHM_NOT_FOUND') return true;
    if (code !== 'SHM_LAYOUT') throw error;
    // Whoever looks must not take it for the life that has just ended.
    state!.makeWritable();
    setPhase(state!, 'recovering');
    return false;
  } finally {
    state?.close();
  }
}
