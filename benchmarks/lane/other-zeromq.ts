/** The other process of zeromq's trials. */
import { helperInput } from '../lib/tools.ts';
import { BYTES, WORDS } from './end.ts';
import { RECEIVE, SEND, zeromq } from './zeromq.ts';

export interface OtherZeroMqInput {
  readonly address: string;
  readonly role: 'send' | 'answer';
  readonly messages: number;
}

const { address, role, messages } = helperInput<OtherZeroMqInput>();
const { Pair, Push } = await zeromq();
const socket = role === 'send' ? new Push(SEND) : new Pair({ ...SEND, ...RECEIVE });
socket.connect(address);
// What is still on its way goes down with this process: it stays until it is told.
process.on('SIGTERM', () => process.exit());
setInterval(() => {}, 60_000);
process.send!('ready');
if (role === 'send') {
  for (let k = 0; k < messages; k++) {
    const message = new Uint32Array(WORDS);
    for (let w = 0; w < WORDS; w++) message[w] = k + w;
    await socket.send(new Uint8Array(message.buffer, 0, BYTES));
  }
} else {
  for (let k = 0; k < messages; k++) {
    const [message] = await socket.receive();
    await socket.send(message);
  }
}
