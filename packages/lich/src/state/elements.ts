/** What lists, arrays and maps hold: cells, or views that are made once per place. */
import { type AnyKind, check, SchemaError } from '@lich/schema';
import type { Cell } from './cell.ts';
import type { DecodeOptions } from './decode.ts';
import type { Door } from './door.ts';
import type { Journal, ViewOwner } from './journal.ts';
import type { Stamp, StoreContext } from './memory.ts';
import type { Release } from './release.ts';

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

const PAGE_BITS = 6;
const PAGE = 1 << PAGE_BITS;

/** The views of a container's elements by slot, made on first use and kept while the element is there. In pages of 64, so
 * that a few views of a large container take little, and all of them one pointer each. */
export class ElementViews {
  readonly #door: Door;
  readonly #pages: ((object | undefined)[] | undefined)[] = [];

  constructor(door: Door) {
    this.#door = door;
  }

  at(slot: number, word: number, stamp: Stamp): object {
    const page = this.#page(slot);
    return (page[slot & (PAGE - 1)] ??= this.#door.make(word, stamp));
  }

  /** The view of a slot, if it was made. */
  peek(slot: number): object | undefined {
    return this.#pages[slot >>> PAGE_BITS]?.[slot & (PAGE - 1)];
  }

  /** The slot was taken in the open transaction. */
  added(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    journal.add(owner, slot, undefined, position);
  }

  /** The slot was given up in the open transaction: free its view, if it has one. */
  removed(owner: ViewOwner, slot: number, journal: Journal, position: number): void {
    const view = this.peek(slot);
    if (view === undefined) return;
    this.#pages[slot >>> PAGE_BITS]![slot & (PAGE - 1)] = undefined;
    this.#door.free(view);
    journal.add(owner, slot, view, position);
  }

  /** All slots were given up in the open transaction. */
  allRemoved(owner: ViewOwner, journal: Journal, position: number): void {
    this.#pages.forEach((page, k) => {
      for (let n = 0; page !== undefined && n < PAGE; n++) this.removed(owner, k * PAGE + n, journal, position);
    });
    this.#pages.length = 0;
  }

  undoAdd(slot: number): void {
    const view = this.peek(slot);
    if (view === undefined) return;
    this.#pages[slot >>> PAGE_BITS]![slot & (PAGE - 1)] = undefined;
    this.#door.free(view);
  }

  undoRemove(slot: number, view: object): void {
    this.#page(slot)[slot & (PAGE - 1)] = view;
    this.#door.revive(view);
  }

  free(): void {
    for (const page of this.#pages) page?.forEach(view => view !== undefined && this.#door.free(view));
  }

  revive(): void {
    for (const page of this.#pages) page?.forEach(view => view !== undefined && this.#door.revive(view));
  }

  #page(slot: number): (object | undefined)[] {
    const pages = this.#pages;
    const at = slot >>> PAGE_BITS;
    // Filled without holes, so that a look-up is a load.
    while (pages.length <= at) pages.push(undefined);
    return (pages[at] ??= new Array<object | undefined>(PAGE).fill(undefined));
  }
}
