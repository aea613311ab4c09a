import { expect, test } from 'vitest';
import * as S from './index.ts';

class Vec extends S.struct({ x: S.f32, y: S.f32 }) {}
class Animal extends S.struct({ hp: S.i32.init(10) }) {}
class Wolf extends S.extend(Animal, { rage: S.f64 }) {}
class Sheep extends S.extend(Animal, { at: Vec, wool: S.array(S.u8) }) {}
class Fox extends S.struct({ prey: S.ref<Sheep>('animals') }) {}

const parts = { hidden: { animals: { $id: S.u32 } } };
const stateOf = (classes: S.Variants) =>
  S.stateLayoutOf(S.state({ animals: S.pool(S.variants(classes)), n: S.int } as never), parts);

test('a slot has the size of the largest, and all begin alike', () => {
  const [pool] = stateOf({ Wolf, Sheep, Fox }).pools;
  expect(pool.struct).toBe(undefined);
  expect(pool.layout).toMatchObject({ name: 'animals', bytes: 24, align: 8 });
  expect(pool.layout.fields.map(field => [field.name, field.offset, field.hidden])).toEqual([
    ['$class', 0, true],
    ['$id', 4, true],
  ]);
  expect(pool.variants!.map(({ name, id, struct }) => [name, id, struct])).toEqual([
    ['Fox', 1, Fox],
    ['Sheep', 2, Sheep],
    ['Wolf', 3, Wolf],
  ]);
  for (const { layout } of pool.variants!) {
    expect(layout.fields.slice(0, 2)).toEqual(pool.layout.fields);
    expect(layout.bytes).toBeLessThanOrEqual(pool.layout.bytes);
  }
  expect(pool.variants![2].layout.fields.map(field => [field.name, field.offset])).toEqual([
    ['$class', 0],
    ['$id', 4],
    ['hp', 8],
    ['rage', 16],
  ]);
});

test('the catalog says all and is read back', () => {
  const layout = stateOf({ Wolf, Sheep, Fox });
  const catalog = JSON.parse(JSON.stringify(S.describe(layout)));
  const read = S.fromDescription(catalog);
  expect(S.describe(read)).toEqual(catalog);
  expect(S.layoutHash(read)).toBe(S.layoutHash(layout));
  expect(read.pools[0].variants!.map(({ name, id, struct }) => [name, id, struct])).toEqual([
    ['Fox', 1, undefined],
    ['Sheep', 2, undefined],
    ['Wolf', 3, undefined],
  ]);
  expect([...read.structs.keys()]).toEqual(['Vec']);
  expect(S.needsHeap(read)).toBe(true);
});

test('the order of the declaration changes no byte', () => {
  expect(JSON.stringify(S.describe(stateOf({ Fox, Sheep, Wolf })))).toBe(
    JSON.stringify(S.describe(stateOf({ Wolf, Fox, Sheep }))),
  );
});

test('a change in any class is a change of the layout', () => {
  const like = (fields: Record<string, unknown>) => {
    const Class = class extends (S.struct(fields as never) as unknown as S.StructClass) {};
    Object.defineProperty(Class, 'name', { value: 'Fox' });
    return Class;
  };
  const families: S.Variants[] = [
    { Wolf, Sheep },
    { Wolf, Sheep, Fox },
    { Wolf, Sheep, Fox: like({ prey: S.u32 }) },
  ];
  const hashes = families.map(classes => S.layoutHash(stateOf(classes)));
  expect(new Set(hashes).size).toBe(3);
});

test.each<[string, (pool: any) => void, RegExp]>([
  ['an id of 0', pool => void (pool.variants[0].id = 0), /the id of class Fox of pool `animals` is 0/],
  ['an id twice', pool => void (pool.variants[1].id = 1), /the id of class Sheep of pool `animals` is 1/],
  ['no classes', pool => void (pool.variants = []), /has no classes/],
  ['a class twice', pool => void (pool.variants[1].record.name = 'Fox'), /or one twice/],
  [
    'another prefix',
    pool => void (pool.variants[1].record.fields[0].name = '$klass'),
    /not laid as those of one family/,
  ],
  ['a small slot', pool => void (pool.record.bytes = 16), /not laid as those of one family/],
])('a catalog with %s is refused', (_, change, message) => {
  const catalog = JSON.parse(JSON.stringify(S.describe(stateOf({ Wolf, Sheep, Fox }))));
  change(catalog.pools[0]);
  expect(() => S.fromDescription(catalog)).toThrow(
    expect.objectContaining({ code: 'SCHEMA_CATALOG', message: expect.stringMatching(message) }),
  );
});

class Kinded extends S.struct({ variant: S.u8 }) {}
class Named extends S.struct({ n: S.u8 }) {
  get variant() {
    return 'x';
  }
}
class Sent extends S.struct({ x: S.f32.sync }) {}
class Cached extends S.struct({ a: S.u8 }) {
  cache = 1;
}
class Lost extends S.struct({ who: S.ref('nobody') }) {}

test.each<[string, () => unknown, string, RegExp]>([
  ['no class', () => S.variants({}), 'SCHEMA_STATE', /takes 1\.\.65535 classes, not 0/],
  ['a foreign class', () => S.variants({ Date: Date as never }), 'SCHEMA_STATE', /Date is not a class that extends/],
  ['another name', () => S.variants({ wolf: Wolf }), 'SCHEMA_STATE', /wolf is class Wolf, .* give it as \{ Wolf \}/],
  ['a field variant', () => S.variants({ Kinded } as never), 'SCHEMA_STATE', /Kinded has a field variant/],
  ['a getter variant', () => S.variants({ Named } as never), 'SCHEMA_STATE', /Named has a member variant/],
  ['a class field', () => S.state({ a: S.pool(S.variants({ Cached })) }), 'SCHEMA_STRUCT', /the class field cache/],
  ['a ref to no pool', () => S.state({ a: S.pool(S.variants({ Lost })) }), 'SCHEMA_STATE', /ref to pool `nobody`/],
  [
    'fields for clients',
    () => S.syncPlanOf(S.state({ a: S.pool(S.variants({ Sent })) })),
    'SCHEMA_STATE',
    /pool `a` is a family, .* take \.sync off x of Sent/,
  ],
  [
    'a system pool',
    () => S.stateLayoutOf(S.state({ n: S.int }), { system: { $a: S.pool(S.variants({ Wolf })) } }),
    'SCHEMA_STATE',
    /a family is not for the runtime/,
  ],
])('a family with %s is refused', (_, declare, code, message) => {
  expect(declare).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});
