import assert from 'node:assert/strict';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as S from './index.ts';
import { anyKind, structFields } from './testing/arbitrary.ts';

const offsets = (layout: S.StructLayout) => layout.fields.map(field => [field.name, field.offset, field.bytes]);

test('fields lie in declared order, aligned to their own size', () => {
  const layout = S.layoutOf(
    { a: S.u8, b: S.u16, c: S.u8, d: S.f32, e: S.bool, f: S.int, g: S.text(2), h: S.u8, i: S.ref('p') },
    'T',
  );
  expect(offsets(layout)).toEqual([
    ['a', 0, 1],
    ['b', 2, 2],
    ['c', 4, 1],
    ['d', 8, 4],
    ['e', 12, 1],
    ['f', 16, 8],
    ['g', 24, 8],
    ['h', 32, 1],
    ['i', 36, 8],
  ]);
  expect(layout).toMatchObject({ name: 'T', bytes: 48, align: 8 });
});

test('a struct of bytes is still word-aligned', () => {
  expect(S.layoutOf({ a: S.u8 }, 'T')).toMatchObject({ bytes: 4, align: 4 });
  expect(S.layoutOf({}, 'T')).toMatchObject({ bytes: 0, align: 4 });
});

test('hidden fields follow the declared ones', () => {
  class P extends S.struct({ a: S.u8 }) {}
  const layout = S.layoutOf(P, 'P', { $n: S.int });
  expect(layout.fields.map(field => [field.name, field.offset, field.hidden])).toEqual([
    ['a', 0, false],
    ['$n', 8, true],
  ]);
  expect(S.layoutOf(P).fields).toHaveLength(1);
  expect(() => S.layoutOf(P, 'P', { n: S.int })).toThrow(/must start with \$/);
  expect(() => S.layoutOf({ $n: S.u8 }, 'P', { $n: S.int })).toThrow(/twice/);
});

test('the list of the table', () => {
  expect(S.listLayout({ element: S.kindOf(S.u16), capacity: 3 })).toEqual({
    bytes: 68,
    align: 4,
    capacity: 3,
    head: 0,
    tail: 4,
    free: 8,
    count: 12,
    high: 16,
    slots: 20,
    stride: 16,
    prev: 0,
    next: 4,
    generation: 8,
    payload: 12,
  });
  expect(S.listLayout({ element: S.kindOf(S.int), capacity: 3 })).toMatchObject({
    bytes: 96,
    align: 8,
    slots: 24,
    stride: 24,
    payload: 16,
  });
});

test('the map of the table', () => {
  class Item extends S.struct({ kind: S.u16, count: S.int }) {}
  expect(S.mapLayout({ key: S.kindOf(S.int), value: S.kindOf(Item), capacity: 16 })).toEqual({
    bytes: 728,
    align: 8,
    capacity: 16,
    count: 0,
    free: 4,
    first: 8,
    last: 12,
    high: 16,
    buckets: 24,
    bucketCount: 16,
    entries: 88,
    stride: 40,
    chain: 0,
    prev: 4,
    next: 8,
    generation: 12,
    key: 16,
    value: 24,
  });
  expect(S.mapLayout({ key: S.kindOf(S.u8), value: S.kindOf(S.u8), capacity: 5 })).toMatchObject({
    bucketCount: 8,
    entries: 56,
    stride: 20,
    key: 16,
    value: 17,
    bytes: 156,
  });
});

test('a set is a map without values', () => {
  const { value: _, ...map } = S.mapLayout({ key: S.kindOf(S.int), value: S.kindOf(S.u8), capacity: 16 });
  expect(S.setLayout({ key: S.kindOf(S.int), capacity: 16 })).toEqual({ ...map, stride: 24, bytes: 88 + 16 * 24 });
  expect(S.setLayout({ key: S.kindOf(S.u8), capacity: 5 })).toMatchObject({ entries: 56, stride: 20, bytes: 156 });
});

test('the queue of the table', () => {
  expect(S.queueLayout({ element: S.kindOf(S.u16), capacity: 3 })).toEqual({
    bytes: 20,
    align: 4,
    capacity: 3,
    first: 0,
    count: 4,
    slots: 8,
    stride: 4,
  });
  expect(S.queueLayout({ element: S.kindOf(S.int), capacity: 3 })).toMatchObject({ bytes: 32, align: 8, stride: 8 });
});

test('no part overlaps another, each is aligned and inside', () => {
  fc.assert(
    fc.property(structFields(anyKind(true)), fields => {
      const layout = S.layoutOf(fields, 'T');
      let end = 0;
      for (const { kind, offset, bytes } of layout.fields) {
        expect(offset).toBeGreaterThanOrEqual(end);
        expect(offset % kind.align).toBe(0);
        end = offset + bytes;
        checkParts(kind);
      }
      expect(layout.bytes).toBeGreaterThanOrEqual(end);
      expect(layout.bytes % layout.align).toBe(0);
    }),
    { numRuns: 300 },
  );
});

function checkParts(kind: S.AnyKind): void {
  assert.equal(kind.bytes % kind.align, 0);
  if (kind.tag === 'optional') {
    assert.equal(kind.flag, kind.value.bytes);
    assert(kind.flag + (kind.flag < 4 ? 1 : 4) <= kind.bytes);
    // Value and flag of a small one are logged as one word.
    if (kind.flag < 4) assert.equal(kind.align, kind.bytes);
    else assert.equal((kind.flag % 4) + (kind.bytes % 4) + (kind.align % 4), 0);
  }
  if (S.isGrowing(kind)) {
    assert.equal(kind.bytes, kind.tag === 'text' || kind.tag === 'bytes' ? 8 : 4);
    assert.equal(kind.align, 4);
    S.innerKinds(kind).forEach(checkParts);
    return;
  }
  if (['text', 'bytes', 'bits', 'struct', 'array', 'list', 'map', 'set', 'queue', 'ref'].includes(kind.tag))
    assert.equal((kind.bytes % 4) + (kind.align % 4), 0);
  if (kind.tag === 'queue') {
    const queue = S.queueLayout(kind);
    assert.equal((queue.slots % queue.align) + (queue.stride % queue.align), 0);
    assert(kind.element.bytes <= queue.stride);
    assert.equal(queue.slots + queue.stride * queue.capacity, kind.bytes);
  }
  if (kind.tag === 'bits') assert(kind.bytes * 8 >= kind.length);
  if (kind.tag === 'array') {
    assert.equal(kind.stride % kind.element.align, 0);
    assert(kind.stride * kind.length <= kind.bytes);
  }
  if (kind.tag === 'list') {
    const list = S.listLayout(kind);
    assert.equal(list.payload % kind.element.align, 0);
    assert.equal((list.slots % list.align) + (list.stride % list.align), 0);
    assert(list.payload + kind.element.bytes <= list.stride);
    assert.equal(list.slots + list.stride * list.capacity, kind.bytes);
  }
  if (kind.tag === 'map' || kind.tag === 'set') {
    const map = kind.tag === 'map' ? S.mapLayout(kind) : { ...S.setLayout(kind), value: S.setLayout(kind).stride };
    const value = kind.tag === 'map' ? kind.value : { align: 1, bytes: 0 };
    assert.equal((map.entries + map.key) % kind.key.align, 0);
    assert.equal((map.entries + map.value) % value.align, 0);
    assert.equal(map.stride % map.align, 0);
    assert(map.key + kind.key.bytes <= map.value);
    assert(map.value + value.bytes <= map.stride);
    assert(map.buckets + 4 * map.bucketCount <= map.entries);
    assert(map.bucketCount >= kind.capacity);
    assert.equal(map.bucketCount & (map.bucketCount - 1), 0);
  }
  S.innerKinds(kind).forEach(checkParts);
}
