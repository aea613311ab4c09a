/** Walk the words of lists, maps and sets, with a capacity and in the heap. */
import {
  type AnyKind,
  listLayout,
  type ListShape,
  mapLayout,
  type MapShape,
  setLayout,
  type SetShape,
} from '@lich/schema';
import {
  CHAIN_FIRST,
  type ChainShape,
  chunkPlaces,
  HEAD_STAMP,
  headWords,
  listShape,
  TABLE,
  tableShape,
} from './chain-shape.ts';
import { CHUNK_LINKS, chunkFront, chunkSlots, chunkStart, chunkWord } from './chunks.ts';
import { decode } from './decode.ts';
import type { Violation } from './errors.ts';
import { type KeyForm, keyForm } from './hash-keys.ts';
import { bucketOf } from './hash-table.ts';
import type { HeapAudit } from './heap-check.ts';
import type { Arrays } from './memory.ts';

/** What a walk over a state has at hand. */
export interface Walking {
  readonly mem: Arrays;
  readonly out: Violation[];
  readonly heap: HeapAudit;
}

/** A directory of chunks: those that are there are ours, those that `high` needs are there, others are not, but for the
 * first, which may be kept.
 * @returns false when slots below `high` cannot be read */
export function checkChunks(
  { mem, out, heap }: Walking,
  shape: { readonly first: number; readonly stride: number; readonly front: 0 | 1 },
  dir: number,
  high: number,
  where: string,
): boolean {
  let sound = true;
  for (let k = 0; k < CHUNK_LINKS; k++) {
    const link = mem.u32[dir + k];
    const wanted = chunkStart(shape.first, k) < high;
    if (link !== 0) {
      if (!wanted && k > 0) out.push({ where, what: `chunk ${k} is there, high is ${high}` });
      const words = chunkSlots(shape.first, k) * (shape.stride + shape.front);
      sound = heap.reach(link, words, heap.named ? `${where} chunk ${k}` : where) && sound;
    } else if (wanted) {
      out.push({ where, what: `chunk ${k} is missing, high is ${high}` });
      sound = false;
    }
  }
  return sound;
}

interface Chain {
  readonly control: number;
  readonly high: number;
  readonly count: number;
  slotAt(index: number): number;
}

/** @param each called for each slot in use, in order
 * @returns undefined when it is empty, or too broken to look further */
function checkChain(
  walking: Walking,
  shape: ChainShape,
  home: number,
  where: string,
  each: (slot: number, nth: number) => void,
): Chain | undefined {
  const { mem, out, heap } = walking;
  const U = mem.u32;
  const bad = (what: string): undefined => void out.push({ where, what });
  let control = home;
  let slotAt = (index: number) => control + shape.slots + index * shape.stride;
  let most = shape.capacity;
  if (shape.capacity === 0) {
    if (U[home] === 0) return undefined;
    if (!heap.reach(U[home], headWords(shape), where)) return undefined;
    control = heap.base + U[home] + HEAD_STAMP;
    const places = chunkPlaces(shape, heap.base);
    const dir = control + shape.slots;
    most = U[control + shape.high];
    if (!checkChunks(walking, places, dir, most, where)) return undefined;
    slotAt = index => chunkWord(U, places, dir, index);
  }
  const [count, first, last, freeHead, high] = [
    U[control + shape.count],
    U[control + shape.first],
    U[control + shape.last],
    U[control + shape.free],
    U[control + shape.high],
  ];
  if (high > most || count > high || first > high || last > high || freeHead > high) {
    return bad(`count ${count}, first ${first}, last ${last}, free ${freeHead}, high ${high} with capacity ${most}`);
  }
  // Whoever is come by twice has two before it, and says only one of them; whoever is on the free list too is odd.
  let seen = 0;
  let prev = 0;
  for (let link = first; link !== 0; ) {
    if (link > high) return bad(`the order leads to slot ${link - 1} beyond high ${high}`);
    const slot = slotAt(link - 1);
    if (seen === high) return bad(`the order leads to slot ${link - 1} twice`);
    const generation = U[slot + shape.generation];
    if (U[slot + shape.prev] !== prev) bad(`slot ${link - 1} says its prev is ${U[slot + shape.prev]}, it is ${prev}`);
    if ((generation & 1) === 0) bad(`slot ${link - 1} is in use with an even generation`);
    if (shape.turn >= 0 && ((U[control + shape.turn] - generation) | 0) < 0)
      bad(`slot ${link - 1} has generation ${generation}, the newest is ${U[control + shape.turn]}`);
    each(slot, seen++);
    prev = link;
    link = U[slot + shape.next];
  }
  if (prev !== last) bad(`the order ends at ${prev}, last says ${last}`);
  if (seen !== count) bad(`${seen} slots in order, count says ${count}`);
  let free = 0;
  for (let link = freeHead; link !== 0; link = U[slotAt(link - 1) + shape.link]) {
    if (link > high || free++ === high)
      return bad(`the free list leads to slot ${link - 1}, which is ${link > high ? 'beyond high' : 'taken already'}`);
    if ((U[slotAt(link - 1) + shape.generation] & 1) === 1) bad(`slot ${link - 1} is free with an odd generation`);
  }
  if (free + count !== high) bad(`${count} slots in use + ${free} free is not high ${high}`);
  return { control, high, count, slotAt };
}

/** @param each called for each element, with the word of its slot; the payload is at `payload` bytes */
export function checkList(
  walking: Walking,
  kind: ListShape,
  home: number,
  where: string,
  each: (slot: number, payload: number, where: string) => void,
): void {
  const { payload } = listLayout(kind);
  checkChain(walking, listShape(kind), home, where, (slot, nth) =>
    each(slot, payload, walking.heap.named ? `${where}[${nth}]` : where),
  );
}

interface Table {
  readonly form: KeyForm;
  /** Bytes from an entry to its key. */
  readonly key: number;
  readonly bucketCount: number;
}
// One a kind and walk.
const tables = new WeakMap<HeapAudit, Map<AnyKind, Table>>();
function tableOf(heap: HeapAudit, mem: Arrays, kind: MapShape | SetShape): Table {
  let known = tables.get(heap);
  if (known === undefined) tables.set(heap, (known = new Map()));
  let table = known.get(kind);
  if (table === undefined) {
    const { key, bucketCount } = kind.tag === 'map' ? mapLayout(kind) : setLayout(kind);
    table = { form: keyForm(mem, kind.key, key, undefined, heap.base), key, bucketCount };
    known.set(kind, table);
  }
  return table;
}

/** A map or a set.
 * @param each called for each entry, with its word */
export function checkTable(
  walking: Walking,
  kind: MapShape | SetShape,
  home: number,
  where: string,
  each: (entry: number, where: string) => void,
): void {
  const { mem, out, heap } = walking;
  const U = mem.u32;
  const bad = (what: string) => void out.push({ where, what });
  const shape = tableShape(kind);
  const { form, key: offset, bucketCount } = tableOf(heap, mem, kind);
  let keys: Set<unknown> | undefined;
  let one: unknown;
  const chain = checkChain(walking, shape, home, where, entry => {
    const key = form.stored(entry);
    if (one === undefined) one = key;
    else {
      keys ??= new Set([one]);
      if (keys.has(key)) bad(`key ${String(key)} twice`);
      keys.add(key);
    }
    const here = heap.named
      ? `${where}[${String(decode(mem, kind.key, entry, offset, { heapWord: heap.base }))}]`
      : where;
    each(entry, here);
  });
  if (chain === undefined) return;
  const { control, high, count, slotAt } = chain;
  const grows = kind.capacity === 0;
  const buckets = grows ? U[control + TABLE.buckets] : bucketCount;
  if (grows && (buckets > high || buckets < count)) return bad(`${buckets} buckets for ${count} entries, high ${high}`);
  if (!grows && U[control + TABLE.buckets] !== 0) bad(`reserved word is ${U[control + TABLE.buckets]}`);
  const places = { heapWord: heap.base, first: CHAIN_FIRST, stride: shape.stride, front: shape.front };
  let chained = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const at = grows ? chunkFront(U, places, control + TABLE.rest, bucket) : control + TABLE.rest + bucket;
    for (let link = U[at]; link !== 0; link = U[slotAt(link - 1) + TABLE.chain]) {
      if (link > high || (U[slotAt(link - 1) + shape.generation] & 1) === 0 || ++chained > count)
        return bad(`bucket ${bucket} leads to entry ${link - 1}, which is not in use or was met before`);
      const hash = form.storedHash(slotAt(link - 1));
      const wanted = grows ? bucketOf(hash, buckets) : hash & (buckets - 1);
      if (wanted !== bucket) bad(`entry ${link - 1} is in bucket ${bucket}, its key belongs into ${wanted}`);
    }
  }
  if (chained !== count) bad(`${chained} entries in buckets, count says ${count}`);
}
