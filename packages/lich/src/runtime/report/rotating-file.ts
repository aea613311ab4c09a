/** A file of lines that is rotated: `<path>` grows to `maxBytes`, then becomes `<path>.1`, that one `<path>.2`, and so on up
 * to `keep`; the one beyond is removed. One writer. */
import * as fs from 'node:fs';

export interface LogFileLimits {
  /** A file that has grown beyond is rotated. Default 8 MiB. */
  readonly maxBytes: number;
  /** Rotated files that are kept. Default 3. */
  readonly keep: number;
}

export const LOG_FILE_LIMITS: LogFileLimits = { maxBytes: 8 * 1_048_576, keep: 3 };

export class RotatingFile {
  readonly #path: string;
  readonly #limits: LogFileLimits;
  #fd = -1;
  #size = 0;

  constructor(path: string, limits: LogFileLimits) {
    this.#path = path;
    this.#limits = limits;
    if (fs.existsSync(path)) this.#open();
  }

  /** Half a line at the end is what a killed writer left: it goes, and will be written again. */
  #open(): void {
    this.#fd = fs.openSync(this.#path, 'a+', 0o600);
    this.#size = fs.fstatSync(this.#fd).size;
    const end = this.#read(Math.max(0, this.#size - HALF_LINE_MAX), HALF_LINE_MAX);
    const half = end.length - 1 - end.lastIndexOf(0x0a);
    if (half === 0 || end.length === 0) return;
    this.#size -= half;
    fs.ftruncateSync(this.#fd, this.#size);
  }

  #read(at: number, most: number): Buffer {
    const bytes = Buffer.alloc(Math.min(most, this.#size - at));
    return bytes.subarray(0, fs.readSync(this.#fd, bytes, 0, bytes.length, at));
  }

  /** Whole lines, by one write. */
  append(text: string): void {
    if (text === '') return;
    const bytes = Buffer.from(text);
    if (this.#size > 0 && this.#size + bytes.length > this.#limits.maxBytes) this.#rotate();
    if (this.#fd < 0) this.#open();
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.#fd, bytes, at);
    this.#size += bytes.length;
  }

  #rotate(): void {
    const { keep } = this.#limits;
    const named = (k: number): string => (k === 0 ? this.#path : `${this.#path}.${k}`);
    this.close();
    this.#size = 0;
    fs.rmSync(named(keep), { force: true });
    for (let k = keep - 1; k >= 0; k--) if (fs.existsSync(named(k))) fs.renameSync(named(k), named(k + 1));
  }

  /** The last bytes, from the file before where this one has not as many. */
  tail(bytes: number): string {
    const own = this.#fd < 0 ? Buffer.alloc(0) : this.#read(Math.max(0, this.#size - bytes), bytes);
    const before = `${this.#path}.1`;
    if (own.length >= bytes || !fs.existsSync(before)) return own.toString();
    return Buffer.concat([fs.readFileSync(before).subarray(own.length - bytes), own]).toString();
  }

  close(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}

const HALF_LINE_MAX = 65_536;
