import { compare, defineTopic, hold, INFO, type Metric } from '../lib/bench.ts';

const rate = { unit: 'M/s', better: 'more' } as const;
const ns = { unit: 'ns', better: 'less' } as const;

/** What the timers have to hold with a million waiting, whoever else does what. */
const held: Metric[] = [
  { ...rate, figure: 'insert', metric: 'insert, 1 M live', goal: 5 },
  { ...rate, figure: 'cancel', metric: 'cancel, 1 M live', goal: 5 },
  { ...ns, figure: 'idle', metric: 'a look with nothing due, 1 M live', goal: 1_000 },
];

function metrics(peer: string): Metric[] {
  const both: Metric[] = [
    { ...rate, figure: 'insert', metric: 'insert, 1 M live', goal: INFO },
    { ...rate, figure: 'cancel', metric: 'cancel, 1 M live', goal: INFO },
  ];
  if (peer !== 'binary heap') return both;
  return [
    ...both,
    { ...ns, figure: 'idle', metric: 'a look with nothing due, 1 M live', goal: INFO },
    { ...ns, figure: 'fire', metric: 'all fire, over an hour; ours in a transaction each', goal: INFO },
  ];
}

export default defineTopic({
  name: 'timers',
  summary: 'timers that wait in a segment, logged, beside a binary heap of plain objects and setTimeout',
  async *rows(size) {
    const ours = { file: 'ours', input: { size } };
    yield* hold(size, { folder: import.meta.dirname, ours, metrics: held, rounds: 5 });
    yield* compare(size, {
      folder: import.meta.dirname,
      ours,
      peers: {
        'binary heap': { file: 'peer-heap', input: { size } },
        setTimeout: { file: 'peer-settimeout', input: { size } },
      },
      metrics,
      rounds: 5,
    });
  },
});
