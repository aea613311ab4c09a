/** What an owner tells its supervisor through the words page.
 *
 *   WORD  FIELD           WRITER  MEANING
 *    208  contained       owner   how often something was set aside or suspended
 *    209  containedDeaths owner   deaths that were counted against those, all together
 *    210  inspected       owner   1 while an inspector listens
 *
 * Unlogged. The first two are never taken back: the supervisor looks at differences. Killed between their two stores, a few
 * deaths count as a crash loop for a while. */
import { url } from 'node:inspector';
import type { Segment } from '../shm/index.ts';

const CONTAINED = 4096 / 4 + 208;
const CONTAINED_DEATHS = CONTAINED + 1;
const INSPECTED = CONTAINED + 2;
const INSPECTOR_LOOK_MS = 500;

/** Something that ended the process is out of the way. Only the owner, after the commit that moved past it. */
export function noteContained(state: Segment, deaths: number): void {
  state.i32[CONTAINED_DEATHS] = (state.i32[CONTAINED_DEATHS] + deaths) | 0;
  Atomics.add(state.i32, CONTAINED, 1);
}

/** How often, and with how many deaths, since the segment was made; both wrap. */
export function containedOf(state: Segment): { times: number; deaths: number } {
  return { times: Atomics.load(state.i32, CONTAINED), deaths: state.i32[CONTAINED_DEATHS] };
}

/** A debugger may hold this process for as long as it likes: say whenever one could.
 * @returns call it when this process no longer owns the state */
export function tellInspected(state: Segment): () => void {
  const tell = (): void => {
    state.i32[INSPECTED] = url() === undefined ? 0 : 1;
  };
  tell();
  const timer = setInterval(tell, INSPECTOR_LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

export function isInspected(state: Segment): boolean {
  return state.i32[INSPECTED] === 1;
}
