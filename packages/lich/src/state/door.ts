/** A door makes the views of one kind (struct, array, container) at places in the segment, and frees them. A nested view
 * has one place for all its life: its home. Freed, it stands at word 0 and throws; revived, it is at home again. */
import { type AnyKind, isContainer } from '@lich/schema';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';

/** The stamp word of a freed view: the format version in the segment's header, which is no stamp. */
export const FREED_STAMP = 2;

export interface Door {
  readonly kind: AnyKind;
  /** @param word where the value begins
   * @param stamp of what it is part of
   * @param record the record or struct that it is a field of, for kinds that call back */
  make(word: number, stamp: Stamp, record?: object): object;
  /** It and the views inside it throw from now on. */
  free(view: object): void;
  revive(view: object): void;
  /** Overwrite all of it; the value was checked. What it leaves out has its initial or zero value. */
  assign(view: object, value: unknown): void;
  /** The same, where `prepare` was called for the place. */
  fill(view: object, value: unknown): void;
  /** Make a place hold the initial value, whatever was there: for places that were taken from a container. */
  prepare(word: number): void;
  /** What users see where a view of this kind stands, when it is not the view itself. */
  shown?(view: object): object | undefined;
  /** Where a view of this kind stands; 0 when it is freed, or no such view. */
  wordOf(view: object): number;
}

/** What container views have for their door. */
export interface Placed {
  /** @internal Where it stands, 0 once freed. */
  readonly $word: number;
  /** @internal */
  $free(): void;
  /** @internal */
  $revive(): void;
}

export function freed(): never {
  throw new StateError(
    'STATE_FREED',
    'this record, or the record that this is part of, was destroyed, or its snapshot has ended: keep a ref and resolve it',
  );
}

/** Kinds whose values are read as a view: a record's field is one object for all its life. */
export function isView(kind: AnyKind): boolean {
  if (kind.tag === 'optional') return isView(kind.value);
  return kind.tag === 'struct' || kind.tag === 'array' || kind.tag === 'machine' || isContainer(kind);
}
