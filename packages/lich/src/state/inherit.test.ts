/** Records of classes that extend others, or are mixed from several; values that are assigned to optional fields. */
import { extend, f32, i32, mix, optional, pool, state, struct, text, u8, value } from '@lich/schema';
import { expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, type Store, storePlan } from './index.ts';

class Animal extends struct({ hp: i32.init(10) }) {
  get dead() {
    return this.hp <= 0;
  }
  hurt(by: number) {
    this.hp -= by;
    return this;
  }
}
class Swims extends struct({ depth: f32 }) {
  dive(to: number) {
    this.depth = to;
    return this;
  }
}
class Flies extends struct({ height: f32 }) {
  get aloft() {
    return this.height > 0;
  }
  set aloft(on: boolean) {
    this.height = on ? 10 : 0;
  }
}
class Egg extends struct({ age: u8.init(1), name: text() }) {
  get old() {
    return this.age > 20;
  }
}
class Duck extends mix(Animal, Swims, Flies, { egg: optional(Egg) }) {
  override hurt(by: number) {
    this.aloft = true;
    return super.hurt(by * 2);
  }
}
class Mallard extends extend(Duck, { green: u8 }) {}
const plan = storePlan(state({ ducks: pool(Mallard, { capacity: 8 }) }), { logWords: 1 << 14, heapBytes: 1 << 20 });

function open() {
  const store = openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan);
  store.recover();
  return store;
}
function tx<T>(store: Store<any>, fn: () => T): T {
  store.log.begin();
  const result = fn();
  store.log.commit();
  return result;
}

it('a record has the fields, methods and accessors of all its bases', () => {
  const store = open();
  const duck = tx(store, () => store.state.ducks.create({ depth: 2, green: 7 }));
  tx(store, () => {
    duck.hurt(3);
    duck.dive(4);
  });
  expect([duck.hp, duck.depth, duck.height, duck.green, duck.dead, duck.aloft]).toEqual([4, 4, 10, 7, false, true]);
  tx(store, () => void (duck.aloft = false));
  expect(duck.height).toBe(0);
  for (const base of [Mallard, Duck, Animal, Swims, Flies]) expect(duck instanceof base).toBe(true);
  expect(duck instanceof Egg).toBe(false);
  expect(plain(duck)).toEqual({ hp: 4, depth: 4, height: 0, egg: undefined, green: 7 });
  expect(store.check()).toEqual([]);
});

it('a value becomes a record in the place where it is stored', () => {
  const store = open();
  const duck = tx(store, () => store.state.ducks.create());
  tx(store, () => void (duck.egg = value(Egg, { name: 'a long name' })));
  expect(plain(duck.egg!)).toEqual({ age: 1, name: 'a long name' });
  tx(store, () => void (duck.egg!.age = 21));
  expect(duck.egg!.old).toBe(true);
  expect(store.heap.usedWords).toBeGreaterThan(0);
  tx(store, () => void (duck.egg = undefined));
  expect([duck.egg, store.heap.usedWords]).toEqual([undefined, 0]);
  expect(store.check()).toEqual([]);
});
