/** Families: pools whose slots hold records of several classes. The word `$class` (u16, at the start of each record) has the
 * number of its class in the segment's catalog; 0 is none. Here is what finds the layout of a record by it. */
import { CLASS_FIELD, type PoolLayout, type StateLayout, type StructLayout } from '@lich/schema';
import type { Arrays } from './memory.ts';

/** What is asked for here of a pool's layout. */
export type RecordKinds = Pick<PoolLayout, 'layout' | 'variants'>;

/** The class of a record of a family, as an index into `variants`; -1 when there is none of that number.
 * @param word of the record's payload */
export function variantAt({ layout, variants }: RecordKinds, mem: Pick<Arrays, 'u16'>, word: number): number {
  const id = mem.u16[word * 2 + classOffset(layout) / 2];
  // Numbers are given from 1 on in the order of the names: mostly it is where it would be without gaps.
  if (variants![id - 1]?.id === id) return id - 1;
  return variants!.findIndex(variant => variant.id === id);
}

/** Bytes from the start of a record to its class. */
export function classOffset(layout: StructLayout): number {
  return layout.fields.find(field => field.name === CLASS_FIELD)?.offset ?? 0;
}

/** The layout of a record; undefined for one of a class that is not known. @param word of its payload */
export function layoutAt(pool: RecordKinds, mem: Pick<Arrays, 'u16'>, word: number): StructLayout | undefined {
  return pool.variants === undefined ? pool.layout : pool.variants[variantAt(pool, mem, word)]?.layout;
}

/** The same layouts with the numbers that a segment gives to the classes of its families, found by name, those of before
 * too; new classes have numbers above. */
export function numbered(layouts: StateLayout, known: StateLayout): StateLayout {
  const pools = layouts.pools.map(pool => {
    const before = known.pools.find(({ name }) => name === pool.name)?.variants;
    if (pool.variants === undefined || before === undefined) return pool;
    const ids = new Map(before.map(({ name, id }) => [name, id]));
    let last = Math.max(...ids.values());
    const variants = pool.variants.map(variant => {
      const name = [variant.name, ...(variant.layout.was ?? [])].find(each => ids.has(each));
      return { ...variant, id: name === undefined ? ++last : ids.get(name)! };
    });
    return { ...pool, variants: variants.sort((a, b) => a.id - b.id) };
  });
  return { ...layouts, pools };
}

/** What a segment says, with classes of families under the names that this code gives them, where it is the earlier one: a
 * class that the segment calls Direwolf, once Wolf, is Wolf to code that has a Wolf and no Direwolf. */
export function seenBack(known: StateLayout, own: StateLayout): StateLayout {
  const pools = known.pools.map(pool => {
    const names = own.pools.find(({ name }) => name === pool.name)?.variants?.map(({ name }) => name);
    if (pool.variants === undefined || names === undefined) return pool;
    const taken = new Set(pool.variants.map(({ name }) => name));
    const variants = pool.variants.map(variant => {
      if (names.includes(variant.name)) return variant;
      const name = variant.layout.was?.find(each => names.includes(each) && !taken.has(each));
      if (name === undefined) return variant;
      taken.add(name);
      return { ...variant, name, layout: { ...variant.layout, name } };
    });
    return { ...pool, variants };
  });
  return { ...known, pools };
}
