// HOT: measured by benchmarks/state
/** Views by slot, made on first use and kept while what they show is there. In pages of 64, without holes: a few views of
 * something large take little, all of them one pointer each, and the first one in a high slot costs what any other does,
 * which is what a new owner's first message waits for. */

const PAGE_BITS = 6;
const PAGE = 1 << PAGE_BITS;

export class SlotViews<T extends object> {
  readonly #pages: ((T | undefined)[] | undefined)[] = [];

  /** The view of a slot, if it was made. O(1).
   * @param slot u32 */
  peek(slot: number): T | undefined {
    const page = this.#pages[slot >>> PAGE_BITS];
    return page === undefined ? undefined : page[slot & (PAGE - 1)];
  }

  put(slot: number, view: T): T {
    const pages = this.#pages;
    const at = slot >>> PAGE_BITS;
    while (pages.length <= at) pages.push(undefined);
    const page = (pages[at] ??= new Array<T | undefined>(PAGE).fill(undefined));
    return (page[slot & (PAGE - 1)] = view);
  }

  /** The view of a slot, if it was made, which is forgotten. */
  take(slot: number): T | undefined {
    const page = this.#pages[slot >>> PAGE_BITS];
    const view = page?.[slot & (PAGE - 1)];
    if (view !== undefined) page![slot & (PAGE - 1)] = undefined;
    return view;
  }

  each(fn: (view: T, slot: number) => void): void {
    const pages = this.#pages;
    for (let at = 0; at < pages.length; at++) {
      const page = pages[at];
      for (let k = 0; page !== undefined && k < PAGE; k++) {
        const view = page[k];
        if (view !== undefined) fn(view, at * PAGE + k);
      }
    }
  }

  clear(): void {
    this.#pages.length = 0;
  }
}
