/** The old segment of a migration: what is in it, and what of it does not fit. */
import { alignUp, type AnyKind, type FieldLayout, innerKinds, type PoolLayout, type StateLayout } from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { SLOT_GENERATION, SLOT_HEADER } from './accessors.ts';
import { Unfit } from './convert-values.ts';
import { copier, type Room, type Step } from './convert-raw.ts';
import type { DecodeOptions } from './decode.ts';
import { StateError } from './errors.ts';
import { HIGH as HEAP_HIGH } from './heap.ts';
import { encode } from './image.ts';
import { type Arrays, arraysOf } from './memory.ts';
import { classField, membersOf, type StructMigration } from './migration.ts';
import { placesOf, rootStampWord } from './plan.ts';
import { HIGH, PoolSlots, poolPlaces } from './pool-places.ts';
import { COM_POS, LOG_POS } from './words.ts';

/** Values that do not fit are listed up to here, and counted beyond. */
const LISTED = 20;

/** A segment to read, with what finds things in it. */
export class Source {
  readonly segment: Segment;
  readonly memory: Arrays;
  readonly layouts: StateLayout;
  readonly root: number;
  readonly rootStamp: number;
  readonly heap: number;
  readonly heapHigh: number;
  readonly decode: DecodeOptions;
  readonly #pools: readonly number[];

  /** @param memory a copy of the segment's words, each at its own index; default the segment itself */
  constructor(segment: Segment, layouts: StateLayout, memory: Arrays = segment) {
    this.segment = segment;
    this.memory = memory;
    this.layouts = layouts;
    const places = placesOf(segment, layouts);
    this.root = places.root;
    this.rootStamp = rootStampWord(layouts, places.root);
    this.heap = places.heap.word;
    this.heapHigh = places.heap.words === 0 ? 0 : memory.u32[this.heap + HEAP_HIGH];
    this.decode = { heapWord: this.heap, hidden: true };
    this.#pools = places.pools;
  }

  /** A transaction that is open has to be rolled back first: by the owner, or by `recover`. */
  mustBeWhole(): void {
    const I = this.segment.i32;
    if (I[LOG_POS] !== I[COM_POS])
      throw new StateError(
        'STATE_MIGRATION',
        `${this.segment.name}: a transaction of ${(I[LOG_POS] - I[COM_POS]) | 0} log words is open; recover it first`,
      );
  }

  word(index: number): number {
    return this.#pools[index]!;
  }

  slots(index: number): PoolSlots {
    const pool = this.layouts.pools[index]!;
    return new PoolSlots(this.memory.u32, poolPlaces(pool.layout, pool.capacity), this.#pools[index]!, this.heap);
  }

  high(index: number): number {
    return this.memory.u32[this.#pools[index]! + HIGH];
  }

  /** Id of the class of a record. @param field of the family, undefined in a pool of one class */
  classOf(field: FieldLayout | undefined, base: number): number {
    return field === undefined ? 0 : this.memory.u16[(base + SLOT_HEADER) * 2 + field.offset / 2];
  }

  /** Visit live records. */
  each(index: number, visit: (slot: number, base: number, id: number) => void): void {
    const slots = this.slots(index);
    const high = this.high(index);
    const field = classField(this.layouts.pools[index]!);
    for (let slot = 0; slot < high; slot++) {
      const base = slots.base(slot);
      if ((this.memory.i32[base + SLOT_GENERATION] & 1) === 1) visit(slot, base, this.classOf(field, base));
    }
  }
}

/** What did not fit. */
export class Unfits {
  readonly list: string[] = [];
  count = 0;

  add(where: string, why: string): void {
    this.count++;
    if (this.list.length < LISTED) this.list.push(`${where}: ${why}`);
  }

  /** @throws StateError `STATE_MIGRATION` unless there were none */
  refuse(): void {
    if (this.count === 0) return;
    const more = this.count > this.list.length ? `; and ${this.count - this.list.length} more` : '';
    throw new StateError(
      'STATE_MIGRATION',
      `${this.count} values do not fit the new layout, nothing was changed: ${this.list.join('; ')}${more}`,
    );
  }
}

export function goneClass(pool: PoolLayout, id: number): string {
  const name = membersOf(pool).find(member => member.id === id)?.layout.name ?? `class ${id}`;
  return `is a ${name}, which the new code does not have`;
}

/** What to do with the bytes of a struct, in some memories. */
export interface StructSteps {
  /** @param where told when a value does not fit */
  run(from: number, to: number, unfit: Unfits, where: () => string): void;
}

/** @param room the new memory is zero where the struct comes to lie
 * @param dry fields that stay as they are, and what is new, need no look */
export function stepsOf(struct: StructMigration, room: Room, dry: boolean): StructSteps {
  const steps: { name: string; at: number; to: number; step: Step }[] = [];
  let run: { at: number; to: number; bytes: number } | undefined;
  const close = () => {
    if (run === undefined) return;
    const align = ((run.at | run.to | run.bytes) & 3) === 0 ? 4 : 1;
    steps.push({ name: '', at: run.at, to: run.to, step: copier(room, run.bytes, align) });
    run = undefined;
  };
  for (const { field, from, raw, how } of [...struct.fields].sort((a, b) => a.field.offset - b.field.offset)) {
    if (raw === undefined || from === undefined) continue;
    if (how !== 'same') {
      steps.push({ name: field.name, at: from.offset, to: field.offset, step: raw(room) });
      continue;
    }
    if (dry) continue;
    if (run !== undefined && run.at + run.bytes === from.offset && run.to + run.bytes === field.offset) {
      run.bytes += field.bytes;
      continue;
    }
    close();
    run = { at: from.offset, to: field.offset, bytes: field.bytes };
  }
  close();
  const bytes = new Uint8Array(Math.ceil(struct.to.bytes / 8) * 8 + 8);
  const view = new DataView(bytes.buffer);
  for (const { field, raw } of struct.fields)
    if (raw === undefined) encode(field.kind, field.initial, field.offset, view);
  const initial = dry ? [] : [...bytes.keys()].filter(k => bytes[k] !== 0);
  const { u8 } = room.to;
  return {
    run(from, to, unfit, where) {
      for (let k = 0; k < initial.length; k++) u8[to + initial[k]!] = bytes[initial[k]!]!;
      for (let k = 0; k < steps.length; k++) {
        const { at, to: offset, step } = steps[k]!;
        try {
          step(from + at, to + offset);
        } catch (error) {
          if (!(error instanceof Unfit)) throw error;
          unfit.add(`${where()}.${steps[k]!.name}`, error.message);
        }
      }
    },
  };
}

/** Where a dry run writes to: room for the largest value of a struct. */
export function dryRoom(source: Source, { to }: StructMigration): Room {
  const most = (kind: AnyKind): number =>
    kind.bytes + 64 + innerKinds(kind).reduce((sum, inner) => sum + most(inner), 0);
  const bytes = to.fields.reduce((sum, { kind }) => sum + most(kind), to.bytes);
  const room = arraysOf(new ArrayBuffer(alignUp(bytes, 8)));
  const { memory: from, heap: fromHeap } = source;
  const view = new DataView(room.u8.buffer);
  return { from, fromHeap, to: room, toHeap: 0, view, heap: undefined, pause: () => {} };
}
