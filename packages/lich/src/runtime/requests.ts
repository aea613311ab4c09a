/** Requests to other services, from the asker's side. What was asked and who waits for it is a timer in the wheel of own
 * messages, due when the deadline is over: so it is under the log, outlives kills, and is one thing that is taken out once,
 * by the answer or by the deadline.
 *
 *   timer      number ASK, due = deadline
 *   payload    [server's node index][type as sent][kind of who waits][a][b]
 *
 *   request    type of the message, a = slot + 1, b = generation of the timer: above 0 in `a`, where a command has 0
 *   ANSWER     a, b as asked; the reply's struct
 *   REFUSAL    a, b as asked; [code's bytes u32][message's bytes u32][both as UTF-8]
 *
 *   asker      ask: timer + record, one commit                take out + handle, one commit
 *   server                                 handle + ANSWER, one commit
 *
 * An answer that names no waiting timer, or one that asked somebody else, is dropped: nobody waits any more. The deadline
 * is in service time and stands still while the asker has no process; when it is over, the outcome is unknown: the server
 * may have done it, may do it yet, and its answer is dropped. */
import type { NamesOf, Protocol, ReplyOf, SendOf } from '@lich/schema';
import { TYPE_MASK } from '../state/index.ts';
import type { Target } from './service.ts';

/** In place of the number of a message, in the wheel. */
export const ASK = TYPE_MASK - 1;

/** How long a request waits for its answer, and which instance of the service is asked. */
export interface AskOptions {
  /** Ms of service time, whole, 1 to 100 years. */
  readonly withinMs: number;
  /** Default 1. */
  readonly instance?: number;
}

/** Who waits: kinds are given out here, what `a` and `b` mean is the kind's own affair. Kept in the state. */
export const WAITER = { handler: 1, flow: 2 } as const;

/** Two words, u32, that tell a kind of waiters which of them it is. */
export interface Waiter {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
}

/** What came of a request: the reply, or why there is none. `of` is good in the call it was given to alone.
 *
 *   code                        the server
 *   RUNTIME_ASK_TIMEOUT         has not answered in time: the outcome is unknown
 *   RUNTIME_SET_ASIDE           died of it again and again: not done
 *   RUNTIME_HANDLER_FAILED      threw something without a code: not done
 *   RUNTIME_UNKNOWN_MESSAGE     does not know it, or not in this version: not done
 *   any other                   threw an error with this code: not done */
export interface Answer {
  readonly failed: { readonly code: string; readonly message: string } | undefined;
  /** The reply to this request. @throws RuntimeError with the code of `failed`; `RUNTIME_UNKNOWN_MESSAGE` where something
   * else was asked, or another version of the protocol */
  of<Q extends Protocol, N extends NamesOf<Q, 'request'>>(to: Target<Q>, name: N): ReplyOf<Q, N>;
}

/** Those of one kind that wait. */
export interface Waiting {
  /** In the transaction that takes the request out; called once for each that was asked, unless it was given up. What it
   * throws undoes all but the taking out. */
  answered(a: number, b: number, answer: Answer): void;
}

/** What flows and handlers ask through. */
export interface Asks {
  /** Ask, in the open transaction.
   * @param waiter whom to tell, see `register`
   * @returns a handle, above 0; 0 when the lane is full and may not grow: nothing was asked
   * @throws BusError `BUS_UNKNOWN_NODE`, `BUS_RECORD_TOO_LARGE`, `BUS_NO_ROOM`, `BUS_TOO_MANY_LANES`; SchemaError
   * `SCHEMA_RANGE`; StateError `STATE_HEAP_FULL`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE`, `RUNTIME_TIMERS_FULL` */
  ask<Q extends Protocol, N extends NamesOf<Q, 'request'>>(
    to: Target<Q>,
    name: N,
    payload: SendOf<Q, N>,
    options: AskOptions,
    waiter: Waiter,
  ): number;
  /** Nobody waits any more; what the server does about it stays done. In a transaction. @returns whether it still waited */
  giveUp(handle: number): boolean;
  /** Before the first message of a life: who is told about requests of waiters of this kind. */
  register(kind: number, waiting: Waiting): void;
}
