// HOT: measured by benchmarks/containers
/** map(key, value) and map(key, value, n): the views. What they stand on is in hash-table.ts. */
import { type HashMap, mapLayout, type MapShape } from '@lich/schema';
import { type ElementSpec, mustFit } from './elements.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import { type TableSpec, TableView, tableSpec } from './table-view.ts';
import { ENTRIES, type Given, KEYS, type WalkIterator } from './walk.ts';

export function mapSpec(base: ElementSpec, kind: MapShape): TableSpec {
  return tableSpec(base, kind, mapLayout(kind));
}

export class MapView extends TableView implements HashMap<any, any, any, any> {
  readonly #spec: TableSpec;

  constructor(spec: TableSpec, word: number, stamp: Stamp) {
    super(spec, word, stamp);
    this.#spec = spec;
  }

  get(key: unknown): any {
    const read = this.#spec.table.get;
    if (read !== undefined) return read(this.$word, key);
    const entry = this.entryOf(key);
    if (entry === 0) return undefined;
    const { cell, valueOffset } = this.#spec;
    return cell !== undefined
      ? cell.read(cell.unit(entry, valueOffset))
      : this.shown(this.viewAt(this.slot(), entry + valueOffset / 4));
  }

  set(key: unknown, value: unknown): any {
    const { what, cell, door, prepare, valueOffset } = this.#spec;
    mustFit(this.#spec.value!, value, what);
    let entry = this.entryOf(key);
    const fresh = entry === 0;
    if (fresh) {
      entry = this.insert(key);
      prepare?.(entry + valueOffset / 4);
      if (door !== undefined) this.come(this.slot());
    } else this.$touch();
    if (cell !== undefined) {
      const unit = cell.unit(entry, valueOffset);
      cell.write(unit, value);
      return cell.read(unit);
    }
    const view = this.viewAt(this.slot(), entry + valueOffset / 4);
    if (fresh && prepare !== undefined) door!.fill(view, value);
    else door!.assign(view, value);
    return this.shown(view);
  }

  get [Symbol.toStringTag](): string {
    return 'Map';
  }

  entries(): WalkIterator<[any, any]> {
    return this.walk(ENTRIES);
  }

  [Symbol.iterator](): WalkIterator<[any, any]> {
    return this.walk(ENTRIES);
  }

  forEach(fn: (value: any, key: any, map: this) => void): void {
    for (const [key, value] of this.walk(ENTRIES)) fn(value, key, this);
  }

  /** @internal Overwrite all; the entries were checked. */
  $assign(entries: Iterable<readonly [unknown, unknown]>): void {
    // Ours may be among them: take copies before anything is freed.
    const all = entries instanceof MapView ? entries.toArray() : [...entries];
    this.clear();
    for (const [key, value] of all) this.set(key, value);
  }

  /** @internal */
  $item(slot: number, what: Given): unknown {
    if (what === KEYS) return this.keyAt(slot);
    const { cell, valueOffset } = this.#spec;
    const entry = this.entryAt(slot);
    const value =
      cell !== undefined
        ? cell.read(cell.unit(entry, valueOffset))
        : this.shown(this.viewAt(slot, entry + valueOffset / 4));
    return what === ENTRIES ? [this.#spec.table.keyOf(entry), value] : value;
  }
}
containerFace(MapView.prototype);
