/** The sockets themselves: an HTTP server that upgrades to WebSockets and answers `GET /health`; nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CloseCode } from '@lich/schema';
import { WebSocket, WebSocketServer } from 'ws';
import type { ClientSocket } from './client-socket.ts';
import type { Connection } from './connection.ts';
import { GatewayError } from './errors.ts';
import type { GatewayFigures } from './figures.ts';
import type { Listener } from './logic.ts';
import type { GatewaySettings } from './options.ts';

/** What the sockets are given to: a `GatewayLogic`. */
export interface SocketUser {
  opened(socket: ClientSocket): Connection | undefined;
  frame(connection: Connection, bytes: Uint8Array, isBinary: boolean): void;
  drained(connection: Connection): void;
  lost(connection: Connection): void;
  figures(): GatewayFigures;
}

/** A port may still be held by a process that is on its way out. */
const LISTEN_TRIES_MS = 3_000;
const LISTEN_AGAIN_MS = 25;
/** How long a closed socket may take to say good-bye. */
const CLOSE_TIMEOUT: object = { closeTimeout: 3_000 }; // the types of ws lack it
const END_MS = 250;

export class WsServer implements Listener {
  readonly #settings: GatewaySettings;
  readonly #port: number;
  readonly #user: SocketUser;
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  readonly #origins: ReadonlySet<string> | undefined;

  /** @param instance 1…count: further ones listen on the ports behind */
  constructor(settings: GatewaySettings, instance: number, user: SocketUser) {
    this.#settings = settings;
    this.#port = settings.ws === 0 ? 0 : settings.ws + instance - 1;
    this.#user = user;
    this.#origins = settings.origins && new Set(settings.origins);
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      // A frame that is a little too large is closed by the logic with its own code, a larger one is not even read.
      maxPayload: settings.maxFrameBytes * 2,
      skipUTF8Validation: true,
      ...CLOSE_TIMEOUT,
      WebSocket: GatewaySocket,
    });
  }

  /** Where clients connect. */
  get address(): string {
    const { port } = this.#server.address() as AddressInfo;
    const { host, path = '' } = this.#settings;
    return `ws://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
  }

  /** @throws GatewayError `GATEWAY_LISTEN` */
  async open(): Promise<void> {
    const giveUpMs = performance.now() + LISTEN_TRIES_MS;
    for (;;) {
      const error = await this.#listen();
      if (error === undefined) return;
      if (error.code !== 'EADDRINUSE' || performance.now() > giveUpMs) {
        throw new GatewayError(
          'GATEWAY_LISTEN',
          `cannot listen on ${this.#settings.host}:${this.#port}: ${error.message}; give another port as ws`,
          {
            cause: error,
          },
        );
      }
      await new Promise(resolve => setTimeout(resolve, LISTEN_AGAIN_MS));
    }
  }

  #listen(): Promise<NodeJS.ErrnoException | undefined> {
    return new Promise(resolve => {
      const server = this.#server;
      const done = (error?: NodeJS.ErrnoException): void => {
        server.off('error', done);
        server.off('listening', done);
        resolve(error);
      };
      server.on('error', done);
      server.on('listening', done);
      server.listen(this.#port, this.#settings.host);
    });
  }

  /** The sockets were told; what does not go by itself is dropped. */
  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), END_MS);
    for (const socket of GatewaySocket.open)
      if (socket.server === this) setTimeout(() => socket.terminate(), END_MS).unref();
    await Promise.race([closed, new Promise(resolve => setTimeout(resolve, END_MS * 2))]);
    clearTimeout(timer);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isHealth = request.url === '/health' && (request.method === 'GET' || request.method === 'HEAD');
    const body = isHealth ? JSON.stringify(this.#user.figures()) : '';
    response.writeHead(isHealth ? 200 : 404, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const { path } = this.#settings;
    if (path !== undefined && request.url?.split('?')[0] !== path) return refuse(socket, '404 Not Found');
    const { origin } = request.headers;
    if (this.#origins !== undefined && !(origin !== undefined && this.#origins.has(origin)))
      return refuse(socket, '403 Forbidden');
    this.#sockets.handleUpgrade(request, socket, head, webSocket =>
      this.#opened(webSocket as GatewaySocket, socket as Socket),
    );
  }

  #opened(webSocket: GatewaySocket, socket: Socket): void {
    socket.setNoDelay(true);
    webSocket.server = this;
    GatewaySocket.open.add(webSocket);
    webSocket.on('error', () => {}); // `close` follows
    const connection = this.#user.opened(faceOf(webSocket, socket));
    webSocket.on('close', () => {
      GatewaySocket.open.delete(webSocket);
      if (connection !== undefined) this.#user.lost(connection);
    });
    if (connection === undefined) return;
    webSocket.on('message', (data, isBinary) => this.#user.frame(connection, data as Buffer, isBinary));
    webSocket.on('pong', () => (connection.heard = true));
    socket.on('drain', () => this.#user.drained(connection));
  }
}

/** Closes with our codes what ws finds wrong by itself. */
class GatewaySocket extends WebSocket {
  static readonly open = new Set<GatewaySocket>();
  server: WsServer | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    super.close(ourCode(code), reason);
  }
}

function ourCode(code: number | undefined): number | undefined {
  switch (code) {
    case 1009:
      return CloseCode.FRAME_TOO_LARGE;
    case 1002:
    case 1003:
    case 1007:
      return CloseCode.MALFORMED;
    default:
      return code;
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

const BINARY = { binary: true, compress: false, fin: true };

function faceOf(webSocket: WebSocket, socket: Socket): ClientSocket {
  const isOpen = (): boolean => webSocket.readyState === WebSocket.OPEN;
  return {
    send: frame => {
      if (isOpen()) webSocket.send(frame, BINARY);
    },
    // Reasons travel in a control frame of 125 bytes.
    close: (code, reason) => webSocket.close(code, Buffer.from(reason).subarray(0, 120)),
    terminate: () => webSocket.terminate(),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    ping: () => {
      if (isOpen()) webSocket.ping();
    },
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    get bufferedBytes() {
      return webSocket.bufferedAmount;
    },
    get flushedBytes() {
      return socket.bytesWritten - socket.writableLength;
    },
  };
}
