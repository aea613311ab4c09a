/** How much a failure costs: `warn` = the work went on without it, `error` = this work failed, `fatal` = this process
 * must not go on. */
export type Severity = 'warn' | 'error' | 'fatal';

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
