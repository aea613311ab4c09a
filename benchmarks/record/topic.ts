import { compare, defineTopic, hold, INFO } from '../lib/bench.ts';

export default defineTopic({
  name: 'record',
  summary: 'what it costs to keep what a node is given, and how fast it is done again',
  async *rows(size) {
    const folder = import.meta.dirname;
    yield* compare(size, {
      folder,
      ours: { file: 'ours-service', input: { size, record: true } },
      peers: { 'not recorded': { file: 'ours-service', input: { size, record: false } } },
      metrics: () => [
        {
          figure: 'handler',
          metric: 'take, 4 writes, 1 send, commit, recorded; one core',
          unit: 'messages/s',
          better: 'more',
          goal: 0.8,
        },
      ],
      rounds: 3,
    });
    yield* hold(size, {
      folder,
      ours: { file: 'ours-service', input: { size, record: true } },
      metrics: [
        {
          figure: 'replayed',
          metric: 'inputs replayed, end equal byte by byte',
          unit: 'inputs/s',
          better: 'more',
          goal: INFO,
        },
      ],
    });
  },
});
