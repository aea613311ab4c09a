/** Flows over real segments in one process: what they do, what a life after finds of them, and what stops them. */
import { command, int, own, pool, protocol, request, state, struct, text } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

class Unit extends struct({ hp: int, name: text(8) }) {}
const State = state({ units: pool(Unit), sum: int, done: int, id: int, log: text() });
const P = protocol({
  go: own({ n: int }),
  poke: own({ n: int }),
  noise: command({ n: int }),
  double: request({ n: int }, { twice: int }),
});
type Flow = (ctx: any, payload: any) => Generator<any, any, any>;

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  removeTestDirs();
});

interface Code {
  run: Flow;
  version?: number;
  accepts?: number;
  maxSteps?: number;
  maxBytes?: number;
}
const serviceOf = (code: Flow | Code) =>
  service('scene', {
    state: State,
    protocol: P,
    config: { price: 3 },
    start() {},
    on: {
      poke() {},
      noise() {},
      double: () => ({ twice: 2 }),
    },
    flows: { go: code } as never,
  } as never);

interface World {
  dir: string;
  running: Running;
  state: any;
  ctx: any;
  /** One transaction with a handler's context. */
  act(fn: (ctx: any) => void): void;
  go(n?: number): number;
  /** End in order, and begin again with that code. */
  again(code: Flow | Code): Promise<void>;
  ended(): Promise<void>;
}

async function world(code: Flow | Code): Promise<World> {
  const dir = testDir();
  const w = { dir } as World;
  let stop = async (): Promise<void> => {};
  const start = async (of: Flow | Code): Promise<void> => {
    const running = await startService(serviceOf(of) as never, { dir, limits: { logBytes: 65_536 } });
    stop = () => running.stop();
    Object.assign(w, { running, state: running.state });
  };
  await start(code);
  cleanUp.push(() => stop());
  w.act = fn => w.running.core.transact(() => fn(w.running.logic));
  w.go = (n = 0) => {
    let id = 0;
    w.act(ctx => (id = ctx.startFlow('go', { n })));
    return id;
  };
  w.again = async of => {
    await stop();
    await start(of);
  };
  w.ended = () => until(() => flows(w).size === 0);
  return w;
}

const flows = (w: World) => w.running.core.store.pools.get('$flows')!;
const problems = (w: World) =>
  w.running.lines
    .filter(({ level }) => level !== 'info')
    .map(({ message, data }) => `${message}: ${data?.err?.code ?? data?.err?.message ?? ''}`);
const check = (w: World) => {
  expect(w.running.core.store.check()).toEqual([]);
  expect(w.running.core.store.pools.get('$flowWakes')!.size).toBe(0);
};

describe('steps', () => {
  it('run one transaction each, and give what was recorded', async () => {
    const seen: unknown[] = [];
    const w = await world(function* (ctx, { n }) {
      const a = yield* ctx.do((t: any) => (t.state.sum += n));
      yield* ctx.sleep(5);
      const b = yield* ctx.do('more', (t: any) => ({
        sum: (t.state.sum += 1),
        big: 5n,
        bytes: Uint8Array.of(1, 2),
        list: [1.5, null, undefined, 'ä', -0, true],
      }));
      seen.push(a, b, ctx.now > 0, ctx.config.price, ctx.version, ctx.turn);
    });
    const before = w.running.core.store.log.commitNo;
    w.go(4);
    await w.ended();
    expect(w.state.sum).toBe(5);
    expect(seen).toEqual([
      4,
      { sum: 5, big: 5n, bytes: Uint8Array.of(1, 2), list: [1.5, null, undefined, 'ä', -0, true] },
      true,
      3,
      1,
      0,
    ]);
    expect(w.running.core.store.log.commitNo).toBeGreaterThan(before);
    expect(problems(w)).toEqual([]);
    check(w);
  });

  it('that throw are undone, and throw in the flow what a re-run would throw', async () => {
    const caught: any[] = [];
    const w = await world(function* (ctx) {
      try {
        yield* ctx.do((t: any) => {
          t.state.sum = 9;
          throw Object.assign(new TypeError('on purpose'), { code: 'MY_CODE', more: 1 });
        });
      } catch (error) {
        caught.push(error);
      }
      yield* ctx.do((t: any) => void t.state.done++);
    });
    w.go();
    await w.ended();
    expect(caught).toHaveLength(1);
    expect(caught[0]).toMatchObject({ name: 'TypeError', code: 'MY_CODE', message: 'on purpose' });
    expect(caught[0].more).toBeUndefined();
    expect(w.state).toMatchObject({ sum: 0, done: 1 });
    check(w);
  });

  it.each<[string, string, (t: any) => unknown]>([
    ['a record', 'RUNTIME_FLOW_STATE', t => t.state.units.create({ hp: 1 })],
    ['a record in an object', 'RUNTIME_FLOW_STATE', t => ({ of: [t.state.units.create({ hp: 1 })] })],
    ['a pool', 'RUNTIME_FLOW_VALUE', t => t.state.units],
    ['a function', 'RUNTIME_FLOW_VALUE', () => () => 1],
    ['a date', 'RUNTIME_FLOW_VALUE', () => new Date()],
    [
      'a circle',
      'RUNTIME_FLOW_VALUE',
      () => {
        const a: any[] = [];
        a.push(a);
        return a;
      },
    ],
    ['a promise', 'RUNTIME_HANDLER_PROMISE', async () => 1],
  ])('refuse %s as their result, and undo what was done', async (_, code, fn) => {
    const codes: string[] = [];
    const w = await world(function* (ctx) {
      try {
        yield* ctx.do((t: any) => {
          t.state.sum = 7;
          return fn(t);
        });
      } catch (error: any) {
        codes.push(error.code);
      }
    });
    w.go();
    await w.ended();
    expect(codes).toEqual([code]);
    expect(w.state.sum).toBe(0);
    expect(w.state.units.size).toBe(0);
    check(w);
  });

  it('refuse state outside of do: what the flow has not, what it kept, and what it writes', async () => {
    const codes: string[] = [];
    let kept: any;
    let unit: any;
    const tries: ((ctx: any) => unknown)[] = [
      ctx => ctx.state,
      ctx => ctx.me,
      () => kept.state,
      () => kept.publish('x', {}),
      () => (unit.hp = 5),
      () => kept.now,
    ];
    const w = await world(function* (ctx) {
      yield* ctx.do((t: any) => {
        kept = t;
        unit = t.state.units.create({ hp: 1 });
      });
      for (const attempt of tries) {
        try {
          attempt(ctx);
          codes.push('nothing');
        } catch (error: any) {
          codes.push(error.code);
        }
      }
    });
    w.go();
    await w.ended();
    expect(codes).toEqual([...Array(4).fill('RUNTIME_FLOW_STATE'), 'STATE_NO_TRANSACTION', 'RUNTIME_FLOW_STATE']);
    expect(unit.hp).toBe(1);
    check(w);
  });
});

describe('a life after', () => {
  it('goes on in the middle: what was done is not done again, and the values are the same', async () => {
    const draws: number[][] = [];
    const times: number[] = [];
    let done = 0;
    const code: Flow = function* (ctx) {
      const mine: number[] = [];
      draws.push(mine);
      mine.push(
        ctx.random.int(0, 1_000_000),
        yield* ctx.do((t: any) => {
          done++;
          t.state.sum++;
          return t.random.int(0, 1_000_000);
        }),
      );
      mine.push(ctx.random.int(0, 1_000_000), ctx.now);
      yield* ctx.sleep(30);
      times.push(ctx.now);
      yield* ctx.do((t: any) => void t.state.done++);
    };
    const w = await world(code);
    const at = w.running.core.now;
    w.go();
    await until(() => flows(w).size === 1 && w.state.sum === 1 && (flows(w).get(0) as any).waits.length === 1);
    await w.again(code);
    await w.ended();
    expect(done).toBe(1);
    expect(draws).toHaveLength(2);
    expect(draws[1]).toEqual(draws[0]);
    expect(times[0]).toBeGreaterThanOrEqual(at + 30);
    expect(w.state).toMatchObject({ sum: 1, done: 1 });
    check(w);
  });

  it('runs an effect that was not finished again, with the same key', async () => {
    const keys: string[] = [];
    const aborted: boolean[] = [];
    let release: (value: string) => void = () => {};
    const code: Flow = function* (ctx) {
      const got = yield* ctx.effect('fetch', (key: string, signal: AbortSignal) => {
        keys.push(key);
        signal.addEventListener('abort', () => aborted.push(true));
        return new Promise<string>(resolve => (release = resolve));
      });
      yield* ctx.do((t: any) => void (t.state.log = got));
    };
    const w = await world(code);
    w.go();
    await until(() => keys.length === 1);
    const first = release;
    await w.again(code);
    await until(() => keys.length === 2);
    expect(aborted).toEqual([true]);
    first('of the life before');
    release('done');
    await w.ended();
    expect(w.state.log).toBe('done');
    expect(keys[1]).toBe(keys[0]);
    check(w);
  });

  it('that asks for something else stops there, says which step it was, and can be put right', async () => {
    const right: Flow = function* (ctx) {
      yield* ctx.do('first', (t: any) => void t.state.sum++);
      yield* ctx.sleep(20);
      yield* ctx.do('last', (t: any) => void t.state.done++);
    };
    const w = await world(right);
    w.go();
    await until(() => w.state.sum === 1 && (flows(w).get(0) as any).waits.length === 1);
    for (const wrong of [
      function* (ctx: any) {
        yield* ctx.do('other', () => {});
        yield* ctx.sleep(20);
      },
      function* (ctx: any) {
        yield* ctx.do('first', () => {});
        yield* ctx.do('second', () => {});
      },
      function* (ctx: any) {
        yield* ctx.do('first', () => {});
      },
      function* (ctx: any) {
        yield* ctx.do('first', () => {});
        yield* ctx.all([ctx.sleep(20), ctx.sleep(30)]);
      },
    ] as Flow[]) {
      await w.again(wrong);
      await until(() => problems(w).length > 0);
      expect(problems(w)).toEqual(['flow go is stuck: RUNTIME_FLOW_DIFFERS']);
      expect(w.running.lines.find(({ level }) => level === 'error')!.data.err.message).toMatch(
        /step [12]: the record has/,
      );
      expect(w.state).toMatchObject({ sum: 1, done: 0 });
      expect(w.running.core.store.check()).toEqual([]);
    }
    await w.again(right);
    await w.ended();
    expect(w.state).toMatchObject({ sum: 1, done: 1 });
    check(w);
  });

  it('keeps the version that a flow began with', async () => {
    const versions: number[] = [];
    let open = (): void => {};
    const old: Flow = function* (ctx) {
      yield* ctx.effect('gate', () => new Promise<void>(resolve => (open = resolve)));
      versions.push(ctx.version);
      yield* ctx.do((t: any) => void t.state.sum++);
    };
    const w = await world(old);
    w.go();
    await until(() => flows(w).size === 1 && (flows(w).get(0) as any).waits.length === 1);
    await w.again({ run: old, version: 2 });
    await until(() => problems(w).length > 0);
    expect(problems(w)).toEqual(['flow go is stuck: RUNTIME_FLOW_VERSION']);
    const both: Flow = function* (ctx) {
      if (ctx.version >= 2) yield* ctx.do((t: any) => void (t.state.log = 'new'));
      yield* old(ctx, {});
    };
    open = () => {};
    const opened = async (): Promise<void> => {
      await until(() => {
        open();
        return flows(w).size === 0;
      });
    };
    await w.again({ run: both, version: 2, accepts: 1 });
    await opened();
    expect(w.state.log).toBe('');
    w.go();
    await opened();
    expect(versions).toEqual([1, 2]);
    expect(w.state).toMatchObject({ sum: 2, log: 'new' });
    check(w);
  });
});

describe('branches', () => {
  it('all gives the values of all, by place or by name', async () => {
    const seen: unknown[] = [];
    const w = await world(function* (ctx) {
      function* part(n: number): Generator<any, number, any> {
        yield* ctx.sleep(n);
        return yield* ctx.do((t: any) => (t.state.sum += n));
      }
      seen.push(yield* ctx.all([part(8), ctx.do(() => 'x'), part(2)]));
      seen.push(yield* ctx.all({ a: part(1), b: ctx.sleep(1) }));
      seen.push(yield* ctx.all([]));
    });
    w.go();
    await w.ended();
    // On a busy machine both sleeps are over at once.
    expect([
      [10, 'x', 2],
      [8, 'x', 10],
    ]).toContainEqual(seen[0]);
    expect(seen.slice(1)).toEqual([{ a: 11, b: undefined }, []]);
    check(w);
  });

  it('race cancels the others, which may clean up first', async () => {
    const seen: unknown[] = [];
    const w = await world(function* (ctx) {
      function* slow(): Generator<any, string, any> {
        try {
          yield* ctx.sleep(60_000);
          return 'slow';
        } finally {
          yield* ctx.do((t: any) => void t.state.done++);
        }
      }
      seen.push(yield* ctx.race({ slow: slow(), quick: ctx.sleep(2) }));
      try {
        yield* ctx.within(3, slow());
      } catch (error: any) {
        seen.push(error.code);
      }
      seen.push(
        yield* ctx.within(
          60_000,
          ctx.do(() => 5),
        ),
      );
    });
    w.go();
    await w.ended();
    expect(seen).toEqual([{ by: 'quick', value: undefined }, 'RUNTIME_FLOW_DEADLINE', 5]);
    expect(w.state.done).toBe(2);
    expect(w.running.core.store.state).toBeDefined();
    check(w);
  });

  it('one that fails cancels the others, and its error is thrown', async () => {
    const seen: unknown[] = [];
    let started = (): void => {};
    const running = new Promise<void>(resolve => (started = resolve));
    const w = await world(function* (ctx) {
      function* fails(): Generator<any, void, any> {
        yield* ctx.effect('wait', () => running);
        yield* ctx.do(() => {
          throw new Error('no');
        });
      }
      try {
        yield* ctx.all([
          ctx.sleep(60_000),
          fails(),
          ctx.effect(
            'never',
            (_: string, signal: AbortSignal) =>
              new Promise((_, reject) => {
                started();
                signal.addEventListener('abort', () => {
                  seen.push('aborted');
                  reject(new Error('aborted'));
                });
              }),
          ),
        ]);
      } catch (error: any) {
        seen.push(error.message);
      }
    });
    w.go();
    await w.ended();
    await until(() => seen.length === 2);
    expect(new Set(seen)).toEqual(new Set(['aborted', 'no']));
    check(w);
  });
});

describe('undoing', () => {
  const steps: string[] = [];
  const code: Flow = function* (ctx, { n }) {
    ctx.onUndo(function* () {
      yield* ctx.sleep(1);
      yield* ctx.do((t: any) => void (t.state.log += 'a'));
    });
    yield* ctx.do((t: any) => void t.state.sum++);
    ctx.onUndo(() => {
      throw new Error('this undo fails');
    });
    ctx.onUndo(() => ctx.do((t: any) => void (t.state.log += 'b')));
    if (n === 1) throw new Error('on purpose');
    if (n === 2) yield* ctx.sleep(60_000);
    if (n === 3) yield* ctx.race([part(ctx), ctx.sleep(1)]);
    steps.push('end');
  };
  function* part(ctx: any): Generator<any, any, any> {
    ctx.onUndo(() => ctx.do((t: any) => void (t.state.log += 'c')));
    yield* ctx.sleep(60_000);
  }

  it('runs last to first after a throw', async () => {
    const w = await world(code);
    w.go(1);
    await w.ended();
    expect(w.state).toMatchObject({ sum: 1, log: 'ba' });
    expect(problems(w).sort()).toEqual(
      ['flow go failed: ', 'flow go: what should undo it, or clean up, failed: '].map(text =>
        expect.stringContaining(text),
      ),
    );
    check(w);
  });

  it('runs when the flow is cancelled, once', async () => {
    const w = await world(code);
    const id = w.go(2);
    await until(() => w.state.sum === 1);
    const answers: boolean[] = [];
    w.act(ctx => answers.push(ctx.cancelFlow(id), ctx.cancelFlow(id), ctx.cancelFlow(id + 1), ctx.cancelFlow(0)));
    await w.ended();
    w.act(ctx => answers.push(ctx.cancelFlow(id)));
    expect(answers).toEqual([true, false, false, false, false]);
    expect(w.state.log).toBe('ba');
    check(w);
  });

  it('of a branch runs when the branch is cancelled; nothing runs after a good end', async () => {
    const w = await world(code);
    w.go(3);
    await w.ended();
    expect(w.state.log).toBe('c');
    check(w);
  });
});

describe('bounds', () => {
  it('a record that is full fails the flow, with room to undo it', async () => {
    const w = await world({
      maxSteps: 10,
      *run(ctx) {
        ctx.onUndo(() => ctx.do((t: any) => void (t.state.log = 'undone')));
        for (;;) yield* ctx.do((t: any) => void t.state.sum++);
      },
    });
    w.go();
    await w.ended();
    expect(w.state).toMatchObject({ sum: 10, log: 'undone' });
    expect(problems(w).at(-1)).toContain('RUNTIME_FLOW_TOO_LONG');
    check(w);
  });

  it('a value that is too large too', async () => {
    const w = await world({
      maxBytes: 1_000,
      *run(ctx) {
        try {
          yield* ctx.do((t: any) => {
            t.state.sum = 1;
            return 'x'.repeat(2_000);
          });
        } catch (error: any) {
          yield* ctx.do((t: any) => void (t.state.log = error.code));
        }
      },
    });
    w.go();
    await w.ended();
    expect(w.state).toMatchObject({ sum: 0, log: 'RUNTIME_FLOW_TOO_LONG' });
    check(w);
  });

  it('a loop goes on as a new flow, under its id', async () => {
    const ids = new Set<number>();
    const turns: number[] = [];
    const w = await world({
      maxSteps: 2,
      *run(ctx, { n }) {
        ids.add(ctx.id);
        turns.push(ctx.turn);
        yield* ctx.do((t: any) => void t.state.sum++);
        yield* ctx.sleep(1);
        if (n > 1) return ctx.again({ n: n - 1 });
      },
    });
    const id = w.go(5);
    await w.ended();
    expect(w.state.sum).toBe(5);
    expect([...ids]).toEqual([id]);
    expect(turns).toEqual([0, 1, 2, 3, 4]);
    check(w);
  });
});
