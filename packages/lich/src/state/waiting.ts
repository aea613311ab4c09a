/** Own messages that wait in a state, seen from outside: which numbers they are stored under, and how many of each. */
import type { Segment } from '../shm/index.ts';
import { type ChunkPlaces, chunkWord } from './chunks.ts';
import { eachQueued } from './event-queue.ts';
import type { Arrays } from './memory.ts';
import { placesOf } from './plan.ts';
import { Reader } from './reader.ts';
import {
  BITS,
  BUCKET_COUNT,
  BUCKETS,
  CHUNKS,
  NEXT,
  TIMER_WORDS,
  TIMERS_FIRST,
  TYPE,
  TYPE_MASK,
} from './timer-wheel.ts';
import { timerPlaces } from './timers.ts';

/** Own messages of one kind. */
export interface WaitingOwn {
  /** That they are stored under. */
  readonly number: number;
  /** Of name and fields, 16 hex digits. */
  readonly hash: string;
  readonly count: number;
}

/** Count what waits, as of one commit. While no number is unknown that takes a look at their table; else a copy of all that
 * is in use.
 * @param isKnown hashes that need no count
 * @returns those that are not known, and wait */
export function waitingOwn(segment: Segment, isKnown: (hash: string) => boolean): WaitingOwn[] {
  const reader = new Reader(segment, { hidden: true });
  const { root } = reader.layouts;
  const field = root.fields.find(({ name }) => name === '$own');
  const places = timerPlaces(root, reader.rootWord);
  if (field === undefined || places === undefined) return [];
  const hashes = reader.run(() => {
    reader.needRoot();
    const { u32 } = reader.mirror;
    const link = u32[reader.rootWord + field.offset / 4];
    if (link === 0 || !reader.bringBlock(link, 2)) return [];
    const at = reader.heapWord + link;
    return Array.from({ length: u32[at] }, (_, number) => hashAt(u32, at + 2 + number * 2));
  }, false);
  if (hashes.every(isKnown)) return [];
  const counts = reader.whole(mirror => countsOf(mirror, places, placesOf(segment, reader.layouts).heap.word));
  return hashes.flatMap((hash, number) => {
    const count = counts.get(number) ?? 0;
    return count === 0 || isKnown(hash) ? [] : [{ number, hash, count }];
  });
}

function hashAt(u32: Uint32Array, word: number): string {
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  return hex(u32[word + 1]) + hex(u32[word]);
}

function countsOf(mem: Arrays, { wheel, queue }: { wheel: number; queue: number }, heapWord: number) {
  const counts = new Map<number, number>();
  const add = (type: number): void => {
    const number = type & TYPE_MASK;
    counts.set(number, (counts.get(number) ?? 0) + 1);
  };
  eachQueued(mem, queue, heapWord, add);
  const I = mem.i32;
  const chunks: ChunkPlaces = { heapWord, first: TIMERS_FIRST, stride: TIMER_WORDS, front: 0 };
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    if (((I[wheel + BITS + (bucket >> 5)] >>> (bucket & 31)) & 1) === 0) continue;
    for (let ref = I[wheel + BUCKETS + bucket * 2]; ref !== bucket; ) {
      const word = chunkWord(mem.u32, chunks, wheel + CHUNKS, ref - BUCKET_COUNT);
      add(I[word + TYPE]);
      ref = I[word + NEXT];
    }
  }
  return counts;
}
