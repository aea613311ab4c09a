/** Connections that break after a random number of bytes in either direction: every message is done once, in order; every
 * event arrives once, in order; every request is answered; the view ends as the server's. And random bytes from a server. */
import { OutKind, recordRefOf, syncPlanOf, SyncWriter, Writer, writeEvent, writeOut } from '@lich/schema';
import fc from 'fast-check';
import { connect as tcpConnect, createServer, type Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { WebSocket as WsWebSocket, WebSocketServer } from 'ws';
import { connect } from './connect.ts';
import type { Game } from './game.ts';
import type { WebSocketConstructor } from './socket.ts';
import { Arena, playerValues, State } from './testing/arena.ts';
import { FakeGateway, type Server } from './testing/fake-gateway.ts';

type ArenaGame = Game<typeof Arena, typeof State>;
const SLOTS = 4;
/** Node 22 has one of its own, which reports failed handshakes in another way. */
const own = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
const sockets: [string, WebSocketConstructor][] = [
  ['ws', WsWebSocket],
  ...(own ? [['own', own] as [string, WebSocketConstructor]] : []),
];

// The time limit is a watchdog. A hang is not shrunk: each try would take as long.
const until = (what: () => boolean): Promise<void> =>
  vi.waitFor(() => (what() ? undefined : Promise.reject(new Error(`not yet: ${String(what)}`))), {
    timeout: 60_000,
    interval: 1,
  });
const turn = (): Promise<void> => new Promise(done => setImmediate(done));

/** A gateway of its own for each run, so that a run which hangs disturbs no other. */
async function freshGateway(): Promise<FakeGateway> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  await new Promise(done => server.once('listening', done));
  return new FakeGateway(server as Server, Arena, State);
}

/** TCP in between: connection i is cut after so many bytes to or from the client; those past the list hold. */
async function unreliable(
  port: number,
  cuts: readonly { up: number; down: number }[],
): Promise<{ url: string; close(): Promise<void> }> {
  const open = new Set<Socket>();
  let count = 0;
  const proxy = createServer(near => {
    const cut = cuts[count++] ?? { up: Infinity, down: Infinity };
    const far = tcpConnect(port, '127.0.0.1');
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    const pipe = (from: Socket, to: Socket, bytes: number): void => {
      let left = bytes;
      from.on('data', chunk => {
        to.write(chunk.subarray(0, Math.min(left, chunk.length)));
        left -= chunk.length;
        if (left <= 0) to.end(() => end());
      });
    };
    pipe(near, far, cut.up);
    pipe(far, near, cut.down);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', end).on('close', () => {
        open.delete(socket);
        end();
      });
    }
  });
  await new Promise<void>(done => proxy.listen(0, '127.0.0.1', done));
  return {
    url: `ws://127.0.0.1:${(proxy.address() as { port: number }).port}`,
    close: () => {
      for (const socket of open) socket.destroy();
      return new Promise(done => proxy.close(() => done()));
    },
  };
}

type Step =
  | { readonly do: 'send' | 'ask' | 'event' | 'turn' }
  | { readonly do: 'change' | 'leave'; readonly slot: number; readonly hp: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('send', 'ask', 'event', 'turn') }),
  fc.record({ do: fc.constantFrom('change', 'change', 'leave'), slot: fc.nat(SLOTS - 1), hp: fc.nat(1_000) }),
);
// A handshake takes about 250 bytes up and 150 down, so some connections break in it.
const cut = fc.record({ up: fc.integer({ min: 1, max: 900 }), down: fc.integer({ min: 1, max: 900 }) });

/** Change the world and tell the session. */
function changeWorld(gateway: FakeGateway, at: Extract<Step, { slot: number }>): void {
  const players = gateway.world.players;
  const old = players.get(at.slot);
  const values = playerValues({ hp: at.hp, target: { slot: (at.slot + 1) % SLOTS, generation: 1 } });
  if (at.do === 'leave') players.delete(at.slot);
  else players.set(at.slot, { generation: old?.generation ?? gateway.tick * 2 + 1, values });
  gateway.sessions[0]?.delta((sync, plan) => {
    sync.pool(plan.pools[0]);
    if (at.do === 'change' && old === undefined) sync.enter(at.slot, players.get(at.slot)!.generation, values);
    else if (at.do === 'change') sync.change(at.slot, [0b111_1111], values);
    else if (old !== undefined) sync.leave(at.slot);
  });
}

const worldOf = (gateway: FakeGateway): string[] =>
  [...gateway.world.players.entries()]
    .map(([slot, { generation, values }]) => [slot, generation, values.hp].join(':'))
    .sort();
const viewOf = (game: ArenaGame): string[] =>
  [...game.view.players]
    .map(p => {
      const { slot, generation } = recordRefOf(p)!;
      return [slot, generation, p.hp].join(':');
    })
    .sort();

const script = fc.record({
  steps: fc.array(step, { minLength: 5, maxLength: 40 }),
  cuts: fc.array(cut, { maxLength: 8 }),
});

async function play(
  WebSocket: WebSocketConstructor,
  steps: readonly Step[],
  cuts: readonly { up: number; down: number }[],
  losing: boolean,
): Promise<void> {
  const gateway = await freshGateway();
  gateway.world.players = new Map();
  gateway.onMessage = (session, { n, name }) => {
    if (name === 'buy') session.reply(n, { count: n });
  };
  const network = await unreliable(Number(new URL(gateway.url).port), cuts);
  const game = await connect(network.url, {
    protocol: Arena,
    state: State,
    WebSocket,
    backoff: { minMs: 1, maxMs: 4 },
  });
  try {
    // A client that never heard its WELCOME began again: its session is the last.
    gateway.sessions.splice(0, gateway.sessions.length - 1);
    const { session } = gateway;
    const sent: string[] = [];
    const answers: Promise<string>[] = [];
    const events: number[] = [];
    game.on('count', ({ i }) => events.push(i));
    let eventCount = 0;
    for (const at of steps) {
      const n = sent.length + 1;
      if (at.do === 'turn') await turn();
      else if (at.do === 'event') session.event('count', { i: eventCount++ });
      else if ('slot' in at) changeWorld(gateway, at);
      else if (at.do === 'send') {
        expect(game.send('say', { line: `${n}`.repeat(20) })).toBe(n);
        sent.push('say');
      } else {
        const answer = game.ask('buy', { kind: 1 });
        sent.push('buy');
        answers.push(
          answer.then(
            ({ count }) => (count === n ? 'answered' : `${count} to ${n}`),
            (error: { code: string }) => error.code,
          ),
        );
      }
      if (losing && session.socket === undefined) session.loseOutput();
    }
    const outcomes = await Promise.all(answers);
    await until(() => session.handled.length >= sent.length);
    // The last event may itself be lost with a connection: then there is another.
    let saidOn = -1;
    await until(() => {
      if (saidOn !== gateway.connections && (losing || saidOn < 0)) {
        saidOn = gateway.connections;
        session.event('count', { i: eventCount++ });
      }
      return events.at(-1) === eventCount - 1;
    });
    await until(() => game.pending === 0);

    expect(session.handled.map(message => message.name)).toEqual(sent);
    expect(session.handled.map(message => message.n)).toEqual(sent.map((_, i) => i + 1));
    if (losing) {
      for (const outcome of outcomes) expect(['answered', 'CLIENT_OUTPUT_LOST']).toContain(outcome);
      expect(events).toEqual([...new Set(events)].sort((a, b) => a - b));
    } else {
      for (const outcome of outcomes) expect(outcome).toBe('answered');
      expect(events).toEqual(Array.from({ length: eventCount }, (_, i) => i));
    }
    expect(viewOf(game)).toEqual(worldOf(gateway));
    expect(gateway.faults).toEqual([]);
  } finally {
    game.close();
    await network.close();
    await gateway.close();
  }
}

test.each(sockets)('broken connections lose and double nothing (%s)', async (_, WebSocket) => {
  await fc.assert(
    fc.asyncProperty(script, ({ steps, cuts }) => play(WebSocket, steps, cuts, false)),
    { numRuns: 150, endOnFailure: true },
  );
});

test.each(sockets)(
  'with lost output too, every message is still done once and the view ends right (%s)',
  async (_, WebSocket) => {
    await fc.assert(
      fc.asyncProperty(script, ({ steps, cuts }) => play(WebSocket, steps, cuts, true)),
      { numRuns: 100, endOnFailure: true },
    );
  },
);

/** A frame that was right before bytes of it were changed, cut off or added. */
const damaged = fc
  .record({
    kind: fc.constantFrom(OutKind.PICTURE, OutKind.DELTA, OutKind.EVENT, OutKind.REPLY, OutKind.EPOCH),
    seq: fc.integer({ min: 10, max: 1_000 }),
    edits: fc.array(fc.record({ at: fc.nat(60), byte: fc.nat(255) }), { minLength: 1, maxLength: 3 }),
    length: fc.option(fc.nat(60), { nil: undefined }),
  })
  .map(({ kind, seq, edits, length }) => {
    const writer = new Writer();
    writeOut(writer, seq, 0, kind);
    if (kind === OutKind.EVENT) writeEvent(writer, Arena.byName.get('count')!.id);
    else if (kind === OutKind.PICTURE || kind === OutKind.DELTA) {
      const plan = syncPlanOf(State);
      const sync = new SyncWriter(plan, writer);
      sync.begin(1, 1);
      sync.pool(plan.pools[0]);
      sync.enter(1, 1, playerValues());
      sync.end();
    } else writer.raw(new Uint8Array([1, 1, 2]));
    const frame = writer.finish();
    for (const { at, byte } of edits) if (at < frame.length) frame[at] = byte;
    return frame.slice(0, length ?? frame.length);
  });

test.each(sockets)(
  'random bytes from a server close the connection at most, and the game goes on (%s)',
  async (_, WebSocket) => {
    let badFrames = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), { minLength: 1, maxLength: 6 }),
        async frames => {
          const gateway = await freshGateway();
          gateway.world.players = new Map([[1, { generation: 9, values: playerValues({ hp: 5 }) }]]);
          const game = await connect(gateway.url, {
            protocol: Arena,
            state: State,
            WebSocket,
            backoff: { minMs: 1, maxMs: 4 },
            onStatus: (_status, reason) => {
              if (reason?.code === 'CLIENT_BAD_FRAME') badFrames++;
            },
          });
          try {
            const { session } = gateway;
            session.event('count', { i: 1 });
            await new Promise<void>(done => void game.on('count', () => done()));
            session.seq = 2 ** 52; // whatever seq the bytes say was sent
            for (const frame of frames) {
              session.raw(frame);
              await turn();
            }
            // Not `cut`: what was sent arrives first.
            const { socket } = session;
            socket?.close(1001);
            session.loseOutput();
            const seen: number[] = [];
            game.on('count', ({ i }) => seen.push(i));
            await until(() => session.socket !== undefined && session.socket !== socket);
            session.event('count', { i: 4_321 });
            await until(() => seen.includes(4_321));
            expect(viewOf(game)).toEqual(['1:9:5']);
          } finally {
            game.close();
            await gateway.close();
          }
        },
      ),
      { numRuns: 300, endOnFailure: true },
    );
    expect(badFrames).toBeGreaterThan(100); // the bytes did reach the decoder
  },
);
