/** Lanes as the runtime uses them: each message is taken in a transaction of its own, and sent in one, 32 at a time. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { type OtherOursInput, runNode } from './node.ts';
import { blockOf, figureOf, messagesOf, sizesOf, TRIP_BLOCK, TRIP_BYTES, tripsOf, verify } from './sizes.ts';

const other = (input: OtherOursInput): Helper => new Helper(join(import.meta.dirname, 'other-ours.js'), input);

async function oneWay(messages: number, bytes: number): Promise<number> {
  const dir = scratchDir();
  const blocks = new Blocks(blockOf(messages));
  let got = 0;
  let sum = 0;
  await runNode(dir, 'ours', {
    onMessage(lanes, word) {
      sum += lanes.i32[word];
      got++;
      blocks.add();
    },
    async open({ core }) {
      const sender = other({ dir, role: 'send', messages, bytes });
      await sender.next();
      core.bus.sweep();
      while (got < messages) core.bus.poll();
      await sender.end();
    },
  });
  verify(sum, messages);
  return 1e9 / blocks.medianNs;
}

async function trip(trips: number): Promise<number> {
  const dir = scratchDir();
  const blocks = new Blocks(TRIP_BLOCK);
  let got = 0;
  let onLast = (): void => {};
  let send = (_: number): void => {};
  await runNode(dir, 'ours', {
    stay: true,
    onMessage() {
      blocks.add();
      if (++got < trips) send(got);
      else onLast();
    },
    async open(node) {
      const answerer = other({ dir, role: 'answer', messages: trips, bytes: TRIP_BYTES });
      const peer = await node.indexOf('other');
      send = n => void node.send(peer, n, TRIP_BYTES);
      await answerer.next();
      onLast = () => void answerer.end().then(() => node.core.stop());
      // The loop begins when this is done.
      setImmediate(() => {
        node.core.transact(() => send(0));
        node.core.bus.publish();
      });
    },
  });
  return blocks.medianNs / 1_000;
}

export default async function ours({ size, kind }: TrialInput & { kind: 'way' | 'trip' }): Promise<Measured> {
  if (kind === 'trip') return { figures: { trip: await trip(tripsOf(size)) } };
  pin(1);
  const figures: Record<string, number> = {};
  for (const bytes of sizesOf(size)) figures[figureOf(bytes)] = await oneWay(messagesOf(size, bytes, 5e6), bytes);
  return { figures };
}
