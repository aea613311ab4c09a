import { expect, test } from 'vitest';
import { hashOf } from './index.ts';

test('is FNV-1a of 64 bits over the canonical text', () => {
  expect(hashOf(1)).toBe('07f8c207b4ba5a34'); // '1' as one UTF-16 unit: bytes 31 00
  expect(hashOf({ b: 1, a: [2, undefined] })).toBe(hashOf({ a: [2, null], b: 1, c: undefined }));
  expect(hashOf('a')).not.toBe(hashOf('b'));
  expect(hashOf(['a', 'b'])).not.toBe(hashOf(['ab']));
  expect(hashOf({ a: 'Ā' })).not.toBe(hashOf({ a: '\0' }));
});
