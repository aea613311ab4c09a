/** Requests of players that a flow answers: once it has ended, wherever the player is by then. */
import {
  CodedError,
  OutKind,
  payloadCodecOf,
  pool,
  protocol,
  Reader,
  readReply,
  ref,
  replyCodecOf,
  request,
  state,
  struct,
  int,
  Writer,
} from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { Peer, type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';
import { INPUT, JOIN, JOINED, LEAVE, OUT } from '../system-messages.ts';

class Player extends struct({ gold: int.init(30) }) {}
const State = state({ players: pool(Player), sold: int });
const P = protocol({ buy: request({ price: int, from: ref<Player>('players') }, { left: int }) });
const poor: number[] = [];
const gate = { open: (): void => {} };
const shop = service('shop', {
  state: State,
  protocol: P,
  me: 'players',
  on: {},
  flows: {
    *buy(ctx, { price, from }) {
      ctx.onUndo(() => ctx.do('undo', t => void t.state.sold++));
      const paid = yield* ctx.do(({ me, state }) => {
        if (me.gold < price) return false;
        me.gold -= price;
        const seller = from && state.players.resolve(from.slot, from.generation);
        if (seller) seller.gold += price;
        return true;
      });
      if (!paid) throw new CodedError('SHOP_POOR', 'too poor');
      if (price === 3) yield* ctx.effect('gate', () => new Promise<void>(resolve => (gate.open = resolve)));
      if (price === 4) return { left: 'none' } as never;
      if (price === 5) throw new TypeError('a bug');
      return { left: (yield* ctx.do(({ me }) => me.gold)) > 0 ? price : -1 };
    },
  },
});

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  poor.length = 0;
  removeTestDirs();
});

const u32s = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);
const spec = P.byName.get('buy')!;

async function world() {
  const dir = testDir();
  const limits = { logBytes: 1 << 20, lanesBytes: 1 << 18, maxLaneBytes: 1 << 16 };
  let running: Running = await startService(shop as never, { dir, limits });
  const gateway = await Peer.start(dir, 'gate-1');
  cleanUp.push(
    () => running.stop(),
    () => gateway.stop(),
  );
  const node = running.core.self.index;
  return {
    gateway,
    get shop() {
      return running;
    },
    async again() {
      await running.stop();
      running = await startService(shop as never, { dir, limits });
    },
    async join(session: number) {
      gateway.say(node, JOIN, session, 1);
      const joined = () => gateway.heard.find(({ type, a }) => type === JOINED && a === session);
      await until(() => joined() !== undefined);
      const [slot, generation] = new Uint32Array(joined()!.bytes.slice(0, 8).buffer);
      return { slot: slot!, generation: generation! };
    },
    buy(session: number, me: { slot: number; generation: number }, n: number, price: number, from?: object) {
      const writer = new Writer();
      payloadCodecOf(spec).write(writer, { price, from });
      const bytes = writer.view().slice();
      const whole = new Uint8Array(20 + bytes.length);
      whole.set(u32s(me.slot, me.generation, n, spec.id, bytes.length));
      whole.set(bytes, 20);
      gateway.say(node, INPUT, session, 1, whole);
    },
    leave(session: number, me: { slot: number; generation: number }) {
      gateway.say(node, LEAVE, session, 1, u32s(me.slot, me.generation));
    },
    replies: (session: number) =>
      gateway.heard
        .filter(({ type, a }) => type === OUT && a === session)
        .map(({ bytes }) => bytes.slice(4, 4 + new DataView(bytes.buffer).getUint32(0, true)))
        .filter(body => body[0] === OutKind.REPLY)
        .map(body => {
          const reply = readReply(body.slice(1));
          return (
            reply.ok ? [reply.n, replyCodecOf(spec).read(new Reader(reply.payload)).left] : [reply.n, reply.code]
          ) as [number, unknown];
        }),
  };
}

const flowsOf = (running: Running): number => running.core.store.pools.get('$flows')!.size;

describe('a request that starts a flow', () => {
  it('is answered when the flow ends, with what it returned or how it failed', async () => {
    const w = await world();
    const me = await w.join(1);
    const other = await w.join(2);
    w.buy(1, me, 1, 2, other);
    w.buy(1, me, 2, 100);
    w.buy(1, me, 3, 4);
    w.buy(1, me, 4, 5);
    w.buy(1, me, 4, 2);
    w.buy(2, other, 1, 1);
    await until(() => w.replies(1).length === 4 && w.replies(2).length === 1);
    expect(w.replies(1).sort((a, b) => a[0] - b[0])).toEqual([
      [1, 2],
      [2, 'SHOP_POOR'],
      [3, 'SCHEMA_RANGE'],
      [4, 'RUNTIME_FLOW_FAILED'],
    ]);
    expect(w.replies(2)).toEqual([[1, 1]]);
    expect(w.shop.state.sold).toBe(2);
    expect(flowsOf(w.shop)).toBe(0);
    expect(w.shop.core.store.check()).toEqual([]);
  });

  it('is answered by the life after, and not at all when the player has left', async () => {
    const w = await world();
    const me = await w.join(1);
    const other = await w.join(2);
    w.buy(1, me, 1, 3);
    await until(() => flowsOf(w.shop) === 1 && w.shop.state.players.get(me.slot).gold === 27);
    await w.again();
    w.buy(1, me, 1, 3);
    await until(() => {
      gate.open();
      return w.replies(1).length === 1;
    });
    expect(w.replies(1)).toEqual([[1, 3]]);
    w.buy(2, other, 1, 3);
    await until(() => flowsOf(w.shop) === 1 && w.shop.state.players.get(other.slot).gold === 27);
    w.leave(2, other);
    await until(() => w.shop.state.players.size === 1);
    await until(() => {
      gate.open();
      return flowsOf(w.shop) === 0;
    });
    expect(w.replies(2)).toEqual([]);
    expect(w.shop.lines.filter(({ level }) => level === 'warn').map(({ data }) => data.err.code)).toEqual([
      'RUNTIME_PLAYER_GONE',
      'RUNTIME_PLAYER_GONE',
    ]);
    expect(w.shop.state.sold).toBe(1);
    expect(w.shop.core.store.check()).toEqual([]);
  });
});
