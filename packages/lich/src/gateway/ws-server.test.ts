import { CloseCode, readGatewayFrame, syncPlanOf, writeHello, writeMessage, Writer } from '@lich/schema';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { settingsOf } from './internal.ts';
import type { GatewayOptions } from './options.ts';
import { Land, Rig, said, Talk, until } from './testing/rig.ts';
import { WsServer } from './ws-server.ts';

let rig: Rig;
const sockets: WebSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await rig.stop();
  removeTestDirs();
});
const start = async (options: Omit<GatewayOptions, 'ws'> = {}): Promise<void> => {
  rig = await new Rig(testDir(), options).start();
};
function open(path = '', headers: Record<string, string> = {}): WebSocket {
  const socket = new WebSocket(rig.gateway.address() + path, { headers });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}
const frame = (fill: (writer: Writer) => void): Uint8Array => {
  const writer = new Writer();
  fill(writer);
  return writer.finish();
};
const hello = frame(w =>
  writeHello(w, { protocolHash: Talk.hash, stateHash: syncPlanOf(Land).hash, token: undefined, lastSeq: 0 }),
);
const walk = (n: number): Uint8Array =>
  frame(w => {
    writeMessage(w, n, 0, 0);
    w.f32(1);
  });
async function join(): Promise<{ socket: WebSocket; kinds: string[]; outs: () => number }> {
  const socket = open();
  const kinds: string[] = [];
  socket.on('message', (data: Buffer) => kinds.push(readGatewayFrame(data).type));
  await once(socket, 'open');
  socket.send(hello);
  await until(() => kinds.includes('out'));
  return { socket, kinds, outs: () => kinds.filter(kind => kind === 'out').length };
}
const closeCode = async (socket: WebSocket): Promise<number> => ((await once(socket, 'close')) as [number])[0];

test('a real socket joins, speaks and hears', async () => {
  await start();
  const { socket, kinds, outs } = await join();
  expect(kinds).toEqual(['welcome', 'out']);
  for (let n = 1; n <= 100; n++) socket.send(walk(n));
  await until(() => rig.scene.inputs.length === 100);
  for (let n = 1; n <= 100; n++) rig.scene.say(said(n));
  await until(() => outs() === 101 && kinds.includes('taken'));
  expect(socket.extensions).toBe('');
});

test('frames that are too large, by a little and by far', async () => {
  await start({ maxFrameBytes: 1_000 });
  for (const bytes of [1_001, 1_000_000]) {
    const { socket } = await join();
    socket.send(new Uint8Array(bytes));
    expect(await closeCode(socket)).toBe(CloseCode.FRAME_TOO_LARGE);
  }
});

test('what is no WebSocket frame at all closes that socket', async () => {
  await start();
  const { socket } = await join();
  const other = await join();
  (socket as unknown as { _socket: { write(bytes: Uint8Array): void } })._socket.write(
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3),
  );
  expect(await closeCode(socket)).toBe(CloseCode.MALFORMED);
  socket.terminate();
  rig.scene.say(said(1));
  await until(() => other.outs() === 2);
});

test('GET /health is answered, nothing else', async () => {
  await start();
  await join();
  const http = rig.gateway.address().replace('ws:', 'http:');
  const health = await fetch(`${http}/health`);
  expect(await health.json()).toMatchObject({
    name: 'gateway-1',
    epoch: 1,
    sessions: 1,
    sockets: 1,
    framesIn: 1,
    framesOut: 1,
    joined: 1,
    closed: {},
  });
  expect((await fetch(`${http}/`)).status).toBe(404);
  expect((await fetch(`${http}/health`, { method: 'POST' })).status).toBe(404);
});

test('another path, another origin', async () => {
  await start({ path: '/game', origins: ['https://game.example'] });
  const failed = async (socket: WebSocket): Promise<string> => ((await once(socket, 'error')) as [Error])[0].message;
  const wrongPath = new WebSocket(rig.gateway.address().replace('/game', '/other'));
  expect(await failed(wrongPath)).toContain('404');
  const wrongOrigin = open('', { origin: 'https://evil.example' });
  expect(await failed(wrongOrigin)).toContain('403');
  const noOrigin = open();
  expect(await failed(noOrigin)).toContain('403');
  const right = open('', { origin: 'https://game.example' });
  await once(right, 'open');
});

test('a client that stops reading harms no other, and gets all when it reads', { timeout: 120_000 }, async () => {
  await start({ socketBytes: 65_536, outputBytes: 16 * 1_048_576 });
  const slow = await join();
  const quick = await join();
  slow.socket.pause();
  const events = 3_000;
  const large = new Uint8Array(4_000);
  large.set([3, 2, 2]);
  for (let k = 0; k < events; k++) {
    rig.scene.say(large);
    if (k % 50 === 0) await until(() => quick.outs() >= k - 50);
  }
  await until(() => quick.outs() === events + 1);
  // 12 MB were said: the rest waits in the ring, not in the socket.
  expect(slow.outs()).toBeLessThan(events);
  slow.socket.resume();
  await until(() => slow.outs() === events + 1);
});

test('a port that is taken is said with its number', async () => {
  await start();
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as { port: number };
  const server = new WsServer(settingsOf({ ws: port }), 1, rig.logic);
  await expect(server.open()).rejects.toMatchObject({
    code: 'GATEWAY_LISTEN',
    message: expect.stringContaining(String(port)),
  });
  holder.close();
});

test('a connection that says no HTTP is dropped', async () => {
  await start();
  const socket = connectTcp(Number(new URL(rig.gateway.address()).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write('nonsense\r\n\r\n');
  await once(socket, 'close');
  await join();
});
