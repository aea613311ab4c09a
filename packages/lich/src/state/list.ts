/** list(kind) and list(kind, n): doubly linked slots, inside the record at a fixed capacity, or in the heap. All of it is
 * under the undo log.
 *
 *   control    WORD  FIELD      MEANING                                                                    (slot-chain.ts)
 *                 0  head       first slot + 1, 0 = empty
 *                 1  tail       last slot + 1, 0 = empty
 *                 2  free       first slot that was given back + 1, linked by next; 0 = none
 *                 3  count      elements
 *                 4  high       slots at and above were never used since the record was made: their bytes mean nothing
 *     (n)         …  slots                                                                       offsets from listLayout()
 *     in the heap, after the stamp of the head block:
 *                 5  turn       the newest generation
 *                 6  directory  links of the chunks
 *
 *   slot          [prev + 1][next + 1][generation, odd = in use][payload]
 *
 *   insert    take a slot (free, else high) · generation odd · link it · count · payload
 *   remove    what the payload owns in the heap · unlink · generation even · onto the free list · count
 *
 * The last element taken away, a list in the heap keeps its first chunk; cleared, only its head block. A cursor is a slot
 * and its generation, which no other element of the list ever has: in the heap they are numbered by `turn`, in the record
 * slots outlive their elements. */
import { type Cursor, type List, listLayout, type ListShape } from '@lich/schema';
import { CHAIN_FIRST, HEAD_STAMP, headWords, LIST, listShape } from './chain-shape.ts';
import { ContainerView } from './container.ts';
import { decode } from './decode.ts';
import { decodeOptions, type ElementSpec, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import { badLink, SlotChain } from './slot-chain.ts';
import { type Given, SLOTS, VALUES, type Walk, Walks, type Walked, WalkIterator } from './walk.ts';

const { first: HEAD, last: TAIL, count: COUNT, high: HIGH, prev: PREV, next: NEXT, generation: GENERATION } = LIST;

/** One for all lists of a kind. */
export interface ListSpec extends ElementSpec {
  readonly kind: ListShape;
  readonly chain: SlotChain;
  /** Words from a slot to its payload. */
  readonly payload: number;
}

export function listSpec(base: ElementSpec, kind: ListShape): ListSpec {
  return { ...base, kind, chain: new SlotChain(base.context, listShape(kind)), payload: listLayout(kind).payload / 4 };
}

export class ListView extends ContainerView implements List<any, any, any>, Walked {
  readonly #spec: ListSpec;
  readonly #chain: SlotChain;
  readonly #u32: Uint32Array;
  #walks: Walks | undefined;

  constructor(spec: ListSpec, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
    this.#chain = spec.chain;
    this.#u32 = spec.context.mem.u32;
  }

  get length(): number {
    const at = this.#control();
    return at === 0 ? 0 : this.#u32[at + COUNT];
  }

  get capacity(): number {
    return this.#spec.kind.capacity || Number.POSITIVE_INFINITY;
  }

  push(value: unknown): any {
    return this.#insert(value, 0);
  }

  unshift(value: unknown): any {
    const at = this.#control();
    return this.#insert(value, at === 0 ? 0 : this.#u32[at + HEAD]);
  }

  pop(): any {
    const at = this.#control();
    return at === 0 ? undefined : this.#pull(at, this.#u32[at + TAIL]);
  }

  shift(): any {
    const at = this.#control();
    return at === 0 ? undefined : this.#pull(at, this.#u32[at + HEAD]);
  }

  get first(): any {
    const at = this.#control();
    const link = at === 0 ? 0 : this.#u32[at + HEAD];
    return link === 0 ? undefined : this.#read(at, this.#there(at, link) - 1);
  }

  get last(): any {
    const at = this.#control();
    const link = at === 0 ? 0 : this.#u32[at + TAIL];
    return link === 0 ? undefined : this.#read(at, this.#there(at, link) - 1);
  }

  at(index: number): any {
    const at = this.#control();
    const link = at === 0 ? 0 : this.#nth(at, index);
    return link === 0 ? undefined : this.#read(at, link - 1);
  }

  remove(item: unknown): boolean {
    const at = this.#control();
    const link = at === 0 ? 0 : this.#linkOf(at, item);
    if (link === 0) return false;
    this.#unlink(at, link - 1);
    return true;
  }

  cursor(item: unknown): Cursor | undefined {
    const at = this.#control();
    if (at === 0) return undefined;
    return this.#cursorAt(at, typeof item === 'number' ? this.#nth(at, item) : this.#linkOf(at, item));
  }

  *cursors(): Generator<Cursor, undefined> {
    for (const slot of new WalkIterator<number>(this, (this.#walks ??= new Walks()), SLOTS)) {
      yield this.#cursorAt(this.#control(), slot + 1)!;
    }
    return undefined;
  }

  get(cursor: Cursor): any {
    const at = this.#control();
    const slot = this.#slotAt(at, cursor);
    return slot < 0 ? undefined : this.#read(at, slot);
  }

  next(cursor: Cursor): Cursor | undefined {
    const at = this.#control();
    const slot = this.#slotAt(at, cursor);
    const link = slot < 0 ? 0 : this.#u32[this.#chain.slot(at, slot) + NEXT];
    if (link !== 0) this.#chain.follow(at, link, slot + 1);
    return this.#cursorAt(at, link);
  }

  prev(cursor: Cursor): Cursor | undefined {
    const at = this.#control();
    const slot = this.#slotAt(at, cursor);
    const link = slot < 0 ? 0 : this.#u32[this.#chain.slot(at, slot) + PREV];
    if (link !== 0) this.#chain.followBack(at, link, slot + 1);
    return this.#cursorAt(at, link);
  }

  insertBefore(cursor: Cursor, value: unknown): any {
    const slot = this.#slotAt(this.#control(), cursor);
    return slot < 0 ? undefined : this.#insert(value, slot + 1);
  }

  insertAfter(cursor: Cursor, value: unknown): any {
    const at = this.#control();
    const slot = this.#slotAt(at, cursor);
    return slot < 0 ? undefined : this.#insert(value, this.#u32[this.#chain.slot(at, slot) + NEXT]);
  }

  removeAt(cursor: Cursor): any {
    const at = this.#control();
    const slot = this.#slotAt(at, cursor);
    return slot < 0 ? undefined : this.#pull(at, slot + 1);
  }

  clear(): void {
    const at = this.#control();
    if (at === 0 || this.#u32[at + HIGH] === 0) return;
    const { release, payload, context } = this.#spec;
    this.$touch();
    if (release !== undefined) {
      for (let link = this.#u32[at + HEAD], before = 0; link !== 0; ) {
        const slot = this.#chain.follow(at, link, before);
        release(slot + payload);
        before = link;
        link = this.#u32[slot + NEXT];
      }
    }
    this.allGone();
    this.#chain.drop(at);
    this.#walks?.cleared(context.journal, context.position());
  }

  forEach(fn: (value: any, index: number) => void): void {
    let index = 0;
    for (const value of this) fn(value, index++);
  }

  [Symbol.iterator](): WalkIterator<any> {
    this.home();
    return new WalkIterator(this, (this.#walks ??= new Walks()), VALUES);
  }

  /** @internal Overwrite all; the values were checked. */
  $assign(values: Iterable<unknown>): void {
    // A list may be assigned to itself, and views among the values may be ours: take copies before anything is freed.
    const all = values instanceof ListView ? values.toArray() : [...values];
    this.clear();
    for (const value of all) this.#insert(value, 0);
  }

  /** @internal */
  $step(walk: Walk): number {
    const at = this.$word === 0 ? 0 : this.#control();
    if (at === 0) return -1;
    const u32 = this.#u32;
    let link: number;
    if (walk.at === 0) link = u32[at + HEAD];
    else {
      if (walk.at > u32[at + HIGH]) return -1;
      const slot = this.#chain.slot(at, walk.at - 1);
      if (u32[slot + GENERATION] !== walk.generation) return -1;
      link = u32[slot + NEXT];
    }
    if (link === 0) return -1;
    walk.generation = u32[this.#chain.follow(at, link, walk.at) + GENERATION];
    walk.at = link;
    return link - 1;
  }

  /** @internal */
  $item(slot: number, what: Given): unknown {
    return what === SLOTS ? slot : this.#read(this.#control(), slot);
  }

  #control(): number {
    return this.#chain.control(this.home());
  }

  #read(at: number, index: number): unknown {
    const slot = this.#chain.slot(at, index);
    const { cell, payload } = this.#spec;
    return cell !== undefined
      ? cell.read(cell.unit(slot + payload, 0))
      : this.shown(this.viewAt(index, slot + payload));
  }

  /** @throws StateError `STATE_CORRUPT` for a link that leads out of the list. @returns the link */
  #there(at: number, link: number): number {
    if (!(link > 0 && link <= this.#u32[at + HIGH])) badLink(link, 0);
    return link;
  }

  /** Link of the element at a place counted from the start, or the end; 0 = none. */
  #nth(at: number, index: number): number {
    const u32 = this.#u32;
    const chain = this.#chain;
    const count = u32[at + COUNT];
    const k = Math.trunc(index) || 0;
    const from = k < 0 ? k + count : k;
    if (from < 0 || from >= count) return 0;
    let link: number;
    if (from * 2 < count) {
      link = u32[at + HEAD];
      for (let n = 0, before = 0; n < from; n++) {
        const slot = chain.follow(at, link, before);
        before = link;
        link = u32[slot + NEXT];
      }
    } else {
      link = u32[at + TAIL];
      for (let n = count - 1, behind = 0; n > from; n--) {
        const slot = chain.followBack(at, link, behind);
        behind = link;
        link = u32[slot + PREV];
      }
    }
    return this.#there(at, link);
  }

  /** Link of the first element that is this one, or for which it answers true; 0 = none. A view says itself where it is. */
  #linkOf(at: number, item: unknown): number {
    const { door, payload } = this.#spec;
    if (door !== undefined && typeof item !== 'function') {
      if (typeof item !== 'object' || item === null) return 0;
      const word = door.wordOf(item);
      const slot = word === 0 ? -1 : this.#chain.indexOf(at, word - payload);
      const own = slot < 0 ? undefined : this.views()!.peek(slot);
      return own !== undefined && this.shown(own) === item ? slot + 1 : 0;
    }
    // What is called may change the list: the order is not looked at as closely, and comes to an end all the same.
    for (let link = this.#u32[at + HEAD], n = 0; link !== 0; link = this.#u32[this.#chain.slot(at, link - 1) + NEXT]) {
      if (n++ > this.#u32[at + HIGH]) badLink(link, 0);
      const value = this.#read(at, this.#there(at, link) - 1);
      if (typeof item === 'function' ? (item as (v: unknown) => boolean)(value) : value === item) return link;
    }
    return 0;
  }

  #cursorAt(at: number, link: number): Cursor | undefined {
    if (link === 0) return undefined;
    return { slot: link - 1, generation: this.#u32[this.#chain.slot(at, link - 1) + GENERATION] };
  }

  /** The slot of a cursor whose element is there, or -1. */
  #slotAt(at: number, { slot, generation }: Cursor): number {
    if (at === 0 || slot >>> 0 !== slot || slot >= this.#u32[at + HIGH] || (generation & 1) === 0) return -1;
    return this.#u32[this.#chain.slot(at, slot) + GENERATION] === generation ? slot : -1;
  }

  /** @param before link of the element to insert in front of, 0 = at the end */
  #insert(value: unknown, before: number): unknown {
    const { kind, cell, door, what, prepare, payload, growing } = this.#spec;
    const chain = this.#chain;
    mustFit(kind.element, value, what);
    const at = growing ? this.openHead(headWords(chain.shape)) + HEAD_STAMP : this.home();
    if (chain.isFull(at)) {
      throw new StateError('STATE_LIST_FULL', `${what} is full: ${kind.capacity} elements, raise its capacity`);
    }
    this.$touch();
    const index = chain.take(at, before);
    const word = chain.slot(at, index) + payload;
    prepare?.(word);
    if (cell !== undefined) {
      const unit = cell.unit(word, 0);
      cell.write(unit, value);
      return cell.read(unit);
    }
    this.come(index);
    const view = this.viewAt(index, word);
    if (prepare === undefined) door!.assign(view, value);
    else door!.fill(view, value);
    return this.shown(view);
  }

  /** Take the element of a link away. @returns it, as a plain value */
  #pull(at: number, link: number): unknown {
    if (link === 0) return undefined;
    const { cell, context, kind, payload } = this.#spec;
    const slot = this.#chain.slot(at, this.#there(at, link) - 1) + payload;
    const value =
      cell === undefined || kind.element.tag === 'ref'
        ? decode(context.mem, kind.element, slot, 0, decodeOptions(context))
        : cell.read(cell.unit(slot, 0));
    this.#unlink(at, link - 1);
    return value;
  }

  #unlink(at: number, index: number): void {
    const { release, payload, context, growing } = this.#spec;
    const chain = this.#chain;
    const u32 = this.#u32;
    this.$touch();
    release?.(chain.slot(at, index) + payload);
    this.gone(index);
    const before = chain.give(at, index);
    if (this.#walks?.any) {
      const generation = before === 0 ? 0 : u32[chain.slot(at, before - 1) + GENERATION];
      this.#walks.removed(index + 1, before, generation, context.journal, context.position());
    }
    if (growing && u32[at + COUNT] === 0 && u32[at + HIGH] > CHAIN_FIRST) chain.drop(at, CHAIN_FIRST);
  }
}
containerFace(ListView.prototype);
