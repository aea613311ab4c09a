// HOT: measured by benchmarks/containers
/** queue(kind): first in, first out. All of it is under the undo log.
 *
 * With a capacity, a ring in the record (offsets from queueLayout()):
 *
 *   WORD  FIELD       MEANING
 *      0  first       slot of the oldest element; any when count = 0
 *      1  count       elements, in the slots first, first + 1 … modulo capacity
 *      2  slots       capacity times one element
 *
 * Growing, linked blocks in the heap, which are given back as they are read out:
 *
 *   head    WORD   FIELD       MEANING
 *              0   stamp       lo, hi
 *              2   count       elements
 *              3   first       link of the block of the oldest element; 0 = no block
 *              4   last        link of the block of the newest one
 *              5   from        index of the oldest element in its block
 *              6   to          index behind the newest one in its block
 *              7   taken       elements that were taken away ever, modulo 2^32: walks count from it
 *
 *   block      0   next        link of the block behind it; 0 = the last
 *              1   capacity    elements: 4 in the first block, twice as many in each next one, up to 1 KiB
 *              2   elements
 *
 *   first ─► [· · c d] ─► [e f g h i j k l] ─► [m n · · …] ◄─ last         from = 2, to = 2, count = 12
 *
 * Invariants: elements in the blocks = count; an empty queue has no block, or one of at most 16 elements. Elements never
 * move, so that views of them keep their place. */
import { type AnyKind, type Queue, queueLayout, type QueueShape } from '@lich/schema';
import { ContainerView } from './container.ts';
import { decode } from './decode.ts';
import type { Door } from './door.ts';
import { decodeOptions, type ElementSpec, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import {
  blockMost,
  CAPACITY,
  CAPACITY_FIRST,
  CAPACITY_KEPT,
  COUNT,
  ELEMENTS,
  FIRST,
  freeBlocks,
  FROM,
  HEAD_WORDS,
  LAST,
  NEXT,
  RING_COUNT,
  RING_FIRST,
  RING_SLOTS,
  TAKEN,
  TO,
  walkBlocks,
} from './queue-walk.ts';
import { slotStride } from './slots.ts';

/** What both forms share: elements at words that do not change. */
abstract class QueueBase extends ContainerView implements Queue<any, any, any> {
  protected readonly spec: ElementSpec;
  protected readonly element: AnyKind;

  constructor(spec: ElementSpec, kind: QueueShape, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.spec = spec;
    this.element = kind.element;
  }

  abstract readonly length: number;
  abstract readonly capacity: number;
  /** Word of element `index`, 0..length-1. */
  protected abstract wordAt(index: number): number;
  /** The name of the element at a word among the views. */
  protected abstract slotOf(word: number): number;
  /** Make a place at the end. @returns its word */
  protected abstract extend(): number;
  /** Take the first place away. */
  protected abstract drop(): void;
  abstract clear(): void;

  push(value: unknown): any {
    mustFit(this.element, value, this.spec.what);
    const word = this.extend();
    const { cell, door, prepare } = this.spec;
    prepare?.(word);
    if (cell !== undefined) {
      const unit = cell.unit(word, 0);
      cell.write(unit, value);
      return cell.read(unit);
    }
    const slot = this.slotOf(word);
    this.come(slot);
    const view = this.viewAt(slot, word);
    door!.fill(view, value);
    return this.shown(view);
  }

  shift(): any {
    if (this.length === 0) return undefined;
    const { cell, release, context } = this.spec;
    const word = this.wordAt(0);
    this.$touch();
    const value =
      cell !== undefined && this.element.tag !== 'ref' && this.element.tag !== 'optional'
        ? cell.read(cell.unit(word, 0))
        : decode(context.mem, this.element, word, 0, decodeOptions(context));
    this.gone(this.slotOf(word));
    release?.(word);
    this.drop();
    return value;
  }

  get first(): any {
    return this.length === 0 ? undefined : this.read(this.wordAt(0));
  }

  get last(): any {
    const { length } = this;
    return length === 0 ? undefined : this.read(this.wordAt(length - 1));
  }

  at(index: number): any {
    const { length } = this;
    const k = Math.trunc(index) || 0;
    const from = k < 0 ? k + length : k;
    return from >= 0 && from < length ? this.read(this.wordAt(from)) : undefined;
  }

  forEach(fn: (value: any, index: number) => void): void {
    let index = 0;
    for (const value of this) fn(value, index++);
  }

  abstract [Symbol.iterator](): Generator<any, undefined>;

  /** @internal Overwrite all; the values were checked. */
  $assign(values: Iterable<unknown>): void {
    const all = values instanceof QueueBase ? values.toArray() : [...values];
    const { context, door } = this.spec;
    // What are views of ours is read before they go.
    const given =
      door === undefined
        ? all
        : all.map(value => {
            const word = typeof value === 'object' && value !== null ? door.wordOf(value) : 0;
            return word === 0 ? value : decode(context.mem, this.element, word, 0, decodeOptions(context));
          });
    this.clear();
    for (const value of given) this.push(value);
  }

  protected read(word: number): unknown {
    const { cell } = this.spec;
    if (cell !== undefined) return cell.read(cell.unit(word, 0));
    return this.shown(this.viewAt(this.slotOf(word), word));
  }
}

/** queue(kind, n). */
export class RingView extends QueueBase {
  readonly #kind: QueueShape;
  readonly #stride: number;
  readonly #u32: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  /** Elements taken since this view was made: a walk that stands still knows how far it fell behind. */
  #taken = 0;

  constructor(spec: ElementSpec, kind: QueueShape, word: number, stamp: Stamp) {
    super(spec, kind, word, stamp);
    this.#kind = kind;
    this.#stride = queueLayout(kind).stride / 4;
    this.#u32 = spec.context.mem.u32;
    this.#write = spec.context.log.write;
  }

  get length(): number {
    return this.#u32[this.home() + RING_COUNT];
  }

  get capacity(): number {
    return this.#kind.capacity;
  }

  clear(): void {
    const home = this.home();
    const count = this.#u32[home + RING_COUNT];
    if (count === 0) return;
    this.$touch();
    this.allGone();
    const { release } = this.spec;
    if (release !== undefined) for (let k = 0; k < count; k++) release(this.wordAt(k));
    this.#taken += count;
    this.#write(home + RING_COUNT, 0);
  }

  /** Elements pushed during the walk are visited; those that are shifted before their turn are not. */
  *[Symbol.iterator](): Generator<any, undefined> {
    const U = this.#u32;
    const { capacity } = this.#kind;
    let at = 0;
    let taken = this.#taken;
    let undone = this.$undone;
    let slot = -1;
    while (this.$word !== 0) {
      const home = this.home();
      if (this.$undone !== undone) {
        // The count went back too, who knows how far; but the slot that was visited last is where it was.
        const before = (slot - U[home + RING_FIRST] + capacity) % capacity;
        at = slot >= 0 && before < U[home + RING_COUNT] ? before + 1 : 0;
        undone = this.$undone;
      } else at = Math.max(0, at - (this.#taken - taken));
      taken = this.#taken;
      if (at >= U[home + RING_COUNT]) return undefined;
      slot = (U[home + RING_FIRST] + at++) % capacity;
      yield this.read(home + RING_SLOTS + slot * this.#stride);
    }
    return undefined;
  }

  protected wordAt(index: number): number {
    const home = this.home();
    const slot = (this.#u32[home + RING_FIRST] + index) % this.#kind.capacity;
    return home + RING_SLOTS + slot * this.#stride;
  }

  protected slotOf(word: number): number {
    return (word - this.home() - RING_SLOTS) / this.#stride;
  }

  protected extend(): number {
    const home = this.home();
    const count = this.#u32[home + RING_COUNT];
    if (count === this.#kind.capacity)
      throw new StateError(
        'STATE_QUEUE_FULL',
        `${this.spec.what} is full: ${count} elements, raise its capacity, or leave it out and the queue grows`,
      );
    this.$touch();
    this.#write(home + RING_COUNT, count + 1);
    return this.wordAt(count);
  }

  protected drop(): void {
    const home = this.home();
    const first = this.#u32[home + RING_FIRST] + 1;
    this.#write(home + RING_FIRST, first === this.#kind.capacity ? 0 : first);
    this.#write(home + RING_COUNT, this.#u32[home + RING_COUNT] - 1);
    this.#taken++;
  }
}
containerFace(RingView.prototype);

/** queue(kind). */
export class QueueView extends QueueBase {
  readonly #stride: number;
  readonly #most: number;
  readonly #u32: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #base: number;
  /** By word: blocks come and go, there are no small numbers for their elements. */
  readonly #byWord = new Map<number, object>();

  constructor(spec: ElementSpec, kind: QueueShape, word: number, stamp: Stamp) {
    super(spec, kind, word, stamp);
    this.#stride = slotStride(kind.element.bytes, kind.element.align);
    this.#most = blockMost(this.#stride);
    this.#u32 = spec.context.mem.u32;
    this.#write = spec.context.log.write;
    this.#base = spec.context.heap.base;
  }

  get length(): number {
    const head = this.head();
    return head === 0 ? 0 : this.#u32[head + COUNT];
  }

  get capacity(): number {
    return Infinity;
  }

  clear(): void {
    const head = this.head();
    if (head === 0) return;
    const U = this.#u32;
    const count = U[head + COUNT];
    if (count > 0) {
      this.$touch();
      this.#write(head + TAKEN, (U[head + TAKEN] + count) | 0);
    }
    this.#allGone();
    const { release, context } = this.spec;
    if (release !== undefined) walkBlocks(U, this.#base, head, this.#stride, release);
    freeBlocks(context, head);
    for (let k = COUNT; k <= TO; k++) if (U[head + k] !== 0) this.#write(head + k, 0);
  }

  /** Elements pushed during the walk are visited; those that are shifted before their turn are not. */
  *[Symbol.iterator](): Generator<any, undefined> {
    const U = this.#u32;
    const start = this.head();
    // How many elements were ever before the next one.
    let next = start === 0 ? 0 : U[start + TAKEN];
    let taken = next;
    let undone = this.$undone;
    let block = 0;
    let index = 0;
    while (this.$word !== 0) {
      const head = this.head();
      if (head === 0) return undefined;
      if (U[head + TAKEN] !== taken || this.$undone !== undone) {
        taken = U[head + TAKEN];
        undone = this.$undone;
        if (((next - taken) | 0) < 0) next = taken;
        block = 0;
      }
      const at = (next - taken) | 0;
      if (at >= U[head + COUNT]) return undefined;
      if (block === 0) {
        block = U[head + FIRST];
        index = U[head + FROM] + at;
      }
      while (index >= U[this.#base + block + CAPACITY]) {
        index -= U[this.#base + block + CAPACITY];
        block = U[this.#base + block + NEXT];
      }
      next = (next + 1) >>> 0;
      yield this.read(this.#base + block + ELEMENTS + index++ * this.#stride);
    }
    return undefined;
  }

  override get last(): any {
    const head = this.head();
    if (head === 0 || this.#u32[head + COUNT] === 0) return undefined;
    return this.read(this.#base + this.#u32[head + LAST] + ELEMENTS + (this.#u32[head + TO] - 1) * this.#stride);
  }

  protected wordAt(index: number): number {
    const U = this.#u32;
    const head = this.head();
    let block = this.#base + U[head + FIRST];
    let at = U[head + FROM] + index;
    while (at >= U[block + CAPACITY]) {
      at -= U[block + CAPACITY];
      block = this.#base + U[block + NEXT];
    }
    return block + ELEMENTS + at * this.#stride;
  }

  protected slotOf(word: number): number {
    return word;
  }

  protected extend(): number {
    const U = this.#u32;
    const write = this.#write;
    const head = this.openHead(HEAD_WORDS);
    this.$touch();
    const last = U[head + LAST];
    const to = U[head + TO];
    const count = U[head + COUNT];
    if (last !== 0 && to < U[this.#base + last + CAPACITY]) {
      write(head + TO, to + 1);
      write(head + COUNT, count + 1);
      return this.#base + last + ELEMENTS + to * this.#stride;
    }
    const capacity = last === 0 ? CAPACITY_FIRST : Math.min(this.#most, U[this.#base + last + CAPACITY] * 2);
    const link = this.spec.context.heap.alloc(ELEMENTS + capacity * this.#stride);
    const block = this.#base + link;
    write(block + NEXT, 0);
    write(block + CAPACITY, capacity);
    if (last === 0) {
      write(head + FIRST, link);
      write(head + FROM, 0);
    } else write(this.#base + last + NEXT, link);
    write(head + LAST, link);
    write(head + TO, 1);
    write(head + COUNT, count + 1);
    return block + ELEMENTS;
  }

  protected drop(): void {
    const U = this.#u32;
    const write = this.#write;
    const head = this.head();
    const first = U[head + FIRST];
    const from = U[head + FROM] + 1;
    const count = U[head + COUNT] - 1;
    write(head + TAKEN, (U[head + TAKEN] + 1) | 0);
    write(head + COUNT, count);
    if (count === 0) {
      // The last block is the first one.
      if (U[this.#base + first + CAPACITY] <= CAPACITY_KEPT) {
        write(head + FROM, 0);
        write(head + TO, 0);
        return;
      }
      this.spec.context.heap.free(first);
      for (let k = FIRST; k <= TO; k++) write(head + k, 0);
      return;
    }
    if (from < U[this.#base + first + CAPACITY]) {
      write(head + FROM, from);
      return;
    }
    write(head + FIRST, U[this.#base + first + NEXT]);
    write(head + FROM, 0);
    this.spec.context.heap.free(first);
  }

  protected override viewAt(slot: number, word: number): object {
    let view = this.#byWord.get(slot);
    if (view === undefined) this.#byWord.set(slot, (view = this.#door.make(word, this)));
    return view;
  }

  protected override come(slot: number): void {
    const { context } = this.spec;
    context.journal.add(this, slot, undefined, context.position());
  }

  protected override gone(slot: number): void {
    const view = this.#byWord.get(slot);
    if (view === undefined) return;
    const { context } = this.spec;
    this.#byWord.delete(slot);
    this.#door.free(view);
    context.journal.add(this, slot, view, (context.position() + 2) | 0);
  }

  #allGone(): void {
    for (const slot of this.#byWord.keys()) this.gone(slot);
  }

  override undoAdd(slot: number): void {
    const view = this.#byWord.get(slot);
    if (view === undefined) return;
    this.#byWord.delete(slot);
    this.#door.free(view);
  }

  override undoRemove(slot: number, view: object): void {
    this.#byWord.set(slot, view);
    this.#door.revive(view);
  }

  override $free(): void {
    super.$free();
    for (const view of this.#byWord.values()) this.#door.free(view);
  }

  override $revive(): void {
    super.$revive();
    for (const view of this.#byWord.values()) this.#door.revive(view);
  }

  get #door(): Door {
    return this.spec.door!;
  }
}
containerFace(QueueView.prototype);
