/** The loop over real segments in one process: a message runs whole or not at all, and whatever a handler does, the next
 * one is handled. */
import { array, command, event, i32, int, own, pool, protocol, ref, state, struct, text, u8 } from '@lich/schema';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { payloadCodec, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, type Running, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { REFUSED, tagOfProtocol } from './system-messages.ts';

class Unit extends struct({ hp: int, name: text(8) }) {}
const State = state({ units: pool(Unit, { capacity: 16 }), done: int, seen: array(i32, 4000), random: int });
const P = protocol({
  run: command({ script: int, n: int }),
  later: own({ script: int, n: int }),
  small: own({ level: u8, who: ref<Unit>('units') }),
  said: event({ n: int }),
});
type Ctx = any;
/** What the handlers do: by number, so that it can be said in a message. */
const scripts: ((ctx: Ctx, n: number) => unknown)[] = [];
const play = (ctx: Ctx, { script, n }: { script: number; n: number }) => scripts[script]!(ctx, n) as void;
const small: { level: number; who: object | undefined }[] = [];
const lives: string[] = [];
const ticks = { work: (_: Ctx) => {} };

const scene = service('scene', {
  state: State,
  protocol: P,
  config: { speed: 3 },
  start: ctx => {
    lives.push(`start ${ctx.life.epoch} ${ctx.life.reason}`);
    ctx.state.done = 0;
  },
  resumed: ctx => {
    lives.push(`resumed ${ctx.life.epoch} ${ctx.life.reason}`);
  },
  on: { run: play, later: play, small: (_, payload) => void small.push({ ...payload }) },
});
const ticking = service('ticking', {
  state: State,
  protocol: P,
  tickHz: 1000,
  tick: ctx => ticks.work(ctx),
  on: { run: play, later: play, small() {} },
});

const TAG = tagOfProtocol(P);
const bytesOf = (value: object): Uint8Array => {
  const segment = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
  const { layout } = P.byName.get('run')!;
  payloadCodec(layout, { resolve: () => undefined }).write(segment, 8192, value as never);
  return segment.u8.slice(8192, 8192 + layout.bytes);
};

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  scripts.length = 0;
  small.length = 0;
  lives.length = 0;
  ticks.work = () => {};
  vi.restoreAllMocks();
  removeTestDirs();
});

interface World {
  dir: string;
  scene: Running;
  peer: Peer;
  /** Have a handler do this, and wait until it was handled, or undone. */
  run(fn: (ctx: Ctx, n: number) => unknown, n?: number): Promise<void>;
}

async function world(limits: object = {}, what: typeof scene = scene): Promise<World> {
  const dir = testDir();
  const running = await startService(what as never, { dir, limits: { logBytes: 65_536, timers: 64, ...limits } });
  const peer = await Peer.start(dir, 'peer-1');
  cleanUp.push(
    () => running.stop(),
    () => peer.stop(),
  );
  return {
    dir,
    scene: running,
    peer,
    async run(fn, n = 0) {
      let called = false;
      const script =
        scripts.push((ctx, m) => {
          called = true;
          return fn(ctx, m);
        }) - 1;
      peer.say(running.core.self.index, typeOf(TAG, 0), 0, 0, bytesOf({ script, n }));
      await until(() => called);
    },
  };
}

describe('a handler that throws', () => {
  it('is undone, and the next one is handled', async () => {
    const w = await world();
    const hooks: string[] = [];
    await w.run(ctx => {
      ctx.state.units.create({ name: 'a' });
      ctx.state.done = 5;
      ctx.onCommit(() => hooks.push('never'));
      ctx.after(0, 'later', { script: 0, n: 0 });
      throw new Error('on purpose');
    });
    expect(w.scene.state.done).toBe(0);
    expect(w.scene.state.units.size).toBe(0);
    await w.run(ctx => {
      ctx.state.done++;
      ctx.onCommit(() => hooks.push('first'));
      ctx.onCommit(() => hooks.push('second'));
    });
    await until(() => hooks.length === 2);
    expect(hooks).toEqual(['first', 'second']);
    expect(w.scene.state.done).toBe(1);
    expect(w.scene.logic.counts).toMatchObject({ handled: 1, failed: 1 });
    expect(w.scene.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'handler run threw and is undone',
    ]);
    expect(w.scene.core.store.check()).toEqual([]);
  });

  it.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['null', () => null],
    ['a string', () => 'text'],
    ['an object without a prototype', () => Object.create(null) as unknown],
    [
      'an error whose message throws',
      () =>
        Object.defineProperty(new Error('x'), 'message', {
          get: () => {
            throw new Error('again');
          },
        }),
    ],
    ['a frozen error', () => Object.freeze(new Error('frozen'))],
  ])('may throw %s', async (_, what) => {
    const w = await world();
    await w.run(ctx => {
      ctx.state.done = 5;
      throw what();
    });
    await w.run(ctx => void ctx.state.done++);
    expect(w.scene.state.done).toBe(1);
  });

  it('while a hook throws too: the other hooks run', async () => {
    const w = await world();
    const hooks: string[] = [];
    await w.run(ctx => {
      ctx.onCommit(() => hooks.push('a'));
      ctx.onCommit(() => {
        throw new Error('a hook');
      });
      ctx.onCommit(() => hooks.push('b'));
    });
    await until(() => hooks.length === 2);
    expect(w.scene.lines.some(({ message }) => message.includes('onCommit threw'))).toBe(true);
  });

  it('hooks run after the commit, and see it', async () => {
    const w = await world();
    let seen = -1;
    await w.run(ctx => {
      ctx.state.done = 7;
      const { log } = w.scene.core.store;
      ctx.onCommit(() => (seen = log.open ? -2 : w.scene.state.done));
    });
    await until(() => seen !== -1);
    expect(seen).toBe(7);
  });
});

describe('ctx.log', () => {
  it('takes anything, and never undoes a message', async () => {
    const { createLog } = await import('./log.ts');
    const lines: string[] = [];
    const log = createLog('x', line => lines.push(line));
    const circle: Record<string, unknown> = {};
    circle.circle = circle;
    log.info('big', { gold: 5n });
    log.info('circle', circle);
    log.info('throws', {
      get a() {
        throw new Error('no');
      },
    } as never);
    log.warn('error', { error: new Error('x') });
    expect(lines.map(line => JSON.parse(line).msg)).toEqual(['big', 'circle', 'throws', 'error']);
    expect(JSON.parse(lines[0]!).gold).toBe('5');
    for (let k = 0; k < 20; k++) log.info('often', { k });
    expect(lines.length).toBe(9);
  });
});

describe('a promise', () => {
  it.each<[string, () => unknown]>([
    ['that is resolved', () => Promise.resolve(1)],
    ['that is rejected', () => Promise.reject(new Error('later'))],
    ['that is rejected later', () => new Promise((_, reject) => setTimeout(() => reject(new Error('later')), 5))],
    [
      'of somebody else',
      // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
      () => ({ then: (_: unknown, reject: (e: Error) => void) => void setTimeout(() => reject(new Error('x')), 1) }),
    ],
  ])('%s undoes the message, and ends nothing', async (_, make) => {
    const w = await world();
    await w.run(ctx => {
      ctx.state.done = 5;
      return make();
    });
    expect(w.scene.state.done).toBe(0);
    expect(w.scene.lines.at(-1)!.data.err.code).toBe('RUNTIME_HANDLER_PROMISE');
    await new Promise(resolve => setTimeout(resolve, 20));
    await w.run(ctx => void ctx.state.done++);
    expect(w.scene.state.done).toBe(1);
  });
});

describe('ctx.attempt', () => {
  it('undoes its part alone, counts it on the record, and gives what it returned', async () => {
    const w = await world();
    const found: unknown[] = [];
    const hooks: string[] = [];
    await w.run(ctx => {
      const unit = ctx.state.units.create({ hp: 10 });
      ctx.onCommit(() => hooks.push('outer'));
      found.push(
        ctx.attempt(unit, () => {
          unit.hp = 5;
          ctx.onCommit(() => hooks.push('undone'));
          ctx.after(0, 'later', { script: 0, n: 1 });
          throw new Error('part');
        }),
      );
      found.push(unit.hp);
      found.push(
        ctx.attempt(unit, () => {
          unit.hp = 6;
          ctx.onCommit(() => hooks.push('inner'));
          ctx.attempt(undefined, () => {
            unit.hp = 99;
            ctx.onCommit(() => hooks.push('deeper'));
            throw new Error('deeper');
          });
          return 'kept';
        }),
      );
      found.push(unit.hp, unit.$faults);
    });
    await until(() => hooks.length === 2);
    expect(found).toEqual([undefined, 10, 'kept', 6, 1]);
    expect(hooks).toEqual(['outer', 'inner']);
    expect(w.scene.logic.counts.failed).toBe(2);
  });

  it('a record made in the attempt is gone, one destroyed in it is back, the very same', async () => {
    const w = await world();
    const found: unknown[] = [];
    await w.run(ctx => {
      const old = ctx.state.units.create({ name: 'old' });
      let made: any;
      ctx.attempt(old, () => {
        made = ctx.state.units.create({ name: 'new' });
        ctx.state.units.destroy(old);
        throw new Error('x');
      });
      found.push(ctx.state.units.size, ctx.state.units.get(0) === old, old.name);
      try {
        found.push(made.name);
      } catch (error) {
        found.push((error as { code: string }).code);
      }
    });
    expect(found).toEqual([1, true, 'old', 'STATE_FREED']);
    expect(w.scene.logic.counts.handled).toBe(1);
  });

  it('lanes made in an attempt that throws are given back, and the next send goes through', async () => {
    const w = await world();
    const target = { name: 'peer', protocol: P };
    await w.run(ctx => {
      ctx.attempt(undefined, () => {
        ctx.send(target, 'run', { script: 1, n: 1 });
        throw new Error('x');
      });
      ctx.send(target, 'run', { script: 2, n: 2 });
    });
    await w.run(ctx => {
      ctx.send(target, 'run', { script: 3, n: 3 });
    });
    await until(() => w.peer.heard.length === 2);
    expect(w.peer.heard.map(({ bytes }) => new DataView(bytes.buffer).getFloat64(0, true))).toEqual([2, 3]);
    expect(w.scene.core.bus.outbox.lanes().length).toBe(1);
  });
});

describe('ctx.random', () => {
  it('drawn in an attempt that throws is not drawn again by the next message', async () => {
    const w = await world();
    const drawn: number[] = [];
    const draw = (ctx: Ctx) => void drawn.push(ctx.random.int(0, 1e9));
    await w.run(ctx => {
      ctx.attempt(undefined, () => {
        draw(ctx);
        throw new Error('x');
      });
    });
    await w.run(ctx => {
      ctx.attempt(undefined, () => {
        draw(ctx);
        throw new Error('x');
      });
      draw(ctx);
    });
    await w.run(draw);
    await w.run(ctx => {
      draw(ctx);
      throw new Error('undone: the next one draws the same');
    });
    await w.run(draw);
    const [a, b, c, d, e, f] = drawn;
    // What was undone as a whole is as if it had not been drawn; what was committed never comes again.
    expect([b, c, f]).toEqual([a, a, e]);
    expect(new Set([a, d, e]).size).toBe(3);
  });
});

describe('a full undo log', () => {
  it('caught by the handler: the message is undone, and nothing ends', async () => {
    const w = await world();
    await w.run(ctx => {
      ctx.state.done = 1;
      try {
        for (let k = 0; ; k++) ctx.state.seen.set(k % 4000, k);
      } catch {
        // as if nothing had been
      }
    });
    expect(w.scene.state.done).toBe(0);
    expect(w.scene.logic.counts.failed).toBe(1);
    await w.run(
      ctx =>
        void ctx.attempt(undefined, () => {
          for (let k = 0; ; k++) ctx.state.seen.set(k % 4000, k);
        }),
    );
    await w.run(ctx => void ctx.state.done++);
    expect(w.scene.state.done).toBe(1);
  });

  it('used up to its last word, to any word before and after: done or undone', async () => {
    const w = await world();
    const room = 65_536 / 4 / 2;
    let done = 0;
    let undone = 0;
    for (let n = room - 300; n < room - 220; n++) {
      const before = w.scene.state.done;
      await w.run((ctx, times) => {
        ctx.state.done = times;
        for (let k = 0; k < times; k++)
          w.scene.core.store.log.write(w.scene.core.store.segment.regions.get('root')!.offset / 4 + 40, k);
      }, n);
      if (w.scene.state.done === n) done++;
      else {
        expect(w.scene.state.done).toBe(before);
        undone++;
      }
    }
    expect(done).toBeGreaterThan(0);
    expect(undone).toBeGreaterThan(0);
    expect(w.scene.logic.counts.handled).toBe(done);
  });
});

describe('messages that a service does not know', () => {
  it('are refused: the sender is told which, and the next is handled', async () => {
    const w = await world();
    const { index } = w.scene.core.self;
    const bad: [number, Uint8Array][] = [
      [typeOf(TAG, 99), bytesOf({ script: 0, n: 0 })],
      [typeOf(TAG, 1), bytesOf({ script: 0, n: 0 })],
      [typeOf(TAG, 3), bytesOf({ script: 0, n: 0 })],
      [typeOf(TAG, 0), new Uint8Array(0)],
      [typeOf((TAG % 0xfffe) + 1, 0), bytesOf({ script: 0, n: 0 })],
      [typeOf(0xffff, 1), new Uint8Array(0)],
      [typeOf(0xffff, 2), new Uint8Array(0)],
      [typeOf(0xffff, 77), new Uint8Array(0)],
    ];
    for (const [type, bytes] of bad) w.peer.say(index, type, 0, 0, bytes);
    await until(() => w.peer.heard.length === bad.length);
    expect(w.peer.heard.map(({ type, a }) => [type, a])).toEqual(bad.map(([type]) => [REFUSED, type]));
    expect(w.scene.logic.counts).toMatchObject({ handled: 0, failed: 0, unknown: bad.length - 1, illFormed: 1 });
    // Of a refusal nobody is told, or two that do not know each other would never end.
    w.peer.say(index, REFUSED, typeOf(TAG, 0), 0);
    await until(() => w.scene.logic.counts.refused === 1);
    await w.run(ctx => void ctx.state.done++);
    expect(w.peer.heard.length).toBe(bad.length);
    expect(
      w.scene.lines.some(
        ({ message, data }) =>
          message === 'a message was refused by its receiver' && data.receiver === 'peer-1' && data.messageId === 0,
      ),
    ).toBe(true);
  });
});

describe('own messages', () => {
  it('posted at once come after the message that posts them, in order, before later ones', async () => {
    const w = await world();
    const order: number[] = [];
    const note = scripts.push((_, n) => void order.push(n)) - 1;
    await w.run(ctx => {
      ctx.after(3, 'later', { script: note, n: 4 });
      ctx.post('later', { script: note, n: 1 });
      ctx.post('later', { script: note, n: 2 });
      ctx.after(1, 'later', { script: note, n: 3 });
      order.push(0);
    });
    await until(() => order.length === 5);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(w.scene.core.store.check()).toEqual([]);
  });

  it('that throw are undone and do not come again', async () => {
    const w = await world();
    let calls = 0;
    const script =
      scripts.push(ctx => {
        calls++;
        ctx.state.done = 9;
        throw new Error('own');
      }) - 1;
    await w.run(ctx => ctx.post('later', { script, n: 0 }));
    await until(() => w.scene.logic.counts.failed === 1);
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(calls).toBe(1);
    expect(w.scene.state.done).toBe(0);
  });

  it('with a payload that does not fit: nothing is posted, also where the handler catches it', async () => {
    const w = await world();
    await w.run(ctx => {
      for (const payload of [{ level: 256 }, { level: 1.5 }, { level: 1, who: 5 }, undefined])
        expect(() => ctx.post('small', payload)).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
      expect(() => ctx.post('run', { script: 0, n: 0 })).toThrow(/no own of service scene/);
      expect(() => ctx.after(-1, 'small', { level: 1 })).toThrow(RangeError);
      expect(() => ctx.after(NaN, 'small', { level: 1 })).toThrow(RangeError);
      ctx.state.done++;
      ctx.post('small', { level: 7, who: ctx.state.units.create() });
      const gone = ctx.state.units.create();
      ctx.after(1, 'small', { level: 8, who: gone });
      ctx.state.units.destroy(gone);
    });
    await until(() => small.length === 2);
    expect(w.scene.state.done).toBe(1);
    expect(small).toEqual([
      { level: 7, who: w.scene.state.units.get(0) },
      { level: 8, who: undefined },
    ]);
  });

  it('more than there is room for: a coded error, and the handler is undone', async () => {
    const w = await world();
    await w.run(ctx => {
      for (let k = 0; k < 65; k++) ctx.after(1_000, 'small', { level: 1 });
    });
    expect(w.scene.lines.at(-1)!.data.err.code).toBe('RUNTIME_TIMERS_FULL');
    await w.run(ctx => {
      for (let k = 0; k < 64; k++) ctx.after(1_000, 'small', { level: 1 });
    });
    expect(w.scene.logic.counts.handled).toBe(1);
  });

  it('a chain that never ends leaves lanes and sleep their turns', async () => {
    const w = await world();
    const script = scripts.length;
    scripts.push((ctx, n) => ctx.post('later', { script, n: n + 1 }));
    await w.run(ctx => ctx.post('later', { script, n: 0 }));
    for (let k = 0; k < 5; k++) await w.run(ctx => void ctx.state.done++);
    expect(w.scene.state.done).toBe(5);
  });
});

describe('time', () => {
  it('stands still in a message, and never goes back when the clock is put back; what waits is done all the same', async () => {
    const w = await world();
    const seen: number[] = [];
    await w.run(ctx => {
      const before = ctx.now;
      const until = performance.now() + 5;
      while (performance.now() < until);
      seen.push(before, ctx.now);
      expect(Number.isInteger(ctx.now)).toBe(true);
    });
    expect(seen[1]).toBe(seen[0]);
    const real = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    const fired: number[] = [];
    const script = scripts.push(ctx => void fired.push(ctx.now)) - 1;
    await w.run(ctx => {
      seen.push(ctx.now);
      ctx.after(30, 'later', { script, n: 0 });
    });
    expect(seen[2]).toBeGreaterThanOrEqual(seen[0]!);
    await until(() => fired.length === 1);
    expect(fired[0]! - seen[2]!).toBeGreaterThanOrEqual(30);
    vi.spyOn(Date, 'now').mockImplementation(() => real() + 3_600_000);
    await w.run(ctx => void seen.push(ctx.now));
    expect(seen[3]! - fired[0]!).toBeGreaterThan(3_500_000);
  });
});

describe('ticks', () => {
  it('that throw, return a promise or fill the log are undone; the tick counts, and the next runs', async () => {
    let calls = 0;
    const dones: number[] = [];
    ticks.work = ctx => {
      calls++;
      ctx.state.done++;
      if (ctx.tick === 2) throw new Error('tick');
      if (ctx.tick === 3) return Promise.reject(new Error('tick')) as never;
      if (ctx.tick === 4) {
        try {
          for (let k = 0; ; k++) ctx.state.seen.set(k % 4000, k);
        } catch {
          // caught
        }
      }
      dones.push(ctx.tick);
    };
    const w = await world({}, ticking as never);
    await until(() => w.scene.logic.tick >= 8);
    expect(dones.slice(0, 4)).toEqual([1, 4, 5, 6]);
    expect(w.scene.state.done).toBe(calls - 3);
    expect(w.scene.logic.counts.failed).toBe(3);
  });
});

describe('lives', () => {
  const start = async (dir: string) => {
    const running = await startService(scene as never, { dir, limits: { logBytes: 65_536 } });
    const { reason, epoch } = running.core.life;
    return { running, reason, epoch };
  };

  it('are created, restarted, or begin after a crash; start runs once', async () => {
    const dir = testDir();
    const one = await start(dir);
    expect([one.reason, one.epoch]).toEqual(['created', 1]);
    one.running.core.transact(() => void (one.running.state.done = 3));
    await one.running.stop();
    const two = await start(dir);
    expect([two.reason, two.epoch, two.running.state.done]).toEqual(['restart', 2, 3]);
    // Nothing is closed: as a kill leaves it, with a transaction open.
    two.running.core.store.log.begin();
    two.running.state.done = 4;
    two.running.core.lock.release();
    const three = await start(dir);
    expect([three.reason, three.epoch, three.running.state.done]).toEqual(['crash', 3, 3]);
    expect(lives).toEqual(['start 1 created', 'resumed 2 restart', 'resumed 3 crash']);
    await three.running.stop();
    // Its loop still turns, in this process.
    await two.running.stop().catch(() => {});
  });

  it('a start that throws leaves a node that was never born: the next life starts it', async () => {
    const dir = testDir();
    let fails = true;
    const born = service('born', {
      state: State,
      protocol: P,
      start: ctx => {
        ctx.state.done = 1;
        if (fails) throw new Error('not yet');
      },
      on: { run() {}, later() {}, small() {} },
    });
    await expect(startService(born as never, { dir })).rejects.toThrow('not yet');
    fails = false;
    const running = await startService(born as never, { dir });
    expect([running.core.life.reason, running.core.life.epoch, running.state.done]).toEqual(['created', 2, 1]);
    await running.stop();
  });
});
