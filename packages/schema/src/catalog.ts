/** The catalog: a state's layout as JSON, so that any tool reads any segment without its code. It holds what decides
 * where bytes are and what they mean (names, kinds, offsets, capacities) and nothing else, so its hash changes exactly
 * when the layout does; `.sync` marks and initial values are not in it. */
import { SchemaError } from './errors.ts';
import { hashOf } from './hash.ts';
import { innerKinds, makeKind, ownsHeap, type AnyKind, type AnyKindBase } from './kind.ts';
import { array, bits, list, map, queue, set, sorted } from './containers.ts';
import {
  CLASS_FIELD,
  familyLayout,
  layoutOf,
  structKind,
  kindOf,
  type FieldLayout,
  type StructLayout,
} from './layout.ts';
import { machine, makeMachine, type MachineChart } from './machine.ts';
import { formerNames } from './names.ts';
import { oneOf } from './one-of.ts';
import { optional } from './optional.ts';
import * as numbers from './numbers.ts';
import { isCapacity, isPool, visitKind, type PoolDecl, type StateSchema } from './state.ts';
import type { StructClass } from './struct.ts';
import { validateStructClass } from './struct.ts';
import { bytes, text } from './text.ts';
import { isFamily, VARIANTS_MAX, type Variants } from './variants.ts';

/** `format` of a catalog that this version reads and writes. */
export const CATALOG_FORMAT = 1;

/** A kind in JSON: its tag, or an object with its parameters. A length or capacity of 0: it grows, in the heap. */
export type CatalogKind =
  | string
  | { readonly tag: 'oneOf'; readonly names: readonly string[] }
  | { readonly tag: 'text' | 'bytes' | 'bits'; readonly length: number }
  | { readonly tag: 'struct'; readonly name: string }
  | { readonly tag: 'array'; readonly of: CatalogKind; readonly length: number }
  | { readonly tag: 'vector' | 'optional'; readonly of: CatalogKind }
  | { readonly tag: 'list' | 'queue'; readonly of: CatalogKind; readonly capacity: number }
  | { readonly tag: 'map'; readonly key: CatalogKind; readonly of: CatalogKind; readonly capacity: number }
  | { readonly tag: 'set'; readonly key: CatalogKind; readonly capacity: number }
  | { readonly tag: 'sorted'; readonly key: CatalogKind; readonly of: CatalogKind }
  | { readonly tag: 'machine'; readonly names: readonly string[]; readonly chart: MachineChart }
  | { readonly tag: 'ref'; readonly pool: string };

/** Offset and bytes as in `FieldLayout`. */
export interface CatalogField {
  readonly name: string;
  readonly kind: CatalogKind;
  readonly offset: number;
  readonly bytes: number;
  /** Former names; no part of the layout, here and below. */
  readonly was?: readonly string[];
}
/** Bytes, alignment and fields of a struct. */
export interface CatalogStruct {
  readonly name: string;
  readonly bytes: number;
  readonly align: number;
  readonly fields: readonly CatalogField[];
  readonly was?: readonly string[];
}
/** A pool and the layout of its records. */
export interface CatalogPool {
  readonly name: string;
  /** 0 = the pool grows. */
  readonly capacity: number;
  /** The record, with the runtime's hidden fields; named after its class. For a family what all its records begin with,
   * with the size of the largest; named after the pool. */
  readonly record: CatalogStruct;
  /** The classes of a family in the order of their ids; not there for a pool of one class. */
  readonly variants?: readonly CatalogVariant[];
  readonly was?: readonly string[];
}
/** A class of a family. */
export interface CatalogVariant {
  /** What `$class` holds in records of this class, 1..65535. */
  readonly id: number;
  /** The record, beginning as all of the family do; named after its class. */
  readonly record: CatalogStruct;
}
/** A state described as JSON. */
export interface Catalog {
  readonly format: number;
  /** Structs that are nested somewhere, each after those that it contains. */
  readonly structs: readonly CatalogStruct[];
  readonly pools: readonly CatalogPool[];
  readonly root: CatalogStruct;
}

/** A pool with the layout of its records. */
export interface PoolLayout {
  readonly name: string;
  /** 0 = the pool grows. */
  readonly capacity: number;
  /** The record. For a family what all its records begin with (`$class`, hidden fields), with the size of the largest. */
  readonly layout: StructLayout;
  /** Undefined when the layout was read from a catalog, and for a family. */
  readonly struct: StructClass | undefined;
  /** The classes of a family in the order of their ids; undefined for a pool of one class. */
  readonly variants: readonly VariantLayout[] | undefined;
  /** What the pool was called before. */
  readonly was?: readonly string[];
  /** True for pools of the runtime; their names start with `$`. */
  readonly hidden: boolean;
}
/** A class of a family. */
export interface VariantLayout {
  /** Of the class. */
  readonly name: string;
  /** What `$class` holds in records of this class, 1..65535: the rank of its name, unless a segment says another one. */
  readonly id: number;
  /** Begins with the fields of the pool's layout, at the same offsets; may be smaller than the slot. */
  readonly layout: StructLayout;
  /** Undefined when the layout was read from a catalog. */
  readonly struct: StructClass | undefined;
}
/** Where everything in a state is. */
export interface StateLayout {
  /** Root fields, then the runtime's. */
  readonly root: StructLayout;
  /** Declared pools in declared order, then the runtime's. */
  readonly pools: readonly PoolLayout[];
  /** Structs that are nested somewhere, by name, each after those that it contains. */
  readonly structs: ReadonlyMap<string, StructLayout>;
}

/** What the runtime adds to a state. */
export interface HiddenParts {
  /** Fields added to the records of a pool, by the pool's name. Their names start with `$`. */
  readonly hidden?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Root fields and pools of the runtime. Their names start with `$`. */
  readonly system?: Readonly<Record<string, unknown>>;
}

/** Lay out a state, with what the runtime adds to it.
 * @throws SchemaError `SCHEMA_STATE` for hidden fields of a pool that does not exist */
export function stateLayoutOf(schema: StateSchema, { hidden = {}, system = {} }: HiddenParts = {}): StateLayout {
  const pools: PoolLayout[] = schema.pools.map(({ name, capacity, struct, variants, was }) => {
    const from = { name, capacity, hidden: false, ...(was && { was }) };
    if (variants === undefined)
      return { ...from, layout: layoutOf(struct, struct.name, hidden[name]), struct, variants };
    return { ...from, ...layFamily(name, variants, hidden[name]), struct: undefined };
  });
  for (const name of Object.keys(hidden)) {
    if (!pools.some(entry => entry.name === name))
      throw new SchemaError('SCHEMA_STATE', `hidden fields for pool \`${name}\`, which does not exist`);
  }
  const systemFields: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(system)) {
    if (!name.startsWith('$'))
      throw new SchemaError('SCHEMA_STATE', `system entry ${name}: its name must start with $`);
    if (!isPool(entry)) systemFields[name] = entry;
    else {
      const { holds, struct, capacity }: PoolDecl = entry;
      if (isFamily(holds))
        throw new SchemaError('SCHEMA_STATE', `system pool ${name}: a family is not for the runtime`);
      validateStructClass(struct);
      pools.push({ name, capacity, layout: layoutOf(struct), struct, variants: undefined, hidden: true });
    }
  }
  const root = layoutOf(schema.root, 'root', systemFields);
  const layouts = [root, ...pools.flatMap(recordLayouts)];
  const structs = structsIn(layouts);
  const poolNames = pools.map(entry => entry.name);
  for (const layout of layouts) {
    for (const field of layout.fields) {
      visitKind(field.kind, `field ${field.name} of ${layout.name}`, poolNames, new Map());
    }
  }
  return { root, pools, structs };
}

// Everything is in the order of the names, ids too: the order of the declaration changes no byte, and equal layouts have
// equal ids.
function layFamily(
  pool: string,
  variants: Variants,
  hidden: Readonly<Record<string, unknown>> | undefined,
): { layout: StructLayout; variants: readonly VariantLayout[] } {
  const classes = Object.values(variants).sort((a, b) => (a.name < b.name ? -1 : 1));
  const family = familyLayout(pool, classes, hidden);
  return {
    layout: family.common,
    variants: classes.map((struct, index) => ({
      name: struct.name,
      id: index + 1,
      layout: family.variants[index]!,
      struct,
    })),
  };
}

/** The layouts that records of a pool may have: one, or those of its classes. */
export function recordLayouts({ layout, variants }: PoolLayout): readonly StructLayout[] {
  return variants === undefined ? [layout] : variants.map(variant => variant.layout);
}

/** Does anything in this state live in the heap: a pool that grows, or a kind that does? */
export function needsHeap({ root, pools }: StateLayout): boolean {
  const owns = (layout: StructLayout) => layout.fields.some(field => ownsHeap(field.kind));
  return owns(root) || pools.some(entry => entry.capacity === 0 || recordLayouts(entry).some(owns));
}

/** The structs nested in these layouts, by name, each after those that it contains.
 * @throws SchemaError `SCHEMA_STATE` when two have one name */
export function structsIn(layouts: readonly StructLayout[]): Map<string, StructLayout> {
  const structs = new Map<string, StructLayout>();
  for (const layout of layouts) {
    for (const field of layout.fields) collectStructs(field.kind, structs);
  }
  return structs;
}

function collectStructs(kind: AnyKind, structs: Map<string, StructLayout>): void {
  if (kind.tag === 'struct' && structs.get(kind.layout.name) === kind.layout) return;
  for (const inner of innerKinds(kind)) collectStructs(inner, structs);
  if (kind.tag !== 'struct') return;
  if (structs.has(kind.layout.name))
    throw new SchemaError(
      'SCHEMA_STATE',
      `two record classes are named ${kind.layout.name}: classes are found again by name, rename one`,
    );
  structs.set(kind.layout.name, kind.layout);
}

/** The catalog of a state. */
export function describe(state: StateSchema | StateLayout): Catalog {
  const { root, pools, structs } = 'structs' in state ? state : stateLayoutOf(state);
  return {
    format: CATALOG_FORMAT,
    structs: [...structs.values()].map(catalogOfStruct),
    pools: pools.map(({ name, capacity, layout, variants, was }) => ({
      name,
      capacity,
      record: catalogOfStruct(layout),
      ...(variants && { variants: variants.map(entry => ({ id: entry.id, record: catalogOfStruct(entry.layout) })) }),
      ...(was && { was }),
    })),
    root: catalogOfStruct(root),
  };
}

/** 16 hex digits that change when any name, kind, offset or capacity of the layout does, hidden parts included. They do not
 * change with former names, with the transitions of machines, nor with the ids of a family's classes, which are found by name. */
export function layoutHash(state: StateSchema | StateLayout | Catalog): string {
  const catalog = 'format' in state ? state : describe(state);
  return hashOf({ ...catalog, pools: Array.isArray(catalog.pools) ? catalog.pools.map(sortVariants) : catalog.pools }, [
    'id',
    'was',
    'chart',
  ]);
}

function sortVariants(pool: CatalogPool): unknown {
  if (!Array.isArray(pool?.variants)) return pool;
  const nameOf = (entry: CatalogVariant) => String(entry?.record?.name);
  return { ...pool, variants: [...pool.variants].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)) };
}

/** One struct as the catalog has it. */
export function catalogOfStruct(layout: StructLayout): CatalogStruct {
  const fields = layout.fields.map(field => ({
    name: field.name,
    kind: catalogOfKind(field.kind),
    offset: field.offset,
    bytes: field.bytes,
    ...(field.was && { was: field.was }),
  }));
  const { name, bytes, align, was } = layout;
  return { name, bytes, align, fields, ...(was && { was }) };
}

function catalogOfKind(kind: AnyKind): CatalogKind {
  switch (kind.tag) {
    case 'oneOf':
      return { tag: 'oneOf', names: kind.names };
    case 'text':
    case 'bytes':
    case 'bits':
      return { tag: kind.tag, length: kind.length };
    case 'struct':
      return { tag: 'struct', name: kind.layout.name };
    case 'array':
      return { tag: 'array', of: catalogOfKind(kind.element), length: kind.length };
    case 'vector':
      return { tag: 'vector', of: catalogOfKind(kind.element) };
    case 'optional':
      return { tag: 'optional', of: catalogOfKind(kind.value) };
    case 'list':
    case 'queue':
      return { tag: kind.tag, of: catalogOfKind(kind.element), capacity: kind.capacity };
    case 'set':
      return { tag: 'set', key: catalogOfKind(kind.key), capacity: kind.capacity };
    case 'sorted':
      return { tag: 'sorted', key: catalogOfKind(kind.key), of: catalogOfKind(kind.value) };
    case 'map':
      return { tag: 'map', key: catalogOfKind(kind.key), of: catalogOfKind(kind.value), capacity: kind.capacity };
    case 'machine':
      return { tag: 'machine', names: kind.names, chart: kind.chart };
    case 'ref':
      return { tag: 'ref', pool: kind.pool };
    default:
      return kind.tag;
  }
}

/** Layouts from a catalog, without the code that declared them. Offsets are computed again and compared.
 * @throws SchemaError `SCHEMA_CATALOG` for anything that `describe` of this version would not have made */
export function fromDescription(json: unknown): StateLayout {
  const catalog = object(json, 'the catalog');
  if (catalog['format'] !== CATALOG_FORMAT)
    return fail(`its format is ${String(catalog['format'])}, this version reads ${CATALOG_FORMAT}`);
  const structs = structsFrom(catalog['structs']);
  try {
    const pools = sequence(catalog['pools'], 'pools').map((entry): PoolLayout => {
      const given = object(entry, 'a pool');
      const name = string(given['name'], 'the name of a pool');
      const capacity = given['capacity'];
      if (capacity !== 0 && !isCapacity(capacity))
        return fail(`the capacity of pool \`${name}\` is ${String(capacity)}`);
      const was = formerFrom(given['was']);
      const from = { name, capacity, struct: undefined, hidden: name.startsWith('$'), ...(was && { was }) };
      if (given['variants'] === undefined)
        return { ...from, layout: structFrom(given['record'], structs), variants: undefined };
      return { ...from, ...familyFrom(name, given, structs) };
    });
    if (new Set(pools.map(entry => entry.name)).size !== pools.length) fail('a pool twice');
    const root = structFrom(catalog['root'], structs);
    const poolNames = pools.map(entry => entry.name);
    for (const layout of [root, ...pools.flatMap(recordLayouts)]) {
      for (const field of layout.fields)
        visitKind(field.kind, `field ${field.name} of ${layout.name}`, poolNames, new Map());
    }
    return { root, pools, structs };
  } catch (error) {
    if (error instanceof SchemaError && error.code === 'SCHEMA_CATALOG') throw error;
    return fail(error instanceof Error ? error.message : String(error), error);
  }
}

/** Layouts of structs that `catalogOfStruct` described, by name: each is described after those that it contains.
 * @throws SchemaError `SCHEMA_CATALOG` */
export function structsFrom(json: unknown): ReadonlyMap<string, StructLayout> {
  const structs = new Map<string, StructLayout>();
  try {
    for (const entry of sequence(json, 'structs')) {
      const layout = structFrom(entry, structs);
      if (structs.has(layout.name)) fail(`struct ${layout.name} twice`);
      structs.set(layout.name, layout);
    }
    return structs;
  } catch (error) {
    if (error instanceof SchemaError && error.code === 'SCHEMA_CATALOG') throw error;
    return fail(error instanceof Error ? error.message : String(error), error);
  }
}

function familyFrom(
  pool: string,
  given: Record<string, unknown>,
  structs: ReadonlyMap<string, StructLayout>,
): { layout: StructLayout; variants: readonly VariantLayout[] } {
  let last = 0;
  const variants = sequence(given['variants'], `classes of pool \`${pool}\``).map((entry): VariantLayout => {
    const variant = object(entry, `a class of pool \`${pool}\``);
    const layout = structFrom(variant['record'], structs);
    const id = variant['id'];
    if (typeof id !== 'number' || !Number.isInteger(id) || id <= last || id > VARIANTS_MAX)
      return fail(`the id of class ${layout.name} of pool \`${pool}\` is ${String(id)}`);
    last = id;
    return { name: layout.name, id, layout, struct: undefined };
  });
  if (variants.length === 0 || new Set(variants.map(entry => entry.name)).size !== variants.length)
    fail(`pool \`${pool}\` has no classes, or one twice`);
  // Laid again from what the first class begins with; `describe` then says whether all of it is as it was.
  const fieldsOf = (layout: StructLayout, hidden: boolean) =>
    Object.fromEntries(layout.fields.filter(field => field.hidden === hidden).map(field => [field.name, field.kind]));
  const { [CLASS_FIELD]: _, ...hidden } = fieldsOf(variants[0]!.layout, true);
  const sources = variants.map(({ name, layout }) => ({
    name,
    fields: fieldsOf(layout, false),
    ...(layout.was && { was: layout.was }),
  }));
  const family = familyLayout(pool, sources, hidden);
  const said = hashOf([given['record'], variants.map(({ layout }) => catalogOfStruct(layout))]);
  if (said !== hashOf([catalogOfStruct(family.common), family.variants.map(catalogOfStruct)]))
    fail(`the classes of pool \`${pool}\` are not laid as those of one family`);
  return {
    layout: family.common,
    variants: variants.map((entry, index) => ({ ...entry, layout: family.variants[index]! })),
  };
}

function structFrom(json: unknown, structs: ReadonlyMap<string, StructLayout>): StructLayout {
  const given = object(json, 'a struct');
  const name = string(given['name'], 'the name of a struct');
  const fields: Record<string, AnyKind> = Object.create(null) as Record<string, AnyKind>;
  const offsets = new Map<string, Record<string, unknown>>();
  for (const entry of sequence(given['fields'], `fields of ${name}`)) {
    const field = object(entry, `a field of ${name}`);
    const fieldName = string(field['name'], `the name of a field of ${name}`);
    if (!/^\$?[\p{ID_Start}_][\p{ID_Continue}_]*$/u.test(fieldName) || fieldName === '__proto__')
      fail(`field name '${fieldName}' of ${name}`);
    if (offsets.has(fieldName)) fail(`field ${fieldName} of ${name} twice`);
    const kind = kindFrom(field['kind'], structs, 0);
    const was = formerFrom(field['was']);
    fields[fieldName] = was === undefined ? kind : kindOf((kind as unknown as AnyKindBase).was(...(was as [string])));
    offsets.set(fieldName, field);
  }
  const layout = layoutOf(fields, name);
  for (const field of layout.fields) {
    const said = offsets.get(field.name)!;
    if (said['offset'] !== field.offset || said['bytes'] !== field.bytes) {
      fail(
        `field ${field.name} of ${name} is said to be at ${String(said['offset'])} with ${String(said['bytes'])} bytes, its kind is laid at ${field.offset} with ${field.bytes}`,
      );
    }
  }
  if (given['bytes'] !== layout.bytes || given['align'] !== layout.align)
    fail(`${name} is said to take ${String(given['bytes'])} bytes, it takes ${layout.bytes}`);
  const was = formerFrom(given['was']);
  return was === undefined ? layout : Object.freeze({ ...layout, was });
}

function formerFrom(json: unknown): readonly string[] | undefined {
  return json === undefined
    ? undefined
    : formerNames(sequence(json, 'former names') as string[], 'a name', 'SCHEMA_CATALOG');
}

const NESTING_MAX = 64;

function kindFrom(json: unknown, structs: ReadonlyMap<string, StructLayout>, depth: number): AnyKind {
  if (depth > NESTING_MAX) return fail(`kinds nested deeper than ${NESTING_MAX}`);
  if (typeof json === 'string') {
    const kind: unknown = Object.hasOwn(numbers, json) ? numbers[json as keyof typeof numbers] : undefined;
    return kind === undefined ? fail(`kind '${json}' is unknown`) : kindOf(kind);
  }
  const given = object(json, 'a kind');
  const of = () => kindFrom(given['of'], structs, depth + 1) as never;
  const key = () => kindFrom(given['key'], structs, depth + 1) as never;
  switch (given['tag']) {
    case 'oneOf':
      return kindOf(oneOf(...(sequence(given['names'], 'names') as [string])));
    case 'text':
      return kindOf(sized(given['length'], text, text));
    case 'bytes':
      return kindOf(sized(given['length'], bytes, bytes));
    case 'bits':
      return kindOf(sized(given['length'], bits, bits));
    case 'struct': {
      const name = string(given['name'], 'the name of a nested struct');
      const layout = structs.get(name);
      return layout === undefined
        ? fail(`nested struct ${name} is not described before it is used`)
        : structKind(undefined, layout);
    }
    case 'array':
      return kindOf(array(of(), given['length'] as number));
    case 'vector':
      return kindOf(array(of()));
    case 'optional':
      return kindOf(optional(of()));
    case 'list':
      return kindOf(
        sized(
          given['capacity'],
          () => list(of()),
          n => list(of(), n),
        ),
      );
    case 'queue':
      return kindOf(
        sized(
          given['capacity'],
          () => queue(of()),
          n => queue(of(), n),
        ),
      );
    case 'map':
      return kindOf(
        sized(
          given['capacity'],
          () => map(key(), of()),
          n => map(key(), of(), n),
        ),
      );
    case 'set':
      return kindOf(
        sized(
          given['capacity'],
          () => set(key()),
          n => set(key(), n),
        ),
      );
    case 'sorted':
      return kindOf(sorted(key(), of()));
    case 'machine':
      return machineFrom(given);
    case 'ref':
      return makeKind({ tag: 'ref', bytes: 8, align: 4, pool: string(given['pool'], 'the pool of a ref') });
    default:
      return fail(`kind ${String(given['tag'])} is unknown`);
  }
}

function machineFrom(given: Record<string, unknown>): AnyKind {
  const names = sequence(given['names'], 'names') as readonly string[];
  const chart = object(given['chart'], 'a chart') as unknown as MachineChart;
  machine(chart); // refuses a chart that no declaration could have made
  const said = new Set(Object.keys(object(chart.states, 'the states of a chart')));
  if (said.size !== names.length || new Set(names).size !== names.length || names.some(name => !said.has(name)))
    fail('a machine whose states differ from its chart');
  return makeMachine(names, { initial: chart.initial, states: chart.states }, undefined);
}

/** 0 stands for a kind without a limit; its constructor then takes no number. */
function sized(n: unknown, growing: () => unknown, limited: (n: number) => unknown): unknown {
  return n === 0 ? growing() : limited(n as number);
}

function object(value: unknown, what: string): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : fail(`${what} is not an object`);
}
function sequence(value: unknown, what: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(`${what} is not an array`);
}
function string(value: unknown, what: string): string {
  return typeof value === 'string' && value !== '' ? value : fail(`${what} is not a text`);
}
function fail(why: string, cause?: unknown): never {
  throw new SchemaError(
    'SCHEMA_CATALOG',
    `this is no description of a state or of messages: ${why}`,
    cause === undefined ? {} : { cause },
  );
}

export type { FieldLayout, StructLayout };
