import { compare, defineTopic, hold, type Metric } from '../lib/bench.ts';

const s = { unit: 's', better: 'less' } as const;

const held: Metric[] = [
  {
    ...s,
    figure: 'there',
    metric: '1 M records: renamed, widened, reordered, added, removed and resized fields',
    goal: 1,
  },
  { ...s, figure: 'back', metric: 'and back again, what was removed from the state before', goal: 1 },
];
const beside: Metric[] = [
  {
    ...s,
    figure: 'there',
    metric: 'the same, and other elements in the map of each record',
    goal: 1,
    note: 'ours checks all of the new state before it counts, and is whole after a kill at any point; the peer reads and writes one JSON text a record, and holds all of them in memory',
  },
  { ...s, figure: 'back', metric: 'and back again', goal: 1 },
];

export default defineTopic({
  name: 'migration',
  summary: 'a million records into the layout of other code and back, each field checked from outside, beside JSON',
  async *rows(size) {
    const folder = import.meta.dirname;
    const rounds = 3;
    yield* hold(size, { folder, ours: { file: 'ours', input: { size, wide: false } }, rounds, metrics: held });
    yield* compare(size, {
      folder,
      ours: { file: 'ours', input: { size, wide: true } },
      peers: { 'JSON, hand-written': { file: 'peer-json', input: { size } } },
      rounds,
      metrics: () => beside,
    });
  },
});
