/** What the compiler says about flows. */
import { command, int, own, pool, protocol, ref, request, state, struct, u16 } from '@lich/schema';
import { service } from '../service.ts';

class Player extends struct({ gold: int }) {}
const State = state({ players: pool(Player), n: int });
const P = protocol({
  walk: command({ dx: int }),
  buy: request({ kind: u16, who: ref<Player>('players') }, { count: int }),
  raid: own({ n: int }),
});
const BankState = state({ n: int });
const BankP = protocol({ charge: request({ amount: int }, { left: int }), note: command({ n: int }) });
const bank = service('bank', { state: BankState, protocol: BankP, on: { charge: () => ({ left: 1 }), note() {} } });

service('arena', {
  state: State,
  protocol: P,
  me: 'players',
  config: { price: 3 },
  on: {
    walk(ctx, { dx }) {
      ctx.me.gold += dx;
      const id: number = ctx.startFlow('raid', { n: 1 });
      ctx.cancelFlow(id);
      // @ts-expect-error a request is started by who asks
      ctx.startFlow('buy', { kind: 1 });
    },
  },
  flows: {
    *buy(ctx, { kind, who }) {
      const slot: number | undefined = who?.slot;
      // @ts-expect-error a flow has no state
      void ctx.state;
      // @ts-expect-error nor a player, outside of do
      void ctx.me;
      const { left } = yield* ctx.call(bank, 'charge', { amount: ctx.config.price }, { withinMs: 5_000 });
      const n: number = left;
      // @ts-expect-error a command has no answer
      yield* ctx.call(bank, 'note', { n: 1 });
      const gold: number = yield* ctx.do(({ me }) => me.gold);
      const me = yield* ctx.do(({ me }) => me);
      // @ts-expect-error state is seen inside ctx.do alone
      void me.gold;
      const wrapped = yield* ctx.do(({ state, me }) => ({ players: state.players, mine: { me } }));
      // @ts-expect-error nor in something else
      void wrapped.mine.me.gold;
      // @ts-expect-error nor a pool
      void wrapped.players.size;
      const [a, b] = yield* ctx.all([ctx.do(() => 'text'), ctx.sleep(5)]);
      const text: string = a;
      const nothing: void = b;
      const { x, y } = yield* ctx.all({ x: ctx.do(() => 1), y: inner() });
      const sum: number = x + y.length;
      const won = yield* ctx.race({ paid: ctx.do(() => 5), late: ctx.sleep(10) });
      if (won.by === 'paid') {
        const five: number = won.value;
        void five;
      }
      const within: number = yield* ctx.within(
        50,
        ctx.do(() => 1),
      );
      const fetched: string = yield* ctx.effect('fetch', async (key, signal) => `${key} ${signal.aborted}`);
      ctx.onUndo(() => ctx.do(({ me }) => void (me.gold += 1)));
      void [slot, n, gold, text, nothing, sum, kind, within, fetched];
      return { count: 1 };
      function* inner() {
        yield* ctx.sleep(1);
        return 'done';
      }
    },
    raid: {
      version: 2,
      accepts: 1,
      *run(ctx, { n }) {
        // @ts-expect-error nobody sent it
        yield* ctx.do(({ me }) => me);
        yield* ctx.do(({ state }) => void (state.n += n));
        return n > 0 ? ctx.again({ n: n - 1 }) : undefined;
      },
    },
  },
});
service('wrong', {
  state: State,
  protocol: P,
  me: 'players',
  // @ts-expect-error a request without handler and flow
  on: { walk() {} },
  flows: { *raid() {} },
});
service('answer', {
  state: State,
  protocol: P,
  me: 'players',
  on: { walk() {}, raid() {} },
  flows: {
    // @ts-expect-error the answer has a field of the wrong type
    *buy(ctx) {
      yield* ctx.sleep(1);
      return { count: 'one' };
    },
  },
});
service('unknown', {
  state: State,
  protocol: P,
  me: 'players',
  on: { walk() {}, raid() {}, buy: () => ({ count: 1 }) },
  flows: {
    // @ts-expect-error no such message
    *jump() {},
  },
});
