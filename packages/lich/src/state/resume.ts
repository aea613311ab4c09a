/** onResume: once in each life that found its state, for each record that it found, before that life's code sees it.
 *
 *   first use   the view of a record is made for the first time in this life → its onResume, in the same transaction
 *   slices      all others, in the order of their slots, some at a time, in transactions of their own
 *   eager       the same slices, all of them before the first message: `pool(Class, { resume: 'eager' })`
 *
 * Which records have had theirs is known to the process alone, so a life that ends in the middle is followed by one that
 * begins with all of them, for a reason of its own. Records that this life creates have none. What is rolled back was not
 * done: it is run again at the next use, or in a slice. One that throws is undone, reported, and not tried again in this
 * life; the record is used as it is.
 *
 * Nothing here grows with the state before it is used: bits of 65,536 slots are made when one of them is met. */
import type { Journal, ViewOwner } from './journal.ts';
import type { UndoLog } from './undo-log.ts';
import { type PoolVisits, SITE_RESUME } from './visits.ts';

/** Slots in one piece of the bits. */
const PIECE_LOG2 = 16;
/** Records of one slice at most, words of the bitmap that it looks at, and ms that it takes. */
const SLICE_RECORDS = 256;
const SLICE_WORDS = 8192;
const SLICE_MS = 1;

/** What a throwing onResume, or another failure of one record, is told to. */
export type ResumeReport = (error: unknown, pool: string, slot: number) => void;

/** Errors that are no fault of the record: the transaction had no room left. */
const FULL = new Set(['STATE_LOG_FULL', 'STATE_HEAP_FULL', 'SHM_NO_MEMORY']);

function isFull(error: unknown): boolean {
  return FULL.has(String((error as { code?: unknown } | undefined)?.code));
}

/** What this needs of its pool. */
export interface ResumePool extends ViewOwner {
  readonly name: string;
  /** Slots that were ever used. */
  readonly high: number;
  generationOf(slot: number): number;
  /** Bits of the 32 slots from this one on. */
  bitsAt(slot: number): number;
  /** Use a record. */
  get(slot: number): object | undefined;
  /** Its view is to be made, as far as the pool knows, for the first time. */
  unplace(slot: number): void;
}

/** onResume of one pool, in one life. */
export class PoolResume implements ViewOwner {
  readonly eager: boolean;
  /** Records that had theirs, in this life. */
  done = 0;
  readonly #pool: ResumePool;
  readonly #log: UndoLog;
  readonly #journal: Journal;
  readonly #position: () => number;
  readonly #reason: string;
  readonly #report: ResumeReport;
  readonly #visits: PoolVisits;
  /** Slots below had been used when the life began. */
  readonly #high: number;
  readonly #bits: (Uint32Array | undefined)[] = [];
  #cursor = 0;
  /** In a slice that is to find out which record has no room: the one that fails alone has itself to blame. */
  #alone = false;

  constructor(parts: {
    readonly pool: ResumePool;
    readonly log: UndoLog;
    readonly journal: Journal;
    readonly position: () => number;
    readonly reason: string;
    readonly report: ResumeReport;
    readonly eager: boolean;
    readonly visits: PoolVisits;
  }) {
    this.#pool = parts.pool;
    this.#log = parts.log;
    this.#journal = parts.journal;
    this.#position = parts.position;
    this.#reason = parts.reason;
    this.#report = parts.report;
    this.#visits = parts.visits;
    this.eager = parts.eager;
    this.#high = parts.pool.high;
  }

  /** Does the record in this slot, if there is one, wait for its onResume? */
  isPending(slot: number): boolean {
    return slot < this.#high && (this.#wordOf(slot) & (1 << (slot & 31))) === 0;
  }

  /** A record is made in this slot: it has none. After the change was logged. */
  created(slot: number): void {
    if (!this.isPending(slot)) return;
    this.#mark(slot);
    this.#journal.add(this, slot, undefined, this.#position());
  }

  /** Inside a transaction: run it, with the view already in its place.
   * @throws what says that the transaction has no room */
  run(slot: number, record: { onResume?: (reason: string) => unknown }): void {
    this.#mark(slot);
    if (typeof record.onResume !== 'function') return;
    const visits = this.#visits;
    const before = visits.enter(SITE_RESUME);
    try {
      // A suspended record is used as it is.
      if (visits.visit(slot, of => this.#pool.generationOf(of))) this.#run(slot, record);
    } finally {
      visits.leave(before);
    }
  }

  #run(slot: number, record: { onResume?: (reason: string) => unknown }): void {
    const savepoint = this.#log.savepoint();
    try {
      const result = record.onResume!(this.#reason);
      if (typeof (result as { then?: unknown } | undefined)?.then === 'function')
        throw new TypeError(`onResume of ${this.#pool.name} returned a promise: it is synchronous, as handlers are`);
      // What it changed may have used up what the commit needs.
      this.#log.mustHaveRoom(16);
    } catch (error) {
      if (this.#log.open) this.#log.rollbackTo(savepoint);
      if (isFull(error) && !this.#alone) {
        this.#unmark(slot);
        this.#pool.unplace(slot);
        throw error;
      }
      this.#report(error, this.#pool.name, slot);
      return;
    }
    this.done++;
    this.#journal.add(this, slot, undefined, this.#position());
  }

  /** Run some of those that are left, in a transaction of its own.
   * @returns records; 0 = none is left */
  slice(): number {
    if (this.#cursor >= this.#high) return 0;
    const from = this.#cursor;
    const log = this.#log;
    for (;;) {
      log.begin();
      try {
        const count = this.#walk(this.#alone ? 1 : SLICE_RECORDS);
        log.commit();
        this.#alone = false;
        return Math.max(1, count);
      } catch (error) {
        log.rollback();
        this.#cursor = from;
        if (this.#alone || !isFull(error)) throw error;
        // Together they were too much: one alone, so that the one which is too much by itself is found.
        this.#alone = true;
      }
    }
  }

  #walk(most: number): number {
    const until = performance.now() + SLICE_MS;
    let count = 0;
    for (let words = 0; words < SLICE_WORDS && this.#cursor < this.#high; words++) {
      const start = this.#cursor & ~31;
      let bits = this.#pool.bitsAt(start) & ~this.#wordOf(start) & (-1 << (this.#cursor & 31));
      for (; bits !== 0; bits &= bits - 1) {
        const slot = start + 31 - Math.clz32(bits & -bits);
        if (slot >= this.#high) break;
        if (count === most || ((count & 15) === 15 && performance.now() > until)) {
          this.#cursor = slot;
          return count;
        }
        if (!this.isPending(slot)) continue;
        this.#pool.get(slot);
        count++;
      }
      this.#cursor = start + 32;
    }
    return count;
  }

  /** @internal A rollback: what was done for this slot was not. */
  undoAdd(slot: number): void {
    this.#unmark(slot);
    this.done = Math.max(0, this.done - 1);
    this.#cursor = Math.min(this.#cursor, slot);
    this.#pool.unplace(slot);
  }

  /** @internal */
  undoRemove(): void {}

  #wordOf(slot: number): number {
    const piece = this.#bits[slot >>> PIECE_LOG2];
    return piece === undefined ? 0 : piece[(slot & 0xffff) >>> 5];
  }

  #mark(slot: number): void {
    const piece = (this.#bits[slot >>> PIECE_LOG2] ??= new Uint32Array(2048));
    piece[(slot & 0xffff) >>> 5] |= 1 << (slot & 31);
  }

  #unmark(slot: number): void {
    const piece = this.#bits[slot >>> PIECE_LOG2];
    if (piece !== undefined) piece[(slot & 0xffff) >>> 5] &= ~(1 << (slot & 31));
  }
}
