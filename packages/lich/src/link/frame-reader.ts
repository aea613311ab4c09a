/** Cuts what a socket gives into frames. It trusts nobody: it keeps no more than one frame of the size that is allowed just
 * now, and takes room for a frame only as its bytes come.
 *
 *   chunk ── ─ ──── ►  [kept bytes of the last frame │ chunk]  ► frame · frame · rest is kept */
import { LinkError } from './errors.ts';
import { FRAME_OVERHEAD } from './frames.ts';

/** Most that is kept without a need. */
const IDLE_BYTES = 262_144;

export class FrameReader {
  /** No frame may be larger. Raised once the other side has said who it is. */
  maxBytes: number;
  #bytes: Uint8Array = new Uint8Array(8_192);
  #length = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** @param onFrame given each whole frame, good in the call alone; begins at a multiple of four bytes. It returns false
   * when nothing more is to be read: the connection was closed
   * @throws LinkError `LINK_BAD_FRAME` for a length that cannot be; what `onFrame` throws */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => boolean): void {
    this.#keep(chunk);
    let from = 0;
    while (this.#length - from >= 4) {
      const bytes = this.#sizeAt(from);
      if (bytes < FRAME_OVERHEAD || bytes % 4 !== 0 || bytes > this.maxBytes)
        throw new LinkError('LINK_BAD_FRAME', `a frame of ${bytes} bytes; at most ${this.maxBytes} may come now`, {
          severity: 'warn',
        });
      if (this.#length - from < bytes) break;
      if (!onFrame(this.#bytes.subarray(from, from + bytes))) return;
      from += bytes;
    }
    // To the front, so that the next frame begins at a multiple of four.
    if (from > 0) this.#bytes.copyWithin(0, from, this.#length);
    this.#length -= from;
    if (this.#bytes.length > IDLE_BYTES && this.#length < IDLE_BYTES / 2) this.#resize(IDLE_BYTES);
  }

  #sizeAt(at: number): number {
    const b = this.#bytes;
    return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
  }

  #keep(chunk: Uint8Array): void {
    const need = this.#length + chunk.length;
    if (need > this.#bytes.length) this.#resize(Math.max(need, this.#bytes.length * 2));
    this.#bytes.set(chunk, this.#length);
    this.#length = need;
  }

  #resize(bytes: number): void {
    const larger = new Uint8Array(bytes);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
