import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { state, u32 } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { createSegment, OwnerLock, type Segment } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import {
  foreign,
  type Foreign,
  foreignModule,
  foreignOwners,
  foreignUses,
  openStore,
  StateError,
  type Store,
  storePlan,
  surveyOf,
} from './index.ts';

const plan = storePlan(state({ n: u32 }), { logWords: 1 << 16, heapBytes: 1 << 20 });
const board = readFileSync(join(import.meta.dirname, '../testing/fixtures/foreign/board.wasm'));

function inMemory(bytes?: Uint8Array): Store {
  return openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog, ...(bytes && { bytes }) }), plan);
}

const mapped: { segment: Segment; lock: OwnerLock }[] = [];
function onDisk(): Store {
  const dir = testDir();
  const lock = OwnerLock.open(dir, 'f');
  lock.tryAcquire();
  const segment = createSegment({ ...plan, dir, name: 'f', kind: 'state' });
  mapped.push({ segment, lock });
  return openStore(segment, plan);
}

afterEach(() => {
  for (const { segment, lock } of mapped.splice(0)) {
    segment.close(true);
    lock.release();
  }
  removeTestDirs();
});

const codeOf = (work: () => void): string | undefined => {
  try {
    work();
  } catch (error) {
    if (error instanceof StateError) return error.code;
    throw error;
  }
  return undefined;
};
function transact<T>(store: Store, work: () => T): T {
  store.log.begin();
  try {
    const result = work();
    store.log.commit();
    return result;
  } catch (error) {
    store.log.rollback();
    throw error;
  }
}

describe('foreign memory', () => {
  it('is found again by its name, in the next life', () => {
    const store = inMemory();
    const { u32: words } = store.segment;
    transact(store, () => {
      foreign(store, 'other');
      const memory = foreign(store, 'library');
      const a = memory.malloc(10);
      expect(a % 8).toBe(0);
      words[a / 4] = 77;
      memory.root = a;
      memory.calloc(3, 8);
    });
    const again = inMemory(new Uint8Array(store.segment.buffer));
    again.recover();
    const memory = foreign(again, 'library');
    expect(again.segment.u32[memory.root / 4]).toBe(77);
    expect(memory.size).toEqual({ blocks: 2, bytes: 34 });
    expect(foreignUses(again.segment, { word: again.heap.base, words: again.heap.words })).toEqual([
      { name: 'library', blocks: 2, bytes: 34 },
      { name: 'other', blocks: 0, bytes: 0 },
    ]);
    expect(memory.bytesOf(memory.root)).toBe(10);
    expect(
      [...foreignOwners(again.segment, { word: again.heap.base, words: again.heap.words })].map(o => o.name),
    ).toEqual(['library', 'other']);
    expect(again.check()).toEqual([]);
    transact(again, () => foreign(again, 'library').release());
    expect(
      [...foreignOwners(again.segment, { word: again.heap.base, words: again.heap.words })].map(o => o.name),
    ).toEqual(['other']);
    expect(codeOf(() => void memory.root)).toBe('STATE_FREED');
    expect(again.check()).toEqual([]);
  });

  it('refuses what is not its own', () => {
    const store = inMemory();
    expect(codeOf(() => foreign(store, 'a'))).toBe('STATE_NO_TRANSACTION');
    expect(() => foreign(store, '')).toThrow(/a name of 1 to 64 bytes/);
    store.log.begin();
    const a = foreign(store, 'a');
    const b = foreign(store, 'b');
    const block = a.malloc(100);
    const plain = store.heap.alloc(10);
    expect(codeOf(() => b.free(block))).toBe('STATE_FOREIGN');
    expect(codeOf(() => b.realloc(block, 5))).toBe('STATE_FOREIGN');
    expect(codeOf(() => a.free((store.heap.base + plain + 4) * 4))).toBe('STATE_FOREIGN');
    expect(codeOf(() => a.free(block + 8))).toBe('STATE_CORRUPT');
    expect(codeOf(() => a.free(12))).toBe('STATE_CORRUPT');
    expect(codeOf(() => a.guard([{ address: block, bytes: 101 }], () => {}))).toBe('STATE_FOREIGN');
    a.free(0);
    a.free(block);
    expect(codeOf(() => a.free(block))).toBe('STATE_DOUBLE_FREE');
    expect(codeOf(() => a.malloc(2 ** 32))).toBe('STATE_HEAP_FULL');
    store.log.rollback();
    expect(codeOf(() => a.malloc(1))).toBe('STATE_FREED');
  });

  it('refuses a heap that lies elsewhere than its addresses say', () => {
    const store = inMemory();
    transact(store, () => foreign(store, 'a'));
    const owner = [...store.heap.blocks()][0]!;
    store.segment.u32[store.heap.base + owner.link + 3] += 4096;
    expect(() => foreign(store, 'a')).toThrow(/was written with its heap at byte/);
  });

  it('names broken lists, and blocks without an owner', () => {
    const store = inMemory();
    const memory = transact(store, () => foreign(store, 'a'));
    const [a, b] = transact(store, () => [memory.malloc(8), memory.malloc(8)]);
    const { u32: words } = store.segment;
    const broken = (word: number, value: number): string[] => {
      const was = words[word]!;
      words[word] = value;
      const found = store.check().map(({ where, what }) => `${where}: ${what}`);
      words[word] = was;
      return found;
    };
    const linkOf = (address: number) => address / 4 - 4 - store.heap.base;
    expect(broken(b / 4 - 4, 0)).toEqual([`heap: the foreign block at link ${linkOf(a)} has no owner`]);
    expect(broken(b / 4 - 2, 9)).toEqual([`foreign \`a\`: the block at link ${linkOf(b)} names owner 9`]);
    expect(broken(a / 4 - 3, 0)).toEqual([`foreign \`a\`: the block at link ${linkOf(a)} has 0 before it`]);
    expect(broken(b / 4 - 1, 900)).toEqual([`foreign \`a\`: the block at link ${linkOf(b)} is too small`]);
    expect(store.check()).toEqual([]);
  });

  it('guards what it is told: a throw, a rollback and a kill undo it', () => {
    const store = inMemory();
    const memory = transact(store, () => foreign(store, 'a'));
    const { u8 } = store.segment;
    const at = transact(store, () => {
      const address = memory.malloc(1000);
      u8.fill(1, address, address + 1000);
      return address;
    });
    store.log.begin();
    expect(() =>
      memory.guard([{ address: at + 1, bytes: 998 }], () => {
        u8.fill(2, at + 1, at + 999);
        throw new Error('inside');
      }),
    ).toThrow('inside');
    store.log.commit();
    expect(u8.subarray(at, at + 1000).every(byte => byte === 1)).toBe(true);
    store.log.begin();
    memory.guard('all', () => void u8.fill(3, at, at + 1000));
    // Killed here.
    const next = inMemory(new Uint8Array(store.segment.buffer));
    next.recover();
    expect(next.segment.u8.subarray(at, at + 1000).every(byte => byte === 1)).toBe(true);
    store.log.rollback();
    expect(u8.subarray(at, at + 1000).every(byte => byte === 1)).toBe(true);
  });

  it('holds what a model holds, over rollbacks; blocks of this transaction need no guard', () => {
    const step = fc.record({ what: fc.nat(9), pick: fc.nat(1000), bytes: fc.nat(900) });
    const transactions = fc.array(fc.tuple(fc.array(step, { maxLength: 20, size: 'max' }), fc.nat(3)), {
      size: 'max',
      maxLength: 12,
    });
    fc.assert(
      fc.property(transactions, list => {
        const store = inMemory();
        const memory = transact(store, () => foreign(store, 'm'));
        const { u8 } = store.segment;
        let model = new Map<number, Uint8Array>();
        let fill = 1;
        const fresh = (address: number, bytes: number, from: number, old: Uint8Array = new Uint8Array(0)) => {
          const content = new Uint8Array(bytes);
          content.set(old.subarray(0, Math.min(old.length, bytes)));
          content.fill(fill++, from);
          memory.guard([{ address, bytes }], () => u8.set(content, address));
          model.set(address, content);
        };
        for (const [steps, end] of list) {
          const before = new Map(model);
          store.log.begin();
          for (const { what, pick, bytes } of steps) {
            const addresses = [...model.keys()];
            const address = addresses[pick % addresses.length];
            if (what < 5 || address === undefined) fresh(memory.malloc(bytes), bytes, 0);
            else if (what < 8) {
              memory.free(address);
              model.delete(address);
            } else {
              const old = model.get(address)!;
              const moved = memory.realloc(address, bytes);
              const kept = Math.min(old.length, bytes);
              expect(u8.slice(moved, moved + kept)).toEqual(old.slice(0, kept));
              model.delete(address);
              fresh(moved, bytes, kept, old);
            }
          }
          if (end > 0) store.log.commit();
          else {
            store.log.rollback();
            model = before;
          }
        }
        for (const [address, content] of model) expect(u8.slice(address, address + content.length)).toEqual(content);
        expect(new Set([...memory.blocks()].map(block => block.address))).toEqual(new Set(model.keys()));
        expect(store.check()).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });
});

/** The C library of testing/fixtures/foreign/board.c over a store. */
function boardOf(store: Store): {
  memory: Foreign;
  lib: ReturnType<typeof foreignModule>;
  put(name: string, score: number): void;
  score(name: string): number | undefined;
} {
  const memory = foreign(store, 'board');
  const lib = foreignModule(memory, board);
  if (memory.root === 0) memory.root = lib.board_new!() >>> 0;
  const text = (name: string): [number, number] => {
    const bytes = new TextEncoder().encode(name);
    const address = memory.malloc(bytes.length);
    store.segment.u8.set(bytes, address);
    return [address, bytes.length];
  };
  return {
    memory,
    lib,
    put(name, score) {
      const [address, bytes] = text(name);
      lib.board_put!(memory.root, address, bytes, score);
      memory.free(address);
    },
    score(name) {
      const [address, bytes] = text(name);
      const entry = lib.board_find!(memory.root, address, bytes) >>> 0;
      memory.free(address);
      return entry === 0 ? undefined : lib.entry_score!(entry);
    },
  };
}

describe('a C library in WASM', () => {
  it('keeps its data in the segment, static data and stack too', () => {
    const store = onDisk();
    const { lib, memory, put, score } = transact(store, () => boardOf(store));
    transact(store, () => {
      memory.guard('all', () => {
        for (let k = 0; k < 500; k++) put(`player ${k}`, (k * 7919) % 1000);
        expect(lib.board_count!(memory.root)).toBe(500);
        expect(score('player 3')).toBe((3 * 7919) % 1000);
        expect(score('nobody')).toBeUndefined();
      });
    });
    expect(lib.board_check!(memory.root)).toBe(0);
    const best = lib.board_at!(memory.root, 0) >>> 0;
    expect(lib.entry_score!(best)).toBe(Math.max(...Array.from({ length: 500 }, (_, k) => (k * 7919) % 1000)));
    const version = lib.board_version!() >>> 0;
    expect(Buffer.from(store.segment.u8.slice(version, version + 9)).toString()).toBe('board 1.0');
    expect([lib.board_calls!(), lib.board_calls!()]).toEqual([1, 2]);
    expect(memory.size.blocks).toBeGreaterThan(1000);
    expect(store.check()).toEqual([]);
    // A second instance, as the next life makes it: the board is there, static data begins anew.
    const again = transact(store, () => boardOf(store));
    expect(again.lib.board_count!(again.memory.root)).toBe(500);
    expect(again.lib.board_calls!()).toBe(1);
    expect(again.memory.size.blocks).toBe(memory.size.blocks);
  });

  it('under guard is undone whole; without it, a rollback tears it', () => {
    const store = onDisk();
    const { lib, memory, put } = transact(store, () => boardOf(store));
    const fill = (from: number) => {
      for (let k = from; k < from + 40; k++) put(`n${k}`, k);
    };
    transact(store, () => memory.guard('all', () => fill(0)));
    expect([lib.board_count!(memory.root), lib.board_check!(memory.root)]).toEqual([40, 0]);
    store.log.begin();
    memory.guard('all', () => fill(40));
    store.log.rollback();
    expect([lib.board_count!(memory.root), lib.board_check!(memory.root)]).toEqual([40, 0]);
    store.log.begin();
    fill(40);
    store.log.rollback();
    expect(lib.board_check!(memory.root)).not.toBe(0);
  });

  it('a full heap goes through it as an error, and is undone', () => {
    const store = onDisk();
    const { lib, memory, put } = transact(store, () => boardOf(store));
    transact(store, () => memory.guard('all', () => put('first', 1)));
    expect(
      codeOf(() =>
        transact(store, () =>
          memory.guard('all', () => {
            for (let k = 0; k < 100_000; k++) put(`x${k}`, k);
          }),
        ),
      ),
    ).toMatch(/STATE_HEAP_FULL|STATE_LOG_FULL/);
    expect([lib.board_count!(memory.root), lib.board_check!(memory.root)]).toEqual([1, 0]);
    transact(store, () => memory.guard('all', () => put('second', 2)));
    expect(lib.board_count!(memory.root)).toBe(2);
    expect(store.check()).toEqual([]);
  });

  it('that has fixed places for its data is refused, and so is a segment that is not mapped', () => {
    const store = onDisk();
    // A module that imports a memory and says nothing about where its data goes.
    const fixed = Uint8Array.from([
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, 15, 1, 3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0, 1,
    ]);
    expect(() => transact(store, () => foreignModule(foreign(store, 'x'), fixed))).toThrow(/compile it with -fPIC/);
    const plain = inMemory();
    expect(() => transact(plain, () => foreignModule(foreign(plain, 'x'), board))).toThrow(
      /this segment is not mapped/,
    );
  });
});

describe('docs/state.md', () => {
  it('foreign code', () => {
    const store = onDisk();
    const wasm = board;
    const { log, segment } = store;
    // Once in each life, in a transaction.
    log.begin();
    const memory = foreign(store, 'leaderboard');
    const lib = foreignModule(memory, wasm);
    if (memory.root === 0) memory.root = lib.board_new!() >>> 0;
    log.commit();

    // A change: what the library stores is undone with the rest when this throws, or when the process is killed.
    log.begin();
    memory.guard('all', () => {
      const name = memory.malloc(3);
      segment.u8.set(Buffer.from('Ann'), name);
      lib.board_put!(memory.root, name, 3, 2_500);
      memory.free(name);
    });
    log.commit();
    expect(lib.board_count!(memory.root)).toBe(1);
    expect(surveyOf(segment).heap!.foreign).toEqual([{ name: 'leaderboard', ...memory.size }]);
  });
});
