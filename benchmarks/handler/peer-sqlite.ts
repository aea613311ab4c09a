/** better-sqlite3 in memory: prepared statements in a transaction. */
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { loadPeer } from '../lib/trial.ts';
import { ACCOUNTS, START, type Transfer, transfers, verify } from './game.ts';
import { transferSizes } from './transfer.ts';

interface Statement {
  run(...values: number[]): void;
  all(): { gold: number; moves: number }[];
}

interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  transaction(fn: () => void): () => void;
  close(): void;
}

export default async function sqlite({ size }: TrialInput): Promise<Measured> {
  const Database = await loadPeer<new (path: string) => Database>('better-sqlite3');
  pin(1);
  const { perRound, rounds, warm } = transferSizes(size, 'database');
  const db = new Database(':memory:');
  db.exec('create table accounts (id integer primary key, gold integer, moves integer)');
  const insert = db.prepare('insert into accounts values (?, ?, 0)');
  db.transaction(() => {
    for (let k = 0; k < ACCOUNTS; k++) insert.run(k, START);
  })();
  const add = db.prepare('update accounts set gold = gold + ? where id = ?');
  const next = transfers();
  const t: Transfer = { from: 0, to: 0, amount: 0 };
  const transfer = db.transaction(() => {
    add.run(-t.amount, t.from);
    add.run(t.amount, t.to);
  });
  const ns = bestNs(rounds, warm, perRound, () => {
    for (let k = 0; k < perRound; k++) {
      next(t);
      transfer();
    }
  });
  verify(db.prepare('select gold, moves from accounts order by id').all(), perRound * (rounds + warm), false);
  db.close();
  return { figures: { transfers: 1e9 / ns } };
}
