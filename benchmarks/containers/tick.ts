/** The same tick for both: of a million live records, each with a few items and stats, 1,000 change at random, told by
 * messages that are made anew in each tick, and some end and others begin. */
import { nowNs } from 'lich/shm';
import type { Measured, Size } from '../lib/bench.ts';
import { numbers, percentile } from '../lib/tools.ts';

export interface TickWork {
  readonly size: Size;
}

export interface TickSizes {
  readonly records: number;
  readonly changes: number;
  readonly births: number;
  readonly warm: number;
  readonly ticks: number;
}

export const tickSizes: Record<Size, TickSizes> = {
  small: { records: 2_000, changes: 100, births: 10, warm: 5, ticks: 20 },
  full: { records: 1_000_000, changes: 1_000, births: 1_000, warm: 300, ticks: 6_000 },
};

/** Said to one record. */
export interface Hit {
  readonly who: number;
  readonly dx: number;
  readonly dy: number;
  readonly damage: number;
}

export interface World {
  /** Handles all of it, then ends the records in `dead` and begins as many. */
  tick(hits: readonly Hit[], dead: readonly number[]): void;
  /** Between two ticks: what a loop does there. */
  idle?(): void;
  sum(): number;
}

export function measureTicks(world: World, { records, changes, births, warm, ticks }: TickSizes): Measured {
  const next = numbers(5);
  const took: number[] = [];
  for (let tick = 0; tick < warm + ticks; tick++) {
    const from = nowNs();
    const hits: Hit[] = [];
    for (let k = 0; k < changes; k++) {
      const n = next();
      hits.push({ who: n % records, dx: (n & 7) - 3, dy: ((n >>> 3) & 7) - 3, damage: (n >>> 6) & 15 });
    }
    const dead: number[] = [];
    for (let k = 0; k < births; k++) dead.push(next() % records);
    world.tick(hits, dead);
    const ns = nowNs() - from;
    if (tick >= warm) took.push(ns / 1e3);
    world.idle?.();
  }
  took.sort((a, b) => a - b);
  return {
    figures: { p50: percentile(took, 0.5), p999: percentile(took, 0.999), max: took.at(-1)! },
    work: world.sum(),
  };
}
