/** Answers to requests of other services, from the server's side: written into the asker's lane in the transaction of the
 * handler. Where the lane is full (the asker is stopped or slow) the answer waits in the state, as a timer that tries
 * again: if the request waited instead, two services that ask each other could wait for each other for ever.
 *
 *   timer      number LATE_REPLY, due = next try
 *   payload    [stream to the asker][type: ANSWER or REFUSAL][a][b], then what the record holds
 *
 * No more of them wait than their askers have asked and not given up. */
import { CodedError, type MessageSpec } from '@lich/schema';
import { BusError, FULL, type PayloadCodec, payloadCodec, sizeOf, typeOf } from '../bus/index.ts';
import type { TimerWheel } from '../state/index.ts';
import type { Core } from './core.ts';
import { LATE_REPLY, type RuntimeTimer } from './runtime-timers.ts';
import { ANSWER, ANSWER_WORDS, REFUSAL } from './system-messages.ts';

/** Whom to answer: kept by a flow that answers later. */
export interface Asker {
  /** The stream to it, with the priority of its request: the number that the stream has in which that came. */
  readonly stream: number;
  /** The two words of its request. */
  readonly a: number;
  readonly b: number;
}

const STREAM = 0;
const TYPE = 1;
const A = 2;
const B = 3;
const HEADER = 4;

/** An answer that had no room is tried again so much later. */
const AGAIN_MS = 20;
/** What a refusal says at most, in bytes of UTF-8. */
const TEXT_MAX = 1_000;

export class Replies implements RuntimeTimer {
  readonly what = 'of an answer that waits';
  readonly shifts = false;
  readonly #core: Core;
  readonly #wheel: TimerWheel | undefined;
  /** By message id. */
  readonly #codecs: (PayloadCodec | undefined)[];
  readonly #tag: number;

  /** @param tag of the protocol @param wheel undefined in a service that takes no requests */
  constructor(core: Core, tag: number, messages: readonly MessageSpec[], wheel: TimerWheel | undefined) {
    this.#core = core;
    this.#tag = tag;
    this.#wheel = wheel;
    this.#codecs = messages.map(
      ({ reply, name }) => reply && payloadCodec(reply, { resolve: () => undefined }, `${name}.reply`),
    );
  }

  /** Answer, in the open transaction. @throws SchemaError `SCHEMA_RANGE` when the value is no reply of this request */
  answer(to: Asker, message: MessageSpec, value: unknown): void {
    const codec = this.#codecs[message.id]!;
    // A reply without fields need not be given.
    const payload = (codec.sizeOf === undefined ? (value ?? {}) : value) as Readonly<Record<string, unknown>>;
    const { lanes, store } = this.#core;
    const type = typeOf(this.#tag, message.id);
    const bytes = ANSWER_WORDS * 4 + sizeOf(codec, payload);
    const at = this.#claim(to, ANSWER, bytes);
    if (at !== FULL) {
      codec.write(lanes, (at + ANSWER_WORDS) * 4, payload);
      lanes.i32[at] = type;
      lanes.i32[at + 1] = 0;
      this.#core.bus.outbox.commitClaim();
      return;
    }
    const before = store.log.savepoint();
    try {
      const kept = this.#keep(to, ANSWER, bytes);
      if (kept < 0) return;
      codec.write(store.segment, kept + ANSWER_WORDS * 4, payload);
      store.segment.i32[kept / 4] = type;
      store.segment.i32[kept / 4 + 1] = 0;
    } catch (error) {
      store.log.rollbackTo(before);
      throw error;
    }
  }

  /** Say that it was not done, in the open transaction. */
  refuse(to: Asker, code: string, message: string): void {
    const texts = [code, message].map(text => Buffer.from(text).subarray(0, TEXT_MAX));
    const bytes = texts.reduce((sum, text) => sum + text.length, 8);
    const { lanes, store } = this.#core;
    const write = (u32: Uint32Array, u8: Uint8Array, at: number): void => {
      u32[at / 4] = texts[0]!.length;
      u32[at / 4 + 1] = texts[1]!.length;
      u8.set(texts[0]!, at + 8);
      u8.set(texts[1]!, at + 8 + texts[0]!.length);
    };
    const at = this.#claim(to, REFUSAL, bytes);
    if (at !== FULL) {
      write(lanes.u32, lanes.u8, at * 4);
      this.#core.bus.outbox.commitClaim();
      return;
    }
    const kept = this.#keep(to, REFUSAL, bytes);
    if (kept >= 0) write(store.segment.u32, store.segment.u8, kept);
  }

  /** The same, with what a handler threw. Coded errors are made to be read; what a bug says stays in the log. */
  refuseWith(to: Asker, error: unknown, name: string): void {
    if (error instanceof CodedError) this.refuse(to, error.code, error.message);
    else this.refuse(to, 'RUNTIME_HANDLER_FAILED', `${name} failed and was undone`);
  }

  /** Try again. */
  fire(slot: number): void {
    const wheel = this.#wheel!;
    const { segment } = this.#core.store;
    const from = wheel.payloadAt(slot);
    const I = segment.i32;
    const at = from / 4;
    const words = wheel.payloadWordsOf(slot) - HEADER;
    const to = { stream: I[at + STREAM], a: I[at + A], b: I[at + B] };
    const record = this.#claim(to, I[at + TYPE], words * 4);
    if (record === FULL) {
      wheel.move(slot, this.#core.now + AGAIN_MS);
      return;
    }
    const O = this.#core.lanes.i32;
    for (let k = 0; k < words; k++) O[record + k] = I[at + HEADER + k];
    this.#core.bus.outbox.commitClaim();
    wheel.remove(slot);
  }

  /** @returns the byte where to write the record's content; -1 where nothing can be kept: the asker's deadline tells it */
  #keep(to: Asker, type: number, bytes: number): number {
    if (this.#wheel === undefined) return -1;
    const { core, wheel } = { core: this.#core, wheel: this.#wheel };
    const slot = wheel.add(core.now, core.now + AGAIN_MS, LATE_REPLY, HEADER + ((bytes + 3) >> 2));
    const from = wheel.payloadAt(slot);
    const I = core.store.segment.i32;
    const at = from / 4;
    [I[at + STREAM], I[at + TYPE], I[at + A], I[at + B]] = [to.stream, type, to.a, to.b];
    return from + HEADER * 4;
  }

  /** No room for a first lane is the same as a full one: it passes when lanes are given back. */
  #claim(to: Asker, type: number, bytes: number): number {
    try {
      return this.#core.bus.outbox.claim(to.stream, type, to.a, to.b, bytes);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }
}
