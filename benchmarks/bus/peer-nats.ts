/** NATS core over loopback. It drops what a slow subscriber does not take, so the sender waits for word of it. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, type TrialInput } from '../lib/tools.ts';
import { HELLO, onMessages, publication } from './nats.ts';
import type { OtherBrokerInput } from './other-broker.ts';
import { connected, startServer, WINDOW_BYTES } from './server.ts';
import { blockOf, figureOf, messagesOf, sizesOf, TRIP_BLOCK, TRIP_BYTES, tripsOf, verify } from './sizes.ts';

const other = (input: OtherBrokerInput): Helper => new Helper(join(import.meta.dirname, 'other-broker.js'), input);

/** A port that nobody has. */
function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export default async function nats({ size, kind }: TrialInput & { kind: 'way' | 'trip' }): Promise<Measured> {
  const port = await freePort();
  startServer('nats-server', ['--addr', '127.0.0.1', '--port', String(port)], 'apt-get install nats-server');
  const socket = await connected({ host: '127.0.0.1', port });
  let hear = (_: Buffer): void => {};
  onMessages(socket, payload => hear(payload));
  socket.write(HELLO);
  const figures: Record<string, number> = {};
  const word = new Uint8Array(4);
  if (kind === 'way') {
    for (const [k, bytes] of sizesOf(size).entries()) {
      const messages = messagesOf(size, bytes, 200_000);
      const stream = `way${bytes}`;
      socket.write(`SUB ${stream} ${k + 1}\r\n`);
      const blocks = new Blocks(blockOf(messages));
      const half = Math.max(1, Math.floor(WINDOW_BYTES / bytes / 2));
      let got = 0;
      let sum = 0;
      const all = new Promise<void>(resolve => {
        hear = payload => {
          sum += payload.readInt32LE(0);
          blocks.add();
          if (++got % half === 0) socket.write(publication(`${stream}.taken`, word));
          if (got === messages) resolve();
        };
      });
      const sender = other({ broker: 'nats', port, role: 'send', stream, messages, bytes });
      await all;
      await sender.end();
      verify(sum, messages);
      figures[figureOf(bytes)] = 1e9 / blocks.medianNs;
    }
    return { figures };
  }
  const trips = tripsOf(size);
  socket.write('SUB there.back 1\r\n');
  const answerer = other({ broker: 'nats', port, role: 'answer', stream: 'there', messages: trips, bytes: TRIP_BYTES });
  await answerer.next();
  const blocks = new Blocks(TRIP_BLOCK);
  const ask = (): void => void socket.write(publication('there', new Uint8Array(TRIP_BYTES)));
  let left = trips;
  await new Promise<void>(resolve => {
    hear = () => {
      blocks.add();
      if (--left > 0) ask();
      else resolve();
    };
    ask();
  });
  await answerer.end();
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
