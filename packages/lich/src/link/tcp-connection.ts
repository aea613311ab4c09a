/** A socket as a connection of frames. */
import type { Socket } from 'node:net';
import { LinkError } from './errors.ts';
import { FrameReader } from './frame-reader.ts';
import { FRAME_BYTES_MAX, HELLO_BYTES_MAX } from './frames.ts';
import type { Connection } from './transport.ts';

/** Bytes that may wait in one socket before it says that it is enough. */
const WAITING_BYTES_MAX = 1_048_576;
/** What a socket that is closed gets for its last words. */
const LAST_WORDS_MS = 250;

export class TcpConnection implements Connection {
  readonly dialled: boolean;
  readonly mostFrameBytes = FRAME_BYTES_MAX;
  /** Set before anybody else has it. */
  host = '';
  onFrame: (frame: Uint8Array) => void = () => {};
  onDrain: () => void = () => {};
  onClosed: (why: LinkError) => void = () => {};
  readonly #socket: Socket;
  readonly #reader = new FrameReader(HELLO_BYTES_MAX);
  #why: LinkError | undefined;
  #corked = false;
  #lastWords: NodeJS.Timeout | undefined;
  #isOver = false;
  /** Told after `onClosed`. */
  onOver: () => void = () => {};

  /** @param socket its handshake is done */
  constructor(socket: Socket, dialled: boolean) {
    this.#socket = socket;
    this.dialled = dialled;
    socket.setNoDelay(true);
    socket.on('data', chunk => this.#take(chunk as unknown as Uint8Array));
    socket.on('drain', () => {
      if (this.#why === undefined) this.onDrain();
    });
    socket.on('error', error => {
      const { message } = error;
      this.#end(new LinkError('LINK_CLOSED', `the connection broke: ${message}`, { cause: error, severity: 'warn' }));
    });
    socket.once('close', () => {
      this.#why ??= new LinkError('LINK_CLOSED', 'the other side closed the connection', { severity: 'warn' });
      this.#ended(this.#why);
    });
  }

  /** Why it ended, or is about to. */
  get why(): LinkError | undefined {
    return this.#why;
  }

  get maxFrameBytes(): number {
    return this.#reader.maxBytes;
  }

  set maxFrameBytes(bytes: number) {
    this.#reader.maxBytes = bytes;
  }

  send(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#why !== undefined || !socket.writable) return false;
    // All that is said in one turn goes to the kernel in one call.
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    socket.write(frame);
    return socket.writableLength < WAITING_BYTES_MAX;
  }

  close(why: LinkError): void {
    if (this.#why !== undefined) return;
    this.#socket.end();
    // What it still sends is of no use, but must be read for its end to be seen.
    this.#socket.resume();
    this.#end(why);
  }

  /** A socket of TLS that broke does not always say that it is closed: this is its end all the same. */
  #end(why: LinkError): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#lastWords = setTimeout(() => {
      this.#socket.destroy();
      this.#ended(why);
    }, LAST_WORDS_MS);
  }

  #ended(why: LinkError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#lastWords);
    this.onClosed(why);
    this.onOver();
  }

  #take(chunk: Uint8Array): void {
    if (this.#why !== undefined) return;
    try {
      this.#reader.push(chunk, frame => {
        this.onFrame(frame);
        return this.#why === undefined;
      });
    } catch (error) {
      this.close(error instanceof LinkError ? error : new LinkError('LINK_CLOSED', String(error), { cause: error }));
    }
  }
}
