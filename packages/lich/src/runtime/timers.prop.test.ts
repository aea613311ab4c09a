/** Own messages that wait, against a sorted array; and after every store of a history. */
import { state, u32 } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openStore, type Store, storePlan } from '../state/index.ts';
import { dataBeforeLog, StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Timers, timerFields } from './timers.ts';

const LIMITS = { capacity: 12, payloadBytes: 20 };
const plan = storePlan(state({ n: u32 }), { logWords: 1 << 12, system: timerFields(LIMITS) });

interface World {
  readonly segment: ReturnType<typeof memorySegment>;
  readonly store: Store<any>;
  readonly timers: Timers;
}

function world(o: { bytes?: Uint8Array; wrap?: StoreTrace } = {}): World {
  const segment = memorySegment({
    regions: plan.regions,
    catalog: plan.catalog,
    ...(o.bytes && { bytes: o.bytes }),
    ...(o.wrap && { wrap: o.wrap.wrap('S') }),
  });
  const store = openStore(segment, plan) as Store<any>;
  const timers = new Timers(
    segment.i32,
    segment.f64,
    store.log,
    store.layouts.root,
    segment.regions.get('root')!.offset,
    LIMITS,
  );
  return { segment, store, timers };
}

interface Waiting {
  due: number;
  type: number;
  mark: number;
}

function add({ timers, segment }: World, { due, type, mark }: Waiting): number {
  const slot = timers.add(due, type, 20);
  for (let k = 0; k < 5; k++) segment.i32[timers.payloadAt(slot) / 4 + k] = mark + k;
  return slot;
}

/** All that waits, in order, without changing anything. */
function drain({ store, timers, segment }: World): Waiting[] {
  const found: Waiting[] = [];
  store.log.begin();
  for (let slot = timers.due(Infinity); slot >= 0; slot = timers.due(Infinity)) {
    const at = timers.payloadAt(slot);
    const mark = segment.i32[at / 4]!;
    for (let k = 0; k < 5; k++) if (segment.i32[at / 4 + k] !== mark + k) throw new Error(`payload of ${mark} is torn`);
    found.push({ due: timers.nextDueMs(), type: timers.typeOf(slot), mark });
    timers.remove(slot);
  }
  store.log.rollback();
  return found;
}

const sorted = (model: readonly Waiting[]) => [...model].sort((a, b) => a.due - b.due || a.mark - b.mark);

type Op = { do: 'add'; due: number } | { do: 'take'; now: number } | { do: 'remove'; nth: number };
const ops = fc.array(
  fc.record({
    ops: fc.array(
      fc.oneof<fc.Arbitrary<Op>[]>(
        fc.record({
          do: fc.constant('add' as const),
          due: fc.oneof(fc.nat(5), fc.double({ min: 0, max: 5, noNaN: true }), fc.constant(1e13)),
        }),
        fc.record({ do: fc.constant('take' as const), now: fc.nat(6) }),
        fc.record({ do: fc.constant('remove' as const), nth: fc.nat(11) }),
      ),
      { maxLength: 6 },
    ),
    end: fc.constantFrom('commit', 'commit', 'commit', 'rollback', 'savepoint', 'kill'),
  }),
  { maxLength: 30, size: 'max' },
);

let nextMark = 0;
function apply(w: World, model: Waiting[], all: readonly Op[]): void {
  for (const op of all) {
    const order = sorted(model);
    if (op.do === 'add') {
      if (model.length === LIMITS.capacity) {
        expect(() => w.timers.add(op.due, 1, 20)).toThrow(expect.objectContaining({ code: 'RUNTIME_TIMERS_FULL' }));
        continue;
      }
      const one = { due: op.due, type: nextMark % 7, mark: (nextMark += 10) };
      add(w, one);
      model.push(one);
      continue;
    }
    const slot = w.timers.due(op.do === 'take' ? op.now : Infinity);
    expect(w.timers.nextDueMs()).toBe(order[0]?.due ?? Infinity);
    if (op.do === 'take') {
      const first = order[0];
      expect(slot >= 0).toBe(first !== undefined && first.due <= op.now);
      if (slot < 0) continue;
      expect(w.segment.i32[w.timers.payloadAt(slot) / 4]).toBe(first!.mark);
      w.timers.remove(slot);
      model.splice(model.indexOf(first!), 1);
    } else if (order.length > 0) {
      // Any of them may be taken out, not only the first.
      const gone = order[op.nth % order.length]!;
      for (let k = 0; k < LIMITS.capacity; k++) {
        if ((w.timers.generationOf(k) & 1) === 1 && w.segment.i32[w.timers.payloadAt(k) / 4] === gone.mark) {
          w.timers.remove(k);
          break;
        }
      }
      model.splice(model.indexOf(gone), 1);
    }
  }
}

describe('timers', () => {
  it('are what a sorted array is', () => {
    fc.assert(
      fc.property(ops, history => {
        let w = world();
        let model: Waiting[] = [];
        for (const { ops: all, end } of history) {
          const before = [...model];
          w.store.log.begin();
          if (end === 'savepoint') {
            apply(w, model, all.slice(0, 2));
            const kept = [...model];
            const here = w.store.log.savepoint();
            apply(w, model, all.slice(2));
            w.store.log.rollbackTo(here);
            model = kept;
            w.store.log.commit();
          } else {
            apply(w, model, all);
            if (end === 'commit') w.store.log.commit();
            else {
              if (end === 'rollback') w.store.log.rollback();
              else {
                w = world({ bytes: w.segment.u8.slice(0) });
                w.store.recover();
              }
              model = before;
            }
          }
          expect(w.timers.check()).toEqual([]);
          expect(w.timers.size).toBe(model.length);
          expect(drain(w)).toEqual(sorted(model));
        }
      }),
      { numRuns: process.env.LICH_SOAK ? 3_000 : 200 },
    );
  });

  it('same time: in the order in which they were posted, over the wrap of the sequence too', () => {
    const w = world();
    const head =
      (w.segment.regions.get('root')!.offset + w.store.layouts.root.fields.find(f => f.name === '$timerHead')!.offset) /
      4;
    w.segment.i32[head + 3] = 0x7fff_fffd;
    w.store.log.begin();
    for (let mark = 1; mark <= 6; mark++) add(w, { due: 5, type: 0, mark: mark * 10 });
    w.store.log.commit();
    expect(drain(w).map(({ mark }) => mark)).toEqual([10, 20, 30, 40, 50, 60]);
    w.segment.i32[head + 3] = -3;
    w.store.log.begin();
    for (let mark = 1; mark <= 6; mark++) add(w, { due: 9, type: 0, mark: mark * 100 });
    w.store.log.commit();
    expect(
      drain(w)
        .slice(6)
        .map(({ mark }) => mark),
    ).toEqual([100, 200, 300, 400, 500, 600]);
    expect(w.timers.check()).toEqual([]);
  });

  it('a slot that is used again has another generation', () => {
    const w = world();
    w.store.log.begin();
    const one = w.timers.add(1, 0, 0);
    const generation = w.timers.generationOf(one);
    w.timers.remove(one);
    expect(w.timers.generationOf(one) & 1).toBe(0);
    expect(w.timers.add(1, 0, 0)).toBe(one);
    expect(w.timers.generationOf(one)).toBe(generation + 2);
    expect(w.timers.payloadAt(one) % 16).toBe(0);
    w.store.log.commit();
  });

  it('check() finds what is broken', () => {
    for (const [field, harm] of [
      ['$timerHeap', (I: Int32Array, at: number) => (I[at] = 99)],
      ['$timerHeap', (I: Int32Array, at: number) => (I[at + 1] = I[at]!)],
      ['$timerHead', (I: Int32Array, at: number) => (I[at] = 13)],
      ['$timerHead', (I: Int32Array, at: number) => (I[at + 2] = 3)],
    ] as const) {
      const w = world();
      w.store.log.begin();
      for (let k = 0; k < 5; k++) add(w, { due: 9 - k, type: 0, mark: k });
      w.store.log.commit();
      expect(w.timers.check()).toEqual([]);
      harm(
        w.segment.i32,
        (w.segment.regions.get('root')!.offset + w.store.layouts.root.fields.find(f => f.name === field)!.offset) / 4,
      );
      expect(w.timers.check().length).toBeGreaterThan(0);
    }
  });

  function history(): { trace: StoreTrace; models: { at: number; waiting: Waiting[] }[] } {
    const trace = new StoreTrace();
    const w = world({ wrap: trace });
    const models = [{ at: 0, waiting: [] as Waiting[] }];
    trace.start({ S: w.segment });
    const model: Waiting[] = [];
    const random = fc.sample(ops, { numRuns: 6, seed: 4 }).flat();
    for (const { ops: all, end } of random) {
      w.store.log.begin();
      const before = [...model];
      apply(w, model, all);
      if (end === 'rollback') {
        w.store.log.rollback();
        model.splice(0, model.length, ...before);
      } else w.store.log.commit();
      models.push({ at: trace.length, waiting: sorted(model) });
    }
    trace.stop();
    return { trace, models };
  }

  function verify({ trace, models }: ReturnType<typeof history>): { points: number; wrong: string[] } {
    const wrong: string[] = [];
    let points = 0;
    let k = 0;
    trace.replay((n, { S }) => {
      if (wrong.length > 20) return;
      points++;
      while (k + 1 < models.length && models[k + 1]!.at <= n) k++;
      try {
        const w = world({ bytes: S! });
        w.store.recover();
        wrong.push(...w.timers.check().map(what => `store ${n}: ${what}`));
        if (wrong.length > 20) return;
        const found = JSON.stringify(drain(w));
        if (found !== JSON.stringify(models[k]!.waiting) && found !== JSON.stringify(models[k + 1]?.waiting))
          wrong.push(`store ${n}: neither before nor after transaction ${k}`);
      } catch (error) {
        wrong.push(`store ${n}: ${String(error)}`);
      }
    });
    return { points, wrong };
  }

  it('killed after every store: what waits is that before or after the transaction', () => {
    const { points, wrong } = verify(history());
    expect(wrong).toEqual([]);
    expect(points).toBeGreaterThan(1_000);
  });

  it('finds the planted bug: the log position after the data', () => {
    const bad = history();
    bad.trace.mutate(stores => dataBeforeLog(stores, 'S', 4096));
    expect(verify(bad).wrong.length).toBeGreaterThan(10);
  });
});
