/** A growing array with the face of a JavaScript one, for code that was written for those: index access, `length`, and all
 * of Array.prototype. What it stores is in the segment, under the log, as ever. */
import { type GrowingArray, RECORD_REF } from '@lich/schema';

const faces = new WeakMap<object, unknown[]>();

/** An array as other packages know it: `Array.isArray` says yes, `queue[3] = x`, `length = 0`, `shift`, spread and
 * `for … of` work, methods return what those of an Array return. Writing needs a transaction. No holes: what is set lies at
 * `length` at most; a longer `length` cannot be set.
 *
 * Elements that are structs are copied when they are moved from place to place, as in every assignment of a struct; `pop`
 * and `shift` give a plain copy of them.
 * @remarks A Proxy: about 0.1 µs for each access more than the array itself. One face for one array. */
export function asArray<T>(array: GrowingArray<T, any, any>): T[] {
  const known = faces.get(array) as T[] | undefined;
  if (known !== undefined) return known;
  const made = new Proxy<T[]>([], new Face<T>(array));
  faces.set(array, made);
  return made;
}

class Face<T> implements ProxyHandler<T[]> {
  readonly #array: GrowingArray<T, unknown, unknown>;
  readonly #methods: Readonly<Record<string, unknown>>;

  constructor(array: GrowingArray<T, unknown, unknown>) {
    this.#array = array;
    // Where the generic ones of Array.prototype would go the long way.
    this.#methods = {
      push: (...values: unknown[]) => {
        for (const value of values) array.push(value);
        return array.length;
      },
      pop: () => this.#kept(array.at(-1), () => array.pop()),
      shift: () => this.#kept(array.at(0), () => array.splice(0, 1)[0]),
      unshift: (...values: unknown[]) => {
        array.splice(0, 0, ...values);
        return array.length;
      },
      splice: (start: number, ...rest: [number?, ...unknown[]]) => array.splice(start, ...rest),
      sort: (compare?: (a: T, b: T) => number) => {
        array.sort(compare);
        return asArray(array);
      },
      reverse: () => {
        array.reverse();
        return asArray(array);
      },
    };
  }

  /** What was at a place, after it was taken away: a struct's view is freed with it, so its plain copy. */
  #kept(value: T | undefined, take: () => unknown): unknown {
    const plain = take();
    return typeof value === 'object' && value !== null && !(RECORD_REF in value) ? plain : value;
  }

  get(target: T[], key: string | symbol): unknown {
    if (key === 'length') return this.#array.length;
    const index = indexOf(key);
    if (index >= 0) return index < this.#array.length ? this.#array.get(index) : undefined;
    if (typeof key === 'string' && Object.hasOwn(this.#methods, key)) return this.#methods[key];
    return Reflect.get(target, key);
  }

  set(_target: T[], key: string | symbol, value: unknown): boolean {
    const array = this.#array;
    if (key === 'length') {
      const length = Number(value);
      if (length > array.length)
        throw new RangeError(`an array of ${array.length} elements cannot get ${length} without values`);
      if (length < array.length) array.splice(length);
      return true;
    }
    const index = indexOf(key);
    if (index < 0) throw new TypeError(`${String(key)} cannot be set: only elements are kept in the segment`);
    if (index > array.length) throw new RangeError(`index ${index} of an array of ${array.length}: there are no holes`);
    if (index === array.length) array.push(value);
    else if (array.get(index) !== value) array.set(index, value);
    return true;
  }

  has(target: T[], key: string | symbol): boolean {
    const index = indexOf(key);
    return index >= 0 ? index < this.#array.length : Reflect.has(target, key);
  }

  /** Only the last one, as `shift` of Array does before it sets `length`. */
  deleteProperty(_target: T[], key: string | symbol): boolean {
    const index = indexOf(key);
    return index >= this.#array.length - 1;
  }

  ownKeys(): string[] {
    return [...Array.from({ length: this.#array.length }, (_, k) => String(k)), 'length'];
  }

  getOwnPropertyDescriptor(target: T[], key: string | symbol): PropertyDescriptor | undefined {
    if (key === 'length') return { value: this.#array.length, writable: true, enumerable: false, configurable: false };
    const index = indexOf(key);
    if (index < 0) return Reflect.getOwnPropertyDescriptor(target, key);
    if (index >= this.#array.length) return undefined;
    return { value: this.#array.get(index), writable: true, enumerable: true, configurable: true };
  }

  defineProperty(target: T[], key: string | symbol, descriptor: PropertyDescriptor): boolean {
    return 'value' in descriptor && this.set(target, key, descriptor.value);
  }
}

/** The index that a property key is, or -1. */
function indexOf(key: string | symbol): number {
  if (typeof key !== 'string') return -1;
  const index = Number(key);
  return index >>> 0 === index && String(index) === key ? index : -1;
}
