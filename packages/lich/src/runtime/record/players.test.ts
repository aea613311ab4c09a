/** Players, deltas to them, and flows that they start, done again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command, event, int, payloadCodecOf, pool, protocol, request, state, struct, u8, Writer } from '@lich/schema';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { dumpSegment, openDump, openReader } from '../../state/index.ts';
import { Peer, startService, until } from '../../testing/service-rig.ts';
import { serviceCore } from '../node-process.ts';
import { service } from '../service.ts';
import { INPUT, JOIN, JOINED, LEAVE } from '../system-messages.ts';
import { firstDifference } from './compare.ts';
import { KIND_NAMES } from './format.ts';
import { Inputs } from './inputs.ts';
import { requestRecord } from './recording.ts';
import { Replay } from './replay.ts';
import { runTwice } from './twice.ts';

class Player extends struct({ hp: u8.sync, score: int, x: int.sync }) {}
const State = state({ players: pool(Player), bought: int });
const P = protocol({
  move: command({ x: int }),
  ask: request({ n: int }, { twice: int }),
  buy: request({ n: int }, { count: int }),
  said: event({ n: int }),
});
const scene = service('scene', {
  state: State,
  protocol: P,
  me: 'players',
  tickHz: 100,
  tick(ctx) {
    ctx.state.players.spread(100, p => void (p.hp = ctx.random.int(1, 200)));
  },
  on: {
    move(ctx, { x }) {
      if (x % 7 === 0) throw new Error('not there');
      ctx.me.x += x;
      ctx.publish('said', { n: x });
      ctx.tell(ctx.me, 'said', { n: -x });
    },
    ask: (ctx, { n }) => ({ twice: (ctx.me.score += n) * 2 }),
  },
  flows: {
    *buy(ctx, { n }) {
      yield* ctx.sleep(3);
      const count = yield* ctx.do(({ state: all }) => (all.bought += n));
      return { count };
    },
  },
  join(ctx) {
    ctx.me.hp = 100;
  },
});

let dir: string;
beforeEach(() => void (dir = mkdtempSync('/dev/shm/lich-record-')));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const u32s = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);

it('joins, commands, requests, flows, deltas and leaves are done again, byte by byte', async () => {
  requestRecord(dir, 'scene-1', 2 ** 21);
  const running = await startService(scene, { dir });
  const gateway = await Peer.start(dir, 'gateway-1');
  const to = running.core.self.index;
  const base = join(dir, 'base.dump');
  dumpSegment(running.core.store.segment, base, { packing: 'none' });
  const players: { slot: number; generation: number }[] = [];
  for (let session = 0; session < 6; session++) {
    gateway.say(to, JOIN, session, 1);
    const joined = () => gateway.heard.find(({ type, a }) => type === JOINED && a === session);
    await until(() => joined() !== undefined);
    const [slot, generation] = new Uint32Array(joined()!.bytes.slice(0, 8).buffer);
    players.push({ slot: slot!, generation: generation! });
  }
  const { counts } = running.logic;
  for (let n = 1; n <= 60; n++) {
    for (const [session, player] of players.entries()) {
      const name = (['move', 'ask', 'move', 'buy'] as const)[(n + session) % 4]!;
      const spec = P.byName.get(name)!;
      const writer = new Writer();
      payloadCodecOf(spec).write(writer, name === 'move' ? { x: n } : { n });
      const bytes = writer.view().slice();
      const whole = new Uint8Array(20 + bytes.length);
      whole.set(u32s(player.slot, player.generation, n, spec.id, bytes.length));
      whole.set(bytes, 20);
      gateway.say(to, INPUT, session, 1, whole);
    }
    if (n % 10 === 0) await until(() => counts.handled + counts.failed >= n * 5);
  }
  gateway.say(to, LEAVE, 0, 1, u32s(players[0]!.slot, players[0]!.generation));
  const bought = 60 * 61 * 3 * 0.25;
  await until(() => running.state.bought >= bought && running.state.players.size === 5);
  const ticks = running.logic.tick;
  await until(() => running.logic.tick > ticks + 3);
  const end = join(dir, 'end.dump');
  dumpSegment(running.core.store.segment, end, { packing: 'none' });
  await running.stop();
  await gateway.stop();

  const log = { info() {}, warn() {}, error() {} };
  const id = [...'scene-1'].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) >>> 0, 7);
  const core = (where: string, name: string) => serviceCore(scene, {}, { dir: where, name, id, log });
  const { segment } = openDump(end);
  const endK = Number(openReader(segment, { hidden: true }).snapshot(of => of.root()['$k']));
  const inputs = new Inputs(dir, 'scene-1');
  const replay = Replay.open({ dir, node: 'scene-1', dump: base, inputs, core });
  try {
    expect(runTwice(replay, endK)).toBeUndefined();
    expect(firstDifference(replay.segment, segment)).toBeUndefined();
    replay.to(replay.firstK);
    replay.to(endK);
    expect(firstDifference(replay.segment, segment)).toBeUndefined();
    const kinds = new Set<string>();
    for (let k = replay.firstK + 1; k <= endK; k++) kinds.add(KIND_NAMES[inputs.at(k)!.kind]!);
    expect([...kinds]).toEqual(expect.arrayContaining(['message', 'tick', 'show', 'change']));
  } finally {
    replay.close();
  }
});
