/** Requests from the asker's side against a model that is a list: whatever is asked, answered, answered again, thrown at,
 * killed and begun again, each request comes to one outcome, at its time, and nothing is left of it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Outcome, RequestWorld } from '../testing/request-world.ts';
import type { Presence } from './presence.ts';

const RUNS = process.env.LICH_SOAK ? 5_000 : 40;
const LOOK_MS = 1_000;
const MEET_MS = 60_000;

interface Asked {
  readonly n: number;
  readonly node: number;
  readonly withinMs: number | undefined;
  readonly handle: number;
  readonly a: number;
  readonly b: number;
  due: number;
  /** The server was out when the deadline was over. */
  wasOut: boolean;
  /** Creation of the server's lanes; 0 = none yet. */
  met: number;
  outcome: Outcome | undefined;
}
interface Model {
  asked: Asked[];
  told: number;
  presence: Presence;
  met: number;
}
interface Real {
  world: RequestWorld;
}
type Cut = 'none' | 'throw' | 'kill';
class Killed extends Error {}

const waiting = (model: Model): Asked[] => model.asked.filter(asked => asked.outcome === undefined);

function same(actual: unknown, wanted: unknown): void {
  expect(actual).toEqual(wanted);
}

function checkAll(model: Model, { world }: Real): void {
  expect(world.own.wheel.size).toBe(waiting(model).length);
  expect(world.sent.map(({ n }) => n)).toEqual(model.asked.map(({ n }) => n));
  expect(world.store.state.told).toBe(model.told);
  expect(world.store.check()).toEqual([]);
}

/** Do something in which waiters are told, and see whom: the one at which it is cut off throws, or is killed; killed, it is
 * done again in the next life. @returns what came of each */
function tellings(
  real: Real,
  cut: Cut,
  run: (world: RequestWorld) => void,
): { told: Map<number, Outcome>; thrown: number } {
  const told = new Map<number, Outcome>();
  let thrown = 0;
  let cuts = cut === 'none' ? 0 : 1;
  const arm = (world: RequestWorld): void => {
    world.work = (n, outcome) => {
      if (cuts > 0) {
        cuts--;
        if (cut === 'kill') {
          const bytes = world.segment.u8.slice(0);
          real.world = world.next(0, bytes);
          throw new Killed();
        }
        thrown++;
        told.set(n, outcome);
        throw new Error('on purpose');
      }
      if (told.has(n)) throw new Error(`${n} was told twice`);
      told.set(n, outcome);
    };
  };
  arm(real.world);
  const before = real.world;
  try {
    run(before);
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
  if (real.world !== before) {
    arm(real.world);
    told.clear();
    run(real.world);
  }
  return { told, thrown };
}

const ask = fc
  .record({
    within: fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 5_000 })),
    node: fc.integer({ min: 1, max: 3 }),
    cut: fc.constantFrom<Cut>('none', 'none', 'none', 'throw', 'kill'),
    full: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
  .map(({ within, node, cut, full }) => ({
    check: () => true,
    run(model: Model, real: Real) {
      const n = model.asked.length + 1;
      real.world.full = full;
      const handle = attempt(real, cut, world => world.ask(n, within, node));
      real.world.full = false;
      if (cut === 'none' && full) same(handle, 0);
      if (cut === 'none' && !full) {
        const { a, b } = real.world.sent.at(-1)!;
        const due = real.world.now + (within ?? MEET_MS);
        const { met } = model;
        model.asked.push({
          n,
          node,
          withinMs: within,
          handle: handle!,
          a,
          b,
          due,
          wasOut: false,
          met,
          outcome: undefined,
        });
        same(waiting(model).filter(asked => asked.a === a && asked.b === b).length, 1);
      }
      checkAll(model, real);
    },
    toString: () => `ask(within ${within}, node ${node}, ${cut}${full ? ', full' : ''})`,
  }));

/** One transaction that may be cut off at its end. */
function attempt<T>(real: Real, cut: Cut, fn: (world: RequestWorld) => T): T | undefined {
  const { world } = real;
  try {
    return world.transact(() => {
      const result = fn(world);
      if (cut === 'kill') real.world = world.next(0, world.segment.u8.slice(0));
      if (cut !== 'none') throw new Killed();
      return result;
    });
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return undefined;
  }
}

const answer = fc
  .record({
    which: fc.nat(),
    wrong: fc.constantFrom('no', 'no', 'no', 'sender', 'slot', 'generation'),
    refused: fc.boolean(),
    cut: fc.constantFrom<Cut>('none', 'none', 'throw', 'kill'),
    again: fc.boolean(),
  })
  .map(({ which, wrong, refused, cut, again }) => ({
    check: (model: Readonly<Model>) => model.asked.length > 0,
    run(model: Model, real: Real) {
      const asked = model.asked[which % model.asked.length]!;
      const from = asked.node + (wrong === 'sender' ? 1 : 0);
      const a = asked.a + (wrong === 'slot' ? 1_000 : 0);
      const b = asked.b + (wrong === 'generation' ? 1 : 0);
      // With another generation it may be the answer to a later request in that slot.
      const to = waiting(model).find(one => one.node === from && one.a === a && one.b === b);
      const reply = refused ? 'refused' : asked.n * 3;
      const once = tellings(real, cut, world => world.deliver(from, a, b, reply));
      same([...once.told], to === undefined ? [] : [[to.n, refused ? '' : `ok ${asked.n * 3}`]]);
      if (to !== undefined) to.outcome = 'told';
      model.told += once.told.size - once.thrown;
      if (again) {
        const twice = tellings(real, 'none', world => world.deliver(from, a, b, reply));
        same([...twice.told], []);
      }
      checkAll(model, real);
    },
    toString: () =>
      `answer(${which}${wrong === 'no' ? '' : `, wrong ${wrong}`}${refused ? ', refused' : ''}, ${cut}${again ? ', again' : ''})`,
  }));

const time = fc
  .record({
    ms: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.constant(MEET_MS)),
    cut: fc.constantFrom<Cut>('none', 'none', 'throw', 'kill'),
  })
  .map(({ ms, cut }) => ({
    check: () => true,
    run(model: Model, real: Real) {
      const now = real.world.now + ms;
      const { told, thrown } = tellings(real, cut, world => world.run(now));
      const over = new Map<number, Outcome>();
      for (const asked of waiting(model).filter(one => one.due <= now)) {
        const { presence, met } = model;
        if (asked.withinMs === undefined && (asked.met === 0 || asked.met === met)) {
          asked.due = now + MEET_MS;
          asked.met = met;
        } else if (asked.withinMs !== undefined && (presence === 'out' || (asked.wasOut && presence === 'in'))) {
          asked.due = now + (presence === 'out' ? LOOK_MS : asked.withinMs);
          asked.wasOut = presence === 'out';
        } else {
          asked.outcome = 'told';
          over.set(asked.n, 'RUNTIME_ASK_TIMEOUT');
        }
      }
      const sorted = (map: Map<number, Outcome>) => [...map].sort(([x], [y]) => x - y);
      same(sorted(told), sorted(over));
      model.told += told.size - thrown;
      checkAll(model, real);
    },
    toString: () => `time(${ms} ms, ${cut})`,
  }));

const kill = fc.integer({ min: 0, max: 10_000 }).map(outMs => ({
  check: () => true,
  run(model: Model, real: Real) {
    real.world = real.world.next(outMs);
    for (const asked of waiting(model)) asked.due += outMs;
    checkAll(model, real);
  },
  toString: () => `kill(out ${outMs} ms)`,
}));

const server = fc.constantFrom<Presence>('in', 'in', 'out', 'gone').map(presence => ({
  check: () => true,
  run(model: Model, real: Real) {
    model.presence = real.world.presence = presence;
  },
  toString: () => `server(${presence})`,
}));

const remade = fc.constantFrom(0, 5, 6).map(met => ({
  check: () => true,
  run(model: Model, real: Real) {
    model.met = real.world.met = met;
  },
  toString: () => `remade(${met})`,
}));

const giveUp = fc.record({ which: fc.nat(), cut: fc.constantFrom<Cut>('none', 'none', 'throw', 'kill') }).map(o => ({
  check: (model: Readonly<Model>) => model.asked.length > 0,
  run(model: Model, real: Real) {
    const asked = model.asked[o.which % model.asked.length]!;
    const gave = attempt(real, o.cut, world => world.requests.giveUp(asked.handle));
    if (o.cut === 'none') {
      same(gave, asked.outcome === undefined);
      asked.outcome ??= 'given up';
    }
    checkAll(model, real);
  },
  toString: () => `giveUp(${o.which}, ${o.cut})`,
}));

test('each request comes to one outcome', { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(
      fc.commands([ask, ask, answer, answer, time, time, kill, server, remade, giveUp], {
        maxCommands: 60,
        size: 'max',
      }),
      commands => {
        const setup = (): { model: Model; real: Real } => ({
          model: { asked: [], told: 0, presence: 'in', met: 5 },
          real: { world: new RequestWorld({ now: 1_000_000 }) },
        });
        fc.modelRun(setup, commands);
      },
    ),
    { numRuns: RUNS, ...(process.env.LICH_SEED && { seed: Number(process.env.LICH_SEED) }) },
  );
});
