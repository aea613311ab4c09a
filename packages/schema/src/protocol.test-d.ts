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
