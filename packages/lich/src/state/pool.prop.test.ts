/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Random transactions over a pool, growing or with a capacity, with spreads that go round meanwhile, against a model of
 * Maps: create, destroy (in callbacks of spreads too), rollbacks, savepoints, kills in the middle of a transaction. */
import { i32, int, list, pool, state, struct, text } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Segment } from '../shm/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, type Store, storePlan } from './index.ts';
import { SPREAD_AREA, SPREAD_WORDS } from './pool-places.ts';
import { NOW } from './words.ts';

class Thing extends struct({ n: int, name: text(5), hp: i32.init(100), path: list(i32, 2) }) {}

/** As expect, where it is called a million times. */
function same(found: unknown, want: unknown, what: string): void {
  if (found !== want) throw new Error(`${what} is ${String(found)}, want ${String(want)}`);
}

const SOAK = process.env['LICH_SOAK'] === '1' ? 10 : 1;
const RUNS = 250 * SOAK;
const COMMANDS = 160;

/** Spreads of each tick: the first has no name, and two have one period. */
const SPREADS = [
  { every: 100, name: '' },
  { every: 100, name: 'b' },
  { every: 37, name: '' },
] as const;

interface Round {
  number: number;
  visited: Set<string>;
  /** Records that lived when it began. */
  atStart: Set<string>;
}
interface Model {
  /** By slot. */
  things: Map<number, { generation: number; n: number }>;
  /** Generation of each slot that was ever used. */
  generations: Map<number, number>;
  rounds: (Round | undefined)[];
}

const copyOf = (m: Model): Model => ({
  things: new Map([...m.things].map(([slot, thing]) => [slot, { ...thing }])),
  generations: new Map(m.generations),
  rounds: m.rounds.map(r => r && { number: r.number, visited: new Set(r.visited), atStart: r.atStart }),
});
const keysOf = (m: Model) => new Set([...m.things].map(([slot, { generation }]) => `${slot}.${generation}`));

/** Creates, destroys and visits of all runs. */
let operations = 0;

class World {
  readonly schema;
  readonly plan;
  segment: Segment;
  store: Store<any>;
  model: Model = { things: new Map(), generations: new Map(), rounds: [] };
  before: Model = copyOf(this.model);
  savepoint: { at: number; model: Model } | undefined;

  constructor(capacity: number | undefined) {
    this.schema = state({ things: pool(Thing, capacity === undefined ? {} : { capacity }) });
    this.plan = storePlan(this.schema, { logWords: 1 << 15, heapBytes: 1 << 18 });
    this.segment = memorySegment({ regions: this.plan.regions, catalog: this.plan.catalog });
    this.store = openStore(this.segment, this.plan) as Store<any>;
    this.store.recover();
    this.store.log.begin();
    if (capacity !== undefined) return;
    // Chunks are made where something else was.
    const { heap } = this.store;
    const words = 50_000;
    const link = heap.alloc(words);
    this.segment.u32.fill(0xa5a5_a5a5, heap.base + link, heap.base + link + words);
    heap.free(link);
  }

  get pool(): any {
    return this.store.state.things;
  }

  /** A live slot, or -1. */
  pick(random: number): number {
    const slots = [...this.model.things.keys()];
    return slots.length === 0 ? -1 : slots[random % slots.length]!;
  }

  create(n: number): void {
    const made = this.pool.create({ n, path: [n] });
    const { slot, generation } = this.pool.refOf(made);
    const { things, generations } = this.model;
    operations++;
    same(things.has(slot), false, 'slot in use');
    same(generation, (generations.get(slot) ?? 0) + 1, 'generation');
    generations.set(slot, generation);
    things.set(slot, { generation, n });
  }

  destroy(slot: number): void {
    const { things, generations } = this.model;
    const { generation } = things.get(slot)!;
    operations++;
    same(this.pool.destroy({ slot, generation }), true, 'destroy');
    same(this.pool.destroy({ slot, generation }), false, 'destroy again');
    things.delete(slot);
    generations.set(slot, generation + 1);
  }

  /** Call each spread once; `seed` decides what the callbacks do. */
  tick(dt: number, seed: number): void {
    this.segment.f64[NOW >> 1] += dt;
    this.commit();
    this.store.log.begin();
    let random = seed >>> 0;
    const draw = (n: number) => (random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0) % n;
    for (let k = 0; k < SPREADS.length; k++) {
      const { every, name } = SPREADS[k]!;
      // One callback may do little: rounds must meet both quiet and busy ones.
      const rate = draw(3) * 4;
      const inCall = new Set<string>();
      let throwAt = draw(40) === 0 ? 3 : -1;
      const run = () =>
        this.pool.spread(
          every,
          (thing: Thing, slot: number) => {
            const key = this.look(k, slot);
            same(inCall.has(key), false, 'visited in this call');
            inCall.add(key);
            operations++;
            same(thing.n, this.model.things.get(slot)!.n, 'n');
            if (draw(16) < rate) {
              const what = draw(4);
              const other = this.pick(draw(1000));
              if (what === 0) this.destroy(slot);
              else if (what === 1) this.destroy(other);
              else if (what === 2 && this.model.things.size < 190) this.create(draw(100));
              else this.attempt(other, draw(100));
            }
            if (--throwAt === 0) throw new Error('thrown by a callback');
          },
          name,
        );
      try {
        run();
      } catch (error) {
        if ((error as Error).message !== 'thrown by a callback') throw error;
      }
      this.roundEnds(k);
      try {
        run();
      } catch (error) {
        same((error as { code?: string }).code, 'STATE_SPREAD', 'a second call in one tick');
        continue;
      }
      throw new Error('a second call in one tick went through');
    }
  }

  /** A part that is undone. */
  attempt(slot: number, n: number): void {
    const at = this.store.log.savepoint();
    const model = copyOf(this.model);
    if (this.model.things.size < 190) this.create(n);
    if (slot >= 0 && this.model.things.has(slot)) this.destroy(slot);
    this.store.log.rollbackTo(at);
    this.model = model;
  }

  roundOf(k: number): number {
    const { offset } = this.segment.regions.get('p0:things')!;
    return this.segment.u32[offset / 4 + SPREAD_AREA + k * SPREAD_WORDS + 13]!;
  }

  /** A round that has ended has visited whatever lived through it. */
  roundEnds(k: number): Round {
    const number = this.roundOf(k);
    const old = this.model.rounds[k];
    if (old !== undefined && old.number === number) return old;
    const live = keysOf(this.model);
    if (old !== undefined) {
      same(number, old.number + 1, 'round');
      for (const key of old.atStart) if (live.has(key)) same(old.visited.has(key), true, `${key} visited`);
    }
    return (this.model.rounds[k] = { number, visited: new Set(), atStart: live });
  }

  /** A visit in a spread. @returns the record's key */
  look(k: number, slot: number): string {
    const round = this.roundEnds(k);
    const thing = this.model.things.get(slot);
    if (thing === undefined) throw new Error(`slot ${slot} is not live`);
    const key = `${slot}.${thing.generation}`;
    same(round.visited.has(key), false, `${key} visited before`);
    round.visited.add(key);
    return key;
  }

  commit(): void {
    this.store.log.commit();
    this.before = copyOf(this.model);
    this.savepoint = undefined;
  }

  rollback(): void {
    this.store.log.rollback();
    this.model = copyOf(this.before);
    this.savepoint = undefined;
  }

  /** The process dies with the transaction open; the next one opens the segment. */
  kill(): void {
    this.segment = memorySegment({
      regions: this.plan.regions,
      catalog: this.plan.catalog,
      bytes: new Uint8Array(this.segment.buffer),
    });
    this.store = openStore(this.segment, this.plan) as Store<any>;
    this.store.recover();
    this.model = copyOf(this.before);
    this.savepoint = undefined;
    this.compare();
    this.store.log.begin();
  }

  compare(): void {
    const { things } = this.model;
    same(this.pool.size, things.size, 'size');
    const found = new Map<number, { generation: number; n: number }>();
    this.pool.forEach((thing: Thing, slot: number) => {
      found.set(slot, { generation: this.pool.refOf(thing).generation, n: thing.n });
      same(thing.path.length, 1, 'path');
    });
    same(found.size, things.size, 'records');
    for (const [slot, thing] of found) {
      same(thing.generation, things.get(slot)?.generation, 'generation');
      same(thing.n, things.get(slot)?.n, 'n');
    }
    same([...this.pool].length, things.size, 'records iterated');
    for (const [slot, generation] of this.model.generations) {
      if (!things.has(slot)) same(this.pool.resolve(slot, generation - 1), undefined, 'a stale ref');
    }
  }
}

const number = fc.nat({ max: 1_000_000 });
const op = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('create'), number, number) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('destroy'), number, number) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('set'), number, number) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('tick'), fc.constantFrom(0, 1, 7, 16, 17, 17, 50, 400), number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('commit'), number, number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('rollback'), number, number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('savepoint'), number, number) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('undo'), number, number) },
);

function run(world: World, [what, a, b]: [string, number, number]): void {
  const { model, store } = world;
  switch (what) {
    case 'create':
      // In runs, so that chunks fill.
      for (let k = 0; k <= a % 12 && model.things.size < 190; k++) world.create(b + k);
      break;
    case 'destroy':
      for (let k = 0; k <= b % 4; k++) {
        const slot = world.pick(a + k);
        if (slot >= 0) world.destroy(slot);
      }
      break;
    case 'set': {
      const slot = world.pick(a);
      if (slot < 0) break;
      world.pool.get(slot).n = b;
      model.things.get(slot)!.n = b;
      break;
    }
    case 'tick':
      world.tick(a, b);
      break;
    case 'commit':
      world.commit();
      store.log.begin();
      break;
    case 'rollback':
      world.rollback();
      store.log.begin();
      break;
    case 'savepoint':
      world.savepoint = { at: store.log.savepoint(), model: copyOf(model) };
      break;
    case 'undo':
      if (world.savepoint === undefined) break;
      store.log.rollbackTo(world.savepoint.at);
      world.model = world.savepoint.model;
      world.savepoint = undefined;
      break;
    default:
  }
}

describe.each([
  ['a pool that grows', undefined],
  ['a pool with a capacity', 200],
])('%s', (_name, capacity) => {
  it('holds what the model holds, through rollbacks and kills, and its spreads visit all once a round', () => {
    operations = 0;
    fc.assert(
      fc.property(
        fc.array(op, { minLength: COMMANDS / 2, maxLength: COMMANDS, size: 'max' }),
        fc.nat(),
        (ops, kill) => {
          const world = new World(capacity);
          const killAt = kill % (ops.length * 2);
          ops.forEach((one, k) => {
            run(world, one);
            if (k === killAt) world.kill();
          });
          world.commit();
          world.compare();
          same(
            world.store
              .check()
              .map(v => `${v.where}: ${v.what}`)
              .join(),
            '',
            'check',
          );
          world.kill();
          world.store.log.commit();
          same(world.store.check().length, 0, 'violations');
        },
      ),
      { numRuns: RUNS },
    );
    expect(operations).toBeGreaterThan(100_000);
  });
});
