/** set(key) and set(key, n): the views. What they stand on is in hash-table.ts; entries have no value. */
import { type HashSet, setLayout, type SetShape } from '@lich/schema';
import type { ElementSpec } from './elements.ts';
import type { Stamp } from './memory.ts';
import { containerFace } from './plain.ts';
import { type TableSpec, TableView, tableSpec } from './table-view.ts';
import { ENTRIES, type Given, KEYS, type WalkIterator } from './walk.ts';

export function setSpec(base: ElementSpec, kind: SetShape): TableSpec {
  return tableSpec(base, kind, setLayout(kind));
}

export class SetView extends TableView implements HashSet<any, any, any> {
  constructor(spec: TableSpec, word: number, stamp: Stamp) {
    super(spec, word, stamp);
  }

  add(key: unknown): this {
    if (this.entryOf(key) === 0) this.insert(key);
    return this;
  }

  get [Symbol.toStringTag](): string {
    return 'Set';
  }

  entries(): WalkIterator<[any, any]> {
    return this.walk(ENTRIES);
  }

  [Symbol.iterator](): WalkIterator<any> {
    return this.walk(KEYS);
  }

  forEach(fn: (value: any, key: any, set: this) => void): void {
    for (const key of this.walk(KEYS)) fn(key, key, this);
  }

  /** @internal Overwrite all; the keys were checked. */
  $assign(keys: Iterable<unknown>): void {
    const all = keys instanceof SetView ? keys.toArray() : [...keys];
    this.clear();
    for (const key of all) this.add(key);
  }

  /** @internal */
  $item(slot: number, what: Given): unknown {
    const key = this.keyAt(slot);
    return what === ENTRIES ? [key, key] : key;
  }
}
containerFace(SetView.prototype);
