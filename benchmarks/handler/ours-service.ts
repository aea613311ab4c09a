/** The whole handler through the public API: a real service on one core takes transfers that another process put into its
 * lane. A burst lies in the lane before the service begins with it, so the figure is the service's own cost. */
import { join } from 'node:path';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { FeederInput, FeederResult } from './feeder.ts';
import { type Account, bank, coreOf, sizes, verify } from './game.ts';

export interface ServiceInput extends TrialInput {
  readonly mode: FeederInput['mode'];
}

export default async function service({ size, mode }: ServiceInput): Promise<Measured> {
  const { burst, bursts, warm, window, trips } = sizes[size];
  const dir = scratchDir();
  pin(1);
  let handled = 0;
  let from = 0;
  const perSecond: number[] = [];
  const made = bank(() => {
    if (mode === 'window') return;
    const at = handled++ % burst;
    if (at === 0) from = nowNs();
    else if (at === burst - 1) perSecond.push(((burst - 1) / (nowNs() - from)) * 1e9);
  });
  const core = coreOf(made, dir, 1);
  const total = mode === 'burst' ? burst * (bursts + warm) : trips;
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
      const best = Math.max(...perSecond.slice(warm));
      measured = { figures: mode === 'burst' ? { handler: best } : { trips: result.perSecond }, work };
      core.stop();
    })();
  });
  await ended;
  return measured!;
}
