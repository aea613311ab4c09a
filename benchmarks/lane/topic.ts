import { compare, defineTopic, hold, INFO, type Metric } from '../lib/bench.ts';

const PER_SECOND = { unit: 'messages/s', better: 'more' } as const;
const US = { unit: 'us', better: 'less' } as const;

const ZEROMQ = 'zeromq.js ipc';
const C_RING = 'C ring';
const C_BATCHED = 'C ring, published by 32';

const throughputGoals: Readonly<Record<string, number>> = { [ZEROMQ]: 30, [C_RING]: 0.5 };
const asleepGoals: Readonly<Record<string, number>> = { [ZEROMQ]: 3, MessagePort: 1 };

function throughput(peer: string): Metric[] {
  return [
    {
      ...PER_SECOND,
      figure: 'throughput',
      metric: '64 B one way, 32 sends a transaction',
      goal: throughputGoals[peer] ?? INFO,
    },
    { ...PER_SECOND, figure: 'single', metric: '64 B one way, 1 send a transaction', goal: INFO },
  ];
}

export default defineTopic({
  name: 'lane',
  summary: '64 bytes from process to process: one way, there and back, awake and asleep; and what an idle node costs',
  async *rows(size) {
    const folder = import.meta.dirname;
    const input = { size };
    const c = (kind: string, oneCore = false) => ({ file: 'peer-c', input: { size, kind, oneCore } });
    const ours = (waiting: string, oneCore = false) => ({ file: 'ours-trip', input: { size, waiting, oneCore } });
    const trip = (metric: string, goals: Readonly<Record<string, number>>) => (peer: string) => [
      { ...US, figure: 'trip', metric, goal: goals[peer] ?? INFO },
    ];
    yield* compare(size, {
      folder,
      ours: { file: 'ours-throughput', input },
      peers: {
        [ZEROMQ]: { file: 'peer-zeromq', input: { size, kind: 'throughput' } },
        [C_RING]: c('throughput'),
        [C_BATCHED]: c('batched'),
      },
      metrics: throughput,
    });
    yield* compare(size, {
      folder,
      ours: ours('poll'),
      peers: { [C_RING]: c('trip') },
      metrics: trip('round trip, both polling', { [C_RING]: 1 / 2 }),
    });
    for (const oneCore of [false, true]) {
      yield* compare(size, {
        folder,
        ours: ours('sleep', oneCore),
        peers: {
          [ZEROMQ]: { file: 'peer-zeromq', input: { size, kind: 'trip', oneCore } },
          MessagePort: { file: 'peer-messageport', input: { size, oneCore } },
          'eventfd in C': c('eventfd', oneCore),
        },
        metrics: trip(`round trip, both asleep in the loop${oneCore ? ', one core' : ''}`, asleepGoals),
      });
    }
    yield* compare(size, {
      folder,
      ours: ours('block'),
      peers: { 'futex in C': c('futex') },
      metrics: trip('round trip, both asleep in the bell', {}),
    });
    yield* hold(size, {
      folder,
      ours: { file: 'ours-idle', input },
      metrics: [{ figure: 'idle', metric: 'idle node, CPU', unit: '%', better: 'less', goal: 0.5 }],
      rounds: 2,
    });
  },
});
