// Two versions of one game, for the tests that migrate between processes.
import { f64, int, map, pool, state, struct, text, u16, u32, u8 } from '@lich/schema';

class Item extends struct({ kind: u16, count: int }) {}
class Player extends struct({ name: text(24), level: u8, gold: int, bag: map(int, Item), luck: f64 }) {}
export const V1 = state({ players: pool(Player), round: int });

export const V2 = (() => {
  class Item extends struct({ count: int, kind: u32 }) {}
  class Player extends struct({
    gold: int,
    rank: u16.was('level'),
    name: text(40),
    bag: map(int, Item),
    note: text(),
  }) {}
  return state({ people: pool(Player, { was: 'players', capacity: 100_000 }), round: int });
})();

/** V1 again, as code that knows V2. */
export const V1_AGAIN = (() => {
  class Player extends struct({
    name: text(24),
    level: u8.was('rank'),
    gold: int,
    bag: map(int, Item),
    luck: f64,
  }) {}
  return state({ players: pool(Player, { was: 'people' }), round: int });
})();

export const ROOM = { logWords: 1 << 16, heapBytes: 1 << 24 };
