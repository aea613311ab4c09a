/** The same work for every contender of `containers`. A round fills an empty container, reads, overwrites, walks and empties
 * it; places and keys come in an order of their own. */
import { nowNs } from 'lich/shm';
import type { Measured, Size } from '../lib/bench.ts';
import { numbers } from '../lib/tools.ts';

export type Structure = 'map' | 'set' | 'sorted' | 'array' | 'list' | 'queue';

export interface Work {
  readonly structure: Structure;
  readonly entries: number;
  readonly size: Size;
}

/** A container as this benchmark sees it. Keys are whole numbers; for sequences a key is a place, or nothing. What a
 * container cannot do is left out, and has no figure. */
export interface Box {
  /** A transaction, where there are some. */
  begin(): void;
  commit(): void;
  insert(key: number, value: number): void;
  /** The k-th of `keys`, which is this key. */
  get?(key: number, k: number): number;
  set?(key: number, value: number, k: number): void;
  delete(key: number, k: number): void;
  /** Sum of all values. */
  iterate(): number;
  size(): number;
}

/** Operations in one transaction. */
const PER_TRANSACTION = 64;

export interface Effort {
  /** Rounds of which the best counts, after as many to warm up, two at most. */
  readonly rounds: number;
}

/** @param slow a contender that takes microseconds a step */
export function effortOf({ entries, size }: Work, slow = false): Effort {
  if (size === 'small') return { rounds: 2 };
  return { rounds: Math.max(slow ? 1 : 3, Math.floor((slow ? 2_000 : 200_000) / entries)) };
}

/** Keys 0..2n in a random order: every other one is there. */
function keysOf({ structure, entries }: Work): Int32Array {
  const keys = new Int32Array(entries);
  const scattered = structure === 'map' || structure === 'set' || structure === 'sorted';
  for (let k = 0; k < entries; k++) keys[k] = scattered ? k * 2 : k;
  shuffle(keys, 7);
  return keys;
}

function shuffle(keys: Int32Array, seed: number): void {
  const next = numbers(seed);
  for (let k = keys.length - 1; k > 0; k--) {
    const other = next() % (k + 1);
    const key = keys[k];
    keys[k] = keys[other];
    keys[other] = key;
  }
}

/** Nanoseconds for each operation, the best of all rounds. */
export function measure(work: Work, box: Box, { rounds }: Effort): Measured {
  const { structure, entries } = work;
  const sequence = structure === 'array' || structure === 'list' || structure === 'queue';
  const keys = keysOf(work);
  // Another order than that of insertion.
  const order = keys.map((_, k) => k);
  shuffle(order, 11);
  const best: Record<string, number> = {};
  const time = (name: string, counts: boolean, step: () => void) => {
    const from = nowNs();
    step();
    const took = (nowNs() - from) / entries;
    if (counts) best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, took);
  };
  const each = (step: (key: number, k: number) => void, inOrder: boolean) => () => {
    for (let k = 0; k < entries; ) {
      box.begin();
      for (const end = Math.min(entries, k + PER_TRANSACTION); k < end; k++) {
        const at = inOrder ? k : order[k];
        step(keys[at], at);
      }
      box.commit();
    }
  };
  // What was read in a round depends on its `base` alone; slower contenders do fewer rounds, but two at least.
  const sums: number[] = [];
  const warm = Math.min(2, rounds);
  for (let round = 0; round < warm + rounds; round++) {
    const counts = round >= warm;
    const base = round % 2;
    let sum = 0;
    time(
      'insert',
      counts,
      each((key, k) => box.insert(key, sequence ? k + base : key + base), true),
    );
    if (box.get !== undefined) {
      let got = 0;
      time('get', counts, () => {
        got = 0;
        for (let k = 0; k < entries; k++) got += box.get!(keys[order[k]], order[k]);
      });
      sum += got;
    }
    if (box.set !== undefined)
      time(
        'set',
        counts,
        each((key, k) => box.set!(key, key + 1, k), false),
      );
    let walked = 0;
    time('iterate', counts, () => {
      walked = box.iterate();
    });
    sum += walked;
    sums[base] ??= sum;
    if (sums[base] !== sum) throw new Error(`round ${round} read ${sum}, an earlier one ${sums[base]}`);
    time(
      'delete',
      counts,
      each((key, k) => box.delete(key, k), false),
    );
    if (box.size() !== 0) throw new Error(`${box.size()} entries are left`);
  }
  return { figures: best, work: sums.join(', ') };
}
