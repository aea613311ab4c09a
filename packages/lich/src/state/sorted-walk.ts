/** Sorted maps as memory: what their stores share, release, decode, check. */
import type { AnyKind, SortedShape } from '@lich/schema';
import { refWords } from './ref-words.ts';
import type { CheckContext } from './check.ts';
import { chunkParts } from './chunks.ts';
import type { Decode, DecodeOptions } from './decode.ts';
import { isView } from './door.ts';
import { StateError } from './errors.ts';
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
import { keyOrder, type KeyOrder, type Probe } from './sorted-keys.ts';
import {
  COUNT,
  HEIGHT,
  HEIGHT_MAX,
  innerKey,
  NODE_BODY,
  NODE_CAPACITY,
  RESERVED,
  ROOT,
  SLOTS,
  SortedTree,
  treeShape,
  type TreeShape,
} from './sorted-tree.ts';

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

  constructor(context: StoreContext, kind: SortedShape, releaserOf: ReleaserOf) {
    const refs = {
      words: (ref: AnyKind & { tag: 'ref' }, key: unknown) => refWords(context, ref, key),
      resolve: (pool: string, slot: number, generation: number) => context.resolve(pool, slot, generation),
    };
    this.order = keyOrder(context.mem, kind.key, context.heap.base, refs);
    this.tree = new SortedTree(context.mem, context.log, context.heap, this.order, shapeOf(kind, this.order.words));
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

export function releaseSorted(context: StoreContext, kind: SortedShape, releaserOf: ReleaserOf): Release {
  const { mem, heap } = context;
  const parts = new SortedParts(context, kind, releaserOf);
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
  decode: Decode,
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
  const place = (key: number) => `${where}[${String(context.decode(mem, kind.key, key, 0, { heapWord: heap.base }))}]`;
  const sound = checkTree(context, shapeOf(kind, order.words), order, head, where, (key, value) => {
    // Text keys are looked at before they are compared.
    context.value(context, kind.key, key, 0, `${where} key`);
    if (!inSlots(kind.value)) context.value(context, kind.value, value, 0, place(key));
    else if (slots?.take(mem.u32[value]) === true)
      context.value(context, kind.value, slotWord(mem.u32, slots.places, head + SLOTS, mem.u32[value]), 0, place(key));
  });
  if (sound) slots?.end();
}

/** What walks over a tree that may be damaged, or that somebody else owns, need. */
interface TreeWalk {
  readonly mem: Arrays;
  readonly heapWord: number;
  readonly shape: TreeShape;
  /** Called before words of the heap are read. */
  need?(word: number, count: number): void;
}

/** Visit the entries of a tree in ascending order, bounded by what its head says.
 * @throws StateError `STATE_CORRUPT` for a tree that cannot be */
function walkTree(
  { mem, heapWord, shape, need }: TreeWalk,
  head: number,
  visit: (key: number, value: number) => void,
): void {
  const u32 = mem.u32;
  let left = u32[head + COUNT];
  const go = (link: number, level: number): void => {
    const node = heapWord + link;
    need?.(node, NODE_BODY);
    const count = u32[node];
    const capacity = u32[node + NODE_CAPACITY];
    const most = level > 0 ? shape.innerCapacity : shape.leafCapacity;
    if (count < 1 || count > capacity || capacity > most) {
      throw new StateError(
        'STATE_CORRUPT',
        `a node of a sorted map has ${count} of ${capacity} entries, ${most} at most`,
      );
    }
    if (level > 0) {
      need?.(node, NODE_BODY + count);
      for (let k = 0; k < count && left > 0; k++) go(u32[node + NODE_BODY + k], level - 1);
      return;
    }
    need?.(node, NODE_BODY + capacity * (shape.keyWords + shape.valueWords));
    const values = node + NODE_BODY + capacity * shape.keyWords;
    for (let k = 0; k < count && left > 0; k++, left--)
      visit(node + NODE_BODY + k * shape.keyWords, values + k * shape.valueWords);
  };
  const height = u32[head + HEIGHT];
  if (u32[head + ROOT] !== 0 && height <= HEIGHT_MAX) go(u32[head + ROOT], height);
}

/** Walk a tree and its keys; what a leaf's keys and values are is looked at by `each`.
 * @param each called for each entry, in ascending order, before its key is compared with others
 * @returns whether all of it could be read */
function checkTree(
  { mem, heap, out }: CheckContext,
  shape: TreeShape,
  order: KeyOrder,
  head: number,
  where: string,
  each: (key: number, value: number) => void,
): boolean {
  const u32 = mem.u32;
  const { keyWords: kw, valueWords: vw } = shape;
  const bad = (what: string): false => {
    out.push({ where, what });
    return false;
  };
  let last: Probe | undefined;
  let sound = true;
  /** @returns entries below, and the first key */
  const go = (link: number, level: number): { count: number; first: Probe } | undefined => {
    if (!heap.reach(link, NODE_BODY, `${where} node`)) return undefined;
    const node = heap.base + link;
    const count = u32[node];
    const capacity = u32[node + NODE_CAPACITY];
    const most = level > 0 ? shape.innerCapacity : shape.leafCapacity;
    const small = level === 0 && u32[head + HEIGHT] === 0;
    if (count < 1 || count > capacity || capacity > most || (capacity < most && !small)) {
      bad(`a node of level ${level} has ${count} of ${capacity} entries, ${most} at most`);
      return undefined;
    }
    if (level === 0) {
      const values = node + NODE_BODY + capacity * kw;
      for (let k = 0; k < count; k++) {
        const key = node + NODE_BODY + k * kw;
        each(key, values + k * vw);
        const probe = order.stored(key);
        if (last !== undefined && !(last < probe)) bad(`key ${String(probe)} comes after ${String(last)}`);
        last = probe;
      }
      return { count, first: order.stored(node + NODE_BODY) };
    }
    let sum = 0;
    let first: Probe | undefined;
    for (let k = 0; k < count; k++) {
      const below = go(u32[node + NODE_BODY + k], level - 1);
      if (below === undefined) {
        sound = false;
        continue;
      }
      const says = u32[node + NODE_BODY + capacity + k];
      if (says !== below.count)
        bad(`a node of level ${level} says ${says} entries are below child ${k}, not ${below.count}`);
      if (k > 0 && !order.equals(innerKey(node, capacity, kw, k), below.first))
        bad(`a node of level ${level} has another first key for child ${k} than ${String(below.first)}`);
      sum += below.count;
      if (k === 0) first = below.first;
    }
    return first === undefined ? undefined : { count: sum, first };
  };
  const height = u32[head + HEIGHT];
  const root = u32[head + ROOT];
  if (u32[head + RESERVED] !== 0) bad(`its reserved word is ${u32[head + RESERVED]}`);
  if (root === 0) return (height === 0 && u32[head + COUNT] === 0) || bad(`it has no root, height ${height}`);
  if (height > HEIGHT_MAX) return bad(`height is ${height}`);
  const all = go(root, height);
  if (all !== undefined && sound && all.count !== u32[head + COUNT])
    bad(`${all.count} entries in the tree, count says ${u32[head + COUNT]}`);
  return all !== undefined && sound;
}
