/** What other services say to this one: commands, requests, and answers to what it asked itself. All inside the transaction
 * of the message; a request is answered in that very transaction, or in the one that undid its handler.
 *
 * In a service with players, others may say what its protocol takes `from: 'services'` or `'both'`; without players all. */
import { type MessageSpec, SchemaError } from '@lich/schema';
import { HANDLED, idOf, type PayloadCodec, tagOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Core } from './core.ts';
import type { FormerProtocols } from './former-protocols.ts';
import { HandlerAsks } from './handler-asks.ts';
import type { Outgoing } from './outgoing.ts';
import type { OwnMessages } from './own-messages.ts';
import { refusePromise } from './promise.ts';
import { type Asker, Replies } from './replies.ts';
import { Requests } from './requests.ts';
import { ASK, LATE_REPLY } from './runtime-timers.ts';
import type { Sends } from './sends.ts';
import { presenceOf } from './presence.ts';
import type { Service } from './service.ts';
import { nameOfType, REFUSED, SYSTEM_TAG, WHY, WHY_TEXTS, type Why } from './system-messages.ts';

/** What a handler returns that answers later, through `replies`: a flow. */
export const LATER: unique symbol = Symbol('later');

type Handler = (context: unknown, payload: unknown, asker: Asker | undefined) => unknown;

export interface FromServicesOptions {
  readonly core: Core;
  readonly service: Service;
  /** Tag of its protocol. */
  readonly tag: number;
  /** By message id. */
  readonly codecs: readonly (PayloadCodec | undefined)[];
  readonly context: unknown;
  readonly sends: Sends;
  readonly former: FormerProtocols;
  readonly outgoing: Outgoing;
  readonly own: OwnMessages | undefined;
  /** @returns undefined for a message that is not handled by one transaction */
  readonly handlerOf: (message: MessageSpec) => Handler;
  readonly counts: { handled: number; unknown: number; illFormed: number; refused: number };
  /** Undo the open transaction, say so, and open another one. */
  undo(error: unknown, name: string): void;
}

interface Inbound {
  readonly message: MessageSpec;
  readonly codec: PayloadCodec;
  readonly handler: Handler;
}

/** Words that may be logged for a message after its handler: its cursor, and what is said about it. */
const ROOM_TO_FINISH = 16;
/** The same where an answer is due, for which a lane may have to be made. */
const ROOM_TO_ANSWER = 600;

export class FromServices {
  readonly #o: FromServicesOptions;
  /** By message id. */
  readonly #inbound: (Inbound | undefined)[];
  readonly replies: Replies;
  /** Undefined in a service that asks nobody. */
  readonly requests: Requests | undefined;
  readonly asks: HandlerAsks | undefined;

  constructor(o: FromServicesOptions) {
    this.#o = o;
    const { core, service, codecs, handlerOf, own, sends } = o;
    const hasPlayers = service.spec.me !== undefined;
    this.#inbound = service.protocol.messages.map(message => {
      const isOne = message.role === 'command' || message.role === 'request';
      if (!isOne || (hasPlayers && message.from === 'players')) return undefined;
      return { message, codec: codecs[message.id]!, handler: handlerOf(message) };
    });
    this.replies = new Replies(core, o.tag, service.protocol.messages, own?.wheel);
    if (own === undefined) return;
    own.register(LATE_REPLY, this.replies);
    this.requests = new Requests({
      core,
      sends,
      wheel: own.wheel,
      outages: own.outages,
      refuseFull: () => own.refuseFull(),
      presenceOf: node => presenceOf(core, node),
      former: o.former,
      undo: (error, name) => o.undo(error, name),
    });
    own.register(ASK, this.requests);
    this.asks = new HandlerAsks(this.requests, service.spec, o.context);
  }

  /** @returns HANDLED, or what `orElse` says of a message that is none of these
   * @throws MustWait */
  deliver(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    if (tagOf(type) === this.#o.tag) return this.#handle(sender, type, a, b, lanes, word, words);
    if (this.requests?.deliver(sender, type, a, b, lanes, word, words)) return HANDLED;
    return this.#unknown(sender, type, a, b);
  }

  #handle(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    const inbound = this.#inbound[idOf(type)];
    if (inbound === undefined) return this.#unknown(sender, type, a, b);
    const { message, codec, handler } = inbound;
    const { context, counts, core } = this.#o;
    const room = words * 4;
    if (codec.bytes > room) return this.refuse(sender, type, a, b, 'illFormed');
    let payload: unknown;
    try {
      payload = codec.read(lanes, word * 4, room);
    } catch (error) {
      if (!(error instanceof SchemaError)) throw error;
      return this.refuse(sender, type, a, b, 'illFormed');
    }
    const asker = a === 0 ? undefined : { stream: core.bus.inbox.stream, a, b };
    try {
      const result = handler(context, payload, asker);
      refusePromise(message.name, result);
      core.store.log.mustHaveRoom(asker === undefined ? ROOM_TO_FINISH : ROOM_TO_ANSWER);
      if (asker !== undefined && result !== LATER) this.replies.answer(asker, message, result);
      counts.handled++;
    } catch (error) {
      this.#o.undo(error, message.name);
      if (asker !== undefined) this.replies.refuseWith(asker, error, message.name);
    }
    return HANDLED;
  }

  #unknown(sender: number, type: number, a: number, b: number): number {
    if (type !== REFUSED) return this.refuse(sender, type, a, b, 'unknown');
    const { core, counts } = this.#o;
    counts.refused++;
    core.log.warn('a message was refused by its receiver', {
      receiver: core.directory.byIndex(sender)?.name,
      protocolTag: tagOf(a),
      messageId: idOf(a),
      why: WHY_TEXTS[b] ?? b,
    });
    return HANDLED;
  }

  /** A message cannot be handled: counted, and the sender is told; never thrown at the receiver. In its transaction.
   * @param detail which field, where that is the reason */
  refuse(sender: number, type: number, a: number, b: number, why: Why, detail?: string): number {
    const { core, counts, outgoing, service } = this.#o;
    counts[why === 'illFormed' ? 'illFormed' : 'unknown']++;
    const what = nameOfType(service.protocol, type);
    const text = detail ?? `${what}: ${WHY_TEXTS[WHY[why]]}`;
    core.log.warn('a message was refused', { sender: core.directory.byIndex(sender)?.name, what, why: text });
    if (isRequest(type, a)) {
      const code = why === 'illFormed' ? 'RUNTIME_ILL_FORMED' : 'RUNTIME_UNKNOWN_MESSAGE';
      this.replies.refuse({ stream: core.bus.inbox.stream, a, b }, code, `${service.name} takes no ${text}`);
    } else outgoing.words(sender, REFUSED, type, WHY[why], []);
    return HANDLED;
  }

  /** A message was set aside, since it kept ending the process: its sender is told. */
  setAside(sender: number, type: number, a: number, b: number, deaths: number): void {
    if (isRequest(type, a)) {
      const text = `this message ended the process ${deaths} times and was set aside`;
      this.replies.refuse({ stream: this.#o.core.bus.inbox.stream, a, b }, 'RUNTIME_SET_ASIDE', text);
    } else if (!this.requests?.answerSetAside(sender, type, a, b))
      this.#o.outgoing.words(sender, REFUSED, type, WHY.setAside, []);
  }
}

/** Those who ask say which of their requests it is. */
function isRequest(type: number, a: number): boolean {
  return a !== 0 && tagOf(type) !== SYSTEM_TAG;
}
