import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, copyValue, kindOf, u8 } from './index.ts';
import { anyKind, badValueOf, valueOf } from './testing/arbitrary.ts';

const RUNS = { numRuns: 600 };

test('what fits is accepted, and its copy fits and is its own copy', () => {
  fc.assert(
    fc.property(
      anyKind(true).chain(kind => valueOf(kind).map(value => ({ kind, value }))),
      ({ kind, value }) => {
        expect(check(kind, value)).toBe(undefined);
        const copy = copyValue(kind, value);
        expect(check(kind, copy)).toBe(undefined);
        expect(copyValue(kind, copy)).toEqual(copy);
      },
    ),
    RUNS,
  );
});

test('what does not fit is refused with a sentence', () => {
  fc.assert(
    fc.property(
      anyKind(true).chain(kind => badValueOf(kind).map(value => ({ kind, value }))),
      ({ kind, value }) => {
        const reason = check(kind, value);
        expect(reason).toBeTypeOf('string');
        expect(reason).toMatch(/\w/);
      },
    ),
    RUNS,
  );
});

test('any value at all is judged, none crashes', () => {
  fc.assert(
    fc.property(
      anyKind(true),
      fc.anything({ withBigInt: true, withNullPrototype: true, withTypedArray: true }),
      (kind, value) => {
        const reason = check(kind, value);
        if (reason === undefined) copyValue(kind, value);
      },
    ),
    RUNS,
  );
});

test('the canary: a kind that takes too much is found', () => {
  const loose = { ...kindOf(u8), max: 256 } as never;
  const wrong = fc.check(fc.property(badValueOf(kindOf(u8)), value => check(loose, value) !== undefined));
  expect(wrong.failed).toBe(true);
});
