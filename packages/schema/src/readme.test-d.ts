// The program of the README against the types, as users write it, each thing with its misuse beside it.
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
} from './index.ts';
import type { NamesOf, PayloadOf, SendOf, StateOf } from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal } from './testing/types.ts';

export class Item extends struct({ kind: u16, count: int }) {}
export class Player extends struct({
  name: text(24),
  x: f32.sync,
  y: f32.sync,
  hp: i32.sync.init(100),
  gold: int,
  bag: map(int, Item, 16),
}) {
  get dead() {
    return this.hp <= 0;
  }
}
export const State = state({ players: pool(Player), round: int });
export const Arena = protocol({
  walk: command({ dx: f32, dy: f32 }),
  hit: command({ who: ref<Player>('players') }),
  buy: request({ kind: u16 }, { count: int }),
  respawn: own({ who: ref<Player>('players') }),
  died: event({ name: text(24) }),
});

interface Context {
  state: StateOf<typeof State>;
  me: Player;
  publish(name: 'died', payload: SendOf<typeof Arena, 'died'>): void;
  after(ms: number, name: NamesOf<typeof Arena, 'own'>, payload: SendOf<typeof Arena, 'respawn'>): void;
}
type Handlers = { [N in NamesOf<typeof Arena>]?: (ctx: Context, payload: PayloadOf<typeof Arena, N>) => void };

export const handlers: Handlers = {
  walk({ me }, { dx, dy }) {
    me.x += dx;
    me.y += dy;
  },
  hit(ctx, { who }) {
    if (!who || who.dead) return;
    who.hp -= 10;
    if (!who.dead) return;
    ctx.me.gold += who.gold;
    who.gold = 0;
    ctx.publish('died', { name: who.name });
    ctx.after(3_000, 'respawn', { who });
  },
  respawn(_, { who }) {
    if (who) who.hp = 100;
  },
  buy({ me }, { kind }) {
    const { count } = me.bag.set(kind, { kind, count: 1 });
    expectType<Equal<typeof count, number>>();
  },
};

export const misuse: Handlers = {
  // @ts-expect-error a walk has no dz
  walk(_, { dz }) {
    return dz;
  },
  hit(ctx, { who }) {
    // @ts-expect-error who may be gone
    who.hp -= 1;
    if (!who) return;
    // @ts-expect-error hp is a number
    who.hp = 'full';
    // @ts-expect-error a getter of the class is no field
    who.dead = true;
    // @ts-expect-error no such field
    who.mana = 1;
    // @ts-expect-error a container is filled, not assigned
    who.bag = ctx.me.bag;
    // @ts-expect-error a name is text
    ctx.publish('died', { name: 3 });
    // @ts-expect-error no such field in the message
    ctx.publish('died', { nom: 'a' });
    // @ts-expect-error an event is no own message
    ctx.after(1, 'died', { who });
    // @ts-expect-error who takes a record of players
    ctx.after(1, 'respawn', { who: 3 });
    // @ts-expect-error an item lacks what a player has
    ctx.after(1, 'respawn', { who: ctx.me.bag.get(1) });
    // @ts-expect-error count is a number
    ctx.me.bag.set(1, { kind: 1, count: 'one' });
    // @ts-expect-error keys are numbers
    ctx.me.bag.get('one');
  },
  // @ts-expect-error no such message
  fly() {},
};

export function start(s: StateOf<typeof State>, other: StateOf<typeof State>): void {
  s.round = 1;
  const player = s.players.create({ name: 'a', bag: [[7, { kind: 7 }]] });
  expectType<Equal<typeof player, Player>>();
  for (const each of s.players) expectType<Equal<typeof each, Player>>();
  s.players.destroy(player);
  // @ts-expect-error no such field
  s.players.create({ nam: 'a' });
  // @ts-expect-error a pool stays
  s.players = other.players;
  // @ts-expect-error no such entry
  s.rounds = 1;
  // @ts-expect-error records are made by their pool
  const plain: Player = { name: 'a', x: 0, y: 0, hp: 0, gold: 0, bag: player.bag, dead: false };
  void plain;
}
