/** What waits in lanes, as anybody sees it who maps lanes segments. The sender may write and the receiver may read
 * meanwhile, so nothing here is believed before it is checked. */
import type { Segment } from '../shm/index.ts';
import { readRef, REF_BYTES } from './blocks.ts';
import {
  ENTRY_WORDS,
  FAR_ENTRY_WORDS,
  farRowBytes,
  IN_CONTROL,
  IN_HEAD,
  IN_MET,
  idOfCreation,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  OUT_LANE,
  OUT_SIZE,
  OUT_SOURCE,
  OUT_TAIL,
  OUT_TO,
  priorityOf,
  receiverOf,
} from './lanes-layout.ts';
import { isInData } from './lane-reader.ts';
import { HEADER_WORDS, RECORD_ALIGN_WORDS, TYPE_BLOCK, TYPE_PADDING } from './record-descriptor.ts';

/** A lane as its sender shows it. */
export interface WholeLane {
  /** word of its entry in the out table */
  readonly entry: number;
  readonly laneId: number;
  /** node index of the receiver */
  readonly receiver: number;
  /** 0 data, 1 control */
  readonly priority: number;
  /** node index of who sent */
  readonly source: number;
  readonly base: number;
  readonly block: number;
  readonly size: number;
  readonly tail: number;
  readonly flags: number;
}

/** A record that was found in a lane. */
export interface FoundRecord {
  readonly position: number;
  /** word of it in the segment */
  readonly word: number;
  readonly words: number;
  /** Of the message: where the record is a reference, that of its block. */
  readonly type: number;
  readonly payloadWord: number;
  readonly payloadWords: number;
}

/** @returns the lanes of a segment, each as it was at one moment, and inside the data region */
export function wholeLanes(segment: Segment): WholeLane[] {
  const I = segment.i32;
  const table = segment.regions.get('out')!;
  const lanes: WholeLane[] = [];
  const first = table.offset / 4;
  for (let entry = first; entry < first + table.bytes / 4; entry += ENTRY_WORDS) {
    const laneId = Atomics.load(I, entry + OUT_LANE);
    if (laneId === 0) continue;
    const to = Atomics.load(I, entry + OUT_TO);
    const lane: WholeLane = {
      entry,
      laneId,
      receiver: receiverOf(to),
      priority: priorityOf(to),
      source: Atomics.load(I, entry + OUT_SOURCE),
      base: Atomics.load(I, entry + OUT_BASE),
      block: Atomics.load(I, entry + OUT_BLOCK),
      size: Atomics.load(I, entry + OUT_SIZE),
      tail: Atomics.load(I, entry + OUT_TAIL),
      flags: Atomics.load(I, entry + OUT_FLAGS),
    };
    if (Atomics.load(I, entry + OUT_LANE) === laneId && isInside(segment, lane)) lanes.push(lane);
  }
  return lanes;
}

function isInside(segment: Segment, { block, size }: WholeLane): boolean {
  return size > 0 && (size & (size - 1)) === 0 && isInData(segment, block, size);
}

/** How far a receiver is in a stream, as its lanes segment shows it; that of a node elsewhere, as its link's does.
 * @param from node index of the sender @param creation of the sender's lanes (ms)
 * @param far node index of the receiver, where it is elsewhere, and node indexes that there are
 * @returns undefined while it has not met this creation of the sender */
export function shownHead(
  receiver: Segment,
  from: number,
  creation: number,
  priority: number,
  far?: { readonly index: number; readonly nodes: number },
): number | undefined {
  let entry: number;
  if (far === undefined) entry = receiver.regions.get('in')!.offset / 4 + from * ENTRY_WORDS;
  else {
    const rows = receiver.regions.get('far');
    if (rows === undefined) return undefined;
    entry = (rows.offset + far.index * farRowBytes(far.nodes)) / 4 + from * FAR_ENTRY_WORDS;
  }
  if (Atomics.load(receiver.i32, entry + IN_MET) !== idOfCreation(creation)) return undefined;
  return Atomics.load(receiver.i32, entry + (priority === 0 ? IN_HEAD : IN_CONTROL));
}

/** Where what waits in a lane begins. @param head of the receiver; undefined = it has handled nothing */
export function waitingFrom({ base, tail }: Pick<WholeLane, 'base' | 'tail'>, head: number | undefined): number {
  if (head === undefined || ((head - base) | 0) < 0) return base;
  return ((tail - head) | 0) < 0 ? tail : head;
}

function recordAt(segment: Segment, position: number, word: number, words: number): FoundRecord {
  const payload = word + HEADER_WORDS;
  const type = segment.i32[word + 1];
  const found = type === TYPE_BLOCK && words * 4 >= REF_BYTES ? readRef(segment.i32, payload) : undefined;
  if (found !== undefined && isInData(segment, found.word, found.words))
    return { position, word, words, type: found.type, payloadWord: found.word, payloadWords: found.words };
  return { position, word, words, type, payloadWord: payload, payloadWords: words - HEADER_WORDS };
}

/** Visit records of a lane, padding left out, from a position on that a record begins at.
 * @returns where it stopped: `lane.tail`, or before it where no sound record is, since it was written over meanwhile */
export function walkLane(
  segment: Segment,
  lane: Pick<WholeLane, 'block' | 'size' | 'tail'>,
  from: number,
  visit: (record: FoundRecord) => void,
): number {
  const I = segment.i32;
  const { block, size, tail } = lane;
  let position = from;
  for (let left = (tail - position) | 0; left > 0 && left <= size; left = (tail - position) | 0) {
    const index = position & (size - 1);
    const words = I[block + index];
    const fits = words >= RECORD_ALIGN_WORDS && words % RECORD_ALIGN_WORDS === 0 && words <= left;
    if (!fits || words > size - index) return position;
    if (I[block + index + 1] !== TYPE_PADDING) visit(recordAt(segment, position, block + index, words));
    position = (position + words) | 0;
  }
  return position;
}
