/** Finds what an old layout called the pools, classes and fields of a new one: by their names, and by the former names that
 * `.was('old')`, `static was = 'Old'` and `pool(Class, { was: 'old' })` give.
 *
 * A former name is followed when the old layout has something of that name and does not know the new name yet. An old
 * thing of the new name is no obstacle unless it carries the same annotation: then the renaming is behind it already. So
 * annotations may stay for good, and two fields may swap their names. The way back is found too: an old thing that the new
 * layout does not know, and that was called what nothing else leads to, is that one. */
import { recordLayouts, type PoolLayout, type StateLayout } from './catalog.ts';
import type { FieldLayout, StructLayout } from './layout.ts';

interface Named {
  readonly name: string;
  readonly was?: readonly string[];
}

/** What an old layout called the parts of a new one; '' for what it does not have. */
export interface LayoutNames {
  /** Old name of a field of the new struct. */
  field(from: StructLayout, to: StructLayout, field: FieldLayout): string;
  /** Old name of a pool of the new layout. */
  pool(name: string): string;
  /** Old name of a class of the new layout: nested somewhere, or the record of a pool. */
  struct(name: string): string;
}

/** Match two layouts by names and former names. */
export function layoutNames(from: StateLayout, to: StateLayout): LayoutNames {
  const pools = matchNames(from.pools, to.pools);
  const structs = matchNames(classLayouts(from), classLayouts(to));
  const fields = new WeakMap<StructLayout, WeakMap<StructLayout, ReadonlyMap<string, string>>>();
  return {
    pool: name => pools.get(name) ?? '',
    struct: name => structs.get(name) ?? '',
    field(old, next, field) {
      let known = fields.get(old);
      if (known === undefined) fields.set(old, (known = new WeakMap()));
      let names = known.get(next);
      if (names === undefined) known.set(next, (names = matchNames(old.fields, next.fields)));
      return names.get(field.name) ?? '';
    },
  };
}

/** Old names by new names. */
export function matchNames(from: readonly Named[], to: readonly Named[]): ReadonlyMap<string, string> {
  const old = new Map(from.map(each => [each.name, each]));
  const names = new Map<string, string>();
  const used = new Set<string>();
  for (const { name, was } of to) {
    const behind = old.get(name)?.was ?? [];
    const former = was?.find(each => old.has(each) && !used.has(each) && each !== name && !behind.includes(each));
    if (former === undefined) continue;
    names.set(name, former);
    used.add(former);
  }
  for (const { name } of to) {
    if (names.has(name) || !old.has(name) || used.has(name)) continue;
    names.set(name, name);
    used.add(name);
  }
  // Earlier code, which comes back, does not know the later names; those say what they were before.
  const known = new Set(to.map(each => each.name));
  for (const { name } of to) {
    if (names.has(name)) continue;
    const later = from.find(each => !used.has(each.name) && !known.has(each.name) && each.was?.includes(name));
    if (later === undefined) continue;
    names.set(name, later.name);
    used.add(later.name);
  }
  return names;
}

/** The layouts of all classes of a state by name: nested ones, and the records of its pools. */
export function classLayouts(layout: StateLayout): StructLayout[] {
  const found = new Map<string, StructLayout>(layout.structs);
  for (const pool of layout.pools.filter(isDeclared)) {
    for (const record of recordLayouts(pool)) if (!found.has(record.name)) found.set(record.name, record);
  }
  return [...found.values()];
}

function isDeclared(pool: PoolLayout): boolean {
  return !pool.hidden;
}
