/** A service that has nothing to do: what it costs. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { scratchDir, type TrialInput } from '../lib/tools.ts';
import { runEnd, sizes } from './end.ts';

export default async function idle({ size }: TrialInput): Promise<Measured> {
  const { idleMs } = sizes[size];
  let percent = 0;
  await runEnd(scratchDir(), 'ours', 1, {
    open({ core }) {
      setTimeout(() => {
        const from = nowNs();
        const cpu = process.cpuUsage();
        setTimeout(() => {
          const { user, system } = process.cpuUsage(cpu);
          percent = ((user + system) / ((nowNs() - from) / 1_000)) * 100;
          core.stop();
        }, idleMs);
      }, idleMs / 2);
    },
    stay: true,
  });
  return { figures: { idle: percent } };
}
