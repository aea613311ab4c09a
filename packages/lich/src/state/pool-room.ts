/** Room for a pool's slots: pages of its region, reserved before they are touched, or chunks of the heap. */
import { StateError } from './errors.ts';
import type { StoreContext } from './memory.ts';
import { chunkFirst, chunkOf, chunkWords, type PoolPlaces, type PoolSlots } from './pool-places.ts';

/** Pages of a segment, reserved before they are touched. */
export interface Pages {
  /** @throws ShmError `SHM_NO_MEMORY` */
  reserve(offset: number, bytes: number): void;
}

/** Bytes of slots whose pages are reserved at a time. */
const GROWTH_BYTES = 256 * 1024;
/** Slots at a time, where they are larger. */
const GROWTH_SLOTS = 4;

export interface PoolRoomParts {
  readonly context: StoreContext;
  /** The pool's name, for messages. */
  readonly name: string;
  /** Word of the region. */
  readonly word: number;
  readonly slots: PoolSlots;
  readonly pages: Pages;
}

export class PoolRoom {
  readonly #context: StoreContext;
  readonly #name: string;
  readonly #word: number;
  readonly #at: PoolSlots;
  readonly #places: PoolPlaces;
  readonly #pages: Pages;
  /** Slots whose pages are there, of a pool with a capacity. */
  #reserved = 0;

  constructor({ context, name, word, slots, pages }: PoolRoomParts) {
    this.#context = context;
    this.#name = name;
    this.#word = word;
    this.#at = slots;
    this.#places = slots.places;
    this.#pages = pages;
  }

  /** The word of a slot that was never used, made ready: zero bytes.
   * @throws StateError `STATE_POOL_FULL`, `STATE_HEAP_FULL` */
  first(slot: number): number {
    const { grows, capacity, top, stride } = this.#places;
    if (!grows) {
      if (slot >= this.#reserved) this.#grow(slot);
      return this.#at.base(slot);
    }
    if (slot >= capacity)
      this.#full(slot, 'more than a growing pool takes: give it a capacity in pool(…, { capacity })');
    const at = this.#at;
    if ((slot & 63) === 0) {
      const chunk = chunkOf(top, slot);
      if (slot === chunkFirst(top, chunk)) {
        this.#context.log.write(at.directory + chunk, this.#context.heap.alloc(chunkWords(this.#places, chunk)));
      }
      this.zero(at.bits(slot), 2);
      this.zero(at.block(slot), 2);
    }
    const base = at.base(slot);
    this.zero(base, stride);
    return base;
  }

  /** Make words zero, logged where they are not. */
  zero(word: number, count: number): void {
    const { i32 } = this.#context.mem;
    for (let k = word; k < word + count; k++) if (i32[k] !== 0) this.#context.log.write(k, 0);
  }

  /** Reserve what is in use, and some more. */
  reserve(high: number): void {
    if (!this.#places.grows) this.#grow(Math.min(high, this.#places.capacity - 1));
  }

  /** The pages ahead: what to reserve next, or undefined while there are enough. */
  wanted(high: number): { offset: number; bytes: number; done: () => void } | undefined {
    const { grows, capacity } = this.#places;
    const growth = this.#growth();
    if (grows || this.#reserved >= capacity || this.#reserved - high > growth / 2) return undefined;
    const slots = Math.min(capacity, this.#reserved + growth);
    return {
      offset: this.#word * 4,
      bytes: this.#bytes(slots),
      done: () => {
        if (slots > this.#reserved) this.#reserved = slots;
      },
    };
  }

  #bytes(slots: number): number {
    const { capacity, stride, slots: first } = this.#places;
    return (first + stride * Math.min(slots, capacity)) * 4;
  }

  #growth(): number {
    return Math.max(GROWTH_SLOTS, Math.ceil(GROWTH_BYTES / (this.#places.stride * 4)));
  }

  #grow(slot: number): void {
    const { capacity } = this.#places;
    if (slot >= capacity) this.#full(capacity, 'raise capacity in pool(…, { capacity })');
    const slots = Math.min(capacity, slot + this.#growth());
    this.#pages.reserve(this.#word * 4, this.#bytes(slots));
    this.#reserved = slots;
  }

  #full(slots: number, what: string): never {
    throw new StateError('STATE_POOL_FULL', `pool \`${this.#name}\` full: ${slots} slots, ${what}`);
  }
}
