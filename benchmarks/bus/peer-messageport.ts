/** A MessagePort between two worker threads of one process; one way, buffers are copied as they are between processes. */
import { Worker } from 'node:worker_threads';
import type { Measured } from '../lib/bench.ts';
import { Blocks, type TrialInput } from '../lib/tools.ts';
import { blockOf, figureOf, messagesOf, sizesOf, TRIP_BLOCK, TRIP_BYTES, tripsOf, verify } from './sizes.ts';

/** Messages that may be under way: a port takes any number, and memory with them. */
const WINDOW = 1_000;

const CODE = `
  const { parentPort, workerData: { messages, bytes, role, window } } = require('node:worker_threads');
  if (role === 'answer') parentPort.on('message', message => parentPort.postMessage(message));
  else {
    let sent = 0;
    const more = () => {
      for (const to = Math.min(messages, sent + window); sent < to; sent++)
        parentPort.postMessage(new Int32Array(bytes / 4).fill(sent));
    };
    parentPort.on('message', more);
    more();
  }`;

const worker = (workerData: object): Worker => new Worker(CODE, { eval: true, workerData });

async function oneWay(messages: number, bytes: number): Promise<number> {
  const sender = worker({ role: 'send', messages, bytes, window: WINDOW });
  const blocks = new Blocks(blockOf(messages));
  let sum = 0;
  let got = 0;
  await new Promise<void>(resolve => {
    sender.on('message', (message: Int32Array) => {
      sum += message[0];
      blocks.add();
      if (++got === messages) resolve();
      // Before it has nothing more to send.
      else if (got % WINDOW === WINDOW / 2) sender.postMessage(0);
    });
  });
  await sender.terminate();
  verify(sum, messages);
  return 1e9 / blocks.medianNs;
}

export default async function messageport({ size, kind }: TrialInput & { kind: 'way' | 'trip' }): Promise<Measured> {
  if (kind === 'way') {
    const figures: Record<string, number> = {};
    for (const bytes of sizesOf(size)) figures[figureOf(bytes)] = await oneWay(messagesOf(size, bytes, 200_000), bytes);
    return { figures };
  }
  const trips = tripsOf(size);
  const answerer = worker({ role: 'answer' });
  const blocks = new Blocks(TRIP_BLOCK);
  const message = new Uint8Array(TRIP_BYTES);
  let got = 0;
  await new Promise<void>(resolve => {
    answerer.on('message', () => {
      blocks.add();
      if (++got === trips) resolve();
      else answerer.postMessage(message);
    });
    answerer.postMessage(message);
  });
  await answerer.terminate();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
