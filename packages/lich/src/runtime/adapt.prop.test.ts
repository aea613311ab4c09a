/** One version of a message as another one: what both have is taken over, what is new has its default, and nothing is ever
 * read as something else. */
import {
  array,
  type FieldKind,
  i32,
  int,
  layoutOf,
  oneOf,
  optional,
  ref,
  struct,
  type StructLayout,
  text,
  u8,
} from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adapter, problemOf } from './adapt.ts';

const layout = (fields: Record<string, FieldKind>): StructLayout => layoutOf(fields, 'm');

// Of each name a few kinds that it may have in some version.
class V1 extends struct({ x: i32 }) {}
class V2 extends struct({ x: i32, y: i32.init(4) }) {}
const KINDS = { int, u8, text: text(5), v: V1, many: array(u8, 2), may: optional(int), to: ref('units') } as const;
const VALUES: Record<keyof typeof KINDS, fc.Arbitrary<unknown>> = {
  int: fc.maxSafeInteger(),
  u8: fc.nat(255),
  text: fc.string({ maxLength: 5 }),
  v: fc.record({ x: fc.nat(9) }),
  many: fc.tuple(fc.nat(255), fc.nat(255)),
  may: fc.option(fc.nat(9), { nil: undefined }),
  to: fc.constant({ slot: 1, generation: 3 }),
};
const ZERO = { int: 0, u8: 0, text: '', v: { x: 0 }, many: [0, 0], may: undefined, to: undefined } as const;
type Tag = keyof typeof KINDS;
const version = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom(...(Object.keys(KINDS) as Tag[])), {
  noNullPrototype: true,
});
const layoutFor = (tags: Record<string, Tag>): StructLayout =>
  layout(Object.fromEntries(Object.entries(tags).map(([name, tag]) => [name, KINDS[tag] as FieldKind])));

describe('two versions of a message', () => {
  it('agree on what both have, and are refused by the field that changed', () => {
    fc.assert(
      fc.property(version, version, (old, now) => {
        const [from, to] = [layoutFor(old), layoutFor(now)];
        const changed = Object.keys(now).find(name => old[name] !== undefined && old[name] !== now[name]);
        const problem = problemOf(from, to);
        expect(problem === undefined).toBe(changed === undefined);
        if (problem !== undefined) {
          expect(problem).toContain(`field ${changed} is `);
          return;
        }
        const value = Object.fromEntries(
          Object.entries(old).map(([name, tag]) => [name, fc.sample(VALUES[tag], { numRuns: 1, seed: 1 })[0]]),
        );
        const expected = Object.fromEntries(
          Object.entries(now).map(([name, tag]) => [name, name in old ? value[name] : ZERO[tag]]),
        );
        expect(adapter(from, to)(value)).toEqual(expected);
      }),
    );
  });

  it('may differ inside: structs, arrays and optional ones of them', () => {
    const old = layout({ v: V1, many: array(V1, 2), may: optional(V1) });
    const now = layout({ v: V2, many: array(V2, 2), may: optional(V2) });
    expect(problemOf(old, now) ?? problemOf(now, old)).toBe(undefined);
    const value = { v: { x: 1 }, many: [{ x: 2 }, { x: 3 }], may: { x: 5 } };
    const there = adapter(old, now)(value);
    expect(there).toEqual({
      v: { x: 1, y: 4 },
      many: [
        { x: 2, y: 4 },
        { x: 3, y: 4 },
      ],
      may: { x: 5, y: 4 },
    });
    expect(adapter(now, old)(there)).toEqual(value);
    expect(adapter(old, now)({ ...value, may: undefined })['may']).toBe(undefined);
    class Other extends struct({ x: u8 }) {}
    expect(problemOf(old, layout({ v: Other, many: array(V1, 2) }))).toBe('field v.x is i32 there and u8 here');
    expect(problemOf(old, layout({ many: array(Other, 2) }))).toBe('field many[].x is i32 there and u8 here');
    expect(problemOf(old, layout({ many: array(V1, 3) }))).toMatch(/field many is array\(V1, 2\) there/);
  });

  it('take defaults from the declaration, and know former names, both ways', () => {
    const old = layout({ health: i32 });
    const now = layout({ hp: i32.was('health'), tag: text(4).init('new') });
    expect(adapter(old, now)({ health: 7 })).toEqual({ hp: 7, tag: 'new' });
    expect(adapter(now, old)({ hp: 7, tag: 'x' })).toEqual({ health: 7 });
  });

  it('may have more names to choose from, where they are understood', () => {
    const [few, more] = [layout({ how: oneOf('a', 'b') }), layout({ how: oneOf('c', 'a', 'b') })];
    expect(problemOf(few, more)).toBe(undefined);
    expect(adapter(few, more)({ how: 'b' })).toEqual({ how: 'b' });
    expect(problemOf(more, few)).toBe("field how may be 'c' there, which it cannot be here");
  });

  it('keep their form, and bytes their bound', () => {
    const whole = (form: 'bytes' | 'msgpack', most = 0) => ({ ...layout({}), whole: { form, most } });
    expect(problemOf(whole('bytes'), whole('bytes'))).toBe(undefined);
    expect(problemOf(whole('bytes', 4), whole('bytes', 8))).toBe(undefined);
    expect(problemOf(whole('bytes', 8), whole('bytes', 4))).toMatch(/bytes\(8\) there and bytes\(4\) here/);
    expect(problemOf(whole('bytes'), whole('bytes', 4))).toMatch(/bytes\(\) there/);
    expect(problemOf(whole('bytes'), whole('msgpack'))).toBe('it is bytes there and msgpack here');
    expect(problemOf(layout({ x: u8 }), whole('bytes'))).toBe('it is fields there and bytes here');
  });
});
