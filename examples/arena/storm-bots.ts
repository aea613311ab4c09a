/** The bots of a storm, in a thread of their own: what the storm does on its thread must not delay what they measure. */
import { type MessagePort, Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { nowNs } from 'lich/shm';
import { Bot, botName } from './bots.ts';
import { Seeded } from './seeded.ts';

export interface Gap {
  readonly epoch: number;
  /** Silence before the first word of that life: the ordinary time between two frames is part of it. */
  readonly gapMs: number;
  /** From the SIGKILL to that first word; undefined where the life began for another reason. */
  readonly sinceKillMs: number | undefined;
}

/** What the bots found, once they stand still. */
export interface BotsReport {
  readonly lost: number;
  readonly doubled: number;
  readonly checked: number;
  readonly gaps: readonly Gap[];
  readonly disconnects: readonly string[];
  readonly findings: readonly string[];
}

interface Start {
  readonly urls: readonly string[];
  readonly count: number;
  readonly seed: number;
  /** Shared: [connected bots, kills of gateway 1, kills of gateway 2, …] */
  readonly shared: Int32Array;
  /** Shared: when the life before was killed, by epoch, on the clock of `nowNs`; 0 = it was not. */
  readonly killedNs: Float64Array;
}

type Said = { readonly joined: true } | { readonly report: BotsReport } | { readonly failed: string };

/** The main thread's side. */
export class StormBots {
  readonly #worker: Worker;
  readonly #shared: Int32Array;
  readonly #killedNs: Float64Array;
  readonly #count: number;
  #failure: Error | undefined;

  private constructor(worker: Worker, { shared, killedNs, count }: Start) {
    this.#worker = worker;
    this.#shared = shared;
    this.#killedNs = killedNs;
    this.#count = count;
    worker.on('error', error => (this.#failure = error));
  }

  /** @param lives of the scene at most */
  static async join(urls: readonly string[], count: number, seed: number, lives: number): Promise<StormBots> {
    const shared = new Int32Array(new SharedArrayBuffer(4 * (1 + urls.length)));
    const killedNs = new Float64Array(new SharedArrayBuffer(8 * (lives + 1)));
    const start: Start = { urls, count, seed, shared, killedNs };
    const bots = new StormBots(new Worker(new URL(import.meta.url), { workerData: start }), start);
    await bots.#next('joined');
    return bots;
  }

  /** @throws Error when a bot gave up */
  get allConnected(): boolean {
    if (this.#failure) throw this.#failure;
    return Atomics.load(this.#shared, 0) === this.#count;
  }

  /** From now on the sockets of this gateway may close. To be called before the kill. */
  willKill(gateway: number): void {
    Atomics.add(this.#shared, gateway, 1);
  }

  /** The life before that epoch is killed now. To be called right before the kill. */
  willEnd(epoch: number): void {
    this.#killedNs[epoch] = nowNs();
  }

  /** They stand still, compare, and stay as they are. */
  async settle(): Promise<BotsReport> {
    const report = this.#next('report');
    this.#worker.postMessage('settle');
    return ((await report) as { report: BotsReport }).report;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #next(what: 'joined' | 'report'): Promise<Said> {
    return new Promise((resolve, reject) => {
      const hear = (said: Said): void => {
        this.#worker.off('message', hear);
        if (what in said) resolve(said);
        else reject(new Error(`the bots failed: ${JSON.stringify(said)}`));
      };
      this.#worker.on('message', hear);
      this.#worker.once('error', reject);
    });
  }
}

// ---- the bots' own thread

async function run({ urls, count, seed, shared, killedNs }: Start, port: MessagePort): Promise<void> {
  const random = new Seeded(seed);
  const gaps: Gap[] = [];
  const disconnects: string[] = [];
  const killsOf = (url: string): number => Atomics.load(shared, 1 + urls.indexOf(url));
  const openedAt = new Map<Bot, number>();
  const bots = await Promise.all(
    Array.from({ length: count }, (_, k) =>
      Bot.join({
        url: urls[k % urls.length],
        name: botName(k + 1),
        random: random.fork(k + 1),
        onTakeover: (_bot, epoch, gapMs) => {
          const sinceKillMs = killedNs[epoch] > 0 ? (nowNs() - killedNs[epoch]) / 1e6 : undefined;
          gaps.push({ epoch, gapMs, sinceKillMs });
        },
        onOpen: bot => {
          openedAt.set(bot, killsOf(bot.url));
          Atomics.add(shared, 0, 1);
        },
        onClosed: (bot, why) => {
          Atomics.sub(shared, 0, 1);
          // A socket whose gateway was not killed since it was opened had no reason to close.
          if (openedAt.get(bot) === killsOf(bot.url)) disconnects.push(`${bot.name} at ${bot.url}: ${why}`);
        },
      }),
    ),
  );
  for (const bot of bots) openedAt.set(bot, 0);
  Atomics.store(shared, 0, count);
  const stop = new AbortController();
  const games = Promise.all(bots.map(bot => bot.play(stop.signal)));
  port.postMessage({ joined: true } satisfies Said);
  const told = new Promise(resolve => port.once('message', resolve));
  await Promise.race([told, games]);
  stop.abort();
  await games;
  await Promise.all(bots.map(bot => bot.settle()));
  const sum = (of: (bot: Bot) => number): number => bots.reduce((total, bot) => total + of(bot), 0);
  const report: BotsReport = {
    lost: sum(bot => bot.ledger.lost),
    doubled: sum(bot => bot.ledger.doubled),
    checked: sum(bot => bot.ledger.checked),
    gaps,
    disconnects,
    findings: bots.flatMap(bot => bot.ledger.findings.map(text => `${bot.name}: ${text}`)),
  };
  port.postMessage({ report } satisfies Said);
}

if (!isMainThread && parentPort && (workerData as Start | undefined)?.shared) {
  await run(workerData as Start, parentPort);
}
