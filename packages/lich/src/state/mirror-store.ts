/** Views over a mirror: the state as handlers see it, as of one commit, of a segment that another process writes.
 *
 * It is a store like the owner's whose words are the mirror's, with pools that bring a record before they hand it out. Its
 * log never opens, so that every write is refused with `STATE_READ_ONLY`. Views are freed when their snapshot ends; that of
 * a record which is still the same one comes back in the next snapshot, as the same object. */
import {
  type AnyKind,
  describeKind,
  innerKinds,
  type Pool as PoolFace,
  type PoolLayout,
  RECORD_REF,
  type RecordRef,
  type Ref,
  type StateLayout,
  type StateSchema,
  stateLayoutOf,
  type StructLayout,
} from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP, type ViewClass } from './accessors.ts';
import { OWNER } from './ref-words.ts';
import { type CheckContext, checkValue } from './check.ts';
import { decode } from './decode.ts';
import { StateError, type Violation } from './errors.ts';
import { variantAt } from './families.ts';
import type { StorePlan } from './plan.ts';
import type { Pool, PoolParts } from './pool.ts';
import type { PoolPart, Reader, Snapshot } from './reader.ts';
import { openOutside } from './store.ts';

/** Views of a pool that are kept from one snapshot to the next. */
const KEPT_VIEWS = 16_384;

/** Views of what a reader reads. */
export interface MirrorViews {
  read<T>(fn: (state: object, s: Snapshot) => T): T;
}

/** @param schema gives its classes to records and structs of the same name
 * @throws StateError `STATE_LAYOUT` when it is not the schema that the segment was made from */
export function viewsOf(reader: Reader, schema: StateSchema | undefined): MirrorViews {
  // Made on first use: a tool that decodes has no need of them.
  let views: Views | undefined;
  const classes = schema === undefined ? new Map<string, object>() : classesOf(reader, schema);
  return {
    read: fn => (views ??= new Views(reader, classes)).read(fn),
  };
}

class Views {
  readonly #reader: Reader;
  readonly #state: object;
  #root!: ViewClass;
  readonly #pools: MirrorPool[] = [];
  /** The walk of check(), which comes by every block that a value owns: each one is brought. What the walk does not find
   * sound is not handed out: its views might lead round in a circle. */
  readonly #walk: CheckContext;
  readonly #wrong: Violation[] = [];
  readonly #reached = new Set<number>();
  /** Words of values whose heap part is there, in this snapshot. */
  readonly #fetched = new Set<number>();

  constructor(reader: Reader, classes: ReadonlyMap<string, object>) {
    this.#reader = reader;
    const { segment, layouts, mirror } = reader;
    const reach = (link: number, words: number, where: string): boolean => {
      const sound = !this.#reached.has(link) && reader.bringBlock(link, words);
      this.#reached.add(link);
      if (!sound) this.#wrong.push({ where, what: `link ${link} leads nowhere, or to a block that is another's` });
      return sound;
    };
    this.#walk = {
      value: checkValue,
      decode,
      mem: mirror,
      out: this.#wrong,
      capacityOf: name => layouts.pools.find(pool => pool.name === name) && reader.partOf(name).slots.places.capacity,
      heap: { base: reader.heapWord, reach } as unknown as CheckContext['heap'],
    };
    const { i8, u8, i16, u16, i32, u32, f32, f64, i64, u64 } = mirror;
    const arrays = { i8, u8, i16, u16, i32, u32, f32, f64, i64, u64 };
    const { name, path, sizeBytes, regions } = segment;
    const copy = { ...arrays, name, path, sizeBytes, regions, writable: false, kind: 'state' };
    const store = openOutside(
      copy as unknown as Segment,
      {
        layouts,
        regions: [...segment.regions.values()].filter(r => !['words', 'reserved', 'catalog'].includes(r.name)),
      } as unknown as StorePlan,
      {
        need: (word, count) => mirror.need(word, count),
        fetch: (kind, word) => this.#fetch(kind, word),
        pool: parts => {
          const pool = new MirrorPool(parts, reader);
          this.#pools.push(pool);
          return pool as unknown as Pool<any>;
        },
        root: cls => {
          this.#root = cls;
        },
        prototypeOf: layout => classes.get(layout.name) ?? anonymous(layout.name),
      },
    );
    this.#state = store.state;
    this.#root.free(this.#state);
  }

  read<T>(fn: (state: object, s: Snapshot) => T): T {
    return this.#reader.run(s => {
      this.#fetched.clear();
      this.#reader.needRoot();
      this.#root.revive(this.#state, 1);
      try {
        return fn(this.#state, s);
      } finally {
        for (const pool of this.#pools) pool.freeViews();
        this.#root.free(this.#state);
        drop(this.#state);
      }
    }, true);
  }

  #fetch(kind: AnyKind, word: number): void {
    if (this.#fetched.has(word)) return;
    this.#reached.clear();
    this.#wrong.length = 0;
    checkValue(this.#walk, kind, word, 0, describeKind(kind));
    if (this.#wrong.length > 0) {
      const { where, what } = this.#wrong[0]!;
      throw new StateError(
        'STATE_CORRUPT',
        `${this.#reader.segment.name}: a value at word ${word} is damaged: ${where}: ${what}; run \`lich check\``,
        { severity: 'fatal' },
      );
    }
    this.#fetched.add(word);
  }
}

/** Forget the views of the parts of a view: what they stand on may be something else in the next snapshot. */
function drop(view: object): void {
  (view as { $n?: unknown }).$n = undefined;
}

/** The view of a record, while it is that record. */
interface Kept {
  readonly generation: number;
  readonly view: object;
}

/** A pool whose records are brought as they are asked for. Has of `Pool` what reads, and what stores call. */
class MirrorPool implements Omit<PoolFace<object>, 'create' | 'destroy'> {
  readonly name: string;
  readonly layout: StructLayout;
  readonly #reader: Reader;
  readonly #part: PoolPart;
  readonly #pool: PoolLayout;
  readonly #views: readonly ViewClass[];
  readonly #U: Uint32Array;
  /** By slot. */
  #kept: (Kept | undefined)[] = [];
  #keptCount = 0;
  /** Views that are out, in this snapshot. */
  readonly #out: Kept[] = [];

  constructor({ pool, classes, context }: PoolParts, reader: Reader) {
    this.name = pool.name;
    this.layout = pool.layout;
    this.#reader = reader;
    this.#part = reader.partOf(pool.name);
    this.#pool = pool;
    this.#views = classes.map(each => each.view);
    this.#U = reader.mirror.u32;
    const refOf = (record: object): RecordRef | undefined => this.#refOf(record);
    for (const { view, name } of classes) {
      const target = view.prototype as object;
      Object.defineProperty(target, RECORD_REF, {
        get(this: object) {
          return refOf(this);
        },
        configurable: true,
      });
      Object.defineProperty(target, OWNER, { value: context, configurable: true });
      if (name !== '') Object.defineProperty(target, 'variant', { value: name, configurable: true });
    }
  }

  get size(): number {
    return this.#reader.liveOf(this.#part);
  }

  get capacity(): number {
    return this.#part.slots.places.capacity;
  }

  create(): never {
    return readOnly(`${this.name}.create`);
  }

  destroy(): never {
    return readOnly(`${this.name}.destroy`);
  }

  spread(): never {
    return readOnly(`${this.name}.spread`);
  }

  get(slot: number): object | undefined {
    if (!this.#reader.bringSlot(this.#part, slot)) return undefined;
    this.#reader.mirror.settle();
    return this.#at(slot);
  }

  group(slots: Iterable<number>): (object | undefined)[] {
    const wanted = Array.isArray(slots) ? (slots as readonly number[]) : [...slots];
    this.#reader.bringSlots(this.#part, wanted);
    const limit = this.#reader.limitOf(this.#part);
    const found: (object | undefined)[] = [];
    for (let k = 0; k < wanted.length; k++) {
      const slot = wanted[k]!;
      found.push(slot >>> 0 === slot && slot < limit ? this.#at(slot) : undefined);
    }
    return found;
  }

  resolve(slot: number, generation: number): object | undefined {
    return this.isLive(slot, generation) ? this.#at(slot) : undefined;
  }

  isLive(slot: number, generation: number): boolean {
    if ((generation & 1) === 0 || !this.#reader.bringSlot(this.#part, slot)) return false;
    this.#reader.mirror.settle();
    return this.#generation(slot) === generation;
  }

  refOf(record: object): Ref {
    const ref = this.#classOf(record) === undefined ? undefined : this.#refOf(record);
    if (ref === undefined)
      throw new StateError('STATE_FOREIGN', `this is no record of \`${this.name}\` in this snapshot`);
    return { slot: ref.slot, generation: ref.generation };
  }

  has(record: object | Ref): boolean {
    const cls = this.#classOf(record);
    if (cls !== undefined) return cls.base(record) !== 0;
    const { slot, generation } = record as Ref;
    return this.isLive(slot, generation);
  }

  forEach(fn: (record: object, slot: number) => void): void {
    this.#reader.walk(this.#part, slot => {
      const record = this.#at(slot);
      if (record !== undefined) fn(record, slot);
    });
  }

  *[Symbol.iterator](): Generator<object, undefined> {
    const slots: number[] = [];
    this.#reader.walk(this.#part, slot => {
      if ((this.#generation(slot) & 1) === 1) slots.push(slot);
    });
    for (const slot of slots) yield this.#at(slot)!;
    return undefined;
  }

  /** The snapshot ends: its views throw from now on. */
  freeViews(): void {
    for (const { view } of this.#out) {
      this.#classOf(view)!.free(view);
      drop(view);
    }
    this.#out.length = 0;
    if (this.#keptCount <= KEPT_VIEWS) return;
    this.#kept = [];
    this.#keptCount = 0;
  }

  /** Stores call it when they recover; there is nothing to drop here. */
  dropViews(): void {}

  /** Stores call it before they stamp a record. */
  owns(): never {
    return readOnly('a write');
  }

  #generation(slot: number): number {
    return this.#U[this.#part.slots.base(slot) + SLOT_GENERATION];
  }

  /** The record in a slot that is there. */
  #at(slot: number): object | undefined {
    const base = this.#part.slots.base(slot);
    const generation = this.#U[base + SLOT_GENERATION];
    if ((generation & 1) === 0) return undefined;
    const known = this.#kept[slot];
    if (known?.generation === generation) {
      const cls = this.#classOf(known.view)!;
      if (cls.base(known.view) === 0) {
        cls.revive(known.view, base);
        this.#out.push(known);
      }
      return known.view;
    }
    const index =
      this.#pool.variants === undefined ? 0 : variantAt(this.#pool, this.#reader.mirror, base + SLOT_HEADER);
    const cls = this.#views[index];
    if (cls === undefined) {
      throw new StateError('STATE_CORRUPT', `${this.name}[${slot}] is of a class that its family does not have`);
    }
    const made = { generation, view: new cls(base, base + SLOT_STAMP) };
    if (known === undefined) this.#keptCount++;
    this.#kept[slot] = made;
    this.#out.push(made);
    return made.view;
  }

  #classOf(view: object): ViewClass | undefined {
    return this.#views.find(cls => cls.is(view));
  }

  #refOf(view: object): RecordRef | undefined {
    const base = this.#views[0]!.base(view);
    if (base === 0) return undefined;
    return {
      slot: this.#reader.slotAt(base),
      generation: this.#U[base + SLOT_GENERATION],
      pool: this.name,
    };
  }
}

function readOnly(what: string): never {
  throw new StateError(
    'STATE_READ_ONLY',
    `${what} in a snapshot: only the owner of the node writes; send it a message`,
  );
}

/** A class for records of which only the name is known. */
function anonymous(name: string): object {
  const made = { [name]: class {} }[name]!;
  return made.prototype as object;
}

/** The prototypes of a schema's classes by name, once it is the schema that the segment was made from. */
function classesOf(reader: Reader, schema: StateSchema): Map<string, object> {
  const ours = stateLayoutOf(schema);
  const problem = differenceOf(ours, reader.layouts);
  if (problem !== undefined) {
    throw new StateError(
      'STATE_LAYOUT',
      `${reader.segment.name} was made from another schema: ${problem}. Read it without a schema, or with the one of its code`,
    );
  }
  const classes = new Map<string, object>();
  const take = (name: string, prototype: object | undefined): void => {
    if (prototype !== undefined) classes.set(name, prototype);
  };
  const look = (kind: AnyKind): void => {
    if (kind.tag === 'struct') {
      take(kind.layout.name, kind.struct?.prototype as object | undefined);
      kind.layout.fields.forEach(field => look(field.kind));
    } else for (const inner of innerKinds(kind)) look(inner);
  };
  for (const { layout, struct, variants } of ours.pools) {
    for (const each of variants ?? [{ layout, struct }]) {
      take(each.layout.name, each.struct?.prototype as object | undefined);
      each.layout.fields.forEach(field => look(field.kind));
    }
  }
  ours.root.fields.forEach(field => look(field.kind));
  return classes;
}

/** A sentence on the first difference between a schema and a segment's catalog, what the runtime added left aside. */
function differenceOf(ours: StateLayout, theirs: StateLayout): string | undefined {
  for (const pool of ours.pools) {
    const other = theirs.pools.find(({ name }) => name === pool.name);
    if (other === undefined) return `it has no pool \`${pool.name}\``;
    const problem = poolDifference(pool, other);
    if (problem !== undefined) return problem;
  }
  const extra = theirs.pools.find(({ name, hidden }) => !hidden && !ours.pools.some(pool => pool.name === name));
  if (extra !== undefined) return `it has a pool \`${extra.name}\``;
  for (const [name, layout] of ours.structs) {
    const other = theirs.structs.get(name);
    if (other === undefined) return `it has no struct ${name}`;
    const problem = structDifference(layout, other, name);
    if (problem !== undefined) return problem;
  }
  return structDifference(ours.root, theirs.root, 'the root');
}

function poolDifference(ours: PoolLayout, theirs: PoolLayout): string | undefined {
  const where = `pool \`${ours.name}\``;
  if (ours.variants === undefined && theirs.variants === undefined)
    return structDifference(ours.layout, theirs.layout, where);
  const namesOf = (pool: PoolLayout) => (pool.variants ?? [pool]).map(({ layout }) => layout.name).sort();
  const [mine, its] = [namesOf(ours).join(', '), namesOf(theirs).join(', ')];
  if (mine !== its) return `${where} holds ${its}, not ${mine}`;
  for (const { layout } of ours.variants ?? [ours]) {
    const other = (theirs.variants ?? [theirs]).find(each => each.layout.name === layout.name)!;
    const problem = structDifference(layout, other.layout, `${where}, ${layout.name}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function structDifference(ours: StructLayout, theirs: StructLayout, where: string): string | undefined {
  const shown = (layout: StructLayout) => layout.fields.filter(field => !field.name.startsWith('$'));
  if (ours.name !== theirs.name) return `${where} holds ${theirs.name}, not ${ours.name}`;
  const theirFields = new Map(shown(theirs).map(field => [field.name, field]));
  for (const field of shown(ours)) {
    const other = theirFields.get(field.name);
    if (other === undefined) return `${where} has no field ${field.name}`;
    const [mine, its] = [describeKind(field.kind), describeKind(other.kind)];
    if (mine !== its) return `${where}.${field.name} is ${its}, not ${mine}`;
    theirFields.delete(field.name);
  }
  const [extra] = theirFields.keys();
  return extra === undefined ? undefined : `${where} has a field ${extra}`;
}
