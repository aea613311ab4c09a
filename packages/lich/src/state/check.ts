/** Walk values in memory by layout and say what is wrong with them. The structures' own walks are beside their code. */
import {
  type AnyKind,
  type FieldLayout,
  mapLayout,
  type PoolLayout,
  setLayout,
  type StateLayout,
  type StructLayout,
} from '@lich/schema';
import { checkBits } from './bits-walk.ts';
import { checkList, checkTable } from './chain-check.ts';
import { type Decode, decode } from './decode.ts';
import type { Violation } from './errors.ts';
import { layoutAt } from './families.ts';
import { HeapAudit, type HeapPlace } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import { checkOptional } from './optional-walk.ts';
import { checkPool } from './pool-check.ts';
import { checkTimers } from './timers.ts';
import { ROOT_FENCE, rootStampWord } from './plan.ts';
import { poolPlaces } from './pool-places.ts';
import { checkQueue } from './queue-walk.ts';
import { checkSorted } from './sorted-walk.ts';
import { checkVector } from './vector-walk.ts';

/** What the walks of one kind are given, for what is inside. */
export interface CheckContext {
  /** Looks at a value of any kind. */
  readonly value: typeof checkValue;
  readonly decode: Decode;
  readonly mem: Arrays;
  readonly out: Violation[];
  /** Capacity of a pool, or undefined when there is none of that name. */
  capacityOf(pool: string): number | undefined;
  /** Blocks of the heap: each structure that owns one reaches it. */
  readonly heap: HeapAudit;
}

/** Where the parts of a state are, as words of the segment. */
export interface StatePlaces {
  readonly root: number;
  /** Regions of the pools, in the order of the layout. */
  readonly pools: readonly number[];
  readonly heap?: HeapPlace;
}

/** Walk everything in a state that stands still. O(records). */
export function checkState(mem: Arrays, layouts: StateLayout, places: StatePlaces): Violation[] {
  const found = walkState(mem, layouts, places, false);
  return found.length === 0 ? found : walkState(mem, layouts, places, true);
}

/** @param named see `HeapAudit` */
function walkState(mem: Arrays, layouts: StateLayout, places: StatePlaces, named: boolean): Violation[] {
  const out: Violation[] = [];
  const capacities = new Map(
    layouts.pools.map(pool => [pool.name, poolPlaces(pool.layout, pool.capacity).capacity] as const),
  );
  const context: CheckContext = {
    value: checkValue,
    decode,
    mem,
    out,
    heap: new HeapAudit(mem, places.heap, out, named),
    capacityOf: name => capacities.get(name),
  };
  checkStruct(context, layouts.root, places.root, 'root');
  const fence = mem.u32[rootStampWord(layouts, places.root) + 2];
  if (fence !== ROOT_FENCE) out.push({ where: 'root', what: `fence is ${fence.toString(16)}` });
  layouts.pools.forEach((pool, k) => {
    checkPool(mem, pool, places.pools[k]!, context.heap, out, (word, where) => checkRecord(context, pool, word, where));
  });
  checkTimers(mem, layouts.root, places.root, context.heap, out);
  context.heap.leaks();
  return out;
}

function checkRecord(context: CheckContext, pool: PoolLayout, word: number, where: string): void {
  const layout = layoutAt(pool, context.mem, word);
  if (layout === undefined) context.out.push({ where, what: 'is of no class of its family' });
  else checkStruct(context, layout, word, where);
}

/** Of a struct: the fields whose bytes can be wrong, and where there is padding. */
interface Suspects {
  readonly fields: readonly FieldLayout[];
  /** Pairs: first byte, and the one after the last. */
  readonly padding: readonly number[];
}

const suspects = new WeakMap<StructLayout, Suspects>();
/** Any bits are a value of these. */
const ANY_BITS: readonly string[] = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'f64', 'u64', 'i64', 'machine'];

function suspectsOf(layout: StructLayout): Suspects {
  let known = suspects.get(layout);
  if (known === undefined) {
    const padding: number[] = [];
    let end = 0;
    for (const field of layout.fields) {
      if (field.offset > end) padding.push(end, field.offset);
      end = field.offset + field.bytes;
    }
    if (layout.bytes > end) padding.push(end, layout.bytes);
    known = { fields: layout.fields.filter(({ kind }) => !ANY_BITS.includes(kind.tag)), padding };
    suspects.set(layout, known);
  }
  return known;
}

export function checkStruct(context: CheckContext, layout: StructLayout, word: number, where: string): void {
  const { fields, padding } = suspectsOf(layout);
  const { named } = context.heap;
  for (let k = 0; k < padding.length; k += 2) checkPadding(context, word, padding[k], padding[k + 1], where);
  for (let k = 0; k < fields.length; k++) {
    const { kind, offset, name } = fields[k];
    checkValue(context, kind, word, offset, named ? `${where}.${name}` : where);
  }
}

function checkPadding({ mem, out }: CheckContext, word: number, from: number, to: number, where: string): void {
  for (let k = from; k < to; k++) {
    if (mem.u8[word * 4 + k] !== 0) out.push({ where, what: `padding byte ${k} is ${mem.u8[word * 4 + k]}` });
  }
}

export function checkValue(context: CheckContext, kind: AnyKind, word: number, offset: number, where: string): void {
  const { mem, out } = context;
  const at = word + offset / 4;
  const bad = (what: string) => void out.push({ where, what });
  switch (kind.tag) {
    case 'bool':
      if (mem.u8[word * 4 + offset] > 1) bad(`bool is ${mem.u8[word * 4 + offset]}`);
      break;
    case 'oneOf': {
      const index = kind.bytes === 1 ? mem.u8[word * 4 + offset] : mem.u16[(word * 4 + offset) / 2];
      if (index >= kind.names.length) bad(`name ${index} of ${kind.names.length}`);
      break;
    }
    case 'int':
      if (!Number.isSafeInteger(mem.f64[at / 2]) || Object.is(mem.f64[at / 2], -0)) bad(`int is ${mem.f64[at / 2]}`);
      break;
    case 'text':
      if (kind.length === 0) checkLong(context, at, mem.u32[at + 1] / 2, where);
      else if (mem.u16[at * 2] > kind.length) bad(`text of ${mem.u16[at * 2]} units in text(${kind.length})`);
      break;
    case 'bytes':
      if (kind.length === 0) checkLong(context, at, mem.u32[at + 1] / 4, where);
      else if (mem.u32[at] > kind.length) bad(`${mem.u32[at]} bytes in bytes(${kind.length})`);
      break;
    case 'ref': {
      const capacity = context.capacityOf(kind.pool);
      if (capacity === undefined) bad(`ref to pool \`${kind.pool}\`, which does not exist`);
      else if (mem.u32[at + 1] !== 0 && mem.u32[at] >= capacity)
        bad(`ref to slot ${mem.u32[at]} of \`${kind.pool}\`, which has ${capacity}`);
      break;
    }
    case 'struct':
      checkStruct(context, kind.layout, at, where);
      break;
    case 'array':
      if (ANY_BITS.includes(kind.element.tag)) break;
      for (let k = 0; k < kind.length; k++)
        checkValue(context, kind.element, word, offset + k * kind.stride, `${where}[${k}]`);
      break;
    case 'list':
      checkList(context, kind, at, where, (slot, payload, place) =>
        checkValue(context, kind.element, slot, payload, place),
      );
      break;
    case 'map': {
      const { key, value } = mapLayout(kind);
      checkTable(context, kind, at, where, (entry, place) => {
        checkValue(context, kind.key, entry, key, `${place} key`);
        checkValue(context, kind.value, entry, value, place);
      });
      break;
    }
    case 'set': {
      const { key } = setLayout(kind);
      checkTable(context, kind, at, where, (entry, place) => checkValue(context, kind.key, entry, key, place));
      break;
    }
    case 'vector':
      checkVector(context, kind, at, where);
      break;
    case 'queue':
      checkQueue(context, kind, at, where);
      break;
    case 'sorted':
      checkSorted(context, kind, at, where);
      break;
    case 'bits':
      checkBits(context, kind, at, where);
      break;
    case 'optional':
      checkOptional(context, kind, word, offset, where);
      break;
    default:
  }
}

/** text() and bytes(). */
function checkLong({ mem, out, heap }: CheckContext, at: number, words: number, where: string): void {
  const [link, length] = [mem.u32[at], mem.u32[at + 1]];
  if ((link === 0) !== (length === 0)) out.push({ where, what: `link ${link} with length ${length}` });
  else if (link !== 0) heap.reach(link, Math.ceil(words), where);
}
