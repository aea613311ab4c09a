/** Store: the owner's side of a state segment. Typed views for handlers, the log under them, and check().
 *
 *   [words][catalog][log ring][root: payload, stamp, fence][pool 0][pool 1]…
 *
 * One process opens a segment for writing; it makes the views once and keeps them over transactions. */
import {
  type AnyKind,
  check as checkKind,
  innerKinds,
  recordLayouts,
  type RefShape,
  refuse,
  SchemaError,
  type StateLayout,
  type StateOf,
  type StateSchema,
  type StructLayout,
} from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import {
  type AccessorPlan,
  generate,
  type Hooks,
  type NumberedField,
  SLOT_HEADER,
  SLOT_STAMP,
  type ViewClass,
} from './accessors.ts';
import { adoptPlan, fitPlan } from './adopt.ts';
import { type Cell, cellOf } from './cell.ts';
import { refWords } from './ref-words.ts';
import { checkState, type StatePlaces } from './check.ts';
import { type Door, freed } from './door.ts';
import { Doors } from './doors.ts';
import { decodeOptions } from './elements.ts';
import { StateError, type Violation } from './errors.ts';
import { Heap } from './heap.ts';
import { imageOf } from './image.ts';
import { Journal } from './journal.ts';
import { readLongBytes, readLongText, writeLongBytes, writeLongText } from './long-text.ts';
import { Machines } from './machine.ts';
import { machinesIn, MachineNames, machinesOf } from './machine-names.ts';
import type { StoreContext } from './memory.ts';
import { recordFace } from './plain.ts';
import { placesOf, ROOT_FENCE, rootStampWord, type StorePlan } from './plan.ts';
import { Pool, type PoolParts, type RecordClass } from './pool.ts';
import { HIGH, PoolSlots, poolPlaces } from './pool-places.ts';
import { layoutReleaser } from './release.ts';
import { PoolResume, type ResumeReport } from './resume.ts';
import { readBytes, readText, writeBytes, writeText } from './text.ts';
import { OPEN, UndoLog } from './undo-log.ts';
import { PoolVisits, Visits } from './visits.ts';
import { FIRST_STAMP, FORMATTED, LOG_POS, STAMP_HI, STAMP_LO } from './words.ts';

interface Resumable {
  onResume?: unknown;
}

/** A state segment in its owner's process: typed state, log, pools. */
export interface Store<S = unknown> {
  readonly segment: Segment;
  readonly log: UndoLog;
  /** What handlers see. */
  readonly state: S;
  readonly layouts: StateLayout;
  /** By name, the runtime's (`$…`) too. */
  readonly pools: ReadonlyMap<string, Pool<any>>;
  /** What grows takes its memory here. */
  readonly heap: Heap;
  /** What the structures over this segment share. @internal */
  readonly context: StoreContext;
  /** Of all state machines: where their timeouts wait. @internal */
  readonly machines: Machines;
  /** @internal */
  readonly machineNames: MachineNames;
  /** Which record the code of the service is at. @internal */
  readonly visits: Visits;
  /** Enter the first states of the root's machines: in the transaction that fills a new state. */
  enterRoot(): void;
  /** Call `fn` after each rollback and rollbackTo: to drop what was derived from words. */
  onRollback(fn: () => void): void;
  /** `log.recover()`. @throws StateError `STATE_CORRUPT`, with the segment as it was */
  recover(): { undone: number };
  /** A life begins that found its state: from now on each record has its `onResume(reason)` run once, at its first use, or
   * by `resumeSome`; all of those in eager pools have had theirs when this returns. Between transactions; see resume.ts.
   * @param report told of one that threw, after it was undone */
  beginLife(reason: string, report?: ResumeReport): void;
  /** Run the onResume of some records that are left, in a transaction of about a millisecond. @returns 0 = none is left */
  resumeSome(): number;
  /** Are some left? */
  readonly resuming: boolean;
  /** Walk every structure. Between transactions. O(records). */
  check(): Violation[];
  /** Make the views of all records ahead: for a standby, which then hands them out without a pause after the takeover.
   * @param most of each pool */
  warm(most?: number): void;
  /** Reserve the pages that the pools will need next, on a helper thread, and make views ahead; one run at a time. Between
   * transactions. What does not succeed here is tried again by the `create` that needs it, which then throws. */
  reserveAhead(): Promise<void>;
}

/** Open a segment that was made from this plan. A segment that an earlier life wrote needs
 * `log.recover()` before the first transaction.
 * @throws ShmError `SHM_LAYOUT` when the segment was made by code with another layout; StateError `STATE_CLASS_GONE`,
 * `STATE_LAYOUT`. See adopt.ts */
export function openStore<S extends StateSchema>(segment: Segment, plan: StorePlan<S>): Store<StateOf<S>> {
  return new StoreImpl(segment, fitPlan(segment, plan)) as unknown as Store<StateOf<S>>;
}

/** What is different over a mirror of what another process writes. */
export interface Outside {
  /** Bring words, as of the commit that is read. */
  readonly need: (word: number, count: number) => void;
  /** Bring what a value at a word has in the heap. */
  readonly fetch: (kind: AnyKind, word: number) => void;
  /** A pool that brings the slots that it is asked for. */
  readonly pool: (parts: PoolParts) => Pool<any>;
  /** The class of the root, and its one view. */
  readonly root: (cls: ViewClass, state: object) => void;
  /** The class of a record or nested struct, found by its name. */
  readonly prototypeOf: (layout: StructLayout) => object;
}

/** A store of a mirror: the same views, which are never written. @internal */
export function openOutside(segment: Segment, plan: StorePlan, outside: Outside): Store<object> {
  return new StoreImpl(segment, plan, outside);
}

class StoreImpl implements Store<object> {
  readonly segment: Segment;
  readonly log: UndoLog;
  readonly state: object;
  readonly layouts: StateLayout;
  readonly pools: ReadonlyMap<string, Pool<any>>;
  readonly heap: Heap;
  readonly context: StoreContext;
  readonly machines: Machines;
  readonly machineNames: MachineNames;
  readonly visits: Visits;
  readonly #places: StatePlaces;
  readonly #rootWord: number;
  readonly #rootStamp: number;
  readonly #markers: readonly ((base: number) => void)[];
  #reserving = false;
  readonly #schema: StateSchema;
  #resuming: { readonly pool: Pool<any>; readonly resume: PoolResume }[] = [];
  readonly #poolsInOrder: readonly { pool: Pool<any> }[];

  constructor(segment: Segment, plan: StorePlan, outside?: Outside) {
    this.segment = segment;
    this.layouts = plan.layouts;
    this.#schema = plan.schema;
    const { root, pools: poolLayouts } = plan.layouts;
    const places = placesOf(segment, plan.layouts);
    const { log: logWord, logWords, pools: words } = places;
    const heapWord = places.heap.word;
    this.#places = places;
    this.#rootWord = places.root;
    this.#rootStamp = rootStampWord(plan.layouts, places.root);

    const mem = segment;
    const visits = new Visits(mem.i32);
    this.visits = visits;
    const journal = new Journal();
    const nested = [...plan.layouts.structs.values()];
    const refs = new Map(poolLayouts.map(pool => [pool.name, { pool: undefined as Pool<any> | undefined }]));
    let fields: readonly NumberedField[] = [];
    const doors: Door[] = [];
    const cells: Cell[] = [];
    const rootStamp = this.#rootStamp;
    const I = mem.i32;

    const hooks: Hooks = {
      refuseWrite: () => this.log.refuseWrite(),
      refuseBegin: () => this.log.refuseBegin(),
      refuseCommit: () => this.log.refuseCommit(),
      freed,
      bad(number, value) {
        const { owner, field } = fields[number]!;
        if (value === undefined && field.kind.tag !== 'ref') {
          throw new SchemaError('SCHEMA_RANGE', `field ${field.name} of ${owner.name}: undefined`);
        }
        // The generated test is narrower than the rule for some kinds (NaN in an f32).
        if (checkKind(field.kind, value) !== undefined) refuse(field.name, owner.name, field.kind, value);
        const kind = field.kind;
        if (kind.tag === 'ref') refWords(context, kind, value);
      },
      unknown(layout, init) {
        const prototype: unknown = Object.getPrototypeOf(init);
        if (prototype !== Object.prototype && prototype !== null) return;
        const names = new Set(layout.fields.filter(field => !field.hidden).map(field => field.name));
        const name = Object.keys(init).find(key => !names.has(key));
        if (name !== undefined) throw new SchemaError('SCHEMA_RANGE', `${layout.name} has no field ${name}`);
      },
      broken(index, slot) {
        const { name } = poolLayouts[index]!;
        throw new StateError(
          'STATE_CORRUPT',
          `the fences of ${name}[${slot}] were overwritten: something wrote beyond a record; run \`lich check\``,
          { severity: 'fatal' },
        );
      },
      touch: stampWord => context.touch(stampWord),
      getText: (word, length) => readText(mem.u16, word, length),
      setText: (word, value) => writeText(mem, context.log, word, value),
      getLongText: word => readLongText(mem, word, { heapWord }),
      setLongText: (word, value) => writeLongText(context, word, value),
      getLongBytes: word => readLongBytes(mem, word, { heapWord }),
      setLongBytes: (word, value) => writeLongBytes(context, word, value),
      getBytes: (word, length) => readBytes(mem, word, length),
      setBytes: (word, value) => writeBytes(mem, context.log, word, value),
      refOf(number, value) {
        const { owner, field } = fields[number]!;
        try {
          return refWords(context, field.kind as RefShape, value);
        } catch (error) {
          // Named after the field.
          if (error instanceof SchemaError) refuse(field.name, owner.name, field.kind, value);
          throw error;
        }
      },
      setRef(word, ref) {
        context.log.log2(word);
        mem.u32[word] = ref?.slot ?? 0;
        mem.u32[word + 1] = ref?.generation ?? 0;
      },
      fetch: (number, word) => outside?.fetch(fields[number]!.field.kind, word),
      makeView: (number, word, stampWord, record) =>
        (doors[number] ??= shared.of(
          fields[number]!.field.kind,
          `${fields[number]!.owner.name}.${fields[number]!.field.name}`,
        )).make(word, stampWord, record),
      freeView: (number, view) => doors[number]!.free(view),
      reviveView: (number, view) => doors[number]!.revive(view),
      assignView: (number, view, value) => doors[number]!.assign(view, value),
      setOptional(number, word, value) {
        const { field } = fields[number]!;
        const cell = (cells[number] ??= cellOf(field.kind, context)!);
        cell.write(cell.unit(word, field.offset), value);
      },
    };
    const accessorPlan: AccessorPlan = {
      log: { base: logWord, words: logWords },
      pools: poolLayouts.map((pool, k) => {
        const places = poolPlaces(pool.layout, pool.capacity);
        return {
          layouts: recordLayouts(pool),
          slots: words[k]! + places.slots,
          stride: places.stride,
          blocks: words[k]! + places.blocks,
          fence: 4 + places.payloadWords,
          grows: places.grows
            ? { at: new PoolSlots(mem.u32, places, words[k]!, heapWord), high: words[k]! + HIGH }
            : undefined,
        };
      }),
      nested,
      root,
      rootWord: this.#rootWord,
      rootStamp,
      sizeBytes: segment.sizeBytes,
      refs,
      fetches: outside !== undefined,
    };
    const generated = generate(accessorPlan, mem, journal, hooks);
    fields = generated.fields;
    const { code } = generated;
    const fail = (error: Error): never => this.log.fail(error);
    const pages = { reserve: (offset: number, bytes: number) => segment.reserve(offset, bytes) };
    this.heap = new Heap({ context: { mem, log: code.log, fail }, ...places.heap, pages });
    const context: StoreContext = {
      mem,
      log: code.log,
      journal,
      heap: this.heap,
      need: outside?.need,
      fail,
      touch: stamp => {
        if (typeof stamp !== 'number') stamp.$touch();
        else if (I[stamp] !== I[STAMP_LO]) this.#touch(stamp);
      },
      position: () => I[LOG_POS],
      canWrite: () => code.log.state() === OPEN,
      onRollback: fn => this.log.onRollback(fn),
      onDestroy: fn => pools.forEach(pool => pool.onDestroy(fn)),
      isLive: (pool, slot, generation) => refs.get(pool)?.pool?.isLive(slot, generation) ?? false,
      resolve: (pool, slot, generation) => refs.get(pool)?.pool?.resolve(slot, generation),
    };
    this.context = context;
    const machines = new Machines(
      context,
      () => this.log,
      (stamp, word) => this.machineNames.nameOf(stamp, word),
    );
    this.machines = machines;
    const shared = new Doors(context, code.nested, machines);
    const area = {
      base: logWord,
      words: logWords,
      from: this.#rootWord,
      to: Math.floor(segment.sizeBytes / 4),
      name: segment.name || 'the segment',
    };
    this.log = new UndoLog(code.log, I, mem.f64, area, journal, () => segment.writable);

    const options = decodeOptions(context);
    const wordOf = (cls: ViewClass, header: number) => (view: object) => {
      const base = cls.base(view);
      return base === 0 ? freed() : base + header;
    };
    const dress = (cls: ViewClass, layout: StructLayout, prototype: object, header: number, variant?: string): void => {
      const target = cls.prototype as object;
      // The views' prototype stands on the user's: methods and getters are found there, instanceof holds.
      Object.setPrototypeOf(target, prototype);
      Object.defineProperty(target, 'constructor', { value: prototype.constructor, configurable: true });
      recordFace(target, prototype, layout, mem, wordOf(cls, header), options, variant);
    };

    const pools: Pool<any>[] = poolLayouts.map((pool, k) => {
      const classes = recordLayouts(pool).map((layout, n): RecordClass => {
        const view = code.pools[k]![n]!;
        const variant = pool.variants?.[n];
        const struct = variant?.struct ?? pool.struct;
        dress(view, layout, outside?.prototypeOf(layout) ?? (struct!.prototype as object), SLOT_HEADER, variant?.name);
        return {
          view,
          layout,
          enter: enterOf(layout),
          image: imageOf(layout),
          release: layoutReleaser(layout, context),
          id: variant?.id ?? 0,
          name: variant?.name ?? '',
        };
      });
      const parts: PoolParts = {
        context,
        classes,
        mark: code.markers[k]!,
        pool,
        word: words[k]!,
        pages,
        visits: new PoolVisits(visits, mem.i32, k),
      };
      return outside?.pool(parts) ?? new Pool(parts);
    });
    for (const pool of pools) refs.get(pool.name)!.pool = pool;
    this.pools = new Map(pools.map(pool => [pool.name, pool]));
    this.#poolsInOrder = pools.map(pool => ({ pool }));
    this.#markers = code.markers;

    for (const layout of nested) {
      const struct = outside?.prototypeOf(layout) ?? structOf(plan.layouts, layout);
      dress(code.nested.get(layout)!, layout, struct, 0);
    }

    const rootClass = code.root;
    class State {}
    dress(rootClass, root, State.prototype, this.#rootWord);
    // The root's addresses are literals: its #b only says that it lives.
    const state = new rootClass(0, 0);
    rootClass.revive(state, 1);
    recordFace(rootClass.prototype as object, State.prototype, root, mem, () => this.#rootWord, options);
    for (const pool of pools) {
      Object.defineProperty(state, pool.name, { value: pool, enumerable: !pool.name.startsWith('$'), writable: false });
    }
    this.state = state;
    this.machineNames = new MachineNames(mem, plan.layouts, pools, { word: this.#rootWord, stamp: rootStamp, state });
    outside?.root(rootClass, state);

    // Shapes that views will take: a freed one, a revived one, so that the first real one deoptimises nothing.
    for (const cls of [...code.pools.flat(), ...code.nested.values()]) {
      const view = new cls(16, 18);
      cls.free(view);
      cls.revive(view, 16);
      cls.free(view);
    }
    this.log.onRecover(() => {
      adoptPlan(segment, plan);
      for (const pool of pools) pool.dropViews();
      this.#ready();
    });
    if (segment.writable) this.#ready();
  }

  onRollback(fn: () => void): void {
    this.log.onRollback(fn);
  }

  recover(): { undone: number } {
    return this.log.recover();
  }

  beginLife(reason: string, report: ResumeReport = () => {}): void {
    const { log, context } = this;
    this.#resuming = [];
    for (const { name, struct, variants } of this.layouts.pools) {
      const classes = variants?.map(variant => variant.struct) ?? [struct];
      if (!classes.some(each => typeof (each?.prototype as Resumable | undefined)?.onResume === 'function')) continue;
      const pool = this.pools.get(name)!;
      const eager = this.#schema.pools.find(entry => entry.name === name)?.resume === 'eager';
      const resume = new PoolResume({
        pool,
        log,
        journal: context.journal,
        position: context.position,
        reason,
        report,
        eager,
        visits: pool.visits,
      });
      pool.beginResume(resume);
      this.#resuming.push({ pool, resume });
    }
    for (const { resume } of this.#resuming) while (resume.eager && resume.slice() > 0);
  }

  get resuming(): boolean {
    return this.#resuming.length > 0;
  }

  resumeSome(): number {
    for (let next = this.#resuming[0]; next !== undefined; next = this.#resuming[0]) {
      const count = next.resume.slice();
      if (count > 0) return count;
      // Nothing is open, so nothing of it will be undone.
      next.pool.endResume();
      this.#resuming.shift();
    }
    return 0;
  }

  check(): Violation[] {
    return checkState(this.segment, this.layouts, this.#places);
  }

  warm(most = Number.POSITIVE_INFINITY): void {
    for (const { pool } of this.#poolsInOrder) pool.prepare(Math.min(pool.size, most));
  }

  async reserveAhead(): Promise<void> {
    for (const { pool } of this.#poolsInOrder) pool.prepareAgain();
    if (this.#reserving) return;
    this.#reserving = true;
    try {
      for (const part of [...this.#poolsInOrder.map(({ pool }) => pool), this.heap]) {
        const wanted = part.wanted();
        if (wanted === undefined) continue;
        await this.segment.reserveAsync(wanted.offset, wanted.bytes);
        wanted.done();
      }
    } catch {
      // No room: the create that needs the page says so, inside the transaction that then rolls back.
    } finally {
      this.#reserving = false;
    }
  }

  enterRoot(): void {
    enterOf(this.layouts.root)?.(this.state);
  }

  /** Stamp the record, or the root, that this stamp belongs to. */
  #touch(stampWord: number): void {
    if (stampWord === this.#rootStamp) {
      const I = this.segment.i32;
      this.log.write(stampWord, I[STAMP_LO]);
      this.log.write(stampWord + 1, I[STAMP_HI]);
      return;
    }
    const pools = this.#poolsInOrder;
    let index = 0;
    while (index < pools.length && !pools[index]!.pool.owns(stampWord - SLOT_STAMP)) index++;
    if (index === pools.length) freed();
    this.#markers[index]!(stampWord - SLOT_STAMP);
  }

  #ready(): void {
    for (const { pool } of this.#poolsInOrder) pool.reserve();
    this.heap.reserve();
    this.#format();
  }

  /** Give a new segment its first words. Unlogged: nothing was committed yet; killed in between, it is done again. */
  #format(): void {
    const I = this.segment.i32;
    if (I[FORMATTED] === 1) return;
    const root = this.layouts.root;
    const raw = { write: (word: number, value: number) => void (I[word] = value) };
    imageOf(root).apply(this.#rootWord, this.segment, raw as never, true);
    I[this.#rootStamp + 2] = ROOT_FENCE;
    I[STAMP_LO] = FIRST_STAMP;
    I[STAMP_HI] = 0;
    I[FORMATTED] = 1;
  }
}

/** Enters the first states of the machines of a new record. */
function enterOf(layout: StructLayout): ((record: object) => void) | undefined {
  if (machinesOf(layout).length === 0) return undefined;
  return record => {
    for (const machine of machinesIn(record, layout)) machine.enterFirst();
  };
}

/** The prototype of the class that a nested layout was made from. */
function structOf(layouts: StateLayout, wanted: StructLayout): object {
  const look = (kind: AnyKind): object | undefined => {
    if (kind.tag === 'struct' && kind.layout === wanted) return kind.struct?.prototype as object | undefined;
    for (const inner of innerKinds(kind)) {
      const found = look(inner);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const layout of [layouts.root, ...layouts.pools.flatMap(recordLayouts)]) {
    for (const field of layout.fields) {
      const found = look(field.kind);
      if (found !== undefined) return found;
    }
  }
  return Object.prototype;
}
