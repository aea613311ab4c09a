/** TCP in between, which fails as it is told: connections are cut, held up, slowed, corrupted, or not taken at all. What is
 * behind it sees a network that is no better than that.
 *
 *   const proxy = await FaultProxy.open({ to: { port: 7401 } });
 *   proxy.delayMs = 200; proxy.lossChance = 0.3; proxy.cutEveryMs = 100; proxy.cutAll(); await proxy.close(); */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface ProxyOptions {
  /** May be said later, as `to`; until then nothing is taken. */
  readonly to?: { readonly port: number; readonly host?: string };
  /** 0 = any. Default 0. */
  readonly port?: number;
  readonly random?: () => number;
}

/** What TCP waits for before it sends a lost packet again, at least. */
const RESEND_MS = 200;

export class FaultProxy {
  readonly port: number;
  to: ProxyOptions['to'];
  /** How long each chunk is on its way. */
  delayMs = 0;
  /** Of a network that loses packets a TCP connection shows only that they come late, and all behind them too. */
  lossChance = 0;
  /** Chance that a byte of a chunk is changed. */
  corruptChance = 0;
  /** New connections are ended at once. */
  refuses = false;
  /** Nothing goes through, and nothing ends. */
  stalled = false;
  /** Connections that were taken. */
  taken = 0;
  cuts = 0;
  corrupted = 0;
  readonly #server: Server;
  readonly #random: () => number;
  readonly #pairs = new Set<() => void>();
  readonly #waiting = new Set<() => void>();
  #cutTimer: NodeJS.Timeout | undefined;

  private constructor(o: ProxyOptions, server: Server) {
    this.to = o.to;
    this.#server = server;
    this.#random = o.random ?? Math.random;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', near => this.#take(near));
  }

  static async open(o: ProxyOptions = {}): Promise<FaultProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: o.port ?? 0, host: '127.0.0.1' }, resolve);
    });
    return new FaultProxy(o, server);
  }

  /** Cut all connections so often; 0 = not. */
  set cutEveryMs(ms: number) {
    clearInterval(this.#cutTimer);
    this.#cutTimer = ms === 0 ? undefined : setInterval(() => this.cutAll(), ms);
  }

  cutAll(): void {
    for (const cut of this.#pairs) {
      this.cuts++;
      cut();
    }
  }

  /** Let go on what was held up. */
  resume(): void {
    this.stalled = false;
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }

  #take(near: Socket): void {
    this.taken++;
    if (this.refuses || this.to === undefined) {
      near.destroy();
      return;
    }
    const { port, host = '127.0.0.1' } = this.to;
    const far = connect({ port, host, noDelay: true });
    near.setNoDelay(true);
    const cut = (): void => {
      this.#pairs.delete(cut);
      near.resetAndDestroy();
      far.resetAndDestroy();
    };
    this.#pairs.add(cut);
    this.#pipe(near, far, cut);
    this.#pipe(far, near, cut);
  }

  #pipe(from: Socket, to: Socket, cut: () => void): void {
    let last: Promise<void> = Promise.resolve();
    from.on('error', cut);
    from.on('data', chunk => {
      from.pause();
      const bytes = this.#corrupt(chunk as unknown as Uint8Array);
      // One behind the other: none overtakes.
      last = last
        .then(() => this.#late())
        .then(() => {
          const more = to.destroyed || to.write(bytes);
          if (more) from.resume();
          else to.once('drain', () => from.resume());
        });
    });
    from.on('end', () => void last.then(() => to.end()));
    from.on('close', () => void last.then(() => to.destroySoon()).then(() => this.#pairs.delete(cut)));
  }

  #corrupt(chunk: Uint8Array): Uint8Array {
    if (this.corruptChance === 0 || this.#random() >= this.corruptChance) return chunk;
    this.corrupted++;
    const bytes = chunk.slice();
    bytes[Math.floor(this.#random() * bytes.length)]! ^= 1 + Math.floor(this.#random() * 255);
    return bytes;
  }

  async #late(): Promise<void> {
    let ms = this.delayMs;
    while (this.#random() < this.lossChance) ms += RESEND_MS;
    if (ms > 0) await new Promise(resolve => setTimeout(resolve, ms));
    if (this.stalled) await new Promise<void>(resolve => this.#waiting.add(resolve));
  }

  async close(): Promise<void> {
    clearInterval(this.#cutTimer);
    this.resume();
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const cut of this.#pairs) cut();
    await closed;
  }
}
