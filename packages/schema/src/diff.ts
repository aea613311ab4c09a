/** What differs between two layouts of a state, and what becomes of the data: for `lich diff`, for the plan of a migration
 * and for a deploy that has to say no. */
import { fromDescription, stateLayoutOf, type Catalog, type PoolLayout, type StateLayout } from './catalog.ts';
import { classLayouts, layoutNames, matchNames, type LayoutNames } from './layout-names.ts';
import type { FieldLayout, StructLayout } from './layout.ts';
import { relateKinds, showChange, worstEffect, type ChangeEffect } from './relate.ts';
import type { StateSchema } from './state.ts';

/** One difference between two layouts. */
export interface LayoutChange {
  /** What happened. `kind`: it holds something else now. `moved`: same bytes at another offset. */
  readonly change:
    | 'added'
    | 'removed'
    | 'renamed'
    | 'widened'
    | 'narrowed'
    | 'resized'
    | 'reordered'
    | 'moved'
    | 'kind';
  /** To what: `state` for the order of the pools. */
  readonly of: 'field' | 'class' | 'pool' | 'state';
  /** The pool, for changes of a pool, of its records and of the classes of a family. */
  readonly pool?: string;
  /** The class, for fields of a nested class or of a class of a family, and for changes of a class. */
  readonly class?: string;
  /** The name, in the new layout unless it was removed. */
  readonly name: string;
  /** The name in the old layout, where it had another one. */
  readonly oldName?: string;
  readonly effect: ChangeEffect;
  /** Does a migration back to the old layout give every record its old values again? */
  readonly inverse: boolean;
  /** All of it for people: `players.hp: u8 becomes u16, every value fits`. */
  readonly sentence: string;
}

/** What `diff` compares: the catalog of a segment, a laid out state, or a schema (then without the runtime's parts). */
export type DiffSide = Catalog | StateLayout | StateSchema;

/** The differences between two layouts: pools, then root fields, then classes; empty exactly when their layout hashes are
 * equal. When one side is a schema the runtime's parts of the other do not count.
 * @throws SchemaError `SCHEMA_CATALOG` for a catalog that is none */
export function diff(old: DiffSide, next: DiffSide): LayoutChange[] {
  const bare = isSchema(old) || isSchema(next);
  const [from, to] = [layoutFrom(old, bare), layoutFrom(next, bare)];
  return new Differ(from, to).run();
}

/** The worst that a list of changes does. */
export function effectOf(changes: readonly LayoutChange[]): ChangeEffect {
  return worstEffect(changes.map(change => change.effect));
}

function isSchema(side: DiffSide): side is StateSchema {
  return !('format' in side) && !('structs' in side);
}

function layoutFrom(side: DiffSide, bare: boolean): StateLayout {
  const layout = 'format' in side ? fromDescription(side) : 'structs' in side ? side : stateLayoutOf(side);
  if (!bare) return layout;
  const shown = <L extends StructLayout>(struct: L): L => ({
    ...struct,
    fields: struct.fields.filter(field => !field.hidden || field.name === '$class'),
  });
  return {
    ...layout,
    root: shown(layout.root),
    pools: layout.pools
      .filter(pool => !pool.hidden)
      .map(pool => ({
        ...pool,
        layout: shown(pool.layout),
        variants: pool.variants?.map(variant => ({ ...variant, layout: shown(variant.layout) })),
      })),
  };
}

type Told = Pick<LayoutChange, 'change' | 'name'> &
  Partial<Pick<LayoutChange, 'oldName' | 'effect' | 'inverse' | 'pool' | 'class' | 'of'>>;

class Differ {
  readonly #from: StateLayout;
  readonly #to: StateLayout;
  readonly #names: LayoutNames;
  readonly #changes: LayoutChange[] = [];

  constructor(from: StateLayout, to: StateLayout) {
    this.#from = from;
    this.#to = to;
    this.#names = layoutNames(from, to);
  }

  run(): LayoutChange[] {
    this.#pools();
    this.#struct(this.#from.root, this.#to.root, {});
    this.#classes();
    return this.#changes;
  }

  #tell(told: Told, sentence: string): void {
    const {
      effect = 'lossless',
      inverse = effect === 'lossless' || effect === 'checked',
      of = 'field',
      ...rest
    } = told;
    this.#changes.push({ ...rest, of, effect, inverse, sentence });
  }

  #pools(): void {
    const [from, to] = [this.#from.pools, this.#to.pools];
    const used = new Set<string>();
    for (const pool of to) {
      const old = from.find(each => each.name === this.#names.pool(pool.name));
      if (old === undefined) {
        this.#tell({ change: 'added', of: 'pool', pool: pool.name, name: pool.name }, `pool \`${pool.name}\` is new`);
        continue;
      }
      used.add(old.name);
      this.#pool(old, pool);
    }
    for (const { name } of from) {
      if (used.has(name)) continue;
      this.#tell(
        { change: 'removed', of: 'pool', pool: name, name, effect: 'dropped' },
        `pool \`${name}\` is gone, its records are left behind`,
      );
    }
    if (isReordered(from, to, name => this.#names.pool(name)))
      this.#tell({ change: 'reordered', of: 'state', name: 'pools' }, 'pools are declared in another order');
  }

  #pool(old: PoolLayout, pool: PoolLayout): void {
    const { name } = pool;
    const at = { of: 'pool', pool: name, name } as const;
    if (old.name !== name)
      this.#tell({ ...at, change: 'renamed', oldName: old.name }, `pool \`${old.name}\` is called \`${name}\``);
    if (old.capacity !== pool.capacity) {
      const fits = pool.capacity === 0 || (old.capacity !== 0 && old.capacity < pool.capacity);
      const show = (capacity: number) => (capacity === 0 ? 'growing' : `${capacity} slots`);
      this.#tell(
        { ...at, change: 'resized', effect: fits ? 'lossless' : 'checked' },
        `pool \`${name}\`: ${show(old.capacity)} ${old.capacity === 0 ? 'becomes' : 'become'} ${show(pool.capacity)}, ${fits ? 'every record fits' : `more than ${pool.capacity} records do not fit`}`,
      );
    }
    if (old.variants === undefined && pool.variants === undefined) {
      if (old.layout.name !== pool.layout.name) this.#renamedClass(old.layout.name, pool.layout.name, name);
      this.#struct(old.layout, pool.layout, { pool: name });
      return;
    }
    this.#family(old, pool);
  }

  #family(old: PoolLayout, pool: PoolLayout): void {
    const { name } = pool;
    const classesOf = (each: PoolLayout) => each.variants?.map(variant => variant.layout) ?? [each.layout];
    const [from, to] = [classesOf(old), classesOf(pool)];
    const names = matchNames(from, to);
    if ((old.variants === undefined) !== (pool.variants === undefined)) {
      const found = from.filter(each => [...names.values()].includes(each.name)).length;
      const effect = found === 0 ? 'refused' : found < from.length ? 'checked' : 'lossless';
      const show = (layouts: StructLayout[]) => layouts.map(layout => layout.name).join(' | ');
      this.#tell(
        { change: 'kind', of: 'pool', pool: name, name, effect },
        `pool \`${name}\` held ${show(from)} and holds ${show(to)}`,
      );
    } else {
      this.#struct(old.layout, pool.layout, { pool: name });
    }
    for (const layout of to) {
      const former = from.find(each => each.name === names.get(layout.name));
      const at = { of: 'class', pool: name, class: layout.name, name: layout.name } as const;
      if (former === undefined) {
        this.#tell({ ...at, change: 'added' }, `class ${layout.name} is new in pool \`${name}\``);
        continue;
      }
      if (former.name !== layout.name) this.#renamedClass(former.name, layout.name, name);
      this.#struct(former, layout, { pool: name, class: layout.name });
    }
    for (const layout of from) {
      if ([...names.values()].includes(layout.name)) continue;
      this.#tell(
        { change: 'removed', of: 'class', pool: name, class: layout.name, name: layout.name, effect: 'checked' },
        `class ${layout.name} is gone from pool \`${name}\`, records of it do not fit`,
      );
    }
  }

  #renamedClass(oldName: string, name: string, pool?: string): void {
    this.#tell(
      { change: 'renamed', of: 'class', class: name, name, oldName, ...(pool !== undefined && { pool }) },
      pool === undefined
        ? `class ${oldName} is called ${name}`
        : `class ${oldName} of pool \`${pool}\` is called ${name}`,
    );
  }

  /** Nested classes; what becomes of their values is told of the fields that hold them. */
  #classes(): void {
    const known = classLayouts(this.#from);
    const used = new Set<string>();
    for (const layout of this.#to.structs.values()) {
      const old = known.find(each => each.name === this.#names.struct(layout.name));
      const at = { of: 'class', class: layout.name, name: layout.name } as const;
      if (old === undefined || !this.#from.structs.has(old.name)) {
        this.#tell({ ...at, change: 'added' }, `class ${layout.name} is nested for the first time`);
        continue;
      }
      used.add(old.name);
      if (old.name !== layout.name) this.#renamedClass(old.name, layout.name);
      this.#struct(this.#from.structs.get(old.name)!, layout, { class: layout.name });
    }
    for (const name of this.#from.structs.keys()) {
      if (used.has(name)) continue;
      this.#tell({ change: 'removed', of: 'class', class: name, name }, `class ${name} is nested nowhere any more`);
    }
    const nested = (layout: StateLayout) => [...layout.structs.values()];
    // The catalog has them in the order of their use, which follows from what was told already unless nothing was.
    if (
      this.#changes.length === 0 &&
      isReordered(nested(this.#from), nested(this.#to), name => this.#names.struct(name))
    )
      this.#tell({ change: 'reordered', of: 'state', name: 'classes' }, 'nested classes come in another order');
  }

  #struct(from: StructLayout, to: StructLayout, at: Pick<LayoutChange, 'pool' | 'class'>): void {
    const where = (name: string) => [at.pool, at.class, name].filter(part => part !== undefined).join('.');
    const used = new Set<string>();
    for (const field of to.fields) {
      const old = from.fields.find(each => each.name === this.#names.field(from, to, field));
      const own = { ...at, name: field.name };
      if (old === undefined) {
        const starts = field.initial === undefined ? '' : ', it starts with its initial value';
        this.#tell({ ...own, change: 'added' }, `${where(field.name)} is new${starts}`);
        continue;
      }
      used.add(old.name);
      this.#field(old, field, own, where(field.name));
    }
    for (const { name } of from.fields) {
      if (used.has(name)) continue;
      this.#tell(
        { ...at, change: 'removed', name, effect: 'dropped' },
        `${where(name)} is gone, its values are left behind`,
      );
    }
    if (
      isReordered(from.fields, to.fields, name => this.#names.field(from, to, to.fields.find(f => f.name === name)!))
    ) {
      const name = [at.pool, at.class].filter(part => part !== undefined).join('.') || 'root';
      this.#tell({ ...at, change: 'reordered', name }, `fields of ${name} are declared in another order`);
    }
  }

  #field(old: FieldLayout, field: FieldLayout, own: Told | Omit<Told, 'change'>, where: string): void {
    const at = own as Omit<Told, 'change'>;
    if (old.name !== field.name)
      this.#tell({ ...at, change: 'renamed', oldName: old.name }, `${where} was called ${old.name}`);
    const { change, effect, why, inexact } = relateKinds(old.kind, field.kind, this.#names);
    if (change !== 'same') {
      this.#tell(
        { ...at, change, effect, ...(inexact && { inverse: false }) },
        `${where}: ${showChange(old.kind, field.kind)}, ${why}`,
      );
    } else if (old.offset !== field.offset) {
      this.#tell({ ...at, change: 'moved' }, `${where} is at byte ${field.offset}, it was at ${old.offset}`);
    }
  }
}

/** Do those that both sides have come in another order? */
function isReordered(
  from: readonly { readonly name: string }[],
  to: readonly { readonly name: string }[],
  oldName: (name: string) => string,
): boolean {
  const places = new Map(from.map(({ name }, index) => [name, index]));
  let last = -1;
  for (const { name } of to) {
    const place = places.get(oldName(name));
    if (place === undefined) continue;
    if (place < last) return true;
    last = place;
  }
  return false;
}
