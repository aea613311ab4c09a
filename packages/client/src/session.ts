/** What a session remembers across connections: the numbers of both directions, what is not acknowledged, who waits.
 * Nothing here knows of sockets or time.
 *
 *   n     numbers messages to the server: 1, 2, 3 … Resent with the same n until acknowledged; the server does each once.
 *   seq   numbers output from the server, with gaps. What is not above `lastSeq` was handled before and is ignored.
 *
 * Invariant: pending holds exactly the messages acked+1 … last, in order. */
import type { MessageSpec } from '@lich/schema';
import { ClientError } from './errors.ts';

/** A message on its way. */
export interface Pending {
  readonly n: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/** Somebody who waits for a reply. */
export interface Ask {
  readonly spec: MessageSpec;
  readonly resolve: (reply: never) => void;
  readonly reject: (error: ClientError) => void;
}

/** @internal */
export class Session {
  token: Uint8Array | undefined;
  readonly #maxPending: number;
  readonly #pending = new Map<number, Pending>();
  readonly #asks = new Map<number, Ask>();
  #last = 0;
  #acked = 0;
  #lastSeq = 0;

  constructor(maxPending: number) {
    if (!Number.isInteger(maxPending) || maxPending < 1)
      throw new RangeError(`maxPending takes a whole number from 1, not ${maxPending}`);
    this.#maxPending = maxPending;
  }

  /** Highest n that the server acknowledged. */
  get acked(): number {
    return this.#acked;
  }

  /** Highest n given out. */
  get last(): number {
    return this.#last;
  }

  /** Highest seq that was handled. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** What was not acknowledged, in order. */
  get pending(): IterableIterator<Pending> {
    return this.#pending.values();
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** A session that another client began goes on after its last message. */
  continueAfter(n: number): void {
    this.#last = this.#acked = n;
  }

  /** Number a message and keep it until it is acknowledged.
   * @throws ClientError `CLIENT_FULL` */
  add(id: number, payload: Uint8Array, ask?: Ask): Pending {
    this.#checkRoom(this.#pending.size, 'not acknowledged');
    if (ask !== undefined) this.#checkRoom(this.#asks.size, 'not answered');
    const message: Pending = { n: ++this.#last, id, payload };
    this.#pending.set(message.n, message);
    if (ask !== undefined) this.#asks.set(message.n, ask);
    return message;
  }

  #checkRoom(count: number, what: string): void {
    if (count < this.#maxPending) return;
    const message = `${count} messages are ${what}: slow down, or raise maxPending`;
    throw new ClientError('CLIENT_FULL', message, { severity: 'warn' });
  }

  /** All messages up to n are done or kept by the server. */
  acknowledge(n: number): void {
    while (this.#acked < n) this.#pending.delete(++this.#acked);
  }

  /** Output `seq` is being handled. */
  handled(seq: number): void {
    this.#lastSeq = seq;
  }

  /** Output goes on elsewhere, or from a picture: any seq may follow. */
  forgetOutput(): void {
    this.#lastSeq = 0;
  }

  askedAt(n: number): Ask | undefined {
    return this.#asks.get(n);
  }

  /** Who asked message n, who then waits no more. */
  takeAsk(n: number): Ask | undefined {
    const ask = this.#asks.get(n);
    this.#asks.delete(n);
    return ask;
  }

  /** Reject those who asked a message up to n. */
  rejectAsks(upTo: number, errorOf: () => ClientError): void {
    for (const [n, ask] of this.#asks) {
      if (n > upTo) continue;
      this.#asks.delete(n);
      ask.reject(errorOf());
    }
  }
}
