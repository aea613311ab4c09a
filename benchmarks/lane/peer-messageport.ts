/** A MessagePort between two worker threads of one process. */
import { Worker } from 'node:worker_threads';
import type { Measured } from '../lib/bench.ts';
import { Blocks, pin, type TrialInput } from '../lib/tools.ts';
import { BYTES, sizes, TRIP_BLOCK } from './end.ts';

export default async function messageport({ size, oneCore }: TrialInput & { oneCore: boolean }): Promise<Measured> {
  if (oneCore) pin(1);
  const trips = sizes[size].sleepyTrips;
  const blocks = new Blocks(TRIP_BLOCK);
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.on('message', message => parentPort.postMessage(message));`,
    { eval: true },
  );
  const message = new Uint8Array(BYTES);
  let got = 0;
  await new Promise<void>(resolve => {
    worker.on('message', () => {
      blocks.add();
      if (++got === trips) resolve();
      else worker.postMessage(message);
    });
    worker.postMessage(message);
  });
  await worker.terminate();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
