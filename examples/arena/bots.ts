/** Bots: players of the arena that follow a plan drawn from a seed, over real WebSockets and with the same client as the
 * page. Each keeps a ledger of what it sent and of what was answered. */
import { ClientError, type Game, type MirrorRecord, type Status, connect } from '@lich/client';
import { RECORD_REF } from '@lich/schema';
import { Arena, type Counted, MAP, type Place, type Player, REACH, State, near } from './game.ts';
import { Ledger } from './ledger.ts';
import type { Seeded } from './seeded.ts';

type Seen = MirrorRecord<Player>;
type ArenaGame = Game<typeof Arena, typeof State>;

export interface BotOptions {
  readonly url: string;
  readonly name: string;
  readonly random: Seeded;
  /** The scene lives again: its number, and ms of silence. */
  readonly onTakeover?: (bot: Bot, epoch: number, gapMs: number) => void;
  /** The socket was closed, and not by the bot. */
  readonly onClosed?: (bot: Bot, why: string) => void;
  /** A new socket has taken the session up. */
  readonly onOpen?: (bot: Bot) => void;
}

/** Others are people: bots fight and trade among themselves. */
const PREFIX = 'bot ';
const PAUSE_MS = [90, 260] as const;
/** Every so many steps the server is asked for its counters. */
const TALLY_EVERY = 12;

export class Bot {
  readonly ledger = new Ledger();
  readonly url: string;
  readonly name: string;
  readonly #random: Seeded;
  readonly #game: ArenaGame;
  #steps = 0;

  private constructor(options: BotOptions, game: ArenaGame) {
    this.url = options.url;
    this.name = options.name;
    this.#random = options.random;
    this.#game = game;
  }

  static async join(options: BotOptions): Promise<Bot> {
    // Until the game is joined there is nobody to tell.
    const joined: { bot?: Bot } = {};
    let open = false;
    const game = await connect(options.url, {
      protocol: Arena,
      state: State,
      onStatus: (status: Status, reason?: ClientError) => {
        const was = open;
        open = status === 'open';
        const { bot } = joined;
        if (!bot || reason?.code === 'CLIENT_CLOSED') return;
        if (was && !open) options.onClosed?.(bot, reason?.message ?? status);
        if (!was && open) options.onOpen?.(bot);
      },
    });
    const bot = new Bot(options, game);
    joined.bot = bot;
    game.onTakeover(({ epoch, gapMs }) => options.onTakeover?.(bot, epoch, gapMs));
    game.send('enter', { name: options.name, hue: options.random.int(0, 359) });
    return bot;
  }

  get #me(): Seen | undefined {
    return this.#game.me as Seen | undefined;
  }

  /** Play until the signal. A step that was begun is ended first. */
  async play(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#step();
      await pause(this.#random.int(...PAUSE_MS));
    }
  }

  /** Stand still, and hold the whole ledger against the server's counters. */
  async settle(): Promise<void> {
    this.#send('moves', () => this.#game.send('move', { dx: 0, dy: 0 }));
    await this.#tally();
  }

  /** @param leave false: the player stays until its session ends */
  close(leave: boolean): void {
    this.#game.close({ leave });
  }

  async #step(): Promise<void> {
    if (++this.#steps % TALLY_EVERY === 0) return this.#tally();
    const me = this.#me;
    if (!me || me.dead) return;
    const roll = this.#random.float();
    if (roll < 0.46) this.#walk(me);
    else if (roll < 0.7) this.#hit(me);
    else if (roll < 0.76) this.#send('drops', () => this.#game.send('drop'));
    else if (roll < 0.88) await this.#give(me);
    else await this.#bank(me);
  }

  /** Towards something worth having, near somebody, or just somewhere. */
  #walk(me: Seen): void {
    const roll = this.#random.float();
    const finds = [...this.#game.view.heaps, ...[...this.#game.view.items].filter(item => !item.owner)];
    const target =
      (roll < 0.4 ? nearest(finds, me) : undefined) ??
      (roll < 0.75 ? this.#beside(nearest(this.#others(me), me)) : undefined) ??
      this.#somewhere();
    const far = Math.hypot(target.x - me.x, target.y - me.y) || 1;
    const dx = (target.x - me.x) / far;
    const dy = (target.y - me.y) / far;
    this.#send('moves', () => this.#game.send('move', { dx, dy }));
  }

  #somewhere(): Place {
    return { x: this.#random.int(0, MAP.width), y: this.#random.int(0, MAP.height) };
  }

  /** Not onto each other: some steps away, where a hit still reaches. */
  #beside(other: Seen | undefined): Place | undefined {
    if (!other) return undefined;
    const angle = this.#random.float() * Math.PI * 2;
    return { x: other.x + Math.cos(angle) * REACH * 0.7, y: other.y + Math.sin(angle) * REACH * 0.7 };
  }

  #hit(me: Seen): void {
    const who = nearest(this.#others(me), me);
    if (who && near(who, me, REACH * 1.3)) this.#send('hits', () => this.#game.send('hit', { who }));
    else this.#walk(me);
  }

  /** Some gold or an item to a neighbour; now and then more gold than there is, which is refused. */
  async #give(me: Seen): Promise<void> {
    const to = nearest(this.#others(me), me);
    if (!to) return;
    const item = this.#random.chance(0.4) ? this.#ownItem(me) : undefined;
    const gold = this.#random.chance(0.03) ? me.gold + 1_000_000 : this.#random.int(0, Math.min(20, me.gold));
    await this.#ask('gives', () => this.#game.ask('give', { to, gold, item }));
  }

  async #bank(me: Seen): Promise<void> {
    const gold = this.#random.chance(0.04) ? 1_000_000 : this.#random.int(-10, Math.max(0, Math.min(15, me.gold)));
    const answer = await this.#ask('banks', () => this.#game.ask('bank', { gold }));
    if (answer) this.ledger.receipt(answer.receipt);
  }

  async #tally(): Promise<void> {
    this.ledger.tally(await this.#game.ask('tally'));
  }

  #others(me: Seen): Seen[] {
    return [...this.#game.view.players].filter(other => other !== me && !other.dead && other.name.startsWith(PREFIX));
  }

  #ownItem(me: Seen) {
    return [...this.#game.view.items].find(item => item.owner?.[RECORD_REF]?.slot === me[RECORD_REF]?.slot);
  }

  #send(name: Counted, send: () => unknown): void {
    try {
      send();
    } catch (error) {
      if (error instanceof ClientError && error.code === 'CLIENT_FULL') return; // nothing was sent
      throw error;
    }
    this.ledger.sent(name);
  }

  /** @returns undefined when the server refused: then nothing was done */
  async #ask<Reply>(name: Counted, ask: () => Promise<Reply>): Promise<Reply | undefined> {
    this.ledger.sent(name);
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (error.code === 'CLIENT_OUTPUT_LOST') this.ledger.unanswered(name);
      else if (error.code === 'CLIENT_REFUSED' || error.code === 'CLIENT_FULL') this.ledger.refused(name);
      else throw error;
      return undefined;
    }
  }
}

function nearest<T extends Place>(places: readonly T[], from: Place): T | undefined {
  let best: T | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const place of places) {
    const distance = (place.x - from.x) ** 2 + (place.y - from.y) ** 2;
    if (distance >= bestDistance) continue;
    best = place;
    bestDistance = distance;
  }
  return best;
}

/** Resolves after `ms`, at once when aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted) done();
    else signal?.addEventListener('abort', done, { once: true });
  });
}

export const botName = (n: number): string => `${PREFIX}${n}`;
