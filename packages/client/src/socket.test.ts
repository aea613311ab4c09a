import { describe, expect, test } from 'vitest';
import { Socket, type SocketEvents, type WebSocketLike } from './socket.ts';

/** Does what the test says, and no more. */
class ScriptedSocket implements WebSocketLike {
  static last: ScriptedSocket;
  binaryType = 'blob';
  closedWith: number[] = [];
  readonly #listeners = new Map<string, (event: object) => void>();

  constructor() {
    ScriptedSocket.last = this;
  }
  addEventListener(type: string, listener: (event: object) => void): void {
    this.#listeners.set(type, listener);
  }
  send(): void {}
  close(code: number): void {
    this.closedWith.push(code);
  }
  fire(type: string, event: object = {}): void {
    this.#listeners.get(type)!(event);
  }
}

function open(): { log: unknown[]; socket: Socket; scripted: ScriptedSocket } {
  const log: unknown[] = [];
  const events: SocketEvents = {
    opened: () => log.push('opened'),
    message: data => log.push(data),
    closed: (code, reason) => log.push([code, reason]),
  };
  const socket = new Socket(ScriptedSocket, 'ws://x', events);
  return { log, socket, scripted: ScriptedSocket.last };
}

describe('a socket', () => {
  test('asks for array buffers and hands on what comes', () => {
    const { log, scripted } = open();
    scripted.fire('open');
    scripted.fire('message', { data: 'x' });
    scripted.fire('close', { code: 4410, reason: 'left' });
    expect(log).toEqual(['opened', 'x', [4410, 'left']]);
    expect(scripted.binaryType).toBe('arraybuffer');
  });

  test('ends once, by an error that no close follows or by either of both', () => {
    const { log, scripted } = open();
    scripted.fire('error', { message: 'connect ECONNREFUSED' });
    scripted.fire('close', { code: 1006, reason: '' });
    scripted.fire('error');
    expect(log).toEqual([[1006, 'connect ECONNREFUSED']]);
  });

  test('is not heard of after close', () => {
    const { log, socket, scripted } = open();
    socket.close(1000);
    socket.close(1000);
    for (const type of ['open', 'message', 'error', 'close']) scripted.fire(type, { code: 1, reason: '' });
    expect([log, scripted.closedWith]).toEqual([[], [1000]]);
  });
});
