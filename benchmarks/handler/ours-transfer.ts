/** Transfers without messages: begin, two accounts, commit, on the store itself. */
import { createSegment } from 'lich/shm';
import { openStore, storePlan } from 'lich/state';
import { pool, state } from '@lich/schema';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { Account, ACCOUNTS, START, type Transfer, transfers, verify } from './game.ts';
import { transferSizes } from './transfer.ts';

export default function ours({ size }: TrialInput): Measured {
  pin(1);
  const { perRound, rounds, warm } = transferSizes(size, 'memory');
  const schema = state({ accounts: pool(Account, { capacity: ACCOUNTS }) });
  const plan = storePlan(schema);
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bank', kind: 'state' });
  const { log, state: root } = openStore(segment, plan);
  const { accounts } = root;
  log.begin();
  for (let k = 0; k < ACCOUNTS; k++) accounts.create({ gold: START });
  log.commit();
  const next = transfers();
  const t: Transfer = { from: 0, to: 0, amount: 0 };
  const ns = bestNs(rounds, warm, perRound, () => {
    for (let k = 0; k < perRound; k++) {
      next(t);
      log.begin();
      const from = accounts.get(t.from)!;
      const to = accounts.get(t.to)!;
      from.gold -= t.amount;
      to.gold += t.amount;
      log.commit();
    }
  });
  verify(accounts, perRound * (rounds + warm), false);
  segment.close(true);
  return { figures: { transfers: 1e9 / ns } };
}
