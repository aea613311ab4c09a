/** Families in the store: several classes in one pool. */
import { array, extend, i32, int, list, pool, ref, state, struct, text, u8, variants } from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openReader, openStore, plain, type Store, storePlan } from './index.ts';

class Animal extends struct({ hp: i32.init(10), name: text(6) }) {
  get dead() {
    return this.hp <= 0;
  }
}
class Wolf extends extend(Animal, { rage: int.init(3), prey: ref<Sheep>('animals') }) {
  bite(sheep: Sheep) {
    sheep.hp -= this.rage;
  }
}
class Sheep extends extend(Animal, { wool: array(u8, 5), notes: list(i32), diary: text() }) {}
class Stone extends struct({ weight: int }) {}
const Schema = state({ animals: pool(variants({ Wolf, Sheep, Stone })), best: ref<Wolf>('animals') });
const plan = storePlan(Schema, { logWords: 1 << 14, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog };

function open(bytes?: ArrayBufferLike) {
  const store = openStore(memorySegment(bytes ? { ...parts, bytes: new Uint8Array(bytes) } : parts), plan);
  store.recover();
  return store;
}
function tx<T>(store: Store<any>, fn: () => T): T {
  store.log.begin();
  const result = fn();
  store.log.commit();
  return result;
}

describe('a family', () => {
  it('has records of several classes in one pool', () => {
    const store = open();
    const { animals } = store.state;
    const [wolf, sheep, stone] = tx(store, () => {
      const a = animals.create('Wolf', { hp: 20, name: 'w' });
      const b = animals.create('Sheep', { wool: [1, 2], notes: [7], diary: 'a long day' });
      const c = animals.create('Stone', { weight: 9 });
      a.prey = b;
      store.state.best = a;
      a.bite(b);
      return [a, b, c] as const;
    });
    expect([wolf.variant, sheep.variant, stone.variant]).toEqual(['Wolf', 'Sheep', 'Stone']);
    expect(wolf instanceof Wolf && wolf instanceof Animal && !(wolf instanceof Sheep)).toBe(true);
    expect([wolf.rage, sheep.hp, sheep.dead, sheep.diary, stone.weight]).toEqual([3, 7, false, 'a long day', 9]);
    expect(wolf.prey).toBe(sheep);
    expect(store.state.best).toBe(wolf);
    expect([...animals].map(each => each.variant)).toEqual(['Wolf', 'Sheep', 'Stone']);
    expect(plain(sheep)).toEqual({
      variant: 'Sheep',
      hp: 7,
      name: '',
      wool: [1, 2, 0, 0, 0],
      notes: [7],
      diary: 'a long day',
    });
    expect(Object.keys(stone)).toEqual(['weight']);
    let weight = 0;
    for (const each of animals) {
      if (each.variant === 'Stone') weight += each.weight;
    }
    expect(weight).toBe(9);
    expect(store.check()).toEqual([]);
    expect(openReader(store.segment).snapshot(s => s.record('animals', 2))).toEqual({ variant: 'Stone', weight: 9 });
    expect(openReader(store.segment).check()).toEqual([]);
  });

  it('refuses names and values that do not fit, and takes its records alone', () => {
    const store = open();
    const animals: any = store.state.animals;
    store.log.begin();
    expect(() => animals.create('Bear')).toThrow(/Bear; create\('…', init\) takes Sheep, Stone, Wolf|no class Bear/);
    expect(() => animals.create({ hp: 1 })).toThrow(TypeError);
    expect(() => animals.create('Stone', { hp: 1 })).toThrow(/Stone has no field hp/);
    expect(() => animals.refOf({})).toThrow(expect.objectContaining({ code: 'STATE_FOREIGN' }));
    store.log.commit();
    expect(animals.size).toBe(0);
  });

  it('gives a slot to another class, clean; with its records back after a rollback', () => {
    const store = open();
    const { animals } = store.state;
    tx(store, () => animals.create('Sheep', { wool: [9, 9, 9, 9, 9], notes: [1, 2, 3], diary: 'x'.repeat(300) }));
    store.log.begin();
    const sheep: any = animals.get(0)!;
    animals.destroy(sheep);
    expect(animals.create('Wolf').variant).toBe('Wolf');
    store.log.rollback();
    expect(animals.get(0)).toBe(sheep);
    expect(plain(sheep)).toMatchObject({ variant: 'Sheep', notes: [1, 2, 3], diary: 'x'.repeat(300) });
    tx(store, () => animals.destroy(sheep));
    const wolf = tx(store, () => animals.create('Wolf'));
    expect(plain(wolf)).toEqual({ variant: 'Wolf', hp: 10, name: '', rage: 3, prey: undefined });
    expect(() => sheep.hp).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
    expect(store.check()).toEqual([]);
    const next = open(store.segment.buffer);
    expect([...next.state.animals].map(each => each.variant)).toEqual(['Wolf']);
  });

  it('holds what a model holds', () => {
    const op = fc.tuple(fc.constantFrom('Wolf', 'Sheep', 'Stone', 'gone', 'undo'), fc.nat({ max: 40 }));
    fc.assert(
      fc.property(fc.array(op, { maxLength: 120 }), ops => {
        const store = open();
        const animals: any = store.state.animals;
        let model = new Map<number, string>();
        for (const [what, n] of ops) {
          const before = new Map(model);
          store.log.begin();
          if (what === 'gone' || what === 'undo') {
            const record = animals.get(n);
            expect(record?.variant).toBe(model.get(n));
            if (record !== undefined) animals.destroy(record);
            model.delete(n);
          }
          if (what !== 'gone' && model.size < 40) {
            const name = what === 'undo' ? 'Sheep' : what;
            const init = name === 'Sheep' ? { notes: [n], diary: `${n}` } : {};
            model.set(animals.refOf(animals.create(name, init)).slot, name);
          }
          if (what === 'undo') {
            store.log.rollback();
            model = before;
          } else store.log.commit();
        }
        expect([...animals].map((each: any) => each.variant)).toEqual(
          [...model].sort(([a], [b]) => a - b).map(([, name]) => name),
        );
        expect(store.check()).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('is looked at again at the takeover: a standby without a class is refused once there are records of it', () => {
    const store = open();
    const less = storePlan(state({ animals: pool(variants({ Wolf, Sheep })), best: ref<Wolf>('animals') }), {
      logWords: 1 << 14,
      heapBytes: 1 << 20,
    });
    expect(less.layouts.pools[0]!.layout.bytes).toBe(plan.layouts.pools[0]!.layout.bytes);
    const segment = memorySegment({
      ...parts,
      layoutHash: plan.layoutHash,
      bytes: new Uint8Array(store.segment.buffer),
    });
    // As a standby does: made before, recovered when the lock is held.
    const standby = openStore(segment, less);
    const owner = openStore(segment, plan);
    owner.recover();
    tx(owner, () => owner.state.animals.create('Stone'));
    expect(() => standby.recover()).toThrow(expect.objectContaining({ code: 'STATE_CLASS_GONE' }));
    tx(owner, () => owner.state.animals.destroy(owner.state.animals.get(0)!));
    standby.recover();
    expect(standby.state.animals.size).toBe(0);
  });

  it('finds a record of no class', () => {
    const store = open();
    tx(store, () => store.state.animals.create('Wolf'));
    store.segment.u16[store.pools.get('animals')!.payloadWord(0) * 2] = 77;
    expect(store.check()).toEqual([{ where: 'animals[0]', what: 'is of no class of its family' }]);
    const next = open(store.segment.buffer);
    expect(() => next.state.animals.get(0)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });
});
