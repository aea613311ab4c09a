// What the compiler says about topics, addresses, and messages that are one value.
import {
  bytes,
  command,
  event,
  int,
  msgpack,
  own,
  pool,
  protocol,
  request,
  state,
  struct,
  text,
  topic,
} from '@lich/schema';
import { hear } from './hear.ts';
import { service } from './service.ts';

const MarketProtocol = protocol({
  price: topic({ symbol: text(8), value: int }),
  blob: topic(bytes()),
  news: topic(msgpack<{ readonly text: string }>()),
  buy: command({ n: int }),
});
const market = { name: 'market', protocol: MarketProtocol };
const State = state({ n: int, last: text(8) });
const P = protocol({ go: command({ n: int }), ask: own({ n: int }), mine: topic({ n: int }) });

service('board', {
  state: State,
  protocol: P,
  config: { most: 5 },
  on: {
    go(ctx, { n }) {
      const all: boolean = ctx.publish('mine', { n });
      void all;
      // @ts-expect-error a field is missing
      ctx.publish('mine', {});
      // @ts-expect-error a command is sent
      ctx.publish('go', { n });
    },
    ask() {},
  },
  hears: {
    prices: {
      topic: hear(market, 'price'),
      handle(ctx, { symbol, value }, from) {
        const who: string = from;
        ctx.state.n += value + ctx.config.most;
        ctx.state.last = symbol + who;
        // @ts-expect-error no such field
        void ctx.state.m;
      },
      missed(ctx, count) {
        ctx.state.n -= count;
      },
    },
    blobs: {
      topic: hear(market, 'blob'),
      handle(ctx, said) {
        const read: Uint8Array = said;
        ctx.state.n = read.length;
      },
    },
    news: {
      topic: hear(market, 'news'),
      handle(ctx, said) {
        ctx.state.last = said.text;
        // @ts-expect-error no such field
        void said.title;
      },
    },
  },
});
// @ts-expect-error a command is no topic
hear(market, 'buy');
// @ts-expect-error no such topic
hear(market, 'nothing');
service('waits', {
  state: State,
  protocol: P,
  on: { go() {}, ask() {} },
  // @ts-expect-error handlers are synchronous, those of topics too
  hears: { prices: { topic: hear(market, 'price'), async handle() {} } },
});

const Bank = protocol({
  note: command({ n: int }),
  charge: request({ n: int }, { left: int }),
  blob: request(bytes(), bytes()),
  free: request(msgpack<{ readonly a: number }>(), msgpack<string>()),
});
const bank = { name: 'bank', protocol: Bank };
service('shop', {
  state: State,
  protocol: P,
  on: {
    go(ctx, { n }) {
      const sent: boolean = ctx.send(bank, 'note', { n }, { key: 'alice' });
      void sent;
      ctx.send(bank, 'note', { n }, { key: 7n });
      ctx.send(bank, 'note', { n }, { instance: 2 });
      ctx.send(bank, 'note', { n }, 3);
      ctx.send(bank, 'note', { n }, 'all');
      ctx.ask(bank, 'charge', { n }, { key: n, answer: 'told' });
      ctx.ask(bank, 'blob', new Uint8Array(3), { answer: 'told' });
      ctx.ask(bank, 'free', { a: 1 }, { answer: 'told' });
      // @ts-expect-error not everybody, somebody
      ctx.send(bank, 'note', { n }, 'any');
      // @ts-expect-error a key is a number, a bigint or a text
      ctx.send(bank, 'note', { n }, { key: {} });
      // @ts-expect-error nobody knows whose answer that would be
      ctx.ask(bank, 'charge', { n }, 'all');
      // @ts-expect-error bytes are bytes
      ctx.ask(bank, 'blob', { a: 1 }, { answer: 'told' });
      // @ts-expect-error not what was declared
      ctx.ask(bank, 'free', { a: '1' }, { answer: 'told' });
    },
  },
  flows: {
    *ask(ctx, { n }) {
      yield* ctx.send(bank, 'note', { n }, 'all');
      const { left } = yield* ctx.call(bank, 'charge', { n }, { key: n });
      const said: string = yield* ctx.call(bank, 'free', { a: left });
      const blob: Uint8Array = yield* ctx.call(bank, 'blob', new Uint8Array(left));
      void [said, blob];
      // @ts-expect-error a field is missing
      yield* ctx.send(bank, 'note', {});
    },
  },
  answers: {
    told(ctx, answer) {
      const blob: Uint8Array = answer.of(bank, 'blob');
      ctx.state.last = answer.of(bank, 'free') + blob.length;
    },
  },
});

service('server', {
  state: State,
  protocol: Bank,
  on: {
    note() {},
    charge: (_, { n }) => ({ left: n }),
    blob: (_, said) => said,
    // @ts-expect-error the reply is a text
    free: (_, { a }) => a,
  },
});

class Player extends struct({ gold: int }) {}
service('land', {
  state: state({ players: pool(Player) }),
  protocol: protocol({ said: command(bytes()), shown: event(bytes()) }),
  me: 'players',
  on: {
    said(ctx, what) {
      ctx.publish('shown', what);
      ctx.me.gold = what.length;
    },
  },
});
