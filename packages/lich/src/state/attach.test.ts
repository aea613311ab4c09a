/** Who may attach to a state, as what, and what each can do. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { array, f32, i32, int, list, map, oneOf, pool, ref, state, struct, text, variants } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSegment, native, OwnerLock } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { attach, type OwnedState, openStore, plain, type StandbyState, storePlan } from './index.ts';

class Vec extends struct({ x: f32, y: f32 }) {}
class Unit extends struct({
  name: text(12),
  hp: i32.init(100),
  at: Vec,
  side: oneOf('red', 'blue'),
  path: list(Vec, 4),
  bag: map(int, text(8), 4),
  scores: array(i32, 3),
  mate: ref<Unit>('units'),
}) {
  get dead(): boolean {
    return this.hp <= 0;
  }
  heal(): void {
    this.hp = 100;
  }
}
const Schema = state({ units: pool(Unit, { capacity: 100 }), round: int, home: Vec });
const code = (c: string) => expect.objectContaining({ code: c });

let dir: string;
const open: { close(): void }[] = [];
const keep = <T extends { close(): void }>(one: T): T => {
  open.push(one);
  return one;
};
beforeEach(() => {
  dir = testDir();
});
afterEach(() => {
  for (const one of open.splice(0).reverse()) one.close();
  removeTestDirs();
});

const own = () => keep(attach(dir, { as: 'owner', node: 'a', schema: Schema, logWords: 1 << 14 }));
type Owned = ReturnType<typeof own>;
function tx<T>(owned: Owned, fn: (s: Owned['store']['state']) => T): T {
  owned.store.log.begin();
  const result = fn(owned.store.state);
  owned.store.log.commit();
  return result;
}
const fill = (owned: Owned) =>
  tx(owned, s => {
    s.round = 7;
    s.home.x = 1.5;
    const ann = s.units.create({ name: 'Ann', at: { x: 1, y: 2 }, side: 'blue' });
    const bob = s.units.create({ name: 'Bob', mate: ann, path: [{ x: 3 }, { x: 4 }], bag: [[5, 'five']] });
    bob.scores.assign([7, 8, 9]);
    return [ann, bob] as const;
  });

describe('the owner', () => {
  it('makes the segment, and the next one resumes it', () => {
    const first = own();
    expect([first.outcome, first.undone, first.segment.epoch]).toEqual(['created', 0, 1]);
    fill(first);
    expect(() => attach(dir, { as: 'owner', node: 'a', schema: Schema })).toThrow(code('SHM_LOCK_HELD'));
    first.store.log.begin();
    expect(() => first.close()).toThrow(code('STATE_TRANSACTION_OPEN'));
    first.store.log.rollback();
    first.close();
    const second = own();
    expect([second.outcome, second.segment.epoch, second.store.state.units.get(1)!.name]).toEqual([
      'resumed',
      2,
      'Bob',
    ]);
    expect(second.store.check()).toEqual([]);
  });

  it('refuses a segment of another schema and leaves it and the lock alone', () => {
    own().close();
    const other = state({ units: pool(Unit, { capacity: 101 }), round: int, home: Vec });
    expect(() => attach(dir, { as: 'owner', node: 'a', schema: other })).toThrow(code('SHM_LAYOUT'));
    expect(own().outcome).toBe('resumed');
  });
});

describe('a reader', () => {
  it('reads plain values and views as of a commit', () => {
    const owner = own();
    const [ann, bob] = fill(owner);
    const reader = keep(attach(dir, { as: 'reader', node: 'a', schema: Schema }));
    expect([reader.as, reader.node, reader.current]).toEqual(['reader', 'a', true]);
    expect(reader.snapshot(s => s.record('units', 1))).toEqual(plain(bob));
    owner.store.log.begin();
    ann.hp = 1;
    const seen = reader.read(s => {
      const [a, b, none] = s.units.group([0, 1, 2]);
      return {
        root: [s.round, s.home.x, s.units.size, s.units.capacity, s.units.name],
        ann: [a!.name, a!.hp, a!.dead, a!.at.y, a!.side, a instanceof Unit],
        bob: [b!.mate === a, [...b!.path].map(v => v.x), b!.bag.get(5), b!.scores.get(2), b!.mate!.name],
        none,
        all: [...s.units].map(u => u.name),
        each: s.units.get(1) === b,
        refs: s.units.refOf(b!),
        resolved: s.units.resolve(1, 1) === b,
        stale: s.units.resolve(1, 3),
        has: [s.units.has(b!), s.units.has({ slot: 1, generation: 3 })],
        keys: Object.keys(a!),
        copy: plain(b!),
        json: JSON.parse(JSON.stringify(b)),
        shown: inspect(a!.at),
      };
    });
    expect(seen).toEqual({
      root: [7, 1.5, 2, 100, 'units'],
      ann: ['Ann', 100, false, 2, 'blue', true],
      bob: [true, [3, 4], 'five', 9, 'Ann'],
      none: undefined,
      all: ['Ann', 'Bob'],
      each: true,
      refs: { slot: 1, generation: 1 },
      resolved: true,
      stale: undefined,
      has: [true, false],
      keys: ['name', 'hp', 'at', 'side', 'path', 'bag', 'scores', 'mate'],
      copy: plain(bob),
      json: JSON.parse(JSON.stringify(bob)),
      shown: 'Vec { x: 1, y: 2 }',
    });
    owner.store.log.rollback();
  });

  it('has views without setters: each way to write is refused', () => {
    fill(own());
    const reader = keep(attach(dir, { as: 'reader', node: 'a', schema: Schema }));
    const before = reader.snapshot(s => [s.root(), s.entries('units')]);
    reader.read((s: any) => {
      const [a, b] = [s.units.get(0), s.units.get(1)];
      const writes: (() => void)[] = [
        () => (a.hp = 1),
        () => (a.name = 'x'),
        () => (a.side = 'red'),
        () => (a.mate = b),
        () => (a.at = { x: 1 }),
        () => (a.at.x = 1),
        () => a.heal(),
        () => b.path.push({ x: 1 }),
        () => b.path.pop(),
        () => (b.path.first.x = 1),
        () => b.path.clear(),
        () => b.bag.set(6, 'six'),
        () => b.bag.delete(5),
        () => b.scores.set(0, 1),
        () => b.scores.fill(0),
        () => (s.round = 1),
        () => (s.home.x = 2),
        () => s.units.create({ name: 'C' }),
        () => s.units.destroy(a),
        () => Object.assign(a, { hp: 3 }),
      ];
      for (const write of writes) expect(write, String(write)).toThrow(code('STATE_READ_ONLY'));
    });
    expect(reader.snapshot(s => [s.root(), s.entries('units')])).toEqual(before);
    reader.read(s => {
      const a = s.units.get(0)!;
      // @ts-expect-error a reader writes nothing
      expect(() => (a.hp = 1)).toThrow(code('STATE_READ_ONLY'));
      // @ts-expect-error
      expect(() => (s.round = 1)).toThrow(code('STATE_READ_ONLY'));
      // @ts-expect-error
      expect(() => s.units.create({})).toThrow(code('STATE_READ_ONLY'));
      // @ts-expect-error
      expect(() => a.path.push({ x: 1 })).toThrow(code('STATE_READ_ONLY'));
      // @ts-expect-error
      expect(() => (a.at.x = 1)).toThrow(code('STATE_READ_ONLY'));
      // @ts-expect-error
      expect(() => a.bag.set(1, 'x')).toThrow(code('STATE_READ_ONLY'));
      const name: string = a.name;
      const xs: number[] = [...a.path].map(v => v.x);
      const five: string | undefined = a.bag.get(5);
      expect([name, xs, five]).toEqual(['Ann', [], undefined]);
    });
  });

  it('has views that end with their snapshot, and come back while their record lives', () => {
    const owner = own();
    const [ann] = fill(owner);
    const reader = keep(attach(dir, { as: 'reader', node: 'a', schema: Schema }));
    const [view, part, root] = reader.read(s => [s.units.get(0)!, s.units.get(0)!.at, s.home] as const);
    for (const use of [() => view.hp, () => part.x, () => root.x, () => plain(view as Unit)])
      expect(use).toThrow(code('STATE_FREED'));
    tx(owner, () => (ann.hp = 5));
    expect(reader.read(s => [s.units.get(0) === view, view.hp])).toEqual([true, 5]);
    tx(owner, s => {
      s.units.destroy(ann);
      s.units.create({ name: 'Eve' });
    });
    reader.read(s => {
      expect(s.units.get(0)!.name).toBe('Eve');
      expect(s.units.get(0) === view).toBe(false);
      expect(() => view.hp).toThrow(code('STATE_FREED'));
    });
    expect(() => reader.read(s => s.units.refOf(view))).toThrow(code('STATE_FOREIGN'));
  });

  it('needs no schema: views are untyped then, from the catalog', () => {
    fill(own());
    const reader = keep(attach(dir, { as: 'tool', node: 'a' }));
    const seen = reader.read(s => {
      const b = s.units.get(1);
      return [s.round, b.name, b.constructor.name, b.path.at(1).x, b.mate.name, b.dead];
    });
    expect(seen).toEqual([7, 'Bob', 'Unit', 4, 'Ann', undefined]);
  });

  it('refuses a schema that the segment was not made from, with the difference', () => {
    own();
    const attempt = (schema: any) => () => attach(dir, { as: 'reader', node: 'a', schema });
    class Wide extends struct({ x: f32, y: f32, z: f32 }) {}
    const cases: [any, RegExp][] = [
      [state({ units: pool(Unit, { capacity: 100 }), round: i32, home: Vec }), /the root\.round is int, not i32/],
      [state({ units: pool(Unit, { capacity: 100 }), round: int, home: Vec, more: int }), /the root has no field more/],
      [state({ units: pool(Unit, { capacity: 100 }), home: Vec }), /the root has a field round/],
      [state({ units: pool(Wide, { capacity: 100 }), round: int, home: Vec }), /pool `units` holds Unit, not Wide/],
      [
        state({ units: pool(Unit, { capacity: 100 }), wide: pool(Wide, { capacity: 1 }), round: int, home: Vec }),
        /no pool `wide`/,
      ],
    ];
    for (const [schema, message] of cases) {
      expect(attempt(schema)).toThrow(message);
      expect(attempt(schema)).toThrow(code('STATE_LAYOUT'));
    }
    // How many records fit is nothing that a reader has to know.
    keep(attempt(state({ units: pool(Unit, { capacity: 5 }), round: int, home: Vec }))());
  });

  it('cannot write, not even with the lock in its hands', () => {
    const owner = own();
    owner.close();
    const lock = OwnerLock.open(dir, 'a');
    lock.acquire();
    try {
      for (const as of ['reader', 'keeper', 'tool'] as const) {
        const { segment } = keep(attach(dir, { as, node: 'a' }));
        expect(() => segment.makeWritable()).toThrow(code('SHM_ACCESS'));
        expect(() => native().protect(segment.u8, segment.sizeBytes, true, 'x')).toThrow(code('SHM_ACCESS'));
        expect(segment.writable).toBe(false);
      }
    } finally {
      lock.release();
    }
  });

  it('sees what the runtime added as keeper or tool', () => {
    const plan = storePlan(Schema, { system: { $tick: int }, logWords: 1 << 12 });
    const lock = OwnerLock.open(dir, 'a');
    lock.acquire();
    const segment = createSegment({ dir, name: 'a', kind: 'state', ...plan });
    const store = openStore(segment, plan);
    store.recover();
    expect(keep(attach(dir, { as: 'keeper', node: 'a' })).snapshot(s => s.root())).toHaveProperty('$tick', 0);
    expect(keep(attach(dir, { as: 'reader', node: 'a', schema: Schema })).snapshot(s => s.root())).not.toHaveProperty(
      '$tick',
    );
    segment.close();
    lock.release();
  });

  it('is told what is not there, and what is none', () => {
    expect(() => attach(dir, { as: 'reader', node: 'a' })).toThrow(code('SHM_NOT_FOUND'));
    expect(() => attach(join(dir, 'none'), { as: 'reader', node: 'a' })).toThrow(code('SHM_NOT_FOUND'));
    fs.writeFileSync(join(dir, 'b.state'), 'no segment', { mode: 0o600 });
    expect(() => attach(dir, { as: 'reader', node: 'b' })).toThrow(code('SHM_FOREIGN'));
    expect(() => attach(dir, { as: 'reader', node: '../x' })).toThrow(code('SHM_BAD_NAME'));
    expect(() => attach(dir, { as: 'writer' as never, node: 'a' })).toThrow(TypeError);
    createSegment({
      dir,
      name: 'c',
      kind: 'state',
      layoutHash: 'x',
      regions: [{ name: 'x', bytes: 64 }],
      catalog: '{}',
    }).close();
    expect(() => attach(dir, { as: 'reader', node: 'c' })).toThrow(code('SCHEMA_CATALOG'));
    const plan = storePlan(Schema);
    createSegment({ dir, name: 'd', kind: 'state', ...plan, regions: plan.regions.slice(0, 2) }).close();
    expect(() => attach(dir, { as: 'reader', node: 'd' })).toThrow(code('STATE_LAYOUT'));
    createSegment({ dir, name: 'e', kind: 'state', ...plan }).close();
    const early = keep(attach(dir, { as: 'reader', node: 'e' }));
    expect(() => early.snapshot(s => s.root())).toThrow(code('STATE_NOT_READY'));
  });

  it('reads families: each record is of its class', () => {
    class Wolf extends struct({ name: text(8), prey: list(text()) }) {
      get hungry(): boolean {
        return this.prey.length === 0;
      }
    }
    class Rock extends struct({ kg: i32 }) {}
    const schema = state({ things: pool(variants({ Wolf, Rock })), last: int });
    const owner = keep(attach(dir, { as: 'owner', node: 'f', schema, heapBytes: 1 << 20, logWords: 1 << 14 }));
    const { log, state: s } = owner.store;
    log.begin();
    for (let k = 0; k < 100; k++) {
      if (k % 2 === 0) s.things.create('Wolf', { name: `wolf ${k}`, prey: k % 4 === 0 ? [] : ['sheep', `${k}`] });
      else s.things.create('Rock', { kg: k });
    }
    log.commit();
    const reader = keep(attach(dir, { as: 'reader', node: 'f', schema }));
    const seen = reader.read(v => {
      const all = [...v.things];
      const wolf = all[2];
      return {
        classes: all.slice(0, 2).map(one => one.constructor.name),
        wolves: all.filter(one => one instanceof Wolf && !one.hungry).length,
        kg: all.reduce((sum, one) => sum + (one instanceof Rock ? one.kg : 0), 0),
        prey: wolf instanceof Wolf ? [...wolf.prey] : undefined,
      };
    });
    expect(seen).toEqual({ classes: ['Wolf', 'Rock'], wolves: 25, kg: 2500, prey: ['sheep', '2'] });
    expect(reader.snapshot(v => v.record('things', 2))).toMatchObject({ name: 'wolf 2', prey: ['sheep', '2'] });
    expect(keep(attach(dir, { as: 'tool', node: 'f' })).read(v => v['things'].get(1).kg)).toBe(1);
    const other = state({ things: pool(variants({ Rock })), last: int });
    expect(() => attach(dir, { as: 'reader', node: 'f', schema: other })).toThrow(code('STATE_LAYOUT'));
  });

  it('knows when the node has another segment', () => {
    const owner = own();
    const reader = keep(attach(dir, { as: 'reader', node: 'a' }));
    owner.close();
    fs.rmSync(join(dir, 'a.state'));
    expect(reader.current).toBe(false);
  });
});

describe('a standby', () => {
  it('reads until it holds the lock, then owns', async () => {
    const owner = own();
    const [ann] = fill(owner);
    const standby = keep(attach(dir, { as: 'standby', node: 'a', schema: Schema, logWords: 1 << 14 }));
    tx(owner, () => (ann.hp = 42));
    owner.close();
    const next = keep((await standby.takeOverWhenFree()) as OwnedState<Owned['store']['state']>);
    expect([next.outcome, next.segment.epoch, next.store.state.units.get(0)!.hp]).toEqual(['resumed', 2, 42]);
    tx(next as Owned, s => (s.round = 8));
    expect(keep(attach(dir, { as: 'reader', node: 'a' })).snapshot(s => s.root()['round'])).toBe(8);
    expect(() => standby.takeOver(0)).toThrow(code('SHM_LOCK_HELD'));
  });

  it('gives up when it is told to, needs a segment, and takes one that was replaced', async () => {
    expect(() => attach(dir, { as: 'standby', node: 'a', schema: Schema })).toThrow(code('SHM_NOT_FOUND'));
    const owner = own();
    const standby = keep(attach(dir, { as: 'standby', node: 'a', schema: Schema }));
    expect(await standby.takeOverWhenFree(AbortSignal.abort())).toBeUndefined();
    owner.close();
    fs.rmSync(join(dir, 'a.state'));
    const other = own();
    tx(other, s => (s.round = 3));
    other.close();
    const next = keep((standby as StandbyState<Owned['store']['state']>).takeOver(1_000)!);
    expect(next.store.state.round).toBe(3);
  });
});
