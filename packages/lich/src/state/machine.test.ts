import { int, machine, pool, state, struct } from '@lich/schema';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import type { MachineTimers } from './machine.ts';
import type { MachineName } from './machine-names.ts';
import { plain } from './plain.ts';
import { storePlan } from './plan.ts';
import { openStore } from './store.ts';
import { NOW } from './words.ts';

let said: string[] = [];
let refuse = '';

class Npc extends struct({
  howls: int,
  mode: machine({
    initial: 'idle',
    states: {
      idle: {
        to: ['chase', 'dead'],
        on: { hurt: 'chase' },
        enter(npc: Npc, { from, why }): void {
          said.push(`enter idle from ${String(from)} by ${why}`);
          if (refuse === 'idle') throw new Error('not idle');
          npc.howls += 0;
        },
        exit: (): void => void said.push('exit idle'),
      },
      chase: {
        to: ['idle', 'chase'],
        after: [5_000, 'tired'],
        enter(npc: Npc): void {
          npc.howls++;
        },
      },
      tired: {
        to: ['idle'],
        after: [1_000, 'idle'],
        exit(npc: Npc): void {
          if (refuse === 'exit') npc.mode.to('idle' as never);
        },
      },
      dead: {},
    },
  }),
}) {}
class Pair extends struct({ left: Npc, right: Npc }) {}
class Guard extends struct({
  alarms: int,
  mode: machine({
    initial: 'idle',
    states: {
      idle: { on: { noise: 'alert' } },
      alert: { to: ['chase'], after: [5_000, 'idle'] },
      chase: {
        to: ['idle'],
        enter(guard: Guard): void {
          guard.alarms++;
        },
      },
    },
  }),
}) {}

const Game = state({
  guards: pool(Guard),
  npcs: pool(Npc),
  pairs: pool(Pair),
  phase: machine({
    initial: 'lobby',
    states: { lobby: { to: ['war'], after: [60_000, 'war'] }, war: { to: ['lobby'] } },
  }),
});

/** Timers of a test: a sorted list, and a clock that goes where it is told to. */
class Waiting implements MachineTimers {
  readonly all = new Map<number, { name: MachineName; dueMs: number }>();
  #next = 1;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  arm(name: MachineName, afterMs: number): number {
    this.all.set(this.#next, { name, dueMs: this.#now() + afterMs });
    return this.#next++;
  }

  cancel(handle: number): void {
    this.all.delete(handle);
  }
}

function world() {
  const plan = storePlan(Game, { logWords: 1 << 14, heapBytes: 1 << 20 });
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
  const store = openStore(segment, plan);
  const clock = (ms: number) => void (segment.f64[NOW >> 1] = ms);
  const timers = new Waiting(() => segment.f64[NOW >> 1]);
  store.machines.timers = timers;
  clock(1_000);
  store.log.begin();
  store.enterRoot();
  return { store, segment, clock, timers, state: store.state };
}

/** Go to a time, and hand out what is due on the way. */
function advance({ clock, timers, store }: ReturnType<typeof world>, ms: number): void {
  for (;;) {
    const due = [...timers.all].filter(([, { dueMs }]) => dueMs <= ms).sort((a, b) => a[1].dueMs - b[1].dueMs)[0];
    if (due === undefined) break;
    const [handle, { name, dueMs }] = due;
    timers.all.delete(handle);
    clock(dueMs);
    store.machineNames.find(name)?.timeout(handle);
  }
  clock(ms);
}

beforeEach(() => {
  said = [];
  refuse = '';
});

describe('a state machine', () => {
  it('starts in its first state, or in the one that it is given, and enters it', () => {
    const { state } = world();
    const npc = state.npcs.create();
    expect(npc.mode.state).toBe('idle');
    expect(npc.mode.since).toBe(1_000);
    expect(said).toEqual(['enter idle from undefined by create']);
    expect(state.npcs.create({ mode: 'chase' }).howls).toBe(1);
    expect(plain(npc)).toEqual({ howls: 0, mode: 'idle' });
    expect(JSON.stringify(npc)).toBe('{"howls":0,"mode":"idle"}');
    expect(`${npc.mode.toString()}`).toBe('idle');
  });

  it('switches: exit, state, time, entry; what is not declared is refused and does nothing', () => {
    const { state, clock } = world();
    const npc = state.npcs.create();
    clock(2_000);
    if (npc.mode.is('idle')) npc.mode.to('chase');
    expect([npc.mode.state, npc.mode.since, npc.howls]).toEqual(['chase', 2_000, 1]);
    expect(said.at(-1)).toBe('exit idle');
    expect([npc.mode.can('idle'), npc.mode.can('dead')]).toEqual([true, false]);
    expect(() => npc.mode.to('dead' as never)).toThrow(
      expect.objectContaining({
        code: 'STATE_SWITCH',
        message: "Npc.mode cannot switch from 'chase' to 'dead'; from there it goes to idle, chase, tired",
      }),
    );
    expect(npc.mode.state).toBe('chase');
    clock(3_000);
    npc.mode.to('chase' as never);
    expect([npc.howls, npc.mode.since]).toEqual([2, 3_000]);
    expect(() => ((npc as { mode: unknown }).mode = 'idle')).toThrow(/use to\('idle'\)/);
  });

  it('as the documentation shows it', () => {
    const { state } = world();
    const guard = state.guards.create();
    guard.mode.send('noise'); // from idle to alert; in a state that does not know the event it answers false
    if (guard.mode.is('alert')) guard.mode.to('chase'); // here only the switches of alert compile
    expect([guard.mode.state, guard.alarms]).toEqual(['chase', 1]);
  });

  it('events lead where the state says', () => {
    const { state } = world();
    const npc = state.npcs.create();
    expect(npc.mode.send('hurt')).toBe(true);
    expect(npc.mode.state).toBe('chase');
    expect(npc.mode.send('hurt')).toBe(false);
  });

  it('timeouts: armed at entry, cancelled at exit, one after the other, and for nobody once the record is gone', () => {
    const w = world();
    const npc = w.state.npcs.create({ mode: 'chase' });
    const pair = w.state.pairs.create({ right: { mode: 'tired' } });
    const gone = w.state.npcs.create({ mode: 'chase' });
    w.state.npcs.destroy(gone);
    expect(w.timers.all.size).toBe(4);
    advance(w, 5_999);
    expect([npc.mode.state, pair.right.mode.state, pair.left.mode.state]).toEqual(['chase', 'idle', 'idle']);
    advance(w, 6_000);
    expect([npc.mode.state, npc.mode.since]).toEqual(['tired', 6_000]);
    if (npc.mode.is('tired')) npc.mode.to('idle');
    advance(w, 50_000);
    expect([npc.mode.state, npc.mode.since]).toEqual(['idle', 6_000]);
    expect(w.state.phase.state).toBe('lobby');
    advance(w, 61_000);
    expect(w.state.phase.state).toBe('war');
    expect(w.timers.all.size).toBe(0);
    w.store.log.commit();
    expect(w.store.check()).toEqual([]);
  });

  it('an action that throws undoes the switch, and the creation', () => {
    const { state } = world();
    const npc = state.npcs.create({ mode: 'chase' });
    refuse = 'idle';
    expect(() => npc.mode.to('idle' as never)).toThrow('not idle');
    expect([npc.mode.state, npc.howls]).toEqual(['chase', 1]);
    const { size } = state.npcs;
    expect(() => state.npcs.create()).toThrow('not idle');
    expect(state.npcs.size).toBe(size);
    refuse = 'exit';
    const tired = state.npcs.create({ mode: 'tired' });
    expect(() => tired.mode.to('idle' as never)).toThrow(/in its own exit action/);
    expect(tired.mode.state).toBe('tired');
  });

  it('any history: state, time and what waits are those of a model', () => {
    const states = ['idle', 'chase', 'tired', 'dead'] as const;
    const to: Record<string, readonly string[]> = {
      idle: ['chase', 'dead'],
      chase: ['idle', 'chase', 'tired'],
      tired: ['idle'],
      dead: [],
    };
    const after: Record<string, [number, string]> = { chase: [5_000, 'tired'], tired: [1_000, 'idle'] };
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ ms: fc.integer({ min: 1, max: 4_000 }) }),
            fc.record({ to: fc.constantFrom(...states), rolledBack: fc.boolean() }),
          ),
          { maxLength: 100 },
        ),
        steps => {
          const w = world();
          const npc = w.state.npcs.create();
          let [state, since, now] = ['idle', 1_000, 1_000];
          for (const step of steps) {
            if ('ms' in step) {
              now += step.ms;
              while (after[state] !== undefined && since + after[state]![0] <= now) {
                since += after[state]![0];
                state = after[state]![1];
              }
              advance(w, now);
            } else if (!to[state]!.includes(step.to)) {
              expect(() => npc.mode.to(step.to as never)).toThrow(expect.objectContaining({ code: 'STATE_SWITCH' }));
            } else if (step.rolledBack) {
              const timers = new Map(w.timers.all);
              const before = w.store.log.savepoint();
              npc.mode.to(step.to as never);
              w.store.log.rollbackTo(before);
              w.timers.all.clear();
              for (const [handle, timer] of timers) w.timers.all.set(handle, timer);
            } else {
              npc.mode.to(step.to as never);
              [state, since] = [step.to, now];
            }
            expect([npc.mode.state, npc.mode.since]).toEqual([state, since]);
            expect(w.timers.all.size).toBe(1 + (after[state] === undefined ? 0 : 1));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('cut after every store, a switch is whole or not begun', () => {
    const trace = new StoreTrace();
    const plan = storePlan(Game, { logWords: 1 << 13, heapBytes: 1 << 20 });
    const { regions, catalog } = plan;
    const segment = memorySegment({ regions, catalog, wrap: trace.wrap('S') });
    const store = openStore(segment, plan);
    store.log.begin();
    const npc = store.state.npcs.create();
    store.log.commit();
    trace.start({ S: segment });
    const history: { n: number; state: string; howls: number }[] = [{ n: 0, state: 'idle', howls: 0 }];
    for (const target of ['chase', 'idle', 'chase', 'chase', 'idle', 'dead']) {
      store.log.begin();
      npc.mode.to(target as never);
      store.log.commit();
      history.push({ n: trace.length, state: npc.mode.state, howls: npc.howls });
    }
    trace.replay((n, bytes) => {
      const next = openStore(memorySegment({ regions, catalog, bytes: bytes.S! }), plan);
      next.recover();
      const found = next.state.npcs.get(0)!;
      const at = history.findLastIndex(entry => entry.n <= n);
      const wanted = [history[at]!, history[at + 1] ?? history[at]!].map(({ state, howls }) => ({ state, howls }));
      expect(wanted).toContainEqual({ state: found.mode.state, howls: found.howls });
    });
  });
});
