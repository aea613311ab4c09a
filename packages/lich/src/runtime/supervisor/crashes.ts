/** Deaths in a row of a node's processes, and how long to wait before the next one is started.
 *
 * Counted are deaths by the node's own doing (an abort, an exit, a hang, too much memory) of lives that were short. A plain
 * SIGKILL is somebody else's doing: the node starts again at once, however often that happens. Deaths for which something
 * was set aside are taken back: what ended the process will not do it again. */

/** A life that served for so long was no part of a loop. */
export const LOOP_MS = 5_000;
/** Deaths that are followed at once by the next start: a message may need two before it is set aside. */
const FREE = 2;
const FIRST_MS = 100;
export const BACKOFF_MAX_MS = 5_000;

export class Crashes {
  #inARow = 0;

  get inARow(): number {
    return this.#inARow;
  }

  /** @param own by its own doing
   * @param servedMs how long it served; 0 = it died before it did
   * @returns ms to wait before the next start */
  died(own: boolean, servedMs: number): number {
    if (servedMs >= LOOP_MS) this.#inARow = 0;
    if (!own) return 0;
    this.#inARow++;
    return this.#inARow <= FREE ? 0 : Math.min(BACKOFF_MAX_MS, FIRST_MS * 2 ** (this.#inARow - FREE - 1));
  }

  /** So many deaths were dealt with. */
  contained(deaths: number): void {
    this.#inARow = Math.max(0, this.#inARow - deaths);
  }

  /** It serves, and has for that long. */
  serves(forMs: number): void {
    if (forMs >= LOOP_MS) this.#inARow = 0;
  }

  reset(): void {
    this.#inARow = 0;
  }
}
