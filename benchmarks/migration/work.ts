/** Two versions of one game, and what every record of it holds: a function of its number, so that each field can be checked
 * after a migration without keeping what was there before. */
import {
  array,
  bool,
  f64,
  int,
  map,
  oneOf,
  pool,
  type StateSchema,
  state,
  struct,
  text,
  u16,
  u32,
  u8,
} from '@lich/schema';
import type { Size } from '../lib/bench.ts';

export const sizes: Readonly<Record<Size, number>> = { small: 2_000, full: 1_000_000 };

class Item extends struct({ kind: u16, count: int }) {}
const fields = {
  name: text(16),
  gold: int,
  mood: oneOf('calm', 'angry', 'sad'),
  x: f64,
  y: f64,
  marks: array(u16, 4),
  luck: f64,
  bag: map(int, Item),
};
class Player extends struct({ ...fields, level: u8 }) {}
export const V1 = state({ players: pool(Player), round: int });

const next = {
  gold: int,
  hp: int.init(100),
  rank: u16.was('level'),
  name: text(24),
  y: f64,
  x: f64,
  mood: oneOf('sad', 'angry', 'calm', 'glad'),
  marks: array(u32, 6),
};

/** Renamed, widened, reordered, added, removed and resized fields; the container stays as it is. */
export const FLAT: StateSchema = (() => {
  class Player extends struct({ ...next, bag: map(int, Item) }) {}
  return state({ people: pool(Player, { was: 'players' }), round: int });
})();

/** All of that, and other elements in the container of each record. */
export const V2: StateSchema = (() => {
  class Item extends struct({ bound: bool, count: int, kind: u32 }) {}
  class Player extends struct({ ...next, bag: map(int, Item) }) {}
  return state({ people: pool(Player, { was: 'players' }), round: int });
})();

/** V1 once more, as code that knows its successors. */
export const BACK: StateSchema = (() => {
  class Player extends struct({ ...fields, level: u8.was('rank') }) {}
  return state({ players: pool(Player, { was: 'people' }), round: int });
})();

export const itemsOf = (n: number): number => n & 3;

/** Record `n` of the first version. */
export function first(n: number) {
  return {
    name: `player ${n}`,
    gold: n * 1_000_003,
    mood: (['calm', 'angry', 'sad'] as const)[n % 3],
    x: n / 7,
    y: n / 3 - 1,
    marks: [n & 0xffff, 0, n & 0xff, 1],
    luck: 1 / (n + 1),
    level: n & 0xff,
    bag: Array.from({ length: itemsOf(n) }, (_, k) => [k * 5, { kind: (n + k) & 0xffff, count: n - k }] as const),
  };
}

/** The same record in the second version. */
export function second(n: number, wide: boolean) {
  const { luck: _, level: rank, marks, bag, ...rest } = first(n);
  return {
    ...rest,
    rank,
    hp: 100,
    marks: [...marks, 0, 0],
    bag: wide ? bag.map(([key, item]) => [key, { bound: false, ...item }] as const) : bag,
  };
}

/** Deep equality of plain values, told by the first difference: fields may come in any order. */
export function mustEqual(found: unknown, wanted: unknown, where: string): void {
  if (typeof wanted === 'object' && wanted !== null && typeof found === 'object' && found !== null) {
    const keys = Object.keys(wanted);
    if (keys.length !== Object.keys(found).length)
      throw new Error(`${where} has ${Object.keys(found).join(', ')}, not ${keys.join(', ')}`);
    for (const key of keys)
      mustEqual((found as Record<string, unknown>)[key], (wanted as Record<string, unknown>)[key], `${where}.${key}`);
  } else if (!Object.is(found, wanted)) throw new Error(`${where} is ${String(found)}, not ${String(wanted)}`);
}

/** JSON with keys in order. */
export function sorted(value: object): string {
  return JSON.stringify(value, (_, each) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
