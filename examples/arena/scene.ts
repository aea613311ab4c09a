/** The rules. One message is one transaction: a kill -9 at any instruction leaves either all of a message's work or none,
 * and what was answered is never done twice. So gold moves in two plain statements: no kill comes between them. */
import { type PlayerContext, type TellingContext, service } from 'lich';
import {
  Arena,
  GOLD,
  GRAB,
  ITEMS,
  type Item,
  MAP,
  type Place,
  type Player,
  REACH,
  State,
  TICK_HZ,
  direction,
  near,
  walk,
} from './game.ts';

/** Defaults; topology.ts names a file that overrides some. */
const CONFIG = {
  startGold: 100,
  damage: 8,
  /** Gold that a hit takes. */
  loot: 5,
  hitEveryMs: 350,
  respawnMs: 3_000,
  /** What was dropped lies this long before it can be picked up. */
  restMs: 1_200,
  /** Items one player can carry. */
  bag: 4,
};

type Ctx = TellingContext<typeof State, typeof Arena, typeof CONFIG, Player>;
type MyCtx = PlayerContext<typeof State, typeof Arena, typeof CONFIG, Player>;

export default service('arena', {
  state: State,
  protocol: Arena,
  me: 'players',
  config: CONFIG,
  tickHz: TICK_HZ,

  start({ state, random }) {
    state.treasury = GOLD;
    for (let serial = 1; serial <= ITEMS; serial++) {
      const kind = (['sword', 'shield', 'ring', 'crown'] as const)[serial % 4];
      state.items.create({ serial, kind, ...somewhere(random) });
    }
  },

  resumed({ state, life }) {
    if (life.reason === 'crash') state.survived++;
  },

  join({ state, me, config, random }) {
    Object.assign(me, somewhere(random));
    me.name = 'somebody';
    me.gold = Math.min(config.startGold, state.treasury);
    state.treasury -= me.gold;
  },

  leave(ctx) {
    const { state, me } = ctx;
    state.treasury += me.gold + me.saved;
    dropItems(ctx, me);
  },

  tick(ctx) {
    const { state, tick } = ctx;
    state.players.forEach(p => {
      if (p.dead) return;
      if (tick % TICK_HZ === 0 && p.hp < 100) p.hp++;
      if (p.vx === 0 && p.vy === 0) return;
      const to = walk(p, p.vx, p.vy, 1 / TICK_HZ);
      p.x = to.x;
      p.y = to.y;
    });
    if (tick % 3 === 0) pickUp(ctx);
  },

  on: {
    enter({ state, me }, { name, hue }) {
      state.messages++;
      me.name = name.replace(/\p{C}/gu, '').trim() || 'somebody';
      me.hue = hue % 360;
    },

    move({ state, me }, { dx, dy }) {
      state.messages++;
      me.done.moves++;
      const to = direction(dx, dy);
      me.vx = to.dx;
      me.vy = to.dy;
    },

    hit(ctx, { who }) {
      const { state, me, config, now } = ctx;
      state.messages++;
      me.done.hits++;
      if (!who || who === me || who.dead || me.dead || now < me.readyAt || !near(me, who, REACH)) return;
      me.readyAt = now + config.hitEveryMs;
      const took = Math.min(who.gold, config.loot);
      who.gold -= took;
      me.gold += took;
      who.hp -= config.damage + ctx.random.int(0, 5);
      ctx.publish('struck', { who, by: me, took });
      if (who.dead) die(ctx, who);
    },

    drop(ctx) {
      const { state, me, config, now } = ctx;
      state.messages++;
      me.done.drops++;
      const item = me.items > 0 ? itemOf(ctx, me) : undefined;
      if (item) layDown(ctx, me, item, me);
      else dropGold(ctx, me, Math.min(me.gold, 10), now + config.restMs);
    },

    give(ctx, { to, gold, item }) {
      const { state, me, config } = ctx;
      state.messages++;
      me.done.gives++;
      const can = to && to !== me && !to.dead && !me.dead && near(me, to, REACH) && gold >= 0;
      if (!can || (item && (item.owner !== me || to.items >= config.bag)))
        return { done: false, gold: me.gold, items: me.items };
      if (item) {
        item.owner = to;
        me.items--;
        to.items++;
      }
      me.gold -= gold;
      to.gold += gold;
      // The throw undoes the whole message, the item included, and answers an error.
      if (me.gold < 0) throw new Error(`${gold} gold is more than you have`);
      return { done: true, gold: me.gold, items: me.items };
    },

    bank({ state, me }, { gold }) {
      state.messages++;
      me.done.banks++;
      me.gold -= gold;
      me.saved += gold;
      if (me.gold < 0 || me.saved < 0) throw new Error(`${gold} gold cannot be moved`);
      return { receipt: me.done.banks, gold: me.gold, saved: me.saved };
    },

    tally({ state, me }) {
      state.messages++;
      const { moves, hits, drops, gives, banks } = me.done;
      return { moves, hits, drops, gives, banks, gold: me.gold, saved: me.saved, items: me.items };
    },

    respawn({ random }, { who }) {
      if (!who) return; // left meanwhile
      who.hp = 100;
      Object.assign(who, somewhere(random));
    },
  },
});

function somewhere(random: Ctx['random']): { x: number; y: number } {
  return { x: random.int(100, MAP.width - 100), y: random.int(100, MAP.height - 100) };
}

function die(ctx: MyCtx, who: Player): void {
  ctx.me.kills = Math.min(ctx.me.kills + 1, 65_535);
  who.vx = 0;
  who.vy = 0;
  dropItems(ctx, who);
  dropGold(ctx, who, Math.floor(who.gold / 2), ctx.now + ctx.config.restMs);
  ctx.publish('died', { name: who.name, by: ctx.me.name });
  ctx.after(ctx.config.respawnMs, 'respawn', { who });
}

function itemOf({ state }: Ctx, who: Player): Item | undefined {
  for (const item of state.items) if (item.owner === who) return item;
  return undefined;
}

function dropItems(ctx: Ctx, who: Player): void {
  let nth = 0;
  for (const item of ctx.state.items) {
    if (item.owner !== who) continue;
    const angle = nth++ * 1.6;
    layDown(ctx, who, item, walk(who, Math.cos(angle), Math.sin(angle), 0.2));
  }
}

function layDown({ now, config }: Ctx, who: Player, item: Item, place: Place): void {
  item.owner = undefined;
  who.items--;
  item.x = place.x;
  item.y = place.y;
  item.freeAt = now + config.restMs;
}

/** Onto a heap that lies there, or a new one; when there are too many it goes back to the treasury. */
function dropGold({ state }: Ctx, who: Player, gold: number, freeAt: number): void {
  if (gold === 0) return;
  who.gold -= gold;
  for (const heap of state.heaps) {
    if (!near(heap, who, GRAB)) continue;
    heap.gold += gold;
    heap.freeAt = freeAt;
    return;
  }
  if (state.heaps.size < state.heaps.capacity) state.heaps.create({ gold, x: who.x, y: who.y, freeAt });
  else state.treasury += gold;
}

/** Whoever stands on gold has it; items too, as long as the bag holds them. */
function pickUp({ state, now, config }: Ctx): void {
  for (const heap of state.heaps) {
    if (heap.freeAt > now) continue;
    for (const p of state.players) {
      if (p.dead || !near(p, heap, GRAB)) continue;
      p.gold += heap.gold;
      state.heaps.destroy(heap);
      break;
    }
  }
  for (const item of state.items) {
    if (item.freeAt > now || item.owner) continue;
    for (const p of state.players) {
      if (p.dead || p.items >= config.bag || !near(p, item, GRAB)) continue;
      item.owner = p;
      p.items++;
      break;
    }
  }
}
