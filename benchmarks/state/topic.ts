import { compare, defineTopic, INFO, type Metric } from '../lib/bench.ts';

/** At most so many times the peer's cost. */
const GOALS: Readonly<Record<string, number>> = { 'plain objects': 3, 'typed arrays': 2.5 };

function metrics(peer: string): Metric[] {
  const write = peer in GOALS ? 1 / GOALS[peer] : INFO;
  const ns = { unit: 'ns', better: 'less' } as const;
  const all: Metric[] = [
    { ...ns, figure: 'write1', metric: '4 logged writes, a transaction each', goal: write },
    { ...ns, figure: 'write16', metric: '4 logged writes, 16 records a transaction', goal: write },
    { ...ns, figure: 'read', metric: '4 reads', goal: INFO },
    { ...ns, figure: 'walk', metric: 'walk a pool, 1 read', goal: INFO },
  ];
  if (peer === 'plain objects')
    all.push({ ...ns, figure: 'churn', metric: 'create and destroy, a transaction each', goal: INFO });
  return all;
}

export default defineTopic({
  name: 'state',
  summary: 'field access of records, logged, beside plain objects, raw typed arrays and a DataView',
  rows: size =>
    compare(size, {
      folder: import.meta.dirname,
      ours: { file: 'ours', input: { size } },
      peers: {
        'plain objects': { file: 'peer-plain', input: { size } },
        'typed arrays': { file: 'peer-arrays', input: { size } },
        DataView: { file: 'peer-dataview', input: { size } },
      },
      metrics,
      rounds: 7,
    }),
});
