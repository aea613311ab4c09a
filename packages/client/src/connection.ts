/** Keeps one socket open: opens, watches, waits and opens again until it is told to stop. It knows nothing of sessions:
 * whoever uses it says `welcomed` when the other side took the session.
 *
 *   connecting ──opened, hello──► connecting ──welcomed──► open ──closed, bad frame──► connecting
 *        └───────────── a final close code, stop ─────────────┴──────────────────────► closed */
import { CloseCode } from '@lich/schema';
import { Backoff, type BackoffOptions } from './backoff.ts';
import { ClientError, errorOfClose } from './errors.ts';
import { callUser } from './report.ts';
import { Socket, type WebSocketConstructor } from './socket.ts';

/** - `connecting` no connection yet, or not again: messages wait
 * - `open` the server has the session
 * - `closed` for good */
export type Status = 'connecting' | 'open' | 'closed';

/** @internal */
export interface ConnectionOptions {
  readonly url: string;
  readonly WebSocket: WebSocketConstructor;
  readonly backoff: BackoffOptions | undefined;
  readonly attemptTimeoutMs: number;
  readonly onStatus: ((status: Status, reason?: ClientError) => void) | undefined;
}

/** @internal */
export interface ConnectionUser {
  /** The first frame of a connection. */
  hello(): Uint8Array<ArrayBuffer>;
  /** What it throws closes the socket as a bad frame. */
  frame(bytes: Uint8Array): void;
  /** The connection is gone; another may follow. */
  lost(): void;
  /** Called once, before the status is told: nothing follows. */
  ended(reason: ClientError | undefined): void;
}

const NORMAL = 1000;

/** @internal */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #user: ConnectionUser;
  readonly #backoff: Backoff;
  #status: Status = 'connecting';
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #openSince = 0;
  #lastFailure: ClientError | undefined;

  constructor(options: ConnectionOptions, user: ConnectionUser) {
    this.#options = options;
    this.#user = user;
    this.#backoff = new Backoff(options.backoff);
  }

  get status(): Status {
    return this.#status;
  }

  /** Why the last connection ended. */
  get lastFailure(): ClientError | undefined {
    return this.#lastFailure;
  }

  /** Open a socket.
   * @throws what the WebSocket class throws, as for a URL that is none */
  start(): void {
    this.#timer = setTimeout(() => this.#timedOut(), this.#options.attemptTimeoutMs);
    try {
      this.#socket = new Socket(this.#options.WebSocket, this.#options.url, {
        opened: () => this.send(this.#user.hello()),
        message: data => this.#message(data),
        closed: (code, reason) => this.#retry(errorOfClose(code, reason)),
      });
    } catch (error) {
      clearTimeout(this.#timer);
      throw error;
    }
  }

  /** The other side took the session. */
  welcomed(): void {
    clearTimeout(this.#timer);
    this.#openSince = performance.now();
    this.#become('open');
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#socket?.send(frame);
  }

  /** End for good. */
  stop(reason: ClientError | undefined): void {
    if (this.#status === 'closed') return;
    clearTimeout(this.#timer);
    this.#drop(NORMAL);
    this.#status = 'closed';
    this.#user.ended(reason);
    this.#tell(reason);
  }

  /** Hand out frames that the user put back, as if they came now. */
  feed(frames: readonly Uint8Array[]): void {
    const socket = this.#socket;
    for (const bytes of frames) if (socket === this.#socket) this.#deliver(bytes);
  }

  #message(data: unknown): void {
    this.#deliver(data instanceof ArrayBuffer ? new Uint8Array(data) : undefined);
  }

  #deliver(bytes: Uint8Array | undefined): void {
    try {
      if (bytes === undefined) throw new TypeError('it is not binary');
      this.#user.frame(bytes);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `the gateway sent a frame that does not decode: ${why}`;
      this.#drop(CloseCode.MALFORMED);
      this.#retry(new ClientError('CLIENT_BAD_FRAME', message, { cause, retried: true, severity: 'warn' }));
    }
  }

  #timedOut(): void {
    const message = `no welcome from ${this.#options.url} in ${this.#options.attemptTimeoutMs} ms`;
    this.#retry(new ClientError('CLIENT_CONNECTION', message, { retried: true, severity: 'warn' }));
  }

  #retry(reason: ClientError): void {
    if (this.#status === 'closed') return;
    clearTimeout(this.#timer);
    this.#drop(NORMAL);
    this.#lastFailure = reason;
    if (this.#status === 'open') this.#backoff.held(performance.now() - this.#openSince);
    this.#user.lost();
    if (!reason.retried) {
      this.stop(reason);
      return;
    }
    this.#timer = setTimeout(() => this.#again(), this.#backoff.next());
    this.#status = 'connecting';
    this.#tell(reason);
  }

  #again(): void {
    try {
      this.start();
    } catch (cause) {
      const message = `no connection to ${this.#options.url}`;
      this.#retry(new ClientError('CLIENT_CONNECTION', message, { cause, retried: true, severity: 'warn' }));
    }
  }

  #drop(code: number): void {
    this.#socket?.close(code);
    this.#socket = undefined;
  }

  #become(status: Status): void {
    this.#status = status;
    this.#tell(undefined);
  }

  #tell(reason: ClientError | undefined): void {
    const { onStatus } = this.#options;
    if (onStatus === undefined) return;
    if (reason === undefined) callUser(onStatus, this.#status);
    else callUser(onStatus, this.#status, reason);
  }
}
