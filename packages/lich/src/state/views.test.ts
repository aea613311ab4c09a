/** Records behave like objects: identity, equality, printing, freed and stale ones, values that do not fit. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import {
  array,
  bool,
  f32,
  i32,
  i8,
  int,
  list,
  map,
  oneOf,
  pool,
  recordRefOf,
  ref,
  state,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
  bytes,
  RECORD_REF,
} from '@lich/schema';
import { beforeEach, describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { local, openReader, openStore, plain, storePlan } from './index.ts';

class Vec extends struct({ x: f32, y: f32.init(1) }) {
  get length() {
    return Math.hypot(this.x, this.y);
  }
}
class Unit extends struct({
  name: text(6),
  hp: i32.init(100),
  tiny: u8,
  b: i8,
  part: f32,
  gold: int,
  big: u64,
  on: bool,
  mood: oneOf('calm', 'cross'),
  raw: bytes(3),
  pos: Vec,
  mate: ref<Unit>('units'),
  slots: array(u16, 3),
  path: list(Vec, 3),
  bag: map(u32, Vec, 3),
}) {
  get dead() {
    return this.hp <= 0;
  }
  hurt(n: number) {
    this.hp -= n;
  }
  onResume(reason: string) {
    resumed.push(`${this.name} ${reason}`);
  }
}
class Other extends struct({ n: i32 }) {}
const Schema = state({
  units: pool(Unit, { capacity: 70 }),
  twins: pool(Unit, { capacity: 2 }),
  others: pool(Other),
  home: Vec,
  best: ref<Unit>('units'),
});
const plan = storePlan(Schema, {
  logWords: 1 << 14,
  heapBytes: 1 << 20,
  hidden: { units: { $seen: u32 } },
  system: { $tick: int },
});
const code = (value: string) => expect.objectContaining({ code: value });
const resumed: string[] = [];

function open(bytes?: Uint8Array) {
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, ...(bytes && { bytes }) });
  return openStore(segment, plan);
}

let store: ReturnType<typeof open>;
const tx = <T>(work: () => T): T => {
  store.log.begin();
  try {
    const result = work();
    store.log.commit();
    return result;
  } catch (error) {
    store.log.rollback();
    throw error;
  }
};
const units = () => store.state.units;

beforeEach(() => {
  store = open();
});

describe('a record', () => {
  it('has the fields as its own keys, in declared order, and the class above', () => {
    const u = tx(() => units().create({ name: 'Ann', pos: { x: 3, y: 4 } }));
    expect(Object.keys(u)).toEqual(Object.keys(Unit.fields));
    expect({ ...u.pos }).toEqual({ x: 3, y: 4 });
    expect('hp' in u).toBe(true);
    expect(u).toBeInstanceOf(Unit);
    expect(u.constructor).toBe(Unit);
    expect([u.dead, u.pos.length]).toEqual([false, 5]);
    tx(() => u.hurt(100));
    expect(u.dead).toBe(true);
    const names: string[] = [];
    for (const name in u) names.push(name);
    expect(names).toEqual(Object.keys(Unit.fields));
  });

  it('prints, serialises and copies like an object', () => {
    const [a, b] = tx(() => [
      units().create({ name: 'Ann', raw: new Uint8Array([1]), path: [{ x: 1 }], bag: [[7, { x: 2 }]] }),
      units().create({ name: 'Bob' }),
    ]);
    tx(() => {
      a.mate = b;
      b.mate = a;
    });
    expect(inspect(a.pos)).toBe('Vec { x: 0, y: 1 }');
    const shown = inspect(a, { depth: 5 });
    expect(shown).toMatch(/^Unit \{\n {2}name: 'Ann',\n {2}hp: 100,/);
    expect(shown).toContain('mate: { slot: 1, generation: 1 }');
    expect(shown).toContain('path: [ { x: 1, y: 1 } ]');
    expect(shown).toContain('bag: [ [ 7, { x: 2, y: 1 } ] ]');
    expect(inspect([a.path, a.slots, a.bag])).toBe('[ [ { x: 1, y: 1 } ], [ 0, 0, 0 ], [ [ 7, [Object] ] ] ]');
    const { big: _, raw: __, ...rest } = JSON.parse(JSON.stringify({ ...plain(a), big: 0 }));
    expect(rest).toMatchObject({
      name: 'Ann',
      mate: { slot: 1, generation: 1 },
      slots: [0, 0, 0],
      path: [{ x: 1, y: 1 }],
    });
    expect(JSON.stringify(a.path)).toBe('[{"x":1,"y":1}]');
    expect(JSON.stringify({ pos: a.pos })).toBe('{"pos":{"x":0,"y":1}}');
    const copy = plain(a);
    tx(() => (a.hp = 1));
    expect(copy.hp).toBe(100);
    expect(() => plain({} as never)).toThrow(TypeError);
  });

  it('equals what holds the same, in vitest and in node:assert', () => {
    const [a, b, c] = tx(() => [
      units().create({ name: 'A', path: [{ x: 1 }] }),
      units().create({ name: 'A', path: [{ x: 1 }] }),
      units().create({ name: 'A', path: [{ x: 2 }] }),
    ]);
    expect(a).not.toBe(b);
    expect(a).toEqual(b);
    expect(a).toStrictEqual(b);
    expect(a).not.toEqual(c);
    assert.deepStrictEqual(a, b);
    assert.notDeepStrictEqual(a, c);
    assert.deepStrictEqual(a.path, b.path);
    assert.notDeepStrictEqual(a.path, c.path);
    assert.deepStrictEqual(a.slots, b.slots);
    tx(() => (b.hp = 3));
    expect(a).not.toEqual(b);
    assert.notDeepStrictEqual(a, b);
    expect(plain(a)).toEqual({ ...plain(b), hp: 100 });
    expect(a.pos).toEqual({ x: 0, y: 1 });
    assert.deepEqual({ ...a.pos }, { x: 0, y: 1 });
    expect(a).toMatchObject({ name: 'A', pos: { y: 1 } });
    tx(() => c.slots.set(1, 9));
    assert.notDeepStrictEqual(a.slots, c.slots);
    tx(() => a.bag.set(1, { x: 1 }));
    assert.notDeepStrictEqual(a.bag, c.bag);
  });

  it('has one identity while it lives, and parts with theirs', () => {
    const u = tx(() => units().create({ path: [{}, {}], bag: [[1, {}]] }));
    expect(units().get(0)).toBe(u);
    expect([...units()]).toEqual([u]);
    expect(units().resolve(0, 1)).toBe(u);
    expect(
      [u.pos, u.path, u.bag, u.slots, u.path.first, u.bag.get(1)].every(
        (view, k) => view === [u.pos, u.path, u.bag, u.slots, u.path.first, u.bag.get(1)][k],
      ),
    ).toBe(true);
  });

  it('is not made with new, and takes no unknown names', () => {
    expect(() => new Unit()).toThrow(code('SCHEMA_NOT_CONSTRUCTIBLE'));
    expect(() => tx(() => units().create({ nam: 'x' } as never))).toThrow(/Unit has no field nam/);
    expect(() => tx(() => units().create({ pos: { z: 1 } as never }))).toThrow(/no field z/);
    expect(units().size).toBe(0);
  });
});

describe('values that do not fit', () => {
  const bad: [string, (u: any) => void, RegExp][] = [
    ['tiny', u => (u.tiny = 300), /field tiny of Unit: 300 is not a u8 \(0\.\.255\)/],
    ['tiny', u => (u.tiny = -1), /-1 is not a u8/],
    ['tiny', u => (u.tiny = 1.5), /1\.5 is not a u8/],
    ['tiny', u => (u.tiny = '5'), /'5' is not a u8/],
    ['b', u => (u.b = 128), /128 is not an i8/],
    ['hp', u => (u.hp = Number.NaN), /NaN is not an i32/],
    ['hp', u => (u.hp = 2 ** 31), /is not an i32/],
    ['hp', u => (u.hp = undefined), /field hp of Unit: undefined/],
    ['gold', u => (u.gold = 2 ** 53), /is not an int/],
    ['gold', u => (u.gold = 0.5), /is not an int/],
    ['part', u => (u.part = 1e39), /1e\+39 is not an f32/],
    ['part', u => (u.part = '1'), /'1' is not an f32/],
    ['big', u => (u.big = 5), /5 is not a u64/],
    ['big', u => (u.big = -1n), /-1n is not a u64/],
    ['on', u => (u.on = 1), /1 is not a bool/],
    ['mood', u => (u.mood = 'odd'), /'odd' is not one of/],
    ['name', u => (u.name = 'too long'), /'too long' has 8 characters, text\(6\) holds 6/],
    ['name', u => (u.name = null), /null is not a text/],
    ['raw', u => (u.raw = new Uint8Array(4)), /4 bytes do not fit into bytes\(3\)/],
    ['pos', u => (u.pos = { x: 'a' }), /field pos of Unit: x: 'a' is not an f32/],
    ['pos', u => (u.pos.x = 'a'), /field x of Vec: 'a' is not an f32/],
    ['slots', u => u.slots.set(0, 70_000), /70000 is not a u16/],
    ['slots', u => (u.slots = [1, 2, 3, 4]), /more elements than the array of 3 holds/],
    ['path', u => u.path.push({ x: 'b' }), /x: 'b' is not an f32/],
    ['bag', u => u.bag.set(-1, {}), /-1 is not a u32/],
    ['bag', u => u.bag.set(1, 5), /5 is not Vec/],
    ['mate', u => (u.mate = 5), /field mate of Unit: 5 is not a record of `units`/],
    ['mate', u => (u.mate = { slot: -1, generation: 1 }), /are not two u32/],
  ];
  for (const [field, act, message] of bad) {
    it(`${field}: ${message.source}`, () => {
      const u = tx(() => units().create({ name: 'Ann', tiny: 7, bag: [[1, {}]] }));
      const before = Buffer.from(new Uint8Array(store.segment.buffer));
      store.log.begin();
      expect(() => act(u)).toThrow(code('SCHEMA_RANGE'));
      expect(() => act(u)).toThrow(message);
      store.log.commit();
      const commitNo = 1024 + 80;
      new Float64Array(before.buffer, before.byteOffset)[commitNo / 2]! += 1;
      expect(Buffer.from(new Uint8Array(store.segment.buffer)).equals(before)).toBe(true);
    });
  }

  it('holds what is special: NaN and the infinities in floats, one zero in whole numbers', () => {
    const u = tx(() => units().create({ part: Number.NaN, gold: -0 }));
    expect(u.part).toBeNaN();
    expect(Object.is(u.gold, 0)).toBe(true);
    tx(() => {
      u.part = Number.NEGATIVE_INFINITY;
      u.gold = -0;
    });
    expect(u.part).toBe(Number.NEGATIVE_INFINITY);
    expect(Object.is(u.gold, 0)).toBe(true);
    tx(() => (u.part = 0.1));
    expect(u.part).toBe(Math.fround(0.1));
  });

  it('checks all of create before a byte is written', () => {
    const before = Buffer.from(new Uint8Array(store.segment.buffer));
    store.log.begin();
    expect(() => units().create({ name: 'ok', slots: [1, -1] })).toThrow(code('SCHEMA_RANGE'));
    expect(() => units().create({ hp: 1, path: [{}, {}, {}, {}] })).toThrow(code('SCHEMA_RANGE'));
    store.log.rollback();
    expect(Buffer.from(new Uint8Array(store.segment.buffer)).equals(before)).toBe(true);
  });
});

describe('what is gone', () => {
  it('throws when used, all of it', () => {
    const u = tx(() => units().create({ path: [{}], bag: [[1, {}]] }));
    const parts = { pos: u.pos, path: u.path, bag: u.bag, slots: u.slots, step: u.path.first!, item: u.bag.get(1)! };
    tx(() => expect(units().destroy(u)).toBe(true));
    const uses: (() => unknown)[] = [
      () => u.hp,
      () => u.name,
      () => u.mate,
      () => u.pos,
      () => u.raw,
      () => u.path,
      () => u.dead,
      () => plain(u),
      () => JSON.stringify(u),
      () => parts.pos.x,
      () => parts.path.length,
      () => [...parts.path],
      () => parts.path.first,
      () => parts.bag.size,
      () => parts.bag.get(1),
      () => [...parts.bag],
      () => parts.slots.get(0),
      () => parts.slots.toArray(),
      () => parts.step.x,
      () => parts.item.length,
      () => units().refOf(u),
    ];
    const writes: (() => unknown)[] = [
      () => (u.hp = 1),
      () => (u.name = 'x'),
      () => (u.mate = undefined),
      () => (parts.pos.x = 1),
      () => parts.path.push({}),
      () => parts.path.clear(),
      () => parts.path.pop(),
      () => parts.bag.set(2, {}),
      () => parts.bag.delete(1),
      () => parts.slots.set(0, 1),
      () => (parts.step.x = 1),
      () => (parts.item.y = 2),
      () => u.hurt(1),
      () => ((u as any).pos = { x: 1 }),
    ];
    for (const use of uses) expect(use, use.toString()).toThrow(code('STATE_FREED'));
    const before = Buffer.from(new Uint8Array(store.segment.buffer)).subarray(
      store.segment.regions.get('root')!.offset,
    );
    tx(() => {
      for (const write of writes) expect(write, write.toString()).toThrow(code('STATE_FREED'));
    });
    expect(Buffer.from(new Uint8Array(store.segment.buffer)).subarray(before.byteOffset).equals(before)).toBe(true);
    expect(inspect(u)).toBe('Unit <freed>');
    expect(units().has(u)).toBe(false);
    expect(u[RECORD_REF as never]).toBeUndefined();
    expect(store.check()).toEqual([]);
  });

  it('is there again, the same, after a rollback; what was made is gone', () => {
    const a = tx(() => units().create({ name: 'A', path: [{ x: 1 }], bag: [[1, { x: 5 }]] }));
    const [step, item, pos] = [a.path.first!, a.bag.get(1)!, a.pos];
    store.log.begin();
    const b = units().create({ name: 'B' });
    const { pos: bPos } = b;
    a.path.push({ x: 2 });
    const second = a.path.last!;
    a.path.remove(step);
    a.bag.delete(1);
    expect(() => step.x).toThrow(code('STATE_FREED'));
    units().destroy(a);
    const c = units().create({ name: 'C' });
    expect(units().refOf(c).slot).toBe(0);
    store.log.rollback();
    expect([a.name, units().get(0) === a, a.path.first === step, a.bag.get(1) === item, a.pos === pos]).toEqual([
      'A',
      true,
      true,
      true,
      true,
    ]);
    expect([step.x, item.x, pos.y]).toEqual([1, 5, 1]);
    for (const gone of [() => b.name, () => bPos.x, () => second.x, () => c.name])
      expect(gone).toThrow(code('STATE_FREED'));
    tx(() => (step.x = 8));
    expect(a.path.first!.x).toBe(8);
    expect(store.check()).toEqual([]);
  });

  it('comes and goes with savepoints', () => {
    store.log.begin();
    const a = units().create({ name: 'A' });
    const here = store.log.savepoint();
    const b = units().create({ name: 'B' });
    units().destroy(a);
    store.log.rollbackTo(here);
    expect(a.name).toBe('A');
    expect(() => b.name).toThrow(code('STATE_FREED'));
    const c = units().create({ name: 'C' });
    store.log.commit();
    expect([...units()].map(u => u.name)).toEqual(['A', 'C']);
    expect(units().get(1)).toBe(c);
  });

  it('reads undefined through a ref, never somebody else', () => {
    const [a, b] = tx(() => {
      const one = units().create({ name: 'A' });
      return [one, units().create({ name: 'B', mate: one })];
    });
    const stale = units().refOf(a);
    expect(recordRefOf(a)).toEqual({ ...stale, pool: 'units' });
    expect(b.mate).toBe(a);
    tx(() => (store.state.best = a));
    tx(() => void units().destroy(stale));
    expect([b.mate, store.state.best, units().resolve(stale.slot, stale.generation), plain(b).mate]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const c = tx(() => units().create({ name: 'C' }));
    expect(units().refOf(c).slot).toBe(stale.slot);
    expect(b.mate).toBeUndefined();
    tx(() => ((b as any).mate = stale));
    expect(b.mate).toBeUndefined();
    expect(units().destroy(stale)).toBe(false);
    tx(() => ((b as any).mate = units().refOf(c)));
    expect(b.mate).toBe(c);
    tx(() => (b.mate = undefined));
    expect(b.mate).toBeUndefined();
  });

  it('of another pool or store is refused', () => {
    const elsewhere = open();
    elsewhere.log.begin();
    const foreign = elsewhere.state.units.create();
    elsewhere.log.commit();
    const [u, twin, other] = tx(() => [units().create(), store.state.twins.create(), store.state.others.create()]);
    store.log.begin();
    expect(() => (u.mate = foreign)).toThrow(code('STATE_FOREIGN'));
    expect(() => (u.mate = twin)).toThrow(code('STATE_FOREIGN'));
    expect(() => (u.mate = other as never)).toThrow(code('STATE_FOREIGN'));
    expect(() => units().destroy(twin)).toThrow(code('STATE_FOREIGN'));
    expect(() => units().refOf(foreign)).toThrow(code('STATE_FOREIGN'));
    units().destroy(u);
    const v = units().create();
    expect(() => (v.mate = u)).toThrow(code('STATE_FREED'));
    store.log.rollback();
    expect(twin).toBeInstanceOf(Unit);
  });
});

describe('a pool', () => {
  it('is full with its numbers, iterates in slot order, over holes and words of its bitmap', () => {
    tx(() => {
      for (let k = 0; k < 70; k++) units().create({ name: `${k}` });
    });
    store.log.begin();
    expect(() => units().create()).toThrow(/pool `units` full: 70 slots, raise capacity/);
    store.log.rollback();
    tx(() => {
      for (let k = 0; k < 70; k += 3) units().destroy(units().get(k)!);
    });
    const names: string[] = [];
    units().forEach((u, slot) => {
      names.push(u.name);
      expect(u.name).toBe(`${slot}`);
    });
    expect(names).toEqual([...units()].map(u => u.name));
    expect(names.length).toBe(units().size);
    expect([units().get(0), units().get(70), units().get(-1), units().get(1.5)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(units().get(1)!.name).toBe('1');
    expect(store.check()).toEqual([]);
    // Destroyed during the walk: not visited after. Created: the walk ends.
    let visited = 0;
    tx(() => {
      units().forEach(u => {
        visited++;
        const next = units().get(units().refOf(u).slot + 1);
        if (next) units().destroy(next);
        if (visited < 100) units().create();
      });
    });
    expect(visited).toBeLessThan(140);
    expect(store.check()).toEqual([]);
  });

  it('gives a used slot back clean', () => {
    tx(() => {
      const u = units().create({
        name: 'dirty',
        hp: 1,
        tiny: 9,
        big: 9n,
        raw: new Uint8Array([1, 2]),
        slots: [1, 2, 3],
        path: [{ x: 1 }],
        bag: [
          [1, {}],
          [2, {}],
        ],
        pos: { x: 9, y: 9 },
      });
      u.mate = u;
      units().destroy(u);
    });
    const fresh = plain(tx(() => units().create()));
    expect(fresh).toEqual({
      name: '',
      hp: 100,
      tiny: 0,
      b: 0,
      part: 0,
      gold: 0,
      big: 0n,
      on: false,
      mood: 'calm',
      raw: new Uint8Array(0),
      pos: { x: 0, y: 1 },
      mate: undefined,
      slots: [0, 0, 0],
      path: [],
      bag: [],
    });
    expect(store.check()).toEqual([]);
  });

  it('makes views ahead that are as good as any', () => {
    const pool = store.pools.get('units')!;
    pool.prepare(3);
    const [a, b] = tx(() => [units().create({ name: 'A' }), units().create({ name: 'B' })]);
    expect([a.name, b.name, Object.keys(a).length]).toEqual(['A', 'B', 15]);
  });
});

describe('the store', () => {
  it('keeps what the runtime added out of sight', () => {
    const u: any = tx(() => units().create());
    const s: any = store.state;
    tx(() => {
      u.$seen = 5;
      s.$tick = 9;
    });
    expect([u.$seen, s.$tick]).toEqual([5, 9]);
    expect(Object.keys(u)).not.toContain('$seen');
    expect(Object.keys(plain(u))).not.toContain('$seen');
    expect(Object.keys(s)).toEqual(['home', 'best', 'units', 'twins', 'others']);
    expect(inspect(s)).toMatch(/^State \{ home: \{ x: 0, y: 1 \}, best: undefined/);
    expect(openReader(store.segment).snapshot(r => [r.root()['$tick'], r.record('units', 0)!['$seen']])).toEqual([
      undefined,
      undefined,
    ]);
    expect(
      openReader(store.segment, { hidden: true }).snapshot(r => [r.root()['$tick'], r.record('units', 0)!['$seen']]),
    ).toEqual([9, 5]);
  });

  it('calls onResume of the classes that have it', () => {
    tx(() => [units().create({ name: 'A' }), store.state.twins.create({ name: 'T' }), store.state.others.create()]);
    resumed.length = 0;
    const next = open(new Uint8Array(store.segment.buffer));
    next.recover();
    next.beginLife('crash');
    expect(resumed).toEqual([]);
    expect([next.resuming, next.resumeSome(), next.resumeSome(), next.resumeSome()]).toEqual([true, 1, 1, 0]);
    expect(next.resuming).toBe(false);
    expect(resumed).toEqual(['A crash', 'T crash']);
  });

  it('refuses a segment of another schema', () => {
    const wrong = storePlan(state({ units: pool(Other, { capacity: 900 }) }), { logWords: 1 << 12 });
    expect(() => openStore(memorySegment({ regions: wrong.regions }), plan)).toThrow(code('STATE_LAYOUT'));
    expect(() => storePlan(Schema, { logWords: 5000 })).toThrow(/power of two/);
    expect(storePlan(Schema).layoutHash).not.toBe(wrong.layoutHash);
    expect(plan.table().map(row => row.name)).toEqual(['undo log', 'root', 'units', 'twins', 'others', 'heap']);
  });

  it('does not write to a record whose fences were overwritten', () => {
    const u = tx(() => units().create({ name: 'A' }));
    store.log.nextStamp();
    const pool = store.pools.get('units')!;
    store.segment.i32[pool.payloadWord(0) - 4]! ^= 1;
    store.log.begin();
    expect(() => (u.hp = 1)).toThrow(code('STATE_CORRUPT'));
    expect(() => units().destroy(u)).toThrow(/fences of units\[0\]/);
    store.log.rollback();
  });

  it('finds damage', () => {
    tx(() => units().create({ name: 'A', path: [{}, {}], bag: [[1, {}]] }));
    const word = store.pools.get('units')!.payloadWord(0);
    const at = (name: string) => word + store.pools.get('units')!.layout.fields.find(f => f.name === name)!.offset / 4;
    const damage: [number, number][] = [
      [word - 4, 1],
      [word - 3, 2],
      [at('name'), 0xffff],
      [at('gold'), 0x7fff_ffff],
      [at('path'), 2],
      [at('path') + 3, 1],
      [at('path') + 4, 9],
      [at('bag') + 5, 1],
      [at('bag') + 6, 3],
      [at('mate') + 1, 1],
    ];
    for (const [index, value] of damage) {
      const was = store.segment.i32[index]!;
      store.segment.i32[index] = value;
      if (index === at('mate') + 1) store.segment.i32[at('mate')] = 1000;
      expect(store.check().length, `word ${index - word}`).toBeGreaterThan(0);
      expect(openReader(store.segment).check()).toEqual(store.check());
      store.segment.i32[index] = was;
      store.segment.i32[at('mate')] = 0;
    }
    expect(store.check()).toEqual([]);
  });
});

describe('local', () => {
  it('holds what stays in the process: made once, again after a drop, gone with a rollback', () => {
    let made = 0;
    const data = local(Unit, u => ({ name: u.name, n: ++made }));
    const u = tx(() => units().create({ name: 'A' }));
    expect(data.peek(u)).toBeUndefined();
    expect(data(u)).toEqual({ name: 'A', n: 1 });
    expect(data(u)).toBe(data(u));
    data.drop(u);
    expect(data(u).n).toBe(2);
    const v = tx(() => units().create({ name: 'B' }));
    store.log.begin();
    v.name = 'never';
    expect(data(v).name).toBe('never');
    store.log.rollback();
    expect(data.peek(v)).toBeUndefined();
    expect(data(v).name).toBe('B');
    expect(data.peek(u)!.n).toBe(2);
    expect(() => data({} as never)).toThrow(TypeError);
  });
});
