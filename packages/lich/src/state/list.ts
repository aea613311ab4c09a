/** list(kind, n): doubly linked slots inside the record, at a fixed capacity. All of it is under the undo log.
 *
 *   WORD  FIELD       MEANING
 *      0  head        first slot + 1, 0 = empty
 *      1  tail        last slot + 1, 0 = empty
 *      2  free        first slot that was given back + 1, linked by next; 0 = none
 *      3  count       elements
 *      4  high        slots at and above were never used since the record was made: their bytes mean nothing
 *      …  slots       [prev + 1][next + 1][generation, odd = in use][payload]      offsets from listLayout()
 *
 * Invariants: count + free slots = high; following next from head visits count slots and ends at tail; prev mirrors
 * next; generation is odd iff the slot is on the chain.
 *
 *   push      take a slot (free, else high) · payload · generation odd · link behind tail · count
 *   remove    unlink · generation even · onto the free list · count */
import { type List, type ListLayout, listLayout, type ListShape } from '@lich/schema';
import { decode } from './decode.ts';
import { FREED_STAMP, freed, type Placed } from './door.ts';
import { decodeOptions, type ElementSpec, ElementViews, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Violation } from './errors.ts';
import type { Arrays } from './memory.ts';
import { asValue, containerFace } from './plain.ts';

const HEAD = 0;
const TAIL = 1;
const FREE = 2;
const COUNT = 3;
const HIGH = 4;
const PREV = 0;
const NEXT = 1;
const GENERATION = 2;

type Cursors = 'cursor' | 'cursors' | 'get' | 'next' | 'prev' | 'insertBefore' | 'insertAfter' | 'removeAt';

export class ListView implements Omit<List<any, any, any>, Cursors>, Placed {
  readonly #spec: ElementSpec;
  readonly #kind: ListShape;
  readonly #layout: ListLayout;
  readonly #u32: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #homeWord: number;
  readonly #homeStamp: number;
  readonly #views: ElementViews | undefined;
  #word: number;
  #stamp: number;

  constructor(spec: ElementSpec, kind: ListShape, word: number, stampWord: number) {
    this.#spec = spec;
    this.#kind = kind;
    this.#layout = listLayout(kind);
    this.#u32 = spec.context.mem.u32;
    this.#write = spec.context.log.write;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stampWord;
    this.#views = spec.door === undefined ? undefined : new ElementViews(spec.door);
    asValue(this, () => this.toArray());
  }

  get length(): number {
    return this.#u32[(this.#word || freed()) + COUNT];
  }

  get capacity(): number {
    return this.#kind.capacity;
  }

  push(value: unknown): any {
    return this.#insert(value, false);
  }

  unshift(value: unknown): any {
    return this.#insert(value, true);
  }

  pop(): any {
    return this.#take(this.#u32[(this.#word || freed()) + TAIL]);
  }

  shift(): any {
    return this.#take(this.#u32[(this.#word || freed()) + HEAD]);
  }

  get first(): any {
    const link = this.#u32[(this.#word || freed()) + HEAD];
    return link === 0 ? undefined : this.#read(link - 1);
  }

  get last(): any {
    const link = this.#u32[(this.#word || freed()) + TAIL];
    return link === 0 ? undefined : this.#read(link - 1);
  }

  at(index: number): any {
    const word = this.#word || freed();
    const count = this.#u32[word + COUNT];
    const k = Math.trunc(index) || 0;
    const from = k < 0 ? k + count : k;
    if (from < 0 || from >= count) return undefined;
    let link: number;
    if (from * 2 < count) {
      link = this.#u32[word + HEAD];
      for (let n = 0; n < from; n++) link = this.#u32[this.#slot(link - 1) + NEXT];
    } else {
      link = this.#u32[word + TAIL];
      for (let n = count - 1; n > from; n--) link = this.#u32[this.#slot(link - 1) + PREV];
    }
    return this.#read(link - 1);
  }

  remove(item: unknown): boolean {
    const word = this.#word || freed();
    if (typeof item !== 'function' && this.#views !== undefined && typeof item === 'object' && item !== null) {
      const slot = this.#views.slotOf(item);
      if (slot < 0) return false;
      this.#unlink(slot);
      return true;
    }
    for (let link = this.#u32[word + HEAD]; link !== 0; link = this.#u32[this.#slot(link - 1) + NEXT]) {
      const value = this.#read(link - 1);
      if (typeof item === 'function' ? !(item as (v: unknown) => boolean)(value) : value !== item) continue;
      this.#unlink(link - 1);
      return true;
    }
    return false;
  }

  clear(): void {
    const word = this.#word || freed();
    if (this.#u32[word + HIGH] === 0) return;
    this.#spec.context.touch(this.#stamp);
    if (this.#views !== undefined) {
      for (let link = this.#u32[word + HEAD]; link !== 0; link = this.#u32[this.#slot(link - 1) + NEXT])
        this.#freeView(link - 1);
    }
    for (let k = HEAD; k <= HIGH; k++) if (this.#u32[word + k] !== 0) this.#write(word + k, 0);
  }

  forEach(fn: (value: any, index: number) => void): void {
    let index = 0;
    for (const value of this) fn(value, index++);
  }

  /** Elements that are added behind the walk are visited; when the element at which the walk stands is removed, it goes on
   * with the one that followed. */
  *[Symbol.iterator](): Generator<any, undefined> {
    let link = this.#u32[(this.#word || freed()) + HEAD];
    while (link !== 0) {
      const slot = this.#slot(link - 1);
      const generation = this.#u32[slot + GENERATION];
      const before = this.#u32[slot + NEXT];
      yield this.#read(link - 1);
      if (this.#word === 0) return undefined;
      if (this.#u32[slot + GENERATION] === generation) link = this.#u32[slot + NEXT];
      else if (
        before !== 0 &&
        before <= this.#u32[this.#word + HIGH] &&
        (this.#u32[this.#slot(before - 1) + GENERATION] & 1) === 1
      )
        link = before;
      else return undefined;
    }
    return undefined;
  }

  toArray(): any[] {
    return decode(
      this.#spec.context.mem,
      this.#kind,
      this.#word || freed(),
      0,
      decodeOptions(this.#spec.context),
    ) as any[];
  }

  /** @internal Overwrite all; the values were checked. */
  $assign(values: Iterable<unknown>): void {
    // A list may be assigned to itself, and views among the values may be ours: take copies before anything is freed.
    const all = values instanceof ListView ? values.toArray() : [...values];
    this.clear();
    for (const value of all) this.#insert(value, false);
  }

  #slot(index: number): number {
    return this.#word + (this.#layout.slots + index * this.#layout.stride) / 4;
  }

  #read(index: number): unknown {
    const slot = this.#slot(index);
    const { cell } = this.#spec;
    if (cell !== undefined) return cell.read(cell.unit(slot, this.#layout.payload));
    return this.#views!.at(index, slot + this.#layout.payload / 4, this.#stamp);
  }

  #insert(value: unknown, atHead: boolean): unknown {
    const word = this.#word || freed();
    const u32 = this.#u32;
    const write = this.#write;
    const { cell, door, context, what } = this.#spec;
    mustFit(this.#kind.element, value, what);
    const free = u32[word + FREE];
    const high = u32[word + HIGH];
    if (free === 0 && high === this.#kind.capacity) {
      throw new StateError('STATE_LIST_FULL', `${what} is full: ${high} elements, raise its capacity`);
    }
    context.touch(this.#stamp);
    const index = free === 0 ? high : free - 1;
    const slot = this.#slot(index);
    if (free === 0) write(word + HIGH, high + 1);
    else write(word + FREE, u32[slot + NEXT]);
    write(slot + GENERATION, (u32[slot + GENERATION] + 1) | 1);
    const first = u32[word + HEAD];
    const last = u32[word + TAIL];
    write(slot + PREV, atHead ? 0 : last);
    write(slot + NEXT, atHead ? first : 0);
    if (first === 0 || atHead) write(word + HEAD, index + 1);
    if (last === 0 || !atHead) write(word + TAIL, index + 1);
    if (atHead && first !== 0) write(this.#slot(first - 1) + PREV, index + 1);
    if (!atHead && last !== 0) write(this.#slot(last - 1) + NEXT, index + 1);
    write(word + COUNT, u32[word + COUNT] + 1);
    if (cell !== undefined) {
      const unit = cell.unit(slot, this.#layout.payload);
      cell.write(unit, value);
      return cell.read(unit);
    }
    const view = this.#read(index) as object;
    this.#views!.added(this, index, context.journal, context.position());
    door!.assign(view, value);
    return view;
  }

  #take(link: number): unknown {
    if (link === 0) return undefined;
    const slot = this.#slot(link - 1);
    const { cell, context } = this.#spec;
    const value =
      cell === undefined || this.#kind.element.tag === 'ref'
        ? decode(context.mem, this.#kind.element, slot, this.#layout.payload, decodeOptions(context))
        : cell.read(cell.unit(slot, this.#layout.payload));
    this.#unlink(link - 1);
    return value;
  }

  #unlink(index: number): void {
    const word = this.#word;
    const u32 = this.#u32;
    const write = this.#write;
    this.#spec.context.touch(this.#stamp);
    const slot = this.#slot(index);
    const prev = u32[slot + PREV];
    const next = u32[slot + NEXT];
    if (prev === 0) write(word + HEAD, next);
    else write(this.#slot(prev - 1) + NEXT, next);
    if (next === 0) write(word + TAIL, prev);
    else write(this.#slot(next - 1) + PREV, prev);
    write(slot + GENERATION, (u32[slot + GENERATION] + 1) | 0);
    write(slot + NEXT, u32[word + FREE]);
    write(slot + PREV, 0);
    write(word + FREE, index + 1);
    write(word + COUNT, u32[word + COUNT] - 1);
    this.#freeView(index);
  }

  #freeView(index: number): void {
    const { context } = this.#spec;
    this.#views?.removed(this, index, context.journal, context.position());
  }

  /** @internal */
  undoAdd(slot: number): void {
    this.#views?.undoAdd(slot);
  }

  /** @internal */
  undoRemove(slot: number, view: object): void {
    this.#views?.undoRemove(slot, view);
  }

  /** @internal */
  $free(): void {
    this.#word = 0;
    this.#stamp = FREED_STAMP;
    this.#views?.free();
  }

  /** @internal */
  $revive(): void {
    this.#word = this.#homeWord;
    this.#stamp = this.#homeStamp;
    this.#views?.revive();
  }
}
containerFace(ListView.prototype);

/** Walk a list's own words.
 * @param each called for each element in use, with the word of its slot */
export function checkList(
  mem: Arrays,
  kind: ListShape,
  word: number,
  where: string,
  out: Violation[],
  each: (slot: number, where: string) => void,
): void {
  const { slots, stride } = listLayout(kind);
  const u32 = mem.u32;
  const bad = (what: string) => out.push({ where, what });
  const slotOf = (index: number) => word + (slots + index * stride) / 4;
  const head = u32[word + HEAD];
  const tail = u32[word + TAIL];
  const count = u32[word + COUNT];
  const high = u32[word + HIGH];
  if (high > kind.capacity || count > high || head > high || tail > high || u32[word + FREE] > high) {
    bad(
      `head ${head}, tail ${tail}, free ${u32[word + FREE]}, count ${count}, high ${high} with capacity ${kind.capacity}`,
    );
    return;
  }
  const seen = new Set<number>();
  let prev = 0;
  for (let link = head; link !== 0; link = u32[slotOf(link - 1) + NEXT]) {
    if (link > high || seen.has(link))
      return void bad(`the chain leads to slot ${link - 1} ${seen.has(link) ? 'twice' : `beyond high ${high}`}`);
    seen.add(link);
    const slot = slotOf(link - 1);
    if (u32[slot + PREV] !== prev) bad(`slot ${link - 1} says its prev is ${u32[slot + PREV]}, it is ${prev}`);
    if ((u32[slot + GENERATION] & 1) === 0) bad(`slot ${link - 1} is on the chain with an even generation`);
    each(slot, `${where}[${seen.size - 1}]`);
    prev = link;
  }
  if (prev !== tail) bad(`the chain ends at ${prev}, tail says ${tail}`);
  if (seen.size !== count) bad(`${seen.size} elements on the chain, count says ${count}`);
  let free = 0;
  for (let link = u32[word + FREE]; link !== 0; link = u32[slotOf(link - 1) + NEXT]) {
    if (link > high || seen.has(link))
      return void bad(
        `the free list leads to slot ${link - 1}, which is ${link > high ? 'beyond high' : 'taken already'}`,
      );
    seen.add(link);
    free++;
    if ((u32[slotOf(link - 1) + GENERATION] & 1) === 1) bad(`slot ${link - 1} is free with an odd generation`);
  }
  if (free + count !== high) bad(`${count} elements + ${free} free is not high ${high}`);
}
