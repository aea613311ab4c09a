/** Crash points of a store: a workload of transactions runs once; cut after any of its stores, the next process has to find
 * the state as it was before the transaction that was open, or after it, byte by byte.
 *
 *   const run = new StoreRun(plan);
 *   … set up run.store …
 *   run.start();
 *   for (const step of work) run.transact(step);
 *   run.trace.stop();
 *   const { points, wrong } = run.verify(); */
import type { Segment } from '../shm/index.ts';
import { openStore, type Store, type StorePlan, type Violation } from '../state/index.ts';
import { StoreTrace } from './crash.ts';
import { memorySegment } from './memory-segment.ts';

/** Thrown by a transaction that wants to be rolled back. */
export class RolledBack extends Error {}

interface Start {
  /** Stores before the transaction. */
  readonly at: number;
  /** All that the log covers, then. */
  readonly bytes: Buffer;
}

export interface Verified {
  readonly points: number;
  /** What was neither before nor after, or not sound: a line each. */
  readonly wrong: string[];
  /** Words of the log that were undone, over all points. */
  readonly undone: number;
}

/** @typeParam W the store with its types */
export class StoreRun<W extends Store<any> = Store<any>> {
  readonly trace = new StoreTrace();
  readonly plan: StorePlan;
  readonly segment: Segment;
  readonly store: W;
  readonly #starts: Start[] = [];
  #transaction = 0;

  constructor(plan: StorePlan) {
    this.plan = plan;
    const { regions, catalog, layoutHash } = plan;
    this.segment = memorySegment({ regions, catalog, layoutHash, wrap: this.trace.wrap('S') });
    this.store = openStore(this.segment, plan) as unknown as W;
  }

  /** Stores count from here on. */
  start(): void {
    this.trace.start({ S: this.segment });
    this.#note();
  }

  /** @param change throws `RolledBack` to be rolled back. @returns whether it was committed */
  transact(change: (store: W) => void): boolean {
    const { log } = this.store;
    let committed = false;
    log.begin();
    try {
      change(this.store);
      log.commit();
      committed = true;
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error;
      log.rollback();
    }
    log.nextStamp();
    this.#note();
    return committed;
  }

  #note(): void {
    this.#starts.push({ at: this.trace.length, bytes: Buffer.from(logged(this.segment)) });
  }

  /** A segment of these bytes, as the next process opens it. @param trace writes its stores down */
  reopen(bytes: Uint8Array, trace?: StoreTrace): { segment: Segment; store: Store<any> } {
    const { regions, catalog, layoutHash } = this.plan;
    const segment = memorySegment({ regions, catalog, layoutHash, bytes, ...(trace ? { wrap: trace.wrap('S') } : {}) });
    return { segment, store: openStore(segment, this.plan) as Store<any> };
  }

  /** Is it what was there before the transaction that was open after `n` stores, or after it? Asked for points in order. */
  isBeforeOrAfter(n: number, segment: Segment): boolean {
    if (n < this.#starts[this.#transaction].at) this.#transaction = 0;
    while (this.#starts[this.#transaction + 1]?.at <= n) this.#transaction++;
    const now = logged(segment);
    const after = this.#starts[this.#transaction + 1];
    return now.equals(this.#starts[this.#transaction].bytes) || (after !== undefined && now.equals(after.bytes));
  }

  /** Open crash points as the next process would.
   * @param step every step-th point
   * @param check what else is wrong with a store that was recovered */
  verify(step = 1, check: (store: Store<any>) => readonly Violation[] = store => store.check()): Verified {
    const wrong: string[] = [];
    let points = 0;
    let undone = 0;
    this.trace.replay((n, { S }) => {
      points++;
      try {
        const { segment, store } = this.reopen(S!);
        undone += store.recover().undone;
        if (!this.isBeforeOrAfter(n, segment))
          wrong.push(`store ${n}: neither before nor after transaction ${this.#transaction}`);
        const found = check(store);
        if (found.length > 0) wrong.push(`store ${n}: ${found[0]!.where}: ${found[0]!.what}`);
      } catch (error) {
        wrong.push(`store ${n}: ${String(error)}`);
      }
    }, step);
    return { points, wrong, undone };
  }
}

/** All that the log covers: from the root to the end. */
function logged(segment: Segment): Buffer {
  const { offset } = segment.regions.get('root')!;
  const { buffer } = new Uint8Array(segment.buffer);
  return Buffer.from(buffer, offset, segment.sizeBytes - offset);
}
