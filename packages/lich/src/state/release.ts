/** Release: give back the memory of the heap that a value owns, and all that is inside it. Used where a value ends: destroy
 * of a record, delete, overwriting, clear. Logged as everything else, so a rollback has it all back.
 *
 * The words that held the links are left as they are: what ends is overwritten by whoever takes the place next. */
import { type AnyKind, listLayout, mapLayout, ownsHeap, setLayout, type StructLayout } from '@lich/schema';
import { type ChainShape, listShape, tableShape } from './chain-shape.ts';
import { releaseBits } from './bits-walk.ts';
import type { StoreContext } from './memory.ts';
import { releaseQueue } from './queue-walk.ts';
import { SlotChain } from './slot-chain.ts';
import { releaseSorted } from './sorted-walk.ts';
import { releaseVector } from './vector-walk.ts';

/** Gives back what the value at a word owns. */
export type Release = (word: number) => void;
/** Walks of one kind are given it for what is inside. */
export type ReleaserOf = (kind: AnyKind, context: StoreContext) => Release | undefined;

const byContext = new WeakMap<StoreContext, Map<AnyKind, Release | undefined>>();

/** How to give back what a value of this kind owns; undefined when it owns nothing.
 * @returns a function of the word where the value begins */
export function releaserOf(kind: AnyKind, context: StoreContext): Release | undefined {
  let known = byContext.get(context);
  if (known === undefined) byContext.set(context, (known = new Map()));
  if (!known.has(kind)) known.set(kind, ownsHeap(kind) ? makeRelease(kind, context) : undefined);
  return known.get(kind);
}

/** The same for a record of this layout, hidden fields included. @returns a function of the word of its payload */
export function layoutReleaser(layout: StructLayout, context: StoreContext): Release | undefined {
  const parts = layout.fields.flatMap(field => {
    const release = releaserOf(field.kind, context);
    return release === undefined ? [] : [{ at: field.offset >> 2, release }];
  });
  if (parts.length === 0) return undefined;
  return word => {
    for (let k = 0; k < parts.length; k++) parts[k].release(word + parts[k].at);
  };
}

function makeRelease(kind: AnyKind, context: StoreContext): Release | undefined {
  const { mem, heap } = context;
  switch (kind.tag) {
    case 'text':
    case 'bytes':
      return word => {
        const link = mem.u32[word];
        if (link !== 0) heap.free(link);
      };
    case 'struct':
      return layoutReleaser(kind.layout, context);
    case 'array': {
      const release = releaserOf(kind.element, context)!;
      return word => {
        for (let k = 0; k < kind.length; k++) release(word + (k * kind.stride) / 4);
      };
    }
    case 'list': {
      const inner = releaserOf(kind.element, context);
      return releaseChain(context, listShape(kind), [{ at: listLayout(kind).payload >> 2, release: inner }]);
    }
    case 'map': {
      const { key, value } = mapLayout(kind);
      return releaseChain(context, tableShape(kind), [
        { at: key >> 2, release: releaserOf(kind.key, context) },
        { at: value >> 2, release: releaserOf(kind.value, context) },
      ]);
    }
    case 'set':
      return releaseChain(context, tableShape(kind), [
        { at: setLayout(kind).key >> 2, release: releaserOf(kind.key, context) },
      ]);
    case 'vector':
      return releaseVector(context, kind, releaserOf);
    case 'queue':
      return releaseQueue(context, kind, releaserOf);
    case 'sorted':
      return releaseSorted(context, kind, releaserOf);
    case 'bits':
      return releaseBits(context);
    case 'optional':
      // None is zero bytes, which own nothing.
      return releaserOf(kind.value, context);
    default:
      throw new TypeError(`a ${kind.tag} has no releaser`);
  }
}

/** A list, map or set: what its elements own, its chunks, its head block. */
function releaseChain(
  context: StoreContext,
  shape: ChainShape,
  inside: readonly { at: number; release: Release | undefined }[],
): Release {
  const { mem, heap } = context;
  const U = mem.u32;
  const chain = new SlotChain(context, shape);
  const parts = inside.filter((part): part is { at: number; release: Release } => part.release !== undefined);
  return home => {
    const at = chain.control(home);
    if (at === 0) return;
    if (parts.length > 0) {
      for (let link = U[at + shape.first]; link !== 0; ) {
        const slot = chain.slot(at, link - 1);
        for (let k = 0; k < parts.length; k++) parts[k].release(slot + parts[k].at);
        link = U[slot + shape.next];
      }
    }
    if (shape.capacity > 0) return;
    chain.chunks!.release(at + shape.slots);
    heap.free(U[home]);
  };
}
