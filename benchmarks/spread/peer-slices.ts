/** Plain objects in an array, a slice of it in each frame: the best that a process does that may lose them. */
import type { Measured } from '../lib/bench.ts';
import { pin, type TrialInput } from '../lib/tools.ts';
import { figuresOf, HZ, sizes } from './work.ts';

const unit = (kind: number) => ({ hp: 0, seen: 0, x: 0, y: 0, kind, rank: 0 });

export default function slices({ size }: TrialInput): Measured {
  pin(1);
  const { units: count, rounds, churn } = sizes[size];
  const units = Array.from({ length: count }, (_, k) => unit(k % 7));
  const frames = HZ * (rounds + 1);
  const costs = new Float64Array(frames);
  let visits = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let k = 0; k < churn; k++) units[((frame * churn + k) * 7_919) % count] = unit(0);
    const began = performance.now();
    const step = frame % HZ;
    for (let k = Math.floor((count * step) / HZ); k < Math.floor((count * (step + 1)) / HZ); k++) {
      const each = units[k];
      visits++;
      each.seen++;
      if (each.hp < 100) each.hp++;
    }
    costs[frame] = (performance.now() - began) * 1e3;
  }
  return { figures: { ...figuresOf(costs) }, work: visits >= count * rounds ? 'all' : `${visits}` };
}
