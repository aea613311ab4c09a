/** onResume: at first use, in slices, eager; rolled back, thrown, killed in the middle. And local(), beside it. */
import { int, pool, state, struct } from '@lich/schema';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Segment } from '../shm/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { local, openStore, type Store, storePlan } from './index.ts';

/** What onResume of a unit does, by its n; and what ran. */
let ran: string[] = [];
let act: (unit: Unit, why: string) => void = () => {};

class Unit extends struct({ n: int, resumed: int }) {
  onResume(why: string): void {
    ran.push(`${this.n} ${why}`);
    this.resumed++;
    act(this, why);
  }
}
class Eager extends struct({ n: int }) {
  onResume(why: string): void {
    ran.push(`eager ${this.n} ${why}`);
  }
}
class Plain extends struct({ n: int }) {}
const Schema = state({ units: pool(Unit), eagers: pool(Eager, { resume: 'eager' }), plains: pool(Plain) });
const plan = storePlan(Schema, { logWords: 1 << 15, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog };

const reported: string[] = [];
const report = (error: unknown, name: string, slot: number) =>
  void reported.push(`${name}[${slot}]: ${(error as Error).message}`);

function open(from?: Segment): Store<any> {
  const store = openStore(
    memorySegment(from === undefined ? parts : { ...parts, bytes: new Uint8Array(from.buffer) }),
    plan,
  ) as Store<any>;
  store.recover();
  return store;
}
function tx<T>(store: Store<any>, fn: () => T): T {
  store.log.begin();
  const result = fn();
  store.log.commit();
  return result;
}
function life(from: Store<any>, why: string): Store<any> {
  const store = open(from.segment);
  store.beginLife(why, report);
  return store;
}
const all = (store: Store<any>) => {
  while (store.resumeSome() > 0);
};
const resumed = (store: Store<any>): number[] => [...store.state.units].map((unit: Unit) => unit.resumed);

let first: Store<any>;
beforeEach(() => {
  ran = [];
  reported.length = 0;
  act = () => {};
  first = open();
  tx(first, () => {
    for (let n = 0; n < 1_000; n++) first.state.units.create({ n });
    for (let n = 0; n < 3; n++) first.state.eagers.create({ n });
    first.state.plains.create();
  });
});

describe('onResume', () => {
  it('runs before the first use, in its transaction; the rest in slices, each once', () => {
    const store = life(first, 'crash');
    expect(ran).toEqual(['eager 0 crash', 'eager 1 crash', 'eager 2 crash']);
    ran = [];
    tx(store, () => {
      expect(store.state.units.get(500).resumed).toBe(1);
      expect(store.state.units.resolve(7, 1).n).toBe(7);
    });
    expect(ran).toEqual(['500 crash', '7 crash']);
    const counts: number[] = [];
    for (let count = store.resumeSome(); count > 0; count = store.resumeSome()) counts.push(count);
    expect(counts.length).toBeGreaterThan(3);
    expect(Math.max(...counts)).toBeLessThanOrEqual(256);
    expect(ran.length).toBe(1_000);
    expect(new Set(resumed(store))).toEqual(new Set([1]));
    expect(store.resuming).toBe(false);
    expect(store.check()).toEqual([]);
  });

  it('is nothing to a pool whose class has none', () => {
    const store = life(first, 'restart');
    ran = [];
    tx(store, () => store.state.plains.get(0).n++);
    expect(ran).toEqual([]);
  });

  it('does not run for records of this life, in new slots or in old ones', () => {
    const store = life(first, 'crash');
    ran = [];
    tx(store, () => {
      const { units } = store.state;
      units.create({ n: -1 });
      // Destroyed by ref, without a look at it.
      units.destroy({ slot: 3, generation: 1 });
      expect(units.refOf(units.create({ n: -2 })).slot).toBe(3);
    });
    expect(ran).toEqual([]);
    all(store);
    expect(ran.length).toBe(999);
    expect(ran).not.toContain('-1 crash');
    expect(ran).not.toContain('-2 crash');
  });

  it('runs again where it was rolled back, and the view is the same', () => {
    const store = life(first, 'crash');
    ran = [];
    const { units } = store.state;
    store.log.begin();
    const unit = units.get(5);
    store.log.rollback();
    const at = tx(store, () => {
      expect(units.get(5)).toBe(unit);
      expect(unit.resumed).toBe(1);
      // A part that is undone.
      const savepoint = store.log.savepoint();
      units.get(6);
      store.log.rollbackTo(savepoint);
      return savepoint;
    });
    expect(at).toBeGreaterThan(0);
    expect(ran).toEqual(['5 crash', '5 crash', '6 crash']);
    all(store);
    expect(ran.filter(line => line === '6 crash').length).toBe(2);
    expect(new Set(resumed(store))).toEqual(new Set([1]));
  });

  it('goes back in the slices for what a rollback undid behind them', () => {
    const store = life(first, 'crash');
    const { units } = store.state;
    store.resumeSome();
    store.log.begin();
    units.destroy({ slot: 0, generation: 1 });
    units.create({ n: -5 });
    units.get(900);
    store.log.rollback();
    all(store);
    expect(new Set(resumed(store))).toEqual(new Set([1]));
  });

  it('what an old slot held before a create that was rolled back has its turn', () => {
    const store = life(first, 'crash');
    const { units } = store.state;
    store.log.begin();
    units.destroy({ slot: 0, generation: 1 });
    units.create({ n: -5 });
    store.log.rollback();
    all(store);
    expect(units.get(0).resumed).toBe(1);
    expect(units.get(0).n).toBe(0);
  });

  it('is undone, reported and not tried again where it throws', () => {
    const store = life(first, 'crash');
    act = unit => {
      if (unit.n !== 4) return;
      // What it met on its way is undone with it.
      store.state.units.get(9);
      throw new Error('not today');
    };
    tx(store, () => expect(store.state.units.get(4).resumed).toBe(0));
    expect(reported).toEqual(['units[4]: not today']);
    act = () => {};
    all(store);
    expect(reported.length).toBe(1);
    expect(
      resumed(store)
        .map((n, k) => (n === 1 ? -1 : k))
        .filter(k => k >= 0),
    ).toEqual([4]);
    expect(ran.filter(line => line === '9 crash').length).toBe(2);
  });

  it('refuses a promise', () => {
    const store = life(first, 'crash');
    act = () => Promise.resolve() as never;
    (Unit.prototype as { onResume: unknown }).onResume = function onResume() {
      return Promise.resolve();
    };
    try {
      tx(store, () => store.state.units.get(1));
    } finally {
      (Unit.prototype as { onResume: unknown }).onResume = original;
    }
    expect(reported[0]).toMatch(/returned a promise/);
  });

  it('may destroy its record, or others', () => {
    const store = life(first, 'crash');
    const { units } = store.state;
    act = unit => void (unit.n % 2 === 1 && units.destroy(unit));
    tx(store, () => {
      expect(units.get(1)).toBeUndefined();
      expect(units.resolve(3, 1)).toBeUndefined();
      let visited = 0;
      units.forEach((unit: Unit) => void (visited += unit.n % 2 === 0 ? 1 : 1000));
      expect(visited).toBe(500);
    });
    all(store);
    expect(units.size).toBe(500);
    expect(store.check()).toEqual([]);
  });

  it('does not run for a look outside a transaction, nor for who only shows a record', () => {
    const store = life(first, 'crash');
    ran = [];
    const { units } = store.state;
    const seen = units.get(2);
    expect(seen.n).toBe(2);
    tx(store, () => {
      expect(units.peek(3).n).toBe(3);
      let looked = 0;
      units.peekEach(() => void looked++);
      units.changedSince(0, () => void looked++);
      expect(looked).toBe(2_000);
      expect(ran).toEqual([]);
      expect(units.get(2)).toBe(seen);
      expect(ran).toEqual(['2 crash']);
    });
    const shown = units.peek(8);
    all(store);
    expect(units.get(8)).toBe(shown);
    expect(ran.length).toBe(1_000);
  });

  it('begins anew in the next life when this one ends in the middle', () => {
    const second = life(first, 'crash');
    second.resumeSome();
    const before = ran.length;
    expect(before).toBeLessThan(1_000);
    second.log.begin();
    second.state.units.get(999);
    const third = life(second, 'deploy');
    ran = [];
    all(third);
    expect(ran.length).toBe(1_000);
    expect(ran.every(line => line.endsWith('deploy'))).toBe(true);
  });

  it('leaves no room in the log to the handler: that one is undone, and the record is not to blame', () => {
    const store = life(first, 'crash');
    store.log.begin();
    const unit = store.state.units.get(0);
    expect(() => {
      for (let k = 1; k < 1_000; k++) {
        store.state.units.get(k);
        for (let n = 0; n < 200; n++) unit.n = n;
      }
    }).toThrow(expect.objectContaining({ code: 'STATE_LOG_FULL' }));
    store.log.rollback();
    expect(reported).toEqual([]);
    all(store);
    expect(new Set(resumed(store))).toEqual(new Set([1]));
  });

  it('one that is too much for a whole transaction is reported; slices go on around it', () => {
    const store = life(first, 'crash');
    act = unit => {
      for (let n = 0; unit.n === 77 && n < 20_000; n++) unit.resumed = n;
    };
    all(store);
    expect(reported).toEqual([expect.stringMatching(/^units\[77\]: .*log words/)]);
    expect(resumed(store).filter(n => n !== 1).length).toBe(1);
  });

  it('runs once for each, whatever is done meanwhile', () => {
    const op = fc.tuple(fc.constantFrom('get', 'destroy', 'create', 'slice', 'undo', 'part'), fc.nat({ max: 150 }));
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), ops => {
        const base = open();
        tx(base, () => {
          for (let n = 0; n < 150; n++) base.state.units.create({ n });
          for (let n = 0; n < 150; n += 4) base.state.units.destroy({ slot: n, generation: 1 });
        });
        const store = life(base, 'crash');
        const { units } = store.state;
        const step = (what: string, k: number): void => {
          if (what === 'get') units.get(k);
          else if (what === 'destroy') units.destroy({ slot: k, generation: 1 });
          else if (what === 'create') units.create({ n: 1_000, resumed: 1 });
        };
        for (const [what, k] of ops) {
          if (what === 'slice') store.resumeSome();
          else if (what === 'undo') {
            store.log.begin();
            step(['get', 'destroy', 'create'][k % 3]!, k);
            step('create', k);
            store.log.rollback();
          } else if (what === 'part') {
            tx(store, () => {
              const at = store.log.savepoint();
              step(['get', 'destroy', 'create'][k % 3]!, k);
              step('create', k);
              store.log.rollbackTo(at);
            });
          } else tx(store, () => step(what, k));
        }
        all(store);
        expect(resumed(store).every(n => n === 1)).toBe(true);
        expect(store.check()).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });
});
const original = Unit.prototype.onResume;

describe('local', () => {
  it('is dropped with its record, made again when that is undone, and made in each life', () => {
    let made = 0;
    const data = local(Unit, unit => ({ n: unit.n, made: ++made }));
    const { units } = first.state;
    const unit = units.get(1);
    expect(data(unit)).toEqual({ n: 1, made: 1 });
    first.log.begin();
    units.destroy(unit);
    expect(data.peek(unit)).toBeUndefined();
    expect(() => data(unit)).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
    first.log.rollback();
    expect(data(unit).made).toBe(2);
    first.log.begin();
    const fresh = units.create({ n: 5 });
    data(fresh);
    first.log.rollback();
    expect(data.peek(fresh)).toBeUndefined();
    expect(() => data(fresh)).toThrow(expect.objectContaining({ code: 'STATE_FREED' }));
    // The next life has views of its own.
    const store = life(first, 'crash');
    const again = store.state.units.get(1);
    expect(data.peek(again)).toBeUndefined();
    expect(data(again).made).toBe(4);
  });

  it('may be asked for by onResume', () => {
    const data = local(Unit, unit => [unit.n]);
    const store = life(first, 'crash');
    act = unit => void data(unit).push(1);
    all(store);
    expect(data.peek(store.state.units.get(8))).toEqual([8, 1]);
  });
});
