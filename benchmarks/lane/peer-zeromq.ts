/** zeromq.js over ipc: push to pull, and pair to pair. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { BYTES, MESSAGE_BLOCK, sizes, TRIP_BLOCK, verify, WORDS } from './end.ts';
import type { OtherZeroMqInput } from './other-zeromq.ts';
import { RECEIVE, SEND, zeromq } from './zeromq.ts';

export interface ZeroMqInput extends TrialInput {
  readonly kind: 'throughput' | 'trip';
  readonly oneCore?: boolean;
}

const helper = (input: OtherZeroMqInput): Helper => new Helper(join(import.meta.dirname, 'other-zeromq.js'), input);

async function throughput(messages: number): Promise<Measured> {
  const { Pull } = await zeromq();
  const address = `ipc://${scratchDir()}/push`;
  const socket = new Pull(RECEIVE);
  await socket.bind(address);
  const other = helper({ address, role: 'send', messages });
  let sum = 0;
  const blocks = new Blocks(MESSAGE_BLOCK);
  for (let k = 0; k < messages; k++) {
    const [message] = await socket.receive();
    blocks.add();
    const words = new DataView(message.buffer, message.byteOffset, BYTES);
    for (let w = 0; w < WORDS; w++) sum = (sum + words.getUint32(w * 4, true)) >>> 0;
  }
  const perSecond = 1e9 / blocks.medianNs;
  await other.end();
  socket.close();
  verify(sum, messages);
  return { figures: { throughput: perSecond, single: perSecond } };
}

async function trip(trips: number): Promise<Measured> {
  const { Pair } = await zeromq();
  const address = `ipc://${scratchDir()}/pair`;
  const socket = new Pair({ ...SEND, ...RECEIVE });
  await socket.bind(address);
  const other = helper({ address, role: 'answer', messages: trips });
  await other.next();
  const message = new Uint8Array(BYTES);
  const blocks = new Blocks(TRIP_BLOCK);
  for (let k = 0; k < trips; k++) {
    await socket.send(message);
    await socket.receive();
    blocks.add();
  }
  await other.end();
  socket.close();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}

export default function peer({ size, kind, oneCore }: ZeroMqInput): Promise<Measured> {
  if (oneCore) pin(1);
  const { slowMessages, sleepyTrips } = sizes[size];
  return kind === 'throughput' ? throughput(slowMessages) : trip(sleepyTrips);
}
