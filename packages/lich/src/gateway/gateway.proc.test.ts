/** The whole way with real processes and clients: nothing that was said is lost or done twice, and nothing that was answered
 * is missing, whoever of gateway and scene is killed. */
import { connect } from '@lich/client';
import { CloseCode, syncPlanOf, writeHello, Writer } from '@lich/schema';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { attachSegment, OwnerLock } from '../shm/index.ts';
import { openReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Land, LandProtocol } from '../testing/fixtures/land/game.ts';
import { LichUp, until } from '../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/land/topology.ts', import.meta.url));
const KILLS = process.env.LICH_SOAK ? 400 : 10;
const FRAMES = process.env.LICH_SOAK ? 10_000 : 3_000;
const CLIENTS = 10;

let dir: string;
let up: LichUp;
let url: string;

beforeEach(async () => {
  dir = testDir();
  const port = await freePort();
  url = `ws://127.0.0.1:${port}`;
  up = await LichUp.up(TOPOLOGY, dir, { LAND_WS: String(port) });
});
afterEach(async () => {
  await up.stop();
  removeTestDirs();
});

class Walk {
  readonly game: Awaited<ReturnType<typeof connect<typeof LandProtocol, typeof Land>>>;
  n = 0;
  answered = 0;
  told: number[] = [];
  wrong: string[] = [];
  isEnding = false;

  constructor(game: Walk['game']) {
    this.game = game;
    game.on('told', ({ n }) => void this.told.push(n));
  }

  static async join(lost: string[]): Promise<Walk> {
    return new Walk(
      await connect(url, {
        protocol: LandProtocol,
        state: Land,
        WebSocket,
        backoff: { minMs: 5, maxMs: 50 },
        onStatus: (status, reason) => {
          if (reason !== undefined) lost.push(`${status} ${reason.code}`);
        },
      }),
    );
  }

  /** Say all the time, a few at once; the n-th message is answered with n. */
  async run(): Promise<void> {
    while (!this.isEnding) {
      for (let k = 0; k < 3; k++) this.game.send('step', { n: ++this.n });
      const n = ++this.n;
      const { steps, wrong } = await this.game.ask('count', { n });
      if (steps !== n || wrong !== 0) this.wrong.push(`asked as ${n}: ${steps} steps, ${wrong} wrong`);
      this.answered++;
      await new Promise(resolve => setTimeout(resolve, 4));
    }
  }
}

test(`${KILLS} kills of gateway and scene under load`, { timeout: KILLS * 5_000 + 120_000 }, async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  const replay = `replay with LICH_SEED=${seed}`;
  const random = seeded(seed);
  const lost: string[] = [];
  const walks = await Promise.all(Array.from({ length: CLIENTS }, () => Walk.join(lost)));
  const running = walks.map(walk => walk.run());
  let gatewayKills = 0;
  for (let kills = 0; kills < KILLS; ) {
    const name = random() < 0.6 ? 'gateway-1' : 'land-1';
    const before = walks.map(({ answered }) => answered);
    if (!kill(name)) continue;
    kills++;
    if (name === 'gateway-1') gatewayKills++;
    // Sometimes the next one comes before all are back.
    const patience = random() < 0.3 ? 1 : CLIENTS;
    await until(() => walks.filter(({ answered }, k) => answered > before[k]! + 1).length >= patience);
  }
  for (const walk of walks) walk.isEnding = true;
  await Promise.all(running);
  // One more request behind everything: all that was said before is done, and told.
  await Promise.all(walks.map(async walk => walk.game.ask('count', { n: ++walk.n })));
  expect(
    walks.flatMap(({ wrong }) => wrong),
    replay,
  ).toEqual([]);
  const reader = openReader(attachSegment({ dir, name: 'land-1', kind: 'state' }));
  const players = reader.snapshot(s => [...s.pool('walkers').values()]) as unknown as {
    steps: number;
    wrong: number;
    told: number;
  }[];
  expect(
    players.map(({ steps }) => steps).sort((a, b) => a - b),
    replay,
  ).toEqual(walks.map(({ n }) => n).sort((a, b) => a - b));
  expect(
    players.every(({ wrong }) => wrong === 0),
    replay,
  ).toBe(true);
  // What was told comes before the answers behind it.
  for (const { told } of walks) expect(told, replay).toEqual(told.map((_, k) => k + 1));
  expect(
    walks.map(({ told }) => told.length).sort((a, b) => a - b),
    replay,
  ).toEqual(players.map(({ told }) => told).sort((a, b) => a - b));
  // Only killed gateways ended connections, and nothing was given up: each reason is a broken connection.
  expect([...new Set(lost)].sort(), replay).toEqual(['connecting CLIENT_CONNECTION']);
  expect(gatewayKills, replay).toBeGreaterThan(0);
  const gateway = openReader(attachSegment({ dir, name: 'gateway-1', kind: 'state' }));
  expect(gateway.snapshot(s => [...s.pool('sessions').values()].length)).toBe(CLIENTS);
  for (const state of [reader, gateway]) expect(state.check(), replay).toEqual([]);
  for (const { game } of walks) game.close();
  await until(() => gateway.snapshot(s => [...s.pool('sessions').values()].length) === 0);
  await until(() => reader.snapshot(s => [...s.pool('walkers').values()].length) === 0);
});

test(`${FRAMES} random frames through real sockets: the process lives, its memory is level, a player notices nothing`, {
  timeout: 300_000,
}, async () => {
  const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
  const replay = `replay with LICH_SEED=${seed}`;
  const random = seeded(seed);
  const lost: string[] = [];
  const walk = await Walk.join(lost);
  const running = walk.run();
  const pid = OwnerLock.open(dir, 'gateway-1').owner()!.pid;
  const codes = new Map<number, number>();
  const hello = helloFrame();
  let rssAtHalf = 0;
  let sent = 0;
  // Each socket is closed at its first bad frame: what it sends behind that is not read, and does not count.
  const one = async (): Promise<void> => {
    const socket = new WebSocket(url);
    socket.on('error', () => {});
    const closed = once(socket, 'close') as Promise<[number]>;
    await once(socket, 'open');
    const bytes = Uint8Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256));
    if (random() < 0.5 && bytes.length > 1) bytes[0] = 1 + Math.floor(random() * 4);
    if (random() < 0.1) {
      socket.send(hello);
      await once(socket, 'message');
    }
    socket.send(bytes, { binary: random() < 0.9 });
    sent++;
    // Noise may happen to be an ACK, say, and be fine.
    socket.send('no frame of ours');
    const [code] = await closed;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  };
  const worker = async (): Promise<void> => {
    while (sent < FRAMES) {
      await one();
      if (rssAtHalf === 0 && sent >= FRAMES / 2) rssAtHalf = rssOf(pid);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  walk.isEnding = true;
  await running;
  expect(OwnerLock.open(dir, 'gateway-1').owner()!.pid, replay).toBe(pid);
  expect(walk.wrong, replay).toEqual([]);
  expect(lost, replay).toEqual([]);
  expect(
    [...codes.keys()].filter(code => !ALLOWED.has(code)),
    replay,
  ).toEqual([]);
  expect(rssOf(pid) - rssAtHalf, replay).toBeLessThan(64 * 1_048_576);
  const health = (await (await fetch(`${url.replace('ws', 'http')}/health`)).json()) as {
    framesIn: number;
    sockets: number;
  };
  expect(health.framesIn, replay).toBeGreaterThanOrEqual(FRAMES);
  expect(health.sockets, replay).toBe(1);
  walk.game.close();
});

/** What noise may lead to: BYE and HELLO are good frames where they are allowed. */
const ALLOWED = new Set<number>([CloseCode.MALFORMED, CloseCode.PROTOCOL_DIFFERS, CloseCode.SESSION_ENDED]);

function helloFrame(): Uint8Array {
  const writer = new Writer();
  writeHello(writer, {
    protocolHash: LandProtocol.hash,
    stateHash: syncPlanOf(Land).hash,
    token: undefined,
    lastSeq: 0,
  });
  return writer.finish();
}

/** SIGKILL the owner. @returns false when nobody owns the node at this moment */
function kill(name: string): boolean {
  const owner = OwnerLock.open(dir, name).owner();
  if (owner === undefined) return false;
  try {
    process.kill(owner.pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

function rssOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function seeded(seed: number): () => number {
  let s = seed | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 32;
  };
}
