/** A message that kept ending the process goes to the quarantine, and who sent it is told. */
import type { Segment } from '../shm/index.ts';
import type { Core } from './core.ts';
import type { FromServices } from './from-services.ts';
import type { PlayerRecord, Players } from './players.ts';
import { setAside } from './quarantine.ts';
import { INPUT } from './system-messages.ts';

/** In the transaction that moves past it.
 * @param pool name of the players', where there are any
 * @throws MustWait */
export function setMessageAside(
  core: Core,
  players: Players | undefined,
  pool: string | undefined,
  services: FromServices,
  sender: number,
  type: number,
  a: number,
  b: number,
  lanes: Segment,
  word: number,
  words: number,
): void {
  const { tries } = core.blame.suspect!;
  setAside(core, { sender, type, a, b, tries }, lanes.u8.slice(word * 4, (word + words) * 4));
  if (type !== INPUT || players === undefined) {
    services.setAside(sender, type, a, b, tries);
    return;
  }
  const me = core.store.pools.get(pool!)!.resolve(lanes.u32[word], lanes.u32[word + 1]) as PlayerRecord | undefined;
  if (me === undefined) return;
  const n = lanes.u32[word + 2];
  me.$lastIn = n;
  const text = `this message ended the process ${tries} times and was set aside`;
  players.answerError(sender, a, b, n, 'RUNTIME_SET_ASIDE', text);
}
