import { defineTopic, type Row, type Size } from '../lib/bench.ts';
import { runTrial } from '../lib/trial.ts';
import type { DeployInput } from './ours.ts';

/** At most so long, ms: a frame where the layout stays, a second where a million records are brought over. */
const FRAME = 16.7;
const MIGRATED = 1_000;

const sizes: Record<Size, { records: number; deploys: number }> = {
  small: { records: 1_000, deploys: 1 },
  full: { records: 1_000_000, deploys: 5 },
};

export default defineTopic({
  name: 'deploy',
  summary:
    'how long a service under full load handles nothing while it gets new code, over the same layout and another one',
  async *rows(size) {
    const { records, deploys } = sizes[size];
    for (const { what, layout, goal } of [
      { what: 'the layout stays', layout: 'same', goal: FRAME },
      { what: 'a field more in each record', layout: 'other', goal: MIGRATED },
    ] as const) {
      const input: DeployInput = { size, records, deploys, layout };
      const { figures } = await runTrial(import.meta.dirname, { file: 'ours', input });
      yield {
        metric: `${records} records, ${what}, the longest of ${deploys}`,
        unit: 'ms',
        better: 'less',
        ours: figures.max,
        peer: 'goal',
        peerValue: goal,
        goal: 1,
        spread: { ours: [figures.min, figures.max] },
        note: `p50 ${figures.p50.toFixed(1)} ms; as \`lich deploy\` says it, at most ${figures.said} ms`,
      } satisfies Row;
    }
  },
});
