/** Queues as memory: release, decode, check. The bytes are drawn in queue.ts. */
import { queueLayout, type QueueShape } from '@lich/schema';
import type { CheckContext } from './check.ts';
import type { Decode, DecodeOptions } from './decode.ts';
import type { Arrays, StoreContext } from './memory.ts';
import type { Release, ReleaserOf } from './release.ts';
import { slotStride } from './slots.ts';

export const RING_FIRST = 0;
export const RING_COUNT = 1;
export const RING_SLOTS = 2;

export const COUNT = 2;
export const FIRST = 3;
export const LAST = 4;
export const FROM = 5;
export const TO = 6;
export const TAKEN = 7;
export const HEAD_WORDS = 8;

export const NEXT = 0;
export const CAPACITY = 1;
export const ELEMENTS = 2;
export const CAPACITY_FIRST = 4;
export const CAPACITY_KEPT = 16;
export const BLOCK_WORDS = 256;

/** Elements of the largest block. */
export function blockMost(stride: number): number {
  let most = CAPACITY_FIRST;
  while (most * 2 * stride <= BLOCK_WORDS) most *= 2;
  return most;
}

export function walkBlocks(
  U: Uint32Array,
  base: number,
  head: number,
  stride: number,
  visit: (word: number) => void,
): void {
  let index = U[head + FROM];
  for (let link = U[head + FIRST], left = U[head + COUNT]; link !== 0 && left > 0; link = U[base + link + NEXT]) {
    const capacity = U[base + link + CAPACITY];
    for (; index < capacity && left > 0; index++, left--) visit(base + link + ELEMENTS + index * stride);
    index = 0;
  }
}

export function freeBlocks({ mem, heap }: StoreContext, head: number): void {
  for (let link = mem.u32[head + FIRST]; link !== 0; ) {
    const next = mem.u32[heap.base + link + NEXT];
    heap.free(link);
    link = next;
  }
}

export function releaseQueue(context: StoreContext, kind: QueueShape, releaserOf: ReleaserOf): Release {
  const { mem, heap } = context;
  const u32 = mem.u32;
  const release = releaserOf(kind.element, context);
  if (kind.capacity > 0) {
    const stride = queueLayout(kind).stride / 4;
    return word => {
      const count = u32[word + RING_COUNT];
      for (let k = 0, slot = u32[word + RING_FIRST]; k < count; k++, slot = slot + 1 === kind.capacity ? 0 : slot + 1)
        release!(word + RING_SLOTS + slot * stride);
    };
  }
  const stride = slotStride(kind.element.bytes, kind.element.align);
  return word => {
    const link = u32[word];
    if (link === 0) return;
    const head = heap.base + link;
    if (release !== undefined) walkBlocks(u32, heap.base, head, stride, release);
    freeBlocks(context, head);
    heap.free(link);
  };
}

export function decodeQueue(
  mem: Arrays,
  kind: QueueShape,
  word: number,
  options: DecodeOptions,
  decode: Decode,
): unknown[] {
  const u32 = mem.u32;
  const out: unknown[] = [];
  if (kind.capacity > 0) {
    const stride = queueLayout(kind).stride / 4;
    const count = Math.min(u32[word + RING_COUNT], kind.capacity);
    for (let k = 0; k < count; k++) {
      const slot = (u32[word + RING_FIRST] + k) % kind.capacity;
      out.push(decode(mem, kind.element, word + RING_SLOTS + slot * stride, 0, options));
    }
    return out;
  }
  const { heapWord = 0 } = options;
  if (u32[word] === 0) return out;
  const head = heapWord + u32[word];
  options.need?.(head, HEAD_WORDS);
  const stride = slotStride(kind.element.bytes, kind.element.align);
  const most = blockMost(stride);
  let index = u32[head + FROM];
  let left = u32[head + COUNT];
  for (let link = u32[head + FIRST]; link !== 0 && left > 0; ) {
    const block = heapWord + link;
    options.need?.(block, ELEMENTS);
    const capacity = Math.min(u32[block + CAPACITY], most);
    const here = Math.min(capacity - index, left);
    // Each block but the first holds at least one: a chain that leads back into itself ends by the count.
    if (here <= 0) break;
    options.need?.(block, ELEMENTS + (index + here) * stride);
    for (let k = 0; k < here; k++)
      out.push(decode(mem, kind.element, block + ELEMENTS + (index + k) * stride, 0, options));
    index = 0;
    left -= here;
    link = u32[block + NEXT];
  }
  return out;
}

export function checkQueue(context: CheckContext, kind: QueueShape, word: number, where: string): void {
  const { mem, heap, out } = context;
  const u32 = mem.u32;
  const bad = (what: string) => void out.push({ where, what });
  if (kind.capacity > 0) {
    const stride = queueLayout(kind).stride / 4;
    const first = u32[word + RING_FIRST];
    const count = u32[word + RING_COUNT];
    if (count > kind.capacity || first >= kind.capacity)
      return bad(`first ${first}, count ${count} with capacity ${kind.capacity}`);
    for (let k = 0; k < count; k++) {
      const slot = (first + k) % kind.capacity;
      context.value(context, kind.element, word + RING_SLOTS + slot * stride, 0, `${where}[${k}]`);
    }
    return;
  }
  const link = u32[word];
  if (link === 0 || !heap.reach(link, HEAD_WORDS, where)) return;
  const head = heap.base + link;
  const stride = slotStride(kind.element.bytes, kind.element.align);
  const most = blockMost(stride);
  const count = u32[head + COUNT];
  const to = u32[head + TO];
  let index = u32[head + FROM];
  let seen = 0;
  let last = 0;
  for (let at = u32[head + FIRST]; at !== 0; at = u32[heap.base + at + NEXT]) {
    if (!heap.reach(at, ELEMENTS, `${where} block`)) return;
    const block = heap.base + at;
    const capacity = u32[block + CAPACITY];
    if (capacity < 1 || capacity > most) return bad(`a block has room for ${capacity} elements, ${most} at most`);
    const end = at === u32[head + LAST] ? to : capacity;
    if (index > end || end > capacity) return bad(`a block of ${capacity} elements holds ${index}..${end}`);
    for (; index < end; index++)
      context.value(context, kind.element, block + ELEMENTS + index * stride, 0, `${where}[${seen++}]`);
    if (count === 0 && capacity > CAPACITY_KEPT) bad(`it is empty and keeps a block of ${capacity} elements`);
    index = 0;
    last = at;
  }
  if (last !== u32[head + LAST]) bad(`its chain ends at link ${last}, last says ${u32[head + LAST]}`);
  if (seen !== count) bad(`${seen} elements in its blocks, count says ${count}`);
}
