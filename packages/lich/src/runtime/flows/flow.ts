/** Flows: what waits. A flow is a generator that is run again over its record after a crash, so it must be a function of
 * that record: it sees state only inside `ctx.do`, and the world outside only inside `ctx.effect`. These are its types. */
import type {
  AnswerOf,
  FixedArray,
  GrowingArray,
  HashMap,
  HashSet,
  List,
  NamesOf,
  PlainOf,
  Pool,
  Problem,
  Protocol,
  Queue,
  Recordlike,
  SendOf,
  SortedMap,
  StateSchema,
  WholeOr,
} from '@lich/schema';
import type { Key } from '../../bus/index.ts';
import type { Random } from '../random.ts';
import type { Where } from '../sends.ts';
import type { Context, PlayerContext, Target, TellingContext } from '../service.ts';
import type { Again, FlowGenerator, Step } from './steps.ts';

type View =
  | Recordlike<any>
  | FixedArray<any, any, any>
  | GrowingArray<any, any, any>
  | List<any, any, any>
  | Queue<any, any, any>
  | HashMap<any, any, any, any>
  | SortedMap<any, any, any, any>
  | HashSet<any, any, any>
  | Pool<any>;
type Data = string | number | bigint | boolean | null | undefined | Uint8Array;

/** What a step gives, as it was recorded: plain data. What is no plain data becomes the sentence that the compiler prints
 * where it is used. */
export type Recorded<R> = 0 extends 1 & R
  ? R
  : R extends Data
    ? R
    : R extends View
      ? Problem<'state is seen inside ctx.do alone: return its values, or its ref'>
      : R extends (...args: never) => unknown
        ? Problem<'the record of a flow holds plain data, not a function'>
        : R extends PromiseLike<unknown>
          ? Problem<'ctx.do is one transaction and cannot wait: a promise belongs into ctx.effect'>
          : R extends object
            ? { readonly [K in keyof R]: Recorded<R[K]> }
            : R;

/** The fields of a message as a flow gets them: refs as `{ slot, generation }`, for `pool.resolve` inside `ctx.do`. */
export type FlowFields<F> = { readonly [K in keyof F]: PlainOf<F[K]> };
/** The payload that a flow is started with. */
export type FlowPayload<P, N> =
  P extends Protocol<infer M>
    ? N extends keyof M
      ? M[N] extends { readonly fields: infer F }
        ? WholeOr<F, FlowFields<F>>
        : never
      : never
    : never;
/** What a flow gets that asked another service. */
export type FlowReply<P, N> =
  P extends Protocol<infer M>
    ? N extends keyof M
      ? M[N] extends { readonly role: 'request'; readonly reply: infer A }
        ? WholeOr<A, FlowFields<A>>
        : never
      : never
    : never;

/** What comes of a branch. */
export type Result<B> = B extends Step<infer R> ? R : B extends Iterator<any, infer R, any> ? R : never;
/** Something that can be waited for: a step, or a generator of steps. */
export type FlowBranch = Step<any> | FlowGenerator<any>;
type Branches = readonly FlowBranch[] | Readonly<Record<string, FlowBranch>>;
/** Which branch was first, and with what. */
export type Winner<B> = B extends readonly unknown[]
  ? { readonly by: number; readonly value: Result<B[number]> }
  : { readonly [K in keyof B]: { readonly by: K; readonly value: Result<B[K]> } }[keyof B];

/** How `call` asks. */
export interface CallOptions {
  /** Which instance of the service. Default 1. */
  readonly instance?: number;
  /** The instance that has this key, instead of its number. */
  readonly key?: Key;
  /** How long the answer is waited for, in ms of service time. */
  readonly withinMs?: number;
}

/** What a flow is given: no state. */
export interface FlowContext<C, T, Payload> {
  /** Of this flow, for `ctx.cancelFlow` of a handler: the same over its lives and when it goes on as a new flow. */
  readonly id: number;
  /** That of its code when it began; see `version` of FlowSpec. */
  readonly version: number;
  /** Counts how often it went on as a new flow, from 0. */
  readonly turn: number;
  readonly config: Readonly<C>;
  /** Service time of the last step, in ms: the same in a re-run. */
  readonly now: number;
  /** A stream of this flow alone: the same in a re-run. Not for secrets. */
  readonly random: Random;
  /** One transaction. What `fn` returns, plain data, is recorded in the same commit; a re-run is given it and skips `fn`.
   * What it throws undoes it, is recorded too, and thrown here as FlowStepError.
   * @throws RuntimeError `RUNTIME_FLOW_STATE` when it returns a record, `RUNTIME_FLOW_VALUE` for what is no plain data */
  do<R>(fn: (t: T) => R): Step<Recorded<R>>;
  /** @param name said in reports */
  do<R>(name: string, fn: (t: T) => R): Step<Recorded<R>>;
  /** Wait so long, in ms of service time: 0 to 100 years, over crashes and outages; never less. */
  sleep(ms: number): Step<void>;
  /** Ask another service, and wait for what it answers. It is handled exactly once.
   * @throws FlowStepError with the code of what the other side answered */
  call<Q extends Protocol, N extends NamesOf<Q, 'request'>>(
    to: Target<Q>,
    name: N,
    payload: SendOf<Q, N>,
    options?: CallOptions,
  ): Step<FlowReply<Q, N>>;
  /** Send a command to another service, and wait for as long as its lane is full. It is handled exactly once.
   * @param where as in `ctx.send` of a handler */
  send<Q extends Protocol, N extends NamesOf<Q, 'command'>>(
    to: Target<Q>,
    name: N,
    payload: SendOf<Q, N>,
    where?: Where | 'all',
  ): Step<void>;
  /** The door to promises and the world outside. `fn` runs at least once: again in each life that finds it unfinished, with
   * the same `key`; what it gives is recorded once. `signal` aborts when the step is not needed any more, or the process
   * ends. @throws FlowStepError when the promise was rejected */
  effect<R>(name: string, fn: (key: string, signal: AbortSignal) => Promise<R>): Step<Recorded<R>>;
  /** All branches, side by side. When one fails the others are cancelled, and its error is thrown once they have ended. */
  all<const B extends Branches>(branches: B): Step<{ -readonly [K in keyof B]: Result<B[K]> }>;
  /** The first branch to end; the others are cancelled, and have ended when this goes on. */
  race<const B extends Branches>(branches: B): Step<Winner<B>>;
  /** A branch that is cancelled unless it ends within so many ms of service time; the time in which this service did not
   * run does not count. @throws RuntimeError `RUNTIME_FLOW_DEADLINE` */
  within<B extends FlowBranch>(ms: number, branch: B): FlowGenerator<Result<B>>;
  /** What to do when this flow, or this branch, fails later on or is cancelled: the last one first, each with steps of its
   * own. Give it before a step whose outcome may stay unknown, such as a call. */
  onUndo(fn: () => FlowBranch | void): void;
  /** `return ctx.again(payload)`: go on as a new flow, with an empty record and under the same id. */
  again(payload: Payload): Again;
}

/** What waits, of one message: its code and its annotations. */
export interface FlowSpec<Run> {
  readonly run: Run;
  /** Of the code, 1 and up. A flow keeps the version that it began with (`ctx.version`). Raise it when the steps change. */
  readonly version?: number;
  /** The oldest version that this code can go on with. Default: `version`. One of another version waits, with an error in
   * the log, for code that can. */
  readonly accepts?: number;
  /** What this flow was called before. */
  readonly was?: string | readonly string[];
  /** Most steps in a record, 1..100,000; default 1,000. */
  readonly maxSteps?: number;
  /** Most bytes of a record, 1,000..16,777,216; default 65,536. */
  readonly maxBytes?: number;
}

type RunOf<C, T, Payload, Answer> = (
  ctx: FlowContext<C, T, Payload>,
  payload: Payload,
) => FlowGenerator<([Answer] extends [void] ? void : Answer) | Again>;

type InDo<S extends StateSchema, P extends Protocol, C, Me, N> = [Me] extends [never]
  ? Context<S, P, C>
  : N extends NamesOf<P, 'own'>
    ? TellingContext<S, P, C, Me>
    : PlayerContext<S, P, C, Me>;

type FlowRun<S extends StateSchema, P extends Protocol, C, Me, N> = RunOf<
  C,
  InDo<S, P, C, Me, N>,
  FlowPayload<P, N>,
  AnswerOf<P, N>
>;

/** What `flows` of a service takes: a generator function, or one with annotations, for a message each. */
export type Flows<S extends StateSchema, P extends Protocol, C, Me, F extends string> = {
  readonly [N in F]: N extends NamesOf<P, 'command' | 'request' | 'own'>
    ? FlowRun<S, P, C, Me, N> | FlowSpec<FlowRun<S, P, C, Me, N>>
    : Problem<'a flow is started by a command, a request or an own message of the protocol'>;
};
