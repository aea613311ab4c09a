/** A door makes the views of one kind (struct, array, list, map) at places in the segment, and frees them. A nested view
 * has one place for all its life: its home. Freed, it stands at word 0 and throws; revived, it is at home again. */
import type { AnyKind } from '@lich/schema';
import { StateError } from './errors.ts';

/** The stamp word of a freed view: the format version in the segment's header, which is no stamp. */
export const FREED_STAMP = 2;

export interface Door {
  readonly kind: AnyKind;
  /** @param word where the value begins
   * @param stampWord the stamp of the record that it is part of */
  make(word: number, stampWord: number): object;
  /** It and the views inside it throw from now on. */
  free(view: object): void;
  revive(view: object): void;
  /** Overwrite all of it; the value was checked. What it leaves out has its initial or zero value. */
  assign(view: object, value: unknown): void;
}

/** What container views have for their door. */
export interface Placed {
  /** @internal */
  $free(): void;
  /** @internal */
  $revive(): void;
}

export function freed(): never {
  throw new StateError(
    'STATE_FREED',
    'this record, or the record that this is part of, was destroyed: keep a ref and resolve it',
  );
}
