/** Conversion without views: values go from one memory to another by the layouts alone.
 *
 *   same       bytes are copied: links into the heap with them, since the heap is copied whole
 *   checked    numbers, names and texts, looked at where the new kind holds less
 *   chunks     containers whose elements changed: the head block stays where it is, its chunks are made anew
 *
 *   old heap     head ──► chunk [e0 e1 e2 _]                   read here, at the link it has there
 *   new heap     head ──► chunk [ e0'  e1'  e2'  _ ]           the copy of the old chunk was given back before
 *
 * What is written lies in zeroed memory. Nothing is logged but what the heap itself logs: nobody else knows the new segment. */
import {
  type AnyKind,
  describeKind,
  innerKinds,
  type LayoutNames,
  listLayout,
  type ListShape,
  machineLayout,
  mapLayout,
  type MapShape,
  ownsHeap,
  setLayout,
  type SetShape,
  type VectorShape,
} from '@lich/schema';
import { type ChainShape, chunkPlaces, HEAD_STAMP, listShape, tableShape } from './chain-shape.ts';
import { CHUNK_LINKS, chunkFront, type ChunkPlaces, chunkSlots, chunkStart, chunkWord } from './chunks.ts';
import { changeOf, namePart, sameKind, Unfit } from './convert-values.ts';
import { decode } from './decode.ts';
import { densePlaces, type DenseShape, denseSlots } from './dense.ts';
import type { Heap } from './heap.ts';
import { encode } from './image.ts';
import type { Arrays } from './memory.ts';
import { slotPlaces, SLOTS_DIRECTORY, slotStride, slotWord } from './slots.ts';
import { DIRECTORY, inSlots, LENGTH, orderShape, SLOTS } from './vector-walk.ts';

/** Copies the value at a byte of the old memory to a byte of the new one. @throws Unfit */
export type Step = (from: number, to: number) => void;

/** The two memories. */
export interface Room {
  readonly from: Arrays;
  /** Word of link 0 of the old heap. */
  readonly fromHeap: number;
  readonly to: Arrays;
  readonly toHeap: number;
  /** Over `to`. */
  readonly view: DataView;
  /** The new heap, in a transaction; undefined in a dry run: what would lie in it is written to word 0, one upon the other,
   * and not looked at. */
  readonly heap: Heap | undefined;
  /** A good moment to commit what the heap has logged. */
  pause(): void;
}

/** A step, once the memories are there. */
export type Bind = (room: Room) => Step;

/** How values of one kind become those of another; undefined when only plain values lead there. */
export function rawOf(from: AnyKind, to: AnyKind, names: LayoutNames): Bind | undefined {
  if (sameKind(from, to, names)) return room => copier(room, to.bytes, to.align);
  if (from.tag === 'optional' || to.tag === 'optional') return optionals(from, to, names);
  switch (to.tag) {
    case 'struct':
      return from.tag === 'struct' ? structs(from, to, names) : undefined;
    case 'array':
      return from.tag === 'array' ? arrays(from, to, names) : undefined;
    case 'vector':
      return from.tag === 'vector' ? vectors(from, to, names) : undefined;
    case 'list':
      return from.tag === 'list' ? chains(from, to, names) : undefined;
    case 'map':
      return from.tag === 'map' ? chains(from, to, names) : undefined;
    case 'set':
      return from.tag === 'set' ? chains(from, to, names) : undefined;
    case 'machine':
      return from.tag === 'machine' ? machines(from, to, names) : undefined;
    case 'text':
    case 'bytes':
      if (from.tag === to.tag && from.length > 0 && to.length > 0) return texts(from, to);
      break;
    default:
  }
  if (innerKinds(from).length > 0 || innerKinds(to).length > 0 || ownsHeap(from) || ownsHeap(to)) return undefined;
  const change = changeOf(from, to, names);
  return (
    change && (wholes(from, to, change) ?? (room => (a, b) => encode(to, change(valueAt(room, from, a)), b, room.view)))
  );
}

function valueAt({ from: mem, fromHeap }: Room, kind: AnyKind, byte: number): unknown {
  const word = Math.floor(byte / 8) * 2;
  return decode(mem, kind, word, byte - word * 4, { heapWord: fromHeap, hidden: true });
}

/** Copies `bytes` bytes, both places aligned to `align`. */
export function copier({ from, to }: Room, bytes: number, align: number): Step {
  if (align >= 4 && bytes % 4 === 0) {
    const [source, target, words] = [from.i32, to.i32, bytes / 4];
    return (a, b) => {
      const [x, y] = [a >>> 2, b >>> 2];
      for (let k = 0; k < words; k++) target[y + k] = source[x + k];
    };
  }
  const [source, target] = [from.u8, to.u8];
  return (a, b) => {
    for (let k = 0; k < bytes; k++) target[b + k] = source[a + k];
  };
}

const ARRAYS = { u8: 'u8', i8: 'i8', u16: 'u16', i16: 'i16', u32: 'u32', i32: 'i32', int: 'f64' } as const;

/** Whole numbers of up to 53 bits. */
function wholes(from: AnyKind, to: AnyKind, change: (value: unknown) => unknown): Bind | undefined {
  if (!(from.tag in ARRAYS && to.tag in ARRAYS && 'min' in to)) return undefined;
  const low = Number(to.min);
  const high = Number(to.max);
  const [x, y] = [Math.log2(from.bytes), Math.log2(to.bytes)];
  return room => {
    const source = room.from[ARRAYS[from.tag as keyof typeof ARRAYS]];
    const target = room.to[ARRAYS[to.tag as keyof typeof ARRAYS]];
    return (a, b) => {
      const value = source[a >>> x];
      if (value < low || value > high) change(value);
      target[b >>> y] = value;
    };
  };
}

/** Texts and bytes of a limited length. */
function texts(from: AnyKind & { length: number }, to: AnyKind & { length: number }): Bind {
  const isText = to.tag === 'text';
  const [unit, start] = isText ? ([1, 2] as const) : ([0, 4] as const);
  return room => {
    const [source, target] = isText ? [room.from.u16, room.to.u16] : [room.from.u8, room.to.u8];
    const [lengths, into] = isText ? [room.from.u16, room.to.u16] : [room.from.u32, room.to.u32];
    const shift = isText ? 1 : 2;
    return (a, b) => {
      const length = lengths[a >>> shift];
      if (length > to.length) changeOf(from, to, undefined as never)!(valueAt(room, from, a));
      into[b >>> shift] = length;
      const [x, y] = [(a + start) >>> unit, (b + start) >>> unit];
      for (let k = 0; k < length; k++) target[y + k] = source[x + k];
    };
  };
}

/** The state is found by its name; when it was entered and its timeout stay as they are. */
function machines(from: AnyKind & { tag: 'machine' }, to: AnyKind & { tag: 'machine' }, _: LayoutNames): Bind {
  const states = from.names.map(name => to.names.indexOf(name));
  return room => {
    const copy = copier(room, to.bytes, to.align);
    return (a, b) => {
      const state = room.from.u32[(a + machineLayout.state) >>> 2];
      if (states[state] === -1) throw new Unfit(`'${from.names[state]}' is no state of ${describeKind(to)}`);
      copy(a, b);
      room.to.u32[(b + machineLayout.state) >>> 2] = states[state]!;
    };
  };
}

function optionals(from: AnyKind, to: AnyKind, names: LayoutNames): Bind | undefined {
  const [inside, outside] = [from.tag === 'optional' ? from.value : from, to.tag === 'optional' ? to.value : to];
  const inner = rawOf(inside, outside, names);
  if (inner === undefined) return undefined;
  return room => {
    const step = inner(room);
    const { u8, u32 } = room.to;
    return (a, b) => {
      if (from.tag === 'optional' && room.from.u8[a + from.flag] === 0) {
        if (to.tag !== 'optional') throw new Unfit(`there is none, ${describeKind(to)} has no place for that`);
        return;
      }
      step(a, b);
      if (to.tag !== 'optional') return;
      if (to.bytes - to.flag >= 4) u32[(b + to.flag) >>> 2] = 1;
      else u8[b + to.flag] = 1;
    };
  };
}

function structs(
  { layout: from }: AnyKind & { tag: 'struct' },
  { layout: to }: AnyKind & { tag: 'struct' },
  names: LayoutNames,
): Bind | undefined {
  const parts: { name: string; at: number; to: number; bind: Bind }[] = [];
  const used = new Set<string>();
  for (const field of to.fields) {
    const old = from.fields.find(each => each.name === names.field(from, to, field));
    if (old === undefined) continue;
    used.add(old.name);
    const bind = rawOf(old.kind, field.kind, names);
    if (bind === undefined) return undefined;
    parts.push({ name: field.name, at: old.offset, to: field.offset, bind });
  }
  // Memory of the heap that a removed part owned is given back with the whole old value.
  if (from.fields.some(field => !used.has(field.name) && ownsHeap(field.kind))) return undefined;
  const bytes = new Uint8Array(Math.max(8, to.bytes));
  const view = new DataView(bytes.buffer);
  for (const field of to.fields)
    if (!parts.some(part => part.to === field.offset)) encode(field.kind, field.initial, field.offset, view);
  const initial = [...bytes.keys()].filter(k => bytes[k] !== 0);
  return room => {
    const steps = parts.map(part => ({ ...part, step: part.bind(room) }));
    const { u8 } = room.to;
    return (a, b) => {
      for (let k = 0; k < initial.length; k++) u8[b + initial[k]!] = bytes[initial[k]!];
      for (let k = 0; k < steps.length; k++) {
        const part = steps[k]!;
        try {
          part.step(a + part.at, b + part.to);
        } catch (error) {
          throw namePart(part.name, error);
        }
      }
    };
  };
}

function arrays(
  from: AnyKind & { tag: 'array' },
  to: AnyKind & { tag: 'array' },
  names: LayoutNames,
): Bind | undefined {
  const bind = rawOf(from.element, to.element, names);
  if (bind === undefined || (from.length > to.length && ownsHeap(from))) return undefined;
  const both = Math.min(from.length, to.length);
  const used = from.element.bytes;
  return room => {
    const step = bind(room);
    const { u8 } = room.from;
    return (a, b) => {
      for (let k = 0; k < both; k++) step(a + k * from.stride, b + k * to.stride);
      if (to.element.initial !== undefined || to.element.tag === 'struct')
        for (let k = both; k < to.length; k++) encode(to.element, to.element.initial, b + k * to.stride, room.view);
      for (let k = both; k < from.length; k++) {
        for (let n = a + k * from.stride, end = n + used; n < end; n++)
          if (u8[n] !== 0) throw new Unfit(`element ${k} is in use, ${describeKind(to)} holds ${to.length}`);
      }
    };
  };
}

/** Make chunks anew for `high` slots, and give back the old ones. */
function renew(room: Room, dir: number, to: ChunkPlaces, high: number): void {
  const { heap } = room;
  if (heap === undefined) return;
  const U = room.to.u32;
  for (let k = 0; k < CHUNK_LINKS; k++) {
    if (U[dir + k] !== 0) heap.free(U[dir + k]);
    U[dir + k] = 0;
  }
  for (let k = 0; chunkStart(to.first, k) < high; k++)
    U[dir + k] = heap.alloc(chunkSlots(to.first, k) * (to.stride + to.front));
  room.pause();
}

type Chain = ListShape | MapShape | SetShape;
const shapeOf = (kind: Chain): ChainShape => (kind.tag === 'list' ? listShape(kind) : tableShape(kind));

/** Lists, maps and sets that keep their order, their keys and their capacity. */
function chains(from: Chain, to: Chain, names: LayoutNames): Bind | undefined {
  if (from.capacity !== to.capacity) return undefined;
  const [a, b] = [partsOf(from), partsOf(to)];
  if (from.tag !== 'list' && !sameKind(a[0]!.kind, b[0]!.kind, names)) return undefined;
  const binds = a.map((part, k) => ({ at: part.at, to: b[k]!.at, bind: rawOf(part.kind, b[k]!.kind, names) }));
  if (binds.some(({ bind }) => bind === undefined)) return undefined;
  const [x, y] = [shapeOf(from), shapeOf(to)];
  const header = from.tag === 'list' ? 3 : 4;
  const front = from.capacity === 0 ? 0 : from.tag === 'list' ? 5 : 6 + tableBuckets(from);
  return room => {
    const steps = binds.map(each => ({ ...each, step: each.bind!(room) }));
    const [U, T] = [room.from.u32, room.to.u32];
    const [old, next] = [chunkPlaces(x, room.fromHeap), chunkPlaces(y, room.toHeap)];
    const convert = (slot: number, at: number, index: number): void => {
      for (let k = 0; k < y.stride; k++) T[at + k] = k < header ? U[slot + k] : 0;
      if ((U[slot + x.generation] & 1) === 0) return;
      try {
        for (let k = 0; k < steps.length; k++) steps[k]!.step(slot * 4 + steps[k]!.at, at * 4 + steps[k]!.to);
      } catch (error) {
        const key = from.tag === 'list' ? index : valueAt(room, a[0]!.kind, slot * 4 + a[0]!.at);
        throw namePart(`[${String(key)}]`, error);
      }
    };
    if (from.capacity > 0)
      return (home, place) => {
        const [control, target] = [home >>> 2, place >>> 2];
        for (let k = 0; k < front; k++) T[target + k] = U[control + k];
        const high = U[control + x.high];
        for (let k = 0; k < high; k++) convert(control + x.slots + k * x.stride, target + y.slots + k * y.stride, k);
      };
    return (home, place) => {
      const link = U[home >>> 2];
      T[place >>> 2] = link;
      if (link === 0) return;
      const control = room.fromHeap + link + HEAD_STAMP;
      const target = room.toHeap + link + HEAD_STAMP;
      const high = U[control + x.high];
      renew(room, target + y.slots, next, high);
      for (let k = 0; k < high; k++) {
        const slot = chunkWord(U, old, control + x.slots, k);
        if (room.heap === undefined) {
          convert(slot, 0, k);
          continue;
        }
        if (x.front === 1) T[chunkFront(T, next, target + y.slots, k)] = U[chunkFront(U, old, control + x.slots, k)];
        convert(slot, chunkWord(T, next, target + y.slots, k), k);
      }
    };
  };
}

function tableBuckets(kind: MapShape | SetShape): number {
  return (kind.tag === 'map' ? mapLayout(kind) : setLayout(kind)).bucketCount;
}

/** What lies in a slot: bytes from there. */
function partsOf(kind: Chain): { kind: AnyKind; at: number }[] {
  if (kind.tag === 'list') return [{ kind: kind.element, at: listLayout(kind).payload }];
  if (kind.tag === 'set') return [{ kind: kind.key, at: setLayout(kind).key }];
  const { key, value } = mapLayout(kind);
  return [
    { kind: kind.key, at: key },
    { kind: kind.value, at: value },
  ];
}

/** Growing arrays. The order of elements that stand in slots stays as it is, and so do the slots' numbers. */
function vectors(from: VectorShape, to: VectorShape, names: LayoutNames): Bind | undefined {
  const bind = rawOf(from.element, to.element, names);
  if (bind === undefined || inSlots(from.element) !== inSlots(to.element)) return undefined;
  const slots = inSlots(from.element);
  const [x, y] = [orderShape(from.element), orderShape(to.element)];
  const strideOf = ({ element }: VectorShape) => slotStride(element.bytes, element.align);
  return room => {
    const step = bind(room);
    const [U, T] = [room.from.u32, room.to.u32];
    const [old, next] = [densePlaces(x, room.fromHeap), densePlaces(y, room.toHeap)];
    const [oldSlots, nextSlots] = [slotPlaces(room.fromHeap, strideOf(from)), slotPlaces(room.toHeap, strideOf(to))];
    const zero = (word: number, words: number) => T.fill(0, word, word + words);
    const convert = (at: number, into: number, index: number): void => {
      try {
        step(at, into);
      } catch (error) {
        throw namePart(`[${index}]`, error);
      }
    };
    return (home, place) => {
      const link = U[home >>> 2];
      T[place >>> 2] = link;
      if (link === 0) return;
      const [head, target] = [room.fromHeap + link, room.toHeap + link];
      const length = U[head + LENGTH];
      const dry = room.heap === undefined;
      if (slots) {
        const high = U[head + SLOTS];
        renew(room, target + SLOTS + SLOTS_DIRECTORY, nextSlots, high);
        for (let k = 0; k < length; k++) {
          const slot = U[chunkWord(U, old, head + DIRECTORY, k)];
          const into = dry ? 0 : slotWord(T, nextSlots, target + SLOTS, slot);
          zero(into, nextSlots.stride);
          convert(slotWord(U, oldSlots, head + SLOTS, slot) * 4, into * 4, k);
        }
        for (let free = U[head + SLOTS + 1]; free !== 0 && !dry; ) {
          const after = U[slotWord(U, oldSlots, head + SLOTS, free - 1)];
          T[slotWord(T, nextSlots, target + SLOTS, free - 1)] = after;
          free = after;
        }
        return;
      }
      renew(room, target + DIRECTORY, next, denseSlots(y, length));
      for (let k = 0; k < length; k++) {
        const at = byteOf(U, x, old, head + DIRECTORY, k);
        const into = dry ? 0 : byteOf(T, y, next, target + DIRECTORY, k);
        if ((into & 3) === 0) zero(into >>> 2, y.stride);
        convert(at, into, k);
      }
    };
  };
}

function byteOf(U: Uint32Array, shape: DenseShape, places: ChunkPlaces, dir: number, index: number): number {
  return chunkWord(U, places, dir, index >>> shape.shift) * 4 + (index & shape.mask) * shape.bytes;
}
