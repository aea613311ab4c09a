/** Growing arrays as memory: what their stores share, release, decode, check. The bytes are drawn in vector.ts. */
import type { AnyKind, VectorShape } from '@lich/schema';
import type { CheckContext } from './check.ts';
import { CHUNK_LINKS, chunkParts, chunkStart, chunkWord } from './chunks.ts';
import type { Decode, DecodeOptions } from './decode.ts';
import { Dense, densePlaces, type DenseShape, denseShape, denseSlots } from './dense.ts';
import { isView } from './door.ts';
import type { Arrays, StoreContext } from './memory.ts';
import type { Release, ReleaserOf } from './release.ts';
import {
  checkSlots,
  slotPlaces,
  Slots,
  SLOTS_DIRECTORY,
  SLOTS_WORDS,
  slotsHigh,
  slotStride,
  slotWord,
} from './slots.ts';

export const LENGTH = 2;
const RESERVED = 3;
export const DIRECTORY = 4;
export const SLOTS = DIRECTORY + CHUNK_LINKS;
/** Elements at most: what a directory of slot numbers reaches. */
export const LENGTH_MAX = 0x0800_0000;

/** Is an element of this kind a view, with a slot of its own? */
export function inSlots(element: AnyKind): boolean {
  return isView(element);
}

function headWords(element: AnyKind): number {
  return inSlots(element) ? SLOTS + SLOTS_WORDS : SLOTS;
}

/** Of the chunks of the elements, or of their order. */
export function orderShape(element: AnyKind): DenseShape {
  return denseShape(inSlots(element) ? 4 : element.bytes);
}

/** What all arrays of one kind in a store share. */
export class VectorParts {
  readonly dense: Dense;
  readonly slots: Slots | undefined;
  readonly words: number;

  constructor(context: StoreContext, { element }: VectorShape) {
    this.dense = new Dense(context, orderShape(element));
    this.slots = inSlots(element) ? new Slots(context, slotStride(element.bytes, element.align)) : undefined;
    this.words = headWords(element);
  }
}

export function releaseVector(context: StoreContext, kind: VectorShape, releaserOf: ReleaserOf): Release {
  const { dense, slots } = new VectorParts(context, kind);
  const { mem, heap } = context;
  const release = releaserOf(kind.element, context);
  return word => {
    const link = mem.u32[word];
    if (link === 0) return;
    const head = heap.base + link;
    if (release !== undefined) {
      const length = mem.u32[head + LENGTH];
      for (let k = 0; k < length; k++) {
        const at = dense.word(head + DIRECTORY, k);
        release(slots === undefined ? at : slots.word(head + SLOTS, mem.u32[at]));
      }
    }
    dense.release(head + DIRECTORY);
    slots?.release(head + SLOTS);
    heap.free(link);
  };
}

export function decodeVector(
  mem: Arrays,
  kind: VectorShape,
  word: number,
  options: DecodeOptions,
  decode: Decode,
): unknown[] {
  const { heapWord = 0 } = options;
  const { element } = kind;
  const link = mem.u32[word];
  if (link === 0) return [];
  const head = heapWord + link;
  options.need?.(head, headWords(element));
  const length = mem.u32[head + LENGTH];
  const shape = orderShape(element);
  const places = densePlaces(shape, heapWord);
  const dir = head + DIRECTORY;
  for (const part of chunkParts(mem.u32, places, dir, denseSlots(shape, length)))
    options.need?.(heapWord + part.link, part.used);
  const out: unknown[] = [];
  if (!inSlots(element)) {
    for (let k = 0; k < length; k++) {
      const at = chunkWord(mem.u32, places, dir, k >>> shape.shift);
      out.push(decode(mem, element, at, (k & shape.mask) * shape.bytes, options));
    }
    return out;
  }
  const slots = slotPlaces(heapWord, slotStride(element.bytes, element.align));
  const high = slotsHigh(mem.u32, head + SLOTS);
  for (const part of chunkParts(mem.u32, slots, head + SLOTS + SLOTS_DIRECTORY, high))
    options.need?.(heapWord + part.link, part.used);
  for (let k = 0; k < length; k++) {
    const slot = mem.u32[chunkWord(mem.u32, places, dir, k)];
    if (slot < high) out.push(decode(mem, element, slotWord(mem.u32, slots, head + SLOTS, slot), 0, options));
  }
  return out;
}

export function checkVector(context: CheckContext, kind: VectorShape, word: number, where: string): void {
  const { mem, heap, out } = context;
  const { element } = kind;
  const link = mem.u32[word];
  if (link === 0 || !heap.reach(link, headWords(element), where)) return;
  const bad = (what: string) => void out.push({ where, what });
  const head = heap.base + link;
  const length = mem.u32[head + LENGTH];
  const shape = orderShape(element);
  const places = densePlaces(shape, heap.base);
  const dir = head + DIRECTORY;
  if (mem.u32[head + RESERVED] !== 0) bad(`its reserved word is ${mem.u32[head + RESERVED]}`);
  if (length > LENGTH_MAX) return bad(`length is ${length}`);
  const used = denseSlots(shape, length);
  let sound = true;
  for (const part of chunkParts(mem.u32, places, dir, 0x4000_0000)) {
    if (part.link !== 0) sound = heap.reach(part.link, part.words, `${where} chunk ${part.chunk}`) && sound;
    else if (chunkStart(places.first, part.chunk) < used) {
      bad(`chunk ${part.chunk} is not there, length is ${length}`);
      sound = false;
    }
  }
  const slots = inSlots(element)
    ? checkSlots(context, head + SLOTS, slotStride(element.bytes, element.align), where)
    : undefined;
  if (!sound || (inSlots(element) && slots === undefined)) return;
  for (let k = 0; k < length; k++) {
    const at = chunkWord(mem.u32, places, dir, k >>> shape.shift);
    if (slots === undefined)
      context.value(context, element, at, (k & shape.mask) * shape.bytes, heap.named ? `${where}[${k}]` : where);
    else if (slots.take(mem.u32[at]))
      context.value(context, element, slotWord(mem.u32, slots.places, head + SLOTS, mem.u32[at]), 0, `${where}[${k}]`);
  }
  slots?.end();
}
