/** Own messages that wait, in the root of a state: their fields, and the walk over their words. */
import { array, type StructLayout, u32 } from '@lich/schema';
import { type ChunkPlaces, chunkParts, chunkWord } from './chunks.ts';
import type { Violation } from './errors.ts';
import { checkQueue, QUEUE_WORDS } from './event-queue.ts';
import type { HeapAudit } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import {
  BITS,
  BLOCK,
  BUCKET_COUNT,
  BUCKETS,
  bucketFor,
  CHUNKS,
  COUNT,
  DUE,
  EMPTYING,
  FREE,
  GENERATION,
  GENERATION_MAX,
  HIGH,
  NEXT,
  PAYLOAD,
  PREVIOUS,
  RESERVED,
  SPAN,
  TIMER_WORDS,
  TIMERS_FIRST,
  TYPE,
  WHEEL_WORDS,
} from './timer-wheel.ts';

/** Root fields of a state that has own messages. */
export function timerFields() {
  // One word more: the wheel begins at an even one.
  return { $timers: array(u32, WHEEL_WORDS + 1), $events: array(u32, QUEUE_WORDS) };
}

/** Words of the heads of wheel and queue, or undefined in a state that has no own messages. */
export function timerPlaces(root: StructLayout, rootWord: number): { wheel: number; queue: number } | undefined {
  const timers = root.fields.find(field => field.name === '$timers');
  const events = root.fields.find(field => field.name === '$events');
  if (timers === undefined || events === undefined) return undefined;
  return { wheel: (rootWord + timers.offset / 4 + 1) & ~1, queue: rootWord + events.offset / 4 };
}

/** Walk both. O(slots + messages). */
export function checkTimers(
  mem: Arrays,
  root: StructLayout,
  rootWord: number,
  heap: HeapAudit,
  out: Violation[],
): void {
  const places = timerPlaces(root, rootWord);
  if (places === undefined) return;
  checkWheel(mem, places.wheel, heap, out);
  checkQueue(mem, places.queue, heap, out);
}

function checkWheel(mem: Arrays, head: number, heap: HeapAudit, out: Violation[]): void {
  const I = mem.i32;
  const F = mem.f64;
  const bad = (what: string) => void out.push({ where: 'root.$timers', what });
  const clock = F[head >> 1];
  const count = I[head + COUNT];
  const high = I[head + HIGH];
  const emptying = I[head + EMPTYING] - 1;
  for (let k = RESERVED; k < BITS; k++) if (I[head + k] !== 0) bad(`reserved word ${k} is ${I[head + k]}`);
  if (!(clock >= 0 && Number.isInteger(clock))) return bad(`clock is ${clock}`);
  if (count < 0 || count > high) return bad(`${count} timers in ${high} slots`);
  if (emptying !== -1 && (emptying < 64 || emptying >= BUCKET_COUNT)) return bad(`bucket ${emptying} is emptied`);
  const chunks: ChunkPlaces = { heapWord: heap.base, first: TIMERS_FIRST, stride: TIMER_WORDS, front: 0 };
  for (const { chunk, link, words } of chunkParts(mem.u32, chunks, head + CHUNKS, high))
    if (!heap.reach(link, words, `root.$timers chunk ${chunk}`)) return;
  const at = (slot: number): number => chunkWord(mem.u32, chunks, head + CHUNKS, slot);

  const seen = new Uint8Array(high);
  let found = 0;
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    if (((I[head + BITS + (bucket >> 5)] >>> (bucket & 31)) & 1) === 0) continue;
    const ends = head + BUCKETS + bucket * 2;
    let before = bucket;
    let ref = I[ends];
    if (ref === bucket) bad(`bucket ${bucket} has its bit and no timer`);
    while (ref !== bucket) {
      const slot = ref - BUCKET_COUNT;
      if (slot < 0 || slot >= high) return bad(`bucket ${bucket} leads to ref ${ref}, slots are below ${high}`);
      if (seen[slot] === 1) return bad(`slot ${slot} is in two places`);
      seen[slot] = 1;
      found++;
      const word = at(slot);
      const due = F[(word + DUE) >> 1];
      if (I[word + PREVIOUS] !== before) bad(`slot ${slot} has ${I[word + PREVIOUS]} before it, not ${before}`);
      if (!(due >= clock && Number.isInteger(due))) bad(`slot ${slot} is due at ${due}, the clock is at ${clock}`);
      else if (bucket === emptying ? due >= clock + SPAN[bucket >> 6]! : bucketFor(due, clock) !== bucket)
        bad(`slot ${slot}, due at ${due}, is in bucket ${bucket}, the clock is at ${clock}`);
      if ((I[word + TYPE] & BLOCK) !== 0) heap.reach(I[word + PAYLOAD], 1, `root.$timers slot ${slot}`);
      before = ref;
      ref = I[word + NEXT];
    }
    if (I[ends + 1] !== before) bad(`bucket ${bucket} ends with ${I[ends + 1]}, not ${before}`);
  }
  if (found !== count) bad(`${found} timers wait, the count says ${count}`);

  let free = 0;
  for (let slot = I[head + FREE] - 1; slot >= 0; slot = ~I[at(slot) + NEXT] - 1) {
    if (slot >= high || seen[slot] === 1)
      return bad(`the free list leads to slot ${slot}, which waits or is free already`);
    seen[slot] = 1;
    free++;
    if (I[at(slot) + NEXT] >= 0) return bad(`slot ${slot} is on the free list and not marked free`);
  }
  let usedUp = 0;
  for (let slot = 0; slot < high; slot++) if (I[at(slot) + GENERATION] >= GENERATION_MAX) usedUp++;
  if (found + free + usedUp !== high) bad(`${found} waiting + ${free} free + ${usedUp} used up is not ${high} slots`);
}
