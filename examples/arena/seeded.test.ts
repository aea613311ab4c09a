import { expect, test } from 'vitest';
import { spreadOf } from './figures.ts';
import { Seeded } from './seeded.ts';

test('the same seed, the same numbers; parts do not shift each other', () => {
  const draw = (random: Seeded): number[] => Array.from({ length: 5 }, () => random.int(1, 1_000));
  expect(draw(new Seeded(7))).toEqual(draw(new Seeded(7)));
  expect(draw(new Seeded(7))).not.toEqual(draw(new Seeded(8)));
  const first = new Seeded(7).fork(2);
  const other = new Seeded(7);
  draw(other.fork(1));
  expect(draw(first)).toEqual(draw(other.fork(2)));
  expect(draw(new Seeded(7).fork(1))).not.toEqual(draw(new Seeded(7).fork(2)));
});

test('order statistics by nearest rank', () => {
  expect(spreadOf([])).toEqual({ p50: 0, p99: 0, max: 0 });
  expect(spreadOf(Array.from({ length: 200 }, (_, k) => 200 - k))).toEqual({ p50: 100, p99: 198, max: 200 });
});
