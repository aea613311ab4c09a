/** Segments of almost 4 GiB: words up to 2^30, bytes beyond 2^31. Files and buffers are sparse: what nobody touches costs
 * nothing. What happens at the far end is compared with the same in a small segment. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import {
  array,
  bits,
  bool,
  bytes,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  int,
  list,
  map,
  oneOf,
  optional,
  pool,
  queue,
  ref,
  set,
  sorted,
  state,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
} from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { StoreTrace } from '../testing/crash.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { attach, dumpSegment, openDump, openReader, openStore, plain, type Store, storePlan, WORDS } from './index.ts';
import { migrate } from './migrate.ts';
import { catalogOf } from './reader.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
class Vec extends struct({ x: f32, y: f32, level: u8 }) {}
const fields = {
  a: u8,
  b: i8,
  c: u16,
  d: i16,
  e: u32,
  f: i32,
  g: int,
  h: f32,
  i: f64,
  j: u64,
  k: i64,
  l: bool,
  m: oneOf('red', 'green'),
  n: text(9),
  o: bytes(7),
  p: ref<any>('units'),
  q: Vec,
  r: array(u8, 5),
  s: list(u16, 4),
  t: map(u16, Vec, 4),
  u: set(u8, 4),
  v: queue(int, 4),
  w: bits(50),
  x: optional(Vec),
  y: optional(u8),
  z: text(),
  aa: bytes(),
  bb: array(Vec),
  cc: list(Vec),
  dd: map(text(), int),
  ee: set(i64),
  ff: sorted(int, text()),
  gg: queue(u16),
  hh: bits(),
  ii: array(ref<any>('units')),
};
class Unit extends struct(fields) {}
class NextUnit extends struct({
  fresh: int.init(3),
  ...fields,
  a: u32,
  c: i32,
  n: text(20),
  r: array(u16, 7),
  t: map(u16, Vec, 8),
  w: bits(80),
  y: optional(int),
  cc: array(Vec),
}) {}
/** 8 MiB that are not touched: a list is as long as its items. */
class Room extends struct({ head: int, room: list(f64, 349_000), tail: u8, mark: u16 }) {}

/** `rooms` lie before all else. */
const schemaWith = (rooms: number, unit: typeof Unit | typeof NextUnit = Unit) =>
  state({
    ballast: pool(Room, { capacity: rooms }),
    units: pool(unit as typeof Unit, { capacity: 64 }),
    more: pool(unit as typeof Unit),
    total: int,
  });
const options = { logWords: 1 << 15, heapBytes: 16 * MIB };
const farPlan = storePlan(schemaWith(504), options);
const nearPlan = storePlan(schemaWith(1), options);

function valuesOf(k: number): object {
  return {
    a: k,
    b: -k,
    c: k * 300,
    d: -k * 300,
    e: 4e9 + k,
    f: -2e9 - k,
    g: 2 ** 50 + k,
    h: k / 2,
    i: k / 7,
    j: 2n ** 63n + BigInt(k),
    k: -(2n ** 62n) - BigInt(k),
    l: true,
    m: 'green',
    n: `n${k}`,
    o: Uint8Array.of(k, 2, 3),
    q: { x: k, y: 2, level: 3 },
    r: [1, 2, 3, 4, k],
    s: [k, 5],
    t: [[k, { x: 1, y: 2, level: k }]],
    u: [k, 200],
    v: [k, 2 ** 40],
    w: [1, 40],
    x: { x: 7, y: 8, level: 9 },
    y: k,
    z: 'long '.repeat(k + 1),
    aa: new Uint8Array(100).fill(k),
    bb: [{ x: k }, { y: k }],
    cc: [{ x: 9, y: 9, level: k }],
    dd: [[`key ${k}`, k]],
    ee: [BigInt(-k), 5n],
    ff: [[k, `of ${k}`]],
    gg: [1, k],
    hh: [k, 5000],
  };
}

const open = (plan: typeof farPlan, trace?: StoreTrace): Store<any> => {
  const { regions, catalog } = plan;
  return openStore(memorySegment({ regions, catalog, ...(trace && { wrap: trace.wrap('S') }) }), plan) as Store<any>;
};
const units = (store: Store<any>) => [store.state.units, store.state.more];

function fill(store: Store<any>): void {
  store.log.begin();
  for (let k = 0; k < 6; k++) for (const each of units(store)) each.create(valuesOf(k));
  store.log.commit();
}

/** A transaction that is left open. */
function change(store: Store<any>): void {
  store.log.begin();
  for (let k = 20; k < 22; k++) for (const each of units(store)) each.create(valuesOf(k));
  for (const each of units(store)) {
    const unit = each.get(3);
    Object.assign(unit, valuesOf(9), { p: store.state.units.get(4), z: 'x'.repeat(2000), x: undefined });
    unit.q.level = 77;
    unit.t.get(9).level = 5;
    unit.bb.push({ level: 4 });
    unit.ii.push(unit.p);
    unit.cc.clear();
    unit.ff.set(-1, 'first');
    each.destroy(each.get(1));
  }
  store.state.total += 2 ** 40;
}

const text_ = (value: unknown): string =>
  JSON.stringify(value, (_, v) =>
    typeof v === 'bigint' ? `${v}n` : v instanceof Uint8Array ? [...v] : (v as unknown),
  );
/** All there is, as handlers see it, and as a reader does. */
const seen = (store: Store<any>): string =>
  text_([
    store.state.total,
    ...units(store).map(each => [...each].map(unit => plain(unit))),
    openReader(store.segment).snapshot(s => [s.root(), s.entries('units'), s.entries('more')]),
  ]);

afterEach(removeTestDirs);

describe('the far end of a state', () => {
  it('is beyond 3.9 GiB, and of no other use', () => {
    const at = memorySegment({ regions: farPlan.regions, catalog: farPlan.catalog }).regions.get('p1:units')!;
    expect(at.offset).toBeGreaterThan(3.9 * GIB);
  });

  it('every kind is written, rolled back, read and checked as in a small one', () => {
    const stores = [open(farPlan), open(nearPlan)] as const;
    const same = (): string => {
      const [far, near] = stores.map(seen);
      expect(far).toBe(near);
      for (const store of stores) {
        expect(store.check()).toEqual([]);
        expect(openReader(store.segment).check()).toEqual([]);
      }
      return far!;
    };
    stores.forEach(fill);
    const before = same();
    stores.forEach(change);
    for (const store of stores) store.log.rollback();
    expect(same()).toBe(before);
    stores.forEach(change);
    for (const store of stores) store.log.commit();
    expect(same()).not.toBe(before);
    // Left open: what the next process takes back.
    const after = same();
    stores.forEach(fill);
    const more = same();
    for (const store of stores) store.log.begin();
    for (const store of stores) for (const each of units(store)) each.forEach((unit: object) => each.destroy(unit));
    const next = openStore(stores[0].segment, farPlan) as Store<any>;
    expect(next.recover().undone).toBeGreaterThan(1000);
    expect(seen(next)).toBe(more);
    expect(more).not.toBe(after);
  });

  it('stopped after any store of a transaction, it is as before or as after', () => {
    const trace = new StoreTrace();
    const traced = open(farPlan, trace);
    const target = open(farPlan);
    for (const store of [traced, target]) fill(store);
    trace.start({});
    change(traced);
    traced.log.commit();
    trace.stop();
    const pageOf = (offset: number): number => offset - (offset % 4096);
    const { u8, i32, regions } = target.segment;
    const log = regions.get('log')!;
    const isLogged = (page: number): boolean => page >= log.offset + log.bytes;
    const pages = new Set(trace.stores.map(store => pageOf(store.offset)));
    const take = () => new Map([...pages].map(page => [page, u8.slice(page, page + 4096)]));
    const put = (from: Map<number, Uint8Array>): void => from.forEach((content, page) => u8.set(content, page));
    const before = take();
    for (const { offset, bytes: stored } of trace.stores) u8.set(stored, offset);
    const after = take();
    const isAs = (then: Map<number, Uint8Array>): boolean =>
      [...pages].every(
        page => !isLogged(page) || Buffer.compare(u8.subarray(page, page + 4096), then.get(page)!) === 0,
      );
    let open_ = 0;
    let largest = 0;
    for (let n = 0; n <= trace.length; n += 61) {
      put(before);
      for (const { offset, bytes: stored } of trace.stores.slice(0, n)) u8.set(stored, offset);
      for (let q = i32[WORDS.COM_POS]; q < i32[WORDS.LOG_POS]; q += 2)
        largest = Math.max(largest, i32[log.offset / 4 + (q & (options.logWords - 1))] & 0x7fff_ffff);
      if (target.recover().undone > 0) open_++;
      if (!isAs(before) && !isAs(after)) throw new Error(`store ${n}: neither before nor after`);
    }
    expect(open_).toBeGreaterThan(50);
    expect(largest).toBeGreaterThan(2 ** 29);
  });

  it.runIf(process.env.LICH_SOAK === '1')('is migrated as in a small one', () => {
    const [far, near] = [farPlan, nearPlan].map(from => {
      const before = open(from);
      fill(before);
      change(before);
      before.log.commit();
      const to = storePlan(schemaWith(from === farPlan ? 503 : 2, NextUnit), options);
      const after = memorySegment({ regions: to.regions, catalog: to.catalog });
      migrate(before.segment, after, to as never, { layouts: catalogOf(before.segment) });
      const store = openStore(after, to) as Store<any>;
      expect(store.check()).toEqual([]);
      return seen(store);
    });
    expect(far).toBe(near);
    expect(far).toContain('"fresh":3,"a":9,');
  });

  it('the last slots of a pool of 3.9 GiB', () => {
    const store = open(farPlan);
    const { ballast } = store.state;
    for (let k = 0; k < 504; k++) {
      store.log.begin();
      ballast.create({ head: k, tail: k & 127, mark: k, room: [k, 2 * k] });
      store.log.commit();
    }
    expect(() => (store.log.begin(), ballast.create())).toThrow(expect.objectContaining({ code: 'STATE_POOL_FULL' }));
    store.log.rollback();
    store.log.begin();
    ballast.forEach((room: any) => (room.tail++, room.room.push(-1)));
    store.log.rollback();
    for (const k of [0, 255, 256, 300, 503]) {
      const wanted = { head: k, room: [k, 2 * k], tail: k & 127, mark: k };
      expect(plain(ballast.get(k))).toEqual(wanted);
      expect(openReader(store.segment).snapshot(s => s.record('ballast', k))).toEqual(wanted);
    }
    expect(store.check()).toEqual([]);
  });
});

it('a heap of 3.9 GiB: blocks beyond 1.9, 2.9 and 3.8 GiB', () => {
  const plan = storePlan(schemaWith(1), { ...options, heapBytes: 3.9 * GIB - ((3.9 * GIB) % 65_536) });
  const [store, near] = [open(plan), open(nearPlan)];
  for (const gib of [1.9, 2.9, 3.8]) {
    // Blocks that nobody owns, which is what check() then says, and nothing else.
    store.log.begin();
    while (store.heap.highWords * 4 < gib * GIB)
      store.heap.alloc(Math.min(GIB, gib * GIB - store.heap.highWords * 4) / 4);
    store.log.commit();
    for (const each of [store, near]) fill(each);
    const before = seen(store);
    expect(before).toBe(seen(near));
    change(store);
    store.log.rollback();
    expect(seen(store)).toBe(before);
  }
  expect(store.check()).toEqual([{ where: 'heap', what: expect.stringMatching(/^\d blocks leaked: link 10\d\d \(/) }]);
  store.log.begin();
  expect(() => store.heap.alloc(GIB / 4)).toThrow(expect.objectContaining({ code: 'STATE_HEAP_FULL' }));
});

describe('a file of 3.9 GiB', () => {
  it('is owned, read from outside, dumped, and owned again; it takes what was touched', () => {
    const dir = testDir();
    const role = { as: 'owner', node: 'big', schema: schemaWith(504), ...options } as const;
    const mine = attach(dir, role);
    const reader = attach(dir, { as: 'reader', node: 'big', schema: schemaWith(504) });
    const store = mine.store as Store<any>;
    fill(store);
    const file = join(dir, 'big.state');
    expect(fs.statSync(file).size).toBeGreaterThan(3.9 * GIB);
    expect(fs.statSync(file).blocks * 512).toBeLessThan(64 * MIB);
    const there = text_([...store.state.units].map(unit => plain(unit)));
    expect(text_(reader.read(s => [...s.units].map(unit => plain(unit))))).toBe(there);
    expect(reader.check()).toEqual([]);
    dumpSegment(reader.segment, join(dir, 'big.dump'));
    reader.close();
    const dumped = openReader(openDump(join(dir, 'big.dump')).segment);
    expect(text_(dumped.snapshot(s => s.entries('units').map(({ value }) => value.z)))).toBe(
      text_([...store.state.units].map(unit => unit.z)),
    );
    mine.close();
    const again = attach(dir, role);
    expect(again.outcome).toBe('resumed');
    expect(text_([...(again.store as Store<any>).state.units].map(unit => plain(unit)))).toBe(there);
    again.close();
  });

  it('more than 4 GiB is refused with both numbers, and nothing is left', () => {
    const dir = testDir();
    const wanted = storePlan(schemaWith(600), options).bytes;
    expect(() => attach(dir, { as: 'owner', node: 'big', schema: schemaWith(600), ...options })).toThrow(
      expect.objectContaining({
        code: 'SHM_TOO_LARGE',
        message: expect.stringMatching(/need 50\d{8} bytes.* 4294967296/),
      }),
    );
    expect(wanted).toBeGreaterThan(5e9);
    expect(fs.readdirSync(dir)).toEqual(['big.lock']);
  });
});
