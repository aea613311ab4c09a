import { expect, test } from 'vitest';
import { array, f32, i32, int, nested, pool, state, struct, validateStructClass } from './index.ts';
import type { StructClass } from './index.ts';

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

test('a record is not made with new', () => {
  class Player extends struct({ hp: i32 }) {}
  expect(() => new Player()).toThrow(coded('SCHEMA_NOT_CONSTRUCTIBLE', /^new Player\(\): .*state\.players\.create/));
});

test('fields are kept in declared order and frozen', () => {
  const Base = struct({ b: i32, a: int });
  expect(Object.keys(Base.fields)).toEqual(['b', 'a']);
  expect(Object.isFrozen(Base.fields)).toBe(true);
});

test.each<[string, () => unknown, RegExp]>([
  ['a function', () => struct({ f: (() => 0) as never }), /field f is a function, not a kind.*class body/],
  ['a number', () => struct({ f: 3 as never }), /field f is 3, not a kind/],
  ['constructor', () => struct({ constructor: int as never }), /every object has a constructor already/],
  ['toString', () => struct({ toString: int as never }), /toString/],
  ['__proto__', () => struct({ ['__proto__']: int as never }), /__proto__/],
  ['$x', () => struct({ $x: int as never }), /belong to the runtime/],
  ['1', () => struct({ 1: int as never }), /starts with a letter/],
  ['a b', () => struct({ 'a b': int }), /a name is letters/],
])('a field may not be %s', (_, declare, message) => {
  expect(declare).toThrow(coded('SCHEMA_KIND', message));
});

// Each class does one thing that cannot live in a segment.
class Shadow extends struct({ hp: i32 }) {
  // @ts-expect-error the compiler sees this one only because it is not overriding; plain JavaScript does not
  hp = 100;
}
class Extra extends struct({ hp: i32 }) {
  cache = new Map();
}
const computed = 'ab' as const;
class Computed extends struct({ hp: i32 }) {
  [computed] = 1;
}
class InConstructor extends struct({ hp: i32 }) {
  constructor() {
    super();
    this.hp = 100;
  }
}
class PrivateField extends struct({ hp: i32 }) {
  #target = 1;
  get target() {
    return this.#target;
  }
}
class PrivateMethod extends struct({ hp: i32 }) {
  heal() {
    this.#heal();
  }
  #heal() {
    this.hp++;
  }
}
class Throws extends struct({ hp: i32 }) {
  constructor(options: { hp: number }) {
    super();
    this.hp = options.hp;
  }
}
class Derived extends PrivateField {}
class Getter extends struct({ hp: i32 }) {}
Object.defineProperty(Getter.prototype, 'hp', { get: () => 1 });

test.each<[StructClass, RegExp]>([
  [Shadow, /^Shadow: the class field hp would hide the record's hp.*\.init/],
  [Extra, /^Extra: the class field cache would live in the process/],
  [Computed, /^Computed: the class field ab would live/],
  [InConstructor, /^InConstructor: the class field hp would hide/],
  [PrivateField, /^PrivateField: #target would live in the process.*no #private/],
  [PrivateMethod, /^PrivateMethod: a #private member would live/],
  [Throws as never, /^Throws: its constructor or a class field failed \(Cannot read/],
  [Derived, /^Derived: #target/],
  [Getter, /^Getter: hp is a field and also a method or getter/],
  [class extends struct({}) {}, /needs a name/],
  [struct({}) as never, /needs a name/],
  [class NoRecord {} as never, /NoRecord is no record class/],
])('%o is refused', (Class, message) => {
  expect(() => validateStructClass(Class)).toThrow(coded('SCHEMA_STRUCT', message));
});

test('what looks like trouble in the text but is none passes', () => {
  class Fine extends struct({ hp: i32, slots: array(int, 2) }) {
    declare hp: number;
    static readonly shared = 1;
    static #secret = 2;
    get dead() {
      return this.hp <= 0;
    }
    // #not a private field
    get note() {
      return `#neither ${'#this'} ${Fine.#secret}` + /#nor[#]this/.source;
    }
    onResume() {}
  }
  validateStructClass(Fine);
  class Boss extends Fine {
    get rage() {
      return this.hp < 10;
    }
  }
  validateStructClass(Boss);
  expect(Boss.fields).toBe(Fine.fields);
});

test('a refused class is refused again, and the probe leaves nothing behind', () => {
  expect(() => validateStructClass(Extra)).toThrow(/Extra/);
  expect(() => state({ extras: pool(Extra) })).toThrow(/Extra/);
  expect(() => new Extra()).toThrow(/records are made by their pool/);
});

test('a class as a kind of its own', () => {
  class Vec extends struct({ x: f32.sync, y: f32 }) {}
  expect(nested(Vec)).toMatchObject({ tag: 'struct', bytes: 8, align: 4, syncs: true, syncsWhole: false });
  expect(nested(Vec).sync).toMatchObject({ syncs: true, syncsWhole: true });
  expect(nested(Vec).init({ y: 1 }).initial).toEqual({ x: 0, y: 1 });
  expect(() => nested(class {} as never)).toThrow(coded('SCHEMA_KIND', /extends struct/));
});
