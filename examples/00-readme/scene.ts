/** The rules. One message, one transaction; a kill -9 loses nothing and repeats nothing. */
import { service } from 'lich';
import { Arena, State } from './game.ts';

export default service('arena', {
  state: State,
  protocol: Arena,
  me: 'players',
  config: { damage: 10, potion: 25 },
  tickHz: 60,
  start({ state }) {
    state.round = 1;
  },
  tick({ state }) {
    state.players.spread(1_000, p => {
      if (p.hp < 100 && !p.dead) p.hp++;
    });
  },
  join({ me, state }) {
    me.name = `player ${state.players.size}`;
  },
  on: {
    walk({ me }, { dx, dy }) {
      me.x += dx;
      me.y += dy;
    },
    hit(ctx, { who }) {
      if (!who || who.dead) return;
      who.hp -= ctx.config.damage + ctx.random.int(0, 5);
      if (!who.dead) return;
      ctx.me.gold += who.gold; // both or neither
      who.gold = 0;
      ctx.publish('died', { name: who.name });
      ctx.after(3_000, 'respawn', { who });
    },
    buy({ me, config }, { kind }) {
      me.gold -= config.potion;
      if (me.gold < 0) throw new Error(`not enough gold for kind ${kind}`); // undoes the line above, answers an error
      const item = me.bag.get(kind) ?? me.bag.set(kind, { kind, count: 0 });
      item.count++;
      return { count: item.count };
    },
    respawn(_, { who }) {
      if (who) who.hp = 100;
    },
  },
});
