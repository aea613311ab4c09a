/** lmdb: `transactionSync`, two gets and two puts, on tmpfs, without syncs: nothing that a process of ours does not promise
 * either. */
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { loadPeer } from '../lib/trial.ts';
import { ACCOUNTS, START, type Transfer, transfers, verify } from './game.ts';
import { transferSizes } from './transfer.ts';

interface Account {
  gold: number;
  moves: number;
}

interface Database {
  get(key: number): Account;
  putSync(key: number, value: Account): void;
  transactionSync(fn: () => void): void;
  close(): Promise<void>;
}

export default async function lmdb({ size }: TrialInput): Promise<Measured> {
  const { open } = await loadPeer<{ open(options: object): Database }>('lmdb');
  pin(1);
  const { perRound, rounds, warm } = transferSizes(size, 'database');
  const db = open({
    path: `${scratchDir()}/accounts`,
    noSync: true,
    noSubdir: true,
    cache: false,
    keyEncoding: 'uint32',
  });
  db.transactionSync(() => {
    for (let k = 0; k < ACCOUNTS; k++) db.putSync(k, { gold: START, moves: 0 });
  });
  const next = transfers();
  const t: Transfer = { from: 0, to: 0, amount: 0 };
  const transfer = (): void => {
    const from = db.get(t.from);
    from.gold -= t.amount;
    db.putSync(t.from, from);
    const to = db.get(t.to);
    to.gold += t.amount;
    db.putSync(t.to, to);
  };
  const ns = bestNs(rounds, warm, perRound, () => {
    for (let k = 0; k < perRound; k++) {
      next(t);
      db.transactionSync(transfer);
    }
  });
  verify(
    Array.from({ length: ACCOUNTS }, (_, k) => db.get(k)),
    perRound * (rounds + warm),
    false,
  );
  await db.close();
  return { figures: { transfers: 1e9 / ns } };
}
