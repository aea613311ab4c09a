/** Walks: iteration over a slot chain that may change meanwhile. A walk stands at the element that it gave last. When that
 * one is removed the walk steps back to the one before, which it has given already; when all are removed it stands before
 * the first. So elements that are added behind it are visited, those that are removed are not, and none twice: as with the
 * iterators of Map and Set. What a rollback undoes it undoes for walks too. */
import type { Journal, ViewOwner } from './journal.ts';

/** What walks need of a list, map or set. */
export interface Walked {
  /** @internal Go to the next element. @returns its slot, or -1 at the end */
  $step(walk: Walk): number;
  /** @internal What a walk gives for a slot. */
  $item(slot: number, what: Given): unknown;
}

/** What a walk gives. */
export const KEYS = 0;
export const VALUES = 1;
export const ENTRIES = 2;
/** The slots themselves. */
export const SLOTS = 3;
export type Given = typeof KEYS | typeof VALUES | typeof ENTRIES | typeof SLOTS;

/** Where a walk stands. */
export class Walk implements ViewOwner {
  /** Slot + 1 of the element that was given last, 0 = before the first. */
  at = 0;
  /** Its generation. */
  generation = 0;

  /** @internal */
  undoAdd(): void {}

  /** @internal */
  undoRemove(at: number, was: object): void {
    this.at = at;
    this.generation = (was as { generation: number }).generation;
  }
}

/** More walks at a time than this are those that were left in the middle and not closed. */
const MOST = 64;

/** The walks over one container that are under way. */
export class Walks {
  readonly #open: Walk[] = [];

  get any(): boolean {
    return this.#open.length > 0;
  }

  open(walk: Walk): void {
    if (this.#open.length === MOST) this.#open.shift();
    this.#open.push(walk);
  }

  close(walk: Walk): void {
    const at = this.#open.lastIndexOf(walk);
    if (at >= 0) this.#open.splice(at, 1);
  }

  /** @param slot + 1 of the element that was removed, @param before of the one before it, with its generation */
  removed(slot: number, before: number, generation: number, journal: Journal, position: number): void {
    for (const walk of this.#open) {
      if (walk.at !== slot) continue;
      journal.add(walk, walk.at, { generation: walk.generation }, position);
      walk.at = before;
      walk.generation = generation;
    }
  }

  cleared(journal: Journal, position: number): void {
    for (const walk of this.#open) {
      if (walk.at === 0) continue;
      journal.add(walk, walk.at, { generation: walk.generation }, position);
      walk.at = 0;
    }
  }
}

const iterators = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;

/** A walk as an iterator: `for … of` closes it, so does its end. */
export class WalkIterator<T> implements IterableIterator<T, undefined> {
  readonly #of: Walked;
  readonly #walks: Walks;
  readonly #what: Given;
  #walk: Walk | undefined = new Walk();
  #opened = false;

  constructor(of: Walked, walks: Walks, what: Given) {
    this.#of = of;
    this.#walks = walks;
    this.#what = what;
  }

  next(): IteratorResult<T, undefined> {
    const walk = this.#walk;
    if (walk === undefined) return { value: undefined, done: true };
    const slot = this.#of.$step(walk);
    if (slot < 0) {
      this.return();
      return { value: undefined, done: true };
    }
    if (!this.#opened) {
      this.#opened = true;
      this.#walks.open(walk);
    }
    return { value: this.#of.$item(slot, this.#what) as T, done: false };
  }

  return(): IteratorResult<T, undefined> {
    if (this.#walk !== undefined) this.#walks.close(this.#walk);
    this.#walk = undefined;
    return { value: undefined, done: true };
  }

  [Symbol.iterator](): this {
    return this;
  }
}
// As the iterators of Map: with the helpers (map, filter, take …) where the platform has them.
Object.setPrototypeOf(WalkIterator.prototype, iterators);
