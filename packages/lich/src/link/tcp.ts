/** TCP between hosts: one connection a pair, which the host with the lower name makes.
 *
 *   caller                                        called
 *   connect, TLS ─────────────────────────────►   one of at most PENDING_MAX without a HELLO, for at most HANDSHAKE_MS
 *   HELLO ────────────────────────────────────►   proved by TLS to be that host? then it is a connection
 *         ◄──────────────────────────────────── HELLO …
 *
 * The called side says nothing of its own before it knows who calls. Newcomers beyond the bound push out the oldest, so
 * that who opens sockets and says nothing keeps nobody else out. */
import type { AddressInfo, Server, Socket } from 'node:net';
import { formatAddress, parseAddress } from './addresses.ts';
import { BackOff } from './back-off.ts';
import { LinkError } from './errors.ts';
import { decode, HELLO } from './frames.ts';
import { TcpConnection } from './tcp-connection.ts';
import { type Door, doorOf, mustBeLoopback, type TcpSecurity } from './tcp-security.ts';
import type { HostAddress, Transport, TransportEvents, TransportOptions } from './transport.ts';

export interface TcpOptions extends TransportOptions {
  readonly security: TcpSecurity;
  /** Sockets that may be without a HELLO at once. Default 64. */
  readonly pendingMax?: number;
  /** How long they may, and how long a host that is called may take to answer. Default 5,000. */
  readonly handshakeMs?: number;
}

const PENDING_MAX = 64;
const HANDSHAKE_MS = 5_000;

/** @throws LinkError `LINK_BAD_OPTION`, `LINK_INSECURE` */
export function tcpTransport(o: TcpOptions): Transport {
  return new TcpTransport(o);
}

/** A socket that has not said who it is. */
interface Pending {
  socket: Socket;
  readonly timer: NodeJS.Timeout;
}

class TcpTransport implements Transport {
  address = '';
  readonly #o: TcpOptions;
  readonly #door: Door;
  readonly #server: Server;
  readonly #pendingMax: number;
  readonly #handshakeMs: number;
  readonly #pending = new Map<string, Pending>();
  readonly #sockets = new Set<Socket>();
  readonly #callers: Caller[] = [];
  #events!: TransportEvents;
  #closed = false;

  constructor(o: TcpOptions) {
    this.#o = o;
    this.#pendingMax = o.pendingMax ?? PENDING_MAX;
    this.#handshakeMs = o.handshakeMs ?? HANDSHAKE_MS;
    for (const [name, { address, listen }] of o.hosts) {
      const places: [string, string | undefined][] = [['address', address]];
      if (listen !== undefined && name === o.host) places.push(['listen', listen]);
      for (const [field, place] of places) {
        const what = `hosts.${name}.${field}`;
        const parsed = parseAddress(place, what);
        if (o.security === 'none') mustBeLoopback(parsed, what);
      }
    }
    this.#door = doorOf(o.security, o.host, o.cluster, new Set(o.hosts.keys()));
    this.#server = this.#door.server();
  }

  async open(events: TransportEvents): Promise<void> {
    this.#events = events;
    await this.#listen();
    for (const [host, where] of this.#o.hosts) if (host > this.#o.host) this.#callers.push(this.#caller(host, where));
    for (const caller of this.#callers) caller.call();
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    const mine = this.#o.hosts.get(this.#o.host);
    if (mine === undefined) throw new LinkError('LINK_BAD_OPTION', `this host, ${this.#o.host}, is none of the hosts`);
    const { host, port } = parseAddress(mine.listen ?? mine.address, `hosts.${this.#o.host}`);
    await new Promise<void>((resolve, reject) => {
      server.once('error', cause =>
        reject(
          new LinkError(
            'LINK_LISTEN',
            `no connections can be taken at ${formatAddress({ host, port })}: ${cause.message}`,
            { cause },
          ),
        ),
      );
      server.listen({ host, port, exclusive: true }, resolve);
    });
    server.on('error', error => events(this.#events, undefined, 'LINK_CLOSED', error));
    const { address, port: got } = server.address() as AddressInfo;
    this.address = formatAddress({ host: address, port: got });
    server.on('connection', socket => this.#comes(socket));
    server.on(this.#door.accepted, (socket: Socket) => this.#accepted(socket));
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      events(this.#events, undefined, 'LINK_UNAUTHENTICATED', error);
      socket.destroy();
    });
  }

  // Called.

  #comes(socket: Socket): void {
    const key = keyOf(socket);
    this.#sockets.add(socket);
    // Errors of a socket that nobody has yet are told by its end.
    socket.on('error', () => {});
    const timer = setTimeout(() => {
      events(this.#events, undefined, 'LINK_LATE', `${key} has not said who it is in ${this.#handshakeMs} ms`);
      this.#drop(key);
    }, this.#handshakeMs);
    this.#pending.set(key, { socket, timer });
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#known(key);
    });
    if (this.#pending.size <= this.#pendingMax) return;
    const [oldest] = this.#pending.keys();
    events(this.#events, undefined, 'LINK_BUSY', `${this.#pendingMax} sockets have not said who they are`);
    this.#drop(oldest!);
  }

  #drop(key: string): void {
    const pending = this.#pending.get(key);
    this.#known(key);
    pending?.socket.destroy();
  }

  #known(key: string): void {
    clearTimeout(this.#pending.get(key)?.timer);
    this.#pending.delete(key);
  }

  /** Its handshake is done. */
  #accepted(socket: Socket): void {
    const key = keyOf(socket);
    const pending = this.#pending.get(key);
    if (pending === undefined) return void socket.destroy();
    pending.socket = socket;
    socket.on('error', () => {});
    const caller = this.#door.caller(socket);
    if (caller === undefined || (caller !== null && !this.#mayCall(caller))) {
      events(this.#events, undefined, 'LINK_UNAUTHENTICATED', `${key} is ${caller ?? 'nobody that is known'}`);
      return this.#drop(key);
    }
    const connection = new TcpConnection(socket, false);
    connection.onClosed = why => this.#events.failed(caller ?? undefined, why);
    connection.onFrame = first => {
      const hello = decode(first);
      if (hello.kind !== HELLO || !this.#mayCall(hello.host) || (caller !== null && caller !== hello.host))
        throw new LinkError('LINK_UNAUTHENTICATED', `${key} is ${caller ?? 'not known'} and does not say so`, {
          severity: 'warn',
        });
      this.#known(key);
      connection.host = hello.host;
      connection.onClosed = () => {};
      connection.onFrame = () => {};
      this.#events.connected(connection);
      connection.onFrame(first);
    };
  }

  #mayCall(host: string): boolean {
    return host < this.#o.host && this.#o.hosts.has(host);
  }

  // Calling.

  #caller(host: string, where: HostAddress): Caller {
    return new Caller({
      host,
      dial: () => {
        const socket = this.#door.dial(parseAddress(where.address, `hosts.${host}.address`), host);
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        return socket;
      },
      done: this.#door.dialled,
      handshakeMs: this.#handshakeMs,
      connected: connection => this.#events.connected(connection),
      failed: why => this.#events.failed(host, why),
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const caller of this.#callers) caller.close();
    for (const key of this.#pending.keys()) this.#drop(key);
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroySoon();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, 250);
    await closed;
    clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
  }
}

function events(to: TransportEvents, host: string | undefined, code: LinkError['code'], what: Error | string): void {
  const message = typeof what === 'string' ? what : what.message;
  to.failed(
    host,
    new LinkError(code, message, { severity: 'warn', ...(typeof what === 'string' ? {} : { cause: what }) }),
  );
}

const keyOf = (socket: Socket): string =>
  formatAddress({ host: socket.remoteAddress ?? '?', port: socket.remotePort ?? 0 });

interface CallerOptions {
  readonly host: string;
  readonly dial: () => Socket;
  readonly done: 'connect' | 'secureConnect';
  readonly handshakeMs: number;
  readonly connected: (connection: TcpConnection) => void;
  readonly failed: (why: LinkError) => void;
}

/** Calls one host, again and again. */
class Caller {
  readonly #o: CallerOptions;
  readonly #backOff = new BackOff();
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(o: CallerOptions) {
    this.#o = o;
  }

  call(): void {
    const { host, dial, done, handshakeMs } = this.#o;
    const socket = (this.#socket = dial());
    let isDone = false;
    // Not on its `close`, which does not come after every failed handshake.
    const failed = (why: LinkError): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(late);
      socket.destroy();
      if (this.#closed) return;
      this.#o.failed(why);
      this.#callAgain(this.#backOff.failed());
    };
    const late = setTimeout(() => {
      failed(new LinkError('LINK_LATE', `${host} has not answered in ${handshakeMs} ms`, { severity: 'warn' }));
    }, handshakeMs);
    socket.on('error', error => failed(callError(host, error)));
    socket.once('close', () => failed(new LinkError('LINK_CLOSED', `${host} hung up`, { severity: 'warn' })));
    socket.once(done, () => {
      if (isDone) return;
      isDone = true;
      clearTimeout(late);
      this.#hasConnected(socket);
    });
  }

  #hasConnected(socket: Socket): void {
    const sinceMs = performance.now();
    const connection = new TcpConnection(socket, true);
    connection.host = this.#o.host;
    connection.onOver = () => {
      // A host that will not have this one is called as seldom as one that is not there.
      const isRefused = connection.why?.code === 'LINK_REFUSED';
      this.#callAgain(isRefused ? this.#backOff.failed() : this.#backOff.ended(performance.now() - sinceMs));
    };
    this.#o.connected(connection);
  }

  #callAgain(waitMs: number): void {
    if (!this.#closed) this.#timer = setTimeout(() => this.call(), waitMs);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroySoon();
  }
}

function callError(host: string, error: Error): LinkError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const isTls =
    /^(ERR_SSL|ERR_TLS|CERT_|DEPTH_|SELF_|UNABLE_TO|HOSTNAME_)/.test(code) || /certificate/.test(error.message);
  return new LinkError(isTls ? 'LINK_UNAUTHENTICATED' : 'LINK_CLOSED', `${host} cannot be reached: ${error.message}`, {
    cause: error,
    severity: 'warn',
  });
}
