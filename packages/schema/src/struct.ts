import { SchemaError } from './errors.ts';
import { makeKind, type FieldKind, type KindBase } from './kind.ts';
import { kindOf, layoutOf } from './layout.ts';
import { checkName, formerNames, type Former } from './names.ts';
import { inherits, isStructClass, STRUCT } from './struct-mark.ts';
import type { Init, Problem, RecordOf } from './types.ts';

/** A class made by `struct()`, or one that extends it. `T` is its record type. */
export interface StructClass<T = any> {
  new (): T;
  readonly name: string;
  readonly prototype: T;
  readonly fields: Readonly<Record<string, any>>;
  /** What the class was called before: `static was = 'Hero'`. Segments that know it by an old name find it again. May stay
   * for good; no part of the layout. */
  readonly was?: Former;
}

/** What `struct()` returns: the base of a record class. */
export interface StructBase<F> {
  /** @throws SchemaError `SCHEMA_NOT_CONSTRUCTIBLE`: records are made by their pool. */
  new (): RecordOf<F>;
  /** The declared fields, in declared order. */
  readonly fields: Readonly<F>;
}

/** A nested struct as a kind of its own, for `nested(Vec).sync` and `nested(Vec).init({ x: 1 })`. */
export interface StructKind<C extends StructClass, Syncs extends boolean = boolean>
  extends KindBase<InstanceType<C>, Init<InstanceType<C>>, Syncs, 'struct'> {
  /** All fields are sent. Without it those are sent that the class itself marks `.sync`. */
  readonly sync: StructKind<C, true>;
  init(value: Init<InstanceType<C>>): StructKind<C, Syncs>;
}

type ReservedName =
  | `$${string}`
  | 'constructor'
  | 'toString'
  | 'toJSON'
  | 'valueOf'
  | 'hasOwnProperty'
  | 'then'
  | 'onResume'
  | '__proto__';

/** Each field that is no kind becomes the sentence that the compiler then prints. */
export type CheckFields<F> = {
  [K in keyof F]: K extends ReservedName
    ? Problem<'this name is reserved: choose another name for the field'>
    : F[K] extends FieldKind
      ? unknown
      : F[K] extends (...args: never) => unknown
        ? Problem<'a record holds data only: a function belongs into the class body, as a method or a getter'>
        : Problem<'a field is a kind such as int, text(24), array(u8, 4), or a struct class'>;
};

// While a class is probed, what its base constructor returns in place of a new object.
let probed: object | undefined;

/** Declare the fields of a record class: `class Player extends struct({ name: text(24), hp: i32 }) { get dead() {…} }`.
 *
 * The class itself holds no data. The state makes instances whose properties read and write a segment; a client makes
 * mirrors over plain data. Both have the class's methods and getters.
 * @throws SchemaError `SCHEMA_KIND` for a field that is no kind, or a name that cannot be used */
export function struct<const F extends Readonly<Record<string, unknown>>>(fields: F & CheckFields<F>): StructBase<F> {
  for (const name of Object.keys(fields)) {
    checkName(name, 'field', 'SCHEMA_KIND');
    kindOf(fields[name], `field ${name}`);
  }
  class Struct {
    static readonly fields = Object.freeze({ ...(fields as F) });
    static readonly [STRUCT] = true;

    // A record of a class that was mixed from this one is an instance of it too.
    static [Symbol.hasInstance](value: unknown): boolean {
      return typeof value === 'object' && value !== null && inherits(value, this.prototype);
    }

    constructor() {
      if (probed !== undefined) return probed as Struct;
      throw new SchemaError(
        'SCHEMA_NOT_CONSTRUCTIBLE',
        `new ${new.target.name}(): records are made by their pool, as in state.players.create({ … })`,
      );
    }
  }
  return Struct as unknown as StructBase<F>;
}

/** A struct class as a kind, to mark the field with `.sync` or to give it an initial value. */
export function nested<C extends StructClass>(struct: C): StructKind<C, false> {
  if (!isStructClass(struct)) throw new SchemaError('SCHEMA_KIND', 'nested takes a class that extends struct({ … })');
  const layout = layoutOf(struct);
  return makeKind({
    tag: 'struct',
    bytes: layout.bytes,
    align: layout.align,
    layout,
    struct,
    syncsWhole: false,
    syncs: layout.fields.some(field => field.syncs),
  });
}

const validated = new WeakSet<StructClass>();

/** Refuse a record class that holds what cannot live in a segment. Called for every class of a state or a protocol.
 *
 * Found by running the constructor twice over one probe object: class fields (they appear on the probe), `#private`
 * fields, methods and accessors (installing them a second time throws), a constructor that needs arguments. Found on the
 * prototypes: a method or getter with the name of a field. Not found: `#private` members compiled down to WeakMaps
 * (a target below ES2022), and static members, which are plain process memory. `declare hp: number` leaves no trace and
 * is fine.
 * @throws SchemaError `SCHEMA_STRUCT`, with the class and the member named */
export function validateStructClass(struct: StructClass): void {
  if (validated.has(struct)) return;
  if (!isStructClass(struct))
    throw new SchemaError(
      'SCHEMA_STRUCT',
      `${String((struct as { name?: string })?.name ?? struct)} is no record class: it must extend struct({ … })`,
    );
  const { name, fields } = struct;
  if (name === '' || Object.hasOwn(struct, STRUCT))
    throw new SchemaError('SCHEMA_STRUCT', 'a record class needs a name: class Player extends struct({ … }) {}');
  const owner = prototypeWithFields(struct);
  for (
    let prototype = struct.prototype as object;
    prototype !== owner;
    prototype = Object.getPrototypeOf(prototype) as object
  ) {
    for (const member of Object.getOwnPropertyNames(prototype)) {
      if (Object.hasOwn(fields, member))
        throw new SchemaError(
          'SCHEMA_STRUCT',
          `${name}: ${member} is a field and also a method or getter of the class; rename one`,
        );
    }
  }
  if (Object.hasOwn(struct, 'was') && struct.was !== undefined) formerNames(struct.was, name, 'SCHEMA_STRUCT');
  probe(struct);
  validated.add(struct);
}

function prototypeWithFields(struct: StructClass): object {
  let at: object = struct;
  while (!Object.hasOwn(at, STRUCT)) at = Object.getPrototypeOf(at) as object;
  return (at as StructClass).prototype as object;
}

function probe(struct: StructClass): void {
  const { name, fields } = struct;
  const before = probed;
  probed = Object.create(struct.prototype as object) as object;
  const target = probed;
  try {
    Reflect.construct(struct, []);
    const own = Reflect.ownKeys(target);
    if (own.length > 0) {
      const member = String(own[0]);
      throw new SchemaError(
        'SCHEMA_STRUCT',
        Object.hasOwn(fields, member)
          ? `${name}: the class field ${member} would hide the record's ${member} and lose what is written; give an initial value by .init(…) instead`
          : `${name}: the class field ${member} would live in the process and be lost with it; declare it in struct({ … })`,
      );
    }
    Reflect.construct(struct, []);
  } catch (error) {
    if (error instanceof SchemaError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const member = /#[\p{ID_Continue}$]+/u.exec(message)?.[0];
    if (member !== undefined || /private|twice/i.test(message)) {
      throw new SchemaError(
        'SCHEMA_STRUCT',
        `${name}: ${member ?? 'a #private member'} would live in the process and be lost with it; records have no #private members, declare it in struct({ … })`,
        { cause: error },
      );
    }
    throw new SchemaError(
      'SCHEMA_STRUCT',
      `${name}: its constructor or a class field failed (${message}); record classes have neither, their constructors never run`,
      { cause: error },
    );
  } finally {
    probed = before;
  }
}
