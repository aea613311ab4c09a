/** The other process of zeromq's trials. */
import { RECEIVE, SEND, zeromq } from '../lane/zeromq.ts';
import { helperInput, pin } from '../lib/tools.ts';

export interface OtherZeroMqInput {
  readonly address: string;
  readonly role: 'send' | 'answer';
  readonly messages: number;
  readonly bytes: number;
}

const { address, role, messages, bytes } = helperInput<OtherZeroMqInput>();
const { Pair, Push } = await zeromq();
if (role === 'send') pin(0);
const socket = role === 'send' ? new Push(SEND) : new Pair({ ...SEND, ...RECEIVE });
socket.connect(address);
// What is still on its way goes down with this process: it stays until it is told.
process.on('SIGTERM', () => process.exit());
setInterval(() => {}, 60_000);
process.send!('ready');
for (let k = 0; k < messages; k++) {
  if (role === 'answer') {
    const [message] = await socket.receive();
    await socket.send(message);
    continue;
  }
  await socket.send(new Uint8Array(new Int32Array(bytes / 4).fill(k).buffer));
}
