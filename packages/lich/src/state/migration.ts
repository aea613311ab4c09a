/** What `migrate` will do, worked out from two layouts before anything is read. */
import type { FieldLayout, LayoutNames, PoolLayout, StateLayout, StructLayout } from '@lich/schema';
import { convertStruct, type FieldConversion, type StructConversion } from './convert.ts';
import { Unfit } from './convert-values.ts';
import { StateError } from './errors.ts';

/** `static migrate(record, old)` of a record class: fills what no rule leads to. It runs once for each record whose layout
 * changed, after all fields that were converted; `old` has the old fields as plain values. */
export type MigrateHook = (record: any, old: Record<string, unknown>) => void;

/** What happens to the records of one class, or to the root. */
export interface StructMigration extends StructConversion {
  /** The bytes are the same. */
  readonly same: boolean;
  /** Fields that are written through the new record. */
  readonly plain: readonly FieldConversion[];
  readonly hook: MigrateHook | undefined;
}

/** The records of one class of a pool. */
export interface ClassMigration extends StructMigration {
  /** In the new family; 0 in a pool of one class. */
  readonly id: number;
}

export interface PoolMigration {
  readonly from: PoolLayout;
  readonly fromIndex: number;
  readonly to: PoolLayout;
  readonly toIndex: number;
  /** By the id that the old family gave the class, 0 in a pool of one class. A class that is missing here is gone. */
  readonly classes: ReadonlyMap<number, ClassMigration>;
  /** The words of the pool may be copied as they are. */
  readonly same: boolean;
}

export interface Migration {
  readonly from: StateLayout;
  readonly to: StateLayout;
  readonly root: StructMigration;
  readonly pools: readonly PoolMigration[];
  readonly removed: readonly { readonly pool: PoolLayout; readonly index: number }[];
}

/** One class of a pool, whether it holds one or several. */
interface Member {
  readonly id: number;
  readonly layout: StructLayout;
  readonly struct: { migrate?: MigrateHook } | undefined;
}

/** Classes of a pool. */
export function membersOf(pool: PoolLayout): Member[] {
  if (pool.variants === undefined) return [{ id: 0, layout: pool.layout, struct: pool.struct as Member['struct'] }];
  return pool.variants.map(({ id, layout, struct }) => ({ id, layout, struct: struct as Member['struct'] }));
}

/** Where the records of a family say of which class they are. */
export function classField(pool: PoolLayout): FieldLayout | undefined {
  return pool.variants === undefined ? undefined : pool.layout.fields.find(field => field.name === '$class');
}

/** @throws StateError `STATE_MIGRATION` when something leads nowhere */
export function migrationOf(from: StateLayout, to: StateLayout, names: LayoutNames): Migration {
  const wrong: string[] = [];
  const structOf = (old: StructLayout, next: StructLayout, hook: MigrateHook | undefined): StructMigration => {
    try {
      const conversion = convertStruct(old, next, names, hook !== undefined);
      const same =
        old.bytes === next.bytes &&
        conversion.removed.length === 0 &&
        conversion.fields.every(({ how, field, from }) => how === 'same' && from!.offset === field.offset);
      const plain = conversion.fields.filter(field => field.how === 'plain');
      return { ...conversion, same, plain, hook: same ? undefined : hook };
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      wrong.push(`${next.name}: ${error.message}`);
      return { from: old, to: next, fields: [], removed: [], same: false, plain: [], hook };
    }
  };
  const used = new Set<number>();
  const pools: PoolMigration[] = [];
  to.pools.forEach((pool, toIndex) => {
    const fromIndex = from.pools.findIndex(old => old.name === names.pool(pool.name));
    if (fromIndex < 0) return;
    used.add(fromIndex);
    const old = from.pools[fromIndex]!;
    const classes = new Map<number, ClassMigration>();
    const members = membersOf(pool);
    for (const { id, layout } of membersOf(old)) {
      // A pool of one class on both sides holds that class, whatever it is called.
      const one = old.variants === undefined && pool.variants === undefined;
      const next = members.find(member => one || names.struct(member.layout.name) === layout.name);
      if (next !== undefined) classes.set(id, { ...structOf(layout, next.layout, next.struct?.migrate), id: next.id });
    }
    const same =
      old.capacity === pool.capacity &&
      old.layout.bytes === pool.layout.bytes &&
      classes.size === membersOf(old).length &&
      [...classes].every(([id, each]) => each.same && each.id === id);
    pools.push({ from: old, fromIndex, to: pool, toIndex, classes, same });
  });
  const root = structOf(from.root, to.root, undefined);
  if (wrong.length > 0) throw new StateError('STATE_MIGRATION', `the layout cannot be migrated: ${wrong.join('; ')}`);
  const removed = from.pools.flatMap((pool, index) => (used.has(index) ? [] : [{ pool, index }]));
  return { from, to, root, pools, removed };
}
