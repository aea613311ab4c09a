/** Crash points: what is left of one or several segments when their process stops after its n-th store, for every n.
 *
 * The code under test runs once over typed arrays that write down each store. Cutting that record after n stores gives
 * the very bytes that a process killed there leaves behind, so the workload runs once and not once per crash point:
 *
 *   const trace = new StoreTrace();
 *   const S = memorySegment({ …, wrap: trace.wrap('S') }), O = memorySegment({ …, wrap: trace.wrap('O') });
 *   … set up …
 *   trace.start({ S, O });
 *   trace.atomics(() => { … the workload … });
 *   trace.replay((n, bytes) => { open bytes.S and bytes.O as the next process would; recover; check; compare });
 *
 * Stores are taken in program order. That the machine code keeps this order is for the single-stepper to show. */
import type { Segment } from '../shm/index.ts';

type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

const TARGET = Symbol('target');
const SEGMENT = Symbol('segment');

export interface TracedStore {
  readonly segment: string;
  readonly offset: number;
  /** The bytes after it, little-endian. */
  readonly bytes: Uint8Array;
}

export class StoreTrace {
  #stores: TracedStore[] = [];
  #recording = false;
  #initial = new Map<string, Uint8Array>();

  /** For `memorySegment({ wrap })`: arrays that write down their stores. */
  wrap(segment: string): <A extends object>(array: A) => A {
    return array => this.#proxy(array as unknown as TypedArray, segment) as never;
  }

  /** Stores from here on are written down; `segments` are as they are now. */
  start(segments: Readonly<Record<string, Segment>>): void {
    this.#stores = [];
    this.#initial = new Map(
      Object.entries(segments).map(([name, segment]) => [
        name,
        new Uint8Array(segment.buffer).slice(0, segment.sizeBytes),
      ]),
    );
    this.#recording = true;
  }

  stop(): void {
    this.#recording = false;
  }

  /** Stores written down so far: to note where a transaction begins and ends. */
  get length(): number {
    return this.#stores.length;
  }

  get stores(): readonly TracedStore[] {
    return this.#stores;
  }

  /** Change the record, to plant a bug that the harness must find. */
  mutate(change: (stores: TracedStore[]) => TracedStore[]): void {
    this.#stores = change([...this.#stores]);
  }

  /** Visit each crash point, in order: the bytes of all segments after the first n stores. The arrays are reused: copy
   * what is changed. @param step visit every step-th point; the last is always visited */
  replay(visit: (n: number, bytes: Readonly<Record<string, Uint8Array>>) => void, step = 1): void {
    this.stop();
    const images: Record<string, Uint8Array> = {};
    for (const [name, bytes] of this.#initial) images[name] = bytes.slice();
    visit(0, images);
    this.#stores.forEach((store, k) => {
      images[store.segment]!.set(store.bytes, store.offset);
      const n = k + 1;
      if (n % step === 0 || n === this.#stores.length) visit(n, images);
    });
  }

  /** Run `work` with Atomics that accept the arrays of this trace. */
  atomics<T>(work: () => T): T {
    const originals = new Map<string, unknown>();
    const note = (segment: string, target: TypedArray, index: number) => this.#note(segment, target, index);
    for (const name of ['load', 'store', 'add', 'sub', 'and', 'or', 'xor', 'exchange', 'compareExchange'] as const) {
      const original = Atomics[name] as (array: TypedArray, index: number, ...values: unknown[]) => unknown;
      originals.set(name, original);
      (Atomics as unknown as Record<string, unknown>)[name] = (
        array: TypedArray & { [TARGET]?: TypedArray; [SEGMENT]?: string },
        index: number,
        ...values: unknown[]
      ) => {
        const target = array[TARGET];
        if (target === undefined) return original(array, index, ...values);
        const result = original(target, index, ...values);
        if (name !== 'load') note(array[SEGMENT]!, target, index);
        return result;
      };
    }
    try {
      return work();
    } finally {
      for (const [name, original] of originals) (Atomics as unknown as Record<string, unknown>)[name] = original;
    }
  }

  #proxy(target: TypedArray, segment: string): TypedArray {
    const stored = (index: number) => this.#note(segment, target, index);
    const part = (array: TypedArray) => this.#proxy(array, segment);
    return new Proxy(target, {
      get(_, key) {
        if (key === TARGET) return target;
        if (key === SEGMENT) return segment;
        const value = (target as unknown as Record<PropertyKey, unknown>)[key];
        if (typeof value !== 'function') return value;
        if (key === 'subarray') return (from: number, to: number) => part(target.subarray(from, to) as TypedArray);
        if (key === 'fill') {
          return (filler: never, from = 0, to = target.length) => {
            for (let k = from; k < to; k++) {
              target[k] = filler;
              stored(k);
            }
          };
        }
        if (key === 'set') {
          return (values: ArrayLike<never>, at = 0) => {
            for (let k = 0; k < values.length; k++) {
              target[at + k] = values[k]!;
              stored(at + k);
            }
          };
        }
        if (key === 'copyWithin' || key === 'sort' || key === 'reverse')
          throw new TypeError(`${key} stores in no stated order: use a loop`);
        return (value as (...args: unknown[]) => unknown).bind(target);
      },
      set(_, key, value) {
        (target as unknown as Record<PropertyKey, unknown>)[key] = value;
        stored(Number(key));
        return true;
      },
    });
  }

  #note(segment: string, target: TypedArray, index: number): void {
    if (!this.#recording) return;
    const size = target.BYTES_PER_ELEMENT;
    const offset = target.byteOffset + index * size;
    this.#stores.push({ segment, offset, bytes: new Uint8Array(target.buffer, offset, size).slice() });
  }
}

/** Plant the bug that no random kill finds: each logged store of one word happens before the log position that covers it.
 * @param logPosOffset byte offset of logPos in that segment */
export function dataBeforeLog(stores: TracedStore[], segment: string, logPosOffset: number): TracedStore[] {
  for (let k = 0; k + 1 < stores.length; k++) {
    const here = stores[k]!;
    const next = stores[k + 1]!;
    if (
      here.segment === segment &&
      here.offset === logPosOffset &&
      next.segment === segment &&
      next.offset !== logPosOffset
    ) {
      stores[k] = next;
      stores[k + 1] = here;
      k++;
    }
  }
  return stores;
}
