/** Random numbers of one flow: a stream made of the seed in its record, so that a re-run draws the same ones. */
import { RandomStream } from '../random.ts';

export class FlowRandom extends RandomStream {
  #a: number;
  #b: number;
  #c = 0x9e37_79b9 | 0;
  #d = 1;

  constructor(lo: number, hi: number) {
    super();
    this.#a = lo | 0;
    this.#b = hi | 0;
    for (let k = 0; k < 12; k++) this.next();
  }

  protected override next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }
}
