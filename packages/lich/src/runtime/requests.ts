/** Requests to other services, from the asker's side. What was asked and who waits for it is a timer in the wheel of own
 * messages, due when the deadline is over: so it is under the log, outlives kills, and is one thing that is taken out once,
 * by the answer or by the deadline.
 *
 *   timer      number ASK, due = deadline
 *   payload    [server's node index | kind of who waits << 16][type as sent][a][b][c][withinMs]
 *              withinMs < 0: the server was out when that was over; without a deadline (flag 1 << 31 in the first word) it
 *              is the creation of the server's lanes that was met, and due is when to look at it again
 *
 *   request    type of the message, a = slot + 1, b = generation of the timer: above 0 in `a`, where a command has 0
 *   ANSWER     a, b as asked; [type as the server has it][0], the reply
 *   REFUSAL    a, b as asked; [code's bytes u32][message's bytes u32][both as UTF-8]
 *
 *   asker      ask: timer + record, one commit                take out + handle, one commit
 *   server                                 handle + ANSWER, one commit
 *
 * An answer that names no waiting timer, or one that asked somebody else, is dropped: nobody waits any more. The deadline
 * is in service time: it stands still while the asker has no process, and where the server has none when it is over, it
 * begins anew once the server has one; not where the server was removed. Where the server's node is made anew, what was on
 * its way is gone, and what has no deadline comes to the same. After a timeout the outcome is unknown: the server may have done it, may do it
 * yet, and its answer is dropped. */
import { CodedError, type NamesOf, type Protocol, type ReplyOf, SchemaError, type SendOf } from '@lich/schema';
import { FULL, idOf, type Key, type PayloadCodec, sizeOf, tagOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { type TimerWheel, TYPE_MASK } from '../state/index.ts';
import { arraysOf } from '../state/internal.ts';
import { problemOf } from './adapt.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import type { FormerProtocols } from './former-protocols.ts';
import type { Outages } from './outages.ts';
import { MustWait } from './outgoing.ts';
import { ASK, type RuntimeTimer } from './runtime-timers.ts';
import type { Sends } from './sends.ts';
import type { Presence } from './presence.ts';
import type { Target } from './service.ts';
import { ANSWER, ANSWER_WORDS, REFUSAL } from './system-messages.ts';
import { translation } from './translate.ts';

/** How long a request waits for its answer, and which instance of the service is asked. */
export interface AskOptions {
  /** Ms of service time, whole, 1 to 2^31 - 1 (24 days). Default: as long as it takes. */
  readonly withinMs?: number;
  /** Default 1. */
  readonly instance?: number;
  /** The instance that has this key, instead of its number. */
  readonly key?: Key;
}

/** Kinds of those who wait; what `a`, `b` and `c` mean is the kind's own affair. In the state. */
export const WAITER = { handler: 1, flow: 2 } as const;

/** Who waits: three words, u32, that tell a kind of waiters which of them it is. */
export interface Waiter {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  /** Default 0. */
  readonly c?: number;
}

/** What came of a request: the reply, or why there is none. Good in the call that it was given to alone.
 *
 *   code                        the server
 *   RUNTIME_ASK_TIMEOUT         has not answered in time: the outcome is unknown
 *   RUNTIME_SET_ASIDE           died of it again and again: not done
 *   RUNTIME_HANDLER_FAILED      threw something without a code: not done
 *   RUNTIME_UNKNOWN_MESSAGE     does not know it, or has other fields in its version, or takes it from players only: not done
 *   RUNTIME_ILL_FORMED          got bytes that are no such message: not done
 *   any other                   threw an error with this code: not done */
export interface Answer {
  readonly failed: { readonly code: string; readonly message: string } | undefined;
  /** The reply to this request.
   * @throws RequestError with what `failed` says, or `RUNTIME_ILL_FORMED` for bytes that are no such reply; RuntimeError
   * `RUNTIME_UNKNOWN_MESSAGE` where something else was asked, or the reply has other fields in the server's version */
  of<Q extends Protocol, N extends NamesOf<Q, 'request'>>(to: Target<Q>, name: N): ReplyOf<Q, N>;
  /** The same as plain data: refs, which are to the server's records, as `{ slot, generation }`; in `of` undefined. */
  plain(to: Target<Protocol>, name: string): Record<string, unknown>;
  /** As it came, for `Asks.plainOf` later on: [type as asked][type as answered][the reply]. @throws RequestError with what `failed` says */
  raw(): Uint8Array;
}

/** Those of one kind that wait. */
export interface Waiting {
  /** In the transaction that takes the request out; called once for each that was asked, unless it was given up. What it
   * throws undoes all but the taking out. */
  answered(waiter: Required<Waiter>, answer: Answer): void;
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
  /** What `raw` of an answer gave, as `plain` would have.
   * @throws RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  plainOf(to: Target<Protocol>, name: string, raw: Uint8Array): Record<string, unknown>;
  /** Before the first message of a life: who is told about requests of waiters of this kind. */
  register(kind: number, waiting: Waiting): void;
}

/** A request that failed, with the code that its server answered or that the deadline gives. */
export class RequestError extends CodedError {}

const WITHIN_MAX = 2 ** 31 - 1;
const NO_END = 0;
/** Without a deadline: so often it is looked whether the server is the one that was asked. */
const MEET_MS = 60_000;
/** In the first word. */
const ENDLESS = 1 << 31;

const NODE = 0;
const TYPE = 1;
const A = 2;
const B = 3;
const C = 4;
const WITHIN = 5;
const WORDS = 6;

/** A server that has no process is looked at again so much later. */
const LOOK_MS = 1_000;

export interface RequestsOptions {
  readonly core: Core;
  readonly sends: Sends;
  readonly wheel: TimerWheel;
  readonly outages: Outages;
  /** Throws when no more timers may wait. */
  readonly refuseFull: () => void;
  readonly presenceOf: (node: number) => Presence;
  /** What versions of services meant; without it those of this code alone are understood. */
  readonly former?: FormerProtocols;
  /** Undo the open transaction, say so, and open another one. */
  readonly undo: (error: unknown, name: string) => void;
}

export class Requests implements Asks, RuntimeTimer {
  readonly what = 'of an answer';
  readonly shifts = true;
  readonly #o: RequestsOptions;
  readonly #waiting = new Map<number, Waiting>();
  /** Since the process began. */
  readonly counts = { asked: 0, answered: 0, refused: 0, timedOut: 0, dropped: 0 };

  constructor(o: RequestsOptions) {
    this.#o = o;
  }

  register(kind: number, waiting: Waiting): void {
    this.#waiting.set(kind, waiting);
  }

  ask(
    to: Target<Protocol>,
    name: string,
    payload: unknown,
    { withinMs = NO_END, instance = 1, key }: AskOptions,
    { kind, a, b, c = 0 }: Waiter,
  ): number {
    const { core, sends, wheel, outages, refuseFull } = this.#o;
    if (withinMs !== NO_END && !(Number.isInteger(withinMs) && withinMs >= 1 && withinMs <= WITHIN_MAX))
      throw new RangeError(`ask '${name}' within ${withinMs}: want whole ms, 1..${WITHIN_MAX}`);
    const { node, stream, type, codec } = sends.address(to, name, 'request', key === undefined ? instance : { key });
    const size = sizeOf(codec, payload);
    refuseFull();
    const { log, segment } = core.store;
    const { outbox } = core.bus;
    const before = log.savepoint();
    try {
      const slot = wheel.add(core.now, core.now + (withinMs || MEET_MS), ASK, WORDS, outages.totalMs);
      const at = wheel.payloadAt(slot) / 4;
      const I = segment.i32;
      [I[at + NODE], I[at + TYPE], I[at + A], I[at + B], I[at + C]] = [node | (kind << 16), type, a, b, c];
      I[at + WITHIN] = withinMs;
      if (withinMs === NO_END) {
        I[at + NODE] |= ENDLESS;
        I[at + WITHIN] = core.bus.inbox.metId(node);
      }
      const record = outbox.claim(stream, type, slot + 1, wheel.generationOf(slot), size);
      if (record === FULL) {
        log.rollbackTo(before);
        return 0;
      }
      codec.write(core.lanes, record * 4, payload as Readonly<Record<string, unknown>>);
      outbox.commitClaim();
      this.counts.asked++;
      return wheel.handleOf(slot);
    } catch (error) {
      // Nothing is left of it, also where the handler catches this.
      log.rollbackTo(before);
      throw error;
    }
  }

  giveUp(handle: number): boolean {
    const { wheel } = this.#o;
    const slot = wheel.slotOf(handle);
    if (slot < 0 || !this.#isAsk(slot)) return false;
    wheel.remove(slot);
    return true;
  }

  plainOf(to: Target<Protocol>, name: string, raw: Uint8Array): Record<string, unknown> {
    const mem = arraysOf(new ArrayBuffer(Math.ceil(raw.length / 16) * 16 + 16));
    mem.u8.set(raw.subarray(4));
    const asked = new DataView(raw.buffer, raw.byteOffset).getInt32(0, true);
    return new Reply(this.#o, asked, mem as Segment, 0, (raw.length - 4) >> 2).plain(to, name);
  }

  #isAsk(slot: number): boolean {
    return (this.#o.wheel.typeOf(slot) & TYPE_MASK) === ASK;
  }

  // What comes.

  /** Handles ANSWER and REFUSAL, inside a transaction. @returns false for a type that is neither */
  deliver(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): boolean {
    if (type !== ANSWER && type !== REFUSAL) return false;
    const { wheel, undo } = this.#o;
    const slot = this.#find(sender, a, b);
    if (slot < 0) {
      this.counts.dropped++;
      return true;
    }
    try {
      if (type === ANSWER) {
        this.#tell(slot, asked => new Reply(this.#o, asked, lanes, word, words));
        this.counts.answered++;
      } else {
        this.#tell(slot, () => readRefusal(lanes, word, words));
        this.counts.refused++;
      }
    } catch (error) {
      if (error instanceof MustWait) throw error;
      undo(error, this.what);
      wheel.remove(slot);
    }
    return true;
  }

  /** The request that this answers. @returns its slot; -1 when nobody waits for it any more */
  #find(sender: number, a: number, b: number): number {
    const { wheel } = this.#o;
    const slot = a - 1;
    const isMine =
      wheel.isWaiting(slot) && wheel.generationOf(slot) === b && this.#isAsk(slot) && this.#nodeOf(slot) === sender;
    return isMine ? slot : -1;
  }

  /** @returns the type that was asked of that node; undefined when nobody waits for it any more */
  askedOf(sender: number, a: number, b: number): number | undefined {
    const slot = this.#find(sender, a, b);
    return slot < 0 ? undefined : this.#o.core.store.segment.i32[this.#o.wheel.payloadAt(slot) / 4 + TYPE];
  }

  /** An answer kept ending the process: nobody is told. In a transaction. @returns false for a type that is none */
  answerSetAside(sender: number, type: number, a: number, b: number): boolean {
    if (type !== ANSWER && type !== REFUSAL) return false;
    const slot = this.#find(sender, a, b);
    if (slot >= 0) this.#o.wheel.remove(slot);
    return true;
  }

  /** @param answer made for the type that was asked */
  #tell(slot: number, answer: (type: number) => Answer): void {
    const waiter = this.#take(slot);
    const waiting = this.#waiting.get(waiter.kind);
    const { log } = this.#o.core;
    if (waiting === undefined) log.warn('an answer came for what this code does not have any more', { ...waiter });
    else waiting.answered(waiter, answer(waiter.type));
  }

  /** Take a request out. @returns what was kept of it */
  #take(slot: number): Required<Waiter> & { type: number } {
    const { core, wheel } = this.#o;
    const { i32: I, u32: U } = core.store.segment;
    const at = wheel.payloadAt(slot) / 4;
    const kept = { kind: (I[at + NODE] >>> 16) & 0x7fff, type: I[at + TYPE], a: U[at + A], b: U[at + B], c: U[at + C] };
    wheel.remove(slot);
    return kept;
  }

  #nodeOf(slot: number): number {
    return this.#o.core.store.segment.i32[this.#o.wheel.payloadAt(slot) / 4 + NODE] & 0xffff;
  }

  /** The deadline is over. */
  fire(slot: number): void {
    const { core, wheel, presenceOf } = this.#o;
    const { log, segment } = core.store;
    const at = wheel.payloadAt(slot) / 4;
    const within = segment.i32[at + WITHIN];
    const node = this.#nodeOf(slot);
    if ((segment.i32[at + NODE] & ENDLESS) !== 0) return this.#look(slot, at, node);
    const presence = presenceOf(node);
    const isOut = presence === 'out';
    if (isOut || (within < 0 && presence === 'in')) {
      log.write(at + WITHIN, isOut ? -Math.abs(within) : -within);
      wheel.move(slot, core.now + (isOut ? LOOK_MS : -within));
      return;
    }
    this.#timeOut(slot, node, presence === 'gone' ? 'is gone' : `has not answered in ${within} ms`);
  }

  /** Without a deadline. */
  #look(slot: number, at: number, node: number): void {
    const { core, wheel } = this.#o;
    const { log, segment } = core.store;
    const asked = segment.i32[at + WITHIN];
    const met = core.bus.inbox.metId(node);
    if (asked !== 0 && met !== asked)
      return this.#timeOut(slot, node, 'was made anew, and what was on its way is gone');
    if (met !== asked) log.write(at + WITHIN, met);
    wheel.move(slot, core.now + MEET_MS);
  }

  #timeOut(slot: number, node: number, why: string): void {
    this.counts.timedOut++;
    const name = this.#o.core.directory.byIndex(node)?.name ?? `node ${node}`;
    this.#tell(slot, type => new Refused('RUNTIME_ASK_TIMEOUT', `${what(type)}: ${name} ${why}`));
  }
}

function what(type: number): string {
  return `message ${idOf(type)} of protocol tag ${tagOf(type)}`;
}

/** An answer that says no. */
class Refused implements Answer {
  readonly failed: { readonly code: string; readonly message: string };

  constructor(code: string, message: string) {
    this.failed = { code, message };
  }

  of(): never {
    return this.plain();
  }

  plain(): never {
    throw new RequestError(this.failed.code, this.failed.message, { severity: 'warn' });
  }

  raw(): never {
    return this.plain();
  }
}

/** [code's bytes][message's bytes][both as UTF-8] */
function readRefusal(lanes: Segment, word: number, words: number): Refused {
  const [code, message] = [lanes.u32[word], lanes.u32[word + 1]];
  const at = (word + 2) * 4;
  if (words < 2 || code + message > (words - 2) * 4)
    return new Refused('RUNTIME_HANDLER_FAILED', 'it was not said why');
  // A copy: text may not be decoded in shared memory.
  const text = (from: number, bytes: number): string => decoder.decode(lanes.u8.slice(from, from + bytes));
  return new Refused(text(at, code), text(at + code, message));
}

const decoder = new TextDecoder();

/** One that is read where it lies: [type as answered][0][the reply]. */
class Reply implements Answer {
  readonly failed = undefined;
  readonly #o: Pick<RequestsOptions, 'sends' | 'former'>;
  readonly #asked: number;
  readonly #lanes: Segment;
  readonly #word: number;
  readonly #words: number;

  constructor(
    o: Pick<RequestsOptions, 'sends' | 'former'>,
    asked: number,
    lanes: Segment,
    word: number,
    words: number,
  ) {
    this.#o = o;
    this.#asked = asked;
    this.#lanes = lanes;
    this.#word = word;
    this.#words = words;
  }

  of(to: Target<Protocol>, name: string): any {
    return this.#read(to, name, 'reply');
  }

  plain(to: Target<Protocol>, name: string): Record<string, unknown> {
    return this.#read(to, name, 'plainReply');
  }

  raw(): Uint8Array {
    const at = this.#word * 4;
    const raw = new Uint8Array(4 + this.#words * 4);
    new DataView(raw.buffer).setInt32(0, this.#asked, true);
    raw.set(this.#lanes.u8.subarray(at, at + this.#words * 4), 4);
    return raw;
  }

  #read(to: Target<Protocol>, name: string, as: 'reply' | 'plainReply'): Record<string, unknown> {
    const { type, [as]: reply } = this.#o.sends.messageOf(to, name, 'request');
    const room = (this.#words - ANSWER_WORDS) * 4;
    const at = (this.#word + ANSWER_WORDS) * 4;
    // What came in the version of the server was brought into the one that was asked, or could not be.
    if (room >= 0 && this.#lanes.i32[this.#word] !== this.#asked)
      this.#refuse(to, name, 'the reply has other fields in the version of the server');
    try {
      if (type !== this.#asked) return this.#readFormer(to, name, reply!, at, room);
      if (room < reply!.bytes) illFormed(to, name);
      return reply!.read(this.#lanes, at, room);
    } catch (error) {
      if (error instanceof SchemaError && error.code === 'SCHEMA_WIRE') illFormed(to, name);
      throw error;
    }
  }

  /** It was asked by code of before. */
  #readFormer(to: Target<Protocol>, name: string, codec: PayloadCodec, at: number, room: number): any {
    const former = this.#o.former?.messageOf(to.name, this.#asked);
    if (former?.reply === undefined || former.name !== name) this.#refuse(to, name, 'something else was asked');
    const now = to.protocol.byName.get(name)!.reply!;
    const problem = problemOf(former.reply, now);
    if (problem !== undefined) this.#refuse(to, name, problem);
    const bytes = translation(former.reply, now)?.(this.#lanes, at, room);
    if (bytes === undefined) return room < codec.bytes ? illFormed(to, name) : codec.read(this.#lanes, at, room);
    return codec.read(arraysOf(bytes.buffer as ArrayBuffer) as unknown as Segment, 0, bytes.length);
  }

  #refuse(to: Target<Protocol>, name: string, why: string): never {
    throw new RuntimeError(
      'RUNTIME_UNKNOWN_MESSAGE',
      `this answers ${what(this.#asked)}, and cannot be read as ${name} of ${to.name}: ${why}`,
    );
  }
}

function illFormed(to: Target<Protocol>, name: string): never {
  throw new RequestError('RUNTIME_ILL_FORMED', `what ${to.name} answered to ${name} is no such reply`, {
    severity: 'warn',
  });
}
