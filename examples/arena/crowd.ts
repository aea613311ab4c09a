/** Company: some bots, so that whoever opens the page is not alone. LICH_ARENA_BOTS says how many. */
import type { NodeContext } from 'lich';
import { Bot, botName } from './bots.ts';
import { Seeded } from './seeded.ts';
import { BOTS, gatewayUrls } from './settings.ts';

export default async function crowd({ signal, log, announce }: NodeContext): Promise<void> {
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
  await new Promise(resolve => (signal.aborted ? resolve(undefined) : signal.addEventListener('abort', resolve)));
  await Promise.all(games);
}
