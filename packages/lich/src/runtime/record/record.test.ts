import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command, f64, int, list, map, own, pool, protocol, ref, state, struct, text, u32 } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, typeOf } from '../../bus/index.ts';
import { dumpSegment, openDump, openReader } from '../../state/index.ts';
import { Peer, type Running, startService, until } from '../../testing/service-rig.ts';
import { Core } from '../core.ts';
import { type Service, service } from '../service.ts';
import { serviceLayout, ServiceLogic } from '../service-logic.ts';
import { tagOfProtocol } from '../system-messages.ts';
import { firstDifference } from './compare.ts';
import { KIND_NAMES } from './format.ts';
import { Inputs } from './inputs.ts';
import { requestRecord } from './recording.ts';
import { Replay } from './replay.ts';

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
  (of: Service<any, any>, config: object = {}) =>
  (where: string, name: string) =>
    new Core(
      {
        dir: where,
        name,
        id: [...name].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) >>> 0, 7),
        log: { info() {}, warn() {}, error() {} },
        state: of.state,
        ...serviceLayout(of, DEFAULT_LIMITS.nodes),
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
  const send = (name: string, payload: Uint8Array) => peer.say(to, typeOf(tag, idOf(name)), 0, 0, payload);
  const who = next() % 40;
  switch (next() % 8) {
    case 0:
      return send('come', bytes(new Uint8Array([2, 0, 97, 0, 98, 0, ...new Uint8Array(28)]), 0));
    case 1:
    case 2:
      return send('move', bytes(who, 0, f64le(next() % 100)));
    case 3:
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

describe('record and replay', () => {
  it('rebuilds the state byte by byte, forwards, backwards and forwards again', async () => {
    requestRecord(dir, 'arena-1', 2 ** 20);
    const running = await startService(arena, { dir });
    const ear = await Peer.start(dir, 'ear-1');
    const mouth = await Peer.start(dir, 'mouth-1');
    const base = dumpOf(running, 'base.dump');
    const to = running.core.self.index;
    const next = numbers(1);
    const { counts } = running.logic;
    for (let n = 0; n < 2_000; n++) {
      say(mouth, to, next);
      if (n % 50 === 49) await until(() => counts.handled + counts.failed > n);
    }
    await until(() => counts.handled + counts.failed >= 2_000 && running.logic.nextMs() > running.core.now);
    const end = dumpOf(running, 'end.dump');
    const inputs = new Inputs(dir, 'arena-1');
    await running.stop();
    await ear.stop();
    await mouth.stop();

    const replay = Replay.open({ dir, node: 'arena-1', dump: base, inputs, core: coreOf(arena) });
    try {
      const endK = kOf(end);
      replay.to(endK);
      equalTo(replay, end);
      const kinds = new Set<string>();
      for (let k = replay.firstK + 1; k <= endK; k++) kinds.add(KIND_NAMES[inputs.at(k)!.kind]!);
      expect([...kinds]).toEqual(expect.arrayContaining(['message', 'own', 'tick', 'change']));
      replay.to(endK - 300);
      replay.to(endK);
      equalTo(replay, end);
      replay.to(replay.firstK);
      equalTo(replay, base);
      expect(replay.core.store.check()).toEqual([]);
      replay.to(endK);
      equalTo(replay, end);
      expect(replay.core.store.check()).toEqual([]);
    } finally {
      replay.close();
    }
  });
});

/** The input that a dump is the state after. */
function kOf(dump: string): number {
  const { segment } = openDump(dump);
  return Number(openReader(segment, { hidden: true }).snapshot(of => of.root()['$k']));
}
