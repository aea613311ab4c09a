import { expect, test } from 'vitest';
import { sameValue } from './same-value.ts';

test.each([
  [1, 1, true],
  [0, -0, false],
  [NaN, NaN, true],
  [1n, 1n, true],
  ['a', 'b', false],
  [undefined, undefined, true],
  [undefined, { slot: 1, generation: 1 }, false],
  [{ slot: 1, generation: 1 }, undefined, false],
  [{ slot: 1, generation: 1 }, { slot: 1, generation: 1 }, true],
  [{ slot: 1, generation: 1 }, { slot: 1, generation: 3 }, false],
  [[1, { x: 2 }], [1, { x: 2 }], true],
  [[1, { x: 2 }], [1, { x: 3 }], false],
  [[1], [1, 2], false],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2]), true],
  [new Uint8Array([1, 2]), new Uint8Array([1]), false],
  [new Uint8Array([1, 2]), new Uint8Array([1, 3]), false],
])('%o and %o: %s', (a, b, same) => {
  expect(sameValue(a, b)).toBe(same);
});
