/** The only place that computes an offset. Everything is little-endian; every offset here is in bytes from the start of
 * the structure that it belongs to.
 *
 * Field values                                       BYTES              ALIGN
 *   u8 i8 bool, oneOf up to 256 names                1                  1
 *   u16 i16, oneOf with more                         2                  2
 *   u32 i32 f32                                      4                  4
 *   u64 i64 f64, int (as f64)                        8                  8
 *   text(n)   [length u16][n UTF-16 units][0…]       2 + 2n, up to 4    4
 *   bytes(n)  [length u32][n bytes][0…]              4 + n, up to 4     4
 *   ref       [slot u32][generation u32]             8                  4     generation 0 = none
 *   struct    fields in declared order               up to its align    most of its fields', at least 4
 *   array     n elements, stride = element's size    up to its align    its element's, at least 4
 *   bits(n)   [bit 32w + i = bit i of word w]        n / 8, up to 4     4     bits at and above n are zero
 *   optional  [value][flag u8 | u32]                 see below
 *   machine   [since f64][timer f64][state u32][entered u32]  24         8     state: index of the name
 *   list, map, set, queue with a capacity: below     up to its align    most of its parts', at least 4
 *   without one, sorted, bits(), array(E)  [link u32]         4         4     0 = empty, no memory of the heap
 *   text(), bytes()  [link u32][length u32]                   8         4     length in units, in bytes
 *
 * A link is the word offset of a block from the start of the heap; 0 = none. What a block holds is drawn in the files of
 * the containers (packages/lich/src/state). A value of zero bytes is an empty one for each of these kinds.
 *
 * text, bytes, struct, array and all containers own whole 32-bit words. Bytes between fields are zero.
 *
 * machine: since = service time in ms when it entered the state, timer = handle of its timeout in the timer wheel, 0 = none.
 * The functions and the transitions live in code.
 *
 * optional(E): the value at byte 0, then the flag, 1 = there is a value, 0 = there is none and the value's bytes are zero.
 *   E of 1 byte: flag u8 at 1, 2 bytes, align 2; E of 2 bytes: flag u8 at 2, 4 bytes, align 4 (value and flag share a
 *   word); larger: flag u32 after it, up to E's align, at least 4.
 *
 * Links between slots are index + 1, and 0 = none: a list or map of zero bytes is an empty one.
 *
 * List, fixed capacity, doubly linked:
 *        0     4  head         link to the first slot
 *        4     4  tail         link to the last slot
 *        8     4  free         link to the first slot that was freed, chained by next
 *       12     4  count        elements
 *       16     4  high         slots at and above this index were never used and are not on the free list
 *       20 | 24   slots        capacity times:
 *                                0  4  prev        link
 *                                4  4  next        link
 *                                8  4  generation  odd = in use
 *                               12 | 16 payload
 *
 * Map, fixed capacity, chained hash table; iterates in the order of insertion:
 *        0     4  count        entries
 *        4     4  free         link to the first entry that was freed, chained by chain
 *        8     4  first        link to the oldest entry
 *       12     4  last         link to the newest entry
 *       16     4  high         entries at and above this index were never used and are not on the free list
 *       20     4  reserved     zero
 *       24   4×b  buckets      b = power of two >= capacity; link to the first entry of the chain
 *       ...       entries      capacity times:
 *                                0  4  chain       link to the next entry of the bucket
 *                                4  4  prev        link to the entry before in order
 *                                8  4  next        link to the entry after in order
 *                               12  4  generation  odd = in use
 *                               16  .  key
 *                               ..  .  value
 *
 * Set, fixed capacity: a map whose entries have no value.
 *
 * Queue, fixed capacity, a ring:
 *        0     4  first        index of the slot of the oldest element; any when count = 0
 *        4     4  count        elements, in the slots first, first + 1 … modulo capacity
 *        8     .  slots        capacity times one element, each on a word; slots that hold none may hold anything */
import { SchemaError } from './errors.ts';
import {
  isKind,
  makeKind,
  type Align,
  type AnyKind,
  type ListShape,
  type MapShape,
  type QueueShape,
  type SetShape,
} from './kind.ts';
import { formerNames, type Former } from './names.ts';
import { isStructClass } from './struct-mark.ts';
import type { StructClass } from './struct.ts';

/** Where one field lies. */
export interface FieldLayout {
  readonly name: string;
  readonly kind: AnyKind;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly bytes: number;
  readonly syncs: boolean;
  /** Plain initial value, or undefined for the kind's zero. */
  readonly initial: unknown;
  /** True for fields that the runtime added; their names start with `$` and users never see them. */
  readonly hidden: boolean;
  /** What the field was called before, by `.was('old')`. */
  readonly was?: readonly string[];
}

/** Where the fields of a struct lie: declared ones, then hidden ones; in a record of a family hidden ones first. */
export interface StructLayout {
  readonly name: string;
  /** A multiple of align. */
  readonly bytes: number;
  /** 4 or 8. */
  readonly align: Align;
  readonly fields: readonly FieldLayout[];
  /** What the class was called before, by `static was = 'Old'`. */
  readonly was?: readonly string[];
}

/** Byte offsets of a list, from its start; see the top of this file. */
export interface ListLayout {
  readonly bytes: number;
  readonly align: Align;
  readonly capacity: number;
  readonly head: 0;
  readonly tail: 4;
  readonly free: 8;
  readonly count: 12;
  readonly high: 16;
  /** Offset of slot 0, and bytes from one slot to the next. */
  readonly slots: number;
  readonly stride: number;
  /** Within a slot. */
  readonly prev: 0;
  readonly next: 4;
  readonly generation: 8;
  readonly payload: number;
}

/** Byte offsets of a map, from its start; see the top of this file. */
export interface MapLayout {
  readonly bytes: number;
  readonly align: Align;
  readonly capacity: number;
  readonly count: 0;
  readonly free: 4;
  readonly first: 8;
  readonly last: 12;
  readonly high: 16;
  readonly buckets: 24;
  /** A power of two. */
  readonly bucketCount: number;
  /** Offset of entry 0, and bytes from one entry to the next. */
  readonly entries: number;
  readonly stride: number;
  /** Within an entry. */
  readonly chain: 0;
  readonly prev: 4;
  readonly next: 8;
  readonly generation: 12;
  readonly key: number;
  readonly value: number;
}

/** Byte offsets of a set, from its start: those of a map, without value. */
export type SetLayout = Omit<MapLayout, 'value'>;

/** Byte offsets of a queue, from its start; see the top of this file. */
export interface QueueLayout {
  readonly bytes: number;
  readonly align: Align;
  readonly capacity: number;
  readonly first: 0;
  readonly count: 4;
  /** Offset of slot 0, and bytes from one slot to the next: a multiple of 4. */
  readonly slots: 8;
  readonly stride: number;
}

/** The part of a growing container that lies in its record: the link. */
export const LINK_BYTES = 4;
/** The part of `text()` and `bytes()` that lies in their record: link and length. */
export const LONG_BYTES = 8;

/** The hidden field of a family's records: u16, the id of the record's class, from 1. */
export const CLASS_FIELD = '$class';

/** Byte offsets of a machine. */
export const machineLayout = {
  /** f64, service time in ms at which it entered its state. */
  since: 0,
  /** f64, handle of its timeout; 0 = none. */
  timer: 8,
  /** u32, index of the state's name. */
  state: 16,
  /** u32, 1 once its first state was entered. */
  entered: 20,
} as const;
export const MACHINE_BYTES = 24;

/** A structure may not be larger than what a 32-bit offset can address with room to spare. */
const STRUCT_BYTES_MAX = 0x4000_0000;

/** @returns the least multiple of `align` that is not below `offset` */
export function alignUp(offset: number, align: number): number {
  return Math.ceil(offset / align) * align;
}

export function textSize(units: number): number {
  return alignUp(2 + 2 * units, 4);
}

export function bytesSize(length: number): number {
  return alignUp(4 + length, 4);
}

export function arraySize(element: AnyKind, length: number): { bytes: number; align: Align; stride: number } {
  const align = wordAlign(element.align);
  return { bytes: fits(alignUp(element.bytes * length, align), `array of ${length}`), align, stride: element.bytes };
}

export function bitsSize(length: number): number {
  return Math.ceil(length / 32) * 4;
}

/** Size of an optional value, and where its flag is. */
export function optionalSize(value: AnyKind): { bytes: number; align: Align; flag: number } {
  const flag = value.bytes;
  if (flag < 4 && value.align < 4) return { bytes: flag * 2, align: (flag * 2) as Align, flag };
  const align = wordAlign(value.align);
  return { bytes: fits(alignUp(flag + 4, align), 'an optional value'), align, flag };
}

const structLayouts = new WeakMap<StructClass, StructLayout>();

/** The layout of a struct class (made once), or of a plain object of fields, which then needs a name.
 * @param hidden fields of the runtime, placed after the declared ones; their names start with `$`
 * @throws SchemaError `SCHEMA_KIND` for something that is no kind, or when it is larger than 1 GiB */
export function layoutOf(
  source: StructClass | Readonly<Record<string, unknown>>,
  name?: string,
  hidden?: Readonly<Record<string, unknown>>,
): StructLayout {
  if (!isStructClass(source)) return layFields(name ?? 'struct', source, hidden);
  const was = formerOf(source);
  if (hidden !== undefined || (name !== undefined && name !== source.name))
    return layFields(name ?? source.name, source.fields, hidden, undefined, was);
  let layout = structLayouts.get(source);
  if (layout === undefined) {
    layout = layFields(source.name, source.fields, undefined, undefined, was);
    structLayouts.set(source, layout);
  }
  return layout;
}

/** What a class was called before; not what a class that it extends was. */
function formerOf(struct: StructClass): readonly string[] | undefined {
  if (!Object.hasOwn(struct, 'was') || struct.was === undefined) return undefined;
  return formerNames(struct.was, `static was of ${struct.name}`, 'SCHEMA_STRUCT');
}

function formerOfPart({ name, was }: { name: string; was?: Former }): readonly string[] | undefined {
  return was === undefined ? undefined : formerNames(was, name, 'SCHEMA_STRUCT');
}

/** The layouts of a family's records: `common` is what all begin with, with the size of the largest. */
export interface FamilyLayout {
  /** `$class`, then the hidden fields of the pool. Bytes and align are those of a slot. */
  readonly common: StructLayout;
  /** In the order given; each begins with the fields of `common`, at the same offsets. */
  readonly variants: readonly StructLayout[];
}

/** Lay out a family: `$class` (u16, the variant's id) and hidden fields first, so that they are at one place whatever the
 * slot holds. @param name of the pool @param sources classes, or layouts' fields by name */
export function familyLayout(
  name: string,
  sources: readonly {
    readonly name: string;
    readonly fields: Readonly<Record<string, unknown>>;
    readonly was?: Former;
  }[],
  hidden: Readonly<Record<string, unknown>> = {},
): FamilyLayout {
  const first = {
    [CLASS_FIELD]: makeKind({ tag: 'u16', bytes: 2, align: 2, min: 0, max: 0xffff, whole: true }),
    ...hidden,
  };
  const variants = sources.map(source =>
    layFields(
      source.name,
      source.fields,
      hidden,
      first,
      isStructClass(source) ? formerOf(source) : formerOfPart(source),
    ),
  );
  const { fields } = layFields(name, {}, undefined, first);
  const align = Math.max(4, ...variants.map(layout => layout.align)) as Align;
  const bytes = alignUp(Math.max(0, ...variants.map(layout => layout.bytes)), align);
  return { common: Object.freeze({ name, bytes, align, fields }), variants };
}

/** The kind that a field was declared with; a struct class stands for a nested struct.
 * @throws SchemaError `SCHEMA_KIND` for anything else, `where` says which field */
export function kindOf(field: unknown, where = 'a field'): AnyKind {
  if (isKind(field)) return field;
  if (isStructClass(field)) return structKind(field, layoutOf(field));
  throw new SchemaError(
    'SCHEMA_KIND',
    `${where} is ${typeof field === 'function' ? 'a function' : String(field)}, not a kind such as int or text(24), nor a struct class; functions belong into the class body`,
  );
}

const structKinds = new WeakMap<StructLayout, AnyKind>();

export function structKind(struct: StructClass | undefined, layout: StructLayout): AnyKind {
  let kind = structKinds.get(layout);
  if (kind === undefined) {
    const made = makeKind({
      tag: 'struct',
      bytes: layout.bytes,
      align: layout.align,
      layout,
      struct,
      syncsWhole: false,
      syncs: layout.fields.some(field => field.syncs),
    });
    structKinds.set(layout, made);
    kind = made as AnyKind;
  }
  return kind;
}

function layFields(
  name: string,
  fields: Readonly<Record<string, unknown>>,
  hidden: Readonly<Record<string, unknown>> | undefined,
  first?: Readonly<Record<string, unknown>>,
  was?: readonly string[],
): StructLayout {
  const laid: FieldLayout[] = [];
  let offset = 0;
  let align: Align = 4;
  const place = (fieldName: string, field: unknown, isHidden: boolean): void => {
    const kind = kindOf(field, `field ${fieldName} of ${name}`);
    offset = alignUp(offset, kind.align);
    if (kind.align > align) align = kind.align;
    laid.push(
      Object.freeze({
        name: fieldName,
        kind,
        offset,
        bytes: kind.bytes,
        syncs: kind.syncs,
        initial: kind.initial,
        hidden: isHidden,
        ...(kind.former && { was: kind.former }),
      }),
    );
    offset = fits(offset + kind.bytes, name);
  };
  for (const fieldName of Object.keys(hidden ?? {})) {
    if (!fieldName.startsWith('$'))
      throw new SchemaError('SCHEMA_KIND', `hidden field ${fieldName} of ${name}: its name must start with $`);
    if (Object.hasOwn(fields, fieldName)) throw new SchemaError('SCHEMA_KIND', `${name} has field ${fieldName} twice`);
  }
  const last = first === undefined ? hidden : undefined;
  for (const fieldName of Object.keys(first ?? {})) place(fieldName, first![fieldName], true);
  for (const fieldName of Object.keys(fields)) place(fieldName, fields[fieldName], fieldName.startsWith('$'));
  for (const fieldName of Object.keys(last ?? {})) place(fieldName, last![fieldName], true);
  return Object.freeze({
    name,
    bytes: alignUp(offset, align),
    align,
    fields: Object.freeze(laid),
    ...(was && { was }),
  });
}

/** Offsets of a list; see the top of this file. */
export function listLayout(kind: Pick<ListShape, 'element' | 'capacity'>): ListLayout {
  const align = wordAlign(kind.element.align);
  const slots = alignUp(20, align);
  const payload = alignUp(12, align);
  const stride = alignUp(payload + kind.element.bytes, align);
  const bytes = fits(slots + stride * kind.capacity, `list with capacity ${kind.capacity}`);
  return {
    bytes,
    align,
    capacity: kind.capacity,
    head: 0,
    tail: 4,
    free: 8,
    count: 12,
    high: 16,
    slots,
    stride,
    prev: 0,
    next: 4,
    generation: 8,
    payload,
  };
}

/** Offsets of a map; see the top of this file. */
export function mapLayout(kind: Pick<MapShape, 'key' | 'value' | 'capacity'>): MapLayout {
  return tableLayout('map', kind.capacity, kind.key, kind.value);
}

/** Offsets of a set; see the top of this file. */
export function setLayout(kind: Pick<SetShape, 'key' | 'capacity'>): SetLayout {
  const { value: _, ...layout } = tableLayout('set', kind.capacity, kind.key, undefined);
  return layout;
}

function tableLayout(what: string, capacity: number, keyKind: AnyKind, valueKind: AnyKind | undefined): MapLayout {
  const align = wordAlign(Math.max(keyKind.align, valueKind?.align ?? 1) as Align);
  let bucketCount = 1;
  while (bucketCount < capacity) bucketCount *= 2;
  const entries = alignUp(24 + 4 * bucketCount, align);
  const key = alignUp(16, keyKind.align);
  const value = alignUp(key + keyKind.bytes, valueKind?.align ?? 1);
  const stride = alignUp(value + (valueKind?.bytes ?? 0), align);
  const bytes = fits(entries + stride * capacity, `${what} with capacity ${capacity}`);
  return {
    bytes,
    align,
    capacity,
    count: 0,
    free: 4,
    first: 8,
    last: 12,
    high: 16,
    buckets: 24,
    bucketCount,
    entries,
    stride,
    chain: 0,
    prev: 4,
    next: 8,
    generation: 12,
    key,
    value,
  };
}

/** Offsets of a queue; see the top of this file. */
export function queueLayout(kind: Pick<QueueShape, 'element' | 'capacity'>): QueueLayout {
  const align = wordAlign(kind.element.align);
  const stride = alignUp(kind.element.bytes, align);
  const bytes = fits(8 + stride * kind.capacity, `queue with capacity ${kind.capacity}`);
  return { bytes, align, capacity: kind.capacity, first: 0, count: 4, slots: 8, stride };
}

function wordAlign(align: Align): Align {
  return align < 4 ? 4 : align;
}

function fits(bytes: number, name: string): number {
  if (bytes > STRUCT_BYTES_MAX)
    throw new SchemaError(
      'SCHEMA_KIND',
      `${name} takes ${bytes} bytes, more than ${STRUCT_BYTES_MAX}: lower a capacity`,
    );
  return bytes;
}
