/** A service: its state, what can be said to it, and what it does. One message, one transaction: a handler runs whole or
 * not at all, and whatever it changed and sent commits together with the fact that the message was handled.
 *
 * The types here carry the protocol into the handlers: names, payloads and replies are checked by the compiler. */
import type {
  AnswerOf,
  MessageSpec,
  NamesOf,
  PayloadOf,
  PoolNames,
  Protocol,
  RecordOfPool,
  SendOf,
  StateOf,
  StateSchema,
} from '@lich/schema';
import { RuntimeError } from './errors.ts';
import type { Answer } from './requests.ts';
import { FlowCodes } from './flows/code.ts';
import type { Flows } from './flows/flow.ts';
import type { HandlerAskOptions } from './handler-asks.ts';
import { type AnyHears, hear, type Hears } from './hear.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';
import type { Where } from './sends.ts';

/** Why this life began. */
export type LifeReason = 'created' | 'restart' | 'crash' | 'deploy' | 'restore';

/** One life of a node, from taking its lock to its end. */
export interface Life {
  /** Counts the lives of this node, from 1. */
  readonly epoch: number;
  readonly reason: LifeReason;
}

/** What a handler is given. One object for all: do not keep it. */
export interface Context<S extends StateSchema, P extends Protocol, C> {
  readonly state: StateOf<S>;
  readonly config: Readonly<C>;
  /** Service time in ms, fixed for the message; never goes back, over restarts too. */
  readonly now: number;
  /** Ticks since the state was created. */
  readonly tick: number;
  /** Repeatable: a message that is handled again after a crash draws the same numbers. */
  readonly random: Random;
  readonly life: Life;
  readonly log: Log;
  /** Note an event in the node's audit file, `logs/<node>.audit.log`, as a line with `data`: part of this transaction, as
   * all lines are, and never left out for there being many. */
  audit(event: string, data?: Readonly<Record<string, unknown>>): void;
  /** Tell all players, once this message has committed. @throws BusError `BUS_RECORD_TOO_LARGE` */
  publish<N extends NamesOf<P, 'event'>>(name: N, payload: SendOf<P, N>): void;
  /** Tell the services that hear it, once this message has committed.
   * @returns false when some of them were too slow for it, which are told how many they missed: the others have it
   * @throws BusError `BUS_RECORD_TOO_LARGE`; SchemaError `SCHEMA_RANGE` */
  publish<N extends NamesOf<P, 'topic'>>(name: N, payload: SendOf<P, N>): boolean;
  /** Say something to myself: handled as a message of its own, after this one commits, in the order of posting. O(1).
   * @throws RuntimeError `RUNTIME_TIMERS_FULL`; StateError `STATE_HEAP_FULL` */
  post<N extends NamesOf<P, 'own'>>(name: N, payload: SendOf<P, N>): void;
  /** The same, `ms` of service time later: 0 to 100 years, over restarts; never early, a fraction of a ms is rounded up.
   * O(1), whatever waits.
   * @returns a handle for `cancel`: a whole number above 0, which an `int` field can hold
   * @throws RuntimeError `RUNTIME_TIMERS_FULL`; StateError `STATE_HEAP_FULL`; RangeError */
  after<N extends NamesOf<P, 'own'>>(ms: number, name: N, payload: SendOf<P, N>): number;
  /** The same again and again, first in `ms`: whole ms, 1 to 100 years. It does not drift: the n-th time is due at
   * n × `ms` from now, however late the times before were handled.
   * @returns a handle for `cancel`, the same one all the time
   * @throws RuntimeError `RUNTIME_TIMERS_FULL`; StateError `STATE_HEAP_FULL`; RangeError */
  every<N extends NamesOf<P, 'own'>>(ms: number, name: N, payload: SendOf<P, N>): number;
  /** Have what `after` or `every` promised not happen. O(1).
   * @returns whether it still waited: false for a handle that was used up, of a life before too, and for 0 */
  cancel(handle: number): boolean;
  /** Send a command to another service. Part of this transaction.
   * @param where which instance of it: by number (default 1), the one that has a `{ key }`, or 'all' (this node too, if it is
   * one; none is none)
   * @returns false when a lane is full and may not grow: a value, not an error; nothing was sent then, to nobody. A command
   * that `replaces` waits for room instead
   * @throws BusError `BUS_UNKNOWN_NODE`, `BUS_RECORD_TOO_LARGE`, `BUS_NO_ROOM`, `BUS_TOO_MANY_LANES`; TypeError for what is
   * no key */
  send<Q extends Protocol, N extends NamesOf<Q, 'command'>>(
    to: Target<Q>,
    name: N,
    payload: SendOf<Q, N>,
    where?: Where | 'all',
  ): boolean;
  /** Ask another service. Part of this transaction. Its answer, or the timeout, comes to the handler of `answers` that
   * `answer` names: one of the two, once.
   * @returns a handle for `cancel`, after which nothing comes; 0 when the lane is full: nothing was asked
   * @throws BusError as `send` does; RuntimeError `RUNTIME_TIMERS_FULL`; StateError `STATE_HEAP_FULL`; RangeError */
  ask<Q extends Protocol, N extends NamesOf<Q, 'request'>>(
    to: Target<Q>,
    name: N,
    payload: SendOf<Q, N>,
    options: HandlerAskOptions,
  ): number;
  /** Run `fn` so that a throw undoes what it did, and nothing else. @returns its result, or undefined after a throw */
  attempt<R>(record: object | undefined, fn: () => R): R | undefined;
  /** Start a flow: it runs once this message has committed. @returns its id, for `cancelFlow`
   * @throws RuntimeError `RUNTIME_FLOWS_FULL`; StateError `STATE_HEAP_FULL` */
  startFlow<N extends NamesOf<P, 'own'>>(name: N, payload: SendOf<P, N>): number;
  /** Have a flow stop where it waits: RUNTIME_FLOW_CANCELLED is thrown there, and what it gave to `onUndo` runs.
   * @returns false when it has ended already */
  cancelFlow(id: number): boolean;
  /** Do something outside once this message has committed (a cache, a socket). Lost if the process dies in between. */
  onCommit(fn: () => void): void;
}

/** A message from a player: `me` is its record. */
export interface PlayerContext<S extends StateSchema, P extends Protocol, C, Me> extends Context<S, P, C> {
  readonly me: Me;
  /** Tell one player, once this message has committed; a player that is away gets it when it is back. While the lane to
   * its gateway is full, a player's message waits and is handled again; elsewhere this throws BusError `BUS_FULL`. */
  tell<N extends NamesOf<P, 'event'>>(player: Me, name: N, payload: SendOf<P, N>): void;
}

/** Whom `send` can address: a service. */
export interface Target<Q extends Protocol> {
  readonly name: string;
  readonly protocol: Q;
}

/** A handler that returns a promise does not compile: the message would commit before its work is done. A plain `void`
 * would let it pass, since a function that returns something may stand for one that returns nothing. */
type Handler<Ctx, Payload, Reply> = (ctx: Ctx, payload: Payload) => [Reply] extends [void] ? Nothing : Reply;
type Nothing = void | HandlersAreSynchronousOneMessageIsOneTransaction;
/** Await in a flow, or send yourself a message. */
export interface HandlersAreSynchronousOneMessageIsOneTransaction {
  readonly 'handlers are synchronous: one message is one transaction': never;
}

/** @param None undefined where a service may say it too: then `me` is */
type ContextFor<S extends StateSchema, P extends Protocol, C, Me, None = never> = [Me] extends [never]
  ? Context<S, P, C>
  : [None] extends [never]
    ? PlayerContext<S, P, C, Me>
    : TellingContext<S, P, C, Me> & { readonly me: Me | undefined };

/** One mapped type, not an intersection of one a role: while `P` is still being inferred the compiler would take each
 * role's part for every message, and give a command's handler the context of an own message. */
export type Handlers<S extends StateSchema, P extends Protocol, C, Me> = {
  readonly [N in NamesOf<P, 'command' | 'request' | 'own'>]: Handler<
    N extends NamesOf<P, 'own'> | NamesOf<P, 'command' | 'request', 'services'>
      ? TellingContext<S, P, C, Me>
      : N extends NamesOf<P, 'command' | 'request', 'both'>
        ? ContextFor<S, P, C, Me, undefined>
        : ContextFor<S, P, C, Me>,
    PayloadOf<P, N>,
    AnswerOf<P, N>
  >;
};

/** Why an own message was not handled: the process ended in its handler, its handler threw, or it fell due while no
 * process ran. */
export type SkipReason = 'crash' | 'threw' | 'outage';

/** Told of own messages that were skipped, in the transaction that takes them out. */
export type SkipHandlers<S extends StateSchema, P extends Protocol, C, Me> = {
  readonly [N in NamesOf<P, 'own'>]?: (
    ctx: TellingContext<S, P, C, Me>,
    payload: PayloadOf<P, N>,
    why: SkipReason,
  ) => Nothing;
};

/** Told what came of a request: `answer.of(bank, 'charge')` is its reply, or throws what it was refused with. `note` is the
 * number that was given along. */
export type AnswerHandlers<S extends StateSchema, P extends Protocol, C, Me> = Readonly<
  Record<string, (ctx: TellingContext<S, P, C, Me>, answer: Answer, note: number) => Nothing>
>;

/** In a service with players every handler can tell one of them something; only a player's message has `me`. */
export type TellingContext<S extends StateSchema, P extends Protocol, C, Me> = [Me] extends [never]
  ? Context<S, P, C>
  : Omit<PlayerContext<S, P, C, Me>, 'me'>;

/** What `service(name, spec)` takes. */
export interface ServiceSpec<
  S extends StateSchema,
  P extends Protocol,
  C extends object,
  M extends PoolNames<S> = never,
  F extends string = never,
  H = object,
> {
  readonly state: S;
  readonly protocol: P;
  /** The pool of the players' records: with it the service accepts players. */
  readonly me?: M;
  /** Defaults; a topology entry may override fields. Checked against their types at start and at resume. */
  readonly config?: C;
  /** Ticks a second, fixed step. 1..1000; without it there are no ticks. */
  readonly tickHz?: number;
  /** What happens to steps that come too late: `skip` drops and counts them (default), `catchUp` runs up to 5 at once. */
  readonly overrun?: 'skip' | 'catchUp';
  /** S₀ = g(P, C): fills a state that was just created. Never runs on resume. */
  readonly start?: (ctx: TellingContext<S, P, C, PlayerOf<S, M>>) => Nothing;
  /** Runs first in each life that found its state. */
  readonly resumed?: (ctx: TellingContext<S, P, C, PlayerOf<S, M>>) => Nothing;
  readonly tick?: (ctx: TellingContext<S, P, C, PlayerOf<S, M>>) => Nothing;
  /** A handler for each command, request and own message that starts no flow. */
  readonly on: Partial<Handlers<S, P, C, PlayerOf<S, M>>> & {
    readonly [N in Exclude<NamesOf<P, 'command' | 'request' | 'own'>, F>]: unknown;
  };
  /** What waits: messages that are not handled in one transaction, but start a flow. */
  readonly flows?: Flows<S, P, C, PlayerOf<S, M>, F>;
  /** What came of requests to other services, see `ctx.ask`. */
  readonly answers?: AnswerHandlers<S, P, C, PlayerOf<S, M>>;
  /** What it hears of what other services publish, each by a name of its own: `{ topic: hear(market, 'price'), handle }`. Each
   * instance of those services is told so once, and keeps it; under another name it is another subscription. */
  readonly hears?: { readonly [K in keyof H]: Hears<TellingContext<S, P, C, PlayerOf<S, M>>, H[K], Nothing> };
  /** What to do about own messages that were skipped, see `onCrash` and `onOutage` of `own`. Runs once for each. */
  readonly onSkipped?: SkipHandlers<S, P, C, PlayerOf<S, M>>;
  /** A player came: `me` is its new record. */
  readonly join?: (ctx: PlayerContext<S, P, C, PlayerOf<S, M>>) => Nothing;
  /** A player is gone for good: `me` is destroyed afterwards. */
  readonly leave?: (ctx: PlayerContext<S, P, C, PlayerOf<S, M>>) => Nothing;
}

export type PlayerOf<S extends StateSchema, M extends string> = [M] extends [never] ? never : RecordOfPool<S, M>;

/** A service as defined: the default export of its file. */
export interface Service<S extends StateSchema = StateSchema, P extends Protocol = Protocol> extends Target<P> {
  readonly state: S;
  readonly spec: AnySpec;
  readonly [SERVICE]: true;
}

/** The spec as the runtime sees it: the types were for the compiler. */
export interface AnySpec {
  readonly state: StateSchema;
  readonly protocol: Protocol;
  readonly me?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly tickHz?: number;
  readonly overrun?: 'skip' | 'catchUp';
  readonly start?: (ctx: unknown) => void;
  readonly resumed?: (ctx: unknown) => void;
  readonly tick?: (ctx: unknown) => void;
  readonly on: Readonly<Record<string, (ctx: unknown, payload: unknown) => unknown>>;
  readonly flows?: Readonly<Record<string, unknown>>;
  readonly answers?: Readonly<Record<string, (ctx: unknown, answer: Answer, note: number) => unknown>>;
  readonly hears?: Readonly<Record<string, AnyHears>>;
  readonly onSkipped?: Readonly<Record<string, (ctx: unknown, payload: unknown, why: SkipReason) => unknown>>;
  readonly join?: (ctx: unknown) => void;
  readonly leave?: (ctx: unknown) => void;
}

/** Found by name, so that a service file may come from another copy of the package. */
const SERVICE: unique symbol = Symbol.for('lich.service') as never;

const FIELDS = new Set([
  'state',
  'protocol',
  'me',
  'config',
  'tickHz',
  'overrun',
  'start',
  'resumed',
  'tick',
  'on',
  'flows',
  'answers',
  'hears',
  'onSkipped',
  'join',
  'leave',
]);

/** Define a service. @throws RuntimeError `RUNTIME_BAD_SERVICE`, naming the field */
export function service<
  const S extends StateSchema,
  const P extends Protocol,
  C extends object = Record<never, never>,
  const M extends PoolNames<S> = never,
  const F extends string = never,
  H = object,
>(name: string, spec: ServiceSpec<S, P, C, M, F, H>): Service<S, P> {
  const any = spec as unknown as AnySpec;
  if (!/^[a-z][a-z0-9]{0,23}$/.test(name)) bad(name, 'the name', 'a-z, 0-9, at most 24, a letter first');
  for (const key of Object.keys(any)) if (!FIELDS.has(key)) bad(name, `field \`${key}\``, [...FIELDS].join(', '));
  if (!Array.isArray(any.state?.pools)) bad(name, 'state', 'state({…})');
  if (!Array.isArray(any.protocol?.messages)) bad(name, 'protocol', 'protocol({…})');
  if (typeof any.on !== 'object' || any.on === null) bad(name, 'on', 'a handler for each message of the protocol');
  if (any.config !== undefined && (typeof any.config !== 'object' || any.config === null))
    bad(name, `config: ${String(any.config)}`, 'an object');
  for (const key of ['start', 'resumed', 'tick', 'join', 'leave'] as const)
    if (any[key] !== undefined) checkHandler(name, `\`${key}\``, any[key]);
  if (any.me !== undefined && !any.state.pools.some(entry => entry.name === any.me))
    bad(name, `me: '${any.me}'`, 'the name of a pool of the state');
  if (any.tickHz !== undefined && !(typeof any.tickHz === 'number' && any.tickHz >= 1 && any.tickHz <= 1000))
    bad(name, `tickHz: ${any.tickHz}`, '1..1000');
  if (any.tick && any.tickHz === undefined) bad(name, '`tick` without tickHz', 'both, or neither');
  if (any.overrun !== undefined && any.overrun !== 'skip' && any.overrun !== 'catchUp')
    bad(name, 'overrun', "'skip' or 'catchUp'");
  for (const message of any.protocol.messages) {
    const handled = typeof any.on[message.name] === 'function';
    const isOut = message.role === 'event' || message.role === 'topic';
    if (isOut && handled) bad(name, `on.${message.name}`, `no handler: ${message.role}s go to others`);
    const flows = any.flows !== undefined && Object.hasOwn(any.flows, message.name);
    if (flows && handled) bad(name, `on.${message.name}`, `no handler: flows.${message.name} is started`);
    if (!isOut && !handled && !flows)
      bad(name, `on.${message.name}`, `a handler, or a flow: the protocol says ${message.role}`);
    if (handled) checkHandler(name, `on.${message.name}`, any.on[message.name]);
    if (any.me !== undefined) checkForPlayers(name, message);
  }
  for (const key of Object.keys(any.on)) {
    if (!any.protocol.byName.has(key)) bad(name, `on.${key}`, 'a message of the protocol');
  }
  if (any.flows !== undefined) new FlowCodes(name, any.protocol, any.flows);
  checkSkipped(name, any);
  checkAnswers(name, any);
  checkHears(name, any);
  return { name, protocol: spec.protocol, state: spec.state, spec: any, [SERVICE]: true };
}

function checkSkipped(name: string, { onSkipped = {}, protocol }: AnySpec): void {
  if (typeof onSkipped !== 'object' || onSkipped === null) bad(name, 'onSkipped', 'an object with handlers');
  for (const [key, handler] of Object.entries(onSkipped)) {
    const message = protocol.byName.get(key);
    if (message?.onCrash !== 'skip' && message?.onOutage !== 'skip')
      bad(name, `onSkipped.${key}`, "an own message with onCrash: 'skip' or onOutage: 'skip': others are not skipped");
    checkHandler(name, `onSkipped.${key}`, handler);
  }
}

function checkAnswers(name: string, { answers = {} }: AnySpec): void {
  if (typeof answers !== 'object' || answers === null) bad(name, 'answers', 'an object with handlers');
  for (const [key, handler] of Object.entries(answers)) checkHandler(name, `answers.${key}`, handler);
}

/** Players do not know msgpack. */
function checkForPlayers(name: string, message: MessageSpec): void {
  const { layout, reply, role, from } = message;
  if (role === 'own' || role === 'topic' || from === 'services') return;
  if (layout.whole?.form === 'msgpack' || reply?.whole?.form === 'msgpack')
    bad(name, `${role} ${message.name} is msgpack, and from players`, "bytes(), fields, or { from: 'services' }");
}

function checkHears(name: string, { hears = {} }: AnySpec): void {
  if (typeof hears !== 'object' || hears === null) bad(name, 'hears', 'an object');
  for (const [key, entry] of Object.entries(hears)) {
    const { topic, handle, missed } = entry ?? {};
    if (typeof topic !== 'object' || topic === null)
      bad(name, `hears.${key}`, '{ topic: hear(service, topic), handle }');
    hear(topic.of, topic.name);
    checkHandler(name, `hears.${key}.handle`, handle);
    if (missed !== undefined) checkHandler(name, `hears.${key}.missed`, missed);
  }
}

function checkHandler(name: string, what: string, handler: unknown): void {
  if (typeof handler !== 'function') bad(name, what, 'a function');
  // One that returns a promise without being declared so is found when it is called.
  if (/^(Async|Generator)/.test(handler.constructor.name))
    bad(
      name,
      `${what} is an ${handler.constructor.name}`,
      'a plain function: handlers are synchronous, one message is one transaction',
    );
}

function bad(name: string, what: string, want: string): never {
  throw new RuntimeError('RUNTIME_BAD_SERVICE', `service ${name}: ${what}; want ${want}`);
}

/** Was this made by `service()`? Also true across copies of the package. */
export function isService(value: unknown): value is Service {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[SERVICE] === true;
}
