/** Reads as of one commit while an owner writes between the steps of the read: in one process, so that each history can be
 * repeated. A small ring is lapped often; what is then read is either the commit exactly or begun again. */
import fc from 'fast-check';
import { array, f32, i32, int, list, map, pool, ref, state, struct, text } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import type { MirrorFlaws } from './mirror.ts';
import { Reader } from './reader.ts';
import { openReader, openStore, plain, type Snapshot, type Store, storePlan } from './index.ts';

class Part extends struct({ a: i32, b: text(9) }) {}
class Thing extends struct({
  n: int,
  x: f32,
  name: text(40),
  part: Part,
  grid: array(i32, 30),
  parts: list(Part, 5),
  bag: map(int, text(6), 7),
  other: ref<Thing>('things'),
}) {}
class Small extends struct({ v: i32 }) {}
const schema = state({
  things: pool(Thing, { capacity: 40 }),
  small: pool(Small, { capacity: 300 }),
  total: int,
  last: text(30),
});
const plan = storePlan(schema, { logWords: 1 << 12 });

type Write =
  | {
      readonly do: 'create' | 'destroy' | 'field' | 'list' | 'map' | 'small' | 'root';
      readonly slot: number;
      readonly v: number;
    }
  | { readonly do: 'grid'; readonly slot: number; readonly v: number };
interface Transaction {
  readonly writes: readonly Write[];
  readonly end: 'commit' | 'rollback' | 'savepoint';
}
type Step =
  | { readonly read: 'record' | 'entry' | 'group' | 'pool' | 'small' | 'root' | 'changed'; readonly slot: number }
  | { readonly write: Transaction };

const slot = fc.nat(39);
const write: fc.Arbitrary<Write> = fc.record({
  do: fc.constantFrom('create', 'create', 'destroy', 'field', 'field', 'list', 'map', 'small', 'small', 'root', 'grid'),
  slot,
  v: fc.integer({ min: -1000, max: 1000 }),
}) as never;
const transaction: fc.Arbitrary<Transaction> = fc.record({
  writes: fc.array(write, { minLength: 1, maxLength: 8 }),
  end: fc.constantFrom('commit', 'commit', 'rollback', 'savepoint'),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ write: transaction }) },
  {
    weight: 4,
    arbitrary: fc.record({
      read: fc.constantFrom('record', 'entry', 'group', 'pool', 'small', 'root', 'changed'),
      slot,
    }) as fc.Arbitrary<Step>,
  },
);

function put(store: Store<any>, { do: what, slot: at, v }: Write): void {
  const s = store.state;
  const thing = s.things.get(at);
  switch (what) {
    case 'create':
      if (s.things.size < 40) s.things.create({ n: v, name: `made ${v}`, other: thing });
      break;
    case 'destroy':
      if (thing !== undefined) s.things.destroy(thing);
      break;
    case 'field':
      if (thing !== undefined)
        Object.assign(thing, { n: v, x: v / 2, name: 'x'.repeat(Math.abs(v) % 40), part: { a: v, b: `${v}` } });
      break;
    case 'grid':
      thing?.grid.assign(Array.from({ length: 30 }, (_, k) => v * k));
      break;
    case 'list':
      if (thing === undefined) break;
      if (thing.parts.length === 5) thing.parts.shift();
      thing.parts.push({ a: v, b: `p${v}` });
      break;
    case 'map':
      if (thing === undefined) break;
      if (thing.bag.size >= 6) thing.bag.delete([...thing.bag.keys()][0]);
      thing.bag.set(v, `b${Math.abs(v)}`);
      break;
    case 'small': {
      const one = s.small.get(at * 7);
      if (one === undefined) for (let k = 0; k < 5 && s.small.size < 300; k++) s.small.create({ v: v + k });
      else if (v % 3 === 0) s.small.destroy(one);
      else one.v = v;
      break;
    }
    case 'root':
      s.total += v;
      s.last = `last ${v}`;
  }
}

function run(store: Store<any>, { writes, end }: Transaction): void {
  const { log } = store;
  log.nextStamp();
  log.begin();
  if (end === 'savepoint') {
    const mark = log.savepoint();
    for (const one of writes) put(store, one);
    log.rollbackTo(mark);
    put(store, writes[0]!);
    log.commit();
    return;
  }
  for (const one of writes) put(store, one);
  if (end === 'commit') log.commit();
  else log.rollback();
}

/** What a reader must see of this moment. */
function seen(store: Store<any>) {
  const entries = (name: string): Map<number, unknown> => {
    const out = new Map<number, unknown>();
    store.pools.get(name)!.forEach((record: object, k: number) => {
      out.set(k, plain(record));
    });
    return out;
  };
  const { things, small: _, ...root } = plain(store.state) as any;
  void things;
  return { root, things: entries('things'), small: entries('small') };
}

/** Refs as they are stored, dead or alive, are what plain() of a live state does not show: compared without. */
function bare(record: any): any {
  if (record === undefined) return undefined;
  const { other: _, ...rest } = record;
  return rest;
}

/** Snapshots that are disturbed between their steps. */
const histories = (flaws: MirrorFlaws = {}) =>
  fc.property(
    fc.array(transaction, { minLength: 3, maxLength: 20 }),
    fc.array(fc.array(step, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 8 }),
    (before, snapshots) => {
      const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
      const store = openStore(segment, plan) as Store<any>;
      for (const one of before) run(store, one);
      const reader = openReader(segment, { flaws });
      let known = seen(store);
      let stamp = 0;
      const changed = new Map<number, unknown>();
      for (const steps of snapshots) {
        let tries = 0;
        const look = (s: Snapshot): void => {
          // The second try reads without being disturbed.
          if (++tries > 1) {
            known = seen(store);
          }
          for (const one of steps) {
            if ('write' in one) {
              if (tries === 1) run(store, one.write);
              continue;
            }
            const { read, slot: at } = one;
            if (read === 'record') expect(bare(s.record('things', at))).toEqual(bare(known.things.get(at)));
            else if (read === 'entry') expect(s.entry('small', at * 3)?.value).toEqual(known.small.get(at * 3));
            else if (read === 'group')
              expect(s.group('small', [at, at + 1, 299, at * 2]).map(e => e?.value)).toEqual(
                [at, at + 1, 299, at * 2].map(k => known.small.get(k)),
              );
            else if (read === 'pool')
              expect([...s.pool('things')].map(([k, v]) => [k, bare(v)])).toEqual(
                [...known.things].map(([k, v]) => [k, bare(v)]),
              );
            else if (read === 'small') expect([...s.pool('small')]).toEqual([...known.small]);
            else if (read === 'root') expect(s.root()).toEqual(known.root);
            else s.changed('small', stamp, (k, entry) => changed.set(k, entry?.value));
          }
          // What changed since the last look, and what was seen before, is all there is.
          s.changed('small', stamp, (k, entry) => changed.set(k, entry?.value));
          expect([...changed].filter(([, v]) => v !== undefined).sort(([a], [b]) => a - b)).toEqual([...known.small]);
          stamp = s.stamp;
        };
        reader.snapshot(look);
        known = seen(store);
      }
      expect(reader.check()).toEqual([]);
    },
  );

describe('a snapshot', () => {
  const runs = process.env.LICH_SOAK === '1' ? 20_000 : 120;

  it(`is one commit exactly, whatever is written between its steps: ${runs} random histories`, () => {
    fc.assert(histories(), { numRuns: runs });
  });

  for (const flaw of ['noUndo', 'newestWins', 'lateBegin'] as const) {
    it(`is none when a step is left out: ${flaw}`, () => {
      expect(fc.check(histories({ [flaw]: true }), { numRuns: 5_000, endOnFailure: true }).failed).toBe(true);
    });
  }

  it('lasts longer than the ring when it looks often enough, and is begun again when it does not', () => {
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const store = openStore(segment, plan) as Store<any>;
    const commit = (fn: () => void): void => {
      store.log.begin();
      fn();
      store.log.commit();
    };
    for (let from = 0; from < 300; from += 100)
      commit(() => {
        for (let k = from; k < from + 100; k++) store.state.small.create({ v: k });
      });
    const reader = openReader(segment);
    const spin = (count: number): void => {
      for (let k = 0; k < count; k++)
        commit(() => store.state.small.forEach((one: Small, n: number) => (one.v = n * 1000 + k)));
    };
    let tries = 0;
    const values = reader.snapshot(s => {
      tries++;
      const out: unknown[] = [];
      for (let k = 0; k < 300; k++) {
        out.push(s.record('small', k)!['v']);
        // 300 records, 600 words and more each time: the ring is lapped some forty times.
        if (tries === 1) spin(1);
      }
      return out;
    });
    expect(tries).toBe(1);
    expect(values).toEqual(Array.from({ length: 300 }, (_, k) => k));

    tries = 0;
    const after = reader.snapshot(s => {
      const first = s.record('small', 0)!['v'];
      if (++tries === 1) spin(20);
      return [first, s.record('small', 299)!['v']];
    });
    expect(tries).toBe(2);
    expect(after).toEqual([19, 299_019]);

    tries = 0;
    const caught = reader.snapshot(s => {
      if (++tries === 1) spin(30);
      try {
        return s.record('small', 0)!['v'];
      } catch {
        return 'whoever catches everything';
      }
    });
    expect([tries, caught]).toEqual([2, 29]);
  });

  it('scans in bounded memory, one scan inside another, too', () => {
    class Wide extends struct({ v: i32, fill: array(i32, 900) }) {}
    const wide = storePlan(state({ wide: pool(Wide, { capacity: 6_000 }), grown: pool(Wide) }), {
      logWords: 1 << 14,
      heapBytes: 24 << 20,
    });
    const segment = memorySegment({ regions: wide.regions, catalog: wide.catalog });
    const store = openStore(segment, wide) as Store<any>;
    for (let k = 0; k < 6_000; k++) {
      store.log.begin();
      store.state.wide.create({ v: k });
      if (k < 5_000) store.state.grown.create({ v: -k });
      store.log.commit();
    }
    const reader = new Reader(segment, {});
    let most = 0;
    reader.snapshot(s => {
      let outer = 0;
      s.scan('wide', ({ slot: at, value }) => {
        if (value['v'] === outer) outer++;
        most = Math.max(most, reader.mirror.usedBytes);
        if (at % 3_000 !== 0) return;
        let inside = 0;
        s.scan('grown', entry => {
          if (entry.value['v'] === -inside) inside++;
        });
        expect(inside).toBe(5_000);
      });
      expect(outer).toBe(6_000);
      let changed = 0;
      s.changed('grown', 0, () => changed++);
      expect(changed).toBe(5_000);
    });
    // Both pools have more than that together, one scan needs less.
    expect(most).toBeLessThan(40 << 20);
    reader.snapshot(s => {
      most = 0;
      s.scan('wide', () => (most = Math.max(most, reader.mirror.usedBytes)));
    });
    expect(most).toBeLessThan(17 << 20);
    expect(reader.check()).toEqual([]);
    expect(reader.mirror.usedBytes).toBe(0);
  });

  it('gives up with numbers and the setting', () => {
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const store = openStore(segment, plan) as Store<any>;
    store.log.begin();
    const one = store.state.small.create({ v: 1 });
    store.log.commit();
    const reader = openReader(segment);
    let tries = 0;
    const act = () =>
      reader.snapshot(s => {
        tries++;
        for (let k = 0; k < 3000; k++) {
          store.log.begin();
          one.v++;
          store.log.commit();
        }
        return s.record('small', 0);
      });
    expect(act).toThrow(expect.objectContaining({ code: 'STATE_SNAPSHOT', severity: 'warn' }));
    expect(tries).toBe(100);
    expect(act).toThrow(/100 times .* up to \d{4} words .* of 4096\. .*limits\.logBytes \(16384\)/);
  });

  it('reads what is open as it was before, up to a full log', () => {
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const store = openStore(segment, plan) as Store<any>;
    store.log.begin();
    for (let k = 0; k < 5; k++) store.state.small.create({ v: k });
    store.log.commit();
    store.log.begin();
    expect(() => {
      for (let k = 0; ; k++) store.state.small.get(k % 5).v = 1000 + k;
    }).toThrow(expect.objectContaining({ code: 'STATE_LOG_FULL' }));
    const reader = openReader(segment);
    expect(reader.snapshot(s => [...s.pool('small').values()].map(r => r['v']))).toEqual([0, 1, 2, 3, 4]);
    expect(reader.check()).toEqual([]);
    store.log.rollback();
    expect(reader.snapshot(s => s.record('small', 4))).toEqual({ v: 4 });
  });

  it('says what is wrong: a damaged log, a segment without first words, a use after its end, one inside another', () => {
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const reader = openReader(segment);
    expect(() => reader.snapshot(s => s.root())).toThrow(expect.objectContaining({ code: 'STATE_NOT_READY' }));
    const store = openStore(segment, plan) as Store<any>;
    let kept: Snapshot | undefined;
    reader.snapshot(s => (kept = s));
    expect(() => kept!.root()).toThrow(TypeError);
    expect(() => reader.snapshot(() => reader.snapshot(() => 0))).toThrow(TypeError);
    expect(() => reader.snapshot(s => s.record('none', 0))).toThrow(/there is no pool `none`; there are things, small/);
    expect(reader.snapshot(s => [s.record('small', 300), s.record('small', -1), s.record('small', 0.5)])).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    store.log.begin();
    store.state.things.create({ name: 'a name of some length, logged as a range'[0]!.repeat(40) });
    const ring = segment.regions.get('log')!.offset / 4;
    const words = segment.i32;
    for (let k = 0; k < 400; k += 2) if (words[ring + k]! < 0) words[ring + k + 1] = 9999;
    expect(() => reader.snapshot(s => s.root())).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });
});
