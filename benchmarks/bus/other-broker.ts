/** The other process of trials over a broker. */
import { helperInput } from '../lib/tools.ts';
import { HELLO, onMessages, publication } from './nats.ts';
import { command, entriesOf, Replies } from './redis.ts';
import { connected, WINDOW_BYTES, write } from './server.ts';

export interface OtherBrokerInput {
  readonly broker: 'redis' | 'nats';
  readonly path?: string;
  readonly port?: number;
  readonly role: 'send' | 'answer';
  readonly stream: string;
  readonly messages: number;
  readonly bytes: number;
}

const input = helperInput<OtherBrokerInput>();
// It stays until it is told: what is on its way goes down with it.
process.on('SIGTERM', () => process.exit());
setInterval(() => {}, 60_000);
if (input.broker === 'redis') await redis(input);
else await nats(input);

function payloadOf(n: number, bytes: number): Uint8Array {
  return new Uint8Array(new Int32Array(bytes / 4).fill(n).buffer);
}

async function redis({ path, role, stream, messages, bytes }: OtherBrokerInput): Promise<void> {
  const socket = await connected({ path: path! });
  const replies = new Replies(socket);
  process.send!('ready');
  if (role === 'send') {
    const window = Math.max(2, Math.floor(WINDOW_BYTES / bytes));
    let answered = 0;
    for (let k = 0; k < messages; k++) {
      await write(socket, command('XADD', stream, '*', 'd', payloadOf(k, bytes)));
      for (; k - answered >= window; answered++) await replies.next();
    }
    return;
  }
  const writer = await connected({ path: path! });
  writer.resume();
  for (let lastId = '0', got = 0; got < messages; ) {
    socket.write(command('XREAD', 'COUNT', '100', 'BLOCK', '0', 'STREAMS', stream, lastId));
    const found = entriesOf(await replies.next());
    if (found.payloads.length > 0) lastId = found.lastId;
    for (const payload of found.payloads) writer.write(command('XADD', `${stream}-back`, '*', 'd', payload));
    got += found.payloads.length;
  }
}

async function nats({ port, role, stream, messages, bytes }: OtherBrokerInput): Promise<void> {
  const socket = await connected({ host: '127.0.0.1', port: port! });
  socket.write(HELLO);
  if (role === 'answer') {
    const answer = (payload: Buffer): void => void socket.write(publication(`${stream}.back`, payload));
    // By its answer to the ping the server knows of the subscription.
    onMessages(socket, answer, () => process.send!('ready'));
    socket.write(`SUB ${stream} 1\r\nPING\r\n`);
    return;
  }
  const half = Math.max(1, Math.floor(WINDOW_BYTES / bytes / 2));
  let allowed = 2 * half;
  let onMore = (): void => {};
  onMessages(socket, () => {
    allowed += half;
    onMore();
  });
  socket.write(`SUB ${stream}.taken 1\r\n`);
  process.send!('ready');
  for (let k = 0; k < messages; k++) {
    if (k === allowed) await new Promise<void>(resolve => (onMore = resolve));
    await write(socket, publication(stream, payloadOf(k, bytes)));
  }
}
