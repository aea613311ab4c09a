/** Plain objects in a worker thread that changes them as fast as it can; who wants a group sends it a message and gets a
 * structured clone, once the worker comes round to it. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin, type TrialInput } from '../lib/tools.ts';
import { GROUPS, type Plain, sizes, verify } from './work.ts';

export default async function peer({ size }: TrialInput): Promise<Measured> {
  pin(0);
  const worker = new Worker(join(import.meta.dirname, 'peer-worker-thread.js'));
  const next = () => new Promise<unknown>(resolve => worker.once('message', resolve));
  await next();
  const read = async (k: number): Promise<void> => {
    const answer = next();
    worker.postMessage(k % GROUPS);
    verify(((await answer) as Plain[]).reduce((sum, { gold }) => sum + gold, 0));
  };
  const count = sizes[size].group / 20;
  for (let k = 0; k < count / 10; k++) await read(k);
  const from = nowNs();
  for (let k = 0; k < count; k++) await read(k);
  const perSecond = (count * 1e9) / (nowNs() - from);
  await worker.terminate();
  return { figures: { plain: perSecond } };
}
