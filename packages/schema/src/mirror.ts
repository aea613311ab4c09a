/** Instances of a record class over plain data, without a state: what a client shows of a record. The object has the
 * class's prototype, so methods and getters work, and own data properties for the fields that it was given. */
import { check, copyValue } from './check.ts';
import { SchemaError } from './errors.ts';
import type { AnyKind } from './kind.ts';
import { kindOf, layoutOf } from './layout.ts';
import { RECORD_REF, type RecordRef, type Ref } from './ref-value.ts';
import type { StructClass } from './struct.ts';
import type { Init, Mirror } from './types.ts';

/** How a mirror answers for refs: its own, and those that it holds. */
export interface MirrorOptions {
  /** What `recordRefOf(mirror)` answers, so that the mirror can be sent where a ref is taken. */
  readonly ref?: RecordRef;
  /** Finds the mirror that a ref leads to, asked at each reading. Without it a ref field reads `{ slot, generation }`. */
  readonly resolve?: (pool: string, ref: Ref) => object | undefined;
}

const RESOLVE: unique symbol = Symbol('resolve') as never;
const REFS: unique symbol = Symbol('refs') as never;

interface MirrorObject {
  [name: string]: unknown;
  [RESOLVE]?: MirrorOptions['resolve'];
  /** Ref fields as they were received; their properties are getters that resolve. */
  [REFS]?: Record<string, Ref | undefined>;
}

/** Make a mirror. Fields that `data` lacks are not there. */
export function mirrorOf<T>(
  struct: StructClass<T>,
  data: Readonly<Record<string, unknown>>,
  options: MirrorOptions = {},
): Mirror<T> {
  const mirror = Object.create(struct.prototype as object) as MirrorObject;
  if (options.ref !== undefined) Object.defineProperty(mirror, RECORD_REF, { value: options.ref });
  if (options.resolve !== undefined) Object.defineProperty(mirror, RESOLVE, { value: options.resolve });
  for (const { name, kind, hidden } of layoutOf(struct).fields) {
    if (!hidden && Object.hasOwn(data, name)) setField(mirror, name, kind, data[name]);
  }
  return mirror as Mirror<T>;
}

/** A record of a class outside of any state, to be stored where the field's type is the class:
 * `player.pet = value(Pet, { age: 1 })`. Fields that `init` leaves out have their initial or zero value. Methods and
 * getters work on it; containers in it are plain arrays until it is stored.
 * @throws SchemaError `SCHEMA_RANGE` when a value does not fit */
export function value<C extends StructClass>(struct: C, init: Init<InstanceType<C>> = {} as never): InstanceType<C> {
  const kind = kindOf(struct);
  const reason = check(kind, init);
  if (reason !== undefined) throw new SchemaError('SCHEMA_RANGE', `value of ${struct.name}: ${reason}`);
  return mirrorOf(struct, copyValue(kind, init) as Record<string, unknown>) as InstanceType<C>;
}

/** Write changed fields into a mirror; nested structs keep their identity. */
export function updateMirror(struct: StructClass, mirror: object, changes: Readonly<Record<string, unknown>>): void {
  for (const { name, kind, hidden } of layoutOf(struct).fields) {
    if (!hidden && Object.hasOwn(changes, name)) setField(mirror as MirrorObject, name, kind, changes[name]);
  }
}

function setField(mirror: MirrorObject, name: string, kind: AnyKind, value: unknown): void {
  if (kind.tag === 'ref' && mirror[RESOLVE] !== undefined) {
    setRef(mirror, name, kind.pool, value as Ref | undefined);
    return;
  }
  if (kind.tag === 'struct' && kind.struct !== undefined && Object.hasOwn(mirror, name)) {
    updateMirror(kind.struct, mirror[name] as object, value as Record<string, unknown>);
    return;
  }
  // Defined, not assigned: a prototype's accessor of that name must not swallow it.
  Object.defineProperty(mirror, name, {
    value: wrap(mirror, kind, value),
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

function wrap(mirror: MirrorObject, kind: AnyKind, value: unknown): unknown {
  if (kind.tag === 'struct' && kind.struct !== undefined) {
    const resolve = mirror[RESOLVE];
    return mirrorOf(kind.struct, value as Record<string, unknown>, resolve === undefined ? {} : { resolve });
  }
  if (kind.tag === 'optional') return value === undefined ? undefined : wrap(mirror, kind.value, value);
  if (kind.tag === 'array') return (value as unknown[]).map(element => wrap(mirror, kind.element, element));
  if (kind.tag === 'ref' && value !== undefined && mirror[RESOLVE] !== undefined)
    return mirror[RESOLVE](kind.pool, value as Ref);
  return value;
}

function setRef(mirror: MirrorObject, name: string, pool: string, ref: Ref | undefined): void {
  let refs = mirror[REFS];
  if (refs === undefined) {
    refs = {};
    Object.defineProperty(mirror, REFS, { value: refs });
    // Mirrors may refer to each other in a circle; as JSON a ref is slot and generation.
    Object.defineProperty(mirror, 'toJSON', { value: () => ({ ...mirror, ...mirror[REFS] }) });
  }
  const known = Object.hasOwn(refs, name);
  refs[name] = ref;
  if (known) return;
  const get = (): object | undefined => (refs[name] === undefined ? undefined : mirror[RESOLVE]!(pool, refs[name]));
  Object.defineProperty(mirror, name, { get, enumerable: true, configurable: true });
}
