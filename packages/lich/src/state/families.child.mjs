// A child process of families.proc.test.ts: the owner of a world, in one of several versions of its code. It runs the built
// dist/ and obeys orders sent over IPC.
import { extend, i32, int, pool, ref, state, struct, text, variants } from '@lich/schema';
import { attach } from 'lich/state';
// Of versions from 3 on, a class that has moved to another file.
import { Sheep as MovedSheep } from './families.child.sheep.mjs';

class Animal extends struct({ hp: i32.init(10), name: text(8) }) {}
class Wolf extends extend(Animal, { rage: int }) {}
class Sheep extends extend(Animal, { wool: int, owner: text() }) {}
class Goat extends struct({ milk: int }) {}
class Direwolf extends extend(Animal, { rage: int }) {
  static was = 'Wolf';
}
const GoatWithAge = class Goat extends struct({ milk: int, age: int }) {};
class Cow extends struct({ horns: int.init(2) }) {}
class Whale extends struct({ a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, name: text(60) }) {}

const of = classes => state({ animals: pool(variants(classes)), best: ref('animals'), n: int });
const versions = {
  first: of({ Wolf, Sheep, Goat }),
  reordered: of({ Goat, Sheep, Wolf }),
  renamed: of({ Sheep, Goat, Direwolf }),
  added: of({ Cow, Direwolf, Goat, Sheep }),
  moved: of({ Cow, Direwolf, Goat, Sheep: MovedSheep }),
  gone: of({ Cow, Direwolf, Sheep: MovedSheep }),
  larger: of({ Cow, Direwolf, Goat, Sheep: MovedSheep, Whale }),
  unlike: of({ Cow, Direwolf, Goat: GoatWithAge, Sheep: MovedSheep }),
};

let owned;

const orders = {
  open({ dir, version }) {
    owned = attach(dir, {
      as: 'owner',
      node: 'world',
      schema: versions[version],
      heapBytes: 1 << 20,
      logWords: 1 << 14,
    });
    const { store } = owned;
    return {
      outcome: owned.outcome,
      undone: owned.undone,
      violations: store.check(),
      which: store.segment.i32[1024 + 176],
    };
  },
  create({ variant, init }) {
    const { log, state: s } = owned.store;
    log.begin();
    const { slot } = s.animals.refOf(s.animals.create(variant, init));
    s.n++;
    log.commit();
    return { slot };
  },
  /** Leave a transaction open. */
  createOpen({ variant }) {
    const { log, state: s } = owned.store;
    log.begin();
    s.animals.create(variant, {});
    for (const each of s.animals) if ('hp' in each) each.hp = -99;
    return { size: s.animals.size };
  },
  destroy({ slot }) {
    const { log, state: s } = owned.store;
    log.begin();
    s.animals.destroy(s.animals.get(slot));
    log.commit();
    return {};
  },
  all: () => ({ animals: [...owned.store.state.animals].map(each => JSON.parse(JSON.stringify(each))) }),
};

process.on('message', order => {
  try {
    process.send(orders[order.do](order));
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.message } });
  }
});
process.on('disconnect', () => process.exit(0));
