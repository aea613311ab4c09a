/** The doors of a store: one for each kind that is read as a view, made on first use. */
import {
  type AnyKind,
  check as checkKind,
  describeKind,
  isGrowing,
  ownsHeap,
  SchemaError,
  type StructLayout,
} from '@lich/schema';
import type { ViewClass } from './accessors.ts';
import { cellOf } from './cell.ts';
import type { Door, Placed } from './door.ts';
import type { ElementSpec } from './elements.ts';
import { BitsView, FixedBitsView } from './bits.ts';
import { bitsChunks } from './bits-walk.ts';
import { ArrayView } from './fixed-array.ts';
import { mapSpec, MapView } from './hash-map.ts';
import { setSpec, SetView } from './hash-set.ts';
import { imageOfKind } from './image.ts';
import { listSpec, ListView } from './list.ts';
import { type Machines, MachineView } from './machine.ts';
import type { Stamp, StoreContext } from './memory.ts';
import { OptionalView } from './optional.ts';
import { QueueView, RingView } from './queue.ts';
import { releaserOf } from './release.ts';
import { SortedView } from './sorted.ts';
import { SortedParts } from './sorted-walk.ts';
import { VectorView } from './vector.ts';
import { VectorParts } from './vector-walk.ts';

export class Doors {
  readonly #context: StoreContext;
  readonly #machines: Machines;
  readonly #nested: ReadonlyMap<StructLayout, ViewClass>;
  readonly #doors = new Map<AnyKind, Door>();

  constructor(context: StoreContext, nested: ReadonlyMap<StructLayout, ViewClass>, machines: Machines) {
    this.#context = context;
    this.#machines = machines;
    this.#nested = nested;
  }

  /** @param where field for messages: `Unit.bag` */
  of(kind: AnyKind, where: string): Door {
    let door = this.#doors.get(kind);
    if (door === undefined) this.#doors.set(kind, (door = this.#make(kind, where)));
    return door;
  }

  /** What the containers of a kind know of themselves. @param element undefined when they have none */
  #spec(kind: AnyKind, element: AnyKind | undefined, where: string): ElementSpec {
    const context = this.#context;
    const growing = isGrowing(kind);
    const cell = element && cellOf(element, context);
    const release = element && releaserOf(element, context);
    const door = element === undefined || cell !== undefined ? undefined : this.of(element, where);
    return {
      kind,
      context,
      growing,
      cell,
      door,
      release,
      prepare: element && this.#prepare(element, door),
      what: `${where}: ${describeKind(kind)}`,
    };
  }

  #prepare(element: AnyKind, door: Door | undefined): ((word: number) => void) | undefined {
    // Slots of the heap hold whatever was there, and so do those of a container with a capacity that is itself in a slot of
    // the heap; and what an element owned that is gone now must not be given back again.
    if (door !== undefined) return door.prepare;
    // A cell is written whole, but for a text or bytes of the heap, which gives back what it had.
    return ownsHeap(element) ? this.#image(element) : undefined;
  }

  #image(kind: AnyKind): (word: number) => void {
    const { mem, log } = this.#context;
    const image = imageOfKind(kind);
    return word => image.apply(word, mem, log, false);
  }

  #make(kind: AnyKind, where: string): Door {
    const context = this.#context;
    switch (kind.tag) {
      case 'struct': {
        const cls = this.#nested.get(kind.layout)!;
        return {
          kind,
          make: (word, stamp) => new cls(word, stamp),
          free: view => cls.free(view),
          revive: view => cls.revive(view, 0),
          assign(view, value) {
            if (view === value) return;
            mustFit(kind, value, where);
            cls.assign(view, value as object);
          },
          fill(view, value) {
            mustFit(kind, value, where);
            cls.init(view, value as object);
          },
          prepare: this.#image(kind),
          wordOf: view => (cls.is(view) ? cls.base(view) : 0),
        };
      }
      case 'array': {
        const spec = this.#spec(kind, kind.element, where);
        return this.#placed(kind, where, (word, stamp) => new ArrayView(spec, kind, word, stamp));
      }
      case 'list': {
        const spec = listSpec(this.#spec(kind, kind.element, where), kind);
        return this.#placed(kind, where, (word, stamp) => new ListView(spec, word, stamp));
      }
      case 'map': {
        const spec = mapSpec(this.#spec(kind, kind.value, where), kind);
        return this.#placed(kind, where, (word, stamp) => new MapView(spec, word, stamp));
      }
      case 'set': {
        const spec = setSpec(this.#spec(kind, undefined, where), kind);
        return this.#placed(kind, where, (word, stamp) => new SetView(spec, word, stamp));
      }
      case 'vector': {
        const spec = this.#spec(kind, kind.element, where);
        const parts = new VectorParts(context, kind);
        return this.#placed(kind, where, (word, stamp) => new VectorView(spec, parts, kind, word, stamp));
      }
      case 'queue': {
        const spec = this.#spec(kind, kind.element, where);
        const View = kind.capacity > 0 ? RingView : QueueView;
        return this.#placed(kind, where, (word, stamp) => new View(spec, kind, word, stamp));
      }
      case 'sorted': {
        const spec = this.#spec(kind, kind.value, where);
        const parts = new SortedParts(context, kind, releaserOf);
        return this.#placed(kind, where, (word, stamp) => new SortedView(spec, parts, kind, word, stamp));
      }
      case 'bits': {
        const spec = this.#spec(kind, undefined, where);
        if (kind.length > 0)
          return this.#placed(kind, where, (word, stamp) => new FixedBitsView(spec, kind, word, stamp));
        const chunks = bitsChunks(context);
        return this.#placed(kind, where, (word, stamp) => new BitsView(spec, chunks, word, stamp));
      }
      case 'machine': {
        const machines = this.#machines;
        const assign = (view: object, value: unknown): void => {
          if (view === value) return;
          mustFit(kind, value, where);
          (view as MachineView).assign(value);
        };
        return {
          kind,
          make: (word, stamp, record) => new MachineView(machines, kind, where, word, stamp, record!),
          free: view => (view as MachineView).$free(),
          revive: view => (view as MachineView).$revive(),
          assign,
          fill: assign,
          prepare: this.#image(kind),
          wordOf: view => (view as MachineView).$word,
        };
      }
      case 'optional': {
        const inner = this.of(kind.value, where);
        const assign = (view: object, value: unknown): void => {
          mustFit(kind, value, where);
          (view as OptionalView).assign(value);
        };
        return {
          kind,
          make: (word, stamp) => new OptionalView(kind, inner, context, word, stamp),
          free: view => (view as OptionalView).$free(),
          revive: view => (view as OptionalView).$revive(),
          assign,
          fill: assign,
          prepare: this.#image(kind),
          wordOf: view => inner.wordOf(view),
          shown: view => (view as OptionalView).value,
        };
      }
      default:
        throw new TypeError(`${describeKind(kind)} has no views`);
    }
  }

  #placed(kind: AnyKind, where: string, make: (word: number, stamp: Stamp) => Placed & object): Door {
    const assign = (view: object, value: unknown): void => {
      if (view === value) return;
      mustFit(kind, value, where);
      const target = view as { assign?(values: unknown): void; $assign?(values: unknown): void };
      if (target.$assign !== undefined) target.$assign(value);
      else target.assign!(value);
    };
    return {
      kind,
      make,
      free: view => (view as Placed).$free(),
      revive: view => (view as Placed).$revive(),
      assign,
      fill: assign,
      prepare: this.#image(kind),
      wordOf: view => (view as Partial<Placed>).$word ?? 0,
    };
  }
}

function mustFit(kind: AnyKind, value: unknown, where: string): void {
  const reason = checkKind(kind, value);
  if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `field ${where}: ${reason}`);
}
