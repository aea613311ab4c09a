/** The typed arrays of one segment, and what every structure over it shares. */
import { StateError } from './errors.ts';
import type { LogCore } from './undo-log.ts';
import type { Heap } from './heap.ts';
import type { Journal } from './journal.ts';

export interface Arrays {
  readonly i8: Int8Array;
  readonly u8: Uint8Array;
  readonly i16: Int16Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;
}

/** What is stamped when something in it changes, and stamps what it is part of in turn. */
export interface Part {
  /** @throws StateError `STATE_FREED` */
  $touch(): void;
}

/** Whose change a change is: the word of a record's stamp, or of the root's; or a part with a stamp of its own. */
export type Stamp = number | Part;

/** Shared by all views of a store. */
export interface StoreContext {
  readonly mem: Arrays;
  readonly log: LogCore;
  readonly journal: Journal;
  /** Over a mirror: bring words, as of the commit that is read. */
  readonly need?: ((word: number, count: number) => void) | undefined;
  /** Never undefined: the heap of a segment without one says so at `alloc`. */
  readonly heap: Heap;
  /** Note that what this stamp belongs to changes. @throws StateError `STATE_FREED` */
  touch(stamp: Stamp): void;
  /** logPos now: for the journal. */
  position(): number;
  /** Is a transaction open, and not one that can only be rolled back? */
  canWrite(): boolean;
  /** Is the record that a ref names still there? */
  isLive(pool: string, slot: number, generation: number): boolean;
  /** Throw, and refuse all but a rollback from here on: something was cut off in the middle. */
  fail(error: Error): never;
  /** Call `fn` after each rollback, of a part too. */
  onRollback(fn: () => void): void;
  /** Call `fn` with each record that is destroyed from now on, before its view is freed. */
  onDestroy(fn: (record: object) => void): void;
  /** The record that a ref names. */
  resolve(pool: string, slot: number, generation: number): object | undefined;
}

/** The word of a link in the heap, once its words are there to be read. A link of another process's memory is bounded by
 * ours. @param place of the heap; @param words to be read */
export function heapRange(
  mem: Arrays,
  place: { readonly heapWord?: number; need?(word: number, count: number): void },
  link: number,
  words: number,
): number {
  const at = (place.heapWord ?? 0) + link;
  if (place.heapWord === undefined || at + words > mem.u32.length)
    throw new StateError(
      'STATE_CORRUPT',
      `a link leads to words ${at}..${at + words} of ${mem.u32.length}; run \`lich check\``,
      { severity: 'fatal' },
    );
  place.need?.(at, words);
  return at;
}

export function arraysOf(buffer: ArrayBuffer): Arrays {
  return {
    i8: new Int8Array(buffer),
    u8: new Uint8Array(buffer),
    i16: new Int16Array(buffer),
    u16: new Uint16Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
    i64: new BigInt64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}
