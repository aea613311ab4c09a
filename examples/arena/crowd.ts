/** Company: some bots, so that whoever opens the page is not alone. LICH_ARENA_BOTS says how many. */
import type { NodeContext } from 'lich';
import { Bot, botName } from './bots.ts';
import { Seeded } from './seeded.ts';
import { BOTS, gatewayUrls } from './settings.ts';

/** Whoever still waits for an answer then waits in vain. */
const PATIENCE_MS = 1_000;

export default async function crowd({ signal, log, announce }: NodeContext): Promise<void> {
  signal.addEventListener('abort', () => setTimeout(() => process.exit(0), PATIENCE_MS).unref(), { once: true });
  const random = new Seeded(Date.now());
  const urls = gatewayUrls();
  const games: Promise<void>[] = [];
  for (let n = 1; n <= BOTS && !signal.aborted; n++) {
    const bot = await Bot.join({ url: urls[n % urls.length], name: botName(n), random: random.fork(n) });
    const game = bot
      .play(signal)
      .catch((error: unknown) => log.warn('a bot gave up', { bot: bot.name, error: String(error) }))
      .finally(() => bot.close(true));
    games.push(game);
  }
  announce(`${BOTS} bots`);
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
  await Promise.all(games);
}
