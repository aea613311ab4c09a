/** Lanes as their sender shows them: found in its table, held while they are read. A sender's bytes are checked before they
 * are believed. */
import type { Segment } from '../shm/index.ts';
import {
  ENTRY_WORDS,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  LANE_SEALED,
  OUT_LANE,
  OUT_SIZE,
  OUT_SOURCE,
  OUT_TAIL,
  OUT_TO,
  receiverOf,
} from './lanes-layout.ts';
import { RECORD_ALIGN_WORDS } from './record-descriptor.ts';

/** The lane of one stream that is being read. */
export interface HeldLane {
  readonly segment: Segment;
  readonly i32: Int32Array;
  /** word of its entry in the sender's out table */
  readonly entry: number;
  readonly laneId: number;
  readonly base: number;
  readonly block: number;
  readonly size: number;
  readonly mask: number;
}

/** The lane of that sender to there which has the record at that position, if any has it.
 * @param to receiver and priority, as in the entry
 * @param source who sent: the segment's node, or one that it speaks for */
export function findLane(segment: Segment, to: number, source: number, position: number): HeldLane | undefined {
  const I = segment.i32;
  const table = segment.regions.get('out')!;
  const first = table.offset / 4;
  for (let entry = first; entry < first + table.bytes / 4; entry += ENTRY_WORDS) {
    const laneId = Atomics.load(I, entry + OUT_LANE);
    if (laneId === 0 || Atomics.load(I, entry + OUT_TO) !== to) continue;
    if (Atomics.load(I, entry + OUT_SOURCE) !== source) continue;
    const base = Atomics.load(I, entry + OUT_BASE);
    const block = Atomics.load(I, entry + OUT_BLOCK);
    const size = Atomics.load(I, entry + OUT_SIZE);
    const tail = Atomics.load(I, entry + OUT_TAIL);
    if (((position - base) | 0) < 0 || ((tail - position) | 0) <= 0) continue;
    if (Atomics.load(I, entry + OUT_LANE) !== laneId) continue;
    return { segment, i32: I, entry, laneId, base, block, size, mask: size - 1 };
  }
  return undefined;
}

/** Do these words lie in the data region? */
export function isInData(segment: Segment, word: number, words: number): boolean {
  const data = segment.regions.get('data')!;
  const first = data.offset / 4;
  return words >= 0 && word >= first && word + words <= first + data.bytes / 4;
}

/** Is the ring of a lane in the data region, and of a size that there is? @returns what is wrong */
export function badRing({ segment, laneId, block, size }: HeldLane): string | undefined {
  if (size > 0 && (size & (size - 1)) === 0 && isInData(segment, block, size)) return undefined;
  return `lane ${laneId} of ${segment.path}: ring of ${size} words at word ${block} is not inside the data region`;
}

/** Can a record at that position be so long? A tail more than a ring ahead would have the old records of the ring read
 * again. */
export function isRecord({ size, mask }: HeldLane, position: number, length: number, tail: number): boolean {
  const left = (tail - position) | 0;
  const fits = left <= size && length <= left && length <= size - (position & mask);
  return fits && length >= RECORD_ALIGN_WORDS && length % RECORD_ALIGN_WORDS === 0;
}

/** What is wrong where `isRecord` says no. */
export function badRecord(lane: HeldLane, position: number, length: number, tail: number): string {
  return (
    `lane ${lane.laneId} of ${lane.segment.path}: record of ${length} words at position ${position >>> 0}, ` +
    `${(tail - position) | 0} words before the tail and ${lane.size - (position & lane.mask)} before the end of the ring`
  );
}

/** Will nothing follow in this lane? */
export function isSealed(lane: HeldLane): boolean {
  return (Atomics.load(lane.i32, lane.entry + OUT_FLAGS) & LANE_SEALED) !== 0;
}

/** A lane in a sender's table, as it is shown at this moment. */
export interface ShownLane {
  readonly entry: number;
  readonly laneId: number;
  readonly to: number;
  readonly source: number;
  readonly tail: number;
  readonly block: number;
  readonly size: number;
}

/** All lanes in a node's table, or those to one receiver. Nothing is checked: hints. */
export function* shownLanes(segment: Segment, receiver?: number): Generator<ShownLane> {
  const I = segment.i32;
  const table = segment.regions.get('out')!;
  const first = table.offset / 4;
  for (let entry = first; entry < first + table.bytes / 4; entry += ENTRY_WORDS) {
    const laneId = Atomics.load(I, entry + OUT_LANE);
    if (laneId === 0) continue;
    const to = Atomics.load(I, entry + OUT_TO);
    if (receiver !== undefined && receiverOf(to) !== receiver) continue;
    const source = Atomics.load(I, entry + OUT_SOURCE);
    const tail = Atomics.load(I, entry + OUT_TAIL);
    const size = Atomics.load(I, entry + OUT_SIZE);
    yield { entry, laneId, to, source, tail, size, block: Atomics.load(I, entry + OUT_BLOCK) };
  }
}
