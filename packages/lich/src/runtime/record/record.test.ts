import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command, f64, int, list, map, own, pool, protocol, ref, state, struct, text, u32 } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONTROL, DATA, DEFAULT_LIMITS, type Priority, typeOf } from '../../bus/index.ts';
import { dumpSegment, openDump, openReader } from '../../state/index.ts';
import { Peer, type Running, startService, until } from '../../testing/service-rig.ts';
import { Core } from '../core.ts';
import { coreLimits } from '../node-plan.ts';
import { type Service, service } from '../service.ts';
import { serviceLayout } from '../service-layout.ts';
import { ServiceLogic } from '../service-logic.ts';
import { tagOfProtocol } from '../system-messages.ts';
import { firstDifference } from './compare.ts';
import { KIND_NAMES } from './format.ts';
import { Inputs } from './inputs.ts';
import { requestRecord } from './recording.ts';
import { Replay } from './replay.ts';
import { runTwice } from './twice.ts';

class Item extends struct({ kind: u32, count: int }) {}
class Hero extends struct({
  name: text(16),
  x: f64,
  gold: int,
  bag: map(int, Item),
  log: list(u32, 8),
  friend: ref<Hero>('heroes'),
}) {}
const State = state({ heroes: pool(Hero), round: int, faults: int });
const P = protocol({
  come: command({ name: text(16) }),
  move: command({ who: u32, dx: f64 }),
  take: command({ who: u32, kind: u32 }),
  fail: command({ who: u32 }),
  gone: command({ who: u32 }),
  tell: command({ times: u32 }),
  rest: own({ who: u32 }),
  careful: own({ who: u32 }, { onCrash: 'skip' }),
});
const Q = protocol({ heard: command({ n: u32 }) });
const listener = { name: 'ear', protocol: Q };

const arena = service('arena', {
  state: State,
  protocol: P,
  config: { speed: 2 },
  tickHz: 100,
  start({ state }) {
    state.round = 1;
  },
  tick({ state, random, now }) {
    state.round++;
    state.heroes.spread(200, hero => void (hero.x += random.float() + (now % 7)));
  },
  on: {
    come(ctx, { name }) {
      const hero = ctx.state.heroes.create({ name });
      hero.friend = ctx.state.heroes.get(0);
      ctx.after(5, 'rest', { who: ctx.state.heroes.refOf(hero).slot });
    },
    move(ctx, { who, dx }) {
      const hero = ctx.state.heroes.get(who);
      if (hero) hero.x += dx * ctx.config.speed + ctx.random.int(0, 9);
    },
    take(ctx, { who, kind }) {
      const hero = ctx.state.heroes.get(who);
      if (!hero) return;
      const had = hero.bag.get(kind);
      if (had) had.count++;
      else hero.bag.set(kind, { kind, count: 1 });
      if (hero.log.length < 8) hero.log.push(kind);
      else hero.log.clear();
      ctx.post('careful', { who });
    },
    fail(ctx, { who }) {
      const hero = ctx.state.heroes.get(who);
      if (hero) hero.gold -= 1_000_000;
      ctx.state.heroes.create({ name: 'ghost' });
      ctx.random.float();
      throw new Error('no');
    },
    gone(ctx, { who }) {
      const hero = ctx.state.heroes.get(who);
      if (hero) ctx.state.heroes.destroy(hero);
    },
    tell(ctx, { times }) {
      for (let n = 0; n < times; n++) if (!ctx.send(listener, 'heard', { n })) ctx.state.faults++;
    },
    rest(ctx, { who }) {
      const hero = ctx.state.heroes.get(who);
      if (hero) hero.gold += ctx.random.int(1, 6);
    },
    careful(ctx, { who }) {
      const hero = ctx.state.heroes.get(who);
      if (hero) hero.gold++;
    },
  },
});

const tag = tagOfProtocol(P);
const idOf = (name: string) => P.byName.get(name as never)!.id;
const bytes = (...parts: (number | Uint8Array)[]) =>
  Buffer.concat(parts.map(p => (typeof p === 'number' ? u32le(p) : p)));
const u32le = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
const f64le = (n: number) => new Uint8Array(new Float64Array([n]).buffer);

let dir: string;
beforeEach(() => void (dir = mkdtempSync('/dev/shm/lich-record-')));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const coreOf =
  (of: Service<any, any>, config: object = {}, limits: object = {}) =>
  (where: string, name: string) =>
    new Core(
      {
        dir: where,
        name,
        id: [...name].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) >>> 0, 7),
        log: { info() {}, warn() {}, error() {} },
        state: of.state,
        ...serviceLayout(of, DEFAULT_LIMITS.nodes),
        ...limits,
      },
      core => new ServiceLogic(core, of, { ...of.spec.config, ...config } as never),
    );

const dumpOf = (running: Running, name: string): string => {
  const path = join(dir, name);
  dumpSegment(running.core.store.segment, path, { packing: 'none' });
  return path;
};

const equalTo = (replay: Replay, dump: string): void => {
  const { segment } = openDump(dump);
  const difference = firstDifference(replay.segment, segment);
  const root = replay.segment.regions.get('root')!;
  expect(difference && { ...difference, ofRoot: difference.word * 4 - root.offset }).toBeUndefined();
};

/** Seeded: what a test says is the same each time. */
const numbers = (seed: number) => () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 8;

const say = (peer: Peer, to: number, next: () => number): void => {
  const send = (name: string, payload: Uint8Array, priority: Priority = DATA) =>
    peer.say(peer.core.bus.streamOf(to, priority), typeOf(tag, idOf(name)), 0, 0, payload);
  const who = next() % 40;
  switch (next() % 8) {
    case 0:
      return send('come', bytes(new Uint8Array([2, 0, 97, 0, 98, 0, ...new Uint8Array(28)]), 0));
    case 1:
    case 2:
      return send('move', bytes(who, 0, f64le(next() % 100)));
    case 3:
      return send('take', bytes(who, next() % 20), CONTROL);
    case 4:
      return send('take', bytes(who, next() % 20));
    case 5:
      return send('fail', bytes(who));
    case 6:
      return send('gone', bytes(who));
    default:
      return send('tell', bytes(next() % 4));
  }
};

/** The input that a dump is the state after. */
function kOf(dump: string): number {
  const { segment } = openDump(dump);
  return Number(openReader(segment, { hidden: true }).snapshot(of => of.root()['$k']));
}

interface World {
  readonly running: Running;
  readonly ear: Peer;
  readonly mouth: Peer;
  /** Say so many things, and wait until they are handled. */
  talk(times: number, next: () => number): Promise<void>;
  stop(): Promise<void>;
}

async function start(ringBytes: number, of: Service<any, any> = arena, limits = {}): Promise<World> {
  requestRecord(dir, `${of.name}-1`, ringBytes);
  const running = await startService(of, { dir, limits });
  const ear = await Peer.start(dir, 'ear-1');
  const mouth = await Peer.start(dir, 'mouth-1');
  const { counts } = running.logic;
  const done = () => counts.handled + counts.failed;
  let said = 0;
  mouth.core.onCommit(() => {});
  return {
    running,
    ear,
    mouth,
    async talk(times, next) {
      for (let n = 0; n < times; n++) {
        say(mouth, running.core.self.index, next);
        said++;
        if (n % 50 === 49) await until(() => done() >= said);
      }
      // Own messages too: until nothing waits.
      await until(() => done() >= said && running.logic.nextMs() > running.core.now);
    },
    async stop() {
      await running.stop();
      await ear.stop();
      await mouth.stop();
    },
  };
}

/** Do all inputs between two dumps, and compare. */
function replayed(base: string, end: string, of: Service<any, any> = arena, inputs = new Inputs(dir, `${of.name}-1`)) {
  const replay = Replay.open({ dir, node: `${of.name}-1`, dump: base, inputs, core: coreOf(of) });
  try {
    replay.to(kOf(end));
  } catch (error) {
    replay.close();
    throw error;
  }
  return replay;
}

describe('record and replay', () => {
  it('rebuilds the state byte by byte, forwards, backwards and forwards again', async () => {
    const world = await start(2 ** 20);
    const base = dumpOf(world.running, 'base.dump');
    await world.talk(1_000, numbers(1));
    const end = dumpOf(world.running, 'end.dump');
    await world.stop();
    const replay = replayed(base, end);
    try {
      const endK = replay.k;
      equalTo(replay, end);
      const kinds = new Set<string>();
      for (let k = replay.firstK + 1; k <= endK; k++) kinds.add(KIND_NAMES[replay.inputs.at(k)!.kind]!);
      expect([...kinds]).toEqual(expect.arrayContaining(['message', 'own', 'tick', 'change']));
      replay.to(endK - 200);
      expect(replay.core.store.check()).toEqual([]);
      replay.to(endK);
      equalTo(replay, end);
      replay.to(replay.firstK);
      equalTo(replay, base);
      replay.to(endK);
      equalTo(replay, end);
      expect(replay.core.store.check()).toEqual([]);
    } finally {
      replay.close();
    }
  });

  it('a lane that was full is full again', async () => {
    const world = await start(2 ** 20, arena, { lanesBytes: 131_072, maxLaneBytes: 65_536 });
    const base = dumpOf(world.running, 'base.dump');
    world.ear.paused = true;
    const tell = (times: number) =>
      world.mouth.say(world.running.core.self.index, typeOf(tag, idOf('tell')), 0, 0, bytes(times));
    const { counts } = world.running.logic;
    tell(4_000);
    await until(() => counts.handled >= 1);
    world.ear.paused = false;
    await until(() => world.ear.heard.length > 100);
    world.ear.paused = true;
    tell(4_000);
    await until(() => counts.handled >= 2);
    expect(world.running.state.faults).toBeGreaterThan(1_000);
    const end = dumpOf(world.running, 'end.dump');
    await world.stop();
    const limits = coreLimits({ lanesBytes: 131_072, maxLaneBytes: 65_536 });
    const inputs = new Inputs(dir, 'arena-1');
    const replay = Replay.open({ dir, node: 'arena-1', dump: base, inputs, core: coreOf(arena, {}, limits) });
    try {
      replay.to(kOf(end));
      equalTo(replay, end);
    } finally {
      replay.close();
    }
  });

  it('the ring lets go of the oldest, and says so', async () => {
    const world = await start(65_536);
    const base = dumpOf(world.running, 'base.dump');
    const next = numbers(2);
    await world.talk(1_500, next);
    const middle = dumpOf(world.running, 'middle.dump');
    await world.talk(200, next);
    const end = dumpOf(world.running, 'end.dump');
    const inputs = new Inputs(dir, 'arena-1');
    await world.stop();
    expect(inputs.firstK).toBeGreaterThan(kOf(base));
    expect(() => replayed(base, end, arena, inputs)).toThrow(expect.objectContaining({ code: 'RUNTIME_NOT_RECORDED' }));
    const replay = replayed(middle, end, arena, inputs);
    equalTo(replay, end);
    replay.close();
  });

  it('what changed unrecorded is no base, whatever its number', async () => {
    const world = await start(2 ** 20);
    const base = dumpOf(world.running, 'base.dump');
    await world.talk(20, numbers(3));
    requestRecord(dir, 'arena-1', undefined);
    await until(() => world.running.core.recording.recorder === undefined);
    await world.talk(20, numbers(4));
    const between = dumpOf(world.running, 'between.dump');
    requestRecord(dir, 'arena-1', 2 ** 20);
    await until(() => world.running.core.recording.recorder !== undefined);
    const after = dumpOf(world.running, 'after.dump');
    await world.talk(20, numbers(5));
    const end = dumpOf(world.running, 'end.dump');
    await world.stop();
    for (const dump of [base, between])
      expect(() => replayed(dump, end)).toThrow(expect.objectContaining({ code: 'RUNTIME_NOT_RECORDED' }));
    const replay = replayed(after, end);
    equalTo(replay, end);
    replay.close();
  });

  it('goes on over lives', async () => {
    const world = await start(2 ** 20);
    const base = dumpOf(world.running, 'base.dump');
    await world.talk(100, numbers(6));
    await world.stop();
    const again = await start(2 ** 20);
    await again.talk(100, numbers(7));
    const end = dumpOf(again.running, 'end.dump');
    await again.stop();
    const replay = replayed(base, end);
    equalTo(replay, end);
    expect(replay.core.life).toMatchObject({ epoch: 2, reason: 'restart' });
    replay.to(replay.firstK);
    expect(replay.core.life.epoch).toBe(1);
    replay.close();
  });
});

describe('what is not in the state', () => {
  let calls = 0;
  const of = (move: (hero: { x: number; gold: number }) => void) =>
    service('arena', {
      ...(arena.spec as object),
      tickHz: undefined,
      tick: undefined,
      on: {
        ...(arena.spec.on as object),
        move: (ctx: any, { who }: { who: number }) => {
          const hero = ctx.state.heroes.get(who);
          if (hero) move(hero);
        },
      },
    } as never) as Service<any, any>;

  it.each<[string, (hero: { x: number; gold: number }) => void, string | undefined]>([
    ['Math.random', hero => void (hero.x = Math.random()), 'x'],
    ['a variable of the module', hero => void (hero.gold += calls++), 'gold'],
    ['nothing', hero => void hero.gold++, undefined],
  ])('%s is found by running each input twice', async (_, move, field) => {
    const made = of(move);
    const world = await start(2 ** 20, made);
    const base = dumpOf(world.running, 'base.dump');
    await world.talk(120, numbers(8));
    const end = dumpOf(world.running, 'end.dump');
    await world.stop();
    const inputs = new Inputs(dir, 'arena-1');
    const replay = Replay.open({ dir, node: 'arena-1', dump: base, inputs, core: coreOf(made) });
    try {
      const differs = runTwice(replay, kOf(end));
      if (field === undefined) {
        expect(differs).toBeUndefined();
        equalTo(replay, end);
      } else {
        expect(differs?.place).toMatch(new RegExp(`^heroes\\[\\d+\\]\\.${field}$`));
        expect(differs?.what).toBe('message move from mouth-1');
      }
    } finally {
      replay.close();
    }
  });

  it('other code than was recorded diverges at the first input that it handles otherwise', async () => {
    const world = await start(
      2 ** 20,
      of(hero => void hero.gold++),
    );
    const base = dumpOf(world.running, 'base.dump');
    await world.talk(120, numbers(9));
    const end = dumpOf(world.running, 'end.dump');
    await world.stop();
    expect(() =>
      replayed(
        base,
        end,
        of(hero => void (hero.gold += 2)),
      ),
    ).toThrow(
      expect.objectContaining({
        code: 'RUNTIME_DIVERGED',
        message: expect.stringContaining('message move from mouth-1'),
      }),
    );
  });
});
