/** What both do: a crowd of units, each looked after once a second, some of which die and are born in each frame. */
import type { Size } from '../lib/bench.ts';

export const EVERY_MS = 1_000;
export const HZ = 60;

export const sizes: Readonly<Record<Size, { units: number; rounds: number; churn: number }>> = {
  small: { units: 2_000, rounds: 2, churn: 4 },
  full: { units: 100_000, rounds: 20, churn: 50 },
};

/** Service time at a frame: whole ms, as the loop has it. */
export const frameMs = (frame: number): number => Math.floor((frame * 1000) / HZ);

/** From the cost of each frame in µs, the first round left out: in a life's first round, views are made. */
export function figuresOf(costs: Float64Array): { median: number; p99: number; largest: number; first: number } {
  const sorted = (from: number, to: number) => costs.slice(from, to).sort();
  const rest = sorted(HZ, costs.length);
  const middle = rest[rest.length >> 1];
  return {
    median: middle,
    p99: rest[Math.floor(rest.length * 0.99)] / middle,
    largest: rest[rest.length - 1] / middle,
    first: sorted(1, HZ)[HZ >> 1],
  };
}
