/** The scene's side of its players: their records in the `me` pool, with what the runtime keeps there.
 *
 *   hidden fields of the me pool
 *   $gateway     u32  node index of the player's gateway + 1; 0 = the record was made by the service, nobody plays it
 *   $session     u32  the session's slot and generation there
 *   $generation  u32
 *   $lastIn      u32  number of the last message of this player that was handled: it travels with the record
 *
 * A message that was handled already is ignored by its number, so a gateway may send it again. */
import {
  type Codec,
  CloseCode,
  CodedError,
  type MessageSpec,
  OutKind,
  payloadCodecOf,
  Reader,
  replyCodecOf,
  SchemaError,
  type StructLayout,
  u32,
  type Writer,
  writeEvent,
  writeReply,
  writeReplyError,
} from '@lich/schema';
import { HANDLED } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Pool } from '../state/index.ts';
import type { Core } from './core.ts';
import type { FlowAnswer } from './flows/answers.ts';
import { LATER } from './from-services.ts';
import { errorData } from './log.ts';
import { MustWait, type Outgoing } from './outgoing.ts';
import { refusePromise } from './promise.ts';
import type { AnySpec } from './service.ts';
import type { SyncScan } from './sync-scan.ts';
import { CLOSE, INPUT, JOIN, JOINED, LEAVE, PICTURE } from './system-messages.ts';

/** Hidden fields for the `me` pool. */
export const playerFields = { $gateway: u32, $session: u32, $generation: u32, $lastIn: u32 };

/** A record of the me pool with the runtime's fields. */
export interface PlayerRecord {
  $gateway: number;
  $session: number;
  $generation: number;
  $lastIn: number;
}

/** What a delivery says of bytes that are no such message. */
export const ILL_FORMED = -1;

/** Words that may be logged for a message after its handler: a lane that is made for the answer takes some. */
const ROOM_TO_ANSWER = 600;

/** How a handler is called: with what it finds in its context as `me`. */
export type Run = (me: object | undefined, fn: () => unknown) => unknown;

export interface PlayersOptions {
  readonly core: Core;
  readonly spec: AnySpec;
  readonly pool: Pool<object>;
  readonly outgoing: Outgoing;
  readonly scan: SyncScan;
  readonly writer: Writer;
  readonly context: object;
  readonly withMe: Run;
  /** Shows everybody what changed so far. */
  readonly show: () => void;
  readonly resolveRefs: (layout: StructLayout, payload: Record<string, unknown>) => Record<string, unknown>;
  readonly tick: () => number;
  readonly count: (what: 'handled' | 'failed' | 'ignored') => void;
}

interface Inbound {
  readonly spec: MessageSpec;
  readonly codec: Codec;
  readonly reply: Codec | undefined;
}

export class Players {
  readonly #o: PlayersOptions;
  readonly #inbound: (Inbound | undefined)[];

  constructor(o: PlayersOptions) {
    this.#o = o;
    this.#inbound = o.spec.protocol.messages.map(spec =>
      (spec.role === 'command' || spec.role === 'request') && spec.from !== 'services'
        ? { spec, codec: payloadCodecOf(spec), reply: spec.reply && replyCodecOf(spec) }
        : undefined,
    );
  }

  /** A gateway's message, inside a transaction.
   * @returns undefined when the type is not one of these, ILL_FORMED for one that is cut short
   * @throws MustWait when the lane to the gateway is full: the message stays where it is */
  deliver(
    gateway: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    words: number,
  ): number | undefined {
    if (type === INPUT ? words < 5 : type === LEAVE && words < 2) return ILL_FORMED;
    switch (type) {
      case JOIN:
        return this.#join(gateway, a, b);
      case INPUT:
        return this.#input(gateway, a, b, lanes, word, words);
      case LEAVE:
        return this.#leave(gateway, a, b, lanes.i32[word], lanes.i32[word + 1]);
      case PICTURE:
        return this.#picture(gateway, a, b);
      default:
        return undefined;
    }
  }

  #join(gateway: number, session: number, generation: number): number {
    const { core, pool, spec, outgoing } = this.#o;
    const { log } = core.store;
    try {
      const me = pool.create() as PlayerRecord;
      me.$gateway = gateway + 1;
      me.$session = session;
      me.$generation = generation >>> 0;
      const joined = spec.join && this.#o.withMe(me, () => spec.join!(this.#o.context));
      refusePromise('join', joined);
      // Before the new session counts, so that it gets no delta without a picture.
      this.#o.show();
      const ref = pool.refOf(me);
      const told = outgoing.words(gateway, JOINED, session, generation, [
        ref.slot,
        ref.generation,
        Math.round((spec.tickHz ?? 0) * 1000),
      ]);
      if (!told) throw new MustWait(gateway);
      outgoing.count(gateway, 1);
      this.#sendPicture(gateway, session, generation);
    } catch (error) {
      if (error instanceof MustWait) throw error;
      log.rollback();
      core.dropHooks();
      core.log.error('a player could not join', errorData(error));
      log.begin();
      outgoing.close(gateway, session, generation, CloseCode.NO_SCENE);
    }
    return HANDLED;
  }

  #picture(gateway: number, session: number, generation: number): number {
    this.#o.show();
    this.#sendPicture(gateway, session, generation);
    return HANDLED;
  }

  /** Deltas say what differs from what was shown last: a picture must show that very state, so whatever changed since is
   * shown to everybody first. Otherwise what changes back before the next tick would stay in the picture for ever. */
  #sendPicture(gateway: number, session: number, generation: number): void {
    const { core, scan, writer, outgoing } = this.#o;
    scan.picture(core.life.epoch, this.#o.tick());
    outgoing.toSession(gateway, session, generation, writer.view());
  }

  #leave(gateway: number, session: number, generation: number, slot: number, playerGeneration: number): number {
    const { core, pool, spec, outgoing } = this.#o;
    const { log } = core.store;
    // One LEAVE comes for each session that joined, also where the service has destroyed the record itself.
    outgoing.count(gateway, -1);
    const me = this.#player(gateway, session, generation, slot, playerGeneration);
    if (me === undefined) return HANDLED;
    try {
      if (spec.leave)
        refusePromise(
          'leave',
          this.#o.withMe(me, () => spec.leave!(this.#o.context)),
        );
    } catch (error) {
      log.rollback();
      core.dropHooks();
      core.log.error('the leave handler threw; the player leaves all the same', errorData(error));
      log.begin();
      outgoing.count(gateway, -1);
    }
    if (pool.has(me)) pool.destroy(me);
    return HANDLED;
  }

  /** The state was restored from a dump: it is one of the past, and whoever played then has left. Those whose sessions still
   * live are told that they have ended. Outside transactions; killed in between, it is done again for those who are left. */
  endAll(): void {
    const { core, pool, outgoing } = this.#o;
    for (const record of pool) {
      const me = record as PlayerRecord;
      const { $gateway, $session, $generation } = me;
      const { slot, generation } = pool.refOf(me);
      core.transact(() => {
        const gateway = $gateway - 1;
        this.#leave(gateway, $session, $generation, slot, generation);
        if (core.directory.byIndex(gateway) === undefined) return;
        outgoing.words(gateway, CLOSE, $session, $generation, [CloseCode.SESSION_ENDED]);
      });
    }
  }

  #player(
    gateway: number,
    session: number,
    generation: number,
    slot: number,
    playerGeneration: number,
  ): PlayerRecord | undefined {
    const me = this.#o.pool.resolve(slot >>> 0, playerGeneration >>> 0) as PlayerRecord | undefined;
    if (me === undefined) return undefined;
    const isTheirs =
      me.$gateway === gateway + 1 && me.$session === session >>> 0 && me.$generation === generation >>> 0;
    return isTheirs ? me : undefined;
  }

  #input(gateway: number, session: number, generation: number, lanes: Segment, word: number, words: number): number {
    const { outgoing, core, pool } = this.#o;
    const { log } = core.store;
    const n = lanes.u32[word + 2];
    const byteLength = lanes.u32[word + 4];
    const me = this.#player(gateway, session, generation, lanes.i32[word], lanes.i32[word + 1]);
    if (me === undefined) {
      outgoing.close(gateway, session, generation, CloseCode.SESSION_ENDED);
      return HANDLED;
    }
    if (n <= me.$lastIn) {
      this.#o.count('ignored');
      return HANDLED;
    }
    const inbound = this.#inbound[lanes.u32[word + 3]];
    me.$lastIn = n;
    if (inbound === undefined || byteLength > (words - 5) * 4) {
      outgoing.close(gateway, session, generation, CloseCode.MALFORMED);
      return HANDLED;
    }
    try {
      const start = (word + 5) * 4;
      // A copy: the reader decodes text, which may not be done in shared memory.
      const reader = new Reader(lanes.u8.slice(start, start + byteLength));
      const payload = inbound.codec.read(reader);
      reader.end();
      this.#handle(inbound, me, gateway, session, generation, n, payload);
    } catch (error) {
      if (error instanceof MustWait) throw error;
      log.rollback();
      core.dropHooks();
      log.begin();
      const again = pool.resolve(lanes.u32[word], lanes.u32[word + 1]) as PlayerRecord;
      again.$lastIn = n;
      this.#refuse(error, inbound, gateway, session, generation, n);
    }
    return HANDLED;
  }

  #handle(
    inbound: Inbound,
    me: PlayerRecord,
    gateway: number,
    session: number,
    generation: number,
    n: number,
    payload: Record<string, unknown>,
  ): void {
    const { spec, context, withMe, writer, outgoing, resolveRefs } = this.#o;
    const { name, layout } = inbound.spec;
    const handler = spec.on[name]! as (context: unknown, payload: unknown, n: number) => unknown;
    const result = withMe(me, () => handler(context, resolveRefs(layout, payload), n));
    refusePromise(name, result);
    this.#o.core.store.log.mustHaveRoom(ROOM_TO_ANSWER);
    this.#o.count('handled');
    if (inbound.reply === undefined || result === LATER) return;
    writer.reset();
    writer.u8(OutKind.REPLY);
    writeReply(writer, n);
    inbound.reply.write(writer, (result ?? {}) as object);
    outgoing.toSession(gateway, session, generation, writer.view());
  }

  /** The handler threw, or the payload was no good: everything is undone but the number; the player is told. */
  #refuse(error: unknown, inbound: Inbound, gateway: number, session: number, generation: number, n: number): void {
    const { core, outgoing } = this.#o;
    this.#o.count('failed');
    if (error instanceof SchemaError && error.code === 'SCHEMA_WIRE') {
      outgoing.close(gateway, session, generation, CloseCode.MALFORMED);
      return;
    }
    core.log.warn(`handler ${inbound.spec.name} threw and is undone`, { n, ...errorData(error) });
    // Coded errors are made to be read; what a bug says stays in the log.
    const coded = error instanceof CodedError;
    this.answerError(
      gateway,
      session,
      generation,
      n,
      coded ? error.code : 'RUNTIME_HANDLER_FAILED',
      coded ? error.message : `${inbound.spec.name} failed and was undone`,
    );
  }

  /** Answer a request that was handled in an earlier transaction, unless nobody plays that record any more.
   * @throws MustWait; SchemaError for a value that is no reply of this request */
  answerLater(player: object, n: number, { id }: MessageSpec, answer: FlowAnswer): void {
    const { $gateway, $session, $generation } = player as PlayerRecord;
    if ($gateway === 0) return;
    if (!answer.ok) return this.answerError($gateway - 1, $session, $generation, n, answer.code, answer.message);
    const { writer, outgoing } = this.#o;
    writer.reset();
    writer.u8(OutKind.REPLY);
    writeReply(writer, n);
    this.#inbound[id]!.reply!.write(writer, (answer.value ?? {}) as object);
    outgoing.toSession($gateway - 1, $session, $generation, writer.view());
  }

  /** Tell a player that its message `n` was not done. @throws MustWait */
  answerError(gateway: number, session: number, generation: number, n: number, code: string, message: string): void {
    const { writer, outgoing } = this.#o;
    writer.reset();
    writer.u8(OutKind.REPLY);
    writeReplyError(writer, n, code, message);
    outgoing.toSession(gateway, session, generation, writer.view());
  }

  /** Tell one player an event. Where its gateway's lane is full, that gateway misses something: see outgoing.ts. */
  tell(player: PlayerRecord, event: MessageSpec, codec: Codec, payload: object): void {
    if (player.$gateway === 0) return;
    this.writeEvent(event, codec, payload);
    this.#o.outgoing.tell(player.$gateway - 1, player.$session, player.$generation, this.#o.writer.view());
  }

  /** Leave the event's OUT body in the writer. */
  writeEvent(event: MessageSpec, codec: Codec, payload: object): void {
    const { writer } = this.#o;
    writer.reset();
    writer.u8(OutKind.EVENT);
    writeEvent(writer, event.id);
    codec.write(writer, payload);
  }
}
