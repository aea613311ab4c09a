import type { Size } from '../lib/bench.ts';

/** How many transfers a contender does: all end after rounds of the same length, the slower ones after fewer of them. */
export function transferSizes(
  size: Size,
  kind: 'memory' | 'database',
): { perRound: number; rounds: number; warm: number } {
  if (size === 'small') return { perRound: 1_000, rounds: 2, warm: 1 };
  return kind === 'memory' ? { perRound: 100_000, rounds: 40, warm: 10 } : { perRound: 20_000, rounds: 12, warm: 3 };
}
