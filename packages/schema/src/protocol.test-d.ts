// What handlers, senders and clients see of messages.
import * as S from './index.ts';
import type {
  AnswerOf,
  ClientPayloadOf,
  ClientReplyOf,
  Mirror,
  NamesOf,
  PayloadOf,
  Ref,
  Referable,
  ReplyOf,
  SendOf,
} from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal, Flat } from './testing/types.ts';

class Vec extends S.struct({ x: S.f32, y: S.f32 }) {}
class Player extends S.struct({ hp: S.i32.sync, gold: S.int }) {
  get dead() {
    return this.hp <= 0;
  }
}
const P = S.protocol({
  walk: S.command({ to: Vec, via: S.array(S.f32, 3), how: S.oneOf('walk', 'run') }),
  hit: S.command({ who: S.ref<Player>('players'), with: S.u8 }),
  buy: S.request({ kind: S.u16 }, { count: S.int, from: S.ref<Player>('players') }),
  wake: S.own({ who: S.ref<Player>('players') }),
  died: S.event({ who: S.ref<Player>('players'), at: Vec }),
  ping: S.event({}),
});
type P = typeof P;

expectType<Equal<NamesOf<P>, 'walk' | 'hit' | 'buy' | 'wake' | 'died' | 'ping'>>();
expectType<Equal<NamesOf<P, 'command'>, 'walk' | 'hit'>>();
expectType<Equal<NamesOf<P, 'command' | 'request'>, 'walk' | 'hit' | 'buy'>>();
expectType<Equal<NamesOf<P, 'own'>, 'wake'>>();

expectType<Equal<PayloadOf<P, 'hit'>, { readonly who: Player | undefined; readonly with: number }>>();
expectType<
  Equal<
    PayloadOf<P, 'walk'>,
    { readonly to: { x: number; y: number }; readonly via: number[]; readonly how: 'walk' | 'run' }
  >
>();
expectType<
  Equal<Flat<SendOf<P, 'hit'>>, { readonly with: number; readonly who?: Player | Ref | Referable | undefined }>
>();
expectType<Equal<ReplyOf<P, 'buy'>, { readonly count: number; readonly from: Player | undefined }>>();
expectType<Equal<AnswerOf<P, 'hit'>, void>>();
expectType<
  Equal<ClientPayloadOf<P, 'died'>, { readonly who: Mirror<Player> | undefined; readonly at: { x: number; y: number } }>
>();
expectType<Equal<ClientReplyOf<P, 'buy'>['count'], number>>();

const Q = S.protocol({
  walk: S.command({ x: S.u8 }),
  grant: S.command({ x: S.u8 }, { from: 'services' }),
  count: S.request({ x: S.u8 }, { y: S.int }, { from: 'both' }),
  buy: S.request({}, {}, { from: 'players' }),
});
type Q = typeof Q;
expectType<Equal<NamesOf<Q>, 'walk' | 'grant' | 'count' | 'buy'>>();
expectType<Equal<NamesOf<Q, 'command'>, 'walk' | 'grant'>>();
expectType<Equal<NamesOf<Q, 'command' | 'request', 'players' | 'both'>, 'walk' | 'count' | 'buy'>>();
expectType<Equal<NamesOf<Q, 'command' | 'request', 'services'>, 'grant'>>();
expectType<Equal<PayloadOf<Q, 'grant'>, { readonly x: number }>>();
expectType<Equal<AnswerOf<Q, 'count'>['y'], number>>();
// @ts-expect-error nobody of that name
S.command({}, { from: 'anybody' });
const C = S.protocol({
  halt: S.command({ x: S.u8 }, { priority: 'control' }),
  grant: S.request({ x: S.u8 }, { y: S.int }, { from: 'services', priority: 'control' }),
});
expectType<Equal<NamesOf<typeof C, 'command' | 'request', 'players'>, 'halt'>>();
expectType<Equal<NamesOf<typeof C, 'command' | 'request', 'services'>, 'grant'>>();
// @ts-expect-error there are two
S.command({}, { priority: 'high' });
// @ts-expect-error what comes from clients only is no own message's affair
S.own({}, { from: 'services' });

declare function send<N extends NamesOf<P, 'command' | 'request'>>(name: N, payload: SendOf<P, N>): void;
declare const mirror: Mirror<Player>;
declare const player: Player;
send('hit', { who: mirror, with: 1 });
send('hit', { who: player, with: 1 });
send('hit', { who: { slot: 1, generation: 1 }, with: 1 });
send('hit', { with: 1 });
send('walk', { to: { x: 1 }, via: [1, 2], how: 'run' });
send('buy', { kind: 1 });
// @ts-expect-error all but refs must be given
send('hit', { who: mirror });
// @ts-expect-error no such field
send('hit', { who: mirror, with: 1, by: 2 });
// @ts-expect-error not a name of it
send('walk', { to: { x: 1 }, via: [], how: 'fly' });
// @ts-expect-error an event is not sent by a client
send('died', {});
// @ts-expect-error no such message
send('fly', {});

const answer: AnswerOf<P, 'buy'> = { count: 1 };
void answer;
// @ts-expect-error the reply lacks count
const empty: AnswerOf<P, 'buy'> = {};
void empty;

// @ts-expect-error a list has no fixed size
S.command({ l: S.list(S.u8, 2) });
// @ts-expect-error a map has no fixed size
S.request({}, { m: S.map(S.u8, S.u8, 2) });
// @ts-expect-error a function is no data
S.event({ f() {} });
// @ts-expect-error messages are declared by role
S.protocol({ a: { x: S.u8 } });

interface Order {
  readonly what: string;
  readonly many?: number;
}
const W = S.protocol({
  blob: S.command(S.bytes()),
  few: S.request(S.bytes(9), S.bytes()),
  free: S.request(S.msgpack<Order>(), S.msgpack<readonly number[]>(), { from: 'services' }),
  mixed: S.request({ n: S.int }, S.msgpack<string>()),
  later: S.own(S.bytes()),
  shown: S.event(S.bytes()),
  said: S.topic(S.msgpack<Order>()),
  price: S.topic({ symbol: S.text(8), value: S.int }, { replaces: 'symbol' }),
  at: S.command({ n: S.int, x: S.f32 }, { replaces: 'n', from: 'services' }),
});
type W = typeof W;
expectType<Equal<PayloadOf<W, 'blob'>, Uint8Array>>();
expectType<Equal<SendOf<W, 'few'>, Uint8Array>>();
expectType<Equal<ReplyOf<W, 'few'>, Uint8Array>>();
expectType<Equal<PayloadOf<W, 'free'>, Order>>();
expectType<Equal<SendOf<W, 'free'>, Order>>();
expectType<Equal<ReplyOf<W, 'free'>, readonly number[]>>();
expectType<Equal<AnswerOf<W, 'free'>, readonly number[]>>();
expectType<Equal<AnswerOf<W, 'mixed'>, string>>();
expectType<Equal<PayloadOf<W, 'mixed'>, { readonly n: number }>>();
expectType<Equal<ClientPayloadOf<W, 'shown'>, Uint8Array>>();
expectType<Equal<ClientReplyOf<W, 'few'>, Uint8Array>>();
expectType<Equal<PayloadOf<W, 'said'>, Order>>();
expectType<Equal<NamesOf<W, 'topic'>, 'said' | 'price'>>();
expectType<Equal<NamesOf<W, 'command', 'services'>, 'at'>>();
expectType<Equal<NamesOf<W, 'command', 'players'>, 'blob'>>();
// @ts-expect-error players do not know msgpack
S.event(S.msgpack<Order>());
// @ts-expect-error msgpack is a whole message, no field of one
S.command({ free: S.msgpack<Order>() });
// @ts-expect-error no field of that name
S.command({ n: S.int }, { replaces: 'm' });
// @ts-expect-error there are no fields
S.topic(S.bytes(), { replaces: 'n' });
// @ts-expect-error a list has no fixed size, in a topic too
S.topic({ l: S.list(S.u8, 2) });
// @ts-expect-error a request is answered: none replaces another
S.request({ n: S.int }, {}, { replaces: 'n' });
