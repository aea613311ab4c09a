/** How much a failure costs: `warn` = the work went on without it, `error` = this work failed, `fatal` = this process
 * must not go on. */
export type Severity = 'warn' | 'error' | 'fatal';

/** What an error takes along. */
export interface CodedErrorOptions {
  /** What led to this error, kept as it was thrown. */
  readonly cause?: unknown;
  /** Default `error`. */
  readonly severity?: Severity;
}

/** An operating failure with a stable code. Each room has a subclass with a closed set of codes; the codes hold over a
 * major version, messages may improve. Expected outcomes are values and programmer mistakes are `TypeError`s: neither
 * is a `CodedError`.
 *
 * The message carries the numbers and the setting to change: ``pool `unit` full: 4096 slots, raise units.capacity``. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly severity: Severity;

  constructor(code: Code, message: string, options: CodedErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.severity = options.severity ?? 'error';
  }

  /** The class that was made, so that a log line names the room. */
  override get name(): string {
    return this.constructor.name;
  }
}

/** What this package refuses.
 *
 * - `SCHEMA_RANGE` a value does not fit its kind; nothing was written.
 * - `SCHEMA_KIND` a kind or a field is declared wrongly (`text(0)`, a map keyed by floats, a field named `constructor`).
 * - `SCHEMA_STRUCT` a record class holds what cannot live in a segment: a class field, `#private`, a shadowed field.
 * - `SCHEMA_NOT_CONSTRUCTIBLE` `new Player()`: records are made by their pool.
 * - `SCHEMA_STATE` a state or a pool is declared wrongly (a ref to a pool that does not exist, two classes of one name).
 * - `SCHEMA_PROTOCOL` a protocol is declared wrongly (a list in a message), or asked for a message that it lacks.
 * - `SCHEMA_WIRE` bytes from the other side do not decode: cut short, too long, not UTF-8, out of range.
 * - `SCHEMA_CATALOG` a description read from a segment or a file is not one, or its offsets are not ours. */
export type SchemaCode =
  | 'SCHEMA_RANGE'
  | 'SCHEMA_KIND'
  | 'SCHEMA_STRUCT'
  | 'SCHEMA_NOT_CONSTRUCTIBLE'
  | 'SCHEMA_STATE'
  | 'SCHEMA_PROTOCOL'
  | 'SCHEMA_WIRE'
  | 'SCHEMA_CATALOG';

/** A mistake in a declaration, or a value or bytes that do not fit; `SchemaCode` lists when. */
export class SchemaError extends CodedError<SchemaCode> {}
