/** What lists, arrays and maps hold: cells, or views that are made once per place. */
import { type AnyKind, check, SchemaError } from '@lich/schema';
import type { Cell } from './cell.ts';
import type { DecodeOptions } from './decode.ts';
import type { Door } from './door.ts';
import type { Journal, ViewOwner } from './journal.ts';
import type { StoreContext } from './memory.ts';

/** What a container needs to know of its elements; one for all containers of a kind. */
export interface ElementSpec {
  readonly kind: AnyKind;
  readonly cell: Cell | undefined;
  readonly door: Door | undefined;
  readonly context: StoreContext;
  /** `list(Item, 16)`, for messages. */
  readonly what: string;
}

export function mustFit(kind: AnyKind, value: unknown, what: string): void {
  const reason = value === undefined && kind.tag !== 'ref' ? 'undefined' : check(kind, value);
  if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `${what}: ${reason}`);
}

export function decodeOptions(context: StoreContext): DecodeOptions {
  return { isLive: (pool, slot, generation) => context.isLive(pool, slot, generation) };
}

/** The views of a container's elements by slot, made on first use. */
export class ElementViews {
  readonly #door: Door;
  readonly #views = new Map<number, object>();

  constructor(door: Door) {
    this.#door = door;
  }

  at(slot: number, word: number, stampWord: number): object {
    let view = this.#views.get(slot);
    if (view === undefined) {
      view = this.#door.make(word, stampWord);
      this.#views.set(slot, view);
    }
    return view;
  }

  /** The slot of a view that lives in this container, or -1. */
  slotOf(view: unknown): number {
    for (const [slot, own] of this.#views) if (own === view) return slot;
    return -1;
  }

  /** The slot was taken in the open transaction. */
  added(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    journal.add(owner, slot, undefined, position);
  }

  /** The slot was given up in the open transaction: free its view, if it has one. */
  removed(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    const view = this.#views.get(slot);
    if (view === undefined) return;
    this.#views.delete(slot);
    this.#door.free(view);
    journal.add(owner, slot, view, position);
  }

  undoAdd(slot: number): void {
    const view = this.#views.get(slot);
    if (view === undefined) return;
    this.#views.delete(slot);
    this.#door.free(view);
  }

  undoRemove(slot: number, view: object): void {
    this.#views.set(slot, view);
    this.#door.revive(view);
  }

  free(): void {
    for (const view of this.#views.values()) this.#door.free(view);
  }

  revive(): void {
    for (const view of this.#views.values()) this.#door.revive(view);
  }
}
