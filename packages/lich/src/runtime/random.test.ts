import { state, u32, array } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { openStore, storePlan } from '../state/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { StateRandom } from './random.ts';

const plan = storePlan(state({ used: u32 }), { logWords: 4096, system: { $random: array(u32, 3) } });

function world(bytes?: Uint8Array) {
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, ...(bytes && { bytes }) });
  const store = openStore(segment, plan);
  store.recover();
  const word =
    (segment.regions.get('root')!.offset + store.layouts.root.fields.find(f => f.name === '$random')!.offset) / 4;
  if (!bytes) segment.i32.set([12_345, -678], word);
  const random = new StateRandom(segment.i32, store.log, word);
  store.onRollback(() => random.rolledBack());
  return { segment, store, word, random, key: () => segment.i32[word + 2]! };
}
type World = ReturnType<typeof world>;

const draw = ({ random }: World, n = 5) => Array.from({ length: n }, () => random.int(0, 1e9));
function message(w: World, work: () => void, end: 'commit' | 'rollback' = 'commit'): void {
  w.store.log.begin();
  w.random.restart();
  work();
  w.store.log[end]();
}

describe('random numbers of the state', () => {
  it('a message that is handled again after a rollback, or in the next life, draws the same numbers', () => {
    const w = world();
    message(w, () => void draw(w));
    const before = w.segment.u8.slice(0);
    let first: number[] = [];
    message(w, () => (first = draw(w)), 'rollback');
    let second: number[] = [];
    message(w, () => (second = draw(w)));
    expect(second).toEqual(first);
    const next = world(before);
    let third: number[] = [];
    message(next, () => (third = draw(next)));
    expect(third).toEqual(first);
  });

  it('each message draws others, and one that draws nothing writes nothing', () => {
    const w = world();
    const seen = new Set<number>();
    for (let k = 0; k < 200; k++) message(w, () => draw(w).forEach(n => seen.add(n)));
    expect(seen.size).toBe(1_000);
    const key = w.key();
    message(w, () => {});
    expect(w.key()).toBe(key);
    expect(key).toBe(200);
  });

  it('numbers drawn in a part that is undone are not drawn again by the next message', () => {
    const w = world();
    let undone: number[] = [];
    let after: number[] = [];
    let next: number[] = [];
    message(w, () => {
      const here = w.store.log.savepoint();
      undone = draw(w);
      w.store.log.rollbackTo(here);
      after = draw(w);
    });
    message(w, () => (next = draw(w)));
    expect(next).not.toEqual(undone);
    expect(next).not.toEqual(after);
    expect(w.key()).toBe(2);
  });

  it('a part that is undone after the first draw goes on in the stream', () => {
    const w = world();
    let first: number[] = [];
    let after: number[] = [];
    message(w, () => {
      first = draw(w);
      const here = w.store.log.savepoint();
      draw(w);
      w.store.log.rollbackTo(here);
      after = draw(w);
    });
    expect(after).not.toEqual(first);
    expect(w.key()).toBe(1);
  });

  it('ranges: both ends, all between, nothing else', () => {
    const w = world();
    message(w, () => {
      const seen = new Set(Array.from({ length: 2_000 }, () => w.random.int(-3, 3)));
      expect([...seen].sort((a, b) => a - b)).toEqual([-3, -2, -1, 0, 1, 2, 3]);
      expect(w.random.int(5, 5)).toBe(5);
      for (let k = 0; k < 1_000; k++) {
        const f = w.random.float();
        expect(f >= 0 && f < 1).toBe(true);
        const wide = w.random.int(0, 0xffff_ffff);
        expect(Number.isInteger(wide) && wide >= 0 && wide <= 0xffff_ffff).toBe(true);
      }
      expect(w.random.chance(0)).toBe(false);
      expect(w.random.chance(1)).toBe(true);
      expect(['a', 'b']).toContain(w.random.pick(['a', 'b']));
      for (const [lo, hi] of [
        [2, 1],
        [0.5, 2],
        [0, NaN],
        [0, 2 ** 33],
      ] as const)
        expect(() => w.random.int(lo, hi)).toThrow(RangeError);
      expect(() => w.random.pick([])).toThrow(RangeError);
    });
  });

  it('is even: 16 bins of 16,000 draws, over streams as well as within one', () => {
    const w = world();
    const within = new Array<number>(16).fill(0);
    const over = new Array<number>(16).fill(0);
    message(w, () => {
      for (let k = 0; k < 16_000; k++) within[w.random.int(0, 15)]!++;
    });
    for (let k = 0; k < 16_000; k++) message(w, () => void over[w.random.int(0, 15)]!++);
    // The seed is fixed; 99.99 % of all seeds lie below 45.
    for (const bins of [within, over])
      expect(bins.reduce((sum, n) => sum + (n - 1_000) ** 2 / 1_000, 0)).toBeLessThan(45);
  });

  it('cannot be drawn outside of a transaction', () => {
    const w = world();
    w.random.restart();
    expect(() => w.random.int(0, 1)).toThrow(expect.objectContaining({ code: 'STATE_NO_TRANSACTION' }));
  });
});
