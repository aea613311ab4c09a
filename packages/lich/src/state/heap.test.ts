import { map, state, text, u32 } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { createSegment, OwnerLock, ShmError } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { FIRST } from './heap.ts';
import { binOf } from './heap-bins.ts';
import { HeapAudit } from './heap-check.ts';
import { openStore, StateError, type Store, storePlan, type Violation } from './index.ts';
import { placesOf } from './plan.ts';

const Small = state({ n: u32 });
const open = (heapBytes = 65_536, logWords = 1 << 14) => {
  const plan = storePlan(Small, { logWords, heapBytes });
  return { plan, store: openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan) };
};
const codeOf = (work: () => void): string | undefined => {
  try {
    work();
  } catch (error) {
    if (error instanceof StateError || error instanceof ShmError) return error.code;
    throw error;
  }
  return undefined;
};

afterEach(removeTestDirs);

describe('plan', () => {
  it('has a heap where one was asked for, last', () => {
    expect(storePlan(Small).heapBytes).toBe(0);
    const { plan } = open(131_072);
    expect(plan.regions.at(-1)).toEqual({ name: 'heap', bytes: 131_072 });
    expect(plan.table().at(-1)).toEqual({ name: 'heap', bytes: 131_072 });
    expect(plan.layoutHash).toBe(storePlan(Small).layoutHash);
  });

  it('has one of 128 MiB where something grows', () => {
    expect(storePlan(state({ name: text() })).heapBytes).toBe(2 ** 27);
    expect(storePlan(state({ m: map(u32, u32) }), { heapBytes: 65_536 }).heapBytes).toBe(65_536);
    expect(storePlan(state({ m: map(u32, u32, 8) })).heapBytes).toBe(0);
  });

  it('refuses sizes that cannot be', () => {
    for (const heapBytes of [1, 65_535, 100_000, -65_536, 2 ** 33, Number.NaN])
      expect(() => storePlan(Small, { heapBytes })).toThrow(/heapBytes takes a multiple of 65536/);
  });
});

describe('bins', () => {
  it('grow with the sizes, and no bin is left out below 64 words', () => {
    let last = 0;
    for (let size = 4; size < 1 << 20; size += size < 4096 ? 2 : 62) {
      expect(binOf(size)).toBeGreaterThanOrEqual(last);
      expect(binOf(size) - last).toBeLessThanOrEqual(size === 4 ? 2 : 1);
      last = binOf(size);
    }
    expect(binOf(2 ** 30 - 2)).toBeLessThan(27 * 32);
    expect([4, 62, 64, 66, 68, 128].map(binOf)).toEqual([2, 31, 32, 33, 34, 64]);
  });
});

describe('blocks', () => {
  it('of a new heap lie one behind the other; one that was given back is used again', () => {
    const { heap, log } = open().store;
    log.begin();
    const links = [0, 1, 2, 3, 4, 5].map(words => heap.alloc(words));
    expect(links.map(link => link - FIRST)).toEqual([2, 6, 10, 14, 20, 26]);
    expect(links.map(link => heap.wordsOf(link))).toEqual([2, 2, 2, 4, 4, 6]);
    heap.free(links[2]!);
    expect(heap.alloc(2)).toBe(links[2]);
    log.commit();
    expect([heap.usedWords, heap.freeWords, heap.highWords]).toEqual([32, 0, FIRST + 32]);
    expect([...heap.blocks()].length).toBe(6);
  });

  it('grow in place where what follows is free, or nothing follows', () => {
    const { heap, log } = open().store;
    log.begin();
    const a = heap.alloc(100);
    const b = heap.alloc(100);
    expect(heap.realloc(b, 300, 100)).toBe(b);
    expect(heap.wordsOf(b)).toBe(300);
    const c = heap.alloc(4);
    heap.free(b);
    expect(heap.realloc(a, 200, 100)).toBe(a);
    expect(heap.realloc(a, 402, 200)).toBe(a);
    expect(heap.freeWords).toBe(0);
    const moved = heap.realloc(a, 403, 402);
    expect(moved).toBeGreaterThan(c);
    expect(heap.realloc(moved, 10, 10)).toBe(moved);
    log.commit();
    expect(heap.freeWords).toBe(404 + 394);
  });

  it('all given back are one free block again, or wait on quick lists', () => {
    const { plan, store } = open();
    const { heap, log } = store;
    log.begin();
    const links = Array.from({ length: 50 }, (_, k) => heap.alloc(70 + k));
    for (const link of links) heap.free(link);
    log.commit();
    expect(heap.usedWords).toBe(0);
    expect(store.check()).toEqual([]);
    log.begin();
    expect(heap.alloc(heap.freeWords - 2)).toBe(FIRST + 2);
    log.commit();
    expect(placesOf(store.segment, plan.layouts).heap.words).toBe(16_384);
  });
});

describe('a heap that is full', () => {
  it('says so, with numbers and the setting, and only a rollback is left', () => {
    const { store } = open();
    const { heap, log } = store;
    log.begin();
    const a = heap.alloc(10_000);
    log.commit();
    log.begin();
    heap.alloc(100);
    expect(() => heap.alloc(10_000)).toThrow(
      'heap full: no room for a block of 40000 bytes, 40416 of 65536 bytes are in use and 0 free in smaller blocks: raise limits.heapBytes',
    );
    // What was cut off in the middle is not committed, whatever was caught.
    expect(codeOf(() => heap.alloc(1))).toBe('STATE_HEAP_FULL');
    expect(codeOf(() => log.commit())).toBe('STATE_HEAP_FULL');
    log.rollback();
    expect([...heap.blocks()].map(block => block.link)).toEqual([a]);
    log.begin();
    heap.free(a);
    heap.alloc(15_358);
    log.commit();
    expect(heap.highWords).toBe(16_384);
    for (const words of [1, 2 ** 30, Number.POSITIVE_INFINITY, Number.NaN]) {
      log.begin();
      expect(codeOf(() => heap.alloc(words))).toBe('STATE_HEAP_FULL');
      log.rollback();
    }
    expect(store.check().map(violation => violation.what)).toEqual(['1 block leaked: link 1026 (15358 words)']);
  });

  it('goes on after the savepoint around it was undone', () => {
    const { heap, log } = open().store;
    log.begin();
    const here = log.savepoint();
    expect(codeOf(() => heap.alloc(20_000))).toBe('STATE_HEAP_FULL');
    log.rollbackTo(here);
    heap.alloc(1);
    log.commit();
    expect(heap.usedWords).toBe(4);
  });

  it('merges what waits on quick lists before it says so', () => {
    const { heap, log } = open(65_536, 1 << 16).store;
    log.begin();
    const links: number[] = [];
    while (heap.highWords < 13_000) links.push(heap.alloc(14));
    for (const link of links) heap.free(link);
    log.commit();
    log.begin();
    expect(heap.alloc(15_000)).toBe(FIRST + 2);
    log.commit();
  });

  it('is one that the segment does not have, too', () => {
    const plan = storePlan(Small, { logWords: 1 << 12 });
    const { heap, log } = openStore(memorySegment({ regions: plan.regions, catalog: plan.catalog }), plan);
    log.begin();
    expect(() => heap.alloc(1)).toThrow(/this segment has none: set limits.heapBytes/);
    log.rollback();
    expect([heap.words, heap.highWords, heap.usedWords, heap.freeWords]).toEqual([0, 0, 0, 0]);
    expect([...heap.blocks()]).toEqual([]);
    expect(codeOf(() => heap.free(2))).toBe('STATE_CORRUPT');
  });
});

describe('mistakes', () => {
  it('a block given back twice, also after it was merged', () => {
    const { heap, log } = open().store;
    log.begin();
    const [a, b, c, d] = [heap.alloc(4), heap.alloc(200), heap.alloc(200), heap.alloc(200)];
    heap.free(a);
    heap.free(c);
    heap.free(b);
    for (const link of [a, b, c]) {
      expect(() => heap.free(link)).toThrow(`the block at link ${link} was given back before`);
      expect(codeOf(() => heap.wordsOf(link))).toBe('STATE_DOUBLE_FREE');
      expect(codeOf(() => heap.realloc(link, 9, 1))).toBe('STATE_DOUBLE_FREE');
    }
    heap.free(d);
    log.commit();
  });

  it('what is no block', () => {
    const { heap, log } = open().store;
    log.begin();
    const a = heap.alloc(50);
    log.keep(heap.base + a, 50);
    for (const link of [0, 2, FIRST, a + 2, a + 1, a - 2, heap.highWords + 2, -4, 0.5, Number.NaN, 2 ** 31])
      expect(codeOf(() => heap.free(link))).toBe('STATE_CORRUPT');
    log.commit();
  });

  it('a copy of a block is none', () => {
    const { store } = open();
    const { heap, log, segment } = store;
    log.begin();
    const a = heap.alloc(2);
    const b = heap.alloc(50);
    const at = heap.base + b + 10;
    log.write(at, segment.u32[heap.base + a - 2]!);
    log.write(at + 1, segment.u32[heap.base + a - 1]!);
    expect(codeOf(() => heap.free(b + 12))).toBe('STATE_CORRUPT');
    log.commit();
  });

  it('a block that was written to after it was given back', () => {
    const { heap, log, segment } = open().store;
    log.begin();
    const a = heap.alloc(4);
    heap.free(a);
    segment.u32[heap.base + a - 2] = 5;
    expect(codeOf(() => heap.alloc(4))).toBe('STATE_CORRUPT');
    log.rollback();
  });

  it('outside a transaction', () => {
    const { heap } = open().store;
    expect(codeOf(() => heap.alloc(1))).toBe('STATE_NO_TRANSACTION');
    expect(heap.highWords).toBe(FIRST);
  });
});

describe('the audit', () => {
  function audit(store: Store, layouts: Parameters<typeof placesOf>[1], reach: [number, number, string][]): string[] {
    const out: Violation[] = [];
    const it = new HeapAudit(store.segment, placesOf(store.segment, layouts).heap, out);
    for (const entry of reach) it.reach(...entry);
    it.leaks();
    return out.map(violation => `${violation.where}: ${violation.what}`);
  }

  it('names what is leaked, owned twice, too small, foreign, or no block', () => {
    const { plan, store } = open();
    const { heap, log } = store;
    log.begin();
    const [a, b, c] = [heap.alloc(2), heap.alloc(8), heap.alloc(2)];
    heap.free(c);
    log.commit();
    expect(
      audit(store, plan.layouts, [
        [a, 1, 'x'],
        [b, 8, 'y'],
      ]),
    ).toEqual([]);
    log.begin();
    const d = heap.alloc(4, true);
    log.commit();
    expect(
      audit(store, plan.layouts, [
        [a, 1, 'x'],
        [a, 1, 'y'],
        [c, 1, 'z'],
        [d, 1, 'w'],
      ]),
    ).toEqual([
      `y: link ${a} is owned by x too`,
      `z: link ${c} leads to no block`,
      `w: link ${d} leads to a block of foreign code`,
      `heap: the foreign block at link ${d} has no owner`,
      `heap: 1 block leaked: link ${b} (8 words)`,
    ]);
    expect(
      audit(store, plan.layouts, [
        [a, 3, 'x'],
        [b, 1, 'y'],
      ]),
    ).toEqual([
      `x: the block at link ${a} has 2 words, 3 are wanted`,
      `heap: the foreign block at link ${d} has no owner`,
    ]);
  });

  it('sees every word of the heap that is not what it should be', () => {
    const { plan, store } = open();
    const { heap, log, segment } = store;
    log.begin();
    const links = Array.from({ length: 20 }, (_, k) => heap.alloc(k < 10 ? 6 : 80));
    for (const k of [1, 3, 5, 11, 13, 14, 18, 19]) heap.free(links[k]!);
    log.commit();
    const reach = [...heap.blocks()].map((block): [number, number, string] => [block.link, 1, 'x']);
    expect(audit(store, plan.layouts, reach)).toEqual([]);
    const payload = new Set(
      [...heap.blocks()].flatMap(({ link, words }) => Array.from({ length: words }, (_, k) => link + k)),
    );
    let seen = 0;
    const unseen: number[] = [];
    for (let word = 0; word < heap.highWords; word++) {
      if (payload.has(word)) continue;
      const at = heap.base + word;
      const was = segment.u32[at]!;
      segment.u32[at] = was ^ 0x10;
      if (audit(store, plan.layouts, reach).length > 0) seen++;
      else unseen.push(word);
      segment.u32[at] = was;
    }
    // Not seen: the unused words of the tables, and what lies inside free blocks.
    const used = new Set<number>();
    for (let block = FIRST; block < heap.highWords; ) {
      const size = segment.u32[heap.base + block + 1]! & 0x7fff_fffe;
      used.add(block).add(block + 1);
      block += size;
    }
    expect(
      unseen.filter(word => used.has(word) || word < 43 || (word >= 66 && word <= 96) || (word >= 130 && word < 992)),
    ).toEqual([]);
    expect(seen).toBeGreaterThan(900);
  });
});

describe('pages', () => {
  it('are reserved before they are used, ahead of need', async () => {
    const dir = testDir();
    const plan = storePlan(Small, { logWords: 1 << 12, heapBytes: 16 * 1_048_576 });
    const lock = OwnerLock.open(dir, 'h');
    lock.tryAcquire();
    const segment = createSegment({ ...plan, dir, name: 'h', kind: 'state' });
    const store = openStore(segment, plan);
    const { heap, log } = store;
    const { offset, bytes } = segment.regions.get('heap')!;
    expect(segment.isReserved(offset, 262_144)).toBe(true);
    expect(segment.isReserved(offset, bytes)).toBe(false);
    log.begin();
    heap.alloc(150 * 256);
    log.commit();
    expect(heap.wanted()).toBeDefined();
    await store.reserveAhead();
    expect(heap.wanted()).toBeUndefined();
    log.begin();
    heap.alloc(1_048_576);
    log.commit();
    expect(segment.isReserved(offset, heap.highWords * 4)).toBe(true);
    segment.close(true);
    lock.release();
  });

  it('that cannot be had are an error, and only a rollback is left', () => {
    const plan = storePlan(Small, { logWords: 1 << 12, heapBytes: 1_048_576 });
    const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const store = openStore(segment, plan);
    const { heap, log } = store;
    (segment as { reserve: unknown }).reserve = () => {
      throw new ShmError('SHM_NO_MEMORY', 'none left');
    };
    log.begin();
    heap.alloc(1);
    expect(codeOf(() => heap.alloc(100_000))).toBe('SHM_NO_MEMORY');
    expect(codeOf(() => log.commit())).toBe('SHM_NO_MEMORY');
    log.rollback();
    expect(heap.usedWords).toBe(0);
  });
});
