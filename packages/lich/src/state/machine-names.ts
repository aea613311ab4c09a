/** Names of machines: what a timeout that waits in the state says of the machine that it is for. Made of what does not
 * change when code is deployed and layouts are migrated, so that it is found again. */
import { type MachineShape, type StateLayout, type StructLayout } from '@lich/schema';
import { FENCE, SLOT_GENERATION, SLOT_HEADER, SLOT_STAMP } from './accessors.ts';
import type { MachineView } from './machine.ts';
import type { Arrays, Stamp } from './memory.ts';
import type { Pool } from './pool.ts';

/** A machine by what does not change when its record moves: hashes of names, so that former names lead there too. */
export interface MachineName {
  /** Hash of the pool's name, 0 for the root. */
  readonly pool: number;
  /** Hash of the path of the field: `mode`, `left.mode`. */
  readonly path: number;
  readonly slot: number;
  readonly generation: number;
}

/** A machine in a layout. */
export interface MachinePlace {
  /** Names from the record to the field. */
  readonly path: readonly string[];
  /** Bytes from the start of the record. */
  readonly offset: number;
  readonly kind: MachineShape;
  /** Hashes of its path, and of the paths that it had before. */
  readonly hashes: readonly number[];
}

/** 32 bits of a name (FNV-1a). */
export function nameHash(name: string): number {
  let hash = 0x811c_9dc5;
  for (let k = 0; k < name.length; k++) hash = Math.imul(hash ^ name.charCodeAt(k), 0x0100_0193);
  return hash | 0;
}

const places = new WeakMap<StructLayout, readonly MachinePlace[]>();

/** The machines of a record, those of its nested structs too. */
export function machinesOf(layout: StructLayout): readonly MachinePlace[] {
  let found = places.get(layout);
  if (found === undefined) {
    const all: MachinePlace[] = [];
    collect(layout, 0, [], [''], all);
    places.set(layout, (found = all));
  }
  return found;
}

function collect(
  layout: StructLayout,
  offset: number,
  path: readonly string[],
  prefixes: readonly string[],
  out: MachinePlace[],
): void {
  for (const field of layout.fields) {
    const { kind } = field;
    if (kind.tag !== 'struct' && kind.tag !== 'machine') continue;
    const names = [field.name, ...(kind.former ?? [])];
    const at = [...path, field.name];
    if (kind.tag === 'struct') {
      const deeper = prefixes.flatMap(prefix => names.map(name => `${prefix}${name}.`));
      collect(kind.layout, offset + field.offset, at, deeper, out);
    } else {
      const hashes = prefixes.flatMap(prefix => names.map(name => nameHash(prefix + name)));
      out.push({ path: at, offset: offset + field.offset, kind, hashes });
    }
  }
}

/** Finds the names of machines, and the machines of names. */
export class MachineNames {
  readonly #mem: Arrays;
  readonly #layouts: StateLayout;
  readonly #pools: readonly Pool<any>[];
  readonly #root: { readonly word: number; readonly stamp: number; readonly state: object };

  constructor(
    mem: Arrays,
    layouts: StateLayout,
    pools: readonly Pool<any>[],
    root: { readonly word: number; readonly stamp: number; readonly state: object },
  ) {
    this.#mem = mem;
    this.#layouts = layouts;
    this.#pools = pools;
    this.#root = root;
  }

  /** The name of the machine at a word, in the record that this stamp belongs to. */
  nameOf(stamp: Stamp, word: number): MachineName | undefined {
    if (stamp === this.#root.stamp) {
      const place = placeAt(this.#layouts.root, (word - this.#root.word) * 4);
      return place && { pool: 0, path: place.hashes[0]!, slot: 0, generation: 0 };
    }
    const base = (stamp as number) - SLOT_STAMP;
    const pool = this.#pools.find(each => each.owns(base));
    if (pool === undefined) return undefined;
    const { i32, u32 } = this.#mem;
    const slot = (i32[base] ^ FENCE) >>> 0;
    const place = placeAt(pool.layoutAt(slot), (word - base - SLOT_HEADER) * 4);
    return (
      place && { pool: nameHash(pool.name), path: place.hashes[0]!, slot, generation: u32[base + SLOT_GENERATION] }
    );
  }

  /** The machine with this name; undefined once its record is gone, or the code has no such machine any more. */
  find({ pool, path, slot, generation }: MachineName): MachineView | undefined {
    if (pool === 0) return machineAt(this.#root.state, this.#layouts.root, path);
    const index = this.#layouts.pools.findIndex(({ name, was = [] }) =>
      [name, ...was].some(each => nameHash(each) === pool),
    );
    const record = this.#pools[index]?.resolve(slot, generation) as object | undefined;
    return record && machineAt(record, this.#pools[index]!.layoutAt(slot), path);
  }
}

/** The machines of a record, by its view. */
export function* machinesIn(record: object, layout: StructLayout): Generator<MachineView, undefined> {
  for (const { path } of machinesOf(layout)) yield follow(record, path);
  return undefined;
}

function machineAt(record: object, layout: StructLayout, hash: number): MachineView | undefined {
  const place = machinesOf(layout).find(({ hashes }) => hashes.includes(hash));
  return place && follow(record, place.path);
}

function follow(record: object, path: readonly string[]): MachineView {
  return path.reduce<object>((at, name) => (at as Record<string, object>)[name]!, record) as MachineView;
}

function placeAt(layout: StructLayout, offset: number): MachinePlace | undefined {
  return machinesOf(layout).find(place => place.offset === offset);
}
