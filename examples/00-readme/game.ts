/** What exists and what can be said. Server, client and tools import it. */
import {
  command,
  event,
  f32,
  i32,
  int,
  map,
  own,
  pool,
  protocol,
  ref,
  request,
  state,
  struct,
  text,
  u16,
} from '@lich/schema';

export class Item extends struct({ kind: u16, count: int }) {}

export class Player extends struct({
  name: text(24), // 24 as `.length` counts
  x: f32.sync, // .sync: sent to clients
  y: f32.sync,
  hp: i32.sync.init(100),
  gold: int.init(100), // a safe whole number
  bag: map(int, Item), // grows; a third argument would cap it
}) {
  get dead() {
    return this.hp <= 0;
  }
}

export const State = state({ players: pool(Player), round: int });

export const Arena = protocol({
  walk: command({ dx: f32, dy: f32 }), // from a client: numbered, done once
  hit: command({ who: ref<Player>('players') }), // reads undefined once gone, never somebody else
  buy: request({ kind: u16 }, { count: int }), // answered
  respawn: own({ who: ref<Player>('players') }), // to myself: at once, or later (a timer)
  died: event({ name: text(24) }), // to the players
});
