/** array(kind, n): n elements, one after the other, at a constant stride. */
import { type ArrayShape, type FixedArray, zeroOf } from '@lich/schema';
import { ContainerView } from './container.ts';
import { type ElementSpec, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';

export class ArrayView extends ContainerView implements FixedArray<any, any, any> {
  readonly #spec: ElementSpec;
  readonly #kind: ArrayShape;
  /** Unit of element 0. */
  readonly #unit: number;

  constructor(spec: ElementSpec, kind: ArrayShape, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
    this.#kind = kind;
    this.#unit = spec.cell === undefined ? 0 : spec.cell.unit(word, 0);
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

  #read(index: number): unknown {
    const word = this.home();
    const { cell } = this.#spec;
    if (cell !== undefined) return cell.read(this.#unit + index * cell.step);
    return this.shown(this.viewAt(index, word + (index * this.#kind.stride) / 4));
  }

  #write(index: number, value: unknown): void {
    const { cell, door } = this.#spec;
    this.$touch();
    if (cell !== undefined) cell.write(this.#unit + index * cell.step, value);
    else door!.assign(this.viewAt(index, this.home() + (index * this.#kind.stride) / 4), value);
  }

  #outside(index: number): never {
    throw new StateError('STATE_INDEX', `index ${index} is outside 0..${this.#kind.length - 1} of ${this.#spec.what}`);
  }
}
containerFace(ArrayView.prototype);
