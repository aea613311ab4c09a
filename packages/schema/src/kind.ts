/** A kind says what one field holds: its type, its bytes, its range. Kinds are immutable values; `.sync` and `.init(v)`
 * give changed copies. A struct class stands for itself wherever a kind is expected.
 *
 * Two views of one object: `Kind<Out, In, Syncs, Tag>` is what users' types are inferred from; `AnyKind` is the union
 * that code walks (`switch (kind.tag)`). */
import { check, copyValue } from './check.ts';
import { SchemaError } from './errors.ts';
import type { StructLayout } from './layout.ts';
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
  | 'list'
  | 'map'
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
/** `length` counts UTF-16 units, as `.length` does. */
export interface TextShape extends Shape<'text'> {
  readonly length: number;
}
export interface BytesShape extends Shape<'bytes'> {
  readonly length: number;
}
/** A struct inside a record, an array, a list or a map. */
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
export interface ListShape extends Shape<'list'> {
  readonly element: AnyKind;
  readonly capacity: number;
}
export interface MapShape extends Shape<'map'> {
  readonly key: AnyKind;
  readonly value: AnyKind;
  readonly capacity: number;
}
export interface RefShape extends Shape<'ref'> {
  readonly pool: string;
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
  | ListShape
  | MapShape
  | RefShape;

type Given<K> = K extends AnyKind ? Omit<K, 'syncs' | 'initial'> & { syncs?: boolean; initial?: unknown } : never;

class KindObject {
  declare readonly tag: KindTag;
  declare readonly syncs: boolean;
  declare readonly initial: unknown;

  constructor(properties: object) {
    Object.assign(this, { syncs: false, initial: undefined }, properties);
    Object.freeze(this);
  }

  get sync(): KindObject {
    if (this.tag === 'list' || this.tag === 'map')
      throw new SchemaError(
        'SCHEMA_KIND',
        `a ${this.tag} cannot be .sync: only fields of fixed size are sent to clients, use array(kind, n)`,
      );
    return new KindObject({ ...this, syncs: true, ...(this.tag === 'struct' ? { syncsWhole: true } : undefined) });
  }

  init(value: unknown): KindObject {
    if (this.tag === 'list' || this.tag === 'map' || this.tag === 'ref')
      throw new SchemaError(
        'SCHEMA_KIND',
        `a ${this.tag} has no initial value: it starts empty, fill it after create()`,
      );
    const kind = this as unknown as AnyKind;
    const reason = check(kind, value);
    if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `init: ${reason}`);
    return new KindObject({ ...this, initial: copyValue(kind, value) });
  }

  toString(): string {
    return describeKind(this as unknown as AnyKind);
  }
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
      return `${kind.tag}(${kind.length})`;
    case 'struct':
      return kind.layout.name;
    case 'array':
      return `array(${describeKind(kind.element)}, ${kind.length})`;
    case 'list':
      return `list(${describeKind(kind.element)}, ${kind.capacity})`;
    case 'map':
      return `map(${describeKind(kind.key)}, ${describeKind(kind.value)}, ${kind.capacity})`;
    case 'ref':
      return `ref('${kind.pool}')`;
    default:
      return kind.tag;
  }
}
