/** A kind says what one field holds: its type, its bytes, its range. Kinds are immutable values; `.sync` and `.init(v)`
 * give changed copies. A struct class stands for itself wherever a kind is expected.
 *
 * Two views of one object: `Kind<Out, In, Syncs, Tag>` is what users' types are inferred from; `AnyKind` is the union
 * that code walks (`switch (kind.tag)`). */
import { check, copyValue } from './check.ts';
import { SchemaError } from './errors.ts';
import type { StructLayout } from './layout.ts';
import type { MachineChart, MachineStates } from './machine.ts';
import { formerNames } from './names.ts';
import type { StructClass } from './struct.ts';

/** Bytes: a value begins at a multiple of them. */
export type Align = 1 | 2 | 4 | 8;

export type WholeTag = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'int';
export type FloatTag = 'f32' | 'f64';
export type BigTag = 'u64' | 'i64';
export type KeyTag = WholeTag | BigTag | 'oneOf' | 'text' | 'ref';
/** What tells kinds apart in code. */
export type KindTag =
  | WholeTag
  | FloatTag
  | BigTag
  | 'bool'
  | 'oneOf'
  | 'text'
  | 'bytes'
  | 'struct'
  | 'array'
  | 'vector'
  | 'list'
  | 'map'
  | 'set'
  | 'sorted'
  | 'queue'
  | 'bits'
  | 'optional'
  | 'machine'
  | 'ref';

// Carries types only; no object has it.
declare const TYPES: unique symbol;

/** What every kind has. `Out` is what reading a field gives, `In` what writing it takes. */
export interface KindBase<Out, In, Syncs extends boolean, Tag extends KindTag> {
  readonly tag: Tag;
  /** Size of one value in a segment or a message. */
  readonly bytes: number;
  readonly align: Align;
  /** True when the field is sent to clients that see the record. */
  readonly syncs: Syncs;
  /** What a new record starts with, or undefined for the kind's zero (0, 0n, false, the first name, '', empty, no ref). */
  readonly initial: In | undefined;
  readonly [TYPES]: { readonly out: Out; readonly in: In };
  /** The same kind of a field that was renamed: `hp: i32.was('health')`. What segments hold under an old name is found
   * again. May stay for good; no part of the layout. */
  was(...names: [string, ...string[]]): this;
}

/** A kind whose values can be sent to clients and can have an initial value. */
export interface Kind<Out, In = Out, Syncs extends boolean = boolean, Tag extends KindTag = KindTag>
  extends KindBase<Out, In, Syncs, Tag> {
  /** The same kind, sent to clients that see the record. */
  readonly sync: Kind<Out, In, true, Tag>;
  /** The same kind with an initial value. @throws SchemaError `SCHEMA_RANGE` when the value does not fit. */
  init(value: In): Kind<Out, In, Syncs, Tag>;
}

/** Any kind as a type bound. */
export type AnyKindBase = KindBase<any, any, boolean, KindTag>;
/** What a field may be declared as: a kind, or a struct class for a nested struct. */
export type FieldKind = AnyKindBase | StructClass;
/** Fields by name, in declared order. */
export interface Fields {
  readonly [name: string]: FieldKind;
}

interface Shape<Tag extends KindTag> {
  readonly tag: Tag;
  readonly bytes: number;
  readonly align: Align;
  readonly syncs: boolean;
  /** A checked private copy in plain form: struct as object, array as array. */
  readonly initial: any;
  /** What the field was called before: `.was('old')`. */
  readonly former?: readonly string[];
}
/** Whole numbers (`whole`) and floats. min and max are the finite range. */
export interface NumberShape extends Shape<WholeTag | FloatTag> {
  readonly min: number;
  readonly max: number;
  readonly whole: boolean;
}
export interface BigShape extends Shape<BigTag> {
  readonly min: bigint;
  readonly max: bigint;
}
export interface BoolShape extends Shape<'bool'> {}
/** Stored as the name's index: u8 up to 256 names, else u16 (`bytes` says which). */
export interface OneOfShape extends Shape<'oneOf'> {
  readonly names: readonly string[];
}
/** `length` counts UTF-16 units, as `.length` does; 0 = no limit, in the heap. */
export interface TextShape extends Shape<'text'> {
  readonly length: number;
}
/** `length` 0 = no limit, in the heap. */
export interface BytesShape extends Shape<'bytes'> {
  readonly length: number;
}
/** A struct inside a record or a container. */
export interface StructShape extends Shape<'struct'> {
  readonly layout: StructLayout;
  /** Undefined when the layout was read from a catalog. */
  readonly struct: StructClass | undefined;
  /** True for `nested(Vec).sync`: all fields are sent. Otherwise those are sent that `Vec` itself marks. */
  readonly syncsWhole: boolean;
}
export interface ArrayShape extends Shape<'array'> {
  readonly element: AnyKind;
  readonly length: number;
  /** Bytes from one element to the next. */
  readonly stride: number;
}
/** An array that grows, in the heap: `array(E)` without a length. */
export interface VectorShape extends Shape<'vector'> {
  readonly element: AnyKind;
}
/** `capacity` 0 = it grows, in the heap. So in the other containers. */
export interface ListShape extends Shape<'list'> {
  readonly element: AnyKind;
  readonly capacity: number;
}
export interface MapShape extends Shape<'map'> {
  readonly key: AnyKind;
  readonly value: AnyKind;
  readonly capacity: number;
}
export interface SetShape extends Shape<'set'> {
  readonly key: AnyKind;
  readonly capacity: number;
}
/** A map in the order of its keys; only grows. */
export interface SortedShape extends Shape<'sorted'> {
  readonly key: AnyKind;
  readonly value: AnyKind;
  readonly capacity: 0;
}
export interface QueueShape extends Shape<'queue'> {
  readonly element: AnyKind;
  readonly capacity: number;
}
/** `length` bits; 0 = it grows, in the heap. */
export interface BitsShape extends Shape<'bits'> {
  readonly length: number;
}
/** A value or none. The value lies at byte 0; all bytes of none are zero. */
export interface OptionalShape extends Shape<'optional'> {
  readonly value: AnyKind;
  /** Byte offset of the flag, 1 = there is a value: one byte beside a value of 1 or 2 bytes, else a u32. */
  readonly flag: number;
}
export interface RefShape extends Shape<'ref'> {
  readonly pool: string;
}
/** Names in declared order; a machine stores the index of its state's. */
export interface MachineShape extends Shape<'machine'> {
  readonly names: readonly string[];
  readonly chart: MachineChart;
  /** The states as declared, with their actions; undefined when the layout was read from a catalog. */
  readonly code: MachineStates | undefined;
}
/** The kinds as code sees them, told apart by `tag`. */
export type AnyKind =
  | NumberShape
  | BigShape
  | BoolShape
  | OneOfShape
  | TextShape
  | BytesShape
  | StructShape
  | ArrayShape
  | VectorShape
  | ListShape
  | MapShape
  | SetShape
  | SortedShape
  | QueueShape
  | BitsShape
  | OptionalShape
  | MachineShape
  | RefShape;

/** The tags of kinds that hold a varying number of elements. */
export type ContainerTag = 'vector' | 'list' | 'map' | 'set' | 'sorted' | 'queue' | 'bits';
const CONTAINERS: readonly string[] = ['vector', 'list', 'map', 'set', 'sorted', 'queue', 'bits'];

/** Does it hold a varying number of elements? Not so arrays of fixed length, texts and bytes. */
export function isContainer(kind: AnyKind): kind is Extract<AnyKind, { tag: ContainerTag }> {
  return CONTAINERS.includes(kind.tag);
}

/** Does this kind keep its contents in the heap, with only a link in the record? */
export function isGrowing(kind: AnyKind): boolean {
  switch (kind.tag) {
    case 'text':
    case 'bytes':
    case 'bits':
      return kind.length === 0;
    case 'vector':
      return true;
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
      return kind.capacity === 0;
    default:
      return false;
  }
}

/** The kinds right inside this one: of fields, keys, values, elements. */
export function innerKinds(kind: AnyKind): readonly AnyKind[] {
  switch (kind.tag) {
    case 'struct':
      return kind.layout.fields.map(field => field.kind);
    case 'array':
    case 'vector':
    case 'list':
    case 'queue':
      return [kind.element];
    case 'map':
    case 'sorted':
      return [kind.key, kind.value];
    case 'set':
      return [kind.key];
    case 'optional':
      return [kind.value];
    default:
      return [];
  }
}

/** Is this a machine, or is there one in it? */
export function hasMachine(kind: AnyKind): boolean {
  return kind.tag === 'machine' || innerKinds(kind).some(hasMachine);
}

/** Does a value of this kind own memory of the heap, itself or in anything inside it? Whoever removes such a value has to
 * give that back. */
export function ownsHeap(kind: AnyKind): boolean {
  return isGrowing(kind) || innerKinds(kind).some(ownsHeap);
}

/** Why values of this kind are not sent to clients nor in messages, or undefined when they are. The sentence goes on right
 * behind the name of the field: ` is a list, …` or `, in its field items, is a list, …`. */
export function unsendable(kind: AnyKind): string | undefined {
  if (kind.tag === 'bits')
    return ' is a bits, which cannot be sent: use array(bool, n) or bytes(n), whose size is fixed';
  if (isContainer(kind)) {
    const what = kind.tag === 'vector' ? 'an array without a length' : `a ${kind.tag}`;
    return ` is ${what}, which cannot be sent: use array(kind, n), whose size is fixed`;
  }
  if (isGrowing(kind)) return ` is ${kind.tag}(), which cannot be sent: use ${kind.tag}(n), whose size is fixed`;
  if (kind.tag !== 'struct')
    return innerKinds(kind)
      .map(unsendable)
      .find(reason => reason !== undefined);
  for (const field of kind.layout.fields) {
    const reason = field.hidden ? undefined : unsendable(field.kind);
    if (reason !== undefined) return `, in its field ${field.name},${reason.replace(/^,/, '')}`;
  }
  return undefined;
}

type Given<K> = K extends AnyKind
  ? Omit<K, 'syncs' | 'initial' | 'former'> & { syncs?: boolean; initial?: unknown }
  : never;

class KindObject {
  declare readonly tag: KindTag;
  declare readonly syncs: boolean;
  declare readonly initial: unknown;

  constructor(properties: object) {
    Object.assign(this, { syncs: false, initial: undefined }, properties);
    Object.freeze(this);
  }

  get sync(): KindObject {
    const reason = unsendable(this as unknown as AnyKind);
    if (reason !== undefined) throw new SchemaError('SCHEMA_KIND', `${this.toString()} cannot be .sync: it${reason}`);
    return new KindObject({ ...this, syncs: true, ...(this.tag === 'struct' ? { syncsWhole: true } : undefined) });
  }

  init(value: unknown): KindObject {
    const kind = this as unknown as AnyKind;
    if (kind.tag === 'machine')
      throw new SchemaError(
        'SCHEMA_KIND',
        `${this.toString()} starts in '${kind.chart.initial}': say initial in the declaration`,
      );
    if (this.tag === 'ref' || isContainer(kind) || isGrowing(kind))
      throw new SchemaError(
        'SCHEMA_KIND',
        `${this.toString()} has no initial value: it starts empty, fill it after create()`,
      );
    const reason = check(kind, value);
    if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `init: ${reason}`);
    const initial = copyValue(kind, value);
    if (fillsHeap(kind, initial))
      throw new SchemaError(
        'SCHEMA_KIND',
        `init of ${this.toString()}: what grows starts empty, fill it after create() or give it to create`,
      );
    return new KindObject({ ...this, initial });
  }

  was(...names: string[]): KindObject {
    return new KindObject({ ...this, former: formerNames(names, 'was(…)', 'SCHEMA_KIND') });
  }

  toString(): string {
    return describeKind(this as unknown as AnyKind);
  }
}

/** Does this plain value put anything into a growing part of the kind? */
function fillsHeap(kind: AnyKind, value: any): boolean {
  if (value === undefined || !ownsHeap(kind)) return false;
  if (isGrowing(kind)) return value.length > 0;
  if (kind.tag === 'struct') return kind.layout.fields.some(field => fillsHeap(field.kind, value[field.name]));
  if (kind.tag === 'optional') return fillsHeap(kind.value, value);
  return value.length > 0;
}

/** Make a kind from its shape. @internal */
export function makeKind(shape: Given<AnyKind>): any {
  return new KindObject(shape);
}

/** Is this a kind? A struct class is none: `kindOf` makes one of it. */
export function isKind(value: unknown): value is AnyKind {
  return value instanceof KindObject;
}

/** How a kind is spelled in a schema: `u8`, `text(24)`, `map(int, Item, 16)`. */
export function describeKind(kind: AnyKind): string {
  switch (kind.tag) {
    case 'oneOf':
      return `oneOf(${kind.names.map(name => `'${name}'`).join(', ')})`;
    case 'text':
    case 'bytes':
    case 'bits':
      return `${kind.tag}(${kind.length === 0 ? '' : kind.length})`;
    case 'struct':
      return kind.layout.name;
    case 'array':
      return `array(${describeKind(kind.element)}, ${kind.length})`;
    case 'vector':
      return `array(${describeKind(kind.element)})`;
    case 'list':
    case 'queue':
      return `${kind.tag}(${describeKind(kind.element)}${upTo(kind.capacity)})`;
    case 'map':
    case 'sorted':
      return `${kind.tag}(${describeKind(kind.key)}, ${describeKind(kind.value)}${upTo(kind.capacity)})`;
    case 'set':
      return `set(${describeKind(kind.key)}${upTo(kind.capacity)})`;
    case 'optional':
      return `optional(${describeKind(kind.value)})`;
    case 'machine':
      return `machine(${kind.names.join(', ')})`;
    case 'ref':
      return `ref('${kind.pool}')`;
    default:
      return kind.tag;
  }
}

function upTo(capacity: number): string {
  return capacity === 0 ? '' : `, ${capacity}`;
}
