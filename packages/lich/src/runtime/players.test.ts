/** A scene and its players, with a gateway that says what a test wants: sessions, numbers, answers, and what happens while
 * a gateway takes nothing. */
import { join } from 'node:path';
import {
  bytes,
  CloseCode,
  command,
  event,
  int,
  own,
  OutKind,
  payloadCodecOf,
  pool,
  protocol,
  readEvent,
  Reader,
  readReply,
  request,
  state,
  struct,
  syncPlanOf,
  u8,
  Writer,
  readSync,
  replyCodecOf,
} from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { removeNode } from '../shm/index.ts';
import { dumpSegment, restoreSegment } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type Heard, Peer, type Running, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { CLOSE, EVERYBODY, INPUT, JOIN, JOINED, LEAVE, OUT, PICTURE } from './system-messages.ts';

class Player extends struct({ hp: u8.sync, score: int, name: int.sync }) {}
const State = state({ players: pool(Player, { capacity: 8 }), total: int, left: int, ticks: int });
const P = protocol({
  add: command({ n: int }),
  ask: request({ n: int }, { twice: int }),
  tellAll: command({ n: int }),
  later: own({ n: int }),
  said: event({ n: int }),
  grant: command({ n: int }, { from: 'services' }),
  blob: request(bytes(9), bytes()),
  shown: event(bytes()),
});
const hooks: number[] = [];
let everyTick: (ctx: any) => void = () => {};
const scene = service('scene', {
  state: State,
  protocol: P,
  me: 'players',
  tickHz: 200,
  tick: ctx => {
    ctx.state.ticks++;
    everyTick(ctx);
  },
  on: {
    add(ctx, { n }) {
      if (n < 0) throw new Error('less than nothing');
      ctx.me.score += n;
      ctx.state.total += n;
      ctx.onCommit(() => hooks.push(n));
    },
    ask(ctx, { n }) {
      ctx.onCommit(() => hooks.push(n));
      ctx.state.total += n;
      return { twice: n * 2 };
    },
    tellAll(ctx, { n }) {
      ctx.state.players.forEach((player: any) => ctx.tell(player, 'said', { n }));
      ctx.state.total += n;
    },
    later() {},
    grant(ctx, { n }) {
      ctx.state.total += n;
    },
    blob(ctx, blob) {
      // The player's, copied: it may be written to.
      blob.reverse();
      ctx.publish('shown', blob);
      return new Uint8Array([...blob, ...blob]);
    },
  },
  join(ctx) {
    ctx.me.hp = 100;
  },
  leave(ctx) {
    ctx.state.left++;
  },
});

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  hooks.length = 0;
  everyTick = () => {};
  removeTestDirs();
});

const u32s = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);

const ask = replyCodecOf(P.byName.get('ask')!);
const said = payloadCodecOf(P.byName.get('said')!);

class Gateway {
  readonly peer: Peer;
  readonly scene: Running;

  constructor(peer: Peer, running: Running) {
    this.peer = peer;
    this.scene = running;
  }

  async join(session: number, generation = 1): Promise<{ slot: number; generation: number }> {
    this.peer.say(this.scene.core.self.index, JOIN, session, generation);
    const joined = () => this.of(session, JOINED)[0];
    await until(() => joined() !== undefined);
    const [slot, playerGeneration] = new Uint32Array(joined()!.bytes.slice(0, 8).buffer);
    return { slot: slot!, generation: playerGeneration! };
  }

  /** Message n of a session, to a player. */
  input(
    session: number,
    player: { slot: number; generation: number },
    n: number,
    name: string,
    payload: object | Uint8Array,
    generation = 1,
  ): void {
    const spec = P.byName.get(name)!;
    const writer = new Writer();
    if (!(payload instanceof Uint8Array)) payloadCodecOf(spec).write(writer, payload);
    const bytes = payload instanceof Uint8Array ? payload : writer.view().slice();
    const whole = new Uint8Array(20 + bytes.length);
    whole.set(u32s(player.slot, player.generation, n, spec.id, bytes.length));
    whole.set(bytes, 20);
    this.peer.say(this.scene.core.self.index, INPUT, session, generation, whole);
  }

  of(session: number, type: number): Heard[] {
    return this.peer.heard.filter(heard => heard.type === type && heard.a === session);
  }

  /** Bodies of OUT frames of that kind, to that session. */
  outs(session: number, kind: OutKind): Uint8Array[] {
    return this.of(session, OUT)
      .map(({ bytes: body }) => body.slice(4, 4 + new DataView(body.buffer).getUint32(0, true)))
      .filter(body => body[0] === kind);
  }

  replies(session: number): unknown[] {
    return this.outs(session, OutKind.REPLY).map(body => {
      const reply = readReply(body.slice(1));
      return reply.ok ? [reply.n, ask.read(new Reader(reply.payload)).twice] : [reply.n, reply.code];
    });
  }

  said(session: number): number[] {
    return this.outs(session, OutKind.EVENT).map(body => {
      return said.read(new Reader(readEvent(body.slice(1)).payload)).n as number;
    });
  }

  closes(session: number): number[] {
    return this.of(session, CLOSE).map(({ bytes: body }) => new DataView(body.buffer).getUint32(0, true));
  }
}

const LIMITS = { logBytes: 1 << 20, timers: 64, lanesBytes: 1 << 18, maxLaneBytes: 1 << 16 };

async function world(): Promise<{ scene: Running; one: Gateway; two: Gateway }> {
  const dir = testDir();
  const running = await startService(scene as never, {
    dir,
    limits: LIMITS,
  });
  const peers = [await Peer.start(dir, 'gate-1'), await Peer.start(dir, 'gate-2')];
  cleanUp.push(() => running.stop(), ...peers.map(peer => () => peer.stop()));
  return { scene: running, one: new Gateway(peers[0]!, running), two: new Gateway(peers[1]!, running) };
}

describe('a state restored from a dump', () => {
  it('has no players: all have left, sessions that still live are told, and new ones join', async () => {
    const { scene: before, one } = await world();
    const me = await one.join(1);
    await one.join(2);
    const { dir } = before.core;
    const file = join(dir, 'scene.dump');
    dumpSegment(before.core.store.segment, file);
    one.input(1, me, 1, 'add', { n: 9 });
    await until(() => before.state.total === 9);
    await before.stop();
    removeNode(dir, 'scene-1');
    restoreSegment(file, { dir });

    const after = await startService(scene as never, { dir, limits: LIMITS });
    cleanUp.push(() => after.stop());
    expect(after.core.life).toMatchObject({ reason: 'restore' });
    expect(after.state.players.size).toBe(0);
    expect([after.state.total, after.state.left]).toEqual([0, 2]);
    await until(() => one.closes(1).length === 1 && one.closes(2).length === 1);
    expect(one.closes(1)).toEqual([CloseCode.SESSION_ENDED]);
    const again = new Gateway(one.peer, after);
    const back = await again.join(3);
    again.input(3, back, 1, 'ask', { n: 21 });
    await until(() => again.replies(3).length === 1);
    expect(again.replies(3)).toEqual([[1, 42]]);
    expect(after.core.store.check()).toEqual([]);
  });
});

describe('a session', () => {
  it('joins, gets its record and a picture, plays, and leaves', async () => {
    const { scene, one } = await world();
    const me = await one.join(5);
    expect(one.outs(5, OutKind.PICTURE).length).toBe(1);
    one.input(5, me, 1, 'add', { n: 4 });
    one.input(5, me, 2, 'ask', { n: 21 });
    await until(() => one.replies(5).length === 1);
    expect(one.replies(5)).toEqual([[2, 42]]);
    expect(scene.state.players.get(me.slot).score).toBe(4);
    one.peer.say(scene.core.self.index, LEAVE, 5, 1, u32s(me.slot, me.generation));
    await until(() => scene.state.players.size === 0);
    expect(scene.state.left).toBe(1);
    one.input(5, me, 3, 'add', { n: 1 });
    await until(() => one.closes(5).length === 1);
    expect(one.closes(5)).toEqual([CloseCode.SESSION_ENDED]);
  });

  it('may say bytes, and is answered and shown bytes; more than were declared are malformed', async () => {
    const { one } = await world();
    const me = await one.join(5);
    one.input(5, me, 1, 'blob', new Uint8Array([1, 2, 3]));
    await until(() => one.outs(5, OutKind.REPLY).length === 1);
    const reply = readReply(one.outs(5, OutKind.REPLY)[0]!.slice(1));
    const answer = reply.ok && replyCodecOf(P.byName.get('blob')!).read(new Reader(reply.payload));
    expect(answer).toEqual(new Uint8Array([3, 2, 1, 3, 2, 1]));
    const shown = one.peer.heard
      .filter(({ type, a }) => type === OUT && a === EVERYBODY)
      .map(({ bytes: body }) => body.slice(4));
    const event = shown.find(body => body[0] === OutKind.EVENT)!;
    expect(readEvent(event.slice(1)).payload.slice(0, 3)).toEqual(new Uint8Array([3, 2, 1]));
    one.input(5, me, 2, 'blob', new Uint8Array(10));
    await until(() => one.closes(5).length === 1);
    expect(one.closes(5)).toEqual([CloseCode.MALFORMED]);
  });

  it('a number that was handled is not handled again; a failed one is answered once', async () => {
    const { scene, one } = await world();
    const me = await one.join(5);
    for (const n of [1, 1, 2, 1, 2, 3, 3]) one.input(5, me, n, 'add', { n: 10 ** n });
    one.input(5, me, 4, 'add', { n: -1 });
    one.input(5, me, 4, 'add', { n: 7 });
    one.input(5, me, 5, 'ask', { n: 1 });
    await until(() => one.replies(5).length === 2);
    expect(scene.state.total).toBe(1_111);
    expect(one.replies(5)).toEqual([
      [4, 'RUNTIME_HANDLER_FAILED'],
      [5, 2],
    ]);
    await until(() => hooks.length === 4);
    expect(hooks).toEqual([10, 100, 1_000, 1]);
    expect(scene.logic.counts.ignored).toBe(5);
  });

  it('bytes that are no payload, and messages that a player may not send, close that session and harm no other', async () => {
    const { scene, one } = await world();
    const a = await one.join(1);
    const b = await one.join(2);
    one.input(1, a, 1, 'add', new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 255, 255]));
    one.input(1, a, 2, 'later', { n: 1 });
    one.input(1, a, 3, 'said', { n: 1 });
    one.input(1, a, 4, 'add', new Uint8Array(0));
    one.input(1, a, 5, 'grant', { n: 1 });
    one.peer.say(scene.core.self.index, INPUT, 1, 1, u32s(a.slot, a.generation, 6, 0, 1_000));
    one.input(2, b, 1, 'ask', { n: 4 });
    await until(() => one.replies(2).length === 1 && one.closes(1).length === 6);
    expect(new Set(one.closes(1))).toEqual(new Set([CloseCode.MALFORMED]));
    expect(one.closes(2)).toEqual([]);
    expect(scene.state.total).toBe(4);
  });

  it('may not play for another: other session, other gateway, other generation, other slot', async () => {
    const { scene, one, two } = await world();
    const me = await one.join(5);
    one.input(6, me, 1, 'add', { n: 1 });
    one.input(5, me, 1, 'add', { n: 1 }, 2);
    one.input(5, { ...me, generation: me.generation + 2 }, 1, 'add', { n: 1 });
    one.input(5, { ...me, slot: 99_999 }, 1, 'add', { n: 1 });
    two.input(5, me, 1, 'add', { n: 1 });
    two.peer.say(scene.core.self.index, LEAVE, 5, 1, u32s(me.slot, me.generation));
    one.input(5, me, 1, 'ask', { n: 100 });
    await until(() => one.replies(5).length === 1);
    await until(() => two.closes(5).length === 1);
    expect(scene.state.total).toBe(100);
    expect(scene.state.players.size).toBe(1);
  });

  it('more than there is room for: told so, and the others play on', async () => {
    const { scene, one } = await world();
    for (let session = 0; session < 8; session++) await one.join(session);
    one.peer.say(scene.core.self.index, JOIN, 8, 1);
    await until(() => one.closes(8).length === 1);
    expect(one.closes(8)).toEqual([CloseCode.NO_SCENE]);
    expect(scene.state.players.size).toBe(8);
  });

  it('a picture that is asked for shows what the deltas after it begin with', async () => {
    const { scene, one } = await world();
    const me = await one.join(5);
    one.peer.say(scene.core.self.index, PICTURE, 5, 1);
    await until(() => one.outs(5, OutKind.PICTURE).length === 2);
    const seen: unknown[] = [];
    readSync(syncPlanOf(State), one.outs(5, OutKind.PICTURE)[1]!.subarray(1), true, {
      begin() {},
      enter: (_, slot, generation, values) => void seen.push([slot, generation, values]),
      change() {},
      leave() {},
    });
    expect(seen).toEqual([[me.slot, me.generation, { hp: 100, name: 0 }]]);
  });
});

describe('who comes between two ticks', () => {
  it('sees what changes back before the next one', async () => {
    const dir = testDir();
    const slow = service('slow', {
      state: State,
      protocol: P,
      me: 'players',
      tickHz: 1,
      on: { add() {}, ask: () => ({ twice: 0 }), tellAll() {}, later() {}, grant() {}, blob: (_, blob) => blob },
    });
    const running = await startService(slow as never, { dir, limits: { logBytes: 1 << 20, timers: 64 } });
    const peer = await Peer.start(dir, 'gate-1');
    cleanUp.push(
      () => running.stop(),
      () => peer.stop(),
    );
    const gate = new Gateway(peer, running);
    const me = await gate.join(1);
    const set = (hp: number) => running.core.transact(() => void (running.state.players.get(me.slot).hp = hp));
    set(7);
    const ticks = running.logic.tick;
    await until(() => running.logic.tick > ticks);
    set(8);
    await gate.join(2);
    set(7);
    const joined = running.logic.tick;
    await until(() => running.logic.tick > joined && gate.outs(EVERYBODY, OutKind.DELTA).length > 0);
    await until(() => gate.peer.heard.at(-1)!.type === OUT);
    const bodies = gate.peer.heard.filter(heard => heard.type === OUT && (heard.a === 2 || heard.a === EVERYBODY));
    const plan = syncPlanOf(State);
    let hp: unknown;
    const see = (slot: number, values: Record<string, unknown>) =>
      void (slot === me.slot && 'hp' in values && (hp = values.hp));
    let begun = false;
    for (const { bytes } of bodies) {
      const body = bytes.slice(4, 4 + new DataView(bytes.buffer).getUint32(0, true));
      begun ||= body[0] === OutKind.PICTURE;
      if (!begun || (body[0] !== OutKind.PICTURE && body[0] !== OutKind.DELTA)) continue;
      readSync(plan, body.subarray(1), body[0] === OutKind.PICTURE, {
        begin() {},
        enter: (_, slot, __, values) => see(slot, values),
        change: (_, slot, values) => see(slot, values),
        leave() {},
      });
    }
    expect(hp).toBe(7);
  });
});

describe('a gateway that takes nothing', () => {
  it('keeps nobody else waiting; once it is back its players are told that output was lost', async () => {
    const { scene, one, two } = await world();
    const a = await one.join(1);
    const b = await two.join(2);
    two.peer.paused = true;
    // Fills the lane to the second gateway: events to each player, and deltas to all, in ticks and in messages.
    everyTick = ctx => {
      ctx.state.players.forEach((player: any) => {
        player.name = (player.name + 1) % 1_000;
        for (let k = 0; k < 40; k++) ctx.tell(player, 'said', { n: ctx.tick });
      });
    };
    const staleWord =
      (scene.core.store.segment.regions.get('root')!.offset +
        scene.core.store.layouts.root.fields.find(f => f.name === '$stale')!.offset) /
      4;
    const isStale = () => scene.core.store.segment.i32[staleWord + two.peer.index] === 1;
    await until(isStale);
    const { ticks } = scene.state;
    one.input(1, a, 1, 'tellAll', { n: 1_000_000 });
    one.input(1, a, 2, 'ask', { n: 5 });
    await until(() => one.replies(1).length === 1 && scene.state.ticks > ticks + 20);
    expect(one.said(1)).toContain(1_000_000);
    expect(one.closes(1)).toEqual([]);
    // Its ticks went on whole, each event came once to those who take them.
    expect(scene.logic.counts.failed).toBe(0);
    everyTick = () => {};
    two.peer.paused = false;
    const lost = () => two.of(EVERYBODY, CLOSE);
    await until(() => lost().length > 0);
    expect(lost().map(({ bytes: body }) => new DataView(body.buffer).getUint32(0, true))).toEqual([
      CloseCode.OUTPUT_LOST,
    ]);
    expect(isStale()).toBe(false);
    // And then it gets what is new again, after a picture.
    two.peer.say(scene.core.self.index, PICTURE, 2, 1);
    const before = two.outs(2, OutKind.PICTURE).length;
    await until(() => two.outs(2, OutKind.PICTURE).length > before);
    scene.core.transact(() => void (scene.state.players.get(b.slot).hp = 55));
    const deltas = two.outs(EVERYBODY, OutKind.DELTA).length;
    await until(() => two.outs(EVERYBODY, OutKind.DELTA).length > deltas);
    two.input(2, b, 1, 'ask', { n: 8 });
    await until(() => two.replies(2).length === 1);
  });

  it('its own messages wait until their answers fit: each is handled once, and its hooks run once', async () => {
    const { scene, one, two } = await world();
    await one.join(1);
    const b = await two.join(2);
    two.peer.paused = true;
    const sent = 3_500;
    for (let n = 1; n <= sent; n++) two.input(2, b, n, 'ask', { n: 1 });
    let handled = 0;
    await until(() => {
      const done = scene.logic.counts.handled;
      const isStuck = done > 500 && done === handled;
      handled = done;
      return isStuck || scene.state.total === sent;
    });
    // Some turns more: what waits is looked at again and again.
    await new Promise(resolve => setTimeout(resolve, 200));
    expect(scene.state.total).toBeLessThan(sent);
    expect(hooks.length).toBe(scene.state.total);
    two.peer.paused = false;
    await until(() => two.replies(2).length === sent);
    expect(two.replies(2).map(reply => (reply as number[])[0])).toEqual(Array.from({ length: sent }, (_, k) => k + 1));
    expect(scene.state.total).toBe(sent);
    expect(hooks.length).toBe(sent);
    expect(scene.core.store.check()).toEqual([]);
  });

  it('when its last player leaves, what it missed is forgotten', async () => {
    const { scene, two } = await world();
    const b = await two.join(2);
    const word = (name: string) =>
      (scene.core.store.segment.regions.get('root')!.offset +
        scene.core.store.layouts.root.fields.find(f => f.name === name)!.offset) /
        4 +
      two.peer.index;
    scene.core.transact(() => scene.core.store.log.write(word('$stale'), 1));
    two.peer.say(scene.core.self.index, LEAVE, 2, 1, u32s(b.slot, b.generation));
    await until(() => scene.state.players.size === 0);
    expect([scene.core.store.segment.i32[word('$stale')], scene.core.store.segment.i32[word('$sessions')]]).toEqual([
      0, 0,
    ]);
  });
});
