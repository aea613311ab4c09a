// HOT: measured by benchmarks/containers
/** array(kind): elements by index, in the heap. All of it is under the undo log.
 *
 *   head    WORD   FIELD       MEANING
 *              0   stamp       lo, hi
 *              2   length      elements
 *              3   reserved    zero
 *              4   directory   27 links: chunks of the elements, or of the order; see dense.ts
 *             31   slots       high, free, directory: see slots.ts     only when elements are views
 *
 * Elements that are cells lie in the chunks themselves. Structs and containers stand in slots that never move; the chunks
 * then hold the order: slot numbers (u32), which insert, splice, sort and reverse move about.
 *
 *   [a b d e]  insert c at 2   →   order 0 1 4 2 3      slots a b d e c
 *
 * Invariants: chunks reach as far as length, and at most a third and one chunk further; the order names each taken slot
 * once. */
import type { AnyKind, GrowingArray, VectorShape } from '@lich/schema';
import { ContainerView } from './container.ts';
import { decode } from './decode.ts';
import type { Dense } from './dense.ts';
import { decodeOptions, type ElementSpec, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import type { Slots } from './slots.ts';
import { DIRECTORY, LENGTH, LENGTH_MAX, SLOTS, type VectorParts } from './vector-walk.ts';

export class VectorView extends ContainerView implements GrowingArray<any, any, any> {
  readonly #spec: ElementSpec;
  readonly #element: AnyKind;
  readonly #dense: Dense;
  readonly #slots: Slots | undefined;
  readonly #headWords: number;
  readonly #u32: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  /** Changes of the elements, to notice those that a comparator makes. */
  #changes = 0;

  constructor(spec: ElementSpec, parts: VectorParts, kind: VectorShape, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
    this.#element = kind.element;
    this.#dense = parts.dense;
    this.#slots = parts.slots;
    this.#headWords = parts.words;
    this.#u32 = spec.context.mem.u32;
    this.#write = spec.context.log.write;
  }

  get length(): number {
    const head = this.head();
    return head === 0 ? 0 : this.#u32[head + LENGTH];
  }

  get(index: number): any {
    const head = this.head();
    if (head === 0 || index >>> 0 !== index || index >= this.#u32[head + LENGTH]) this.#outside(index, this.length - 1);
    return this.#read(head, index);
  }

  at(index: number): any {
    const head = this.head();
    if (head === 0) return undefined;
    const length = this.#u32[head + LENGTH];
    const k = Math.trunc(index) || 0;
    const from = k < 0 ? k + length : k;
    return from >= 0 && from < length ? this.#read(head, from) : undefined;
  }

  set(index: number, value: unknown): void {
    const head = this.head();
    if (head === 0 || index >>> 0 !== index || index >= this.#u32[head + LENGTH]) this.#outside(index, this.length - 1);
    mustFit(this.#element, value, this.#spec.what);
    this.$touch();
    this.#changes++;
    const { cell, door } = this.#spec;
    if (cell !== undefined)
      cell.write(cell.unit(this.#dense.word(head + DIRECTORY, index), this.#dense.offset(index)), value);
    else door!.assign(this.#raw(head, index), value);
  }

  push(value: unknown): any {
    mustFit(this.#element, value, this.#spec.what);
    const head = this.openHead(this.#headWords);
    this.$touch();
    const length = this.#u32[head + LENGTH];
    this.#dense.ensure(head + DIRECTORY, this.#fits(length + 1));
    this.#write(head + LENGTH, length + 1);
    this.#make(head, length, value);
    return this.#read(head, length);
  }

  pop(): any {
    const head = this.head();
    if (head === 0 || this.#u32[head + LENGTH] === 0) return undefined;
    const index = this.#u32[head + LENGTH] - 1;
    this.$touch();
    const value = this.#plain(head, index);
    this.#end(head, index);
    this.#shrink(head, index, 1);
    return value;
  }

  insert(index: number, value: unknown): any {
    const { length } = this;
    if (index >>> 0 !== index || index > length) this.#outside(index, length);
    mustFit(this.#element, value, this.#spec.what);
    const head = this.openHead(this.#headWords);
    this.$touch();
    this.#dense.ensure(head + DIRECTORY, this.#fits(length + 1));
    this.#write(head + LENGTH, length + 1);
    this.#dense.move(head + DIRECTORY, index, index + 1, length - index);
    this.#make(head, index, value);
    return this.#read(head, index);
  }

  splice(start: number, count?: number, ...values: unknown[]): any[] {
    const { length } = this;
    const from = clamp(start, length);
    const gone = Math.min(length - from, arguments.length < 2 ? length : Math.max(0, Math.trunc(count ?? 0) || 0));
    for (const value of values) mustFit(this.#element, value, this.#spec.what);
    if (gone === 0 && values.length === 0) return [];
    const head = this.openHead(this.#headWords);
    this.$touch();
    const removed: unknown[] = [];
    // Values may be views of ours that are about to go: what they hold is read before.
    const given = this.#spec.cell === undefined ? values.map(value => this.#copied(head, value)) : values;
    for (let k = from; k < from + gone; k++) removed.push(this.#plain(head, k));
    for (let k = from; k < from + gone; k++) this.#end(head, k);
    const dir = head + DIRECTORY;
    const after = length - from - gone;
    const more = values.length - gone;
    if (more > 0) this.#dense.ensureAll(dir, length, this.#fits(length + more));
    this.#dense.move(dir, from + gone, from + values.length, after);
    if (more < 0) this.#shrink(head, length + more, -more);
    else if (more > 0) this.#write(head + LENGTH, length + more);
    // All of them hold something of their own before the first is written: a text that ended must not end again.
    for (let k = 0; k < given.length; k++) this.#prepare(head, from + k);
    for (let k = 0; k < given.length; k++) this.#fill(head, from + k, given[k]);
    return removed;
  }

  sort(compare?: (a: any, b: any) => number): this {
    const head = this.head();
    const length = head === 0 ? 0 : this.#u32[head + LENGTH];
    const by = compare ?? naturalOrder(this.#element, this.#spec.what);
    if (length < 2) return this;
    const values: unknown[] = new Array(length);
    const order: number[] = new Array(length);
    for (let k = 0; k < length; k++) {
      values[k] = this.#read(head, k);
      order[k] = k;
    }
    const before = this.#changes;
    const undone = this.$undone;
    // As in JavaScript: what is undefined comes last, and is not asked about.
    order.sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? 1 : -1;
      return by(x, y);
    });
    if (this.#changes !== before || this.$undone !== undone)
      throw new TypeError(`sort() of ${this.#spec.what}: the function that compares has changed the array`);
    this.$touch();
    this.#dense.reorder(this.head() + DIRECTORY, order);
    this.#changes++;
    return this;
  }

  reverse(): this {
    const { length } = this;
    if (length < 2) return this;
    this.$touch();
    const order: number[] = new Array(length);
    for (let k = 0; k < length; k++) order[k] = length - 1 - k;
    this.#dense.reorder(this.head() + DIRECTORY, order);
    this.#changes++;
    return this;
  }

  indexOf(value: unknown, from = 0): number {
    const head = this.head();
    if (head === 0) return -1;
    const length = this.#u32[head + LENGTH];
    if (this.#slots !== undefined) {
      const slot = this.#slotOf(head, value);
      for (let k = clamp(from, length); slot >= 0 && k < length; k++)
        if (this.#u32[this.#dense.word(head + DIRECTORY, k)] === slot) return k;
      return -1;
    }
    for (let k = clamp(from, length); k < length; k++) if (this.#read(head, k) === value) return k;
    return -1;
  }

  includes(value: unknown): boolean {
    if (value === value) return this.indexOf(value) >= 0;
    const head = this.head();
    for (let k = 0; k < this.length; k++) if (Number.isNaN(this.#read(head, k))) return true;
    return false;
  }

  find(fn: (value: any, index: number) => unknown): any {
    const k = this.findIndex(fn);
    return k < 0 ? undefined : this.at(k);
  }

  findIndex(fn: (value: any, index: number) => unknown): number {
    const end = this.length;
    for (let k = 0; k < end && k < this.length; k++) if (fn(this.#read(this.head(), k), k)) return k;
    return -1;
  }

  some(fn: (value: any, index: number) => unknown): boolean {
    return this.findIndex(fn) >= 0;
  }

  every(fn: (value: any, index: number) => unknown): boolean {
    return this.findIndex((value, index) => !fn(value, index)) < 0;
  }

  map<R>(fn: (value: any, index: number) => R): R[] {
    const out: R[] = [];
    this.forEach((value, index) => out.push(fn(value, index)));
    return out;
  }

  filter(fn: (value: any, index: number) => unknown): any[] {
    const out: unknown[] = [];
    this.forEach((value, index) => {
      if (fn(value, index)) out.push(value);
    });
    return out;
  }

  reduce<R>(fn: (sum: R, value: any, index: number) => R, start: R): R {
    let sum = start;
    this.forEach((value, index) => {
      sum = fn(sum, value, index);
    });
    return sum;
  }

  /** As of Array: elements that are added during the walk are not visited, those that were taken away before their turn
   * are not. */
  forEach(fn: (value: any, index: number) => void): void {
    const end = this.length;
    for (let k = 0; k < end && k < this.length; k++) fn(this.#read(this.head(), k), k);
  }

  /** By index, as of Array: goes on until the length that there is then. */
  *[Symbol.iterator](): Generator<any, undefined> {
    for (let k = 0; this.$word !== 0 && k < this.length; k++) yield this.#read(this.head(), k);
    return undefined;
  }

  clear(): void {
    const head = this.head();
    if (head === 0) return;
    const length = this.#u32[head + LENGTH];
    if (length > 0) {
      this.$touch();
      this.#changes++;
      this.allGone();
      const { release } = this.#spec;
      if (release !== undefined) for (let k = 0; k < length; k++) release(this.#place(head, k));
      this.#write(head + LENGTH, 0);
    }
    this.#slots?.release(head + SLOTS);
    this.#dense.release(head + DIRECTORY);
  }

  assign(values: Iterable<unknown>): void {
    if (values === this) return;
    const all = [...values];
    for (const value of all) mustFit(this.#element, value, this.#spec.what);
    const head = this.head();
    const given = head !== 0 && this.#spec.cell === undefined ? all.map(value => this.#copied(head, value)) : all;
    this.clear();
    if (given.length === 0) return;
    const opened = this.openHead(this.#headWords);
    this.$touch();
    this.#dense.ensureAll(opened + DIRECTORY, 0, this.#fits(given.length));
    for (let k = 0; k < given.length; k++) {
      this.#write(opened + LENGTH, k + 1);
      this.#make(opened, k, given[k]);
    }
  }

  #fits(length: number): number {
    if (length <= LENGTH_MAX) return length;
    throw new StateError('STATE_INDEX', `${this.#spec.what} holds ${LENGTH_MAX} elements at most`);
  }

  /** Word of the slot of an element that is a view. */
  #slotWord(head: number, index: number): number {
    return this.#slots!.word(head + SLOTS, this.#u32[this.#dense.word(head + DIRECTORY, index)]);
  }

  /** Word where an element begins. */
  #place(head: number, index: number): number {
    return this.#slots === undefined ? this.#dense.word(head + DIRECTORY, index) : this.#slotWord(head, index);
  }

  #raw(head: number, index: number): object {
    const slot = this.#u32[this.#dense.word(head + DIRECTORY, index)];
    return this.viewAt(slot, this.#slots!.word(head + SLOTS, slot));
  }

  #read(head: number, index: number): unknown {
    const { cell } = this.#spec;
    if (cell !== undefined)
      return cell.read(cell.unit(this.#dense.word(head + DIRECTORY, index), this.#dense.offset(index)));
    return this.shown(this.#raw(head, index));
  }

  /** A new element at a place that counts already. */
  #make(head: number, index: number, value: unknown): void {
    this.#prepare(head, index);
    this.#fill(head, index, value);
  }

  #prepare(head: number, index: number): void {
    this.#changes++;
    const { prepare } = this.#spec;
    const at = this.#dense.word(head + DIRECTORY, index);
    if (this.#slots === undefined) {
      prepare?.(at);
      return;
    }
    const slot = this.#slots.take(head + SLOTS);
    this.#write(at, slot);
    prepare!(this.#slots.word(head + SLOTS, slot));
    this.come(slot);
  }

  #fill(head: number, index: number, value: unknown): void {
    const { cell, door } = this.#spec;
    if (cell !== undefined)
      cell.write(cell.unit(this.#dense.word(head + DIRECTORY, index), this.#dense.offset(index)), value);
    else door!.fill(this.#raw(head, index), value);
  }

  /** The element at an index ends; its place still counts. */
  #end(head: number, index: number): void {
    const { release } = this.#spec;
    if (this.#slots === undefined) {
      release?.(this.#dense.word(head + DIRECTORY, index));
      return;
    }
    const slot = this.#u32[this.#dense.word(head + DIRECTORY, index)];
    this.gone(slot);
    release?.(this.#slots.word(head + SLOTS, slot));
    this.#slots.give(head + SLOTS, slot);
  }

  #shrink(head: number, length: number, by: number): void {
    this.#changes++;
    this.#write(head + LENGTH, length);
    if (length === 0) this.#slots?.release(head + SLOTS);
    if (by > 1 || (length & 31) === 0) this.#dense.trim(head + DIRECTORY, length);
  }

  #plain(head: number, index: number): unknown {
    const { cell, context } = this.#spec;
    if (cell !== undefined && this.#element.tag !== 'ref' && this.#element.tag !== 'optional')
      return this.#read(head, index);
    return decode(
      context.mem,
      this.#element,
      this.#place(head, index),
      this.#slots === undefined ? this.#dense.offset(index) : 0,
      decodeOptions(context),
    );
  }

  /** A value to store, as plain data if it is one of our own views. */
  #copied(head: number, value: unknown): unknown {
    const slot = this.#slotOf(head, value);
    if (slot < 0) return value;
    const { context } = this.#spec;
    return decode(context.mem, this.#element, this.#slots!.word(head + SLOTS, slot), 0, decodeOptions(context));
  }

  /** The slot of a view that is an element of this array, or -1. */
  #slotOf(head: number, value: unknown): number {
    if (typeof value !== 'object' || value === null) return -1;
    const word = this.#spec.door!.wordOf(value);
    const slot = word === 0 ? -1 : this.#slots!.indexOf(head + SLOTS, word);
    return slot >= 0 && this.views()!.peek(slot) !== undefined ? slot : -1;
  }

  #outside(index: number, last: number): never {
    throw new StateError(
      'STATE_INDEX',
      last < 0
        ? `index ${index}: ${this.#spec.what} is empty`
        : `index ${index} is outside 0..${last} of ${this.#spec.what}`,
    );
  }
}
containerFace(VectorView.prototype);

/** A start as slice and splice take it. */
function clamp(start: number, length: number): number {
  const k = Math.trunc(start) || 0;
  return k < 0 ? Math.max(0, k + length) : Math.min(k, length);
}

/** How values of a kind are sorted when nobody says. */
function naturalOrder(kind: AnyKind, what: string): (a: any, b: any) => number {
  switch (kind.tag) {
    case 'optional':
      return naturalOrder(kind.value, what);
    case 'oneOf': {
      const index = new Map(kind.names.map((name, k) => [name, k]));
      return (a, b) => index.get(a)! - index.get(b)!;
    }
    case 'bytes':
    case 'ref':
    case 'struct':
    case 'array':
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
    case 'bits':
      throw new TypeError(`sort() of ${what} takes a function that compares`);
    default:
      // NaN comes last.
      return (a, b) => (a < b ? -1 : a > b ? 1 : a === b ? 0 : Number(a !== a) - Number(b !== b));
  }
}
