/** What the process has to take back when a transaction, or a part of one, is rolled back: views that were made for what
 * is gone again, views that were freed for what is there again. Newest first, as the log itself. */

export interface ViewOwner {
  /** The slot was taken inside the part that is undone: free its view. */
  undoAdd(slot: number): void;
  /** The slot was given up inside the part that is undone: its view lives again, the same object. */
  undoRemove(slot: number, view: object): void;
}

/** Entries that the arrays keep room for between transactions. */
const KEPT = 4096;

export class Journal {
  readonly #owners: (ViewOwner | undefined)[] = [];
  readonly #slots: number[] = [];
  readonly #views: (object | undefined)[] = [];
  readonly #positions: number[] = [];

  /** Entries; a commit sets it to 0. */
  size = 0;
  /** Rollbacks, whole ones and parts, and recoveries. */
  undone = 0;

  /** @param view the view that was freed, or undefined when the slot was taken
   * @param position logPos after the change was logged */
  add(owner: ViewOwner, slot: number, view: object | undefined, position: number): void {
    if (this.size === 0 && this.#owners.length > KEPT) this.clear();
    const at = this.size++;
    this.#owners[at] = owner;
    this.#slots[at] = slot;
    this.#views[at] = view;
    this.#positions[at] = position;
  }

  clear(): void {
    this.undone++;
    this.size = 0;
    this.#owners.length = 0;
    this.#slots.length = 0;
    this.#views.length = 0;
    this.#positions.length = 0;
  }

  /** Undo everything noted after `position`. */
  undo(position: number): void {
    this.undone++;
    while (this.size > 0) {
      const at = this.size - 1;
      if (((this.#positions[at] - position) | 0) <= 0) return;
      this.size = at;
      const owner = this.#owners[at]!;
      const slot = this.#slots[at];
      const view = this.#views[at];
      this.#owners[at] = undefined;
      this.#views[at] = undefined;
      if (view === undefined) owner.undoAdd(slot);
      else owner.undoRemove(slot, view);
    }
  }
}
