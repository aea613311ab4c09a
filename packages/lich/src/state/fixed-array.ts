/** array(kind, n): n elements, one after the other, at a constant stride. */
import { type ArrayShape, type FixedArray, zeroOf } from '@lich/schema';
import { decode } from './decode.ts';
import { FREED_STAMP, freed, type Placed } from './door.ts';
import { decodeOptions, type ElementSpec, ElementViews, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import { asValue, containerFace } from './plain.ts';

export class ArrayView implements FixedArray<any, any, any>, Placed {
  readonly #spec: ElementSpec;
  readonly #kind: ArrayShape;
  readonly #homeWord: number;
  readonly #homeStamp: number;
  readonly #views: ElementViews | undefined;
  #word: number;
  #stamp: number;
  /** Unit of element 0. */
  #unit = 0;

  constructor(spec: ElementSpec, kind: ArrayShape, word: number, stampWord: number) {
    this.#spec = spec;
    this.#kind = kind;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stampWord;
    this.#views = spec.door === undefined ? undefined : new ElementViews(spec.door);
    if (spec.cell !== undefined) this.#unit = spec.cell.unit(word, 0);
    asValue(this, () => this.toArray());
  }

  get length(): number {
    return this.#kind.length;
  }

  get(index: number): any {
    if (index >>> 0 !== index || index >= this.#kind.length) this.#outside(index);
    return this.#read(index);
  }

  at(index: number): any {
    const { length } = this.#kind;
    const k = Math.trunc(index) || 0;
    const from = k < 0 ? k + length : k;
    return from >= 0 && from < length ? this.#read(from) : undefined;
  }

  set(index: number, value: unknown): void {
    if (index >>> 0 !== index || index >= this.#kind.length) this.#outside(index);
    mustFit(this.#kind.element, value, `[${index}] of ${this.#spec.what}`);
    this.#write(index, value);
  }

  fill(value: unknown): void {
    mustFit(this.#kind.element, value, this.#spec.what);
    for (let k = 0; k < this.#kind.length; k++) this.#write(k, value);
  }

  assign(values: Iterable<unknown>): void {
    const all = [...values];
    mustFit(this.#kind, all, this.#spec.what);
    for (let k = 0; k < this.#kind.length; k++) this.#write(k, k < all.length ? all[k] : zeroOf(this.#kind.element));
  }

  indexOf(value: unknown): number {
    for (let k = 0; k < this.#kind.length; k++) if (this.#read(k) === value) return k;
    return -1;
  }

  includes(value: unknown): boolean {
    for (let k = 0; k < this.#kind.length; k++)
      if (Object.is(this.#read(k), value) || this.#read(k) === value) return true;
    return false;
  }

  forEach(fn: (value: any, index: number) => void): void {
    for (let k = 0; k < this.#kind.length; k++) fn(this.#read(k), k);
  }

  *[Symbol.iterator](): Generator<any, undefined> {
    for (let k = 0; k < this.#kind.length; k++) yield this.#read(k);
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

  #read(index: number): unknown {
    const word = this.#word || freed();
    const { cell } = this.#spec;
    if (cell !== undefined) return cell.read(this.#unit + index * cell.step);
    return this.#views!.at(index, word + (index * this.#kind.stride) / 4, this.#stamp);
  }

  #write(index: number, value: unknown): void {
    const { cell, door, context } = this.#spec;
    context.touch(this.#stamp);
    if (cell !== undefined) cell.write(this.#unit + index * cell.step, value);
    else door!.assign(this.#read(index) as object, value);
  }

  #outside(index: number): never {
    throw new StateError('STATE_INDEX', `index ${index} is outside 0..${this.#kind.length - 1} of ${this.#spec.what}`);
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
containerFace(ArrayView.prototype);
