/** What the process has to take back when a transaction, or a part of one, is rolled back: views that were made for what
 * is gone again, views that were freed for what is there again. Newest first, as the log itself. */

export interface ViewOwner {
  /** The slot was taken inside the part that is undone: free its view. */
  undoAdd(slot: number): void;
  /** The slot was given up inside the part that is undone: its view lives again, the same object. */
  undoRemove(slot: number, view: object): void;
}

export class Journal {
  #owners: ViewOwner[] = [];
  #slots: number[] = [];
  #views: (object | undefined)[] = [];
  #positions: number[] = [];

  /** Entries. Read at every commit, hence a plain field. */
  size = 0;

  /** @param view the view that was freed, or undefined when the slot was taken
   * @param position logPos after the change was logged */
  add(owner: ViewOwner, slot: number, view: object | undefined, position: number): void {
    this.size++;
    this.#owners.push(owner);
    this.#slots.push(slot);
    this.#views.push(view);
    this.#positions.push(position);
  }

  clear(): void {
    this.size = 0;
    this.#owners.length = 0;
    this.#slots.length = 0;
    this.#views.length = 0;
    this.#positions.length = 0;
  }

  /** Undo everything noted after `position`. */
  undo(position: number): void {
    while (this.#owners.length > 0) {
      const last = this.#owners.length - 1;
      if (((this.#positions[last] - position) | 0) <= 0) return;
      this.size--;
      const owner = this.#owners.pop()!;
      const slot = this.#slots.pop()!;
      const view = this.#views.pop();
      this.#positions.pop();
      if (view === undefined) owner.undoAdd(slot);
      else owner.undoRemove(slot, view);
    }
  }
}
