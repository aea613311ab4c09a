/** Random numbers that are a function of the state: the first use in a transaction takes the next key from S, under the
 * log, and the rest of the transaction draws from a stream made of seed and key. A handler that is run again after a
 * crash sees the same numbers; one that uses none writes nothing.
 *
 * Stream: sfc32 (Chris Doty-Humphrey's small fast chaotic generator). Good for games; not for secrets. */
import type { UndoLog } from '../state/index.ts';

/** Random numbers of a handler: the same again when the message is handled again. Not for secrets. */
export interface Random {
  /** A whole number in lo..hi, both included. */
  int(lo: number, hi: number): number;
  /** A number in 0..1, 1 excluded, in steps of 2^-32. */
  float(): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** One of the items. */
  pick<T>(items: readonly T[]): T;
}

/** Numbers from a stream of 32 random bits each, made of three numbers. */
export abstract class RandomStream implements Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  protected seed(a: number, b: number, c: number): void {
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = 1;
    for (let k = 0; k < 12; k++) this.draw();
  }

  /** The next 32 bits of the stream. */
  protected draw(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** As `draw`, by whoever may have to seed first. */
  protected next(): number {
    return this.draw();
  }

  int(lo: number, hi: number): number {
    if (!Number.isSafeInteger(lo) || !Number.isSafeInteger(hi) || hi < lo || hi - lo > 0xffff_ffff) {
      throw new RangeError(`random.int(${lo}, ${hi}): want whole numbers, lo <= hi, at most 2^32 values`);
    }
    return lo + Math.floor((this.next() / 0x1_0000_0000) * (hi - lo + 1));
  }

  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  chance(p: number): boolean {
    return this.float() < p;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('random.pick of nothing');
    return items[this.int(0, items.length - 1)]!;
  }
}

export class StateRandom extends RandomStream {
  readonly #S: Int32Array;
  readonly #log: UndoLog;
  /** words: seed (2), key */
  readonly #word: number;
  #fresh = true;
  /** the key of this transaction's stream */
  #key = 0;

  constructor(S: Int32Array, log: UndoLog, word: number) {
    super();
    this.#S = S;
    this.#log = log;
    this.#word = word;
  }

  /** A new transaction: the next draw takes a new key. */
  restart(): void {
    this.#fresh = true;
  }

  /** The transaction, or a part of it, was undone. If the key was taken in that part, the next draw takes it again: it
   * must not be left for the next message, which would draw the same numbers. */
  rolledBack(): void {
    if (!this.#fresh && this.#S[this.#word + 2] === this.#key) this.#fresh = true;
  }

  protected override next(): number {
    if (this.#fresh) this.#takeKey();
    return this.draw();
  }

  #takeKey(): void {
    const S = this.#S;
    const key = S[this.#word + 2];
    this.#log.write(this.#word + 2, (key + 1) | 0);
    this.#fresh = false;
    this.#key = key;
    this.seed(S[this.#word], S[this.#word + 1], key);
  }
}
