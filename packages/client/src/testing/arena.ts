/** The schema of the client's tests. */
import {
  array,
  bytes,
  command,
  event,
  f32,
  i32,
  int,
  oneOf,
  own,
  pool,
  protocol,
  ref,
  request,
  state,
  struct,
  text,
  u16,
  u8,
} from '@lich/schema';

export class Vec extends struct({ x: f32.sync, y: f32.sync, secret: int }) {}
export class Player extends struct({
  name: text(24).sync,
  hp: i32.sync.init(100),
  gold: int,
  at: Vec,
  mood: oneOf('calm', 'angry').sync,
  dice: array(u8, 3).sync,
  badge: bytes(4).sync,
  target: ref<Player>('players').sync,
}) {
  get dead(): boolean {
    return this.hp <= 0;
  }
}
export class Drop extends struct({ id: u16.sync, count: int.sync }) {}
export class Secret extends struct({ n: int }) {}

export const State = state({ secrets: pool(Secret), players: pool(Player), drops: pool(Drop), round: int });

export const Arena = protocol({
  walk: command({ dx: f32, dy: f32 }),
  hit: command({ who: ref<Player>('players') }),
  say: command({ line: text(200) }),
  buy: request({ kind: u16 }, { count: int, from: ref<Player>('players') }),
  respawn: own({ who: ref<Player>('players') }),
  died: event({ name: text(24), by: ref<Player>('players') }),
  count: event({ i: int }),
});

/** Values of a player as a server sends them. */
export function playerValues(values: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name: 'ann',
    hp: 100,
    at: { x: 0, y: 0 },
    mood: 'calm',
    dice: [1, 2, 3],
    badge: new Uint8Array(0),
    target: undefined,
    ...values,
  };
}
