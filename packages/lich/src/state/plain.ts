/** Plain copies of records, and how views print, serialise and compare. */
import { type Plain, type StructLayout } from '@lich/schema';
import { type DecodeOptions, decodeStruct } from './decode.ts';
import type { Arrays } from './memory.ts';

/** On records: how to decode them. */
export const DECODE: unique symbol = Symbol('lich.decode');
const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const CONTENT = Symbol('content');

interface Decodable {
  [DECODE](hidden?: boolean): Record<string, unknown>;
}

/** A plain copy: nested structs as objects, lists and arrays as arrays, maps as arrays of [key, value], refs as
 * `{ slot, generation }`. It stays what it is when the record changes.
 * @throws StateError `STATE_FREED` */
export function plain<T extends object>(record: T): Plain<T> {
  const decodable = record as unknown as Partial<Decodable>;
  if (typeof decodable[DECODE] !== 'function') throw new TypeError('plain() takes a record of a state');
  return decodable[DECODE]() as Plain<T>;
}

type Inspect = (value: unknown, options: object) => string;

function hidden(target: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: false, configurable: true, writable: true });
}

/** Give the prototype of a record class its face. `prototype` is the user's, for the name and the getters.
 * @param variant the class's name where the record is one of a family */
export function recordFace(
  target: object,
  prototype: object,
  layout: StructLayout,
  mem: Arrays,
  wordOf: (view: object) => number,
  options: DecodeOptions,
  variant?: string,
): void {
  hidden(target, DECODE, function (this: object, withHidden = false) {
    const data = decodeStruct(mem, layout, wordOf(this), withHidden ? { ...options, hidden: true } : options);
    return variant === undefined ? data : { variant, ...data };
  });
  hidden(target, 'toJSON', function (this: Decodable) {
    return this[DECODE]();
  });
  hidden(target, INSPECT, function (this: Decodable, depth: number, inspectOptions: object, inspect: Inspect) {
    let data: Record<string, unknown>;
    try {
      data = this[DECODE]();
    } catch {
      return `${layout.name} <freed>`;
    }
    return inspect(Object.assign(Object.create(prototype), data), { ...inspectOptions, depth });
  });
}

/** One for all: a getter of its own would give each view a hidden class of its own, and slow down all that is called on it. */
const CONTENT_OF: PropertyDescriptor = {
  get(this: { toArray(): unknown }) {
    return this.toArray();
  },
  enumerable: true,
  configurable: false,
};

/** A container prints and serialises as the plain value it holds. Runners that compare by own properties (node:assert)
 * find its content under an own symbol; those that compare iterables (vitest) iterate. */
export function asValue(view: { toArray(): unknown }): void {
  Object.defineProperty(view, CONTENT, CONTENT_OF);
}

/** Put `toJSON` and the printed form on the prototypes of container classes. */
export function containerFace(prototype: object): void {
  hidden(prototype, 'toJSON', function (this: { toArray(): unknown[] }) {
    return this.toArray();
  });
  hidden(
    prototype,
    INSPECT,
    function (this: { toArray(): unknown[] }, depth: number, options: object, inspect: Inspect) {
      try {
        return inspect(this.toArray(), { ...options, depth });
      } catch {
        return '<freed>';
      }
    },
  );
}
