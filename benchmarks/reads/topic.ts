import { defineTopic, INFO, median, type Row } from '../lib/bench.ts';
import { runTrial } from '../lib/trial.ts';
import { GROUP, RATE, RECORDS } from './work.ts';

/** Part of its speed that the writer may lose. */
const LOSS = 0.02;
const ROUNDS = 5;
/** Scans a second, at least: a keeper's cut or a dashboard does not hold its reader up. */
const SCANS = 10;

export default defineTopic({
  name: 'reads',
  summary:
    'reads from outside, as of one commit, beside a writer at full speed that takes back a third; and what it loses',
  async *rows(size) {
    const folder = import.meta.dirname;
    const ours: Readonly<Record<string, number>>[] = [];
    const peers: number[] = [];
    for (let round = 0; round < (size === 'small' ? 1 : ROUNDS); round++) {
      ours.push((await runTrial(folder, { file: 'ours', input: { size } })).figures);
      peers.push((await runTrial(folder, { file: 'peer-worker', input: { size } })).figures.plain);
    }
    const all = (figure: string) => ours.map(figures => figures[figure]);
    const spread = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
    const more = { unit: 'snapshots/s', better: 'more' } as const;
    const known = (metric: string, figure: string, least: number): Row => ({
      ...more,
      metric,
      ours: median(all(figure)),
      peer: 'goal',
      peerValue: least,
      goal: 1,
      spread: { ours: spread(all(figure)) },
    });
    yield known('1 record, plain', 'one', RATE);
    yield known(`${GROUP} records, views, 1 field of each read`, 'views', RATE);
    yield {
      ...more,
      metric: `${GROUP} records, plain`,
      ours: median(all('plain')),
      peer: 'postMessage from a worker',
      peerValue: median(peers),
      goal: INFO,
      spread: { ours: spread(all('plain')), peer: spread(peers) },
      note: 'the worker answers between two of its steps, one reader at a time',
    };
    yield known(`scan of ${RECORDS} records, plain`, 'scan', SCANS);
    const alone = median(all('alone'));
    for (const [kind, what] of [
      ['one', '1 record'],
      ['views', `${GROUP} records`],
    ] as const) {
      const lost = ours.map(figures => figures[`${kind}Beside`] / figures.alone);
      const reached = Math.round(median(all(`${kind}Reached`)));
      yield {
        metric: `a writer's transaction beside ${RATE} snapshots/s of ${what}`,
        unit: 'ns',
        ours: alone * median(lost),
        peer: 'the writer alone',
        peerValue: alone,
        better: 'less',
        goal: 1 / (1 + LOSS),
        spread: { ours: spread(lost.map(ratio => ratio * alone)), peer: spread(all('alone')) },
        note: `in turns of 40 ms; the reader made ${reached} a second and was busy ${median(all(`${kind}Busy`)).toFixed(0)} % of its time`,
      };
    }
  },
});
