/** Random numbers of one flow: a stream made of the seed in its record, so that a re-run draws the same ones. */
import { RandomStream } from '../random.ts';

export class FlowRandom extends RandomStream {
  constructor(lo: number, hi: number) {
    super();
    this.seed(lo | 0, hi | 0, 0x9e37_79b9 | 0);
  }
}
