/** What `migrate` will do, worked out from two layouts before anything is read. */
import type { FieldLayout, PoolLayout, StateLayout, StructLayout } from '@lich/schema';
import { convertStruct, type FieldConversion, type Names, type StructConversion, Unfit } from './convert.ts';
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

export interface PoolMigration {
  readonly from: PoolLayout;
  readonly fromIndex: number;
  readonly to: PoolLayout;
  readonly toIndex: number;
  readonly struct: StructMigration;
}

export interface Migration {
  readonly from: StateLayout;
  readonly to: StateLayout;
  readonly root: StructMigration;
  readonly pools: readonly PoolMigration[];
  readonly removed: readonly { readonly pool: PoolLayout; readonly index: number }[];
}

/** @throws StateError `STATE_MIGRATION` when something leads nowhere */
export function migrationOf(from: StateLayout, to: StateLayout, names: Names): Migration {
  const wrong: string[] = [];
  const structOf = (old: StructLayout, next: StructLayout, hook: MigrateHook | undefined): StructMigration => {
    try {
      const conversion = convertStruct(old, next, names, hook !== undefined);
      const same =
        old.bytes === next.bytes &&
        conversion.removed.length === 0 &&
        conversion.fields.every(({ how, field, from }) => how === 'same' && from!.offset === field.offset);
      return { ...conversion, same, plain: conversion.fields.filter(field => field.how === 'plain'), hook: same ? undefined : hook };
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
    const hook = (pool.struct as { migrate?: MigrateHook } | undefined)?.migrate;
    pools.push({ from: old, fromIndex, to: pool, toIndex, struct: structOf(old.layout, pool.layout, hook) });
  });
  const root = structOf(from.root, to.root, undefined);
  if (wrong.length > 0) throw new StateError('STATE_MIGRATION', `the layout cannot be migrated: ${wrong.join('; ')}`);
  const removed = from.pools.flatMap((pool, index) => (used.has(index) ? [] : [{ pool, index }]));
  return { from, to, root, pools, removed };
}

/** Fields that end with the old layout. */
export function removedFields({ root, pools }: Migration): { owner: string; field: FieldLayout }[] {
  return [root, ...pools.map(pool => pool.struct)].flatMap(struct =>
    struct.removed.map(field => ({ owner: struct.to.name, field })),
  );
}

/** The names by which a new layout finds what an old one has: its own, and those that its annotations give
 * (`.was('old')`, `pool(…, { was })`). What was renamed goes before a new field that took the old name. */
export function namesOf(from: StateLayout, to: StateLayout): Names {
  const fields = new Map<StructLayout, Map<StructLayout, Map<string, string>>>();
  const pools = match(from.pools, to.pools, pool => pool.was);
  return {
    field(old, next, field) {
      let byOld = fields.get(old);
      if (byOld === undefined) fields.set(old, (byOld = new Map()));
      let names = byOld.get(next);
      if (names === undefined) byOld.set(next, (names = match(old.fields, next.fields, each => each.kind.former)));
      return names.get(field.name) ?? '';
    },
    pool: name => pools.get(name) ?? '',
  };
}

/** @returns old name by new name, of those that have one */
function match<T extends { readonly name: string }>(
  old: readonly { readonly name: string }[],
  next: readonly T[],
  former: (entry: T) => readonly string[] | undefined,
): Map<string, string> {
  const there = new Set(old.map(entry => entry.name));
  const found = new Map<string, string>();
  for (const entry of next) {
    if (there.has(entry.name)) continue;
    const name = former(entry)?.find(each => there.has(each));
    if (name !== undefined) {
      found.set(entry.name, name);
      there.delete(name);
    }
  }
  for (const entry of next) if (there.has(entry.name)) found.set(entry.name, entry.name);
  return found;
}
