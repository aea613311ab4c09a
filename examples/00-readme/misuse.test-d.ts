/** What must not compile, one mistake each. `npm test` checks that each of these lines is refused. */
import { connect } from '@lich/client';
import { service } from 'lich';
import { event, int, own, pool, protocol, request, state, struct, text, u16 } from '@lich/schema';
import { Arena, Item, Player, State } from './game.ts';

const right = {
  walk() {},
  hit() {},
  buy: () => ({ count: 1 }),
  respawn() {},
};
const arena = { state: State, protocol: Arena, me: 'players', config: { damage: 10 } } as const;

service('arena', { ...arena, on: right });

// ---- the handlers

// @ts-expect-error a message without a handler
service('arena', { ...arena, on: { walk() {}, hit() {}, respawn() {} } });

// @ts-expect-error a handler for a message that the protocol does not have
service('arena', { state: State, protocol: Arena, me: 'players', on: { ...right, jump(_ctx, _payload) {} } });

// @ts-expect-error events go to players: a service has no handler for them
service('arena', { state: State, protocol: Arena, me: 'players', on: { ...right, died() {} } });

// @ts-expect-error handlers are synchronous: one message is one transaction
service('arena', { ...arena, on: { ...right, walk: async () => {} } });

// @ts-expect-error a tick that is not done when it returns
service('arena', { ...arena, tickHz: 60, tick: async () => {}, on: right });

// @ts-expect-error a request whose handler answers later
service('arena', { ...arena, on: { ...right, buy: async () => ({ count: 1 }) } });

// @ts-expect-error a request must be answered
service('arena', { ...arena, on: { ...right, buy() {} } });

// @ts-expect-error the answer has a field of the wrong type
service('arena', { ...arena, on: { ...right, buy: () => ({ count: 'one' }) } });

// @ts-expect-error `me` names no pool
service('arena', { state: State, protocol: Arena, me: 'monsters', on: right });

// @ts-expect-error tick must be a function
service('arena', { ...arena, tickHz: 60, tick: 60, on: right });

// ---- inside the handlers

service('arena', {
  ...arena,
  start(ctx) {
    ctx.state.round = 1;
    // @ts-expect-error `me` is the player who sent a message: nobody sent this one
    void ctx.me;
    // @ts-expect-error a whole number, not a text
    ctx.state.round = '1';
    // @ts-expect-error no such pool
    void ctx.state.monsters;
    // @ts-expect-error pools are not assigned
    ctx.state.players = [];
  },
  on: {
    ...right,
    walk(ctx, payload) {
      ctx.me.x += payload.dx;
      // @ts-expect-error no such field in the payload
      void payload.dz;
      // @ts-expect-error no such field on the record
      ctx.me.mana = 1;
      // @ts-expect-error a number, not a text
      ctx.me.hp = 'full';
      // @ts-expect-error a map is filled, not assigned
      ctx.me.bag = new Map();
      // @ts-expect-error the getter of the class cannot be written
      ctx.me.dead = true;
      // @ts-expect-error no such setting
      void ctx.config.mana;
      // @ts-expect-error settings are read only
      ctx.config.damage = 1;
      // @ts-expect-error an event of another name
      ctx.publish('died2', { name: '' });
      // @ts-expect-error a command is no event
      ctx.publish('walk', { dx: 0, dy: 0 });
      // @ts-expect-error the event lacks its name
      ctx.publish('died', {});
      // @ts-expect-error only own messages can be sent to oneself later
      ctx.after(1_000, 'walk', { dx: 1, dy: 0 });
      // @ts-expect-error a payload of the wrong type
      ctx.after(1_000, 'respawn', { who: 'me' });
      // @ts-expect-error an item is no player
      ctx.after(1_000, 'respawn', { who: ctx.me.bag.get(1) });
      // @ts-expect-error a new record with a field of the wrong type
      ctx.state.players.create({ hp: 'full' });
      // @ts-expect-error a new record with an unknown field
      ctx.state.players.create({ mana: 1 });
    },
    hit(_ctx, { who }) {
      // @ts-expect-error the one who is hit may be gone: undefined
      who.hp -= 1;
    },
  },
});

// ---- the schema

// @ts-expect-error a record holds data only: no function
class _Clever extends struct({ think: () => 1 }) {}
// @ts-expect-error a record holds no object of the process
class _Lost extends struct({ socket: new Map<string, string>() }) {}
// @ts-expect-error a text without a limit is not sent
void text().sync;
// @ts-expect-error an initial value of the wrong type
int.init('1');
// @ts-expect-error a pool holds records of a class
pool(u16);
// @ts-expect-error a state holds pools and kinds
state({ players: pool(Player), names: ['a', 'b'] });
// @ts-expect-error a list has no fixed size: not in a message
protocol({ look: event({ bag: Player.fields.bag }) });
// @ts-expect-error a request says what its answer holds
protocol({ buy: request({ kind: u16 }) });
// @ts-expect-error a message is made by command, request, own or event
protocol({ buy: { kind: u16 } });
protocol({ ok: own({ item: Item }) });

// ---- the client

const game = await connect('ws://127.0.0.1:7777', { protocol: Arena, state: State });

game.send('walk', { dx: 1, dy: 0 });
// @ts-expect-error no such message
game.send('fly', { dx: 1, dy: 0 });
// @ts-expect-error a field is missing
game.send('walk', { dx: 1 });
// @ts-expect-error a field of the wrong type
game.send('walk', { dx: '1', dy: 0 });
// @ts-expect-error a field too many
game.send('walk', { dx: 1, dy: 0, dz: 0 });
// @ts-expect-error requests are asked: their answer would be lost
game.send('buy', { kind: 7 });
// @ts-expect-error commands are sent: there is no answer to wait for
await game.ask('walk', { dx: 1, dy: 0 });
// @ts-expect-error own messages are the service's
game.send('respawn', {});
// @ts-expect-error events come from the service
game.send('died', { name: '' });
// @ts-expect-error not an event
game.on('walk', () => {});
game.on('died', payload => {
  // @ts-expect-error no such field in the event
  void payload.title;
});
for (const player of game.view.players) {
  void player.dead;
  // @ts-expect-error gold is not `.sync`: it never leaves the server
  void player.gold;
  // @ts-expect-error what the client sees is a mirror: only the service writes
  player.x = 1;
}
const reply = await game.ask('buy', { kind: 7 });
void reply.count;
// @ts-expect-error the answer has a count, nothing else
void reply.price;

// ---- flows

const rest = { walk() {}, hit() {}, respawn() {} };
service('arena', {
  ...arena,
  on: rest,
  flows: {
    *buy(ctx) {
      // @ts-expect-error a flow has no state: it is run again over its record, and sees state in ctx.do alone
      ctx.state.round = 2;
      // @ts-expect-error nor the player
      ctx.me.gold -= 1;
      const me = yield* ctx.do(t => t.me);
      // @ts-expect-error a record does not leave ctx.do
      me.gold -= 1;
      // @ts-expect-error ctx.do is one transaction: a promise belongs into ctx.effect
      (yield* ctx.do(async () => 1)).toFixed();
      return { count: 1 };
    },
  },
});

service('arena', {
  ...arena,
  on: rest,
  flows: {
    // @ts-expect-error the answer has a field of the wrong type
    *buy(ctx) {
      yield* ctx.sleep(1);
      return { count: 'one' };
    },
  },
});
