import { CodedError } from '@lich/schema';

/** What the state room refuses.
 *
 * - `STATE_NO_TRANSACTION` a write outside a transaction; nothing was written.
 * - `STATE_TRANSACTION_OPEN` a second `begin`, or a step that has to stand between two transactions.
 * - `STATE_READ_ONLY` a write in a process that only reads the segment.
 * - `STATE_LOG_FULL` one transaction changed more than the undo log holds; roll it back, raise `logWords`.
 * - `STATE_FREED` a view was used after its record, list element or map entry was destroyed.
 * - `STATE_FOREIGN` a record of another store or another pool where one of this pool is wanted.
 * - `STATE_INDEX` an index outside an array, or a bit outside a bitset.
 * - `STATE_SPREAD` a spread ran twice in one tick, or a pool has more of them than it may.
 * - `STATE_POOL_FULL`, `STATE_LIST_FULL`, `STATE_MAP_FULL`, `STATE_SET_FULL`,
 *   `STATE_QUEUE_FULL` no room; the message names the capacity to raise.
 * - `STATE_HEAP_FULL` no block of that size is free in the heap; the transaction has to be rolled back, raise `limits.heapBytes`.
 * - `STATE_DOUBLE_FREE` a block of the heap was given back twice.
 * - `STATE_CLASS_GONE` a segment has records of a class that the code does not have; nothing was changed.
 * - `STATE_LAYOUT` a segment was made for another schema.
 * - `STATE_SWITCH` a state machine cannot go where it is told to; it stays where it is.
 * - `STATE_MIGRATION` a state cannot be brought into the layout of new code; nothing was changed.
 * - `STATE_CORRUPT` recovery found log positions or entries that no Lich writes, the segment was
 *   left as it is; or a block of the heap was overwritten.
 * - `STATE_SNAPSHOT` no consistent copy could be taken: the writer laps the log faster than the copy is made.
 * - `STATE_NOT_READY` a segment was made a moment ago and its owner has not written its first words.
 * - `STATE_DUMP_FOREIGN` a file that is no dump.
 * - `STATE_DUMP_VERSION` a dump of a format that this Lich does not read.
 * - `STATE_DUMP_DAMAGED` a dump that is cut off, or whose bytes are not those that were written.
 * - `STATE_UNSUPPORTED` this machine cannot do it; the message names why. */
export type StateCode =
  | 'STATE_NO_TRANSACTION'
  | 'STATE_TRANSACTION_OPEN'
  | 'STATE_READ_ONLY'
  | 'STATE_LOG_FULL'
  | 'STATE_FREED'
  | 'STATE_FOREIGN'
  | 'STATE_INDEX'
  | 'STATE_SPREAD'
  | 'STATE_POOL_FULL'
  | 'STATE_LIST_FULL'
  | 'STATE_MAP_FULL'
  | 'STATE_SET_FULL'
  | 'STATE_QUEUE_FULL'
  | 'STATE_HEAP_FULL'
  | 'STATE_DOUBLE_FREE'
  | 'STATE_CLASS_GONE'
  | 'STATE_LAYOUT'
  | 'STATE_MIGRATION'
  | 'STATE_SWITCH'
  | 'STATE_CORRUPT'
  | 'STATE_SNAPSHOT'
  | 'STATE_NOT_READY'
  | 'STATE_DUMP_FOREIGN'
  | 'STATE_DUMP_VERSION'
  | 'STATE_DUMP_DAMAGED'
  | 'STATE_UNSUPPORTED';

/** A transaction, a view or a segment that cannot go on; `StateCode` lists when. */
export class StateError extends CodedError<StateCode> {}

/** One broken invariant, found by a `check()`. */
export interface Violation {
  /** The structure: `players[3].bag`. */
  readonly where: string;
  readonly what: string;
}
