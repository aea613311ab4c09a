/** As reader.prop.test.ts, for what grows: walks over containers in the heap and over pools in chunks, as plain values and
 * as views, while the owner writes, commits and rolls back between the steps of the walk. */
import fc from 'fast-check';
import {
  array,
  bits,
  bytes,
  i32,
  int,
  list,
  map,
  optional,
  pool,
  queue,
  set,
  sorted,
  state,
  struct,
  text,
} from '@lich/schema';
import { expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, type Snapshot, type Store, storePlan } from './index.ts';
import type { MirrorFlaws } from './mirror.ts';
import { viewsOf } from './mirror-store.ts';
import { Reader } from './reader.ts';

class Inner extends struct({ a: i32, note: text(), more: array(i32) }) {}
class Thing extends struct({
  n: int,
  note: text(),
  raw: bytes(),
  row: array(int),
  parts: list(Inner),
  bag: map(text(), Inner),
  ranks: sorted(int, text(6)),
  seen: set(i32),
  due: queue(i32),
  flags: bits(),
  maybe: optional(Inner),
  inner: Inner,
}) {}
const schema = state({ things: pool(Thing), index: map(int, int), total: int });
const plan = storePlan(schema, { logWords: 1 << 15, heapBytes: 1 << 20 });
const FIELDS = ['note', 'raw', 'row', 'parts', 'bag', 'ranks', 'seen', 'due', 'flags', 'maybe', 'inner'] as const;
type Field = (typeof FIELDS)[number];

type Write =
  | { readonly do: 'create' | 'destroy' | 'index'; readonly at: number; readonly v: number }
  | { readonly do: Field; readonly at: number; readonly v: number };
interface Transaction {
  readonly writes: readonly Write[];
  readonly commit: boolean;
}
type Step =
  | { readonly read: 'plain' | 'view' | 'keys' | 'root' | 'pool'; readonly at: number }
  | { readonly write: Transaction };

const write = fc.record({
  do: fc.constantFrom('create', 'create', 'destroy', 'index', ...FIELDS),
  at: fc.nat(11),
  v: fc.nat(200),
}) as fc.Arbitrary<Write>;
const transaction: fc.Arbitrary<Transaction> = fc.record({
  writes: fc.array(write, { minLength: 1, maxLength: 6 }),
  commit: fc.integer({ min: 0, max: 2 }).map(k => k > 0),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ write: transaction }) },
  {
    weight: 3,
    arbitrary: fc.record({
      read: fc.constantFrom('plain', 'view', 'keys', 'root', 'pool'),
      at: fc.nat(11),
    }) as fc.Arbitrary<Step>,
  },
);

const inner = (v: number) => ({ a: v, note: 'n'.repeat(v), more: Array.from({ length: v % 9 }, (_, k) => v + k) });

function put(store: Store<any>, { do: what, at, v }: Write): void {
  const s = store.state;
  if (what === 'create') return void s.things.create({ n: v, note: `made ${v}` });
  if (what === 'index') {
    if (v % 5 === 0) s.index.delete(at);
    else s.index.set(at + (v % 40), v);
    s.total = s.index.size;
    return;
  }
  const thing = s.things.get(at);
  if (thing === undefined) return;
  switch (what) {
    case 'destroy':
      return void s.things.destroy(thing);
    case 'note':
      return void (thing.note = 'x'.repeat(v));
    case 'raw':
      return void (thing.raw = new Uint8Array(v).fill(v));
    case 'row':
      if (v % 7 === 0) thing.row.clear();
      else for (let k = 0; k < v % 30; k++) thing.row.push(v * k);
      return;
    case 'parts':
      if (v % 4 === 0 && thing.parts.length > 0) thing.parts.shift();
      else thing.parts.push(inner(v));
      return;
    case 'bag':
      if (v % 4 === 0) thing.bag.delete(`k${v % 12}`);
      else thing.bag.set(`k${v % 12}`, inner(v));
      return;
    case 'ranks':
      if (v % 5 === 0) thing.ranks.delete(v % 50);
      else for (let k = 0; k < v % 20; k++) thing.ranks.set((v * k) % 50, `r${v}`);
      return;
    case 'seen':
      if (v % 5 === 0) thing.seen.clear();
      else for (let k = 0; k < v % 20; k++) thing.seen.add(v + k);
      return;
    case 'due':
      if (v % 3 === 0) thing.due.shift();
      else for (let k = 0; k < v % 20; k++) thing.due.push(v + k);
      return;
    case 'flags':
      return void thing.flags.set(v * 3, v % 3 > 0);
    case 'maybe':
      return void (thing.maybe = v % 3 === 0 ? undefined : inner(v));
    case 'inner':
      return void (thing.inner = inner(v));
    default:
  }
}

function run(store: Store<any>, { writes, commit }: Transaction): void {
  store.log.begin();
  for (const one of writes) put(store, one);
  if (commit) store.log.commit();
  else store.log.rollback();
}

function seen(store: Store<any>) {
  const things = new Map<number, any>();
  store.pools.get('things')!.forEach((record: object, slot: number) => {
    things.set(slot, plain(record));
  });
  const { things: _, ...root } = plain(store.state) as any;
  void _;
  return { root, things };
}

/** What a view gives by key, by index and by rank is what it gives as a whole. */
function byKey(view: any, known: any): void {
  expect([...view.row].map((_: unknown, k: number) => view.row.get(k))).toEqual(known.row);
  for (const [key, value] of known.bag) expect(plain(view.bag.get(key))).toEqual(value);
  expect(view.bag.has('none')).toBe(false);
  known.ranks.forEach(([key, value]: [number, string], rank: number) => {
    expect([view.ranks.get(key), view.ranks.rank(key), view.ranks.at(rank)]).toEqual([value, rank, [key, value]]);
  });
  for (const key of known.seen) expect(view.seen.has(key)).toBe(true);
  for (const bit of known.flags) expect(view.flags.get(bit)).toBe(true);
  expect(view.due.at(-1)).toBe(known.due.at(-1));
  expect(view.parts.last?.note).toBe(known.parts.at(-1)?.note);
  expect(view.maybe?.note).toBe(known.maybe?.note);
  expect([...view.inner.more]).toEqual(known.inner.more);
}

const histories = (flaws: MirrorFlaws = {}) =>
  fc.property(
    fc.array(transaction, { minLength: 5, maxLength: 25 }),
    fc.array(fc.array(step, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 }),
    (before, snapshots) => {
      const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
      const store = openStore(segment, plan) as Store<any>;
      for (const one of before) run(store, one);
      const reader = new Reader(segment, { flaws });
      const views = viewsOf(reader, schema);
      let known = seen(store);
      for (const steps of snapshots) {
        let tries = 0;
        views.read((s: any, all: Snapshot) => {
          if (++tries > 1) known = seen(store);
          for (const one of steps) {
            if ('write' in one) {
              if (tries === 1) run(store, one.write);
              continue;
            }
            const thing = known.things.get(one.at);
            if (one.read === 'plain') expect(all.record('things', one.at)).toEqual(thing);
            else if (one.read === 'root')
              expect([all.root(), s.index.size, s.total]).toEqual([known.root, known.root.total, known.root.total]);
            else if (one.read === 'pool') {
              expect(all.pool('things')).toEqual(known.things);
              expect([...s.things].map(view => view.n)).toEqual([...known.things.values()].map(value => value.n));
            } else {
              const view = s.things.get(one.at);
              if (thing === undefined || view === undefined) expect(view).toBe(thing);
              else if (one.read === 'view') expect(plain(view)).toEqual(thing);
              else byKey(view, thing);
            }
          }
        });
        known = seen(store);
      }
      expect(store.check()).toEqual([]);
      expect(reader.check()).toEqual([]);
    },
  );

const runs = process.env.LICH_SOAK === '1' ? 10_000 : 80;

it(`walks are of one commit, whatever is written between their steps: ${runs} random histories`, () => {
  fc.assert(histories(), { numRuns: runs });
});

for (const flaw of ['noUndo', 'newestWins'] as const) {
  it(`they are not when a step is left out: ${flaw}`, () => {
    expect(fc.check(histories({ [flaw]: true }), { numRuns: 3_000, endOnFailure: true }).failed).toBe(true);
  });
}

/** What a reader makes of a state: 'ok' or the code of the error. */
function outcome(read: () => unknown): string {
  try {
    read();
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

it('a damaged state ends in values or in a coded error, and never goes round in circles', () => {
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
  const store = openStore(segment, plan) as Store<any>;
  for (let at = 0; at < 8; at++) {
    run(store, { writes: [{ do: 'create', at, v: at }], commit: true });
    for (let v = 1; v < 40; v++) run(store, { writes: FIELDS.map(field => ({ do: field, at, v })), commit: true });
  }
  const I = segment.i32;
  const clean = I.slice();
  const heap = segment.regions.get('heap')!.offset / 4;
  const used = clean[heap]! - 1024;
  const reader = new Reader(segment, {});
  const views = viewsOf(reader, schema);
  const place = fc.nat(used - 1).map(k => heap + 1024 + k);
  const damage = fc.array(
    fc.tuple(
      place,
      fc.oneof(
        fc.integer(),
        fc.nat(64),
        place.map(k => clean[k]!),
      ),
    ),
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  fc.assert(
    fc.property(damage, edits => {
      I.set(clean);
      for (const [at, value] of edits) I[at] = value;
      const outcomes = [
        outcome(() => reader.snapshot(s => [s.root(), s.entries('things')])),
        outcome(() => reader.check()),
        outcome(() =>
          views.read((s: any) => {
            for (const thing of s.things) {
              for (const part of thing.parts) void part.note;
              for (const [key] of thing.bag) void thing.bag.get(key);
              void [...thing.row, ...thing.ranks, ...thing.seen, ...thing.due, ...thing.flags, thing.note, thing.maybe];
            }
          }),
        ),
      ];
      for (const one of outcomes) expect(['ok', 'STATE_CORRUPT']).toContain(one);
    }),
    { numRuns: process.env.LICH_SOAK === '1' ? 20_000 : 150 },
  );
});
