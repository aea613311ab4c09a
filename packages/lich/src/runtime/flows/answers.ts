/** Who asked for what a flow gives, and how they are told. */
import type { MessageSpec, Protocol } from '@lich/schema';
import type { Pool } from '../../state/index.ts';
import type { Core } from '../core.ts';
import { errorData } from '../log.ts';
import { MustWait } from '../outgoing.ts';
import { errorValue } from './errors.ts';
import type { Outcome } from './steps.ts';
import { ASKER, type $Flow } from './table.ts';

/** Who is told what a flow gave. Both may throw MustWait. */
export interface FlowAnswers {
  player(me: object, n: number, message: MessageSpec, outcome: FlowAnswer): void;
  service(to: { stream: number; a: number; b: number }, message: MessageSpec, outcome: FlowAnswer): void;
}
/** What is answered. */
export type FlowAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** What the handler of a message that starts a flow returns: the answer comes later. */
export class Started {
  readonly #flow: $Flow;
  readonly id: number;

  constructor(flow: $Flow, id: number) {
    this.#flow = flow;
    this.id = id;
  }

  /** @param n number of the player's request */
  askedByPlayer(n: number): void {
    this.#flow.asker = ASKER.player;
    this.#flow.question.set(0, n);
  }

  askedByService({ stream, a, b }: { stream: number; a: number; b: number }): void {
    const { question } = this.#flow;
    this.#flow.asker = ASKER.service;
    question.set(0, stream);
    question.set(1, a >>> 0);
    question.set(2, b >>> 0);
  }
}

/** In the transaction in which a flow ends. What is no answer is logged, and answered as an error.
 * @param name of the message that its code belongs to
 * @throws MustWait when the lane to who asked is full */
export function tellAsker(
  o: {
    readonly core: Core;
    readonly protocol: Protocol;
    readonly answers: FlowAnswers;
    readonly players: Pool<object> | undefined;
  },
  flow: $Flow,
  name: string,
  outcome: Outcome,
): void {
  const { answers, core, players } = o;
  const { asker, question } = flow;
  // A flow that is dropped may be none of this code's.
  const message = o.protocol.byName.get(name);
  if (asker === ASKER.nobody || message?.reply === undefined) return;
  const { log } = core.store;
  const before = log.savepoint();
  const tell = (answer: FlowAnswer): void => {
    if (asker === ASKER.service)
      return answers.service(
        { stream: question.get(0), a: question.get(1) | 0, b: question.get(2) | 0 },
        message,
        answer,
      );
    const me = players?.resolve(flow.meSlot, flow.meGeneration);
    if (me !== undefined) answers.player(me, question.get(0), message, answer);
  };
  const refuse = (error: unknown): void => {
    const { code, coded, message: text } = errorValue(error);
    // Coded errors are made to be read; what a bug says stays in the log.
    tell(
      code === undefined || !coded
        ? { ok: false, code: 'RUNTIME_FLOW_FAILED', message: `${name} failed` }
        : { ok: false, code, message: text },
    );
  };
  if (!outcome.ok) return refuse(outcome.error);
  try {
    tell({ ok: true, value: outcome.value });
  } catch (error) {
    if (error instanceof MustWait) throw error;
    log.rollbackTo(before);
    core.onCommit(() => core.log.warn(`flow ${name}: what it returned is no answer`, errorData(error)));
    refuse(error);
  }
}
