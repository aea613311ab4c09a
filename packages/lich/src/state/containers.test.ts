/** Maps, sets, lists, texts and bytes: iteration while they change, as in JavaScript; cursors; stamps; what is refused. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { bytes, i32, int, list, map, pool, set, state, struct, text, u32, u8 } from '@lich/schema';
import { beforeEach, describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, type Store, storePlan } from './index.ts';

class Part extends struct({ n: i32, name: text(), tags: set(text(5)), deep: map(int, list(text())) }) {}
class Box extends struct({ m: map(int, i32), parts: map(u32, Part), row: list(Part), note: text(), raw: bytes() }) {}
const Schema = state({
  boxes: pool(Box, { capacity: 4 }),
  map: map(int, i32),
  few: map(int, i32, 8),
  set: set(int),
  fewer: set(int, 8),
  row: list(i32),
  short: list(i32, 8),
  parts: list(Part),
  one: u8,
});
const plan = storePlan(Schema, { logWords: 1 << 19, heapBytes: 1 << 20 });
const code = (value: string) => expect.objectContaining({ code: value });

let store: Store<any>;
let s: any;
beforeEach(() => {
  store = openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan) as unknown as Store<any>;
  s = store.state;
  store.log.begin();
});

interface Collection {
  set(key: number, value: number): unknown;
  add(key: number): unknown;
  delete(key: number): boolean;
  clear(): void;
}

/** What happens when an iteration has reached a key, and nothing at the other keys. */
const CASES: { what: string; at: Record<number, (c: Collection, put: (key: number) => void) => void> }[] = [
  { what: 'nothing', at: {} },
  { what: 'the element where it stands is deleted', at: { 2: c => c.delete(2) } },
  { what: 'the first is deleted while it stands there', at: { 1: c => c.delete(1) } },
  { what: 'the last is deleted while it stands there', at: { 4: c => c.delete(4) } },
  { what: 'the next is deleted', at: { 2: c => c.delete(3) } },
  { what: 'one that was visited is deleted', at: { 3: c => c.delete(1) } },
  {
    what: 'where it stands and the next are deleted',
    at: {
      2: c => {
        c.delete(2);
        c.delete(3);
      },
    },
  },
  {
    what: 'the next, then where it stands are deleted',
    at: {
      2: c => {
        c.delete(3);
        c.delete(2);
      },
    },
  },
  {
    what: 'all but the last are deleted',
    at: {
      2: c => {
        for (const k of [1, 2, 3]) c.delete(k);
      },
    },
  },
  {
    what: 'each is deleted when it is visited',
    at: Object.fromEntries([1, 2, 3, 4].map(k => [k, (c: Collection) => void c.delete(k)])),
  },
  { what: 'one is added', at: { 2: (_, put) => put(9) } },
  { what: 'one is added at the last', at: { 4: (_, put) => put(9) } },
  {
    what: 'one is added and deleted',
    at: {
      2: (c, put) => {
        put(9);
        c.delete(9);
      },
    },
  },
  {
    what: 'the element where it stands is deleted and added again',
    at: {
      2: (c, put) => {
        c.delete(2);
        put(2);
        // Once is enough: it is visited again, at the end.
        CASES_ONCE.delete(2);
      },
    },
  },
  {
    what: 'one that was visited is deleted and added again',
    at: {
      3: (c, put) => {
        c.delete(1);
        put(1);
      },
    },
  },
  {
    what: 'the next is deleted and added again',
    at: {
      2: (c, put) => {
        c.delete(3);
        put(3);
      },
    },
  },
  { what: 'one that is there is set again', at: { 2: (_, put) => put(3) } },
  { what: 'all are cleared', at: { 2: c => c.clear() } },
  {
    what: 'all are cleared and others are added',
    at: {
      2: (c, put) => {
        c.clear();
        put(7);
        put(3);
      },
    },
  },
  {
    what: 'all are cleared at the last, and others are added',
    at: {
      4: (c, put) => {
        c.clear();
        put(5);
        put(6);
      },
    },
  },
  {
    what: 'the slot of a deleted one is taken by a new one',
    at: {
      2: (c, put) => {
        c.delete(2);
        put(8);
        c.delete(1);
        put(6);
      },
    },
  },
];
/** Keys at which something is still to happen. */
const CASES_ONCE = new Set<number>();

/** @returns keys in the order of visits */
function visits(c: any, isMap: boolean, at: (typeof CASES)[number]['at'], how: string): number[] {
  const put = (key: number) => void (isMap ? c.set(key, key) : c.add(key));
  for (const key of [1, 2, 3, 4]) put(key);
  CASES_ONCE.clear();
  for (const key of Object.keys(at)) CASES_ONCE.add(Number(key));
  const seen: number[] = [];
  const visit = (key: number) => {
    seen.push(key);
    if (seen.length > 20) throw new Error('it does not end');
    const act = at[key];
    if (act === undefined || !CASES_ONCE.has(key)) return;
    act(c, put);
    CASES_ONCE.delete(key);
  };
  if (how === 'forEach') c.forEach((_: number, key: number) => visit(key));
  else if (how === 'entries') for (const [key] of c.entries()) visit(key);
  else for (const key of c.keys()) visit(key);
  return seen;
}

describe('iteration while a map or set changes is that of JavaScript', () => {
  for (const { what, at } of CASES) {
    for (const how of ['keys', 'entries', 'forEach']) {
      it(`${what} (${how})`, () => {
        const asMap = visits(new Map(), true, at, how);
        expect(visits(s.map, true, at, how)).toEqual(asMap);
        expect(visits(s.few, true, at, how)).toEqual(asMap);
        const asSet = visits(new Set(), false, at, how);
        expect(visits(s.set, false, at, how)).toEqual(asSet);
        expect(visits(s.fewer, false, at, how)).toEqual(asSet);
        store.log.commit();
        expect(store.check()).toEqual([]);
      });
    }
  }

  it('two walks at a time; one that is left; one that is done stays done', () => {
    for (const key of [1, 2, 3]) s.map.set(key, key);
    const a = s.map.keys();
    const b = s.map.values();
    expect([a.next().value, a.next().value, b.next().value]).toEqual([1, 2, 1]);
    s.map.delete(2);
    s.map.delete(1);
    expect([a.next().value, b.next().value]).toEqual([3, 3]);
    expect([a.next().done, a.next().done]).toEqual([true, true]);
    s.map.set(4, 4);
    expect(a.next().done).toBe(true);
    expect(b.next().value).toBe(4);
    for (const key of s.map.keys()) if (key === 3) break;
    expect(b[Symbol.iterator]()).toBe(b);
    // 200 walks that nobody ends.
    for (let k = 0; k < 200; k++) s.map.keys().next();
    s.map.clear();
    expect([...s.map]).toEqual([]);
    store.log.rollback();
  });

  it('a rollback to a savepoint takes walks back with it', () => {
    for (const key of [1, 2, 3, 4]) s.map.set(key, key);
    const seen: number[] = [];
    for (const key of s.map.keys()) {
      seen.push(key);
      if (key !== 2) continue;
      const here = store.log.savepoint();
      s.map.delete(2);
      s.map.clear();
      s.map.set(8, 8);
      store.log.rollbackTo(here);
    }
    expect(seen).toEqual([1, 2, 3, 4]);
    store.log.rollback();
  });

  it('a walk over what is destroyed ends', () => {
    const box = s.boxes.create({
      m: [
        [1, 1],
        [2, 2],
      ],
    });
    const keys = box.m.keys();
    expect(keys.next().value).toBe(1);
    s.boxes.destroy(box);
    expect(keys.next().done).toBe(true);
    expect(() => box.m).toThrow(code('STATE_FREED'));
    store.log.rollback();
  });
});

describe('list', () => {
  for (const name of ['row', 'short']) {
    it(`is walked while it changes (${name})`, () => {
      const walk = (act: (n: number) => void) => {
        s[name] = [1, 2, 3, 4];
        const seen: number[] = [];
        for (const n of s[name]) {
          seen.push(n);
          act(n);
        }
        return seen;
      };
      const r = s[name];
      expect(walk(n => n === 2 && r.remove(2))).toEqual([1, 2, 3, 4]);
      expect(walk(n => n === 2 && [r.remove(2), r.remove(3)])).toEqual([1, 2, 4]);
      expect(walk(n => r.remove(n))).toEqual([1, 2, 3, 4]);
      expect(walk(n => n === 4 && r.push(5))).toEqual([1, 2, 3, 4, 5]);
      expect(walk(n => n === 2 && r.unshift(0))).toEqual([1, 2, 3, 4]);
      expect(walk(n => n === 2 && r.insertAfter(r.cursor(1), 9))).toEqual([1, 2, 9, 3, 4]);
      expect(walk(n => n === 2 && r.insertBefore(r.cursor(1), 9))).toEqual([1, 2, 3, 4]);
      expect(walk(n => n === 2 && r.clear())).toEqual([1, 2]);
      store.log.commit();
      expect(store.check()).toEqual([]);
    });

    it(`has cursors that lead to nothing once the element is gone (${name})`, () => {
      const r = s[name];
      for (const n of [1, 2, 3]) r.push(n);
      const all = [...r.cursors()];
      expect(all.map(c => r.get(c))).toEqual([1, 2, 3]);
      const second = all[1]!;
      expect(JSON.parse(JSON.stringify(second))).toEqual(second);
      expect(r.removeAt(second)).toBe(2);
      r.push(4);
      expect(r.get(second)).toBeUndefined();
      for (let k = 0; k < 3; k++) {
        r.clear();
        for (const n of [5, 6, 7]) r.push(n);
        for (const c of all) expect(r.get(c)).toBeUndefined();
      }
      expect(r.cursor(-1)).toEqual([...r.cursors()][2]);
      expect(r.cursor(3)).toBeUndefined();
      expect([r.prev(r.cursor(0)), r.next(r.cursor(2)), r.get({ slot: 99, generation: 1 })]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      store.log.rollback();
    });
  }

  it('gives its memory back: emptied, but for its first chunk; cleared, all but its head', () => {
    store.log.commit();
    store.log.begin();
    const none = store.heap.usedWords;
    for (let k = 0; k < 5_000; k++) s.row.push(k);
    const full = store.heap.usedWords;
    while (s.row.length > 0) s.row.pop();
    expect(store.heap.usedWords - none).toBeLessThan(80);
    for (let k = 0; k < 5_000; k++) s.row.push(k);
    expect(store.heap.usedWords).toBe(full);
    s.row.clear();
    expect(store.heap.usedWords - none).toBeLessThan(48);
    store.log.commit();
    expect(store.check()).toEqual([]);
  });

  it('finds the element that it is given at once, and no other', () => {
    const a = s.parts.push({ n: 1 });
    const b = s.parts.push({ n: 2 });
    const box = s.boxes.create({ row: [{ n: 1 }] });
    expect(s.parts.remove(box.row.first)).toBe(false);
    expect(s.parts.remove({ n: 1 })).toBe(false);
    expect(s.parts.remove((part: any) => part.n === 1)).toBe(true);
    expect(() => a.n).toThrow(code('STATE_FREED'));
    expect(s.parts.remove(a)).toBe(false);
    expect(s.parts.remove(b)).toBe(true);
    expect(s.parts.length).toBe(0);
    store.log.rollback();
  });
});

describe('containers in containers', () => {
  it('are views of one identity, freed with what they are part of, back with a rollback', () => {
    const box = s.boxes.create({ parts: [[7, { n: 1, name: 'x', tags: ['a'], deep: [[1, ['p', 'q']]] }]] });
    const part = box.parts.get(7);
    const deep = part.deep.get(1);
    expect(part.deep.get(1)).toBe(deep);
    expect(plain(box).parts).toEqual([[7, { n: 1, name: 'x', tags: ['a'], deep: [[1, ['p', 'q']]] }]]);
    store.log.commit();
    store.log.begin();
    s.boxes.destroy(box);
    for (const use of [() => deep.length, () => deep.push('r'), () => part.tags.size, () => part.name])
      expect(use).toThrow(code('STATE_FREED'));
    store.log.rollback();
    expect(box.parts.get(7)).toBe(part);
    expect(part.deep.get(1)).toBe(deep);
    expect([...deep]).toEqual(['p', 'q']);
    store.log.begin();
    deep.push('r');
    box.parts.get(7).deep.set(2, ['z']);
    store.log.commit();
    expect(plain(part)).toEqual({
      n: 1,
      name: 'x',
      tags: ['a'],
      deep: [
        [1, ['p', 'q', 'r']],
        [2, ['z']],
      ],
    });
    expect(store.check()).toEqual([]);
  });

  it('own their memory: what ends gives it back', () => {
    store.log.commit();
    const none = store.heap.usedWords;
    const value = {
      n: 1,
      name: 'x'.repeat(100),
      tags: ['a', 'b'],
      deep: [
        [1, ['p'.repeat(50)]],
        [2, []],
      ],
    };
    store.log.begin();
    const box = s.boxes.create({
      parts: [
        [1, value],
        [2, value],
      ],
      row: [value, value],
      note: 'n'.repeat(99),
    });
    box.parts.set(1, { n: 3 });
    box.parts.delete(2);
    box.row.shift();
    box.row = [];
    box.note = '';
    s.boxes.destroy(box);
    store.log.commit();
    expect(store.heap.usedWords).toBe(none);
    expect(store.check()).toEqual([]);
  });

  it('can be given to one another, and to themselves', () => {
    const a = s.boxes.create({ m: [[1, 1]], row: [{ n: 1, name: 'a', deep: [[1, ['x']]] }] });
    const b = s.boxes.create();
    b.m = a.m;
    b.row = a.row;
    b.row.push(a.row.first);
    Object.assign(a, { m: a.m, row: a.row });
    b.parts.set(5, b.row.last);
    expect(plain(b).row).toEqual([...plain(a).row, ...plain(a).row]);
    expect(plain(b).parts).toEqual([[5, plain(a).row[0]]]);
    s.boxes.destroy(a);
    expect(plain(b).row[1]).toMatchObject({ name: 'a', deep: [[1, ['x']]] });
    store.log.commit();
    expect(store.check()).toEqual([]);
  });

  it('have stamps: of the record, and of each container on the way', () => {
    const box = s.boxes.create({ parts: [[1, { deep: [[1, ['x']]] }]], m: [[1, 1]] });
    store.log.commit();
    const I = store.segment.i32;
    const pool = store.pools.get('boxes')!;
    const head = (word: number) => store.heap.base + I[word]!;
    const field = (name: string) => pool.payloadWord(0) + pool.layout.fields.find(one => one.name === name)!.offset / 4;
    const stamps = () => [pool.stampOf(0), I[head(field('parts'))], I[head(field('m'))]];
    const before = store.log.nextStamp();
    store.log.begin();
    box.parts.get(1).deep.get(1).push('y');
    store.log.commit();
    expect(stamps()).toEqual([before, before, expect.any(Number)]);
    expect(stamps()[2]).toBeLessThan(before);
    const next = store.log.nextStamp();
    store.log.begin();
    box.m.set(1, 2);
    store.log.commit();
    expect(stamps()).toEqual([next, before, next]);
    const last = store.log.nextStamp();
    store.log.begin();
    box.parts.get(1).n = 5;
    store.log.commit();
    expect(stamps()).toEqual([last, last, next]);
  });
});

describe('faces', () => {
  it('are those of plain values', () => {
    s.map.set(1, 2);
    s.set.add(3);
    s.parts.push({ n: 1, name: 'x' });
    expect(JSON.stringify({ m: s.map, s: s.set, l: s.parts })).toBe(
      '{"m":[[1,2]],"s":[3],"l":[{"n":1,"name":"x","tags":[],"deep":[]}]}',
    );
    expect(inspect(s.map)).toBe('[ [ 1, 2 ] ]');
    expect(inspect(s.set)).toBe('[ 3 ]');
    s.few.set(1, 2);
    assert.deepEqual(s.map, s.few);
    expect([s.map.capacity, s.few.capacity, s.row.capacity, s.short.capacity]).toEqual([Infinity, 8, Infinity, 8]);
    expect(Object.prototype.toString.call(s.map)).toBe('[object Map]');
    expect(Object.prototype.toString.call(s.set)).toBe('[object Set]');
    expect(new Map(s.map)).toEqual(new Map([[1, 2]]));
    expect(new Set(s.set)).toEqual(new Set([3]));
    store.log.rollback();
  });

  it('hold texts and bytes of any length, any units', () => {
    const box = s.boxes.create();
    for (const value of ['', 'x', '\ud800', 'é\u0000\u{1F480}', 'long '.repeat(30_000), 'y'.repeat(300), '']) {
      box.note = value;
      expect(box.note).toBe(value);
      expect(plain(box).note).toBe(value);
    }
    const raw = Uint8Array.from({ length: 5_001 }, (_, k) => k);
    box.raw = raw;
    raw[0] = 9;
    expect(box.raw[0]).toBe(0);
    expect(box.raw.length).toBe(5_001);
    box.raw = box.raw.subarray(1, 4);
    expect(box.raw).toEqual(Uint8Array.from([1, 2, 3]));
    store.log.commit();
    expect(store.check()).toEqual([]);
  });
});

describe('the documentation', () => {
  it('shows code that runs', () => {
    class Item extends struct({ name: text(), count: int, tags: set(text(8)) }) {}
    class Hero extends struct({
      bag: map(int, Item),
      quests: list(text()),
      friends: map(text(), list(int)),
      belt: list(Item, 4),
    }) {}
    const Game = state({ heroes: pool(Hero) });
    const gamePlan = storePlan(Game, { logWords: 1 << 14, heapBytes: 1 << 18 });
    const game = openStore(memorySegment({ regions: gamePlan.regions, catalog: gamePlan.catalog }), gamePlan);
    game.log.begin();
    const hero = game.state.heroes.create({ quests: ['rats'], bag: [[7, { name: 'potion', count: 2 }]] });
    // Docs: use.
    const potion = hero.bag.get(7)!;
    potion.count--;
    potion.tags.add('red');
    hero.bag.set(9, { name: 'rope', count: 1 });
    hero.friends.set('Ann', [1, 2]).push(3);
    for (const [id, item] of hero.bag) if (item.count === 0) hero.bag.delete(id);
    // Docs: cursor.
    const second = hero.quests.cursor('rats')!; // plain data: { slot, generation }
    hero.quests.insertBefore(second, 'bats');
    hero.quests.removeAt(second);
    hero.quests.get(second); // undefined, for ever
    // Docs: end.
    game.log.commit();
    expect(plain(hero)).toEqual({
      bag: [
        [7, { name: 'potion', count: 1, tags: ['red'] }],
        [9, { name: 'rope', count: 1, tags: [] }],
      ],
      quests: ['bats'],
      friends: [['Ann', [1, 2, 3]]],
      belt: [],
    });
  });
});

describe('what is refused', () => {
  it('a full container with a capacity names it; nothing was written', () => {
    for (let k = 0; k < 8; k++) {
      s.few.set(k, k);
      s.fewer.add(k);
      s.short.push(k);
    }
    expect(() => s.few.set(8, 8)).toThrow(/map\(int, i32, 8\) is full: 8 entries, raise its capacity/);
    expect(() => s.fewer.add(8)).toThrow(code('STATE_SET_FULL'));
    expect(() => s.short.push(8)).toThrow(code('STATE_LIST_FULL'));
    expect(s.few.set(7, 1)).toBe(1);
    store.log.commit();
    expect(store.check()).toEqual([]);
  });

  it('a full heap names its setting, and leaves only a rollback', () => {
    store.log.rollback();
    const small = storePlan(Schema, { logWords: 1 << 18, heapBytes: 1 << 16 });
    const segment = memorySegment({ regions: small.regions, catalog: small.catalog });
    const tight = openStore(segment, small) as unknown as Store<any>;
    for (const fill of [
      (k: number) => tight.state.map.set(k, k),
      (k: number) => tight.state.set.add(k),
      (k: number) => tight.state.parts.push({ name: 'x'.repeat(200), n: k }),
    ]) {
      tight.log.begin();
      expect(() => {
        for (let k = 0; k < 1e6; k++) fill(k);
      }).toThrow(/limits\.heapBytes/);
      expect(() => tight.log.commit()).toThrow(code('STATE_HEAP_FULL'));
      tight.log.rollback();
      expect(tight.check()).toEqual([]);
      expect(tight.state.map.size + tight.state.set.size + tight.state.parts.length).toBe(0);
    }
  });

  it('keys and values that do not fit, before a byte is written; odd keys are not there', () => {
    for (const [key, value] of [
      [1.5, 1],
      ['1', 1],
      [undefined, 1],
      [1, 2 ** 40],
      [1, undefined],
    ])
      expect(() => s.map.set(key, value)).toThrow(code('SCHEMA_RANGE'));
    expect(() => s.set.add(Number.NaN)).toThrow(code('SCHEMA_RANGE'));
    expect(() => s.row.push(1.5)).toThrow(code('SCHEMA_RANGE'));
    s.map.set(0, 5);
    expect([s.map.get(-0), s.map.get('0'), s.map.get(0.5), s.map.get(undefined), s.map.has(null)]).toEqual([
      5,
      undefined,
      undefined,
      undefined,
      false,
    ]);
    expect(s.map.delete('0')).toBe(false);
    store.log.rollback();
  });

  it('iterators, which can be read only once', () => {
    const box = s.boxes.create({ m: [[1, 1]] });
    expect(() => (s.map = box.m.entries())).toThrow(code('SCHEMA_RANGE'));
    expect(() => (s.row = [1, 2].values())).toThrow(code('SCHEMA_RANGE'));
    s.map = [...box.m.entries()];
    s.row = new Set([1, 2]);
    expect([s.map.size, s.row.length]).toEqual([1, 2]);
    store.log.rollback();
  });

  it('writes outside a transaction', () => {
    s.map.set(1, 1);
    s.row.push(1);
    store.log.commit();
    for (const write of [
      () => s.map.set(2, 2),
      () => s.map.delete(1),
      () => s.map.clear(),
      () => s.set.add(1),
      () => s.row.push(2),
      () => s.row.pop(),
      () => s.row.clear(),
    ])
      expect(write).toThrow(code('STATE_NO_TRANSACTION'));
    expect([s.map.size, s.row.length, s.set.size]).toEqual([1, 1, 0]);
    expect(store.check()).toEqual([]);
  });

  it('finds damage', () => {
    for (let k = 0; k < 20; k++) {
      s.map.set(k, k);
      s.row.push(k);
    }
    store.log.commit();
    const I = store.segment.i32;
    const root = store.segment.regions.get('root')!.offset / 4;
    const field = (name: string) => root + store.layouts.root.fields.find(one => one.name === name)!.offset / 4;
    for (const name of ['map', 'row']) {
      const head = store.heap.base + I[field(name)]!;
      // Word 7 of a list is its newest generation, which may be any that is newer.
      for (const word of name === 'row' ? [2, 3, 4, 5, 6, 8, 9] : [2, 3, 4, 5, 6, 7, 8, 9]) {
        const was = I[head + word]!;
        I[head + word] = was + 1;
        expect(store.check().length, `${name} head word ${word}`).toBeGreaterThan(0);
        I[head + word] = was;
      }
    }
    expect(store.check()).toEqual([]);
  });
});
