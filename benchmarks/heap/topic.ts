import { compare, defineTopic, hold, INFO, type Metric } from '../lib/bench.ts';
import type { Load } from './work.ts';

const ns = { figure: 'step', unit: 'ns', better: 'less' } as const;
const slowest = { figure: 'slowest', unit: 'µs', better: 'less' } as const;
const memory = { figure: 'footprint', unit: 'x', better: 'less' } as const;

const logs = 'ours is under the undo log and survives a kill; the peer is not, and does not';

const beside: Readonly<Record<string, readonly Metric[]>> = {
  'objects, collected': [
    { ...ns, metric: 'take or give back a block, 32,000 live', goal: INFO, note: logs },
    { ...slowest, metric: 'slowest 1,000 of them in a row', goal: 1 },
    { ...memory, metric: 'memory over the most that was asked for', goal: 1 },
  ],
  '@thi.ng/malloc': [
    { ...ns, metric: 'take or give back a block, 500 live', goal: INFO, note: logs },
    { ...memory, metric: 'the same: memory over the most that was asked for', goal: INFO },
  ],
};

export default defineTopic({
  name: 'heap',
  summary:
    'blocks taken and given back, in the sizes of a game, under the undo log, beside collected objects and @thi.ng/malloc',
  async *rows(size) {
    const contender = (file: string, load: Load) => ({ file, input: { size, load } });
    const folder = import.meta.dirname;
    const metrics = (peer: string) => beside[peer];
    const rounds = 3;
    yield* compare(size, {
      folder,
      ours: contender('ours', 'crowd'),
      peers: { 'objects, collected': contender('peer-objects', 'crowd') },
      metrics,
      rounds,
    });
    yield* compare(size, {
      folder,
      ours: contender('ours', 'few'),
      peers: { '@thi.ng/malloc': contender('peer-thing', 'few') },
      metrics,
      rounds,
    });
    for (const [load, metric, goal] of [
      ['crowd', 'high over the most that was asked for: sizes change', 1.25],
      ['steady', 'high over the most that was asked for: sizes stay', 1.25],
    ] as const) {
      yield* hold(size, { folder, ours: contender('ours', load), rounds: 1, metrics: [{ ...memory, metric, goal }] });
    }
  },
});
