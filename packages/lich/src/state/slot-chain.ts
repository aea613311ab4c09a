// HOT: measured by benchmarks/containers
/** Slot chain: what lists, maps and sets have in common. Slots of one size, taken and given back, linked in an order. The
 * same code for slots that lie in a record, at a fixed capacity, and for slots in chunks of the heap; `control` is where
 * its words begin: the home itself, or word 2 of the head block.
 *
 *   control    FIELD      MEANING                                                    (which word: see ChainShape)
 *              count      slots in use
 *              first      first slot of the order + 1, 0 = empty
 *              last       last slot + 1
 *              free       first slot that was given back + 1, linked by `link`; 0 = none
 *              high       slots at and above were never used
 *              turn       lists in the heap: the newest generation; each slot that is taken has one of its own, also
 *                         after the chunks were given back
 *              directory  in the heap: links of the chunks
 *
 *   slot       prev       + 1, 0 = none
 *              next
 *              generation odd = in use
 *
 * Invariants: count + free slots = high; the order visits count slots, prev mirrors next; generation is odd exactly for
 * the slots of the order; in the heap, a chunk is there when `high` is beyond its first slot.
 *
 * Whoever follows the order looks whether each slot says that it comes after the one before: an order that leads in a circle,
 * or out of the container, has a slot that does not, so that a walk over overwritten memory ends with an error, and not
 * never. The words lie beside those that are read anyway. */
import { CHAIN_FIRST, type ChainShape, HEAD_STAMP } from './chain-shape.ts';
import { Chunks } from './chunks.ts';
import { StateError } from './errors.ts';
import type { StoreContext } from './memory.ts';

/** Calls in one mould; which list or map is meant is said by each. */
export class SlotChain {
  readonly shape: ChainShape;
  readonly #U: Uint32Array;
  readonly #I: Int32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #heapWord: number;
  readonly #grows: boolean;
  readonly #slots: number;
  readonly #stride: number;
  /** Of those that grow. */
  readonly chunks: Chunks | undefined;

  constructor(context: StoreContext, shape: ChainShape) {
    this.shape = shape;
    this.#U = context.mem.u32;
    this.#I = context.mem.i32;
    this.#write = context.log.write;
    this.#heapWord = context.heap.base + HEAD_STAMP;
    this.#grows = shape.capacity === 0;
    this.#slots = shape.slots;
    this.#stride = shape.stride;
    this.chunks = this.#grows ? new Chunks(context, shape.stride, CHAIN_FIRST, shape.front) : undefined;
  }

  /** Word of the control part, given the word of the home; 0 = there is none, it is empty. */
  control(home: number): number {
    if (!this.#grows) return home;
    const link = this.#I[home];
    return link === 0 ? 0 : (this.#heapWord + link) | 0;
  }

  /** Word of a slot below `high`. */
  slot(control: number, index: number): number {
    return this.#grows
      ? this.chunks!.word(control + this.#slots, index)
      : (control + this.#slots + Math.imul(index, this.#stride)) | 0;
  }

  /** Word of the slot that follows another one in the order.
   * @param link it + 1 @param before the other one + 1, 0 = it is the first
   * @throws StateError `STATE_CORRUPT` when it is not the next one */
  follow(control: number, link: number, before: number): number {
    const U = this.#U;
    const { high, prev, generation } = this.shape;
    if (!(link > 0 && link <= U[control + high])) badLink(link, before);
    const slot = this.slot(control, link - 1);
    if (U[slot + prev] !== before || (U[slot + generation] & 1) === 0) badLink(link, before);
    return slot;
  }

  /** Word of the slot before another one in the order.
   * @param link it + 1 @param behind the other one + 1, 0 = it is the last
   * @throws StateError `STATE_CORRUPT` */
  followBack(control: number, link: number, behind: number): number {
    return this.#neighbour(control, link, this.shape.next, behind);
  }

  /** Word of the slot that a link of a neighbour leads to, which has to lead back.
   * @param back `next` of one before, `prev` of one behind @param link it + 1 @param from where it has to lead to + 1 */
  #neighbour(control: number, link: number, back: number, from: number): number {
    if (!(link > 0 && link <= this.#U[control + this.shape.high])) badLink(link, from);
    const slot = this.slot(control, link - 1);
    if (this.#U[slot + back] !== from) badLink(link, from);
    return slot;
  }

  /** The slot that begins at a word, or -1. */
  indexOf(control: number, word: number): number {
    const { slots, stride, high } = this.shape;
    if (this.#grows) return this.chunks!.indexOf(control + slots, word);
    const index = (word - control - slots) / stride;
    return index >= 0 && index < this.#U[control + high] && Number.isInteger(index) ? index : -1;
  }

  isFull(control: number): boolean {
    const { free, high, capacity } = this.shape;
    return !this.#grows && this.#U[control + free] === 0 && this.#U[control + high] === capacity;
  }

  /** Take a slot and link it in front of another, or at the end. There is room.
   * @param before slot + 1, 0 = at the end
   * @returns the slot
   * @throws StateError `STATE_HEAP_FULL` */
  take(control: number, before: number): number {
    const U = this.#U;
    const write = this.#write;
    const { count, first, last, free, high, turn, prev, next, generation, link } = this.shape;
    const given = U[control + free];
    let index: number;
    let slot: number;
    let mark: number;
    if (given !== 0) {
      index = given - 1;
      if (!(given <= U[control + high])) badLink(given, 0);
      slot = this.slot(control, index);
      if ((U[slot + generation] & 1) === 1) badLink(given, 0);
      write(control + free, U[slot + link]);
      mark = (U[slot + generation] + 1) | 1;
    } else {
      index = U[control + high];
      if (this.#grows) this.chunks!.ensure(control + this.#slots, index);
      slot = this.slot(control, index);
      write(control + high, index + 1);
      // What the heap hands out holds anything.
      mark = this.#grows ? 1 : (U[slot + generation] + 1) | 1;
    }
    if (turn >= 0) {
      mark = (U[control + turn] + 2) | 1;
      write(control + turn, mark);
    }
    write(slot + generation, mark);
    const at = before === 0 ? 0 : this.slot(control, before - 1);
    const after = before === 0 ? U[control + last] : U[at + prev];
    write(slot + prev, after);
    write(slot + next, before);
    if (after === 0) write(control + first, index + 1);
    else write(this.#neighbour(control, after, next, before) + next, index + 1);
    if (before === 0) write(control + last, index + 1);
    else write(at + prev, index + 1);
    write(control + count, U[control + count] + 1);
    return index;
  }

  /** Unlink a slot and put it onto the free list.
   * @returns the slot before it + 1, 0 = it was the first */
  give(control: number, index: number): number {
    const U = this.#U;
    const write = this.#write;
    const { count, first, last, free, prev, next, generation, link } = this.shape;
    const slot = this.slot(control, index);
    const before = U[slot + prev];
    const after = U[slot + next];
    if (before === 0) write(control + first, after);
    else write(this.#neighbour(control, before, next, index + 1) + next, after);
    if (after === 0) write(control + last, before);
    else write(this.#neighbour(control, after, prev, index + 1) + prev, before);
    write(slot + generation, (U[slot + generation] + 1) | 0);
    write(slot + link, U[control + free]);
    write(control + free, index + 1);
    write(control + count, U[control + count] - 1);
    return before;
  }

  /** Forget all slots. In the heap, their chunks are given back; which are kept is for `slots` to say. */
  drop(control: number, slots = 0): void {
    const { count, first, last, free, high } = this.shape;
    const U = this.#U;
    for (const field of [count, first, last, free, high]) {
      if (U[control + field] !== 0) this.#write(control + field, 0);
    }
    this.chunks?.trim(control + this.#slots, slots);
  }
}

/** @param link of the slot that was come to + 1 @param from that it was come to from + 1, 0 = the container itself */
export function badLink(link: number, from: number): never {
  throw new StateError(
    'STATE_CORRUPT',
    `a list, map or set is overwritten: ${from === 0 ? 'it' : `slot ${from - 1}`} leads to slot ${link - 1}, which is not there or not beside it; run \`lich check\``,
    { severity: 'fatal' },
  );
}
