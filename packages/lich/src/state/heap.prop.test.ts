/** The heap beside a model: a Map of what each block holds. After each run, and after each rollback, all blocks hold what
 * they should, none overlap, and check() finds nothing. */
import * as fc from 'fast-check';
import { state, u32 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { checkHeap } from './heap-check.ts';
import { LOG_POS } from './words.ts';
import { openStore, type Store, storePlan, type Violation } from './index.ts';
import { placesOf } from './plan.ts';

const soak = process.env.LICH_SOAK === '1';
const plan = storePlan(state({ n: u32 }), { logWords: 1 << 16, heapBytes: 4 << 20 });

/** Blocks by link: words asked for, what they were filled with, foreign or not. */
type Model = Map<number, { words: number; fill: number; foreign: boolean }>;

const clone = (model: Model): Model => new Map([...model].map(([link, block]) => [link, { ...block }]));

class World {
  readonly store: Store;
  model: Model = new Map();
  #links: number[] = [];
  #next = 1;

  constructor() {
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    this.store = openStore(segment, plan);
  }

  /** Words that an operation logged: two log words each. */
  #logged<T>(most: number, what: string, operation: () => T): T {
    const { i32 } = this.store.segment;
    const from = i32[LOG_POS]!;
    const result = operation();
    const words = ((i32[LOG_POS]! - from) | 0) / 2;
    if (words > most) throw new Error(`${what} logged ${words} words, ${most} at most`);
    return result;
  }

  begin(): Model {
    this.store.log.begin();
    return clone(this.model);
  }

  /** Links for `pick`, after the model was changed from outside. */
  set(model: Model): void {
    this.model = model;
    this.#links = [...model.keys()];
  }

  #fill(link: number, words: number, from = 0): number {
    const { heap, log, segment } = this.store;
    const fill = this.#next++;
    if (words > from) log.keep(heap.base + link + from, words - from);
    for (let k = from; k < words; k++) segment.u32[heap.base + link + k] = fill * 1_000 + k;
    return fill;
  }

  #holds(link: number, words: number, fill: number): void {
    const { heap, segment } = this.store;
    for (let k = 0; k < words; k++) {
      if (segment.u32[heap.base + link + k] !== (fill * 1_000 + k) >>> 0) {
        throw new Error(
          `word ${k} of the block at ${link} is ${segment.u32[heap.base + link + k]}, filled with ${fill}`,
        );
      }
    }
  }

  alloc(words: number, foreign = false): void {
    const link = this.#logged(14, 'alloc', () => this.store.heap.alloc(words, foreign));
    if (this.model.has(link)) throw new Error(`link ${link} was given out twice`);
    if (this.store.heap.wordsOf(link) < words) throw new Error(`a block of less than ${words} words`);
    this.model.set(link, { words, fill: this.#fill(link, words), foreign });
    this.#links.push(link);
  }

  #take(pick: number): number | undefined {
    const links = this.#links;
    if (links.length === 0) return undefined;
    const at = pick % links.length;
    const link = links[at]!;
    links[at] = links.at(-1)!;
    links.pop();
    return link;
  }

  free(pick: number): void {
    const link = this.#take(pick);
    if (link === undefined) return;
    const { words, fill } = this.model.get(link)!;
    this.#holds(link, words, fill);
    this.#logged(54, 'free', () => this.store.heap.free(link));
    this.model.delete(link);
  }

  realloc(pick: number, words: number): void {
    const link = this.#take(pick);
    if (link === undefined) return;
    const block = this.model.get(link)!;
    const kept = Math.min(block.words, words);
    this.#holds(link, block.words, block.fill);
    const moved = this.store.heap.realloc(link, words, kept);
    this.#holds(moved, kept, block.fill);
    this.model.delete(link);
    if (this.model.has(moved)) throw new Error(`link ${moved} was given out twice`);
    this.model.set(moved, { words, fill: this.#fill(moved, words), foreign: block.foreign });
    this.#links.push(moved);
  }

  /** Everything as the model says. */
  verify(): void {
    const { heap, segment } = this.store;
    const out: Violation[] = [];
    const seen = new Set<number>();
    let used = 0;
    checkHeap(segment, placesOf(segment, plan.layouts).heap, out, (link, words, foreign) => {
      const block = this.model.get(link);
      if (block === undefined || block.words > words || block.foreign !== foreign)
        throw new Error(`the heap has a block at ${link} of ${words} words, the model ${JSON.stringify(block)}`);
      seen.add(link);
      used += words + 2;
      this.#holds(link, block.words, block.fill);
    });
    const listed = [...heap.blocks()].map(block => block.link);
    if (
      out.length > 0 ||
      seen.size !== this.model.size ||
      listed.join() !== [...seen].join() ||
      heap.usedWords !== used ||
      heap.highWords !== 1024 + used + heap.freeWords
    ) {
      throw new Error(
        `${JSON.stringify(out)}; ${seen.size} blocks of ${this.model.size}, ${heap.usedWords} words of ${used}`,
      );
    }
  }
}

/** Small ones most of the time, sometimes large. */
const sizes = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 24 }) },
  { weight: 6, arbitrary: fc.integer({ min: 20, max: 130 }) },
  { weight: 2, arbitrary: fc.integer({ min: 100, max: 3_000 }) },
);
type Step =
  | { do: 'alloc'; words: number; foreign: boolean }
  | { do: 'free'; pick: number }
  | { do: 'realloc'; pick: number; words: number }
  | { do: 'freeMany'; pick: number; count: number };
const steps = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({ do: fc.constant('alloc' as const), words: sizes, foreign: fc.boolean() }),
  },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('free' as const), pick: fc.nat(10_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('realloc' as const), pick: fc.nat(10_000), words: sizes }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('freeMany' as const), pick: fc.nat(10_000), count: fc.nat(20) }),
  },
) as fc.Arbitrary<Step>;
/** A transaction: its steps, a savepoint that is undone, and how it ends. */
const transactions = fc.record({
  steps: fc.array(steps, { minLength: 1, maxLength: 30, size: 'max' }),
  undone: fc.option(fc.array(steps, { maxLength: 15, size: 'max' }), { nil: undefined, freq: 3 }),
  commit: fc.integer({ min: 0, max: 3 }).map(n => n > 0),
});

function apply(world: World, step: Step): void {
  switch (step.do) {
    case 'alloc':
      return world.alloc(step.words, step.foreign);
    case 'free':
      return world.free(step.pick);
    case 'realloc':
      return world.realloc(step.pick, step.words);
    case 'freeMany':
      for (let k = 0; k < step.count; k++) world.free(step.pick + k * 7);
  }
}

describe('heap', () => {
  it('holds what the model holds, over rollbacks and savepoints', () => {
    let operations = 0;
    fc.assert(
      fc.property(fc.array(transactions, { minLength: 15, maxLength: 30, size: 'max' }), list => {
        const world = new World();
        for (const transaction of list) {
          const before = world.begin();
          for (const step of transaction.steps) apply(world, step);
          operations += transaction.steps.length;
          if (transaction.undone !== undefined) {
            const model = clone(world.model);
            const here = world.store.log.savepoint();
            for (const step of transaction.undone) apply(world, step);
            operations += transaction.undone.length;
            world.store.log.rollbackTo(here);
            world.set(model);
          }
          if (transaction.commit) world.store.log.commit();
          else {
            world.store.log.rollback();
            world.set(before);
            world.verify();
          }
        }
        world.verify();
        // All of it given back is one block again, but for what waits on quick lists.
        world.store.log.begin();
        while (world.model.size > 0) world.free(0);
        world.store.log.commit();
        world.verify();
        expect(world.store.heap.usedWords).toBe(0);
      }),
      { numRuns: soak ? 5_000 : 300 },
    );
    expect(operations).toBeGreaterThan(100_000);
  });

  const churn = soak ? 20_000_000 : 150_000;
  it(`stays compact over ${churn} operations whose sizes change`, () => {
    const large = storePlan(state({ n: u32 }), { logWords: 1 << 16, heapBytes: 256 << 20 });
    const store = openStore(memorySegment({ regions: large.regions, catalog: large.catalog }), large);
    const { heap, log } = store;
    const slots = soak ? 32_768 : 4_096;
    const links = new Uint32Array(slots);
    const words = new Uint32Array(slots);
    let x = 1 + Math.floor(Math.random() * 2 ** 31);
    const seed = x;
    const random = (n: number) => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    let asked = 0;
    let most = 0;
    for (let done = 0; done < churn; ) {
      const scale = [1, 0.6, 1.4, 0.5, 1.8][Math.floor((done * 5) / churn)]!;
      log.begin();
      for (let k = 0; k < 20; k++, done++) {
        const slot = random(4) > 0 ? ((done >>> 6) + random(slots >>> 4)) % slots : random(slots);
        if (links[slot] !== 0) {
          heap.free(links[slot]!);
          links[slot] = 0;
          asked -= words[slot]!;
          continue;
        }
        const size = random(50) === 0 ? random(15_000) : random(10) < 7 ? random(64) : random(1_000);
        words[slot] = Math.max(1, Math.floor(size * scale));
        links[slot] = heap.alloc(words[slot]!);
        asked += words[slot]!;
      }
      log.commit();
      if (asked > most) most = asked;
      if (done % (churn / 5) === 0) expect(store.check().filter(({ what }) => !what.includes('leaked'))).toEqual([]);
    }
    // Measured 1.2; what may stay lies far above that, so that chance does not fail it.
    expect(heap.highWords / most, `seed ${seed}`).toBeLessThan(1.6);
    for (const link of links) {
      if (link === 0) continue;
      log.begin();
      heap.free(link);
      log.commit();
    }
    expect(heap.usedWords).toBe(0);
    expect(store.check()).toEqual([]);
  });
});
