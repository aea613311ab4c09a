/** Migrate: a state segment copied into the layout of other code.
 *
 *   old segment, read only                 new segment, without a name yet
 *   words    commits, stamps, time   ───►  words
 *   heap     [0, high)               ───►  heap     whole: links are offsets from its start
 *   root     field by field          ───►  root
 *   pool     slot by slot            ───►  pool     slots and generations stay, so refs stay
 *
 * First the bytes, where the two layouts alone say what to do (convert.ts). Then, through the new store's own records and
 * in transactions: containers whose elements changed, what comes back from a side copy, and the `migrate` hooks of the
 * classes. What removed and rebuilt containers owned is given back to the heap.
 *
 * The old segment is not written. The new one gets its name when all is done (`createReplacement` of shm), so a kill at
 * any point leaves the old one or the new one. */
import { type AnyKind, layoutNames, ownsHeap, type PoolLayout, type StateLayout } from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP } from './accessors.ts';
import { convertStruct } from './convert.ts';
import { Unfit } from './convert-values.ts';
import type { Room } from './convert-raw.ts';
import { decode, decodeStruct } from './decode.ts';
import { StateError } from './errors.ts';
import type { Arrays, StoreContext } from './memory.ts';
import { dryRoom, goneClass, Source, stepsOf, Unfits } from './migrate-source.ts';
import {
  type ClassMigration,
  classField,
  membersOf,
  type Migration,
  migrationOf,
  type PoolMigration,
  type StructMigration,
} from './migration.ts';
import { placesOf, type StorePlan } from './plan.ts';
import type { Pool } from './pool.ts';
import { BITMAP, FREE, HIGH, LIVE, SPREADS } from './pool-places.ts';
import { releaserOf } from './release.ts';
import { openStore, type Store } from './store.ts';
import { COM_POS, COMMIT_NO, CUT, LOG_POS, MIGRATED, NOW, STAMP_HI, STAMP_LO } from './words.ts';

export interface MigrateOptions {
  /** The layout of the old segment. */
  readonly layouts: StateLayout;
  /** The segment that an earlier migration came from: what that one removed is found again there, for records that still
   * live. */
  readonly fill?: { readonly segment: Segment; readonly layouts: StateLayout } | undefined;
  /** A copy of the old segment's words as of one commit, each at its own index: when somebody writes the segment. */
  readonly memory?: Arrays;
  /** Walk all of the new state at the end. Default true. */
  readonly check?: boolean | undefined;
  /** Told now and then. @param done of `all` records */
  readonly onProgress?: (done: number, all: number) => void;
}

export interface MigrateReport {
  readonly records: number;
  /** Records that were written through their views, besides bytes that were copied. */
  readonly rebuilt: number;
  readonly ms: number;
}

/** Slots made in one transaction. */
const BATCH = 4096;
const PROGRESS_EVERY = 65_536;

/** Copy `old` into the new segment, which was just created from `plan`.
 * @throws StateError `STATE_MIGRATION` with the first values that do not fit, `STATE_HEAP_FULL`; the new segment is then to
 * be discarded */
export function migrate(old: Segment, into: Segment, plan: StorePlan, options: MigrateOptions): MigrateReport {
  const startMs = performance.now();
  const source = new Source(old, options.layouts, options.memory);
  if (options.memory === undefined) source.mustBeWhole();
  const migration = migrationOf(options.layouts, plan.layouts, layoutNames(options.layouts, plan.layouts));
  const store = openStore(into, plan) as Store<unknown>;
  const work = new Migrator(source, store, into, migration, options);
  work.run();
  if (options.check !== false) mustBeSound(store);
  return { records: work.records, rebuilt: work.rebuilt, ms: performance.now() - startMs };
}

function mustBeSound(store: Store<unknown>): void {
  const violations = store.check();
  if (violations.length > 0) {
    const [first] = violations;
    throw new StateError(
      'STATE_MIGRATION',
      `the migrated state has ${violations.length} violations, the first: ${first!.where}: ${first!.what}`,
      { severity: 'fatal' },
    );
  }
}

/** What a migration would find: values that do not fit, counted. Writes nothing. O(records).
 * @param memory a copy of the segment's words as of one commit, when somebody writes it */
export function examineMigration(
  old: Segment,
  plan: StorePlan,
  options: MigrateOptions,
  memory?: Arrays,
): { migration: Migration; records: number; unfit: Unfits; ms: number } {
  const startMs = performance.now();
  const source = new Source(old, options.layouts, memory);
  const migration = migrationOf(options.layouts, plan.layouts, layoutNames(options.layouts, plan.layouts));
  const unfit = new Unfits();
  let records = 0;
  stepsOf(migration.root, dryRoom(source, migration.root), true).run(source.root * 4, 0, unfit, () => 'the root');
  tryPlain(migration.root, source, source.root, 'the root', unfit);
  for (const { classes, from, fromIndex, to } of migration.pools) {
    const steps = new Map([...classes].map(([id, struct]) => [id, stepsOf(struct, dryRoom(source, struct), true)]));
    source.each(fromIndex, (slot, base, id) => {
      records++;
      const where = () => `${to.name}[${slot}]`;
      const struct = classes.get(id);
      if (slot >= (to.capacity || slot + 1)) unfit.add(where(), `is beyond the new capacity ${to.capacity}`);
      if (struct === undefined) return unfit.add(where(), goneClass(from, id));
      if (struct.same) return;
      steps.get(id)!.run((base + SLOT_HEADER) * 4, 0, unfit, where);
      if (struct.plain.length > 0) tryPlain(struct, source, base + SLOT_HEADER, where(), unfit);
    });
  }
  return { migration, records, unfit, ms: performance.now() - startMs };
}

function tryPlain(struct: StructMigration, source: Source, word: number, where: string, unfit: Unfits): void {
  for (const { field, from, change } of struct.plain) {
    try {
      change!(decode(source.memory, from!.kind, word, from!.offset, source.decode));
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      unfit.add(`${where}.${field.name}`, error.message);
    }
  }
}

class Migrator {
  readonly #source: Source;
  readonly #target: Source;
  readonly #store: Store<unknown>;
  readonly #context: StoreContext;
  readonly #into: Segment;
  readonly #room: Room;
  readonly #migration: Migration;
  readonly #options: MigrateOptions;
  readonly #unfit = new Unfits();
  readonly #all: number;
  /** Words of the log after which a transaction ends. */
  readonly #pauseWords: number;
  readonly #scratch: { at: number; link: number; words: number } = { at: 0, link: 0, words: 0 };
  records = 0;
  rebuilt = 0;

  constructor(source: Source, store: Store<unknown>, into: Segment, migration: Migration, options: MigrateOptions) {
    this.#source = source;
    this.#target = new Source(into, migration.to);
    this.#store = store;
    this.#context = store.context;
    this.#into = into;
    this.#room = {
      from: source.memory,
      fromHeap: source.heap,
      to: into,
      toHeap: this.#target.heap,
      view: new DataView(into.buffer as never),
      heap: store.context.heap,
      pause: () => this.#pause(),
    };
    this.#migration = migration;
    this.#options = options;
    this.#pauseWords = placesOf(into, migration.to).logWords >> 2;
    this.#all = migration.pools.reduce((sum, pool) => sum + source.memory.u32[source.word(pool.fromIndex) + LIVE], 0);
  }

  run(): void {
    const { root, pools, removed } = this.#migration;
    this.#heap();
    const { log } = this.#store;
    log.begin();
    // What the new store has put there goes.
    this.#into.i32.fill(0, this.#target.root, this.#target.rootStamp);
    stepsOf(root, this.#room, false).run(this.#source.root * 4, this.#target.root * 4, this.#unfit, () => 'the root');
    for (const pool of pools) this.#pool(pool);
    this.#unfit.refuse();
    this.#makeScratch();
    this.#rebuild(
      root,
      () => this.#store.state as object,
      this.#source.root,
      this.#rootFill(root),
      () => 'the root',
    );
    for (const pool of pools) this.#rebuildPool(pool);
    for (const { pool, index } of removed) this.#end(pool, index);
    for (const { fromIndex, same } of pools) if (!same) this.#endChunks(fromIndex);
    if (this.#scratch.link !== 0) this.#context.heap.free(this.#scratch.link);
    log.commit();
    this.#unfit.refuse();
    this.#words();
  }

  /** Numbers that go on. Stamps go on too: what was rebuilt has one of its own. */
  #words(): void {
    const from = this.#source.segment;
    const to = this.#into;
    to.f64[COMMIT_NO >> 1] = Math.max(to.f64[COMMIT_NO >> 1], from.f64[COMMIT_NO >> 1]) + 1;
    to.f64[NOW >> 1] = from.f64[NOW >> 1];
    for (let k = 0; k < 16; k++) to.i32[CUT + k] = from.i32[CUT + k];
    to.continueEpoch(from);
    to.i32[MIGRATED] = to.i32[COM_POS];
  }

  /** The heap as it is: links are offsets, so all that leads into it goes on to do so. And the stamps go on. */
  #heap(): void {
    const from = this.#source;
    const to = this.#target;
    this.#into.i32[STAMP_LO] = from.segment.i32[STAMP_LO];
    this.#into.i32[STAMP_HI] = from.segment.i32[STAMP_HI];
    this.#store.log.nextStamp();
    const high = from.heapHigh;
    if (high === 0) return;
    const bytes = this.#into.regions.get('heap')?.bytes ?? 0;
    if (high * 4 > bytes) {
      throw new StateError(
        'STATE_MIGRATION',
        `the heap has ${high * 4} bytes in use, the new one ${bytes}: raise limits.heapBytes`,
      );
    }
    this.#into.reserve(to.heap * 4, high * 4);
    this.#into.i32.set(from.memory.i32.subarray(from.heap, from.heap + high), to.heap);
    this.#context.heap.reserve();
  }

  /** Commit once a quarter of the log is used. Nothing is ever rolled back: a migration that fails is discarded whole. */
  #pause(): void {
    const I = this.#into.i32;
    if (((I[LOG_POS] - I[COM_POS]) | 0) < this.#pauseWords) return;
    this.#store.log.commit();
    this.#store.log.begin();
  }

  #pool(pool: PoolMigration): void {
    const { from, to, fromIndex, toIndex, classes } = pool;
    const source = this.#source;
    const U = source.memory.u32;
    const T = this.#into.u32;
    const word = source.word(fromIndex);
    const target = this.#target.word(toIndex);
    const high = source.high(fromIndex);
    const fromSlots = source.slots(fromIndex);
    if (pool.same) {
      const words = fromSlots.places.grows ? BITMAP + fromSlots.directoryWords(high) : fromSlots.base(high) - word;
      this.#into.reserve(target * 4, words * 4);
      this.#into.i32.set(source.memory.i32.subarray(word, word + words), target);
      this.#store.pools.get(to.name)!.reserve();
      this.#progress(U[word + LIVE]);
      return;
    }
    // A smaller pool has no free slots beyond its capacity: its free list is made anew.
    const most = Math.min(high, to.capacity || Number.POSITIVE_INFINITY);
    this.#makeSlots(this.#store.pools.get(to.name)!, most);
    const toSlots = this.#target.slots(toIndex);
    const payload = toSlots.places.payloadWords;
    const [fromClass, toClass] = [classField(from), classField(to)];
    const steps = new Map([...classes].map(([id, struct]) => [id, stepsOf(struct, this.#room, false)]));
    let free = target + FREE;
    T[free] = 0;
    for (let slot = 0; slot < high; slot++) {
      const base = fromSlots.base(slot);
      const generation = U[base + SLOT_GENERATION];
      const live = (generation & 1) === 1;
      if (slot >= most) {
        if (live) this.#unfit.add(`${to.name}[${slot}]`, `is beyond the new capacity ${to.capacity}`);
        continue;
      }
      const at = toSlots.base(slot);
      T[at] = T[at + SLOT_HEADER + payload] = FENCE ^ slot;
      T[at + SLOT_GENERATION] = generation;
      T[at + SLOT_STAMP] = U[base + SLOT_STAMP];
      T[at + SLOT_STAMP + 1] = U[base + SLOT_STAMP + 1];
      if ((slot & 31) === 0) T[toSlots.bits(slot)] = U[fromSlots.bits(slot)];
      if ((slot & 63) === 0) {
        T[toSlots.block(slot)] = U[fromSlots.block(slot)];
        T[toSlots.block(slot) + 1] = U[fromSlots.block(slot) + 1];
      }
      if (!live) {
        T[free] = slot + 1;
        free = at + SLOT_HEADER;
        T[free] = 0;
        continue;
      }
      const id = source.classOf(fromClass, base);
      const struct = classes.get(id);
      if (struct === undefined) {
        this.#unfit.add(`${to.name}[${slot}]`, goneClass(from, id));
        continue;
      }
      const [fromByte, toByte] = [(base + SLOT_HEADER) * 4, (at + SLOT_HEADER) * 4];
      steps.get(id)!.run(fromByte, toByte, this.#unfit, () => `${to.name}[${slot}]`);
      if (toClass !== undefined) this.#into.u16[(at + SLOT_HEADER) * 2 + toClass.offset / 2] = struct.id;
      this.#progress(1);
    }
    for (let k = SPREADS; k < BITMAP; k++) T[target + k] = U[word + k];
    T[target + HIGH] = most;
    T[target + LIVE] = U[word + LIVE];
  }

  #makeSlots(pool: Pool, count: number): void {
    for (let slot = 0; slot < count; this.#pause()) pool.makeSlots((slot = Math.min(count, slot + BATCH)));
  }

  #rebuildPool({ to, fromIndex, classes }: PoolMigration): void {
    const fills = new Map([...classes.values()].map(struct => [struct, this.#fillOf(to, struct)]));
    if (![...fills].some(([struct, fill]) => this.#isRebuilt(struct) || fill !== undefined)) return;
    const pool = this.#store.pools.get(to.name)!;
    this.#source.each(fromIndex, (slot, base, id) => {
      const struct = classes.get(id)!;
      const generation = this.#source.memory.u32[base + SLOT_GENERATION];
      const where = () => `${to.name}[${slot}]`;
      let filled: Record<string, unknown> | undefined;
      try {
        filled = fills.get(struct)?.(slot, generation, pool.payloadWord(slot));
      } catch (error) {
        if (!(error instanceof Unfit)) throw error;
        this.#unfit.add(where(), error.message);
      }
      if (this.#isRebuilt(struct) || filled !== undefined)
        this.#rebuild(struct, () => pool.get(slot)!, base + SLOT_HEADER, filled, where);
    });
  }

  #isRebuilt({ plain, hook, removed }: StructMigration): boolean {
    return plain.length > 0 || hook !== undefined || removed.some(owns);
  }

  #rebuild(
    struct: StructMigration,
    recordOf: () => object,
    word: number,
    filled: Record<string, unknown> | undefined,
    where: () => string,
  ): void {
    const { plain, removed, hook } = struct;
    const { memory, decode: decodeOptions } = this.#source;
    try {
      if (plain.length > 0 || filled !== undefined || hook !== undefined) {
        this.rebuilt++;
        const record = recordOf() as Record<string, unknown>;
        for (const { field, from, change } of plain)
          record[field.name] = change!(decode(memory, from!.kind, word, from!.offset, decodeOptions));
        if (filled !== undefined) Object.assign(record, filled);
        hook?.(record, decodeStruct(memory, struct.from, word, { ...decodeOptions, hidden: false }));
      }
      for (const { from } of plain) if (owns(from!)) this.#release(from!.kind, word + from!.offset / 4);
      for (const field of removed) if (owns(field)) this.#release(field.kind, word + field.offset / 4);
    } catch (error) {
      if (!(error instanceof Unfit)) throw hook === undefined ? error : hookFailed(error, where());
      this.#unfit.add(where(), error.message);
    }
    this.#pause();
  }

  /** Give back what a value of the old segment owned: its words are laid in a scratch block, which its kind can walk. */
  #release(kind: AnyKind, word: number): void {
    const { at } = this.#scratch;
    const words = kind.bytes / 4;
    for (let k = 0; k < words; k++) this.#into.i32[at + k] = this.#source.memory.i32[word + k];
    releaserOf(kind, this.#context)!(at);
  }

  #makeScratch(): void {
    const { root, pools } = this.#migration.from;
    const kinds = [root, ...pools.flatMap(pool => membersOf(pool).map(member => member.layout))]
      .flatMap(layout => layout.fields)
      .filter(owns);
    if (kinds.length === 0) return;
    const words = Math.max(...kinds.map(({ kind }) => kind.bytes / 4));
    const link = this.#context.heap.alloc(words);
    Object.assign(this.#scratch, { link, at: this.#context.heap.base + link, words });
  }

  /** All that the records of a removed pool owned, and its chunks. */
  #end(pool: PoolLayout, index: number): void {
    const ended = new Map(membersOf(pool).map(({ id, layout }) => [id, layout.fields.filter(owns)]));
    if ([...ended.values()].some(fields => fields.length > 0))
      this.#source.each(index, (_, base, id) => {
        for (const field of ended.get(id)!) this.#release(field.kind, base + SLOT_HEADER + field.offset / 4);
        this.#pause();
      });
    this.#endChunks(index);
  }

  #endChunks(index: number): void {
    const slots = this.#source.slots(index);
    const chunks = slots.directoryWords(this.#source.high(index));
    for (let k = 0; k < chunks; k++) {
      const link = this.#source.memory.u32[slots.directory + k];
      if (link !== 0) this.#context.heap.free(link);
    }
  }

  /** What an earlier migration removed from the root. */
  #rootFill(root: StructMigration): Record<string, unknown> | undefined {
    const { fill } = this.#options;
    // The runtime's own fields belong to what the nodes of now have said to each other.
    const added = root.fields.filter(({ field, from }) => from === undefined && !field.name.startsWith('$'));
    if (fill === undefined || added.length === 0) return undefined;
    const { fields } = convertStruct(fill.layouts.root, root.to, layoutNames(fill.layouts, this.#migration.to), true);
    const side = new Source(fill.segment, fill.layouts);
    const out: Record<string, unknown> = {};
    for (const { field, from, change } of fields) {
      if (from === undefined || !added.some(each => each.field === field)) continue;
      const value = decode(side.memory, from.kind, side.root, from.offset, side.decode);
      out[field.name] = change === undefined ? value : change(value);
    }
    return out;
  }

  /** Finds what an earlier migration removed from records that still live. */
  #fillOf(to: PoolLayout, struct: ClassMigration) {
    const { fill } = this.#options;
    const added = struct.fields.filter(field => field.from === undefined).map(({ field }) => field);
    if (fill === undefined || added.length === 0) return undefined;
    const names = layoutNames(fill.layouts, this.#migration.to);
    const index = fill.layouts.pools.findIndex(pool => pool.name === names.pool(to.name));
    if (index < 0) return undefined;
    const before = fill.layouts.pools[index]!;
    const member = membersOf(before).find(
      ({ layout }) => before.variants === undefined || names.struct(struct.to.name) === layout.name,
    );
    if (member === undefined) return undefined;
    const { fields } = convertStruct(member.layout, struct.to, names, true);
    const found = fields.filter(each => each.from !== undefined && added.includes(each.field));
    if (found.length === 0) return undefined;
    const side = new Source(fill.segment, fill.layouts);
    const slots = side.slots(index);
    const family = classField(before);
    const room = { ...this.#room, from: side.memory, fromHeap: side.heap };
    const raw = found.filter(({ from, raw }) => raw !== undefined && !ownsHeap(from!.kind));
    const { u8 } = this.#into;
    const steps = raw.map(({ field, from, raw: bind }) => {
      return { at: from!.offset, to: field.offset, bytes: field.bytes, step: bind!(room) };
    });
    const rest = found.filter(each => !raw.includes(each));
    return (slot: number, generation: number, payload: number): Record<string, unknown> | undefined => {
      if (slot >= side.high(index)) return undefined;
      const base = slots.base(slot);
      if (side.memory.u32[base + SLOT_GENERATION] !== generation || side.classOf(family, base) !== member.id)
        return undefined;
      const from = (base + SLOT_HEADER) * 4;
      for (const { at, to, bytes, step } of steps) {
        // Steps expect zeroes, and there are initial values.
        for (let k = 0; k < bytes; k++) u8[payload * 4 + to + k] = 0;
        step(from + at, payload * 4 + to);
      }
      if (rest.length === 0) return undefined;
      const out: Record<string, unknown> = {};
      for (const { field, from: old, change } of rest) {
        const value = decode(side.memory, old!.kind, base + SLOT_HEADER, old!.offset, side.decode);
        out[field.name] = change === undefined ? value : change(value);
      }
      return out;
    };
  }

  #progress(records: number): void {
    const before = this.records;
    this.records += records;
    if (Math.floor(before / PROGRESS_EVERY) !== Math.floor(this.records / PROGRESS_EVERY))
      this.#options.onProgress?.(this.records, this.#all);
  }
}

function owns(field: { kind: AnyKind }): boolean {
  return ownsHeap(field.kind);
}

function hookFailed(error: unknown, where: string): StateError {
  const message = error instanceof Error ? error.message : String(error);
  return new StateError('STATE_MIGRATION', `${where}: its migrate hook threw: ${message}`, { cause: error as Error });
}
