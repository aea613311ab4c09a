/** What the words page of a state segment says about a node's life, for those who look from outside. */
import type { Segment } from '../shm/index.ts';

const WORDS_PAGE = 4096 / 4;
const PHASE = WORDS_PAGE + 48;
/** Turns of the loop. */
export const HEARTBEAT = WORDS_PAGE + 64;
/** Service time; f64 index. */
export const NOW = (WORDS_PAGE + 112) / 2;

/** In the order of a life. */
export const PHASES = ['none', 'recovering', 'starting', 'serving', 'closed'] as const;
/** Where a node's life is at. */
export type Phase = (typeof PHASES)[number];

/** @returns the phase of a node, from its state segment */
export function phaseOf(state: Segment): Phase {
  return PHASES[Atomics.load(state.i32, PHASE)] ?? 'none';
}

/** Only the owner. */
export function setPhase(state: Segment, phase: Phase): void {
  Atomics.store(state.i32, PHASE, PHASES.indexOf(phase));
}

/** @returns turns of its loop; wraps */
export function beatsOf(state: Segment): number {
  return Atomics.load(state.i32, HEARTBEAT);
}
