import { compare, defineTopic, hold, INFO, type Metric } from '../lib/bench.ts';

const us = { unit: 'µs', better: 'less' } as const;
const times = { unit: 'x', better: 'less' } as const;

const held: Metric[] = [
  { ...times, figure: 'even', metric: 'records in the largest part over those in the median part', goal: 1.1 },
  { ...times, figure: 'p99', metric: 'time of the p99 frame over the median frame', goal: 3 },
];
const beside: Metric[] = [
  {
    ...us,
    figure: 'median',
    metric: 'median frame: 1/60 of 100,000 objects, two fields written in each',
    goal: INFO,
    note: 'ours is under the undo log and goes on after a kill where it stood; the peer is not, and does not',
  },
  { ...us, figure: 'first', metric: 'the same in the first second of a life: views are made', goal: INFO },
  { ...times, figure: 'largest', metric: 'time of the largest frame over the median frame', goal: INFO },
];

export default defineTopic({
  name: 'spread',
  summary: 'an even part of 100,000 records in each frame of 1/60 s, beside slices of an array of plain objects',
  async *rows(size) {
    const folder = import.meta.dirname;
    const ours = { file: 'ours', input: { size } };
    yield* hold(size, { folder, ours, metrics: held });
    yield* compare(size, {
      folder,
      ours,
      peers: { 'slices of an array': { file: 'peer-slices', input: { size } } },
      metrics: () => beside,
    });
  },
});
