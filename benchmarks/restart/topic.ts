import { defineTopic, INFO, type Row, type Size } from '../lib/bench.ts';
import { runTrial } from '../lib/trial.ts';
import type { OursInput } from './ours.ts';
import type { RestartInput } from './world.ts';

/** At most so long, ms. */
const FRAME = 16.7;
const COLD = 300;

const sizes: Record<Size, { mib: readonly number[]; warmKills: number; coldKills: number; peerKills: number }> = {
  small: { mib: [1], warmKills: 3, coldKills: 2, peerKills: 1 },
  full: { mib: [16, 256], warmKills: 60, coldKills: 50, peerKills: 10 },
};

const CASES = [
  { what: 'standby', standby: true, busy: false, goal: FRAME },
  { what: 'standby, both cores busy', standby: true, busy: true, goal: FRAME },
  { what: 'no standby', standby: false, busy: false, goal: COLD },
];

export default defineTopic({
  name: 'restart',
  summary: 'from the SIGKILL of a node with many records to the first message that its next life handles',
  async *rows(size) {
    const folder = import.meta.dirname;
    const { mib: allMib, warmKills, coldKills, peerKills } = sizes[size];
    for (const mib of allMib) {
      const peerInput: RestartInput = { size, mib, kills: peerKills };
      const { figures: peer } = await runTrial(folder, { file: 'peer-file', input: peerInput });
      for (const { what, standby, busy, goal } of CASES) {
        const input: OursInput = { size, mib, kills: standby ? warmKills : coldKills, standby, busy };
        const { figures } = await runTrial(folder, { file: 'ours', input });
        const ours = [figures.min, figures.max] as const;
        const row = { unit: 'ms', better: 'less', spread: { ours } } as const;
        yield {
          ...row,
          metric: `${mib} MiB, ${what}, p99 of ${input.kills}`,
          ours: figures.p99,
          peer: 'goal',
          peerValue: goal,
          goal: 1,
        } satisfies Row;
        if (busy) continue;
        yield {
          ...row,
          metric: `${mib} MiB, ${what}, p50`,
          ours: figures.p50,
          peer: 'fork and load a file',
          peerValue: peer.p50,
          goal: INFO,
          spread: { ours, peer: [peer.min, peer.max] },
        } satisfies Row;
      }
    }
  },
});
