import { defineTopic, INFO, type Row, type Size } from '../lib/bench.ts';
import { runTrial } from '../lib/trial.ts';
import type { DevInput } from './ours.ts';

/** At most so long, ms. */
const GOAL = 300;

const sizes: Record<Size, { edits: number; pauseMs: number }> = {
  small: { edits: 2, pauseMs: 0 },
  full: { edits: 20, pauseMs: 1_500 },
};

export default defineTopic({
  name: 'dev',
  summary: 'from saving a file under `lich dev` to the first effect of the new code in the running state',
  async *rows(size) {
    const { edits, pauseMs } = sizes[size];
    const input: DevInput = { size, edits, pauseMs };
    const { figures } = await runTrial(import.meta.dirname, { file: 'ours', input });
    const { p50, max, min } = figures;
    const row = { unit: 'ms', better: 'less', peer: 'goal', peerValue: GOAL, spread: { ours: [min, max] } } as const;
    yield { ...row, metric: `a figure of a fight, p50 of ${edits} edits`, ours: p50, goal: INFO } satisfies Row;
    yield { ...row, metric: `a figure of a fight, the slowest of ${edits} edits`, ours: max, goal: 1 } satisfies Row;
  },
});
