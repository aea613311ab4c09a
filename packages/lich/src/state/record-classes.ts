/** The classes of a pool's records: one, or those of a family. What is known of a record by its words, or by its view. */
import type { PoolLayout, StructLayout } from '@lich/schema';
import { SLOT_HEADER, type ViewClass } from './accessors.ts';
import { StateError } from './errors.ts';
import { classOffset, variantAt } from './families.ts';
import type { Image } from './image.ts';
import type { StoreContext } from './memory.ts';
import type { Release } from './release.ts';

/** What a pool knows of a class of its records. */
export interface RecordClass {
  readonly view: ViewClass;
  readonly layout: StructLayout;
  /** Enters the first states of a new record's machines; undefined when it has none. */
  readonly enter: ((record: object) => void) | undefined;
  readonly image: Image;
  /** Gives back what a record owns in the heap. */
  readonly release: Release | undefined;
  /** In a family: its number in the segment, and its name. */
  readonly id: number;
  readonly name: string;
}

/** On the views of a family: their class. */
const CLASS: unique symbol = Symbol('lich.class');

export class RecordClasses {
  /** The class of all records, where there is one only. */
  readonly one: RecordClass | undefined;
  readonly #pool: PoolLayout;
  readonly #classes: readonly RecordClass[];
  readonly #context: StoreContext;
  /** Half-words from the payload's start to `$class`, in a family. */
  readonly #offset: number;

  constructor(pool: PoolLayout, classes: readonly RecordClass[], context: StoreContext) {
    this.#pool = pool;
    this.#classes = classes;
    this.#context = context;
    this.#offset = classOffset(pool.layout) / 2;
    this.one = pool.variants === undefined ? classes[0]! : undefined;
    if (this.one !== undefined) return;
    for (const each of classes) {
      const target = each.view.prototype as object;
      Object.defineProperty(target, CLASS, { value: each, configurable: true });
      Object.defineProperty(target, 'variant', { value: each.name, configurable: true });
    }
  }

  /** The class of the record in the slot at this word. @throws StateError `STATE_CORRUPT` */
  at(base: number): RecordClass {
    if (this.one !== undefined) return this.one;
    const index = variantAt(this.#pool, this.#context.mem, base + SLOT_HEADER);
    if (index >= 0) return this.#classes[index]!;
    const id = this.#context.mem.u16[(base + SLOT_HEADER) * 2 + this.#offset];
    throw new StateError(
      'STATE_CORRUPT',
      `a record of ${this.#pool.name} (word ${base}) is of class ${id}, which its family does not have; run \`lich check\``,
      { severity: 'fatal' },
    );
  }

  /** Note the class of a new record of a family. */
  note(payload: number, kind: RecordClass): void {
    const at = payload * 2 + this.#offset;
    this.#context.log.keep(at >> 1, 1);
    this.#context.mem.u16[at] = kind.id;
  }

  of(view: object): RecordClass {
    return this.one ?? (view as { [CLASS]: RecordClass })[CLASS];
  }

  /** Is this a view of a record of the pool? */
  is(value: object): boolean {
    if (this.one !== undefined) return this.one.view.is(value);
    return this.#classes.includes((value as { [CLASS]?: RecordClass })[CLASS]!);
  }

  free(view: object): void {
    this.of(view).view.free(view);
  }

  /** @throws TypeError for a name that is none of the family */
  named(name: unknown): RecordClass {
    const found = this.#classes.find(each => each.name === name);
    if (found !== undefined) return found;
    throw new TypeError(
      `pool \`${this.#pool.name}\` has no class ${String(name)}: create('…', init) takes ${this.#classes.map(each => each.name).join(', ')}`,
    );
  }
}
