/** One line on a terminal that says how far long work is; nothing where nobody looks, and nothing for short work. */
const AFTER_MS = 400;
const EVERY_MS = 100;
const BAR = 30;

export class Progress {
  readonly #what: string;
  readonly #out: NodeJS.WriteStream;
  readonly #beganMs = performance.now();
  #shownMs = 0;

  constructor(what: string, out: NodeJS.WriteStream = process.stderr) {
    this.#what = what;
    this.#out = out;
  }

  at = (done: number, total: number): void => {
    const now = performance.now();
    if (!this.#out.isTTY || now - this.#beganMs < AFTER_MS || now - this.#shownMs < EVERY_MS) return;
    this.#shownMs = now;
    const part = total > 0 ? Math.min(1, done / total) : 1;
    const bar = '#'.repeat(Math.round(part * BAR)).padEnd(BAR, '.');
    this.#out.write(`\r${this.#what} ${bar} ${String(Math.floor(part * 100)).padStart(3)} %`);
  };

  /** Take the line away. */
  end(): void {
    if (this.#shownMs > 0) this.#out.write(`\r${' '.repeat(this.#what.length + BAR + 8)}\r`);
  }
}
