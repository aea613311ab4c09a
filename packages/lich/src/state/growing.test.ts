/** Growing arrays, queues, bits, sorted maps, optional values: what iteration visits when things change under it, errors,
 * memory, stamps, what check() finds. */
import { inspect } from 'node:util';
import { array, bits, i32, int, optional, pool, queue, ref, sorted, state, struct, text, u16, u8 } from '@lich/schema';
import { beforeEach, describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, storePlan } from './index.ts';

class Item extends struct({ kind: u16, name: text() }) {}
class Unit extends struct({
  list: array(int),
  items: array(Item),
  jobs: queue(int),
  tasks: queue(Item),
  ring: queue(int, 4),
  flags: bits(),
  fixed: bits(50),
  tree: sorted(int, i32),
  things: sorted(text(), Item),
  age: optional(u8),
  main: optional(Item),
  mates: array(ref<Unit>('units')),
}) {}
const Schema = state({ units: pool(Unit, { capacity: 4 }), home: optional(int), ladder: sorted(int, text()) });
const plan = storePlan(Schema, { logWords: 1 << 20 });
const code = (value: string) => expect.objectContaining({ code: value });

const open = () => openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan);
let store: ReturnType<typeof open>;
let unit: Unit;
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
/** Undone, as by `ctx.attempt`. */
const attempt = (work: () => void) => {
  const here = store.log.savepoint();
  work();
  store.log.rollbackTo(here);
};

beforeEach(() => {
  store = open();
  unit = tx(() => store.state.units.create());
});

describe('iteration under mutation', () => {
  const array_ = (change: (a: Unit['list'], seen: number) => void) => {
    const seen: number[] = [];
    tx(() => {
      unit.list.assign([1, 2, 3, 4]);
      for (const value of unit.list) {
        seen.push(value);
        change(unit.list, value);
      }
    });
    return seen;
  };
  const model = (change: (a: number[], seen: number) => void) => {
    const a = [1, 2, 3, 4];
    const seen: number[] = [];
    for (const value of a) {
      seen.push(value);
      change(a, value);
    }
    return seen;
  };
  it.each<[string, (a: any, seen: number) => void]>([
    ['push while it goes', (a, n) => n < 3 && a.push(n * 10)],
    ['pop', (a, n) => n === 2 && a.pop()],
    ['taken away before its turn', (a, n) => n === 1 && a.splice(1, 1)],
    ['taken away behind', (a, n) => n === 3 && a.splice(0, 1)],
    ['inserted before its turn', (a, n) => n === 2 && a.splice(3, 0, 99)],
    ['inserted behind', (a, n) => n === 2 && a.length < 6 && a.splice(0, 0, 99)],
    ['reversed', (a, n) => n === 2 && a.reverse()],
  ])('array: %s, as of Array', (_, change) => expect(array_(change)).toEqual(model(change)));

  it('array: forEach ends at the length that it began with', () => {
    const seen: number[] = [];
    tx(() => {
      unit.list.assign([1, 2]);
      unit.list.forEach(value => {
        seen.push(value);
        unit.list.push(value + 10);
      });
    });
    expect(seen).toEqual([1, 2]);
    expect([...unit.list]).toEqual([1, 2, 11, 12]);
  });

  for (const name of ['jobs', 'ring'] as const) {
    it.each<[string, (q: any, seen: number) => void, number[]]>([
      ['nothing', () => {}, [1, 2, 3]],
      ['pushed during the walk', (q, n) => n === 1 && q.push(4), [1, 2, 3, 4]],
      ['shifted what was visited', (q, n) => n === 2 && q.shift(), [1, 2, 3]],
      ['shifted beyond the place', (q, n) => n === 1 && [q.shift(), q.shift()], [1, 3]],
      ['each is shifted as it is visited', q => q.shift(), [1, 2, 3]],
      ['cleared and filled again', (q, n) => n === 2 && [q.clear(), q.push(7), q.push(8)], [1, 2, 7, 8]],
      ['a shift is undone', (q, n) => n === 2 && attempt(() => [q.shift(), q.shift(), q.shift()]), [1, 2, 3]],
      ['a push is undone', (q, n) => n === 3 && attempt(() => q.push(4)), [1, 2, 3]],
    ])(`${name}: %s`, (_, change, expected) => {
      const seen: number[] = [];
      tx(() => {
        for (const n of [0, 1, 2, 3]) unit[name].push(n);
        unit[name].shift();
        for (const value of unit[name]) {
          seen.push(value);
          change(unit[name], value);
        }
      });
      expect(seen).toEqual(expected);
    });
  }

  it.each<[string, boolean, (t: any, seen: number) => void, number[]]>([
    ['nothing', false, () => {}, [10, 20, 30]],
    ['nothing, from the end', true, () => {}, [30, 20, 10]],
    ['added before its turn', false, (t, n) => n === 10 && t.set(15, 0), [10, 15, 20, 30]],
    ['added behind', false, (t, n) => n === 20 && t.set(15, 0), [10, 20, 30]],
    ['added behind, from the end', true, (t, n) => n === 20 && t.set(15, 0), [30, 20, 15, 10]],
    ['deleted before its turn', false, (t, n) => n === 10 && t.delete(20), [10, 30]],
    ['deleted where it stands', false, t => t.delete(20), [10, 30]],
    ['each is deleted as it is visited', false, (t, n) => t.delete(n), [10, 20, 30]],
    ['overwritten', false, (t, n) => t.set(n, n), [10, 20, 30]],
    ['many added', false, (t, n) => n === 10 && Array.from({ length: 90 }, (_, k) => t.set(-k, 0)), [10, 20, 30]],
    ['cleared', false, (t, n) => n === 20 && t.clear(), [10, 20]],
    ['cleared and filled again', false, (t, n) => n === 20 && [t.clear(), t.set(5, 0), t.set(25, 0)], [10, 20, 25]],
    ['a delete is undone', false, (t, n) => n === 10 && attempt(() => t.delete(20)), [10, 20, 30]],
    ['a set is undone', true, (t, n) => n === 30 && attempt(() => t.set(25, 1)), [30, 20, 10]],
  ])('sorted: %s', (_, reverse, change, expected) => {
    const seen: number[] = [];
    tx(() => {
      for (const key of [30, 10, 20]) unit.tree.set(key, key);
      for (const [key] of unit.tree.range({ reverse })) {
        seen.push(key);
        change(unit.tree, key);
      }
    });
    expect(seen).toEqual(expected);
  });

  for (const name of ['flags', 'fixed'] as const) {
    it.each<[string, (b: any, seen: number) => void, number[]]>([
      ['nothing', () => {}, [3, 20, 40]],
      ['set before its turn', (b, n) => n === 3 && b.set(7), [3, 7, 20, 40]],
      ['set behind', (b, n) => n === 20 && b.set(7), [3, 20, 40]],
      ['cleared before its turn', (b, n) => n === 3 && b.set(20, false), [3, 40]],
      ['each is cleared as it is visited', (b, n) => b.set(n, false), [3, 20, 40]],
      ['all cleared', (b, n) => n === 20 && b.clear(), [3, 20]],
    ])(`${name}: %s`, (_, change, expected) => {
      const seen: number[] = [];
      tx(() => {
        unit[name].assign([3, 20, 40]);
        for (const bit of unit[name]) {
          seen.push(bit);
          change(unit[name], bit);
        }
      });
      expect(seen).toEqual(expected);
    });
  }

  it('a walk ends when the record is destroyed', () => {
    tx(() => {
      unit.list.assign([1, 2]);
      unit.jobs.push(1);
      unit.jobs.push(2);
      unit.flags.assign([1, 2]);
      unit.tree.set(1, 1);
      unit.tree.set(2, 2);
    });
    const walks = [unit.list, unit.jobs, unit.flags, unit.tree.keys()].map(it =>
      (it as Iterable<number>)[Symbol.iterator](),
    );
    expect(walks.map(walk => walk.next().value)).toEqual([1, 1, 1, 1]);
    tx(() => store.state.units.destroy(unit));
    expect(walks.map(walk => walk.next().done)).toEqual([true, true, true, true]);
  });
});

describe('sorting', () => {
  it('is stable, keeps views, and takes undefined last', () => {
    tx(() => {
      for (const k of [3, 1, 2, 1]) unit.items.push({ kind: k, name: `${unit.items.length}` });
    });
    const views = [...unit.items];
    tx(() => unit.items.sort((a, b) => a.kind - b.kind));
    expect(unit.items.map(v => v.name)).toEqual(['1', '3', '2', '0']);
    expect([...unit.items]).toEqual([views[1], views[3], views[2], views[0]]);
    expect(unit.items.get(0)).toBe(views[1]);
    tx(() => unit.mates.assign([undefined, unit, undefined]));
    tx(() => unit.mates.sort(() => 0));
    expect([...unit.mates]).toEqual([unit, undefined, undefined]);
  });

  it('takes a function where there is no order, and one that leaves the array alone', () => {
    tx(() => unit.items.assign([{ kind: 1 }, { kind: 2 }]));
    expect(() => tx(() => unit.items.sort())).toThrow(/takes a function that compares/);
    expect(() =>
      tx(() =>
        unit.items.sort(() => {
          unit.items.pop();
          return 0;
        }),
      ),
    ).toThrow(/has changed the array/);
    expect(unit.items.length).toBe(2);
  });
});

describe('errors', () => {
  it('places that are none', () => {
    tx(() => unit.list.push(1));
    for (const wrong of [-1, 1, 0.5, Number.NaN]) {
      expect(() => unit.list.get(wrong)).toThrow(code('STATE_INDEX'));
      expect(() => tx(() => unit.list.set(wrong, 1))).toThrow(code('STATE_INDEX'));
    }
    expect(() => tx(() => unit.list.insert(2, 1))).toThrow(/index 2 is outside 0\.\.1 of Unit\.list: array\(int\)/);
    expect(() => tx(() => unit.fixed.set(50))).toThrow(/bit 50 is outside 0\.\.49/);
    expect(() => tx(() => unit.flags.set(2 ** 30))).toThrow(code('STATE_INDEX'));
    expect(() => tx(() => unit.fixed.fill(true, 0, 51))).toThrow(code('STATE_INDEX'));
  });

  it('values and keys that do not fit; nothing is changed', () => {
    tx(() => unit.list.assign([1]));
    for (const bad of [
      () => unit.list.push(0.5),
      () => unit.list.splice(0, 1, 1, 'x' as never),
      () => unit.list.assign([1, 0.5]),
    ])
      expect(() => tx(bad)).toThrow(code('SCHEMA_RANGE'));
    expect(() => tx(() => unit.tree.set(0.5, 1))).toThrow(/key of Unit\.tree/);
    expect(() => tx(() => unit.tree.set(1, 2 ** 40))).toThrow(code('SCHEMA_RANGE'));
    expect(() => unit.tree.rank(Number.NaN)).toThrow(/NaN/);
    expect(() => unit.things.floor(3 as never)).toThrow(code('SCHEMA_RANGE'));
    expect([unit.tree.get('x' as never), unit.tree.has(0.5), unit.tree.rank(0.5)]).toEqual([undefined, false, 0]);
    expect(() => tx(() => (unit.age = 256))).toThrow(code('SCHEMA_RANGE'));
    expect(() => tx(() => ((unit as { main: unknown }).main = { kind: -1 }))).toThrow(code('SCHEMA_RANGE'));
    expect(plain(unit)).toMatchObject({ list: [1], tree: [], things: [], age: undefined, main: undefined });
  });

  it('a ring that is full', () => {
    tx(() => {
      for (let k = 0; k < 4; k++) unit.ring.push(k);
    });
    expect(() => tx(() => unit.ring.push(4))).toThrow(/is full: 4 elements, raise its capacity/);
  });

  it('writes outside a transaction', () => {
    tx(() => unit.fixed.set(1));
    for (const bad of [
      () => unit.list.push(1),
      () => unit.jobs.push(1),
      () => unit.ring.push(1),
      () => unit.flags.set(1),
      () => unit.fixed.set(2),
      () => unit.tree.set(1, 1),
      () => (unit.age = 1),
      () => ((unit as { main: unknown }).main = { kind: 1 }),
    ])
      expect(bad).toThrow(code('STATE_NO_TRANSACTION'));
    expect(store.check()).toEqual([]);
  });

  it('a heap that is full: the transaction rolls back, and the message names the setting', () => {
    const small = storePlan(Schema, { logWords: 1 << 18, heapBytes: 1 << 16 });
    const full = openStore(memorySegment({ regions: small.regions, catalog: small.catalog }), small);
    full.log.begin();
    const one = full.state.units.create();
    full.log.commit();
    for (const fill of [
      (k: number) => one.list.push(k),
      (k: number) => one.items.push({ kind: 1, name: `${k}` }),
      (k: number) => one.tasks.push({ kind: 1, name: `${k}` }),
      (k: number) => one.tree.set(k, 1),
      (k: number) => one.things.set(`a longer name ${k}`, { kind: 2 }),
      (k: number) => one.flags.set(k * 1024),
    ]) {
      full.log.begin();
      expect(() => {
        for (let k = 0; k < 100_000; k++) fill(k);
      }).toThrow(/limits\.heapBytes/);
      expect(() => full.log.commit()).toThrow(/limits\.heapBytes/);
      full.log.rollback();
      expect(full.check()).toEqual([]);
    }
    expect(plain(one)).toEqual(plain(unit));
  });
});

describe('memory', () => {
  it('follows what is there', () => {
    const used = () => store.heap.usedWords;
    const start = used();
    tx(() => {
      for (let k = 0; k < 5000; k++) unit.jobs.push(k);
    });
    const full = used();
    // A queue that is never empty takes what its elements take.
    tx(() => {
      for (let k = 0; k < 20_000; k++) {
        unit.jobs.push(k);
        unit.jobs.shift();
      }
    });
    expect(used() - full).toBeLessThan(600);
    tx(() => {
      while (unit.jobs.length > 1) unit.jobs.shift();
    });
    expect(used() - start).toBeLessThan(600);
    tx(() => {
      unit.jobs.clear();
      for (let k = 0; k < 5000; k++) unit.list.push(k);
    });
    expect(used() - start).toBeGreaterThan(10_000);
    tx(() => unit.list.splice(10));
    expect(used() - start).toBeLessThan(200);
    tx(() => {
      unit.flags.fill(true, 0, 100_000);
      unit.flags.fill(false, 0, 99_000);
    });
    expect(used() - start).toBeLessThan(500);
    tx(() => {
      for (let k = 0; k < 3000; k++) unit.tree.set((k * 7919) % 3001, k);
    });
    const tree = used();
    tx(() => {
      for (let k = 0; k < 3000; k++) if (k % 16 !== 0) unit.tree.delete((k * 7919) % 3001);
    });
    // Nodes are at least a quarter full on the whole.
    expect(used() - start).toBeLessThan((tree - start) / 2);
    tx(() => store.state.units.destroy(unit));
    expect(used()).toBe(start);
  });

  it('ascending keys fill the nodes', () => {
    const at = store.heap.usedWords;
    tx(() => {
      for (let k = 0; k < 3000; k++) unit.tree.set(k, k);
    });
    // 3 words an entry.
    expect(store.heap.usedWords - at).toBeLessThan(3000 * 3 * 1.25);
  });
});

describe('a sorted map', () => {
  it('is a ladder', () => {
    const { ladder } = store.state;
    const seen: string[] = [];
    tx(() => {
      for (const score of [900, 1_200, 2_100]) ladder.set(score, `of ${score}`);
      ladder.set(1_500, 'Ann');
      ladder.at(-1); // the highest score, and whose it is
      ladder.rank(1_500); // how many are below
      for (const [score, name] of ladder.range({ from: 1_000, to: 2_000, reverse: true }))
        seen.push(`${name} ${score}`);
    });
    expect(seen).toEqual(['Ann 1500', 'of 1200 1200']);
    expect([ladder.at(-1), ladder.rank(1_500)]).toEqual([[2_100, 'of 2100'], 2]);
  });
});

describe('faces', () => {
  it('print and serialise as what they hold', () => {
    tx(() => {
      unit.list.assign([1, 2]);
      unit.flags.assign([3, 70]);
      unit.tree.set(1, 2);
      unit.jobs.push(5);
      unit.main = { kind: 4, name: 'x' } as never;
    });
    expect(inspect(unit.list)).toBe('[ 1, 2 ]');
    expect(inspect(unit.tree)).toBe('[ [ 1, 2 ] ]');
    expect(JSON.stringify(unit.flags)).toBe('[3,70]');
    expect(JSON.stringify({ jobs: unit.jobs, main: unit.main, age: unit.age })).toBe(
      '{"jobs":[5],"main":{"kind":4,"name":"x"}}',
    );
    expect(unit.list).toEqual(unit.list);
    tx(() => store.state.units.destroy(unit));
  });

  it('an optional struct has a view for each time that it is there', () => {
    tx(() => (unit.main = { kind: 1, name: 'one' } as never));
    const first = unit.main!;
    expect(unit.main).toBe(first);
    tx(() => (unit.main = { kind: 2 } as never));
    expect(unit.main).toBe(first);
    expect(plain(unit).main).toEqual({ kind: 2, name: '' });
    store.log.begin();
    unit.main = undefined as never;
    expect(() => first.kind).toThrow(code('STATE_FREED'));
    unit.main = { kind: 3 } as never;
    const second = (unit as unknown as { main: Item }).main;
    store.log.rollback();
    expect(unit.main).toBe(first);
    expect(first.kind).toBe(2);
    expect(() => second.kind).toThrow(code('STATE_FREED'));
  });

  it('the root may have them', () => {
    expect(store.state.home).toBeUndefined();
    tx(() => (store.state.home = 7));
    expect(store.state.home).toBe(7);
    tx(() => (store.state.home = undefined));
    expect(store.state.home).toBeUndefined();
  });
});

describe('stamps', () => {
  it('a change of an element is one of its container and of its record', () => {
    const { units } = store.state;
    tx(() => {
      unit.items.push({ kind: 1 });
      unit.things.set('a', { kind: 1 });
      unit.tasks.push({ kind: 1 });
      unit.main = { kind: 1 } as never;
    });
    const pool_ = store.pools.get('units')!;
    for (const change of [
      () => (unit.items.get(0).kind = 2),
      () => (unit.things.get('a')!.kind = 2),
      () => (unit.tasks.first!.kind = 2),
      () => (unit.main!.kind = 2),
      () => unit.flags.set(5),
      () => unit.tree.set(1, 1),
      () => (unit.age = 3),
    ]) {
      const before = store.log.nextStamp();
      expect(pool_.stampOf(units.refOf(unit).slot)).toBeLessThan(before);
      tx(change);
      expect(pool_.stampOf(units.refOf(unit).slot)).toBe(before);
    }
  });
});

describe('check', () => {
  it('finds what was overwritten', () => {
    tx(() => {
      for (let k = 0; k < 300; k++) unit.tree.set(k, k);
      for (let k = 0; k < 30; k++) {
        unit.items.push({ kind: k });
        unit.jobs.push(k);
      }
      unit.flags.assign([3, 5000]);
      unit.age = 4;
    });
    expect(store.check()).toEqual([]);
    const { u32, u8: bytes } = store.segment;
    const unitWord = store.pools.get('units')!.payloadWord(0);
    const { fields } = store.layouts.pools[0]!.layout;
    const at = (name: string) => unitWord + fields.find(field => field.name === name)!.offset / 4;
    const head = (name: string) => store.heap.base + u32[at(name)]!;
    const damage = (word: number, value: number, expected: RegExp) => {
      const was = u32[word]!;
      u32[word] = value;
      expect(
        store
          .check()
          .map(({ where, what }) => `${where}: ${what}`)
          .join('\n'),
      ).toMatch(expected);
      u32[word] = was;
    };
    damage(head('items') + 2, 31, /items: slot \d+ is .*|named twice|taken or free/);
    damage(head('items') + 3, 1, /items: its reserved word is 1/);
    damage(head('jobs') + 2, 5, /jobs: 30 elements in its blocks, count says 5/);
    damage(head('tree') + 4, 299, /tree: 300 entries in the tree, count says 299/);
    damage(head('flags') + 2, 4000, /flags: (bits at and above 4000 are set|\d+ pages with length 4000)/);
    damage(at('list'), 77, /list: link 77 leads to no block/);
    damage(at('items'), u32[at('tree')]!, /owned by|leaked/);
    const age = unitWord * 4 + fields.find(field => field.name === 'age')!.offset;
    bytes[age + 1] = 0;
    expect(store.check()[0]!.what).toMatch(/of no value is 4/);
    bytes[age + 1] = 1;
    expect(store.check()).toEqual([]);
  });
});
