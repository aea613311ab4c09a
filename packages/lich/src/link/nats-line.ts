/** One connection over NATS. */
import { LinkError } from './errors.ts';
import type { Connection } from './transport.ts';

/** Bytes on their way to the server after which it is enough. */
const WAITING_BYTES_MAX = 1_048_576;

export interface NatsWire {
  /** @returns a promise for what is told when the server has it */
  readonly send: (frame: Uint8Array) => Promise<void> | undefined;
  /** Resolved when the server has all before it. */
  readonly flush: () => Promise<void>;
  readonly close: (why: LinkError) => void;
  /** The server takes no larger one. */
  readonly mostFrameBytes: number;
}

export class NatsLine implements Connection {
  readonly host: string;
  readonly dialled: boolean;
  maxFrameBytes = 0;
  readonly mostFrameBytes: number;
  onFrame: (frame: Uint8Array) => void = () => {};
  onDrain: () => void = () => {};
  onClosed: (why: LinkError) => void = () => {};
  /** Told after `onClosed`. */
  onOver: () => void = () => {};
  why: LinkError | undefined;
  readonly #wire: NatsWire;
  /** On their way to the server. */
  #waiting = 0;
  #unflushed = 0;
  #isFull = false;

  constructor(host: string, dialled: boolean, wire: NatsWire) {
    this.host = host;
    this.dialled = dialled;
    this.#wire = wire;
    this.mostFrameBytes = wire.mostFrameBytes;
  }

  send(frame: Uint8Array): boolean {
    if (this.why !== undefined) return false;
    this.#waiting += frame.length;
    const told = this.#wire.send(frame);
    if (told !== undefined) void told.then(() => this.#has(frame.length));
    else {
      this.#unflushed += frame.length;
      if (this.#unflushed === frame.length) this.#flush();
    }
    this.#isFull = this.#waiting >= WAITING_BYTES_MAX;
    return !this.#isFull;
  }

  /** What core NATS was given is asked after in one go. */
  #flush(): void {
    setImmediate(() => {
      const bytes = this.#unflushed;
      this.#unflushed = 0;
      this.#wire.flush().then(
        () => this.#has(bytes),
        () => this.#has(bytes),
      );
    });
  }

  #has(bytes: number): void {
    this.#waiting -= bytes;
    if (!this.#isFull || this.#waiting > WAITING_BYTES_MAX / 2 || this.why !== undefined) return;
    this.#isFull = false;
    this.onDrain();
  }

  take(bytes: Uint8Array): void {
    if (this.why !== undefined) return;
    try {
      if (bytes.length > this.maxFrameBytes)
        throw new LinkError(
          'LINK_BAD_FRAME',
          `a frame of ${bytes.length} bytes; at most ${this.maxFrameBytes} may come now`,
          {
            severity: 'warn',
          },
        );
      // Where it begins in the buffer of the client is anywhere, and a Buffer's `slice` is no copy.
      this.onFrame(new Uint8Array(bytes));
    } catch (error) {
      this.close(error instanceof LinkError ? error : new LinkError('LINK_CLOSED', String(error), { cause: error }));
    }
  }

  close(why: LinkError): void {
    if (this.why === undefined) this.#wire.close(why);
  }

  /** It is over, for this reason. */
  end(why: LinkError): void {
    if (this.why !== undefined) return;
    this.why = why;
    // Not within the call that ends it.
    setImmediate(() => {
      this.onClosed(why);
      this.onOver();
    });
  }
}
