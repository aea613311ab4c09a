/** What lists, arrays and maps hold: cells, or views that are made once per place. */
import { type AnyKind, check, SchemaError } from '@lich/schema';
import type { Cell } from './cell.ts';
import type { DecodeOptions } from './decode.ts';
import type { Door } from './door.ts';
import type { Journal, ViewOwner } from './journal.ts';
import type { Stamp, StoreContext } from './memory.ts';
import type { Release } from './release.ts';
import { SlotViews } from './slot-views.ts';

/** What a container needs to know of itself and of its elements; one for all containers of a kind. */
export interface ElementSpec {
  /** The container's. */
  readonly kind: AnyKind;
  readonly context: StoreContext;
  /** Is it in the heap, with a link in its home? */
  readonly growing: boolean;
  /** Elements are cells, or views made by a door; bits have neither. */
  readonly cell: Cell | undefined;
  readonly door: Door | undefined;
  /** Gives back what an element owns in the heap, given its word; undefined when it owns nothing. */
  readonly release: Release | undefined;
  /** Makes a slot that was taken hold an element's initial value; undefined where writing the element is enough. */
  readonly prepare: ((word: number) => void) | undefined;
  /** `list(Item, 16)`, for messages. */
  readonly what: string;
}

export function mustFit(kind: AnyKind, value: unknown, what: string): void {
  const reason =
    value === undefined && kind.tag !== 'ref' && kind.tag !== 'optional' ? 'undefined' : check(kind, value);
  if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `${what}: ${reason}`);
}

export function decodeOptions(context: StoreContext): DecodeOptions {
  return {
    isLive: (pool, slot, generation) => context.isLive(pool, slot, generation),
    heapWord: context.heap.base,
    need: context.need,
  };
}

/** The views of a container's elements by slot. */
export class ElementViews {
  readonly #door: Door;
  readonly #views = new SlotViews<object>();

  constructor(door: Door) {
    this.#door = door;
  }

  at(slot: number, word: number, stamp: Stamp): object {
    return this.#views.peek(slot) ?? this.#views.put(slot, this.#door.make(word, stamp));
  }

  /** The view of a slot, if it was made. */
  peek(slot: number): object | undefined {
    return this.#views.peek(slot);
  }

  /** The slot was taken in the open transaction. */
  added(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    journal.add(owner, slot, undefined, position);
  }

  /** The slot was given up in the open transaction: free its view, if it has one. */
  removed(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    const view = this.#views.take(slot);
    if (view === undefined) return;
    this.#door.free(view);
    journal.add(owner, slot, view, position);
  }

  /** All slots were given up in the open transaction. */
  allRemoved(owner: ViewOwner, journal: Journal, position: number): void {
    this.#views.each((_, slot) => this.removed(owner, slot, journal, position));
    this.#views.clear();
  }

  undoAdd(slot: number): void {
    const view = this.#views.take(slot);
    if (view !== undefined) this.#door.free(view);
  }

  undoRemove(slot: number, view: object): void {
    this.#views.put(slot, view);
    this.#door.revive(view);
  }

  free(): void {
    this.#views.each(view => this.#door.free(view));
  }

  revive(): void {
    this.#views.each(view => this.#door.revive(view));
  }
}
