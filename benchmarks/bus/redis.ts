/** As much of Redis' protocol as streams take. */
import type { Socket } from 'node:net';

/** A command as RESP: an array of byte strings. */
export function command(...parts: readonly (string | Uint8Array)[]): Buffer {
  const chunks: Buffer[] = [Buffer.from(`*${parts.length}\r\n`)];
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.buffer, part.byteOffset, part.length);
    chunks.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(chunks);
}

const CRLF = Buffer.from('\r\n');

/** A byte string, a number, nothing, or several of them. */
export type Reply = Buffer | number | undefined | readonly Reply[];

const INCOMPLETE = Symbol('incomplete');

/** Takes replies out of what a socket gives, in order. */
export class Replies {
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  readonly #ready: Reply[] = [];
  #wanting: ((reply: Reply) => void) | undefined;

  constructor(socket: Socket) {
    socket.on('data', chunk => {
      this.#buffer = this.#at < this.#buffer.length ? Buffer.concat([this.#buffer.subarray(this.#at), chunk]) : chunk;
      this.#at = 0;
      for (;;) {
        const from = this.#at;
        const reply = this.#take();
        if (reply === INCOMPLETE) {
          this.#at = from;
          break;
        }
        const want = this.#wanting;
        this.#wanting = undefined;
        if (want) want(reply);
        else this.#ready.push(reply);
      }
    });
  }

  next(): Promise<Reply> {
    if (this.#ready.length > 0) return Promise.resolve(this.#ready.shift());
    return new Promise(resolve => (this.#wanting = resolve));
  }

  #take(): Reply | typeof INCOMPLETE {
    const end = this.#buffer.indexOf(CRLF, this.#at);
    if (end < 0) return INCOMPLETE;
    const kind = String.fromCharCode(this.#buffer[this.#at]);
    const line = this.#buffer.toString('latin1', this.#at + 1, end);
    this.#at = end + 2;
    if (kind === '-') throw new Error(`Redis says ${line}`);
    if (kind === ':') return Number(line);
    if (kind === '+') return Buffer.from(line);
    const count = Number(line);
    if (count < 0) return undefined;
    if (kind === '$') {
      if (this.#buffer.length < this.#at + count + 2) return INCOMPLETE;
      const bytes = this.#buffer.subarray(this.#at, this.#at + count);
      this.#at += count + 2;
      return bytes;
    }
    const list: Reply[] = [];
    for (let k = 0; k < count; k++) {
      const item = this.#take();
      if (item === INCOMPLETE) return INCOMPLETE;
      list.push(item);
    }
    return list;
  }
}

/** Messages of an XREAD of one stream, with the id of the last. */
export function entriesOf(reply: Reply): { payloads: Buffer[]; lastId: string } {
  if (reply === undefined) return { payloads: [], lastId: '' };
  // [[stream, [[id, [field, value]], …]]]
  const entries = ((reply as Reply[])[0] as Reply[])[1] as [Buffer, Buffer[]][];
  return { payloads: entries.map(([, fields]) => fields[1]), lastId: String(entries.at(-1)![0]) };
}
