// HOT: measured by benchmarks/containers
/** The tree of a sorted map: a B+ tree with the number of entries below each node, in blocks of the heap. All of it is
 * under the undo log.
 *
 *   head    WORD   FIELD       MEANING
 *              0   stamp       lo, hi
 *              2   root        link of the topmost node, 0 = empty
 *              3   height      levels of inner nodes: 0 = the root is a leaf
 *              4   count       entries
 *              5   reserved    zero
 *              6   slots       high, free, directory: see slots.ts     only when values are views
 *
 *   leaf       0   count       entries, 1 at least
 *              1   capacity    a root leaf begins with 4 and doubles; all others have the most
 *              2   keys        capacity × words of a key, ascending
 *              …   values      capacity × words of a value, or the slot number of a view
 *
 *   inner      0   count       children, 1 at least
 *              1   capacity
 *              2   links       of the children
 *              …   entries     below each child
 *              …   keys        the first key below each child; that of child 0 means nothing
 *
 * Words of a node beyond its count mean nothing. Invariants: keys ascend over all leaves; key k of an inner node equals the
 * first key below child k, for k > 0; entries k is their number; head count = number of all.
 *
 *   insert   from the root down, full nodes are split before they are entered, so a parent has room for the second half:
 *            [a b c d] full, insert e behind d   →   [a b c] [d e]     at an end: ascending keys fill nodes
 *            [a b d e] full, insert c            →   [a b c] [d e]     elsewhere: in the middle
 *   delete   a node that is at most half full takes in a neighbour, when both fill 3/4 of a node at most
 *
 * A text() key lies once in the heap, owned by its leaf; keys of inner nodes lead to the same block. That is why they are
 * kept exact, and not only between their neighbours. */
import type { Arrays } from './memory.ts';
import type { KeyOrder, Probe } from './sorted-keys.ts';
import type { LogCore } from './undo-log.ts';

export const ROOT = 2;
export const HEIGHT = 3;
export const COUNT = 4;
export const RESERVED = 5;
export const SLOTS = 6;
/** Of a node. */
export const NODE_COUNT = 0;
export const NODE_CAPACITY = 1;
export const NODE_BODY = 2;

/** Words of a leaf and of an inner node that are aimed at; measured: see docs/benchmarks.md, containers. */
const LEAF_WORDS = 128;
const INNER_WORDS = 128;
const CAPACITY_MIN = 8;
const CAPACITY_MAX = 64;
/** Of the first leaf of a map. */
const LEAF_FIRST = 4;
/** More levels than 2^32 entries can have. */
export const HEIGHT_MAX = 16;

/** Sizes of a tree's nodes: a function of its kinds alone. */
export interface TreeShape {
  readonly keyWords: number;
  readonly valueWords: number;
  readonly leafCapacity: number;
  readonly innerCapacity: number;
}

export function treeShape(keyWords: number, valueWords: number): TreeShape {
  const capacity = (words: number, each: number) =>
    Math.max(CAPACITY_MIN, Math.min(CAPACITY_MAX, Math.floor((words - NODE_BODY) / each))) & -2;
  return {
    keyWords,
    valueWords,
    leafCapacity: capacity(LEAF_WORDS, keyWords + valueWords),
    innerCapacity: capacity(INNER_WORDS, keyWords + 2),
  };
}

/** Word of key k of an inner node. */
export function innerKey(node: number, capacity: number, keyWords: number, k: number): number {
  return node + NODE_BODY + 2 * capacity + k * keyWords;
}

/** What the tree needs of the heap. */
export interface Blocks {
  readonly base: number;
  alloc(words: number): number;
  free(link: number): void;
}

/** Finds and changes entries of all maps of one kind. `head` is the word of a map's head block. What was found last is in
 * `leaf` and `index`, good until the next call. */
export class SortedTree {
  readonly #I: Int32Array;
  readonly #log: LogCore;
  readonly #heap: Blocks;
  readonly #order: KeyOrder;
  readonly #kw: number;
  readonly #vw: number;
  readonly #leafCapacity: number;
  readonly #innerCapacity: number;
  readonly #base: number;
  /** Word of the inner node at a level, and the child that was taken. */
  readonly #nodes = new Int32Array(HEIGHT_MAX + 1);
  readonly #at = new Int32Array(HEIGHT_MAX + 1);
  /** Word of the leaf, 0 when the map is empty; index in it. */
  leaf = 0;
  index = 0;

  constructor(mem: Arrays, log: LogCore, heap: Blocks, order: KeyOrder, shape: TreeShape) {
    this.#I = mem.i32;
    this.#log = log;
    this.#heap = heap;
    this.#order = order;
    this.#kw = shape.keyWords;
    this.#vw = shape.valueWords;
    this.#leafCapacity = shape.leafCapacity;
    this.#innerCapacity = shape.innerCapacity;
    this.#base = heap.base;
  }

  /** Is there this key? Sets where it is, or where it would be in the leaf. */
  find(head: number, probe: Probe): boolean {
    const I = this.#I;
    const order = this.#order;
    const kw = this.#kw;
    const base = this.#base;
    const keys = NODE_BODY + 2 * this.#innerCapacity + kw;
    let link = I[head + ROOT];
    if (link === 0) {
      this.leaf = 0;
      return false;
    }
    for (let level = I[head + HEIGHT]; level > 0; level--) {
      const node = base + link;
      const k = order.upper(node + keys, I[node] - 1, probe);
      this.#nodes[level] = node;
      this.#at[level] = k;
      link = I[node + NODE_BODY + k];
    }
    const leaf = base + link;
    const count = I[leaf];
    const index = order.lower(leaf + NODE_BODY, count, probe);
    this.leaf = leaf;
    this.index = index;
    return index < count && order.equals(leaf + NODE_BODY + index * kw, probe);
  }

  /** Go to an entry by its rank, 0..count-1. */
  locate(head: number, rank: number): void {
    const I = this.#I;
    const base = this.#base;
    const counts = NODE_BODY + this.#innerCapacity;
    let link = I[head + ROOT];
    let rest = rank;
    for (let level = I[head + HEIGHT]; level > 0; level--) {
      const node = base + link;
      let k = 0;
      while (rest >= I[node + counts + k]) rest -= I[node + counts + k++];
      link = I[node + NODE_BODY + k];
    }
    this.leaf = base + link;
    this.index = rest;
  }

  /** Number of keys below the probe, or not above it. */
  rank(head: number, probe: Probe, orEqual: boolean): number {
    const I = this.#I;
    const order = this.#order;
    const kw = this.#kw;
    const base = this.#base;
    const counts = NODE_BODY + this.#innerCapacity;
    let link = I[head + ROOT];
    if (link === 0) return 0;
    let rank = 0;
    for (let level = I[head + HEIGHT]; level > 0; level--) {
      const node = base + link;
      const k = order.upper(node + counts + this.#innerCapacity + kw, I[node] - 1, probe);
      for (let n = 0; n < k; n++) rank += I[node + counts + n];
      link = I[node + NODE_BODY + k];
    }
    const leaf = base + link;
    const count = I[leaf];
    return rank + (orEqual ? order.upper(leaf + NODE_BODY, count, probe) : order.lower(leaf + NODE_BODY, count, probe));
  }

  /** Word of the key, and of the value, that was found. */
  get keyWord(): number {
    return this.leaf + NODE_BODY + this.index * this.#kw;
  }

  get valueWord(): number {
    const leaf = this.leaf;
    return leaf + NODE_BODY + this.#I[leaf + NODE_CAPACITY] * this.#kw + this.index * this.#vw;
  }

  /** Add a key that is not there. Its value is zero bytes.
   * @param text link of the units of a text() key */
  insert(head: number, probe: Probe, text: number): void {
    const I = this.#I;
    const log = this.#log;
    const order = this.#order;
    const kw = this.#kw;
    const vw = this.#vw;
    const base = this.#base;
    const ic = this.#innerCapacity;
    let level = I[head + HEIGHT];
    let node: number;
    if (I[head + ROOT] === 0) {
      const link = this.#node(this.#leafWords(LEAF_FIRST), LEAF_FIRST);
      log.write(head + ROOT, link);
      node = base + link;
    } else {
      node = base + I[head + ROOT];
      if (I[node] === I[node + NODE_CAPACITY]) {
        if (level === 0 && I[node + NODE_CAPACITY] < this.#leafCapacity) node = this.#widen(head, node);
        else {
          const link = this.#node(this.#innerWords(), ic);
          const top = base + link;
          log.write(top, 1);
          log.write(top + NODE_BODY, node - base);
          log.write(top + NODE_BODY + ic, I[head + COUNT]);
          log.write(head + ROOT, link);
          log.write(head + HEIGHT, ++level);
          this.#split(top, 0, level - 1, probe);
          node = top;
        }
      }
    }
    for (; level > 0; level--) {
      const keys = node + NODE_BODY + 2 * ic;
      let k = order.upper(keys + kw, I[node] - 1, probe);
      let child = base + I[node + NODE_BODY + k];
      if (I[child] === I[child + NODE_CAPACITY]) {
        this.#split(node, k, level - 1, probe);
        if (order.upper(keys + (k + 1) * kw, 1, probe) === 1) child = base + I[node + NODE_BODY + ++k];
      }
      this.#nodes[level] = node;
      this.#at[level] = k;
      node = child;
    }
    const count = I[node];
    const index = order.lower(node + NODE_BODY, count, probe);
    const key = node + NODE_BODY + index * kw;
    this.leaf = node;
    this.index = index;
    this.#open(key, (count - index) * kw, kw);
    order.store(key, probe, text);
    const value = this.valueWord;
    this.#open(value, (count - index) * vw, vw);
    for (let k = 0; k < vw; k++) I[value + k] = 0;
    log.write(node, count + 1);
    const counts = NODE_BODY + ic;
    for (let n = I[head + HEIGHT]; n > 0; n--) {
      const at = this.#nodes[n] + counts + this.#at[n];
      log.write(at, I[at] + 1);
    }
    log.write(head + COUNT, I[head + COUNT] + 1);
  }

  /** Take out the entry that `find` has found; what its key and value own is the caller's. */
  remove(head: number): void {
    const I = this.#I;
    const log = this.#log;
    const kw = this.#kw;
    const height = I[head + HEIGHT];
    const counts = NODE_BODY + this.#innerCapacity;
    const leaf = this.leaf;
    const index = this.index;
    const count = I[leaf];
    log.write(head + COUNT, I[head + COUNT] - 1);
    for (let level = height; level > 0; level--) {
      const at = this.#nodes[level] + counts + this.#at[level];
      log.write(at, I[at] - 1);
    }
    if (count > 1) {
      if (index === 0) this.#first(1, height, leaf + NODE_BODY + kw);
      const value = this.valueWord;
      this.#close(leaf + NODE_BODY + index * kw, (count - index - 1) * kw, kw);
      this.#close(value, (count - index - 1) * this.#vw, this.#vw);
      log.write(leaf, count - 1);
      this.#merge(head, 0, height);
      return;
    }
    // An empty leaf goes, and with it each parent that has no other child.
    this.#heap.free(leaf - this.#base);
    let level = 1;
    for (; level <= height && I[this.#nodes[level]] === 1; level++) this.#heap.free(this.#nodes[level] - this.#base);
    if (level > height) {
      log.write(head + ROOT, 0);
      if (height > 0) log.write(head + HEIGHT, 0);
      return;
    }
    const node = this.#nodes[level];
    const k = this.#at[level];
    if (k === 0) this.#first(level + 1, height, innerKey(node, this.#innerCapacity, kw, 1));
    this.#drop(node, k);
    this.#merge(head, level, height);
  }

  /** Give back all nodes. @param each called for each entry, with the words of its key and value, before its leaf goes */
  clear(head: number, each: ((key: number, value: number) => void) | undefined): void {
    const I = this.#I;
    const free = (link: number, level: number): void => {
      const node = this.#base + link;
      const count = I[node];
      if (level > 0) for (let k = 0; k < count; k++) free(I[node + NODE_BODY + k], level - 1);
      else if (each !== undefined) {
        const values = node + NODE_BODY + I[node + NODE_CAPACITY] * this.#kw;
        for (let k = 0; k < count; k++) each(node + NODE_BODY + k * this.#kw, values + k * this.#vw);
      }
      this.#heap.free(link);
    };
    if (I[head + ROOT] === 0) return;
    free(I[head + ROOT], I[head + HEIGHT]);
    for (let k = ROOT; k <= COUNT; k++) if (I[head + k] !== 0) this.#log.write(head + k, 0);
  }

  #leafWords(capacity: number): number {
    return NODE_BODY + capacity * (this.#kw + this.#vw);
  }

  #innerWords(): number {
    return NODE_BODY + this.#innerCapacity * (2 + this.#kw);
  }

  /** A node without entries. @returns its link */
  #node(words: number, capacity: number): number {
    const link = this.#heap.alloc(words);
    this.#log.write(this.#base + link, 0);
    this.#log.write(this.#base + link + NODE_CAPACITY, capacity);
    return link;
  }

  /** The root leaf with twice the capacity. @returns its word */
  #widen(head: number, leaf: number): number {
    const I = this.#I;
    const was = I[leaf + NODE_CAPACITY];
    const capacity = Math.min(was * 2, this.#leafCapacity);
    const link = this.#node(this.#leafWords(capacity), capacity);
    const wide = this.#base + link;
    const count = I[leaf];
    this.#copy(leaf + NODE_BODY, wide + NODE_BODY, count * this.#kw);
    this.#copy(leaf + NODE_BODY + was * this.#kw, wide + NODE_BODY + capacity * this.#kw, count * this.#vw);
    this.#log.write(wide, count);
    this.#log.write(head + ROOT, link);
    this.#heap.free(leaf - this.#base);
    return wide;
  }

  /** Move the upper part of a full child into a new one behind it.
   * @param level of the child */
  #split(parent: number, k: number, level: number, probe: Probe): void {
    const I = this.#I;
    const log = this.#log;
    const kw = this.#kw;
    const ic = this.#innerCapacity;
    const child = this.#base + I[parent + NODE_BODY + k];
    const count = I[child];
    let moved: number;
    let keep = count >>> 1;
    let right: number;
    let link: number;
    if (level === 0) {
      const capacity = this.#leafCapacity;
      const place = this.#order.lower(child + NODE_BODY, count, probe);
      if (place === count) keep = count - 1;
      else if (place === 0) keep = 1;
      moved = count - keep;
      link = this.#node(this.#leafWords(capacity), capacity);
      right = this.#base + link;
      const values = NODE_BODY + capacity * kw;
      this.#copy(child + NODE_BODY + keep * kw, right + NODE_BODY, moved * kw);
      this.#copy(child + values + keep * this.#vw, right + values, moved * this.#vw);
    } else {
      const keys = NODE_BODY + 2 * ic;
      const place = this.#order.upper(child + keys + kw, count - 1, probe);
      if (place === count - 1) keep = count - 1;
      else if (place === 0) keep = 1;
      const size = count - keep;
      link = this.#node(this.#innerWords(), ic);
      right = this.#base + link;
      this.#copy(child + NODE_BODY + keep, right + NODE_BODY, size);
      this.#copy(child + NODE_BODY + ic + keep, right + NODE_BODY + ic, size);
      this.#copy(child + keys + keep * kw, right + keys, size * kw);
      moved = 0;
      for (let n = 0; n < size; n++) moved += I[right + NODE_BODY + ic + n];
    }
    log.write(right, count - keep);
    log.write(child, keep);
    // Behind the child in the parent.
    const siblings = I[parent];
    const after = siblings - k - 1;
    this.#open(parent + NODE_BODY + k + 1, after, 1);
    I[parent + NODE_BODY + k + 1] = link;
    const counts = parent + NODE_BODY + ic;
    this.#open(counts + k + 1, after, 1);
    I[counts + k + 1] = moved;
    log.write(counts + k, I[counts + k] - moved);
    const key = innerKey(parent, ic, kw, k + 1);
    this.#open(key, after * kw, kw);
    const first = level === 0 ? right + NODE_BODY : innerKey(right, ic, kw, 0);
    for (let n = 0; n < kw; n++) I[key + n] = I[first + n];
    log.write(parent, siblings + 1);
  }

  /** From a node that has lost something upwards: take in neighbours, then take away roots with one child. */
  #merge(head: number, from: number, height: number): void {
    const I = this.#I;
    const base = this.#base;
    for (let level = from; level < height; level++) {
      const node = level === 0 ? this.leaf : this.#nodes[level];
      const capacity = level === 0 ? this.#leafCapacity : this.#innerCapacity;
      const count = I[node];
      if (count > capacity >>> 1) break;
      const most = capacity - (capacity >>> 2);
      const parent = this.#nodes[level + 1];
      const k = this.#at[level + 1];
      if (k + 1 < I[parent] && I[base + I[parent + NODE_BODY + k + 1]] + count <= most) this.#take(parent, k, level);
      else if (k > 0 && I[base + I[parent + NODE_BODY + k - 1]] + count <= most) this.#take(parent, k - 1, level);
      else break;
    }
    let root = I[head + ROOT];
    let levels = height;
    for (; levels > 0 && I[base + root] === 1; levels--) {
      const child = I[base + root + NODE_BODY];
      this.#heap.free(root);
      root = child;
    }
    if (levels === height) return;
    this.#log.write(head + ROOT, root);
    this.#log.write(head + HEIGHT, levels);
  }

  /** Append child k + 1 to child k. */
  #take(parent: number, k: number, level: number): void {
    const I = this.#I;
    const log = this.#log;
    const kw = this.#kw;
    const ic = this.#innerCapacity;
    const left = this.#base + I[parent + NODE_BODY + k];
    const link = I[parent + NODE_BODY + k + 1];
    const right = this.#base + link;
    const count = I[left];
    const more = I[right];
    if (level === 0) {
      const values = NODE_BODY + this.#leafCapacity * kw;
      this.#copy(right + NODE_BODY, left + NODE_BODY + count * kw, more * kw);
      this.#copy(right + values, left + values + count * this.#vw, more * this.#vw);
    } else {
      const keys = NODE_BODY + 2 * ic;
      this.#copy(right + NODE_BODY, left + NODE_BODY + count, more);
      this.#copy(right + NODE_BODY + ic, left + NODE_BODY + ic + count, more);
      this.#copy(right + keys, left + keys + count * kw, more * kw);
      // Its first key is known to the parent alone.
      const key = innerKey(parent, ic, kw, k + 1);
      for (let n = 0; n < kw; n++) I[left + keys + count * kw + n] = I[key + n];
    }
    log.write(left, count + more);
    const counts = parent + NODE_BODY + ic;
    log.write(counts + k, I[counts + k] + I[counts + k + 1]);
    this.#drop(parent, k + 1);
    this.#heap.free(link);
  }

  /** Take child k out of an inner node. */
  #drop(node: number, k: number): void {
    const ic = this.#innerCapacity;
    const count = this.#I[node];
    const after = count - k - 1;
    this.#close(node + NODE_BODY + k, after, 1);
    this.#close(node + NODE_BODY + ic + k, after, 1);
    this.#close(innerKey(node, ic, this.#kw, k), after * this.#kw, this.#kw);
    this.#log.write(node, count - 1);
  }

  /** The first key below the path at `level` is another now: tell the one ancestor that has it. */
  #first(level: number, height: number, key: number): void {
    for (let n = level; n <= height; n++) {
      if (this.#at[n] === 0) continue;
      this.#copy(key, innerKey(this.#nodes[n], this.#innerCapacity, this.#kw, this.#at[n]), this.#kw);
      return;
    }
  }

  /** Move `count` words up by `by`; the words before them may be stored to. */
  #open(word: number, count: number, by: number): void {
    const I = this.#I;
    this.#log.keep(word, count + by);
    for (let k = word + count - 1; k >= word; k--) I[k + by] = I[k];
  }

  /** Move `count` words down by `by`, to `word`. */
  #close(word: number, count: number, by: number): void {
    if (count > 0) this.#copy(word + by, word, count);
  }

  #copy(from: number, to: number, count: number): void {
    const I = this.#I;
    this.#log.keep(to, count);
    for (let k = 0; k < count; k++) I[to + k] = I[from + k];
  }
}
