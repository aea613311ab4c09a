// HOT: measured by benchmarks/containers
/** sorted(key, value): a map in the order of its keys, in the heap. The tree and its bytes are in sorted-tree.ts, how keys
 * lie and compare in sorted-keys.ts.
 *
 * Values that are structs, containers, or cells of more than 32 bytes stand in slots (slots.ts), which never move; the tree
 * then holds the number of the slot, one word. Other values lie in the leaves, and move. */
import { refuse, SchemaError, type SortedMap, type SortedRange, type SortedShape } from '@lich/schema';
import type { Cell } from './cell.ts';
import { ContainerView } from './container.ts';
import { decode } from './decode.ts';
import { decodeOptions, type ElementSpec, mustFit } from './elements.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import type { Slots } from './slots.ts';
import type { KeyOrder, Probe } from './sorted-keys.ts';
import { COUNT, SLOTS, type SortedTree } from './sorted-tree.ts';
import { clearEntries, type SortedParts } from './sorted-walk.ts';

export class SortedView extends ContainerView implements SortedMap<any, any, any, any> {
  readonly #spec: ElementSpec;
  readonly #kind: SortedShape;
  readonly #parts: SortedParts;
  readonly #order: KeyOrder;
  readonly #tree: SortedTree;
  readonly #slots: Slots | undefined;
  readonly #cell: Cell | undefined;
  readonly #u32: Uint32Array;
  /** Entries that came or went: a walk that stands in a leaf looks for its place again. */
  #changes = 0;

  constructor(spec: ElementSpec, parts: SortedParts, kind: SortedShape, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
    this.#kind = kind;
    this.#parts = parts;
    this.#order = parts.order;
    this.#tree = parts.tree;
    this.#slots = parts.slots;
    this.#cell = spec.cell;
    this.#u32 = spec.context.mem.u32;
  }

  get size(): number {
    const head = this.head();
    return head === 0 ? 0 : this.#u32[head + COUNT];
  }

  get(key: unknown): any {
    const head = this.head();
    const probe = this.#order.probe(key);
    if (head === 0 || probe === undefined || !this.#tree.find(head, probe)) return undefined;
    return this.#value(head, this.#tree.valueWord);
  }

  has(key: unknown): boolean {
    const head = this.head();
    const probe = this.#order.probe(key);
    return head !== 0 && probe !== undefined && this.#tree.find(head, probe);
  }

  set(key: unknown, value: unknown): any {
    const { what, door, prepare, context } = this.#spec;
    const cell = this.#cell;
    mustFit(this.#kind.value, value, what);
    let head = this.head();
    const known = this.#order.probe(key);
    let word: number;
    if (head !== 0 && known !== undefined && this.#tree.find(head, known)) {
      this.$touch();
      word = this.#tree.valueWord;
      if (cell === undefined) {
        const view = this.#raw(head, this.#u32[word]);
        door!.assign(view, value);
        return this.shown(view);
      }
      if (this.#slots !== undefined) word = this.#slots.word(head + SLOTS, this.#u32[word]);
    } else {
      mustFit(this.#kind.key, key, `key of ${what}`);
      const probe = this.#order.probe(key)!;
      head = this.openHead(this.#parts.words);
      this.$touch();
      this.#changes++;
      // What may not fit into the heap comes first; a text is stored before something leads to it.
      const text = this.#parts.releaseKey === undefined ? 0 : this.#storeText(probe as string);
      const slot = this.#slots === undefined ? 0 : this.#slots.take(head + SLOTS);
      this.#tree.insert(head, probe, text);
      word = this.#tree.valueWord;
      if (this.#slots !== undefined) {
        context.log.write(word, slot);
        word = this.#slots.word(head + SLOTS, slot);
        prepare?.(word);
        if (cell === undefined) {
          this.come(slot);
          const view = this.#raw(head, slot);
          door!.fill(view, value);
          return this.shown(view);
        }
      }
    }
    const unit = cell!.unit(word, 0);
    cell!.write(unit, value);
    return cell!.read(unit);
  }

  delete(key: unknown): boolean {
    const head = this.head();
    const probe = this.#order.probe(key);
    if (head === 0 || probe === undefined || !this.#tree.find(head, probe)) return false;
    this.$touch();
    this.#changes++;
    const { release, context } = this.#spec;
    const tree = this.#tree;
    const word = tree.valueWord;
    let slot = 0;
    if (this.#slots !== undefined) {
      slot = this.#u32[word];
      this.gone(slot);
      release?.(this.#slots.word(head + SLOTS, slot));
      this.#slots.give(head + SLOTS, slot);
    } else release?.(word);
    const text = this.#parts.releaseKey === undefined ? 0 : this.#u32[tree.keyWord];
    tree.remove(head);
    if (text !== 0) context.heap.free(text);
    if (this.#u32[head + COUNT] === 0) this.#slots?.release(head + SLOTS);
    return true;
  }

  clear(): void {
    const head = this.head();
    if (head === 0 || this.#u32[head + COUNT] === 0) return;
    this.$touch();
    this.#changes++;
    this.allGone();
    clearEntries(this.#parts, head, this.#u32, this.#spec.release);
  }

  get first(): [any, any] | undefined {
    return this.at(0);
  }

  get last(): [any, any] | undefined {
    return this.at(-1);
  }

  floor(key: unknown): [any, any] | undefined {
    const rank = this.#rank(key, true);
    return rank === 0 ? undefined : this.at(rank - 1);
  }

  ceil(key: unknown): [any, any] | undefined {
    const rank = this.#rank(key, false);
    return rank === this.size ? undefined : this.at(rank);
  }

  rank(key: unknown): number {
    return this.#rank(key, false);
  }

  at(rank: number): [any, any] | undefined {
    const head = this.head();
    if (head === 0) return undefined;
    const size = this.#u32[head + COUNT];
    const k = Math.trunc(rank) || 0;
    const from = k < 0 ? k + size : k;
    if (from < 0 || from >= size) return undefined;
    const tree = this.#tree;
    tree.locate(head, from);
    const key = this.#order.read(tree.keyWord);
    return [key, this.#value(head, tree.valueWord)];
  }

  *range(range: SortedRange<unknown> = {}): Generator<[any, any], undefined> {
    const walk = new Walk(range.from, range.to, range.reverse === true);
    while (this.#step(walk)) yield [this.#order.read(walk.key), this.#value(this.head(), walk.value)];
    return undefined;
  }

  entries(): Generator<[any, any], undefined> {
    return this.range();
  }

  [Symbol.iterator](): Generator<[any, any], undefined> {
    return this.range();
  }

  *keys(): Generator<any, undefined> {
    const walk = new Walk(undefined, undefined, false);
    while (this.#step(walk)) yield this.#order.read(walk.key);
    return undefined;
  }

  *values(): Generator<any, undefined> {
    const walk = new Walk(undefined, undefined, false);
    while (this.#step(walk)) yield this.#value(this.head(), walk.value);
    return undefined;
  }

  forEach(fn: (value: any, key: any) => void): void {
    const walk = new Walk(undefined, undefined, false);
    while (this.#step(walk)) fn(this.#value(this.head(), walk.value), this.#order.read(walk.key));
  }

  /** @internal Overwrite all; the entries were checked. */
  $assign(entries: Iterable<readonly [unknown, unknown]>): void {
    const all = entries instanceof SortedView ? entries.toArray() : [...entries];
    const { context, door } = this.#spec;
    const kept = all.map(([key, value]): [unknown, unknown] => {
      const word = door === undefined || typeof value !== 'object' || value === null ? 0 : door.wordOf(value);
      return [key, word === 0 ? value : decode(context.mem, this.#kind.value, word, 0, decodeOptions(context))];
    });
    this.clear();
    for (const [key, value] of kept) this.set(key, value);
  }

  /** Go to the next entry of a walk. @returns whether there is one */
  #step(walk: Walk): boolean {
    if (this.$word === 0) return false;
    const head = this.head();
    if (head === 0) return false;
    const tree = this.#tree;
    const size = this.#u32[head + COUNT];
    if (walk.changes === this.#changes && walk.undone === this.$undone) {
      // Within the leaf it is the next one.
      walk.rank += walk.step;
      walk.index += walk.step;
      if (walk.index < 0 || walk.index >= this.#u32[walk.leaf]) {
        if (walk.rank < 0 || walk.rank >= size) return false;
        tree.locate(head, walk.rank);
        walk.leaf = tree.leaf;
        walk.index = tree.index;
      }
    } else {
      walk.rank =
        walk.last === undefined
          ? this.#start(walk, size)
          : walk.step > 0
            ? tree.rank(head, walk.last, true)
            : tree.rank(head, walk.last, false) - 1;
      walk.changes = this.#changes;
      walk.undone = this.$undone;
      if (walk.rank < 0 || walk.rank >= size) return this.#stop(walk);
      tree.locate(head, walk.rank);
      walk.leaf = tree.leaf;
      walk.index = tree.index;
    }
    tree.leaf = walk.leaf;
    tree.index = walk.index;
    walk.key = tree.keyWord;
    walk.value = tree.valueWord;
    if (walk.end !== undefined) {
      // From below, the end is not visited; from above, the beginning is.
      const below = this.#order.lower(walk.key, 1, walk.end) === 1;
      if (below !== walk.step > 0) return this.#stop(walk);
    }
    walk.last = this.#order.stored(walk.key);
    return true;
  }

  /** Rank of the entry with which a walk begins. */
  #start(walk: Walk, size: number): number {
    const from = walk.from === undefined ? undefined : this.#bound(walk.from);
    const to = walk.to === undefined ? undefined : this.#bound(walk.to);
    const head = this.head();
    walk.end = walk.step > 0 ? to : from;
    if (walk.step > 0) return from === undefined ? 0 : this.#tree.rank(head, from, false);
    return (to === undefined ? size : this.#tree.rank(head, to, false)) - 1;
  }

  /** It has not moved: what is added later may still be next. */
  #stop(walk: Walk): false {
    walk.changes = -1;
    return false;
  }

  #rank(key: unknown, orEqual: boolean): number {
    const probe = this.#bound(key);
    const head = this.head();
    return head === 0 ? 0 : this.#tree.rank(head, probe, orEqual);
  }

  /** @throws SchemaError `SCHEMA_RANGE` for what cannot be compared with keys */
  #bound(key: unknown): Probe {
    const probe = this.#order.probe(key);
    if (probe !== undefined) return probe;
    const kind = this.#kind.key;
    if (typeof key === 'number' && (kind.tag === 'int' || 'whole' in kind))
      throw new SchemaError('SCHEMA_RANGE', `key of ${this.#spec.what}: ${String(key)} has no place among numbers`);
    return refuse('key', this.#spec.what, kind, key);
  }

  #raw(head: number, slot: number): object {
    return this.viewAt(slot, this.#slots!.word(head + SLOTS, slot));
  }

  #value(head: number, word: number): unknown {
    const cell = this.#cell;
    if (cell === undefined) return this.shown(this.#raw(head, this.#u32[word]));
    if (this.#slots === undefined) return cell.read(cell.unit(word, 0));
    return cell.read(cell.unit(this.#slots.word(head + SLOTS, this.#u32[word]), 0));
  }

  /** The units of a text() key, in a block. @returns its link, 0 for an empty text */
  #storeText(text: string): number {
    if (text.length === 0) return 0;
    const { heap, log, mem } = this.#spec.context;
    const words = (text.length + 1) >> 1;
    const link = heap.alloc(words);
    const at = heap.base + link;
    log.keep(at, words);
    for (let k = 0; k < text.length; k++) mem.u16[at * 2 + k] = text.charCodeAt(k);
    return link;
  }
}
containerFace(SortedView.prototype);

/** Where a walk stands. */
class Walk {
  readonly from: unknown;
  readonly to: unknown;
  readonly step: 1 | -1;
  /** Key to stop at. */
  end: Probe | undefined = undefined;
  /** Key that was visited last. */
  last: Probe | undefined = undefined;
  rank = 0;
  leaf = 0;
  index = 0;
  /** Words of the entry. */
  key = 0;
  value = 0;
  /** When the place was found; -1 = it has to be looked for. */
  changes = -1;
  undone = 0;

  constructor(from: unknown, to: unknown, reverse: boolean) {
    this.from = from;
    this.to = to;
    this.step = reverse ? -1 : 1;
  }
}
