/** Own messages at once, against an array; and after every store of a history. */
import { state, u32 } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog, StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { EventQueue } from './event-queue.ts';
import { storePlan } from './plan.ts';
import { openStore, type Store } from './store.ts';
import { timerFields, timerPlaces } from './timers.ts';

const plan = storePlan(state({ n: u32 }), { logWords: 1 << 14, heapBytes: 1 << 18, system: timerFields() });

interface World {
  readonly segment: ReturnType<typeof memorySegment>;
  readonly store: Store<any>;
  readonly queue: EventQueue;
  readonly head: number;
}

function world(o: { bytes?: Uint8Array; wrap?: StoreTrace } = {}): World {
  const segment = memorySegment({
    regions: plan.regions,
    catalog: plan.catalog,
    ...(o.bytes && { bytes: o.bytes }),
    ...(o.wrap && { wrap: o.wrap.wrap('S') }),
  });
  const store = openStore(segment, plan) as Store<any>;
  const { queue: head } = timerPlaces(store.layouts.root, segment.regions.get('root')!.offset / 4)!;
  return {
    segment,
    store,
    head,
    queue: new EventQueue({ mem: segment, log: store.log, heap: store.heap, fail: e => store.log.fail(e) }, head),
  };
}

interface Waiting {
  readonly mark: number;
  readonly words: number;
}

/** Post one message of so many words, or take so many. */
type Op = { do: 'post'; words: number } | { do: 'take'; most: number };
const op = fc.oneof<fc.MaybeWeightedArbitrary<Op>[]>(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('post' as const), words: fc.oneof(fc.nat(9), fc.nat(9), fc.nat(400)) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('post' as const), words: fc.constantFrom(1_011, 1_012, 1_013, 2_500) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('take' as const), most: fc.oneof(fc.nat(4), fc.constant(100)) }),
  },
);
const history = fc.array(
  fc.record({
    ops: fc.array(op, { maxLength: 10, size: 'max' }),
    end: fc.constantFrom('commit', 'commit', 'commit', 'commit', 'rollback', 'savepoint', 'kill'),
  }),
  { maxLength: 60, size: 'max' },
);

let nextMark = 0;
let done = 0;

function apply({ queue, segment }: World, waiting: Waiting[], ops: readonly Op[]): void {
  for (const op of ops) {
    done++;
    if (op.do === 'post') {
      // So that a history of any length fits the log and the heap.
      if (waiting.reduce((sum, { words }) => sum + words, op.words) > 20_000) continue;
      const one = { mark: ++nextMark, words: op.words };
      const at = queue.post(one.mark * 2, one.mark % 50, one.words);
      if (at % 8 !== 0) throw new Error(`payload at ${at}`);
      for (let k = 0; k < one.words; k++) segment.i32[at / 4 + k] = one.mark + k;
      waiting.push(one);
    } else {
      for (let k = 0; k < op.most && waiting.length > 0; k++) {
        read(queue, segment, waiting.shift()!);
        queue.take();
      }
    }
    if (queue.size !== waiting.length) throw new Error(`${queue.size} wait, not ${waiting.length}`);
  }
}

function read(queue: EventQueue, segment: World['segment'], { mark, words }: Waiting): void {
  const found = [queue.dueMs(), queue.type() & 0xffff];
  if (found.join() !== [mark * 2, mark % 50].join()) throw new Error(`found ${found.join()} in place of ${mark}`);
  const at = queue.payloadAt() / 4;
  for (let k = 0; k < words; k++) if (segment.i32[at + k] !== mark + k) throw new Error(`payload of ${mark} is torn`);
}

/** All that waits, without changing anything. */
function drain({ store, queue }: World): number[] {
  const found: number[] = [];
  store.log.begin();
  while (queue.size > 0) {
    found.push(queue.dueMs() / 2);
    queue.take();
  }
  store.log.rollback();
  return found;
}

describe('the event queue', () => {
  it('is what an array is', () => {
    const wanted = process.env.LICH_SOAK ? 5_000_000 : 100_000;
    for (done = 0; done < wanted; ) {
      fc.assert(
        fc.property(history, all => {
          let w = world();
          let waiting: Waiting[] = [];
          for (const { ops, end } of all) {
            const before = [...waiting];
            w.store.log.begin();
            if (end === 'savepoint') {
              const half = ops.length >> 1;
              apply(w, waiting, ops.slice(0, half));
              const kept = [...waiting];
              const here = w.store.log.savepoint();
              apply(w, waiting, ops.slice(half));
              w.store.log.rollbackTo(here);
              waiting = kept;
              w.store.log.commit();
            } else {
              apply(w, waiting, ops);
              if (end === 'commit') w.store.log.commit();
              else {
                if (end === 'rollback') w.store.log.rollback();
                else {
                  w = world({ bytes: w.segment.u8.slice(0) });
                  w.store.recover();
                }
                waiting = before;
              }
            }
          }
          expect(w.store.check()).toEqual([]);
          expect(drain(w)).toEqual(waiting.map(({ mark }) => mark));
        }),
        { numRuns: 40 },
      );
    }
  });

  it('emptied in each turn it stays in one block; a large one is given back', () => {
    const { queue, store } = world();
    for (let k = 0; k < 5_000; k++) {
      store.log.begin();
      for (let n = 0; n < 3; n++) queue.post(k, 1, 6);
      for (let n = 0; n < 3; n++) queue.take();
      store.log.commit();
    }
    expect([...store.heap.blocks()].length).toBe(1);
    store.log.begin();
    queue.post(1, 1, 3_000);
    queue.take();
    store.log.commit();
    expect([...store.heap.blocks()].length).toBe(0);
    expect(store.check()).toEqual([]);
  });

  it('the counts wrap', () => {
    const { queue, store, segment, head } = world();
    segment.i32[head + 4] = segment.i32[head + 5] = -2;
    store.log.begin();
    for (let k = 0; k < 5; k++) queue.post(k, 1, 0);
    queue.take();
    store.log.commit();
    expect([queue.size, queue.taken, queue.posted]).toEqual([4, -1, 3]);
    expect(store.check()).toEqual([]);
  });

  it('check() finds what is broken', () => {
    for (const [word, value] of [
      [1, 3],
      [1, 5_000],
      [3, 700],
      [4, 9],
      [5, 0],
      [6, 1],
      [0, 4],
    ] as const) {
      const { queue, store, segment, head } = world();
      store.log.begin();
      for (let k = 0; k < 5; k++) queue.post(k, 1, 7);
      store.log.commit();
      expect(store.check()).toEqual([]);
      segment.i32[head + word] = value;
      expect(store.check().length, `word ${word}`).toBeGreaterThan(0);
    }
  });
});

describe('killed after every store', () => {
  function traced(): { trace: StoreTrace; models: { at: number; waiting: string }[] } {
    const trace = new StoreTrace();
    const w = world({ wrap: trace });
    const models = [{ at: 0, waiting: '[]' }];
    trace.start({ S: w.segment });
    let waiting: Waiting[] = [];
    for (const { ops, end } of fc.sample(history, { numRuns: 1, seed: 3 }).flat().slice(0, 14)) {
      const before = [...waiting];
      w.store.log.begin();
      apply(w, waiting, ops);
      if (end === 'rollback') {
        w.store.log.rollback();
        waiting = before;
      } else w.store.log.commit();
      models.push({ at: trace.length, waiting: JSON.stringify(waiting.map(({ mark }) => mark)) });
    }
    trace.stop();
    return { trace, models };
  }

  function verify({ trace, models }: ReturnType<typeof traced>): { points: number; wrong: string[] } {
    const wrong: string[] = [];
    let points = 0;
    let k = 0;
    const visit = (n: number, { S }: Readonly<Record<string, Uint8Array>>): void => {
      if (wrong.length > 20) return;
      points++;
      while (k + 1 < models.length && models[k + 1]!.at <= n) k++;
      try {
        const w = world({ bytes: S! });
        w.store.recover();
        const violations = w.store.check();
        if (violations.length > 0) return void wrong.push(`store ${n}: ${violations[0]!.where} ${violations[0]!.what}`);
        const found = JSON.stringify(drain(w));
        if (found !== models[k]!.waiting && found !== models[k + 1]?.waiting)
          wrong.push(`store ${n}: neither before nor after transaction ${k}`);
      } catch (error) {
        wrong.push(`store ${n}: ${String(error)}`);
      }
    };
    trace.replay(visit, process.env.LICH_SOAK ? 1 : 11);
    return { points, wrong };
  }

  it('what waits is that before or after the transaction, and no memory is lost', () => {
    const { points, wrong } = verify(traced());
    expect(wrong).toEqual([]);
    expect(points).toBeGreaterThan(500);
  });

  it('finds the planted bug: the log position after the data', () => {
    const bad = traced();
    bad.trace.mutate(stores => dataBeforeLog(stores, 'S', 4096));
    expect(verify(bad).wrong.length).toBeGreaterThan(0);
  });
});
