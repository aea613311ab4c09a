// HOT: measured by benchmarks/containers
/** What maps and sets have in common: a hash table (hash-table.ts) at a home, its views, its walks. */
import type { AnyKind } from '@lich/schema';
import { HEAD_STAMP, headWords, TABLE, tableShape } from './chain-shape.ts';
import { ContainerView } from './container.ts';
import { type ElementSpec, mustFit } from './elements.ts';
import { type StateCode, StateError } from './errors.ts';
import { HashTable } from './hash-table.ts';
import type { Stamp } from './memory.ts';
import { releaserOf } from './release.ts';
import { type Given, KEYS, VALUES, type Walk, Walks, type Walked, WalkIterator } from './walk.ts';

const { count: COUNT, first: FIRST, high: HIGH, next: NEXT, generation: GENERATION } = TABLE;

/** One for all maps, or sets, of a kind. */
export interface TableSpec extends ElementSpec {
  readonly table: HashTable;
  readonly key: AnyKind;
  /** undefined for sets. */
  readonly value: AnyKind | undefined;
  /** Bytes from an entry to its value. */
  readonly valueOffset: number;
  readonly capacity: number;
  readonly full: StateCode;
}

export function tableSpec(
  base: ElementSpec,
  kind: AnyKind & { tag: 'map' | 'set' },
  layout: { readonly key: number; readonly value?: number; readonly bucketCount: number },
): TableSpec {
  const { context } = base;
  const release = releaserOf(kind.key, context);
  return {
    ...base,
    table: new HashTable(
      context,
      tableShape(kind),
      kind.key,
      layout.key,
      layout.bucketCount,
      release,
      kind.tag === 'map' ? kind.value : undefined,
      layout.value ?? 0,
    ),
    key: kind.key,
    value: kind.tag === 'map' ? kind.value : undefined,
    valueOffset: layout.value ?? 0,
    capacity: kind.capacity,
    full: kind.tag === 'map' ? 'STATE_MAP_FULL' : 'STATE_SET_FULL',
  };
}

export abstract class TableView extends ContainerView implements Walked {
  readonly #spec: TableSpec;
  readonly #table: HashTable;
  readonly #u32: Uint32Array;
  #walks: Walks | undefined;

  constructor(spec: TableSpec, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
    this.#table = spec.table;
    this.#u32 = spec.context.mem.u32;
  }

  get size(): number {
    const at = this.#table.chain.control(this.home());
    return at === 0 ? 0 : this.#u32[at + COUNT];
  }

  get capacity(): number {
    return this.#spec.capacity || Number.POSITIVE_INFINITY;
  }

  has(key: unknown): boolean {
    return this.entryOf(key) !== 0;
  }

  delete(key: unknown): boolean {
    const table = this.#table;
    const entry = table.find(this.$word, key);
    if (entry === 0) return false;
    const at = table.chain.control(this.$word);
    const { slot } = table;
    const { release, valueOffset, context } = this.#spec;
    this.$touch();
    release?.(entry + valueOffset / 4);
    this.gone(slot);
    const before = table.remove(at, entry, slot);
    if (this.#walks?.any) {
      const generation = before === 0 ? 0 : this.#u32[table.entry(at, before - 1) + GENERATION];
      this.#walks.removed(slot + 1, before, generation, context.journal, context.position());
    }
    return true;
  }

  clear(): void {
    const table = this.#table;
    const at = table.chain.control(this.home());
    if (at === 0 || this.#u32[at + HIGH] === 0) return;
    const { release, valueOffset, context } = this.#spec;
    const { releaseKey } = table;
    this.$touch();
    if (release !== undefined || releaseKey !== undefined) {
      for (let link = this.#u32[at + FIRST], before = 0; link !== 0; ) {
        const entry = table.chain.follow(at, link, before);
        release?.(entry + valueOffset / 4);
        releaseKey?.(entry + table.keyWords);
        before = link;
        link = this.#u32[entry + NEXT];
      }
    }
    this.allGone();
    table.clear(at);
    this.#walks?.cleared(context.journal, context.position());
  }

  keys(): WalkIterator<any> {
    return this.walk(KEYS);
  }

  values(): WalkIterator<any> {
    return this.walk(VALUES);
  }

  protected walk(what: Given): WalkIterator<any> {
    this.home();
    return new WalkIterator(this, (this.#walks ??= new Walks()), what);
  }

  /** Word of the entry of a key, 0 = there is none. Its slot is `slot()`. */
  protected entryOf(key: unknown): number {
    return this.#table.find(this.$word, key);
  }

  /** Of the entry that was looked up or added last. */
  protected slot(): number {
    return this.#table.slot;
  }

  /** Add a key that is not there. @returns word of the entry */
  protected insert(key: unknown): number {
    const { key: kind, what, growing, capacity, full } = this.#spec;
    const table = this.#table;
    mustFit(kind, key, `key of ${what}`);
    const { chain } = table;
    const at = growing ? this.openHead(headWords(chain.shape)) + HEAD_STAMP : this.home();
    if (chain.isFull(at)) throw new StateError(full, `${what} is full: ${capacity} entries, raise its capacity`);
    this.$touch();
    return table.insert(at, key);
  }

  protected keyAt(slot: number): unknown {
    const table = this.#table;
    return table.keyOf(table.entry(table.chain.control(this.home()), slot));
  }

  protected entryAt(slot: number): number {
    const table = this.#table;
    return table.entry(table.chain.control(this.home()), slot);
  }

  /** @internal */
  abstract $item(slot: number, what: Given): unknown;

  /** @internal */
  $step(walk: Walk): number {
    const table = this.#table;
    const at = this.$word === 0 ? 0 : table.chain.control(this.$word);
    if (at === 0) return -1;
    const u32 = this.#u32;
    let link: number;
    if (walk.at === 0) link = u32[at + FIRST];
    else {
      if (walk.at > u32[at + HIGH]) return -1;
      const entry = table.entry(at, walk.at - 1);
      if (u32[entry + GENERATION] !== walk.generation) return -1;
      link = u32[entry + NEXT];
    }
    if (link === 0) return -1;
    walk.generation = u32[table.chain.follow(at, link, walk.at) + GENERATION];
    walk.at = link;
    return link - 1;
  }
}
