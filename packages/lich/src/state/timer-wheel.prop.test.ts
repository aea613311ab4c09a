/** Timers against a sorted array, over all levels of the wheel; and after every store of a history. */
import { state, u32 } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog, StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, type Store } from './store.ts';
import { storePlan } from './plan.ts';
import { BITS, COUNT, EMPTYING, FREE, GENERATION, GENERATION_MAX, NONE, SORT, TimerWheel } from './timer-wheel.ts';
import { timerFields, timerPlaces } from './timers.ts';

const plan = storePlan(state({ n: u32 }), { logWords: 1 << 14, heapBytes: 1 << 18, system: timerFields() });

interface World {
  readonly segment: ReturnType<typeof memorySegment>;
  readonly store: Store<any>;
  readonly wheel: TimerWheel;
  /** Word of the wheel's head. */
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
  const { root } = store.layouts;
  const { wheel: head } = timerPlaces(root, segment.regions.get('root')!.offset / 4)!;
  const wheel = new TimerWheel({ mem: segment, log: store.log, heap: store.heap, fail: e => store.log.fail(e) }, head);
  return { segment, store, wheel, head };
}

interface Waiting {
  readonly handle: number;
  readonly mark: number;
  readonly words: number;
  readonly period: number;
  due: number;
  order: number;
}

/** What the wheel is held against. */
interface Model {
  now: number;
  readonly waiting: Waiting[];
}

const copyOf = ({ now, waiting }: Model): Model => ({ now, waiting: waiting.map(one => ({ ...one })) });
const first = (model: Model): Waiting | undefined =>
  model.waiting.reduce<Waiting | undefined>(
    (a, b) => (a === undefined || b.due < a.due || (b.due === a.due && b.order < a.order) ? b : a),
    undefined,
  );

type Op =
  | { do: 'add'; ms: number; words: number; period: number }
  | { do: 'cancel' | 'stale'; nth: number }
  | { do: 'move'; nth: number; ms: number }
  | { do: 'wait'; ms: number }
  | { do: 'take'; most: number; sort: number };

/** Small ones, and those around the border of each level. */
const ms = fc.oneof(
  { weight: 4, arbitrary: fc.nat(3) },
  { weight: 4, arbitrary: fc.nat(200) },
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.nat(6), fc.nat(70), fc.integer({ min: -2, max: 2 }))
      .map(([level, times, by]) => Math.max(0, 64 ** level * times + by)),
  },
  { weight: 1, arbitrary: fc.constant(100 * 365 * 86_400_000) },
);
const op = fc.oneof<fc.MaybeWeightedArbitrary<Op>[]>(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      ms,
      words: fc.constantFrom(0, 1, 2, 6, 6, 7, 40),
      period: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 5_000 }) },
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('cancel' as const, 'stale' as const), nth: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), nth: fc.nat(), ms }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('take' as const), most: fc.nat(8), sort: fc.integer({ min: 1, max: 4 }) }),
  },
);
const history = fc.array(
  fc.record({
    ops: fc.array(op, { maxLength: 16, size: 'max' }),
    end: fc.constantFrom('commit', 'commit', 'commit', 'commit', 'rollback', 'savepoint', 'kill'),
  }),
  { maxLength: 60, size: 'max' },
);

let nextMark = 0;
let nextOrder = 0;
let done = 0;

/** Do it to both, and compare what comes back. */
function apply({ wheel, segment }: World, model: Model, gone: Set<number>, ops: readonly Op[]): void {
  const { waiting } = model;
  for (const op of ops) {
    done++;
    if (op.do === 'wait') model.now += op.ms;
    else if (op.do === 'add') {
      const mark = ++nextMark;
      const due = model.now + op.ms;
      const slot = wheel.add(model.now, due, mark % 100, op.words);
      if (op.period > 0) wheel.setPeriod(slot, op.period);
      const at = wheel.payloadAt(slot);
      if (at % 8 !== 0) throw new Error(`payload at ${at}`);
      for (let k = 0; k < op.words; k++) segment.i32[at / 4 + k] = mark + k;
      const handle = wheel.handleOf(slot);
      if (!Number.isSafeInteger(handle) || handle <= 0 || wheel.slotOf(handle) !== slot)
        throw new Error(`handle ${handle}`);
      if (waiting.some(one => one.handle === handle)) throw new Error(`handle ${handle} names two`);
      gone.delete(handle);
      waiting.push({ handle, mark, words: op.words, period: op.period, due, order: ++nextOrder });
    } else if (op.do === 'stale') {
      const handles = [...gone];
      if (handles.length > 0 && wheel.slotOf(handles[op.nth % handles.length]!) !== NONE)
        throw new Error('a stale handle names a timer');
    } else if (op.do === 'take') take(wheel, segment, model, gone, op.most, op.sort);
    else if (waiting.length > 0) {
      const one = waiting[op.nth % waiting.length]!;
      const slot = wheel.slotOf(one.handle);
      verify(wheel, segment, slot, one);
      if (op.do === 'move') {
        one.due += op.ms;
        one.order = ++nextOrder;
        wheel.move(slot, one.due);
      } else {
        wheel.remove(slot);
        waiting.splice(waiting.indexOf(one), 1);
        gone.add(one.handle);
        if (wheel.slotOf(one.handle) !== NONE) throw new Error('cancelled and still there');
      }
    }
  }
}

function take(
  wheel: TimerWheel,
  segment: World['segment'],
  model: Model,
  gone: Set<number>,
  most: number,
  sort: number,
) {
  for (let k = 0; k < most; k++) {
    const one = first(model);
    const earliest = wheel.nextDueMs();
    if (one === undefined ? wheel.size !== 0 : earliest > one.due)
      throw new Error(`next is due at ${earliest}, not ${one?.due}`);
    const slot = wheel.next(model.now);
    if (slot === SORT) {
      wheel.sort(sort);
      continue;
    }
    if (one === undefined || one.due > model.now) {
      if (slot !== NONE) throw new Error(`${slot} is due before its time`);
      return;
    }
    if (slot === NONE) throw new Error(`${one.mark} was due at ${one.due}, it is ${model.now}`);
    verify(wheel, segment, slot, one);
    if (one.period > 0) {
      one.due += one.period;
      one.order = ++nextOrder;
      wheel.move(slot, one.due);
    } else {
      wheel.remove(slot);
      model.waiting.splice(model.waiting.indexOf(one), 1);
      gone.add(one.handle);
    }
  }
}

function verify(wheel: TimerWheel, segment: World['segment'], slot: number, one: Waiting): void {
  if (slot < 0) throw new Error(`${one.mark} has gone`);
  const found = [wheel.handleOf(slot), wheel.dueOf(slot), wheel.typeOf(slot) & 0xffff, wheel.periodOf(slot)];
  const wanted = [one.handle, one.due, one.mark % 100, one.period];
  if (found.join() !== wanted.join()) throw new Error(`found ${found.join()}, wanted ${wanted.join()}`);
  const at = wheel.payloadAt(slot) / 4;
  for (let k = 0; k < one.words; k++)
    if (segment.i32[at + k] !== one.mark + k) throw new Error(`payload of ${one.mark} is torn`);
}

/** All that waits, in the order in which it fires, without changing anything. */
function drain({ store, wheel, segment }: World): number[][] {
  const found: number[][] = [];
  store.log.begin();
  for (let slot = wheel.next(Infinity); slot !== NONE; slot = wheel.next(Infinity)) {
    if (slot === SORT) wheel.sort(7);
    else {
      const mark = wheel.typeOf(slot) & 0xffff;
      found.push([wheel.dueOf(slot), mark, wheel.handleOf(slot), segment.i32[wheel.payloadAt(slot) / 4]!]);
      wheel.remove(slot);
    }
  }
  store.log.rollback();
  return found;
}

const inOrder = ({ waiting }: Model): Waiting[] => [...waiting].sort((a, b) => a.due - b.due || a.order - b.order);

describe('the timer wheel', () => {
  it('is what a sorted array is', () => {
    const wanted = process.env.LICH_SOAK ? 5_000_000 : 100_000;
    for (done = 0; done < wanted; ) {
      fc.assert(
        fc.property(fc.constantFrom(0, 1.7e12, 64 ** 5 - 3, 2 ** 44 + 7), history, (start, all) => {
          let w = world();
          let model: Model = { now: start, waiting: [] };
          const gone = new Set<number>();
          for (const { ops, end } of all) {
            const before = copyOf(model);
            w.store.log.begin();
            if (end === 'savepoint') {
              const half = ops.length >> 1;
              apply(w, model, gone, ops.slice(0, half));
              const kept = copyOf(model);
              const here = w.store.log.savepoint();
              apply(w, model, gone, ops.slice(half));
              w.store.log.rollbackTo(here);
              model = kept;
              w.store.log.commit();
            } else {
              apply(w, model, gone, ops);
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
            for (const { handle } of model.waiting) gone.delete(handle);
            expect(w.wheel.size).toBe(model.waiting.length);
          }
          expect(w.store.check()).toEqual([]);
          expect(drain(w).map(([due, mark, handle]) => [due, mark, handle])).toEqual(
            inOrder(model).map(({ due, mark, handle }) => [due, mark % 100, handle]),
          );
          w.store.log.begin();
          for (const { handle } of model.waiting) w.wheel.remove(w.wheel.slotOf(handle));
          w.store.log.commit();
          expect(w.store.check()).toEqual([]);
        }),
        { numRuns: 40 },
      );
    }
  });

  it('same time: in the order of posting, whatever level they were posted to, while their bucket is sorted too', () => {
    const w = world();
    const { wheel, store } = w;
    const due = 1.7e12 + 5 * 64 ** 3 + 17;
    const wanted: number[] = [];
    const post = (now: number) => {
      store.log.begin();
      w.segment.i32[wheel.payloadAt(wheel.add(now, due, 1, 1)) / 4] = wanted.push(wanted.length);
      store.log.commit();
    };
    // From far away, from closer, in the middle of sorting, in the ms before, in the very ms.
    for (const before of [64 ** 3 * 5, 64 ** 3 * 2, 64 ** 2 * 3, 5_000, 100, 64, 63, 1, 0]) {
      for (let k = 0; k < 3; k++) post(due - before);
      store.log.begin();
      if (wheel.next(due - before) === SORT) wheel.sort(1);
      store.log.commit();
      for (let k = 0; k < 3; k++) post(due - before);
      expect(store.check()).toEqual([]);
    }
    expect(drain(w).map(([, , , mark]) => mark)).toEqual(wanted.map((_, k) => k + 1));
  });

  it('a slot whose generations are used up is not used again', () => {
    const { wheel, store, segment, head } = world();
    store.log.begin();
    const slot = wheel.add(0, 5, 1, 0);
    wheel.remove(slot);
    store.log.commit();
    const at = Number((wheel.payloadAt(slot) / 4 - 10).toFixed());
    segment.i32[at + GENERATION] = GENERATION_MAX - 1;
    store.log.begin();
    expect(wheel.add(0, 5, 1, 0)).toBe(slot);
    const handle = wheel.handleOf(slot);
    expect(Number.isSafeInteger(handle)).toBe(true);
    expect(wheel.slotOf(handle)).toBe(slot);
    wheel.remove(slot);
    expect(wheel.slotOf(handle)).toBe(NONE);
    expect(wheel.add(0, 5, 1, 0)).not.toBe(slot);
    store.log.commit();
    expect(segment.i32[head + FREE]).toBe(0);
    expect(store.check()).toEqual([]);
  });

  it('numbers that are no handles name nothing', () => {
    const { wheel, store } = world();
    for (const handle of [0, 1, -1, 0.5, 1e300, NaN, Infinity, Number.MAX_SAFE_INTEGER])
      expect(wheel.slotOf(handle)).toBe(NONE);
    store.log.begin();
    const handle = wheel.handleOf(wheel.add(0, 5, 1, 0));
    store.log.commit();
    for (const other of [0, handle + 1, handle - 1, handle + 0.5, -handle, NaN, handle + 2 ** 24])
      expect(wheel.slotOf(other)).toBe(NONE);
    expect(wheel.slotOf(handle)).not.toBe(NONE);
  });

  it('a jump over years sorts only what waits', () => {
    const { wheel, store } = world();
    store.log.begin();
    const year = 365 * 86_400_000;
    for (let k = 0; k < 50; k++) wheel.add(1.7e12, 1.7e12 + k * 2 * year, 1, 0);
    store.log.commit();
    let sorts = 0;
    for (let k = 0; k < 50; k++) {
      store.log.begin();
      const now = 1.7e12 + k * 2 * year;
      for (; wheel.next(now) === SORT; sorts++) wheel.sort(1_000);
      expect(wheel.dueOf(wheel.next(now))).toBe(now);
      wheel.remove(wheel.next(now));
      expect(wheel.next(now)).toBe(NONE);
      store.log.commit();
    }
    expect(sorts).toBeLessThanOrEqual(50 * 8);
  });

  it('check() finds what is broken', () => {
    const harms: ((I: Int32Array, head: number) => void)[] = [
      (I, head) => (I[head + COUNT]! += 1),
      (I, head) => (I[head + FREE] = 3),
      (I, head) => (I[head + EMPTYING] = 5),
      (I, head) => (I[head + BITS]! ^= 1 << 9),
      (I, head) => (I[head + 6] = 1),
      (I, head) => (I[head + 48 + 2 * 9] = 99_999),
      (I, head) => (I[head + 48 + 2 * 9 + 1] = 512),
      (I, head) => (I[head + 24] = 0),
    ];
    for (const harm of harms) {
      const { wheel, store, segment, head } = world();
      store.log.begin();
      for (let k = 0; k < 5; k++) wheel.add(0, 9 - (k & 1), 0, 40);
      store.log.commit();
      expect(store.check()).toEqual([]);
      harm(segment.i32, head);
      expect(store.check().length, String(harm)).toBeGreaterThan(0);
    }
  });
});

describe('killed after every store', () => {
  function traced(): { trace: StoreTrace; models: { at: number; waiting: string }[] } {
    const trace = new StoreTrace();
    const w = world({ wrap: trace });
    const models = [{ at: 0, waiting: '[]' }];
    trace.start({ S: w.segment });
    let model: Model = { now: 1.7e12, waiting: [] };
    for (const { ops, end } of fc.sample(history, { numRuns: 1, seed: 7 }).flat().slice(0, 40)) {
      const before = copyOf(model);
      w.store.log.begin();
      apply(w, model, new Set(), ops);
      if (end === 'rollback') {
        w.store.log.rollback();
        model = before;
      } else w.store.log.commit();
      models.push({ at: trace.length, waiting: shown(model) });
    }
    trace.stop();
    return { trace, models };
  }
  const shown = (model: Model): string =>
    JSON.stringify(inOrder(model).map(({ due, mark, handle }) => [due, mark % 100, handle]));

  function verifyAll({ trace, models }: ReturnType<typeof traced>): { points: number; wrong: string[] } {
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
        const found = JSON.stringify(drain(w).map(([due, mark, handle]) => [due, mark, handle]));
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
    const { points, wrong } = verifyAll(traced());
    expect(wrong).toEqual([]);
    expect(points).toBeGreaterThan(500);
  });

  it('finds the planted bug: the log position after the data', () => {
    const bad = traced();
    bad.trace.mutate(stores => dataBeforeLog(stores, 'S', 4096));
    expect(verifyAll(bad).wrong.length).toBeGreaterThan(10);
  });
});
