/** The same work for every contender of `reads`: records in groups of 64, whose gold sums up to nothing in each group. One
 * transaction moves gold between two records of a group; every third one is taken back. */
import { f32, i32, int, pool, state, struct, text } from '@lich/schema';
import type { Size } from '../lib/bench.ts';

/** Records read and written together. */
export const GROUP = 64;
export const RECORDS = 10_048;
export const GROUPS = RECORDS / GROUP;
/** Transactions that are timed as one. */
export const BLOCK = 2_000;
/** Snapshots a second at which the writer's loss is measured. */
export const RATE = 10_000;

/** About 100 bytes. */
export class Unit extends struct({
  gold: int,
  hp: i32,
  x: f32,
  y: f32,
  z: f32,
  name: text(20),
  level: i32,
  xp: int,
  kind: i32,
}) {}
export const schema = state({ units: pool(Unit, { capacity: RECORDS }) });

export interface Sizes {
  /** Snapshots of one record, of a group; scans. */
  readonly one: number;
  readonly group: number;
  readonly scan: number;
  /** Stretches without and with a reader in turns, an odd number. */
  readonly phases: number;
  readonly phaseMs: number;
}

export const sizes: Record<Size, Sizes> = {
  small: { one: 2_000, group: 500, scan: 3, phases: 5, phaseMs: 30 },
  full: { one: 400_000, group: 100_000, scan: 200, phases: 401, phaseMs: 40 },
};

export interface Plain {
  gold: number;
  x: number;
}

/** Two members of a group, and how much goes from one to the other. */
export function moves(): { next(): void; a: number; b: number; by: number; undone: boolean } {
  let s = 777;
  let count = 0;
  const move = { next, a: 0, b: 0, by: 0, undone: false };
  function next(): void {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    const group = ((s >>> 4) % GROUPS) * GROUP;
    move.a = group + ((s >>> 8) & 63);
    move.b = group + ((s >>> 14) & 63);
    move.by = s & 15;
    move.undone = ++count % 3 === 0;
  }
  return move;
}

/** What one group held at one moment is whole, or the work was not done. */
export function verify(sum: number): void {
  if (sum !== 0) throw new Error(`torn: the gold of a group sums up to ${sum}`);
}
