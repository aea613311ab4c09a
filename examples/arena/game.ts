/** What exists in the arena and what can be said. The scene, the page and the bots import it.
 *
 * Two things are conserved by every rule, whatever dies in between; invariants.ts checks them from outside:
 *   gold    treasury + what players carry and have in the bank + heaps on the ground = GOLD
 *   items   serials 1..ITEMS exist exactly once; each lies on the ground or belongs to one player, who counts them */
import {
  bool,
  command,
  event,
  f32,
  f64,
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
  u32,
  u8,
} from '@lich/schema';

export const MAP = { width: 1600, height: 1000, edge: 20 };
/** Units a second. */
export const SPEED = 220;
/** How far a hit goes, and how far something can be handed over. */
export const REACH = 70;
/** How near gold and items are picked up. */
export const GRAB = 26;

export const TICK_HZ = 60;
export const GOLD = 1_000_000;
export const ITEMS = 24;

/** Messages of one player that took effect, by name: what was answered is compared with them from outside. */
export const COUNTED = { moves: u32, hits: u32, drops: u32, gives: u32, banks: u32 } as const;
export type Counted = keyof typeof COUNTED;
export class Done extends struct(COUNTED) {}

export class Player extends struct({
  name: text(24).sync,
  hue: u16.sync,
  x: f32.sync,
  y: f32.sync,
  hp: i32.sync.init(100),
  gold: int.sync,
  items: u8.sync,
  kills: u16.sync,
  saved: int, // in the bank
  vx: f32, // -1..1, from the last `move`
  vy: f32,
  readyAt: f64, // service time in ms from which the next hit counts
  done: Done,
}) {
  get dead() {
    return this.hp <= 0;
  }
}

export class Item extends struct({
  serial: u16.sync,
  kind: oneOf('sword', 'shield', 'ring', 'crown').sync,
  owner: ref<Player>('players').sync, // undefined: on the ground at x, y
  x: f32.sync,
  y: f32.sync,
  freeAt: f64, // service time from which it can be picked up
}) {}

export class Heap extends struct({ gold: int.sync, x: f32.sync, y: f32.sync, freeAt: f64 }) {}

export const State = state({
  players: pool(Player, { capacity: 1_024 }),
  items: pool(Item, { capacity: 256 }),
  heaps: pool(Heap, { capacity: 1_024 }),
  treasury: int, // gold of nobody: players start with some of it, and leave what they had
  messages: int, // handled since the beginning
  survived: int, // kills of the scene
});

export const Arena = protocol({
  enter: command({ name: text(24), hue: u16 }),
  move: command({ dx: f32, dy: f32 }), // a direction to walk in until the next one; 0, 0 stands still
  hit: command({ who: ref<Player>('players') }),
  drop: command({}), // an item, or else some gold
  give: request(
    { to: ref<Player>('players'), gold: int, item: ref<Item>('items') },
    { done: bool, gold: int, items: u8 },
  ),
  bank: request({ gold: int }, { receipt: u32, gold: int, saved: int }), // negative: out of the bank
  tally: request({}, { ...COUNTED, gold: int, saved: int, items: u8 }),
  respawn: own({ who: ref<Player>('players') }),
  struck: event({ who: ref<Player>('players'), by: ref<Player>('players'), took: int }),
  died: event({ name: text(24), by: text(24) }),
});

export interface Place {
  readonly x: number;
  readonly y: number;
}

export function near(a: Place, b: Place, reach: number): boolean {
  const dx = a.x - b.x;
  const dy = a.y - b.y;
  return dx * dx + dy * dy <= reach * reach;
}

/** A direction of length 1 at most: what the server makes of a `move`, and what the page predicts. */
export function direction(dx: number, dy: number): { dx: number; dy: number } {
  if (!Number.isFinite(dx) || !Number.isFinite(dy)) return { dx: 0, dy: 0 };
  const length = Math.hypot(dx, dy);
  return length <= 1 ? { dx, dy } : { dx: dx / length, dy: dy / length };
}

/** The place after walking `seconds` from `from`, inside the map. */
export function walk(from: Place, dx: number, dy: number, seconds: number): Place {
  return {
    x: clamp(from.x + dx * SPEED * seconds, MAP.edge, MAP.width - MAP.edge),
    y: clamp(from.y + dy * SPEED * seconds, MAP.edge, MAP.height - MAP.edge),
  };
}

function clamp(value: number, lo: number, hi: number): number {
  return value < lo ? lo : value > hi ? hi : value;
}
