/** Reader: a live state as of one commit, from any process, without its code and without stopping its owner.
 *
 * All that one `snapshot` reads is commit c0 exactly, whatever the owner has committed or rolled back since, and whether
 * it lives or not. mirror.ts copies; what is here knows where records are. Nothing is written that the owner could see. */
import { fromDescription, type PoolLayout, type StateLayout, type StructLayout } from '@lich/schema';
import { type Segment, ShmError } from '../shm/index.ts';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP } from './accessors.ts';
import { checkState } from './check.ts';
import { type DecodeOptions, decodeStruct } from './decode.ts';
import { catalogBytes } from './catalog-text.ts';
import { decodeRecord } from './decode-record.ts';
import { StateError, type Violation } from './errors.ts';
import { BLOCK_HEADER, FIRST as HEAP_HEAD, SIZE } from './heap.ts';
import { LAPPED, Mirror, type MirrorFlaws } from './mirror.ts';
import { placesOf, rootBytes } from './plan.ts';
import { HIGH, LIVE, PoolSlots, poolPlaces } from './pool-places.ts';
import { COMMIT_NO, FORMATTED, STAMP_HI, STAMP_LO } from './words.ts';

/** Attempts before a snapshot is given up, each from a newer commit; and how long they may take. */
const TRIES = 100;
const TRIES_MS = 10_000;
/** Words copied at a time by walks over a pool. */
const SCAN_WORDS = 1 << 15;
/** Slots copied in one go. */
const GROUP_MAX = 256;
/** Memory that a mirror keeps from one snapshot to the next, and that a scan uses. */
const KEEP_BYTES = 16 * 1_048_576;

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
  /** Several at once, copied in one go: the cheapest way to read a group. Undefined where no record lives. */
  group(pool: string, slots: Iterable<number>): (RecordEntry | undefined)[];
  /** All live records by slot. */
  pool(name: string): Map<number, Record<string, unknown>>;
  entries(name: string): RecordEntry[];
  /** Visit all live records in slot order, in bounded memory. */
  scan(name: string, visit: (entry: RecordEntry) => void): void;
  /** Visit the slots that changed at or after a stamp, in slot order; where none lives any more, the record is undefined.
   * Skips 64 slots at a time. @param since 0 = all slots that were ever used */
  changed(name: string, since: number, visit: (slot: number, entry: RecordEntry | undefined) => void): void;
  /** What changes after this commit has this stamp or a higher one: pass it to `changed` of a later snapshot. Some of what
   * this one sees may have it too, and is then seen twice. */
  readonly stamp: number;
}

/** Reads a state segment that another process may be writing. One snapshot at a time. */
export interface StoreReader {
  readonly segment: Segment;
  readonly layouts: StateLayout;
  /** Read as of one commit. `fn` may run several times: it reads and returns, nothing else.
   * @throws StateError `STATE_SNAPSHOT` when the owner laps its log between two steps of the read, again and again;
   * `STATE_NOT_READY` when the owner has not yet written the first words */
  snapshot<T>(fn: (s: Snapshot) => T): T;
  /** Commits so far. */
  readonly commitNo: number;
  /** Walk every structure in a copy as of one commit. O(size of the state), and as much memory, given back at the end. */
  check(): Violation[];
}

/** What `openReader` takes. */
export interface ReaderOptions {
  /** Show the runtime's fields (`$…`) too. Default false. */
  readonly hidden?: boolean;
  /** @internal */
  readonly flaws?: MirrorFlaws;
}

/** The layout that a segment was made with, from its own catalog.
 * @throws SchemaError `SCHEMA_CATALOG` */
export function catalogOf(segment: Segment): StateLayout {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(catalogBytes(segment)));
  } catch (error) {
    return fromDescription(String(error));
  }
  return fromDescription(json);
}

/** Read a state segment from outside; it may be mapped read-only.
 * @throws StateError `STATE_UNSUPPORTED` on a machine that is not x86-64, `STATE_LAYOUT`; SchemaError `SCHEMA_CATALOG` */
export function openReader(segment: Segment, options: ReaderOptions = {}): StoreReader {
  return new Reader(segment, options);
}

/** A pool as a reader knows it. @internal */
export interface PoolPart {
  readonly name: string;
  readonly layout: StructLayout;
  /** The classes of a family. */
  readonly variants: PoolLayout['variants'];
  /** Of the region. */
  readonly word: number;
  /** Addresses, over the mirror. */
  readonly slots: PoolSlots;
}

/** @internal What `openReader` gives, for those who build on it. */
export class Reader implements StoreReader {
  readonly segment: Segment;
  readonly layouts: StateLayout;
  readonly mirror: Mirror;
  readonly rootWord: number;
  readonly #logWords: number;
  readonly #poolWords: readonly number[];
  readonly #heap: { readonly word: number; readonly words: number } | undefined;
  readonly #pools = new Map<string, PoolPart>();
  readonly decodeOptions: DecodeOptions;
  readonly #snapshot: Snapshot;
  #stamp = 0;
  #running = false;
  /** Views stand over the mirror: a scan may not give memory back. */
  #pinned = false;
  /** Walks that are under way, one inside the other. */
  #walks = 0;

  constructor(segment: Segment, options: ReaderOptions) {
    if (process.arch !== 'x64') {
      throw new StateError(
        'STATE_UNSUPPORTED',
        `reads from outside need the store order of x86-64, this machine is ${process.arch}`,
      );
    }
    this.segment = segment;
    this.layouts = catalogOf(segment);
    const places = placesOf(segment, this.layouts);
    this.rootWord = places.root;
    this.#logWords = places.logWords;
    this.#poolWords = places.pools;
    const heap = segment.regions.get('heap');
    this.#heap = heap && { word: heap.offset / 4, words: heap.bytes / 4 };
    const mirror = new Mirror(segment, places.log, places.logWords, options.flaws);
    this.mirror = mirror;
    const decodeOptions = {
      ...(options.hidden === true && { hidden: true }),
      heapWord: this.#heap?.word ?? 0,
      need: (word: number, count: number) => mirror.need(word, count),
    };
    this.decodeOptions = decodeOptions;
    this.layouts.pools.forEach(({ name, layout, variants, capacity }, index) => {
      const word = places.pools[index]!;
      const slots = new PoolSlots(mirror.u32, poolPlaces(layout, capacity), word, this.heapWord);
      this.#pools.set(name, { name, layout, variants, word, slots });
    });
    this.#snapshot = this.#face();
  }

  get commitNo(): number {
    return this.segment.f64[COMMIT_NO >> 1];
  }

  snapshot<T>(fn: (s: Snapshot) => T): T {
    return this.run(fn, false);
  }

  /** @internal Run a read, again where the log was lapped. @param pinned what it brings stays until its end */
  run<T>(read: (s: Snapshot) => T, pinned: boolean): T {
    if (this.#running) throw new TypeError('a snapshot cannot be taken inside another one of the same reader');
    const { mirror, segment } = this;
    if (segment.closed) throw new ShmError('SHM_CLOSED', `${segment.path} is closed`);
    if (segment.i32[FORMATTED] !== 1) {
      throw new StateError(
        'STATE_NOT_READY',
        `${segment.name}: its owner has not yet written the first words; try again`,
        { severity: 'warn' },
      );
    }
    this.#running = true;
    this.#pinned = pinned;
    const beganMs = performance.now();
    let window = 0;
    try {
      for (let tries = 1; ; tries++) {
        if (mirror.usedBytes > KEEP_BYTES) mirror.release();
        this.#stamp = this.#stampNow();
        this.#walks = 0;
        mirror.begin();
        try {
          const result = read(this.#snapshot);
          // Whoever catches everything has caught that, too.
          if (!mirror.lapped) return result;
        } catch (error) {
          if (error !== LAPPED) throw error;
        } finally {
          mirror.end();
        }
        window = Math.max(window, mirror.window);
        if (tries === TRIES || performance.now() - beganMs > TRIES_MS) {
          const { name } = this.segment;
          const what = mirror.slow
            ? `${tries} times more than a second passed between two steps of a snapshot of ${name}: take out what is needed, and do what takes time after it`
            : `${tries} times the owner of ${name} wrote over what a snapshot needed of its log: up to ${window} words between two steps of the read, of ${this.#logWords}. Read less in one step, or raise limits.logBytes (${this.#logWords * 4})`;
          throw new StateError('STATE_SNAPSHOT', what, { severity: 'warn' });
        }
      }
    } finally {
      this.#running = false;
    }
  }

  check(): Violation[] {
    const places = placesOf(this.segment, this.layouts);
    return this.whole(mirror =>
      checkState(mirror, this.layouts, { ...places, root: this.rootWord, pools: this.#poolWords }),
    );
  }

  /** Read a copy of everything as of one commit, each word at its own index. The memory is given back at the end. */
  whole<T>(fn: (mirror: Mirror) => T): T {
    return this.run(() => {
      const { mirror } = this;
      // What is damaged may lead to words that are not brought: those are zero.
      mirror.release();
      mirror.need(this.rootWord, rootBytes(this.layouts) / 4);
      for (const pool of this.#pools.values()) {
        const { grows, bytes, stride, slots } = pool.slots.places;
        mirror.need(pool.word, grows ? bytes / 4 : slots);
        if (!grows) this.#bulk(pool.word + slots, this.#highOf(pool) * stride);
      }
      const heap = this.#heap;
      if (heap !== undefined) {
        mirror.need(heap.word, Math.min(HEAP_HEAD, heap.words));
        this.#bulk(heap.word, Math.min(Math.max(mirror.u32[heap.word], HEAP_HEAD), heap.words));
      }
      // All of it is here: what follows takes its time.
      const found = fn(mirror);
      mirror.release();
      return found;
    }, true);
  }

  /** Words as of the commit, in steps that the ring outlasts. */
  #bulk(word: number, count: number): void {
    for (let from = 0; from < count; from += SCAN_WORDS)
      this.mirror.need(word + from, Math.min(SCAN_WORDS, count - from));
  }

  /** @internal */
  partOf(name: string): PoolPart {
    const found = this.#pools.get(name);
    if (found !== undefined) return found;
    throw new TypeError(
      `there is no pool \`${name}\`; there ${this.#pools.size === 1 ? 'is' : 'are'} ${[...this.#pools.keys()].join(', ') || 'none'}`,
    );
  }

  /** Slots below may be used, as of the commit, and their addresses are there. */
  #highOf({ word, slots }: PoolPart): number {
    this.mirror.need(word + HIGH, 1);
    const high = Math.min(this.mirror.u32[word + HIGH], slots.places.capacity);
    const directory = slots.directoryWords(high);
    if (directory > 0) this.mirror.need(slots.directory, directory);
    return high;
  }

  /** @internal Live records, as of the commit. */
  liveOf(pool: PoolPart): number {
    this.mirror.need(pool.word + LIVE, 1);
    return this.mirror.u32[pool.word + LIVE];
  }

  /** @internal The slot that begins at a word, and is there. */
  slotAt(word: number): number {
    return (this.mirror.u32[word] ^ FENCE) >>> 0;
  }

  /** @internal Copy a slot; it may be read after `mirror.settle`. @returns false when there is none of that number */
  bringSlot(pool: PoolPart, slot: number): boolean {
    const { slots } = pool;
    if (slot >>> 0 !== slot || slot >= this.limitOf(pool)) return false;
    this.mirror.bring(slots.base(slot), slots.places.stride);
    return true;
  }

  /** @internal Slots from here on have no place. One below that was never used is zero, or not there yet. */
  limitOf(pool: PoolPart): number {
    const { grows, capacity } = pool.slots.places;
    return grows ? this.#highOf(pool) : capacity;
  }

  /** @internal Copy many slots, neighbours in one go; they are there after. Those that have no place are left out. */
  bringSlots(pool: PoolPart, wanted: readonly number[]): void {
    const { slots } = pool;
    const { stride } = slots.places;
    const limit = this.limitOf(pool);
    for (let k = 0; k < wanted.length; ) {
      const slot = wanted[k]!;
      if (slot >>> 0 !== slot || slot >= limit) {
        k++;
        continue;
      }
      let count = 1;
      while (k + count < wanted.length && wanted[k + count] === slot + count && slot + count < limit) count++;
      count = slots.run(slot, Math.min(count, GROUP_MAX));
      this.mirror.bring(slots.base(slot), count * stride);
      k += count;
    }
    this.mirror.settle();
  }

  /** @internal Word of link 0. */
  get heapWord(): number {
    return this.#heap?.word ?? 0;
  }

  /** @internal A block of the heap is there, all of it. @returns false when the link leads nowhere, or to less than `least`
   * words */
  bringBlock(link: number, least: number): boolean {
    const heap = this.#heap;
    if (heap === undefined || link < HEAP_HEAD || link >= heap.words) return false;
    const block = heap.word + link - BLOCK_HEADER;
    this.mirror.need(block, BLOCK_HEADER);
    const words = this.mirror.i32[block + 1] & SIZE;
    if (words < least + BLOCK_HEADER || words > heap.words - link + BLOCK_HEADER) return false;
    this.mirror.need(block, words);
    return true;
  }

  /** @internal The root's words are there. */
  needRoot(): void {
    this.mirror.need(this.rootWord, Math.max(1, this.layouts.root.bytes / 4));
  }

  /** The record in a slot that is there. A slot that was never used is zero: its generation is even. */
  #entryAt(pool: PoolPart, slot: number): RecordEntry | undefined {
    const { mirror } = this;
    const at = pool.slots.base(slot);
    const generation = mirror.u32[at + SLOT_GENERATION];
    if ((generation & 1) === 0) return undefined;
    const stamp = mirror.u32[at + SLOT_STAMP + 1] * 0x1_0000_0000 + mirror.u32[at + SLOT_STAMP];
    return { slot, generation, stamp, value: decodeRecord(pool, mirror, at + SLOT_HEADER, this.decodeOptions) };
  }

  #entry(name: string, slot: number): RecordEntry | undefined {
    const pool = this.partOf(name);
    if (!this.bringSlot(pool, slot)) return undefined;
    this.mirror.settle();
    return this.#entryAt(pool, slot);
  }

  #group(name: string, slots: Iterable<number>): (RecordEntry | undefined)[] {
    const pool = this.partOf(name);
    const wanted = [...slots];
    this.bringSlots(pool, wanted);
    const limit = this.limitOf(pool);
    return wanted.map(slot => (slot >>> 0 === slot && slot < limit ? this.#entryAt(pool, slot) : undefined));
  }

  #scan(name: string, visit: (entry: RecordEntry) => void): void {
    const pool = this.partOf(name);
    this.walk(pool, slot => {
      const entry = this.#entryAt(pool, slot);
      if (entry !== undefined) visit(entry);
    });
  }

  /** @internal Visit slots that may have live records, when they are there. Those of live records are among them. */
  walk(pool: PoolPart, visit: (slot: number) => void): void {
    const { mirror } = this;
    const { slots } = pool;
    const { stride } = slots.places;
    const high = this.#highOf(pool);
    const step = Math.max(64, Math.floor(SCAN_WORDS / stride / 64) * 64);
    this.#walks++;
    for (let from = 0, count = 0; from < high; from += count) {
      this.#giveBack(pool);
      count = slots.run(from, Math.min(step, high - from));
      const bits = slots.bits(from);
      mirror.need(bits, Math.ceil(count / 32));
      let first = -1;
      let last = -1;
      for (let k = 0; k < count; k++) {
        if (((mirror.i32[bits + (k >>> 5)] >>> (k & 31)) & 1) === 0) continue;
        if (first < 0) first = k;
        last = k;
      }
      if (first < 0) continue;
      mirror.need(slots.base(from + first), (last - first + 1) * stride);
      for (let slot = from + first; slot <= from + last; slot++) visit(slot);
    }
    this.#walks--;
  }

  /** Between two steps of a walk: memory is bounded. Only the addresses of the pool are still needed. */
  #giveBack(pool: PoolPart): void {
    // A walk inside the visit of another one leaves what that one stands on.
    if (this.#pinned || this.#walks > 1 || this.mirror.usedBytes <= KEEP_BYTES) return;
    this.mirror.release();
    this.#highOf(pool);
  }

  #changed(name: string, since: number, visit: (slot: number, entry: RecordEntry | undefined) => void): void {
    const pool = this.partOf(name);
    const { mirror } = this;
    const { slots } = pool;
    const U = mirror.u32;
    const high = this.#highOf(pool);
    const stampAt = (word: number) => U[word + 1] * 0x1_0000_0000 + U[word];
    this.#walks++;
    for (let from = 0; from < high; from += 64) {
      this.#giveBack(pool);
      const block = slots.block(from);
      mirror.need(block, 2);
      if (stampAt(block) < since) continue;
      const count = Math.min(64, high - from);
      mirror.need(slots.base(from), count * slots.places.stride);
      for (let slot = from; slot < from + count; slot++) {
        if (stampAt(slots.base(slot) + SLOT_STAMP) >= since) visit(slot, this.#entryAt(pool, slot));
      }
    }
    this.#walks--;
  }

  #face(): Snapshot {
    const entriesOf = (name: string): RecordEntry[] => {
      const all: RecordEntry[] = [];
      this.#scan(name, entry => void all.push(entry));
      return all;
    };
    const stamp = () => this.#stamp;
    return {
      root: () => {
        this.needRoot();
        return decodeStruct(this.mirror, this.layouts.root, this.rootWord, this.decodeOptions);
      },
      entry: (name, slot) => this.#entry(name, slot),
      record: (name, slot) => this.#entry(name, slot)?.value,
      group: (name, slots) => this.#group(name, slots),
      entries: entriesOf,
      pool: name => new Map(entriesOf(name).map(({ slot, value }) => [slot, value])),
      scan: (name, visit) => this.#scan(name, visit),
      changed: (name, since, visit) => this.#changed(name, since, visit),
      get stamp() {
        return stamp();
      },
    };
  }

  /** The current change stamp, or a lower one. Its high word is stored first: while its low word is still the last one of
   * the line before, only the high one counts. */
  #stampNow(): number {
    const U = this.segment.u32;
    const hi = U[STAMP_HI];
    const lo = U[STAMP_LO];
    return hi * 0x1_0000_0000 + (lo === 0xffff_ffff ? 0 : lo);
  }
}
