/** Sorted maps as memory: what their stores share, release, decode, check. */
import type { AnyKind, SortedShape } from '@lich/schema';
import { refWords } from './cell.ts';
import { type CheckContext, checkValue } from './check.ts';
import { chunkParts } from './chunks.ts';
import { decode, type DecodeOptions } from './decode.ts';
import { isView } from './door.ts';
import type { Arrays, StoreContext } from './memory.ts';
import { type Release, releaserOf } from './release.ts';
import { checkSlots, slotPlaces, Slots, SLOTS_DIRECTORY, SLOTS_WORDS, slotsHigh, slotStride, slotWord } from './slots.ts';
import { keyOrder, type KeyOrder } from './sorted-keys.ts';
import { checkTree, SLOTS, SortedTree, treeShape, type TreeShape, walkTree } from './sorted-tree.ts';

/** Values beyond this are not moved about with the keys. */
const MOVED_BYTES = 32;

function inSlots(value: AnyKind): boolean {
  return isView(value) || value.bytes > MOVED_BYTES;
}

function shapeOf(kind: SortedShape, keyWords: number): TreeShape {
  return treeShape(keyWords, inSlots(kind.value) ? 1 : slotStride(kind.value.bytes, kind.value.align));
}

function headWords(value: AnyKind): number {
  return inSlots(value) ? SLOTS + SLOTS_WORDS : SLOTS;
}

/** What all sorted maps of one kind in a store share. */
export class SortedParts {
  readonly order: KeyOrder;
  readonly tree: SortedTree;
  readonly slots: Slots | undefined;
  readonly words: number;
  /** Gives back the units of a text() key. */
  readonly releaseKey: Release | undefined;

  constructor(context: StoreContext, kind: SortedShape) {
    const refs = {
      words: (ref: AnyKind & { tag: 'ref' }, key: unknown) => refWords(context, ref, key),
      resolve: (pool: string, slot: number, generation: number) => context.resolve(pool, slot, generation),
    };
    this.order = keyOrder(context.mem, kind.key, context.heap.base, refs);
    this.tree = new SortedTree(
      context.mem,
      context.log,
      context.heap,
      this.order,
      shapeOf(kind, this.order.words),
    );
    this.slots = inSlots(kind.value) ? new Slots(context, slotStride(kind.value.bytes, kind.value.align)) : undefined;
    this.words = headWords(kind.value);
    this.releaseKey = releaserOf(kind.key, context);
  }
}

/** Give back all entries. */
export function clearEntries(parts: SortedParts, head: number, u32: Uint32Array, release: Release | undefined): void {
  const { tree, slots, releaseKey } = parts;
  const each =
    release === undefined && releaseKey === undefined
      ? undefined
      : (key: number, value: number) => {
          releaseKey?.(key);
          release?.(slots === undefined ? value : slots.word(head + SLOTS, u32[value]));
        };
  tree.clear(head, each);
  slots?.release(head + SLOTS);
}

export function releaseSorted(context: StoreContext, kind: SortedShape): Release {
  const { mem, heap } = context;
  const parts = new SortedParts(context, kind);
  const release = releaserOf(kind.value, context);
  return word => {
    const link = mem.u32[word];
    if (link === 0) return;
    clearEntries(parts, heap.base + link, mem.u32, release);
    heap.free(link);
  };
}

export function decodeSorted(
  mem: Arrays,
  kind: SortedShape,
  word: number,
  options: DecodeOptions,
): [unknown, unknown][] {
  const { heapWord = 0 } = options;
  const u32 = mem.u32;
  const out: [unknown, unknown][] = [];
  if (u32[word] === 0) return out;
  const head = heapWord + u32[word];
  options.need?.(head, headWords(kind.value));
  const { words } = keyOrder(mem, kind.key, heapWord);
  const shape = shapeOf(kind, words);
  const walk = { mem, heapWord, shape, need: options.need?.bind(options) };
  if (!inSlots(kind.value)) {
    walkTree(walk, head, (key, value) =>
      out.push([decode(mem, kind.key, key, 0, options), decode(mem, kind.value, value, 0, options)]),
    );
    return out;
  }
  const slots = slotPlaces(heapWord, slotStride(kind.value.bytes, kind.value.align));
  const high = slotsHigh(u32, head + SLOTS);
  for (const part of chunkParts(u32, slots, head + SLOTS + SLOTS_DIRECTORY, high))
    options.need?.(heapWord + part.link, part.used);
  walkTree(walk, head, (key, value) => {
    if (u32[value] >= high) return;
    const at = slotWord(u32, slots, head + SLOTS, u32[value]);
    out.push([decode(mem, kind.key, key, 0, options), decode(mem, kind.value, at, 0, options)]);
  });
  return out;
}

export function checkSorted(context: CheckContext, kind: SortedShape, word: number, where: string): void {
  const { mem, heap } = context;
  const link = mem.u32[word];
  if (link === 0 || !heap.reach(link, headWords(kind.value), where)) return;
  const head = heap.base + link;
  const order = keyOrder(mem, kind.key, heap.base);
  const slots = inSlots(kind.value)
    ? checkSlots(context, head + SLOTS, slotStride(kind.value.bytes, kind.value.align), where)
    : undefined;
  const place = (key: number) => `${where}[${String(decode(mem, kind.key, key, 0, { heapWord: heap.base }))}]`;
  const sound = checkTree(context, shapeOf(kind, order.words), order, head, where, (key, value) => {
    // Text keys are looked at before they are compared.
    checkValue(context, kind.key, key, 0, `${where} key`);
    if (!inSlots(kind.value)) checkValue(context, kind.value, value, 0, place(key));
    else if (slots?.take(mem.u32[value]) === true)
      checkValue(context, kind.value, slotWord(mem.u32, slots.places, head + SLOTS, mem.u32[value]), 0, place(key));
  });
  if (sound) slots?.end();
}
