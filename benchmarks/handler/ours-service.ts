/** The whole handler through the public API: a real service on one core takes transfers that another process put into its
 * lane. A burst lies in the lane before the service begins with it, so the figure is the service's own cost. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { FeederInput, FeederResult } from './feeder.ts';
import { type Account, bank, coreOf, MESSAGE_BLOCK, sizes, verify } from './game.ts';

export interface ServiceInput extends TrialInput {
  readonly mode: FeederInput['mode'];
}

export default async function service({ size, mode }: ServiceInput): Promise<Measured> {
  const { burst, bursts, window, trips } = sizes[size];
  const dir = scratchDir();
  pin(1);
  // The blocks that wait for the next burst are few, so the median is one that does not.
  const blocks = new Blocks(MESSAGE_BLOCK);
  const made = bank(mode === 'burst' ? () => blocks.add() : () => {});
  const core = coreOf(made, dir, 1);
  const total = mode === 'burst' ? burst * bursts : trips;
  let measured: Measured | undefined;
  const ended = core.run(role => {
    if (role !== 'owner') return;
    const input: FeederInput = { dir, burst: mode === 'burst' ? burst : window, total, mode };
    const feeder = new Helper(join(import.meta.dirname, 'feeder.js'), input);
    void (async () => {
      const result = await feeder.next<FeederResult>();
      await feeder.end();
      const { accounts } = core.store.state as { accounts: Iterable<Account> };
      const work = verify(accounts, total, true);
      measured = { figures: mode === 'burst' ? { handler: 1e9 / blocks.medianNs } : { trips: result.perSecond }, work };
      core.stop();
    })();
  });
  await ended;
  return measured!;
}
