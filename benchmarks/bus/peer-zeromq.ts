/** zeromq.js over ipc or tcp: push to pull, and pair to pair. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { RECEIVE, SEND, zeromq } from '../lane/zeromq.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { OtherZeroMqInput } from './other-zeromq.ts';
import { blockOf, figureOf, messagesOf, sizesOf, TRIP_BLOCK, TRIP_BYTES, tripsOf, verify } from './sizes.ts';

interface Input extends TrialInput {
  readonly kind: 'way' | 'trip';
  readonly transport: 'ipc' | 'tcp';
}

const other = (input: OtherZeroMqInput): Helper => new Helper(join(import.meta.dirname, 'other-zeromq.js'), input);

const addressOf = (transport: 'ipc' | 'tcp'): string =>
  transport === 'ipc' ? `ipc://${scratchDir()}/bus` : 'tcp://127.0.0.1:*';

async function oneWay(transport: 'ipc' | 'tcp', messages: number, bytes: number): Promise<number> {
  const { Pull } = await zeromq();
  const socket = new Pull(RECEIVE);
  await socket.bind(addressOf(transport));
  const sender = other({ address: socket.lastEndpoint, role: 'send', messages, bytes });
  const blocks = new Blocks(blockOf(messages));
  let sum = 0;
  for (let k = 0; k < messages; k++) {
    const [message] = await socket.receive();
    sum += new DataView(message.buffer, message.byteOffset).getInt32(0, true);
    blocks.add();
  }
  await sender.end();
  socket.close();
  verify(sum, messages);
  return 1e9 / blocks.medianNs;
}

export default async function peer({ size, kind, transport }: Input): Promise<Measured> {
  if (kind === 'way') {
    pin(1);
    const figures: Record<string, number> = {};
    for (const bytes of sizesOf(size))
      figures[figureOf(bytes)] = await oneWay(transport, messagesOf(size, bytes, 200_000), bytes);
    return { figures };
  }
  const { Pair } = await zeromq();
  const socket = new Pair({ ...SEND, ...RECEIVE });
  await socket.bind(addressOf(transport));
  const trips = tripsOf(size);
  const answerer = other({ address: socket.lastEndpoint, role: 'answer', messages: trips, bytes: TRIP_BYTES });
  await answerer.next();
  const message = new Uint8Array(TRIP_BYTES);
  const blocks = new Blocks(TRIP_BLOCK);
  for (let k = 0; k < trips; k++) {
    await socket.send(message);
    await socket.receive();
    blocks.add();
  }
  await answerer.end();
  socket.close();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
