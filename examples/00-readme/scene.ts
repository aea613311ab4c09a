/** The rules. One message, one transaction; a kill -9 loses nothing and repeats nothing. */
import { service } from 'lich';
import bank from './bank.ts';
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
    respawn(_, { who }) {
      if (who) who.hp = 100;
    },
  },
  flows: {
    // What waits. It sees state in ctx.do alone; a kill resumes it in the middle.
    *buy(ctx, { kind }) {
      const price = yield* ctx.do(({ me, config }) => {
        me.gold -= config.potion;
        if (me.gold < 0) throw new Error(`not enough gold for kind ${kind}`); // undoes the line above, answers an error
        return config.potion;
      });
      ctx.onUndo(() => ctx.do(({ me }) => void (me.gold += price))); // if the bank refuses, or does not answer
      yield* ctx.call(bank, 'charge', { amount: price }, { withinMs: 5_000 });
      const count = yield* ctx.do(({ me }) => {
        const item = me.bag.get(kind) ?? me.bag.set(kind, { kind, count: 0 });
        return ++item.count;
      });
      return { count };
    },
  },
});
