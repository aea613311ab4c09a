import { join } from 'node:path';
import { compare, defineTopic, INFO, type Metric, type Row, type Size } from '../lib/bench.ts';
import { writePlot } from './plot.ts';
import { figureOf, sizesOf, TRIP_BYTES } from './sizes.ts';

const ZEROMQ_IPC = 'zeromq.js ipc';

const goals: Readonly<Record<string, number>> = { [ZEROMQ_IPC]: 10 };

const metrics = (size: Size, peer: string): Metric[] =>
  sizesOf(size).map(bytes => ({
    figure: figureOf(bytes),
    metric: `one way, ${bytes} B`,
    unit: 'messages/s',
    better: 'more',
    goal: bytes <= 1_024 ? (goals[peer] ?? INFO) : INFO,
  }));

const tripMetric: Metric = {
  figure: 'trip',
  metric: `round trip, ${TRIP_BYTES} B, both asleep in between`,
  unit: 'us',
  better: 'less',
  goal: INFO,
};

export default defineTopic({
  name: 'bus',
  summary: 'messages of 16 B to 64 KiB from process to process on one host, exactly once, beside brokers and sockets',
  async *rows(size) {
    const folder = import.meta.dirname;
    const rows: Row[] = [];
    const contender = (file: string, more: object) => ({ file, input: { size, ...more } });
    for (const kind of ['way', 'trip'] as const) {
      const comparison = {
        folder,
        ours: contender('ours', { kind }),
        peers: {
          [ZEROMQ_IPC]: contender('peer-zeromq', { kind, transport: 'ipc' }),
          'zeromq.js tcp': contender('peer-zeromq', { kind, transport: 'tcp' }),
          MessagePort: contender('peer-messageport', { kind }),
          'Redis streams': contender('peer-redis', { kind }),
          'NATS core': contender('peer-nats', { kind }),
        },
        metrics: (peer: string) => (kind === 'way' ? metrics(size, peer) : [tripMetric]),
        rounds: 3,
      };
      for await (const row of compare(size, comparison)) {
        if (!('skipped' in row) && kind === 'way') rows.push(row);
        yield row;
      }
    }
    if (size === 'full') writePlot(join(folder, '../../results/bus.svg'), rows);
  },
});
