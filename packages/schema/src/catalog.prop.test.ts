import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describe, fromDescription, layoutHash, pool, ref, state, variants } from './index.ts';
import type { Catalog, StateSchema } from './index.ts';
import { outcomeOf } from './testing/outcome.ts';
import { anyKind, machineKind, POOL, structFields, structNamed } from './testing/arbitrary.ts';

function anyState(): fc.Arbitrary<StateSchema> {
  return fc
    .tuple(
      structFields(anyKind(true)),
      structFields(anyKind(true)),
      fc.option(fc.integer({ min: 1, max: 2 ** 30 }), { nil: undefined }),
      fc.array(structFields(anyKind(true, 1)), { maxLength: 3 }),
      machineKind(),
    )
    .map(([record, root, capacity, family, mode]) => {
      const classes = Object.fromEntries(family.map(fields => structNamed(fields)).map(each => [each.name, each]));
      return state({
        ...root,
        mode,
        [POOL]: pool(structNamed(record), { capacity }),
        ...(family.length > 0 && { family: pool(variants(classes)) }),
        last: ref(POOL),
      } as never);
    });
}

test('every state survives its own description', () => {
  fc.assert(
    fc.property(anyState(), schema => {
      const catalog = describe(schema);
      const text = JSON.stringify(catalog);
      const read = fromDescription(JSON.parse(text));
      expect(JSON.stringify(describe(read))).toBe(text);
      expect(layoutHash(read)).toBe(layoutHash(schema));
    }),
    { numRuns: 200 },
  );
});

/** Every path to a leaf or a container inside a JSON value. */
function paths(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, member]) => paths(member, [...path, name]))];
}

function changed(catalog: Catalog, path: string[], to: unknown): unknown {
  if (path.length === 0) return to;
  const copy = JSON.parse(JSON.stringify(catalog));
  let at = copy;
  for (const name of path.slice(0, -1)) at = at[name];
  at[path.at(-1)!] = to;
  return copy;
}

test('a catalog changed anywhere has another hash, and is refused or means what it says', () => {
  fc.assert(
    fc.property(
      anyState(),
      fc.nat(),
      fc.oneof(fc.constantFrom<unknown>(null, 0, 1, -1, 1.5, 'u8', 'f9', '', [], {}, true, 2 ** 40), fc.jsonValue()),
      (schema, at, to) => {
        const catalog = describe(schema);
        // Ids are found by name, and charts may change: both are no part of the layout.
        const places = paths(catalog).filter(path => path.at(-1) !== 'id' && !path.includes('chart'));
        const other = changed(catalog, places[at % places.length], to);
        const said = JSON.stringify(other);
        fc.pre(said !== JSON.stringify(catalog) && typeof other === 'object' && other !== null && 'format' in other);
        expect(layoutHash(other as Catalog)).not.toBe(layoutHash(catalog));
        const { value, code } = outcomeOf(() => describe(fromDescription(other)));
        expect(code === 'SCHEMA_CATALOG' ? other : value).toEqual(other);
      },
    ),
    { numRuns: 500 },
  );
});

test('anything else is refused', () => {
  fc.assert(
    fc.property(fc.jsonValue(), json => {
      expect(() => fromDescription(json)).toThrow(expect.objectContaining({ code: 'SCHEMA_CATALOG' }));
    }),
  );
});
