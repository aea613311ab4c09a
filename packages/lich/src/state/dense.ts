// HOT: measured by benchmarks/containers
/** Dense values: values of one size, one after the other, in chunks of the heap. Values of 1 and 2 bytes share words.
 *
 *   chunk    [value 0][value 1] …        its slots are words for values of up to 4 bytes, else values
 *
 * What lies beyond the owner's length means nothing. Moves and reorderings are logged as ranges. */
import { chunkSlots, chunkStart, type ChunkPlaces, Chunks } from './chunks.ts';
import type { Arrays } from './memory.ts';
import type { StoreContext } from './memory.ts';

/** Sizes for values of so many bytes: 1, 2 or a multiple of 4. */
export interface DenseShape {
  readonly bytes: number;
  /** Words of a chunk's slot. */
  readonly stride: number;
  /** Index of a value to index of its slot: shift, and mask of what is inside. */
  readonly shift: number;
  readonly mask: number;
  /** Slots of chunk 0. */
  readonly first: number;
}

export function denseShape(bytes: number): DenseShape {
  const shift = bytes === 1 ? 2 : bytes === 2 ? 1 : 0;
  const stride = Math.max(1, bytes / 4);
  let first = 2;
  while (first * 2 * stride <= 16) first *= 2;
  return { bytes, stride, shift, mask: (1 << shift) - 1, first };
}

export function densePlaces(shape: DenseShape, heapWord: number): ChunkPlaces {
  return { heapWord, first: shape.first, stride: shape.stride, front: 0 };
}

/** Slots for so many values. */
export function denseSlots(shape: DenseShape, length: number): number {
  return (length + shape.mask) >>> shape.shift;
}

export class Dense {
  readonly shape: DenseShape;
  readonly #chunks: Chunks;
  readonly #mem: Arrays;
  readonly #log: StoreContext['log'];
  readonly #stride: number;
  readonly #shift: number;
  readonly #mask: number;
  readonly #first: number;

  constructor(context: StoreContext, shape: DenseShape) {
    this.shape = shape;
    this.#chunks = new Chunks(context, shape.stride, shape.first);
    this.#mem = context.mem;
    this.#log = context.log;
    this.#stride = shape.stride;
    this.#shift = shape.shift;
    this.#mask = shape.mask;
    this.#first = shape.first;
  }

  /** Word in which a value lies, or begins. @param dir word of the directory */
  word(dir: number, index: number): number {
    return this.#chunks.word(dir, index >>> this.#shift);
  }

  /** Bytes from that word to the value. */
  offset(index: number): number {
    return (index & this.#mask) * this.shape.bytes;
  }

  /** Make room for value `length - 1`; those before it have theirs. */
  ensure(dir: number, length: number): void {
    this.#chunks.ensure(dir, (length - 1) >>> this.#shift);
  }

  /** Make room for values from..length-1. */
  ensureAll(dir: number, from: number, length: number): void {
    const slots = denseSlots(this.shape, length);
    for (let k = 0; chunkStart(this.#first, k) < slots; k++) {
      if (chunkStart(this.#first, k) + chunkSlots(this.#first, k) > from >>> this.#shift)
        this.#chunks.ensure(dir, chunkStart(this.#first, k));
    }
  }

  /** Give back chunks when a quarter of the one before them is free too. */
  trim(dir: number, length: number): void {
    const slots = denseSlots(this.shape, length);
    this.#chunks.trim(dir, slots + ((slots / 3) | 0) + 1);
  }

  release(dir: number): void {
    this.#chunks.release(dir);
  }

  /** Copy `count` values from one index to another; both ranges have room and may overlap. */
  move(dir: number, from: number, to: number, count: number): void {
    if (count <= 0 || from === to) return;
    if (this.#mask !== 0) this.#moveSmall(dir, from, to, count);
    else if (to < from) this.#moveDown(dir, from, to, count);
    else this.#moveUp(dir, from, to, count);
  }

  /** Value k becomes what value order[k] was. */
  reorder(dir: number, order: ArrayLike<number>): void {
    const count = order.length;
    const { bytes } = this.shape;
    const { i32, u8, u16 } = this.#mem;
    if (this.#mask !== 0) {
      const array = bytes === 1 ? u8 : u16;
      const were = new Uint16Array(count);
      for (let k = 0; k < count; k++) were[k] = array[this.#unit(dir, k)];
      let last = -1;
      for (let k = 0; k < count; k++) {
        const word = this.word(dir, k);
        if (word !== last) this.#log.log((last = word));
        array[this.#unit(dir, k)] = were[order[k]];
      }
      return;
    }
    const stride = this.#stride;
    const were = new Int32Array(count * stride);
    for (let k = 0; k < count; ) {
      const run = Math.min(count - k, this.#left(k));
      const at = this.word(dir, k);
      for (let n = 0; n < run * stride; n++) were[k * stride + n] = i32[at + n];
      k += run;
    }
    for (let k = 0; k < count; ) {
      const run = Math.min(count - k, this.#left(k));
      const at = this.word(dir, k);
      this.#log.keep(at, run * stride);
      for (let n = 0; n < run; n++) {
        const from = order[k + n] * stride;
        for (let m = 0; m < stride; m++) i32[at + n * stride + m] = were[from + m];
      }
      k += run;
    }
  }

  /** Values from an index to the end of its chunk. */
  #left(index: number): number {
    const at = index + this.#first;
    return (1 << (32 - Math.clz32(at))) - at;
  }

  #unit(dir: number, index: number): number {
    return (this.word(dir, index) << this.#shift) + (index & this.#mask);
  }

  #moveDown(dir: number, from: number, to: number, count: number): void {
    const I = this.#mem.i32;
    const stride = this.#stride;
    for (let k = 0; k < count; ) {
      const run = Math.min(count - k, this.#left(from + k), this.#left(to + k));
      const source = this.word(dir, from + k);
      const target = this.word(dir, to + k);
      this.#log.keep(target, run * stride);
      for (let n = 0; n < run * stride; n++) I[target + n] = I[source + n];
      k += run;
    }
  }

  #moveUp(dir: number, from: number, to: number, count: number): void {
    const I = this.#mem.i32;
    const stride = this.#stride;
    for (let left = count; left > 0; ) {
      // As far back as both ends lie in one chunk.
      const run = Math.min(left, this.#before(from + left - 1), this.#before(to + left - 1));
      const source = this.word(dir, from + left - run);
      const target = this.word(dir, to + left - run);
      this.#log.keep(target, run * stride);
      for (let n = run * stride - 1; n >= 0; n--) I[target + n] = I[source + n];
      left -= run;
    }
  }

  /** Values from the start of a chunk to an index, itself included. */
  #before(index: number): number {
    const at = index + this.#first;
    return at + 1 - (1 << (31 - Math.clz32(at)));
  }

  #moveSmall(dir: number, from: number, to: number, count: number): void {
    const array = this.shape.bytes === 1 ? this.#mem.u8 : this.#mem.u16;
    const step = to < from ? 1 : -1;
    let last = -1;
    for (let n = 0, k = step > 0 ? 0 : count - 1; n < count; n++, k += step) {
      const word = this.word(dir, to + k);
      if (word !== last) this.#log.log((last = word));
      array[this.#unit(dir, to + k)] = array[this.#unit(dir, from + k)];
    }
  }
}
