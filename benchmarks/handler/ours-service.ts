/** The whole handler through the public API: a real service on one core takes transfers that a client process on the other
 * core sends and takes the answers of. Timed twice: what the service's core does while messages wait for it, and what
 * goes there and back. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { FeederInput, FeederResult } from './feeder.ts';
import { type Account, bank, coreOf, MESSAGE_BLOCK, sizes, verify } from './game.ts';

export default async function service({ size }: TrialInput): Promise<Measured> {
  const { window, total } = sizes[size];
  const dir = scratchDir();
  pin(1);
  // Blocks in which the service waited for messages are few, so the median is one in which it did not.
  const blocks = new Blocks(MESSAGE_BLOCK);
  const core = coreOf(
    bank(() => blocks.add()),
    dir,
    1,
  );
  let measured: Measured | undefined;
  await core.run(role => {
    if (role !== 'owner') return;
    const input: FeederInput = { dir, window, total };
    const feeder = new Helper(join(import.meta.dirname, 'feeder.js'), input);
    void (async () => {
      const { perSecond } = await feeder.next<FeederResult>();
      await feeder.end();
      const { accounts } = core.store.state as { accounts: Iterable<Account> };
      const work = verify(accounts, total, true);
      measured = { figures: { handler: 1e9 / blocks.medianNs, trips: perSecond }, work };
      core.stop();
    })();
  });
  return measured!;
}
