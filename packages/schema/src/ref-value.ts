/** A ref as a value: slot and generation. Generation 0 is no ref. */
export interface Ref {
  readonly slot: number;
  readonly generation: number;
}

/** A ref that may say which pool it leads into. */
export interface RecordRef extends Ref {
  /** The pool that the record lives in, where known. */
  readonly pool?: string;
}

/** The property by which a record, a view of the state or a client's mirror, says which ref leads to it. Records define
 * it as a getter on their prototype, mirrors as a hidden own property; it reads undefined on a freed record. */
export const RECORD_REF: unique symbol = Symbol.for('lich.ref') as never;

/** Anything that `recordRefOf` can ask for its ref. */
export interface Referable {
  readonly [RECORD_REF]: RecordRef | undefined;
}

/** The ref of a record, of a mirror, or of a plain `{ slot, generation }`; undefined for anything else. */
export function recordRefOf(value: unknown): RecordRef | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (RECORD_REF in value) return (value as Referable)[RECORD_REF];
  return 'slot' in value && 'generation' in value ? (value as Ref) : undefined;
}
