/** WebSockets as browsers, Node 22 and the package `ws` have them. */
import { ClientError } from './errors.ts';

/** The part of a WebSocket that the client uses. */
export interface WebSocketLike {
  binaryType: string;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: any) => void): void;
}

/** A class such as the browser's `WebSocket`, or that of the package `ws`. */
export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** The close code of a connection that ended without one. */
const ABNORMAL = 1006;

/** @internal */
export interface SocketEvents {
  opened(): void;
  message(data: unknown): void;
  /** Once, at the end, also when no connection was made. */
  closed(code: number, reason: string): void;
}

/** One connection. After `close` nothing more is heard of it.
 * @internal */
export class Socket {
  readonly #socket: WebSocketLike;
  #over = false;

  constructor(WebSocket: WebSocketConstructor, url: string, events: SocketEvents) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => this.#over || events.opened());
    socket.addEventListener('message', (event: { data: unknown }) => this.#over || events.message(event.data));
    const ended = (code: number, reason: string): void => {
      if (this.#over) return;
      this.#over = true;
      events.closed(code, reason);
    };
    socket.addEventListener('close', (event: { code: number; reason: string }) => ended(event.code, event.reason));
    // Not only `close`: Node 22 leaves it out when a handshake fails. Nothing that came after would say more.
    socket.addEventListener('error', (event: { message?: string }) => ended(ABNORMAL, event.message ?? ''));
  }

  /** @param frame not changed afterwards: it may be read later */
  send(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#over) return;
    this.#socket.send(frame);
  }

  /** @param code 1000, or 3000..4999 */
  close(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.close(code);
  }
}

/** The WebSocket of this place: the global one, else that of the package `ws`.
 * @throws ClientError `CLIENT_NO_WEBSOCKET`
 * @internal */
export async function findWebSocket(): Promise<WebSocketConstructor> {
  const global = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (global !== undefined) return global;
  // Named by a variable so that no bundler looks for it: browsers never come here.
  const ws = 'ws';
  try {
    const found = (await import(/* @vite-ignore */ /* webpackIgnore: true */ ws)) as {
      WebSocket: WebSocketConstructor;
    };
    return found.WebSocket;
  } catch (cause) {
    const message = 'no WebSocket here: install the package ws, or pass one in options.WebSocket';
    throw new ClientError('CLIENT_NO_WEBSOCKET', message, { cause });
  }
}
