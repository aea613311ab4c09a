/** Own messages that wait, in the root of a state: their fields, and the walk over their words. */
import { array, f64, type StructLayout, struct, u32 } from '@lich/schema';
import { CHUNK_LINKS, type ChunkPlaces, chunkParts, chunkWord } from './chunks.ts';
import type { Violation } from './errors.ts';
import { checkQueue } from './event-queue.ts';
import { BLOCK_HEADER, SIZE } from './heap.ts';
import type { HeapAudit } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import {
  BITS,
  BITS_WORDS,
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
} from './timer-wheel.ts';

/** Head of the wheel: timer-wheel.ts says what these are. A struct, so that a copy of the state into another layout keeps
 * its place even. */
class $Timers extends struct({
  clock: f64,
  count: u32,
  high: u32,
  free: u32,
  emptying: u32,
  reserved: array(u32, 2),
  bits: array(u32, BITS_WORDS),
  chunks: array(u32, CHUNK_LINKS),
  buckets: array(u32, BUCKET_COUNT * 2),
}) {}

/** Head of the queue, as event-queue.ts draws it. */
class $Events extends struct({
  first: u32,
  at: u32,
  last: u32,
  end: u32,
  taken: u32,
  posted: u32,
  reserved: array(u32, 2),
}) {}

/** Root fields of a state that has own messages. */
export function timerFields() {
  return { $timers: $Timers, $events: $Events, $own: u32 };
}

/** Words of the heads of wheel and queue, or undefined in a state that has no own messages. */
export function timerPlaces(root: StructLayout, rootWord: number): { wheel: number; queue: number } | undefined {
  const timers = root.fields.find(field => field.name === '$timers');
  const events = root.fields.find(field => field.name === '$events');
  if (timers === undefined || events === undefined) return undefined;
  return { wheel: rootWord + timers.offset / 4, queue: rootWord + events.offset / 4 };
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
  const own = root.fields.find(field => field.name === '$own');
  const link = own === undefined ? 0 : mem.u32[rootWord + own.offset / 4];
  if (link !== 0 && heap.reach(link, 2, 'root.$own')) {
    const count = mem.u32[heap.base + link];
    const words = (mem.i32[heap.base + link - 1] & SIZE) - BLOCK_HEADER;
    if (2 + count * 2 > words) out.push({ where: 'root.$own', what: `${count} messages in ${words} words` });
  }
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
