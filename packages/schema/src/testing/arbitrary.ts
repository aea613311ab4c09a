/** Random kinds, values that fit them and values that do not. */
import fc from 'fast-check';
import {
  array,
  BITS_MAX,
  bits,
  bool,
  bytes,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  int,
  kindOf,
  list,
  machine,
  map,
  oneOf,
  optional,
  queue,
  ref,
  set,
  sorted,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
} from '../index.ts';
import type { AnyKind, StructClass } from '../index.ts';

export const NUMBERS: readonly AnyKind[] = [u8, i8, u16, i16, u32, i32, int, f32, f64].map(kind => kindOf(kind));
export const POOL = 'things';

const MANY_NAMES = Array.from({ length: 300 }, (_, index) => `name${index}`) as [string, ...string[]];

export function fieldName(): fc.Arbitrary<string> {
  return fc.stringMatching(/^f[a-zA-Z0-9_]{0,6}$/);
}

function leafKind(): fc.Arbitrary<AnyKind> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...NUMBERS) },
    fc.constantFrom(
      ...[u64, i64, bool, ref(POOL), oneOf('a', 'b', 'c'), oneOf(...MANY_NAMES)].map(kind => kindOf(kind)),
    ),
    fc.integer({ min: 1, max: 80 }).map(length => kindOf(text(length))),
    fc.integer({ min: 1, max: 80 }).map(length => kindOf(bytes(length))),
  );
}

// Texts of growing kinds are longer than any of text(n) above.
const LONG = 200;

let structs = 0;

/** A kind of any shape; with what cannot be sent (containers, all that grows) only when asked. */
export function anyKind(containers: boolean, depth = 2): fc.Arbitrary<AnyKind> {
  if (depth === 0) return leafKind();
  const inner = anyKind(containers, depth - 1);
  const shapes: fc.Arbitrary<AnyKind>[] = [
    fc.tuple(inner, fc.integer({ min: 1, max: 5 })).map(([element, length]) => kindOf(array(element as never, length))),
    structFields(inner).map(fields => kindOf(structNamed(fields))),
    inner.filter(kind => kind.tag !== 'ref' && kind.tag !== 'optional').map(kind => kindOf(optional(kind as never))),
  ];
  if (containers) {
    const capacity = fc.option(fc.integer({ min: 1, max: 9 }), { nil: 0 });
    const limit = (n: number): [number?] => (n === 0 ? [] : [n]);
    shapes.push(
      fc.constantFrom<unknown>(text(), bytes(), bits()).map(kind => kindOf(kind)),
      fc.integer({ min: 1, max: 100 }).map(n => kindOf(bits(n))),
      inner.map(element => kindOf(array(element as never))),
      fc.tuple(inner, capacity).map(([element, n]) => kindOf(list(element as never, ...limit(n)))),
      fc.tuple(inner, capacity).map(([element, n]) => kindOf(queue(element as never, ...limit(n)))),
      fc.tuple(keyKind(), capacity).map(([key, n]) => kindOf(set(key as never, ...limit(n)))),
      fc.tuple(keyKind(), inner).map(([key, value]) => kindOf(sorted(key as never, value as never))),
      fc
        .tuple(keyKind(), inner, capacity)
        .map(([key, value, n]) => kindOf(map(key as never, value as never, ...limit(n)))),
    );
  }
  return fc.oneof({ weight: 4, arbitrary: leafKind() }, ...shapes);
}

function keyKind(): fc.Arbitrary<AnyKind> {
  return fc.oneof(
    fc.constantFrom(
      ...[text(), u8, i8, u16, i16, u32, i32, int, u64, i64, oneOf('x', 'y'), ref(POOL)].map(kind => kindOf(kind)),
    ),
    fc.integer({ min: 1, max: 20 }).map(length => kindOf(text(length))),
  );
}

/** A machine of a few states; only for fields of records. */
export function machineKind(): fc.Arbitrary<AnyKind> {
  return fc.uniqueArray(fc.stringMatching(/^s[a-z0-9]{0,3}$/), { minLength: 1, maxLength: 4 }).chain(names => {
    const target = fc.constantFrom(...names);
    const state = fc.record(
      {
        to: fc.array(target, { maxLength: 2 }),
        on: fc.dictionary(fc.constantFrom('go', 'hit'), target),
        after: fc.tuple(fc.integer({ min: 1, max: 2 ** 47 }), target),
      },
      { requiredKeys: [] },
    );
    return fc
      .tuple(target, fc.tuple(...names.map(() => state)))
      .map(([initial, states]) =>
        kindOf(machine({ initial, states: Object.fromEntries(names.map((name, k) => [name, states[k]])) } as never)),
      );
  });
}

export function structFields(inner: fc.Arbitrary<AnyKind>): fc.Arbitrary<Record<string, AnyKind>> {
  return fc
    .uniqueArray(fc.tuple(fieldName(), inner), { minLength: 1, maxLength: 6, selector: ([name]) => name })
    .map(entries => Object.fromEntries(entries));
}

/** A record class with a name of its own. */
export function structNamed(fields: Record<string, AnyKind>, name = `Struct${++structs}`): StructClass {
  const Base = struct(fields as never) as unknown as StructClass;
  const Named = class extends Base {};
  Object.defineProperty(Named, 'name', { value: name });
  return Named;
}

const f32Values = fc.oneof(fc.float(), fc.constantFrom(-0, 0, Number.NaN, Infinity, -Infinity));

/** A value that fits, in the plainest form. */
export function valueOf(kind: AnyKind): fc.Arbitrary<unknown> {
  switch (kind.tag) {
    case 'f32':
      return f32Values;
    case 'f64':
      return fc.oneof(fc.double(), fc.constantFrom(-0, Number.NaN, Infinity, -Infinity));
    case 'u64':
    case 'i64':
      return fc.oneof(fc.bigInt({ min: kind.min, max: kind.max }), fc.constantFrom(kind.min, kind.max));
    case 'bool':
      return fc.boolean();
    case 'oneOf':
    case 'machine':
      return fc.constantFrom(...kind.names);
    case 'text': {
      const most = kind.length || LONG;
      return fc.oneof(
        fc.string({ maxLength: most }),
        fc.string({ unit: 'binary', maxLength: most }).map(value => value.slice(0, most)),
        fc.constantFrom('\uFEFFa', '\uD800', 'é', '').map(value => value.slice(0, most)),
      );
    }
    case 'bytes':
      return fc.uint8Array({ maxLength: kind.length || LONG });
    case 'ref':
      return fc.option(fc.record({ slot: u32Value(), generation: fc.integer({ min: 1, max: 0xffff_ffff }) }), {
        nil: undefined,
      });
    case 'struct':
      return fc.record(Object.fromEntries(kind.layout.fields.map(field => [field.name, valueOf(field.kind)])));
    case 'array':
      return fc.array(valueOf(kind.element), { minLength: kind.length, maxLength: kind.length });
    case 'vector':
      return fc.array(valueOf(kind.element), { maxLength: 9 });
    case 'list':
    case 'queue':
      return fc.array(valueOf(kind.element), { maxLength: kind.capacity || 9 });
    case 'map':
    case 'sorted':
      return fc.array(fc.tuple(keyValueOf(kind.key), valueOf(kind.value)), { maxLength: kind.capacity || 9 });
    case 'set':
      return fc.array(keyValueOf(kind.key), { maxLength: kind.capacity || 9 });
    case 'bits':
      return fc.array(fc.integer({ min: 0, max: (kind.length || BITS_MAX) - 1 }), { maxLength: 9 });
    case 'optional':
      return fc.option(valueOf(kind.value), { nil: undefined });
    default:
      return fc.oneof(
        fc.integer({ min: Math.max(kind.min, -(2 ** 53) + 1), max: kind.max }),
        fc.constantFrom(kind.min, kind.max, 0, -0 * kind.min),
      );
  }
}

function keyValueOf(key: AnyKind): fc.Arbitrary<unknown> {
  return valueOf(key).map(value => value ?? { slot: 1, generation: 1 });
}

function u32Value(): fc.Arbitrary<number> {
  return fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_ffff));
}

const FOREIGN = [null, {}, [], Symbol('s'), () => 0, new Date(0)];

/** A value that does not fit. */
export function badValueOf(kind: AnyKind): fc.Arbitrary<unknown> {
  switch (kind.tag) {
    case 'f32':
      return fc.constantFrom(1e300, -3.5e38, '1', true, 1n, ...FOREIGN);
    case 'f64':
      return fc.constantFrom('1', true, 1n, ...FOREIGN);
    case 'u64':
    case 'i64':
      return fc.constantFrom(kind.min - 1n, kind.max + 1n, 1, 0, Number.NaN, '1', ...FOREIGN);
    case 'bool':
      return fc.constantFrom(0, 1, 'true', ...FOREIGN);
    case 'oneOf':
      return fc.constantFrom('no such name', 0, 'constructor', ...FOREIGN);
    case 'text': {
      const foreign = fc.constantFrom<unknown>(0, true, ...FOREIGN);
      if (kind.length === 0) return foreign;
      return fc.oneof(fc.string({ minLength: kind.length + 1, maxLength: kind.length + 9 }), foreign);
    }
    case 'bytes': {
      const foreign = fc.constantFrom<unknown>('ab', [1, 2], new Uint16Array(1), 3, null, {});
      if (kind.length === 0) return foreign;
      return fc.oneof(fc.uint8Array({ minLength: kind.length + 1, maxLength: kind.length + 9 }), foreign);
    }
    case 'ref':
      return fc.constantFrom<unknown>(
        null,
        {},
        3,
        'a',
        { slot: -1, generation: 1 },
        { slot: 1, generation: 2 ** 32 },
        { slot: 0.5, generation: 1 },
        () => 0,
      );
    case 'struct': {
      const [field] = kind.layout.fields;
      return fc.oneof(
        fc.constantFrom<unknown>(null, 3, 'a', [], () => 0),
        badValueOf(field.kind).map(value => ({ [field.name]: value })),
      );
    }
    case 'array':
      return fc.oneof(
        fc.constantFrom<unknown>(null, 3, 'ab', {}),
        fc.array(valueOf(kind.element), { minLength: kind.length + 1, maxLength: kind.length + 2 }),
        badValueOf(kind.element).map(value => [value]),
      );
    case 'vector':
    case 'list':
    case 'map':
    case 'set':
    case 'sorted':
    case 'queue':
      return fc.constantFrom<unknown>(null, 3, 'ab', {}, [null, Symbol('s')]);
    case 'bits':
      return fc.constantFrom<unknown>(null, 3, 'ab', {}, [-1], [0.5], [kind.length || BITS_MAX], ['0'], [undefined]);
    case 'optional':
      return badValueOf(kind.value);
    case 'machine':
      return fc.constantFrom<unknown>('no such state', 0, { state: 'none' }, ...FOREIGN);
    default:
      return fc.oneof(
        fc.constantFrom<unknown>(
          kind.min - 1,
          kind.max + 1,
          Number.NaN,
          Infinity,
          -Infinity,
          0.5,
          '1',
          true,
          1n,
          ...FOREIGN,
        ),
        fc.double({ min: 0.001, max: 0.999 }),
      );
  }
}

/** What a text becomes on the wire: a lone surrogate is U+FFFD. */
export function wellFormed(value: unknown): unknown {
  if (typeof value === 'string')
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(value));
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, wellFormed(member)]));
}
