import { compare, type Contender, defineTopic, INFO, type Metric, type Size } from '../lib/bench.ts';
import type { Structure } from './work.ts';

/** Peers of each structure, and what each figure is there. */
const PEERS: Readonly<Record<Structure, Readonly<Record<string, string>>>> = {
  map: { Map: 'peer-js', lmdb: 'peer-lmdb' },
  set: { Set: 'peer-js' },
  sorted: { 'sorted-btree': 'peer-btree', lmdb: 'peer-lmdb' },
  array: { Array: 'peer-js' },
  list: { 'linked objects': 'peer-js' },
  queue: { 'Array with a place': 'peer-js' },
};

const FIGURES: Readonly<Record<Structure, Readonly<Record<string, string>>>> = {
  map: { get: 'get', set: 'set', insert: 'insert', delete: 'delete', iterate: 'iterate' },
  set: { get: 'has', insert: 'add', delete: 'delete', iterate: 'iterate' },
  sorted: { get: 'get', set: 'set', insert: 'insert', delete: 'delete', iterate: 'iterate' },
  array: { get: 'get', set: 'set', insert: 'push', delete: 'pop', iterate: 'iterate' },
  list: { get: 'get at a cursor', insert: 'push, cursor', delete: 'remove at a cursor', iterate: 'iterate' },
  queue: { insert: 'push', delete: 'shift', iterate: 'iterate' },
};

const ENTRIES: Readonly<Record<Size, readonly number[]>> = { small: [300], full: [1_000, 1_000_000] };

/** A million entries need room in the heap of the process, whoever has them there. */
const ROOM = { nodeFlags: ['--max-old-space-size=4096'] } as const;

export default defineTopic({
  name: 'containers',
  summary:
    'map, set, sorted map, array, list and queue, logged, beside those of JavaScript, sorted-btree and lmdb; ticks',
  async *rows(size) {
    const folder = import.meta.dirname;
    for (const entries of ENTRIES[size]) {
      for (const structure of Object.keys(PEERS) as Structure[]) {
        const with_ = (file: string): Contender => ({ file, input: { structure, entries, size }, options: ROOM });
        const peers = PEERS[structure];
        yield* compare(size, {
          folder,
          ours: with_('ours'),
          peers: Object.fromEntries(Object.entries(peers).map(([name, file]) => [name, with_(file)])),
          metrics: peer =>
            Object.entries(FIGURES[structure]).map(
              ([figure, name]): Metric => ({
                figure,
                metric: `${structure}: ${name}, ${entries.toLocaleString('en-US')}`,
                unit: 'ns',
                better: 'less',
                goal: structure === 'map' && figure === 'get' && peer === 'Map' && entries === 1_000_000 ? 1 / 2 : INFO,
              }),
            ),
          rounds: 3,
        });
      }
    }
    yield* compare(size, {
      folder,
      ours: { file: 'tick-ours', input: { size }, options: ROOM },
      peers: { 'plain objects': { file: 'tick-plain', input: { size }, options: ROOM } },
      metrics: () => [
        { figure: 'p50', metric: 'tick, 1 M live records, p50', unit: 'µs', better: 'less', goal: INFO },
        { figure: 'p999', metric: 'tick, 1 M live records, p99.9', unit: 'µs', better: 'less', goal: 10 },
        { figure: 'max', metric: 'tick, 1 M live records, longest', unit: 'µs', better: 'less', goal: INFO },
      ],
      rounds: 3,
    });
  },
});
