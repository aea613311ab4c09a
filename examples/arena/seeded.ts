/** Numbers that come again with the same seed (mulberry32): a storm that found something can be repeated. */
export class Seeded {
  #a: number;

  constructor(seed: number) {
    this.#a = seed >>> 0;
  }

  /** 0..1, 1 excluded. */
  float(): number {
    this.#a = (this.#a + 0x6d2b79f5) >>> 0;
    let t = this.#a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number lo..hi, both included. */
  int(lo: number, hi: number): number {
    return lo + Math.floor(this.float() * (hi - lo + 1));
  }

  chance(p: number): boolean {
    return this.float() < p;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)];
  }

  /** A generator of its own for part `n`, so that what one part draws does not shift the others. */
  fork(n: number): Seeded {
    return new Seeded(Math.imul(this.#a ^ 0x9e3779b9, n * 2 + 1) ^ n);
  }
}
