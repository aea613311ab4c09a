/** Requests that handlers ask: the answer comes to the handler of the service's `answers` that `answer` names, with a number
 * that was given along. Who waits, in the state: 32-bit hash of that name, and the number as an f64. */
import type { Protocol } from '@lich/schema';
import { RuntimeError } from './errors.ts';
import { hashOfName } from './names.ts';
import { refusePromise } from './promise.ts';
import { type Answer, type AskOptions, type Asks, type Waiter, WAITER, type Waiting } from './requests.ts';
import type { AnySpec, Target } from './service.ts';

/** How a handler asks. */
export interface HandlerAskOptions extends AskOptions {
  /** Name of the handler in the service's `answers`. */
  readonly answer: string;
  /** A number that this handler is given: which of several it is about. Default 0. */
  readonly note?: number;
}

export class HandlerAsks implements Waiting {
  readonly #asks: Asks;
  readonly #spec: AnySpec;
  readonly #context: unknown;
  readonly #names = new Map<number, string>();
  readonly #hashes = new Map<string, number>();
  readonly #words = new Uint32Array(2);
  readonly #note = new Float64Array(this.#words.buffer);

  constructor(asks: Asks, spec: AnySpec, context: unknown) {
    this.#asks = asks;
    this.#spec = spec;
    this.#context = context;
    for (const name of Object.keys(spec.answers ?? {})) {
      const hash = hashOfName(name);
      const other = this.#names.get(hash);
      if (other !== undefined)
        throw new RuntimeError('RUNTIME_BAD_SERVICE', `answers.${name} and answers.${other} have one hash: rename one`);
      this.#names.set(hash, name);
      this.#hashes.set(name, hash);
    }
    asks.register(WAITER.handler, this);
  }

  /** @returns a handle, 0 when the lane is full */
  ask(to: Target<Protocol>, name: string, payload: object, options: HandlerAskOptions): number {
    const { answer, note = 0 } = options;
    const a = this.#hashes.get(answer);
    if (a === undefined)
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `ask '${name}': the service has no answers.${answer}`);
    this.#note[0] = note;
    const [b, c] = this.#words as unknown as [number, number];
    return this.#asks.ask(to, name as never, payload as never, options, { kind: WAITER.handler, a, b, c });
  }

  answered({ a, b, c }: Required<Waiter>, answer: Answer): void {
    const name = this.#names.get(a);
    if (name === undefined)
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', 'an answer came for a handler that is gone');
    this.#words[0] = b;
    this.#words[1] = c;
    const note = this.#note[0]!;
    refusePromise(`answers.${name}`, this.#spec.answers![name]!(this.#context, answer, note));
  }
}
