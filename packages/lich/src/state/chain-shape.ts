/** Where the words of lists, maps and sets are, with a capacity and in the heap; and how their order is walked in a memory
 * that stands still, or is not ours. */
import { listLayout, type ListShape, mapLayout, type MapShape, setLayout, type SetShape } from '@lich/schema';
import { CHUNK_LINKS, type ChunkPlaces, chunkParts, chunkWord } from './chunks.ts';
import { type Arrays, heapRange } from './memory.ts';

/** Words of a head block before what is the container's own. */
export const HEAD_STAMP = 2;

/** Where the words are; all in words. */
export interface ChainShape {
  /** Of the control part. */
  readonly count: number;
  readonly first: number;
  readonly last: number;
  readonly free: number;
  readonly high: number;
  /** -1 = generations are counted by each slot. */
  readonly turn: number;
  /** Of a slot. */
  readonly prev: number;
  readonly next: number;
  readonly generation: number;
  /** Next of the free list. */
  readonly link: number;
  /** With a capacity: from the control part to slot 0. In the heap: to the directory. */
  readonly slots: number;
  /** Words from one slot to the next. */
  readonly stride: number;
  /** 0 = it grows. */
  readonly capacity: number;
  /** Does each slot in the heap have a front word? */
  readonly front: 0 | 1;
}

/** Slots of the first chunk. */
export const CHAIN_FIRST = 4;

/** Words of a head block. */
export function headWords(shape: ChainShape): number {
  return HEAD_STAMP + shape.slots + CHUNK_LINKS;
}

/** Words of a list. */
export const LIST = {
  first: 0,
  last: 1,
  free: 2,
  count: 3,
  high: 4,
  prev: 0,
  next: 1,
  generation: 2,
  link: 1,
} as const;

// One shape a kind: readers ask for it with each value.
const shapes = new WeakMap<object, ChainShape>();
function once(kind: object, make: () => ChainShape): ChainShape {
  let shape = shapes.get(kind);
  if (shape === undefined) shapes.set(kind, (shape = make()));
  return shape;
}

export function listShape(kind: ListShape): ChainShape {
  return once(kind, () => makeListShape(kind));
}

function makeListShape(kind: ListShape): ChainShape {
  const { slots, stride, capacity } = listLayout(kind);
  const grows = capacity === 0;
  return { ...LIST, turn: grows ? 5 : -1, slots: grows ? 6 : slots / 4, stride: stride / 4, capacity, front: 0 };
}

/** Words of a map or set. */
export const TABLE = {
  count: 0,
  free: 1,
  first: 2,
  last: 3,
  high: 4,
  /** In the heap: how many buckets there are. */
  buckets: 5,
  /** In the heap: links of chunks. In the record: buckets. */
  rest: 6,
  chain: 0,
  prev: 1,
  next: 2,
  generation: 3,
  link: 0,
} as const;

export function tableShape(kind: MapShape | SetShape): ChainShape {
  return once(kind, () => makeTableShape(kind));
}

function makeTableShape(kind: MapShape | SetShape): ChainShape {
  const { entries, stride, capacity } = kind.tag === 'map' ? mapLayout(kind) : setLayout(kind);
  const grows = capacity === 0;
  return { ...TABLE, turn: -1, slots: grows ? TABLE.rest : entries / 4, stride: stride / 4, capacity, front: 1 };
}

/** What of the heap may be read, and where it is. */
export interface HeapReading {
  readonly heapWord?: number;
  need?(word: number, count: number): void;
}

/** The chunks of a shape. */
export function chunkPlaces(shape: ChainShape, heapWord: number): ChunkPlaces {
  return { heapWord, first: CHAIN_FIRST, stride: shape.stride, front: shape.front };
}

/** The slots of a chain in their order, given the word of its home. Bounded by what it says of itself, so that a memory
 * that is not ours cannot lead it astray. */
export function* chainSlots(
  mem: Arrays,
  shape: ChainShape,
  home: number,
  reading: HeapReading,
): Generator<number, undefined> {
  const U = mem.u32;
  let control = home;
  let most = shape.capacity;
  let slotAt = (index: number) => control + shape.slots + index * shape.stride;
  if (shape.capacity === 0) {
    if (U[home] === 0) return undefined;
    control = heapRange(mem, reading, U[home], headWords(shape)) + HEAD_STAMP;
    most = U[control + shape.high];
    const places = chunkPlaces(shape, reading.heapWord!);
    const dir = control + shape.slots;
    for (const { link, used } of chunkParts(U, places, dir, most)) heapRange(mem, reading, link, used);
    slotAt = index => chunkWord(U, places, dir, index);
  }
  let left = most;
  for (let link = U[control + shape.first]; link !== 0 && link <= most && left-- > 0; ) {
    const slot = slotAt(link - 1);
    yield slot;
    link = U[slot + shape.next];
  }
  return undefined;
}
