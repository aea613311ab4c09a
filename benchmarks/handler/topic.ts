import { compare, defineTopic, hold } from '../lib/bench.ts';

const GOALS: Readonly<Record<string, number>> = { lmdb: 30, 'better-sqlite3': 15 };

export default defineTopic({
  name: 'handler',
  summary: 'whole handlers on one core, transfers beside embedded databases, transfers over the bus and back',
  async *rows(size) {
    const folder = import.meta.dirname;
    yield* hold(size, {
      folder,
      ours: { file: 'ours-service', input: { size, mode: 'burst' } },
      metrics: [
        { figure: 'handler', metric: 'take, 4 writes, 1 send, commit', unit: 'messages/s', better: 'more', goal: 5e6 },
      ],
    });
    yield* compare(size, {
      folder,
      ours: { file: 'ours-transfer', input: { size } },
      peers: {
        lmdb: { file: 'peer-lmdb', input: { size } },
        'better-sqlite3': { file: 'peer-sqlite', input: { size } },
      },
      metrics: peer => [
        { figure: 'transfers', metric: 'transfer in process', unit: 'transfers/s', better: 'more', goal: GOALS[peer] },
      ],
      rounds: 3,
    });
    yield* hold(size, {
      folder,
      ours: { file: 'ours-service', input: { size, mode: 'window' } },
      metrics: [
        {
          figure: 'trips',
          metric: 'transfer, process to bank and back, 2 cores',
          unit: 'transfers/s',
          better: 'more',
          goal: 1e6,
        },
      ],
      rounds: 3,
    });
  },
});
