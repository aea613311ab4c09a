/** setTimeout and clearTimeout of Node.js: a list for each length of time, and a heap of the lists. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { sizes, workOf } from './work.ts';

export default function settimeout({ size }: TrialInput): Measured {
  pin(1);
  nowNs();
  const { live, batch, rounds, warm } = sizes[size];
  const { delays, order } = workOf(sizes[size]);
  const nothing = (): void => {};
  const waiting: NodeJS.Timeout[] = [];
  for (let id = 0; id < live; id++) waiting.push(setTimeout(nothing, delays[id]));

  const handles: NodeJS.Timeout[] = new Array(batch);
  let insert = Number.POSITIVE_INFINITY;
  let cancel = Number.POSITIVE_INFINITY;
  for (let k = 0; k < warm + rounds; k++) {
    const posted = bestNs(1, 0, batch, () => {
      for (let n = 0; n < batch; n++) handles[n] = setTimeout(nothing, delays[live + n]);
    });
    const cancelled = bestNs(1, 0, batch, () => {
      for (let n = 0; n < batch; n++) clearTimeout(handles[order[n]]);
    });
    if (k < warm) continue;
    insert = Math.min(insert, posted);
    cancel = Math.min(cancel, cancelled);
  }
  for (const timer of waiting) clearTimeout(timer);
  return { figures: { insert: 1e3 / insert, cancel: 1e3 / cancel } };
}
