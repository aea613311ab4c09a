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

/** What a trial tells of its gaps, in ms. */
export function figuresOf(gaps: number[]): Record<'min' | 'p50' | 'p99' | 'max', number> {
  const sorted = gaps.sort((a, b) => a - b);
  return { min: sorted[0], p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), max: sorted.at(-1)! };
}
