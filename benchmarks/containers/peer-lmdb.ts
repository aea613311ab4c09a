/** lmdb on tmpfs, without syncs, 64 operations in a `transactionSync`: what is read and written is copied and coded. */
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir } from '../lib/tools.ts';
import { loadPeer } from '../lib/trial.ts';
import { effortOf, measure, type Work } from './work.ts';

interface Database {
  get(key: number): number;
  putSync(key: number, value: number): void;
  removeSync(key: number): void;
  transactionSync(fn: () => void): void;
  getRange(options?: object): Iterable<{ value: number }>;
  getCount(): number;
  close(): Promise<void>;
}

export default async function lmdb(work: Work): Promise<Measured> {
  const { open } = await loadPeer<{ open(options: object): Database }>('lmdb');
  pin(1);
  const db = open({
    path: `${scratchDir()}/entries`,
    noSync: true,
    noSubdir: true,
    cache: false,
    keyEncoding: 'uint32',
  });
  // A transaction is a function there: what was asked for since `begin` is done at `commit`.
  let todo: (() => void)[] = [];
  const result = measure(
    work,
    {
      begin() {},
      commit() {
        const now = todo;
        todo = [];
        db.transactionSync(() => {
          for (const one of now) one();
        });
      },
      insert: (key, value) => void todo.push(() => db.putSync(key, value)),
      get: key => db.get(key),
      set: (key, value) => void todo.push(() => db.putSync(key, value)),
      delete: key => void todo.push(() => db.removeSync(key)),
      iterate() {
        let sum = 0;
        for (const { value } of db.getRange()) sum += value;
        return sum;
      },
      size: () => db.getCount(),
    },
    effortOf(work, true),
  );
  await db.close();
  return result;
}
