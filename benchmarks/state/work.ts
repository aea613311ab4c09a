/** The same work for every contender of `state`, and the numbers it has to end with. All values are exact in 32-bit
 * floats, so that a contender that rounds (typed arrays) and one that does not (objects) end with the same ones. */
import type { Size } from '../lib/bench.ts';
import { digest } from '../lib/tools.ts';

export interface Sizes {
  readonly records: number;
  readonly rounds: number;
  readonly warm: number;
}

export const sizes: Record<Size, Sizes> = {
  small: { records: 2_000, rounds: 5, warm: 5 },
  full: { records: 20_000, rounds: 90, warm: 30 },
};

/** Records in one transaction. */
export const PER_TRANSACTION = [1, 16] as const;

export interface Fields {
  hp: number;
  x: number;
  y: number;
  z: number;
}

export const initial: Readonly<Fields> = { hp: 100, x: 0.5, y: 0.5, z: 1.5 };

/** A digest of all fields of all records. */
export function digestOf(records: Iterable<Fields>): string {
  return digest(
    (function* () {
      for (const { hp, x, y, z } of records) yield* [hp, x, y, z];
    })(),
  );
}
