/** As much of NATS' protocol as core publish and subscribe take. */
import type { Socket } from 'node:net';

const CRLF = Buffer.from('\r\n');

export const HELLO = 'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n';

export function publication(subject: string, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`PUB ${subject} ${payload.length}\r\n`), payload, CRLF]);
}

/** Tell of each message that comes, and of each answer to a ping. */
export function onMessages(socket: Socket, tell: (payload: Buffer) => void, onPong: () => void = () => {}): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', chunk => {
    let buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    for (;;) {
      const end = buffer.indexOf(CRLF);
      if (end < 0) break;
      const line = buffer.toString('latin1', 0, end);
      if (!line.startsWith('MSG ')) {
        if (line.startsWith('PING')) socket.write('PONG\r\n');
        else if (line.startsWith('PONG')) onPong();
        else if (line.startsWith('-ERR')) throw new Error(`NATS says ${line}`);
        buffer = buffer.subarray(end + 2);
        continue;
      }
      const bytes = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (buffer.length < end + 2 + bytes + 2) break;
      tell(buffer.subarray(end + 2, end + 2 + bytes));
      buffer = buffer.subarray(end + 2 + bytes + 2);
    }
    rest = buffer;
  });
}
