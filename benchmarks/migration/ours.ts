/** A node's state on tmpfs, migrated to a second version of its code and back again; what came out is read from outside. */
import { createHash } from 'node:crypto';
import type { StateSchema } from '@lich/schema';
import { attachSegment, createSegment, OwnerLock } from 'lich/shm';
import { migrateNode, openReader, openStore, storePlan } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { BACK, first, FLAT, itemsOf, mustEqual, second, sizes, sorted, V1, V2 } from './work.ts';

const ROOM = { logWords: 1 << 20, heapBytes: 3 << 28 };

interface Input extends TrialInput {
  /** Do the elements of containers change too? */
  readonly wide: boolean;
  readonly records?: number;
}

export default function ours({ size, wide, records = sizes[size] }: Input): Measured {
  pin(1);
  const dir = scratchDir();
  const node = { dir, name: 'game' };
  make(dir, records);
  const figures: Record<string, number> = {};
  const go = (figure: string, schema: StateSchema) => {
    const report = migrateNode({ ...node, plan: storePlan(schema, ROOM) })!;
    if (report.records !== records) throw new Error(`${report.records} records were migrated, not ${records}`);
    figures[figure] = report.ms / 1000 / (records / 1e6);
  };
  const look = (pool: string, want: (n: number) => object): string => {
    const segment = attachSegment({ ...node, kind: 'state', readOnly: true });
    const hash = createHash('sha256');
    let seen = 0;
    openReader(segment).snapshot(s => {
      seen = 0;
      s.scan(pool, ({ slot, generation, value }) => {
        if (slot !== seen++ || generation !== 1) throw new Error(`${pool}[${slot}] is no record of before`);
        mustEqual(value, want(slot), `${pool}[${slot}]`);
        if (slot % 1_000 === 0) hash.update(sorted(value));
      });
    });
    segment.close();
    if (seen !== records) throw new Error(`${pool} has ${seen} records`);
    return hash.digest('hex').slice(0, 16);
  };
  go('there', wide ? V2 : FLAT);
  const there = look('people', n => second(n, wide));
  go('back', BACK);
  return { figures, work: `${there} ${look('players', first)}` };
}

/** A node that was closed, full of players. */
function make(dir: string, records: number): void {
  const lock = OwnerLock.open(dir, 'game');
  lock.tryAcquire();
  const plan = storePlan(V1, ROOM);
  const segment = createSegment({ ...plan, dir, name: 'game', kind: 'state' });
  const { log, state } = openStore(segment, plan);
  for (let n = 0; n < records; ) {
    log.begin();
    for (const end = Math.min(records, n + 500); n < end; n++) {
      const { bag, ...init } = first(n);
      const player = state.players.create(init);
      for (let k = 0; k < itemsOf(n); k++) player.bag.set(bag[k][0], bag[k][1]);
    }
    log.commit();
  }
  segment.close(true);
  lock.release();
}
