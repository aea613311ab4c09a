/** Reader: consistent plain copies of a live state, from any process, without its code and without stopping its owner.
 *
 *   READ   c0 = comPos · copy the words · p = logPos · undo the entries [c0, p), newest to oldest, in the copy
 *          valid if logPos - c0 stayed below the ring's size (less one entry that is being written), within one second
 *
 *   ring   ─ ─ ┴ c0 │ e │ e │ e ┴ p ─ ─ ┴ logPos by now          what was copied late is taken back to c0
 *
 * The result is commit c0 exactly, whatever was committed or rolled back since, and whether the owner lives or not. All
 * reads inside one `snapshot` are as of the same commit. It relies on stores becoming visible in program order: x86-64. */
import { fromDescription, type StateLayout } from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP } from './accessors.ts';
import { checkState } from './check.ts';
import { decodeStruct } from './decode.ts';
import { StateError, type Violation } from './errors.ts';
import type { Arrays } from './memory.ts';
import { placesOf, rootBytes } from './plan.ts';
import { BITMAP, HIGH, type PoolPlaces, poolPlaces } from './pool.ts';
import { COM_POS, COMMIT_NO, ENTRY_WORDS_MAX, LOG_POS, LOG_SLACK } from './words.ts';

const TRY_MS = 1_000;
/** Attempts before a snapshot is given up: each starts from a newer commit. */
const TRIES = 100;
/** Slots copied at a time by `pool`. */
const COPY_WORDS = 1 << 16;

/** What one read saw of a record. */
export interface RecordEntry {
  readonly slot: number;
  readonly generation: number;
  /** When it changed last; see `UndoLog.nextStamp`. */
  readonly stamp: number;
  readonly value: Record<string, unknown>;
}

/** State as of one commit. Usable only inside the function given to `snapshot`. */
export interface Snapshot {
  /** Root fields. */
  root(): Record<string, unknown>;
  /** A live record as a plain object, or undefined. @throws TypeError when there is no such pool */
  record(pool: string, slot: number): Record<string, unknown> | undefined;
  /** The same with slot, generation and stamp. */
  entry(pool: string, slot: number): RecordEntry | undefined;
  /** All live records by slot. */
  pool(name: string): Map<number, Record<string, unknown>>;
  entries(name: string): RecordEntry[];
}

/** Reads a state segment that another process may be writing. */
export interface StoreReader {
  readonly segment: Segment;
  readonly layouts: StateLayout;
  /** Read as of one commit. `fn` may run several times: it reads and returns, nothing else.
   * @throws StateError `STATE_SNAPSHOT` when the owner laps the log faster than `fn` reads: read less at a time, or raise
   * its `logWords` */
  snapshot<T>(fn: (s: Snapshot) => T): T;
  /** Commits so far. */
  readonly commitNo: number;
  /** Walk every structure in a copy as of one commit. O(size of the state), and as much memory. */
  check(): Violation[];
}

/** What `openReader` takes. */
export interface ReaderOptions {
  /** Show the runtime's fields (`$…`) too. Default false. */
  readonly hidden?: boolean;
}

/** The layout that a segment was made with, from its own catalog.
 * @throws SchemaError `SCHEMA_CATALOG` */
export function catalogOf(segment: Segment): StateLayout {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(segment.catalog));
  } catch (error) {
    return fromDescription(String(error));
  }
  return fromDescription(json);
}

/** Read a state segment from outside; it may be mapped read-only.
 * @throws StateError `STATE_UNSUPPORTED` on a machine that is not x86-64, `STATE_LAYOUT`; SchemaError `SCHEMA_CATALOG` */
export function openReader(segment: Segment, options: ReaderOptions = {}): StoreReader {
  if (process.arch !== 'x64') {
    throw new StateError(
      'STATE_UNSUPPORTED',
      `reads from outside need the store order of x86-64, this machine is ${process.arch}`,
    );
  }
  return new Reader(segment, options);
}

/** Thrown inside a snapshot to begin again. */
const LAPPED = Symbol('lapped');

function arraysOver(bytes: number): Arrays {
  const buffer = new ArrayBuffer(bytes);
  return {
    i8: new Int8Array(buffer),
    u8: new Uint8Array(buffer),
    i16: new Int16Array(buffer),
    u16: new Uint16Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
    i64: new BigInt64Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}

class Reader implements StoreReader {
  readonly segment: Segment;
  readonly layouts: StateLayout;
  readonly #I: Int32Array;
  readonly #logBase: number;
  readonly #logMask: number;
  readonly #rootWord: number;
  readonly #poolWords: readonly number[];
  readonly #pools = new Map<string, { index: number; places: PoolPlaces }>();
  readonly #hidden: { readonly hidden?: boolean };
  #scratch: Arrays = arraysOver(4096);

  constructor(segment: Segment, options: ReaderOptions) {
    this.segment = segment;
    this.layouts = catalogOf(segment);
    const places = placesOf(segment, this.layouts);
    this.#I = segment.i32;
    this.#logBase = places.log;
    this.#logMask = places.logWords - 1;
    this.#rootWord = places.root;
    this.#poolWords = places.pools;
    this.#hidden = options.hidden === true ? { hidden: true } : {};
    this.layouts.pools.forEach((pool, index) =>
      this.#pools.set(pool.name, { index, places: poolPlaces(pool.layout, pool.capacity) }),
    );
  }

  get commitNo(): number {
    return this.segment.f64[COMMIT_NO >> 1];
  }

  snapshot<T>(fn: (s: Snapshot) => T): T {
    for (let tries = 0; tries < TRIES; tries++) {
      const run = { c0: Atomics.load(this.#I, COM_POS), deadlineMs: performance.now() + TRY_MS, open: true };
      try {
        return fn(this.#snapshotAt(run));
      } catch (error) {
        if (error !== LAPPED) throw error;
      } finally {
        run.open = false;
      }
    }
    throw new StateError(
      'STATE_SNAPSHOT',
      `${TRIES} times the owner wrote ${this.#logMask + 1} words of log while this was read: read less in one snapshot, or raise its logWords`,
      { severity: 'warn' },
    );
  }

  check(): Violation[] {
    return this.snapshot(s => {
      const read = (s as unknown as { words(from: number, count: number, into: Arrays, at: number): void }).words;
      const copy = arraysOver(this.segment.sizeBytes);
      read(this.#rootWord, rootBytes(this.layouts) / 4, copy, this.#rootWord);
      this.layouts.pools.forEach((pool, k) => {
        const word = this.#poolWords[k]!;
        const { slots, stride } = this.#pools.get(pool.name)!.places;
        read(word, slots, copy, word);
        const high = Math.min(copy.u32[word + HIGH], pool.capacity);
        const all = stride * high;
        for (let from = 0; from < all; from += COPY_WORDS)
          read(word + slots + from, Math.min(COPY_WORDS, all - from), copy, word + slots + from);
      });
      return checkState(copy, this.layouts, { root: this.#rootWord, pools: this.#poolWords });
    });
  }

  /** @param run of this attempt: `open` ends with it */
  #snapshotAt(run: { c0: number; deadlineMs: number; open: boolean }): Snapshot {
    const words = (from: number, count: number, into: Arrays, at: number): void => {
      if (!run.open) throw new TypeError('a snapshot is read inside the function that it was given to');
      if (!this.#copy(run.c0, from, count, into.i32, at) || performance.now() > run.deadlineMs) throw LAPPED;
    };
    const poolOf = (name: string) => {
      const found = this.#pools.get(name);
      if (found === undefined)
        throw new TypeError(
          `there is no pool \`${name}\`; there ${this.#pools.size === 1 ? 'is' : 'are'} ${[...this.#pools.keys()].join(', ') || 'none'}`,
        );
      return { ...found, word: this.#poolWords[found.index]!, layout: this.layouts.pools[found.index]!.layout };
    };
    const entryAt = (mem: Arrays, at: number, slot: number, layout: StateLayout['root']): RecordEntry | undefined => {
      const generation = mem.u32[at + SLOT_GENERATION];
      if ((generation & 1) === 0) return undefined;
      const stamp = mem.u32[at + SLOT_STAMP + 1] * 0x1_0000_0000 + mem.u32[at + SLOT_STAMP];
      return { slot, generation, stamp, value: decodeStruct(mem, layout, at + SLOT_HEADER, this.#hidden) };
    };
    const entry = (name: string, slot: number): RecordEntry | undefined => {
      const { word, layout, places, index } = poolOf(name);
      if (slot >>> 0 !== slot || slot >= this.layouts.pools[index]!.capacity) return undefined;
      const mem = this.#room(places.stride);
      // A slot that was never used has no page yet, perhaps; its generation would be even.
      words(word + HIGH, 1, mem, 0);
      if (slot >= mem.u32[0]) return undefined;
      words(word + places.slots + slot * places.stride, places.stride, mem, 0);
      return entryAt(mem, 0, slot, layout);
    };
    const entries = (name: string): RecordEntry[] => {
      const { word, layout, places, index } = poolOf(name);
      const { capacity } = this.layouts.pools[index]!;
      const perCopy = Math.max(32, Math.floor(COPY_WORDS / places.stride / 32) * 32);
      const mem = this.#room(places.stride * perCopy + perCopy / 32);
      words(word + HIGH, 1, mem, 0);
      const high = Math.min(mem.u32[0], capacity);
      const out: RecordEntry[] = [];
      for (let from = 0; from < high; from += perCopy) {
        const count = Math.min(perCopy, high - from);
        words(word + BITMAP + from / 32, Math.ceil(count / 32), mem, 0);
        let any = 0;
        for (let k = 0; k < Math.ceil(count / 32); k++) any |= mem.u32[k];
        if (any === 0) continue;
        words(word + places.slots + from * places.stride, count * places.stride, mem, 0);
        for (let k = 0; k < count; k++) {
          const found = entryAt(mem, k * places.stride, from + k, layout);
          if (found !== undefined) out.push(found);
        }
      }
      return out;
    };
    const snapshot: Snapshot & { words: typeof words } = {
      words,
      root: () => {
        const count = Math.max(1, this.layouts.root.bytes / 4);
        const mem = this.#room(count);
        words(this.#rootWord, count, mem, 0);
        return decodeStruct(mem, this.layouts.root, 0, this.#hidden);
      },
      entry,
      record: (name, slot) => entry(name, slot)?.value,
      entries,
      pool: name => new Map(entries(name).map(({ slot, value }) => [slot, value])),
    };
    return snapshot;
  }

  #room(words: number): Arrays {
    if (this.#scratch.i32.length < words) this.#scratch = arraysOver(Math.ceil(words / 1024) * 4096);
    return this.#scratch;
  }

  /** Copy words and take them back to commit c0. @returns false when the ring was lapped meanwhile */
  #copy(c0: number, from: number, count: number, into: Int32Array, at: number): boolean {
    const I = this.#I;
    const base = this.#logBase;
    const mask = this.#logMask;
    const most = mask + 1 - LOG_SLACK;
    for (let k = 0; k < count; k++) into[at + k] = I[from + k];
    const p = Atomics.load(I, LOG_POS);
    if (((p - c0) | 0) > most || ((p - c0) | 0) < 0) return false;
    const shift = at - from;
    const to = from + count;
    for (let q = (p - 2) | 0; ((q - c0) | 0) >= 0; q = (q - 2) | 0) {
      const k = (q & mask) + base;
      const index = I[k];
      if (index >= 0) {
        if (index >= from && index < to) into[index + shift] = I[k + 1];
        continue;
      }
      const size = I[k + 1];
      // Only an entry that is being overwritten can look like that; the test below would see it too, but later.
      if (size < 0 || size > ENTRY_WORDS_MAX) return false;
      const word = index & 0x7fff_ffff;
      q = (q - ((size + 1) & -2)) | 0;
      if (((q - c0) | 0) < 0) return false;
      if (word >= to || word + size <= from) continue;
      for (let n = Math.max(0, from - word); n < size && word + n < to; n++)
        into[word + n + shift] = I[((q + n) & mask) + base];
    }
    const now = Atomics.load(I, LOG_POS);
    return ((now - c0) | 0) <= most;
  }
}
