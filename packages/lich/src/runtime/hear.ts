/** What a service hears: topics that others publish, each with what it does about it. */
import type { NamesOf, PayloadOf, Protocol } from '@lich/schema';
import { RuntimeError } from './errors.ts';
import type { Target } from './service.ts';

/** A topic of a service. */
export interface Topic<Q extends Protocol = Protocol, N extends string = string> {
  readonly of: Target<Q>;
  readonly name: N;
}

/** A topic to hear, for `hears` of a service: `{ topic: hear(market, 'price'), handle(ctx, { value }) { … } }`.
 * @throws RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
export function hear<Q extends Protocol, const N extends NamesOf<Q, 'topic'>>(of: Target<Q>, name: N): Topic<Q, N> {
  if (of.protocol.byName.get(name)?.role === 'topic') return { of, name };
  throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${name} is no topic of service ${of.name}`);
}

/** What is said under a topic; refs, which are to the publisher's records, are undefined. */
export type HeardOf<T> = T extends Topic<infer Q, infer N> ? PayloadOf<Q, N> : never;

/** One thing that a service hears. */
export interface Hears<Ctx, T, Nothing> {
  readonly topic: T;
  /** Called once for each publication, in the order of each publisher.
   * @param from the node that published it, `market-1` */
  readonly handle: (ctx: Ctx, payload: HeardOf<T>, from: string) => Nothing;
  /** This service was too slow, and `count` publications of that node did not reach it: they lie between the last one
   * that it heard and the next one. */
  readonly missed?: (ctx: Ctx, count: number, from: string) => Nothing;
}

/** As the runtime sees it. */
export interface AnyHears {
  readonly topic: Topic;
  readonly handle: (ctx: unknown, payload: unknown, from: string) => unknown;
  readonly missed?: (ctx: unknown, count: number, from: string) => unknown;
}
