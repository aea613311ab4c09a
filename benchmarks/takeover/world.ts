/** The records that are alive at the kill, and what is said to their owner. */
import { array, command, f32, f64, i32, int, own, pool, protocol, state, struct, text, u32 } from '@lich/schema';
import { percentile, type TrialInput } from '../lib/tools.ts';

/** About 1 KiB of a segment each: what a player or a monster with its bag takes. */
export class Unit extends struct({
  id: u32,
  name: text(24),
  x: f32,
  y: f32,
  z: f32,
  hp: i32,
  mp: i32,
  level: i32,
  gold: int,
  bag: array(u32, 224),
}) {}

/** So many records to a MiB: about 1 KiB each, of which a quarter is the record. */
const PER_MIB = 1_000;

export const recordsOf = (mib: number): number => (mib >= 1_024 ? 1_000_000 : mib * PER_MIB);

export const RECORDS_VARIABLE = 'LICH_BENCH_RECORDS';

const capacity = Number(process.env[RECORDS_VARIABLE] ?? 4_096);

export const WorldState = state({ units: pool(Unit, { capacity }) });
export const WorldProtocol = protocol({
  probe: command({ n: u32 }),
  fill: own({ from: u32 }),
});
export const KillerProtocol = protocol({
  /** `atNs`: when the handler ran, on the clock of `nowNs`. */
  handled: command({ n: u32, atNs: f64, epoch: u32, records: u32 }),
});

/** One record as a plain value, the same everywhere. */
export function unitOf(id: number) {
  return {
    id,
    name: `unit ${id}`,
    x: id % 1_000,
    y: id % 777,
    z: id % 55,
    hp: 100,
    mp: id % 100,
    level: id % 60,
    gold: id * 3,
    bag: Array.from({ length: 224 }, (_, k) => (id + k) >>> 0),
  };
}

export interface TakeoverInput extends TrialInput {
  readonly mib: number;
  readonly kills: number;
}

/** Upper bounds of the histogram of gaps, ms: a frame is one of them. */
export const GAP_BOUNDS = [4, 8, 16.7, 33.4, 66.8, 300] as const;

/** A figure's name for the kills up to a bound, and for those above all. */
export const countKey = (bound: number): string => `upTo${bound}`;

/** What a trial tells of its gaps, in ms, and how many of them lie under each bound and above the one before. */
export function figuresOf(gaps: number[]): Record<string, number> {
  const sorted = gaps.sort((a, b) => a - b);
  const counts: Record<string, number> = {};
  let below = 0;
  for (const bound of [...GAP_BOUNDS, Number.POSITIVE_INFINITY]) {
    const upTo = sorted.filter(gap => gap <= bound).length;
    counts[countKey(bound)] = upTo - below;
    below = upTo;
  }
  return {
    min: sorted[0],
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1)!,
    ...counts,
  };
}

/** The histogram in a line, e.g. `up to 4 ms 61, 8 ms 30, slower 1`. */
export function histogramOf(figures: Readonly<Record<string, number>>): string {
  const parts = GAP_BOUNDS.flatMap(bound =>
    figures[countKey(bound)] > 0 ? [`${bound} ms ${figures[countKey(bound)]}`] : [],
  );
  const slower = figures[countKey(Number.POSITIVE_INFINITY)];
  return `up to ${[...parts, ...(slower > 0 ? [`slower ${slower}`] : [])].join(', ')}`;
}
