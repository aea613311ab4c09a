/** The typed arrays of one segment, and what every structure over it shares. */
import type { LogCore } from './undo-log.ts';
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

/** Shared by all views of a store. */
export interface StoreContext {
  readonly mem: Arrays;
  readonly log: LogCore;
  readonly journal: Journal;
  /** Note that the record, or the root, that this stamp belongs to changes. @throws StateError `STATE_FREED` */
  touch(stampWord: number): void;
  /** logPos now: for the journal. */
  position(): number;
  /** Is the record that a ref names still there? */
  isLive(pool: string, slot: number, generation: number): boolean;
  /** The record that a ref names. */
  resolve(pool: string, slot: number, generation: number): object | undefined;
}
