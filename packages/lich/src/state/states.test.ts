/** States that must not be: each one is provoked here, and each is a coded error that says what to do. After each of them
 * the transaction is rolled back, and the state is what it was. */
import { array, bytes, f64, i32, int, list, map, pool, ref, state, struct, text, variants } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSegment, type Segment } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { attach, openStore, type Store, storePlan } from './index.ts';

class Part extends struct({ n: int }) {}
class Unit extends struct({
  hp: i32,
  name: text(12),
  part: Part,
  mate: ref<Unit>('units'),
  path: list(Part),
  bag: map(int, Part),
  note: text(),
  far: array(f64, 4),
}) {}
class Blob extends struct({ data: bytes(4096) }) {}
class Few extends struct({ n: int }) {}
class Wolf extends struct({ rage: int }) {}
const Schema = state({
  units: pool(Unit),
  blobs: pool(Blob, { capacity: 64 }),
  few: pool(Few, { capacity: 2 }),
  animals: pool(variants({ Wolf })),
  round: int,
});
const LOG_WORDS = 1 << 17;
const plan = storePlan(Schema, { logWords: LOG_WORDS, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog, layoutHash: plan.layoutHash };

let store: Store<any>;
let s: any;
let unit: any;

const error = (code: string, message?: RegExp) =>
  expect.objectContaining({ code, ...(message && { message: expect.stringMatching(message) }) });
function tx<T>(fn: () => T): T {
  store.log.begin();
  const result = fn();
  store.log.commit();
  return result;
}
/** Refused inside a transaction; then all is as it was. */
function refused(fn: () => unknown, code: string, message?: RegExp): void {
  const before = new Uint8Array(store.segment.buffer).slice(store.segment.regions.get('root')!.offset);
  store.log.begin();
  expect(fn).toThrow(error(code, message));
  store.log.rollback();
  const after = new Uint8Array(store.segment.buffer).slice(store.segment.regions.get('root')!.offset);
  expect(Buffer.compare(before, after)).toBe(0);
}
function open(segment: Segment): Store<any> {
  const made = openStore(segment, plan) as Store<any>;
  made.recover();
  return made;
}

beforeEach(() => {
  store = open(memorySegment(parts));
  s = store.state;
  unit = tx(() => s.units.create({ hp: 5, path: [{ n: 1 }], bag: [[1, { n: 2 }]], note: 'a note' }));
  store.log.nextStamp();
});
afterEach(removeTestDirs);

describe('a double free', () => {
  it('is refused, of a block and of what is no block', () => {
    const link = tx(() => store.heap.alloc(10));
    tx(() => store.heap.free(link));
    refused(() => store.heap.free(link), 'STATE_DOUBLE_FREE');
    refused(() => store.heap.free(link + 2), 'STATE_CORRUPT');
    expect(store.check()).toEqual([]);
  });

  it('cannot be done with a record: the second destroy answers no', () => {
    tx(() => expect([s.units.destroy(unit), s.units.destroy(unit)]).toEqual([true, false]));
    expect(store.check()).toEqual([]);
  });
});

describe('a stale ref', () => {
  it('reads undefined, also when its slot has another record', () => {
    const other = tx(() => s.units.create({ mate: unit }));
    const old = s.units.refOf(unit);
    tx(() => s.units.destroy(unit));
    expect(other.mate).toBeUndefined();
    const next = tx(() => s.units.create({}));
    expect(s.units.refOf(next).slot).toBe(old.slot);
    expect([other.mate, s.units.resolve(old.slot, old.generation), s.units.has(old)]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    expect(s.units.destroy(old)).toBe(false);
  });

  it('is not stored: neither one of a record that is gone, nor of another pool', () => {
    const gone = tx(() => s.units.create({}));
    tx(() => s.units.destroy(gone));
    refused(() => (unit.mate = gone), 'STATE_FREED');
    const few = tx(() => s.few.create({}));
    refused(() => (unit.mate = few), 'STATE_FOREIGN');
    expect(() => s.units.refOf(few)).toThrow(error('STATE_FOREIGN'));
  });
});

describe('a freed view', () => {
  it('throws when it is read or written, and so do the views of its parts', () => {
    const { part, path, bag, far } = unit;
    const element = path.first;
    const value = bag.get(1);
    tx(() => s.units.destroy(unit));
    for (const use of [
      () => unit.hp,
      () => unit.name,
      () => unit.note,
      () => unit.path,
      () => part.n,
      () => path.length,
      () => bag.get(1),
      () => far.get(0),
      () => element.n,
      () => value.n,
      () => s.units.refOf(unit),
    ])
      expect(use).toThrow(error('STATE_FREED'));
    for (const use of [
      () => (unit.hp = 1),
      () => (unit.note = ''),
      () => (part.n = 1),
      () => path.push({ n: 1 }),
      () => bag.set(2, { n: 1 }),
      () => far.set(0, 1),
      () => (element.n = 1),
      () => (value.n = 1),
    ])
      refused(use, 'STATE_FREED');
  });
});

describe('a write outside a transaction', () => {
  it('is refused, whatever is written', () => {
    for (const use of [
      () => (unit.hp = 1),
      () => (unit.note = 'x'),
      () => (unit.part.n = 1),
      () => unit.path.push({ n: 1 }),
      () => (unit.path.first.n = 7),
      () => unit.bag.delete(1),
      () => unit.far.set(0, 1),
      () => (s.round = 1),
      () => s.units.create({}),
      () => s.units.destroy(unit),
      () => s.animals.create('Wolf'),
      () => s.units.spread(100, () => {}),
      () => store.heap.alloc(4),
      () => store.log.commit(),
      () => store.log.rollback(),
    ])
      expect(use).toThrow(error('STATE_NO_TRANSACTION', /outside a transaction/));
    expect(store.check()).toEqual([]);
  });

  it('no more than one is open', () => {
    store.log.begin();
    expect(() => store.log.begin()).toThrow(error('STATE_TRANSACTION_OPEN'));
    expect(() => store.log.nextStamp()).toThrow(error('STATE_TRANSACTION_OPEN'));
    store.log.rollback();
  });
});

describe('a write by a reader', () => {
  it('is refused: views of readers have nothing that writes', () => {
    const dir = testDir();
    const segment = createSegment({ dir, name: 'n', kind: 'state', ...parts });
    const owner = open(segment);
    owner.log.begin();
    (owner.state as any).units.create({ hp: 3 });
    owner.log.commit();
    const reader = attach(dir, { as: 'reader', node: 'n', schema: Schema });
    reader.read((seen: any) => {
      const record = seen.units.get(0);
      expect(record.hp).toBe(3);
      for (const use of [
        () => (record.hp = 1),
        () => record.path.push({ n: 1 }),
        () => seen.units.create({}),
        () => seen.units.destroy(record),
        () => seen.units.spread(5, () => {}),
        () => (seen.round = 2),
      ])
        expect(use).toThrow(error('STATE_READ_ONLY'));
    });
    reader.close();
    segment.close();
  });

  it('is refused in a process that does not own the segment', () => {
    const other = openStore(
      memorySegment({ ...parts, bytes: new Uint8Array(store.segment.buffer), writable: false }),
      plan,
    );
    expect(() => other.log.begin()).toThrow(error('STATE_READ_ONLY'));
    expect(() => ((other.state as any).units.get(0).hp = 1)).toThrow(error('STATE_READ_ONLY'));
    expect(() => other.recover()).toThrow(error('STATE_READ_ONLY'));
  });
});

describe('a full log', () => {
  const MESSAGE = /has used \d+ of 131072 log words .* raise limits\.logBytes/;

  it('refuses the transaction with the setting to raise; what caught it can do nothing more', () => {
    refused(
      () => {
        for (let n = 0; n < LOG_WORDS; n++) unit.hp = n;
      },
      'STATE_LOG_FULL',
      MESSAGE,
    );
    store.log.begin();
    try {
      for (let n = 0; n < LOG_WORDS; n++) unit.hp = n;
    } catch {
      // A handler that goes on all the same.
    }
    expect(() => (unit.hp = 1)).toThrow(error('STATE_LOG_FULL', MESSAGE));
    expect(() => store.log.commit()).toThrow(error('STATE_LOG_FULL', MESSAGE));
    store.log.rollback();
    expect(unit.hp).toBe(5);
    expect(store.check()).toEqual([]);
  });

  it('a tick that writes the whole state commits: what is written in one piece is logged in one', () => {
    tx(() => {
      for (let k = 0; k < 64; k++) s.blobs.create({});
    });
    // 65,536 words of data; as single words they would take all of the log.
    for (const fill of [1, 2]) {
      tx(() => {
        for (const blob of s.blobs) blob.data = new Uint8Array(4096).fill(fill);
      });
    }
    for (const blob of s.blobs) expect(new Set(blob.data)).toEqual(new Set([2]));
    // Twice in one transaction is too much, and leaves it as it was.
    refused(
      () => {
        for (const fill of [3, 4]) for (const blob of s.blobs) blob.data = new Uint8Array(4096).fill(fill);
      },
      'STATE_LOG_FULL',
      MESSAGE,
    );
    expect(store.check()).toEqual([]);
  });

  it('a tick that writes every field of every record commits, or is refused as a whole', () => {
    tx(() => {
      for (let k = 0; k < 500; k++) s.units.create({ hp: k });
    });
    const write = () => {
      for (const each of s.units) {
        each.hp++;
        each.name = 'somebody';
        each.part.n++;
        each.far.fill(7);
      }
    };
    tx(write);
    expect(s.units.get(7).hp).toBe(7);
    refused(
      () => {
        for (let k = 0; k < 20; k++) write();
      },
      'STATE_LOG_FULL',
      MESSAGE,
    );
    expect(s.units.get(7).hp).toBe(7);
  });
});

describe('a broken fence', () => {
  it('is found before more is written, in a pool that grows and in one with a capacity', () => {
    const few = tx(() => s.few.create({}));
    store.log.nextStamp();
    for (const [name, record, use] of [
      ['units', unit, () => (unit.hp = 9)],
      ['few', few, () => (few.n = 9)],
    ] as const) {
      const at = store.pools.get(name)!.payloadWord(0);
      const { layout } = store.pools.get(name)!;
      for (const word of [at - 4, at + layout.bytes / 4]) {
        store.segment.i32[word]! ^= 0x100;
        refused(use, 'STATE_CORRUPT', /fence/);
        refused(() => s[name].destroy(record), 'STATE_CORRUPT', /fence/);
        expect(store.check().some(({ what }) => what.startsWith('fences'))).toBe(true);
        store.segment.i32[word]! ^= 0x100;
      }
    }
    expect(store.check()).toEqual([]);
  });
});

describe('what is full', () => {
  it('names the setting', () => {
    tx(() => [s.few.create({}), s.few.create({})]);
    refused(() => s.few.create({}), 'STATE_POOL_FULL', /2 slots, raise capacity/);
    refused(() => (unit.note = 'x'.repeat(1 << 20)), 'STATE_HEAP_FULL', /limits\.heapBytes/);
    const fill = () => {
      for (let k = 0; k < 200; k++) s.units.create({});
    };
    expect(() => {
      for (;;) tx(fill);
    }).toThrow(error('STATE_HEAP_FULL', /limits\.heapBytes/));
    store.log.rollback();
    expect(s.units.size % 200).toBe(1);
    expect(store.check()).toEqual([]);
  });

  it('a handler that catches that the heap is full can do nothing more', () => {
    store.log.begin();
    expect(() => (unit.note = 'x'.repeat(1 << 20))).toThrow(error('STATE_HEAP_FULL'));
    expect(() => (unit.hp = 1)).toThrow(error('STATE_HEAP_FULL'));
    expect(() => store.log.commit()).toThrow(error('STATE_HEAP_FULL'));
    store.log.rollback();
    expect(unit.hp).toBe(5);
  });
});

describe('a slot of no class', () => {
  it('is refused', () => {
    tx(() => s.animals.create('Wolf'));
    const next = memorySegment({ ...parts, bytes: new Uint8Array(store.segment.buffer) });
    next.u16[store.pools.get('animals')!.payloadWord(0) * 2] = 9;
    expect(() => (open(next).state as any).animals.get(0)).toThrow(
      error('STATE_CORRUPT', /a record of animals .* is of class 9/),
    );
  });
});
