import { expect, test } from 'vitest';
import { array, int, isPool, list, map, pool, ref, state, struct, u8 } from './index.ts';

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

class Item extends struct({ count: int }) {}
class Player extends struct({ bag: list(Item, 4), friend: ref<Player>('players') }) {}

test('pools and root fields are told apart, in declared order', () => {
  const State = state({
    round: int,
    players: pool(Player),
    best: ref<Player>('players'),
    items: pool(Item, { capacity: 5 }),
  });
  expect(State.pools).toMatchObject([
    { name: 'players', struct: Player, capacity: 0 },
    { name: 'items', struct: Item, capacity: 5 },
  ]);
  expect(Object.keys(State.root)).toEqual(['round', 'best']);
  expect(isPool(State.fields.players)).toBe(true);
  expect(isPool(State.fields.round)).toBe(false);
});

class Lost extends struct({ who: ref<Player>('plyers') }) {}
class Deep extends struct({ lost: map(int, Lost, 4) }) {}
const other = () => {
  class Item extends struct({ other: u8 }) {}
  return Item;
};
class Cached extends struct({ count: int }) {
  cache = 1;
}
class HoldsCached extends struct({ many: array(Cached, 2) }) {}

test.each<[string, () => unknown, string, RegExp]>([
  [
    'a ref to no pool',
    () => state({ a: pool(Lost), players: pool(Player) }),
    'SCHEMA_STATE',
    /field who of Lost is a ref to pool `plyers`, which does not exist; there are `a`, `players`/,
  ],
  ['a ref deep inside', () => state({ a: pool(Deep) }), 'SCHEMA_STATE', /field who of Lost is a ref to pool `plyers`/],
  [
    'a root ref to no pool',
    () => state({ who: ref('x') }),
    'SCHEMA_STATE',
    /state entry who is a ref to pool `x`, which does not exist; there are none/,
  ],
  [
    'two classes of one name',
    () => state({ players: pool(Player), others: pool(other()) }),
    'SCHEMA_STATE',
    /two record classes are named Item/,
  ],
  [
    'a nested class with a field',
    () => state({ a: pool(HoldsCached) }),
    'SCHEMA_STRUCT',
    /^Cached: the class field cache/,
  ],
  ['a number', () => state({ a: 3 as never }), 'SCHEMA_KIND', /state entry a is 3/],
  ['a reserved name', () => state({ $a: int }), 'SCHEMA_STATE', /belong to the runtime/],
  ['a pool of no struct', () => pool(class {} as never), 'SCHEMA_STATE', /extends struct/],
  [
    'capacity 0',
    () => pool(Item, { capacity: 0 }),
    'SCHEMA_STATE',
    /pool of Item: capacity takes 1\.\.1073741824, not 0/,
  ],
  ['capacity 1.5', () => pool(Item, { capacity: 1.5 }), 'SCHEMA_STATE', /not 1\.5/],
  ['resume: late', () => pool(Item, { resume: 'late' as never }), 'SCHEMA_STATE', /'slices' or 'eager', not late/],
])('%s is refused', (_, declare, code, message) => {
  expect(declare).toThrow(coded(code, message));
});
