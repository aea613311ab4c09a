import { compare, defineTopic, hold } from '../lib/bench.ts';

const GOALS: Readonly<Record<string, number>> = { lmdb: 30, 'better-sqlite3': 15 };

export default defineTopic({
  name: 'handler',
  summary: 'whole handlers on one core, transfers over the bus and back, transfers beside embedded databases',
  async *rows(size) {
    const folder = import.meta.dirname;
    const more = { better: 'more' } as const;
    yield* hold(size, {
      folder,
      ours: { file: 'ours-service', input: { size } },
      metrics: [
        {
          ...more,
          figure: 'handler',
          metric: 'take, 4 writes, 1 send, commit; one core',
          unit: 'messages/s',
          goal: 5e6,
        },
        {
          ...more,
          figure: 'trips',
          metric: 'transfer, client to bank and back; two cores',
          unit: 'transfers/s',
          goal: 1e6,
        },
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
        { ...more, figure: 'transfers', metric: 'transfer in process', unit: 'transfers/s', goal: GOALS[peer] },
      ],
      rounds: 3,
    });
  },
});
