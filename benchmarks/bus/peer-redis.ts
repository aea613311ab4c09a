/** Redis streams over a Unix socket, nothing on disk: XADD, many on their way; XREAD, up to a hundred at once. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { OtherBrokerInput } from './other-broker.ts';
import { command, entriesOf, Replies } from './redis.ts';
import { connected, startServer } from './server.ts';
import { blockOf, figureOf, messagesOf, sizesOf, TRIP_BLOCK, TRIP_BYTES, tripsOf, verify } from './sizes.ts';

const other = (input: OtherBrokerInput): Helper => new Helper(join(import.meta.dirname, 'other-broker.js'), input);
const read = (stream: string, after: string): Buffer =>
  command('XREAD', 'COUNT', '100', 'BLOCK', '0', 'STREAMS', stream, after);

export default async function redis({ size, kind }: TrialInput & { kind: 'way' | 'trip' }): Promise<Measured> {
  const path = `${scratchDir()}/redis.sock`;
  startServer(
    'redis-server',
    ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no'],
    'apt-get install redis-server',
  );
  const socket = await connected({ path });
  const replies = new Replies(socket);
  const take = async (stream: string, messages: number, onEach: (payload: Buffer) => void): Promise<void> => {
    let lastId = '0';
    for (let got = 0; got < messages; ) {
      socket.write(read(stream, lastId));
      const found = entriesOf(await replies.next());
      if (found.payloads.length > 0) lastId = found.lastId;
      for (const payload of found.payloads) onEach(payload);
      got += found.payloads.length;
      // What was read is not kept for ever.
      socket.write(command('XTRIM', stream, 'MINID', lastId));
      await replies.next();
    }
  };
  const figures: Record<string, number> = {};
  if (kind === 'way') {
    for (const bytes of sizesOf(size)) {
      const messages = messagesOf(size, bytes, 100_000);
      const stream = `way-${bytes}`;
      const sender = other({ broker: 'redis', path, role: 'send', stream, messages, bytes });
      const blocks = new Blocks(blockOf(messages));
      let sum = 0;
      await take(stream, messages, payload => {
        sum += payload.readInt32LE(0);
        blocks.add();
      });
      await sender.end();
      verify(sum, messages);
      figures[figureOf(bytes)] = 1e9 / blocks.medianNs;
    }
    return { figures };
  }
  const trips = tripsOf(size);
  const answerer = other({
    broker: 'redis',
    path,
    role: 'answer',
    stream: 'there',
    messages: trips,
    bytes: TRIP_BYTES,
  });
  await answerer.next();
  const writer = await connected({ path });
  writer.resume();
  const blocks = new Blocks(TRIP_BLOCK);
  const payload = new Uint8Array(TRIP_BYTES);
  const ask = (): void => void writer.write(command('XADD', 'there', '*', 'd', payload));
  ask();
  let left = trips;
  await take('there-back', trips, () => {
    blocks.add();
    if (--left > 0) ask();
  });
  await answerer.end();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
