/** Keys are spread evenly, and move only from or to the node that comes or goes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashOfKey, type Key, rendezvous, seedOf } from './rendezvous.ts';

const key = fc.oneof<fc.Arbitrary<Key>[]>(
  fc.maxSafeInteger(),
  fc.nat(1_000),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.string({ unit: 'binary' }),
);
const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { minLength: 1, maxLength: 40 });
const nameOf = (instance: number): string => `bank-${instance}`;
const owner = (of: Key, names: readonly string[]): string => names[rendezvous(hashOfKey(of), names.map(seedOf))]!;

describe('a key', () => {
  it('moves only to a node that comes, and only from one that goes', () => {
    fc.assert(
      fc.property(
        nodes,
        fc.integer({ min: 1_000, max: 9_999 }),
        fc.array(key, { maxLength: 60 }),
        (those, other, keys) => {
          const names = those.map(nameOf);
          const more = [...names, nameOf(other)];
          for (const each of keys) {
            const [before, after] = [owner(each, names), owner(each, more)];
            expect(after === before || after === nameOf(other)).toBe(true);
          }
        },
      ),
    );
  });

  it('is where it is, in whatever order the nodes are listed', () => {
    fc.assert(
      fc.property(nodes, key, (those, each) => {
        const names = those.map(nameOf);
        expect(owner(each, [...names].reverse())).toBe(owner(each, names));
      }),
    );
  });

  it('is the same for a number and its bigint, and another one for its text', () => {
    fc.assert(fc.property(fc.maxSafeInteger(), n => hashOfKey(n) === hashOfKey(BigInt(n))));
    const differ = Array.from({ length: 1_000 }, (_, n) => hashOfKey(n) !== hashOfKey(String(n)));
    expect(differ.filter(Boolean).length).toBe(1_000);
  });

  it('is a whole number, a bigint or a text', () => {
    for (const wrong of [1.5, Number.NaN, 2 ** 53, undefined, null, {}])
      expect(() => hashOfKey(wrong as never)).toThrow(TypeError);
  });

  it('stays where it is over versions', () => {
    const names = [1, 2, 3, 4, 5].map(nameOf);
    expect([0, 1, 7, -1, 2 ** 40, 2n ** 63n, '', 'alice', '7'].map(each => owner(each, names))).toEqual(
      [3, 1, 5, 4, 2, 5, 4, 4, 5].map(nameOf),
    );
  });
});

const KEYS = 20_000;
it.each([2, 3, 7, 16, 64])('%i nodes have an even share, of numbers, texts and multiples', count => {
  const names = Array.from({ length: count }, (_, k) => nameOf(k + 1));
  const seeds = names.map(seedOf);
  for (const keyOf of [(n: number) => n, (n: number) => `player-${n}`, (n: number) => n * 65_536, (n: number) => -n]) {
    const shares = new Array<number>(count).fill(0);
    for (let n = 1; n <= KEYS; n++) shares[rendezvous(hashOfKey(keyOf(n)), seeds)]!++;
    // Chi squared with count - 1 degrees of freedom: five standard deviations above its mean.
    const mean = KEYS / count;
    const chi = shares.reduce((sum, share) => sum + (share - mean) ** 2 / mean, 0);
    expect(chi).toBeLessThan(count - 1 + 5 * Math.sqrt(2 * count) + 5);
  }
});
