import { expect, test } from 'vitest';
import { CodedError } from './errors.ts';

type Code = 'ROOM_FULL' | 'ROOM_GONE';
class RoomError extends CodedError<Code> {}

test('carries code, severity and cause, and is named after its class', () => {
  const cause = new Error('below');
  const error = new RoomError('ROOM_FULL', 'room full: 4 seats, raise seats', { cause, severity: 'fatal' });
  expect(error).toBeInstanceOf(CodedError);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code: 'ROOM_FULL', severity: 'fatal', cause, name: 'RoomError' });
  expect(error.stack).toMatch(/^RoomError: room full: 4 seats, raise seats/);
});

test('is an error without a cause unless told', () => {
  const error = new RoomError('ROOM_GONE', 'room gone');
  expect(error.severity).toBe('error');
  expect('cause' in error).toBe(false);
});

test('codes are a closed set', () => {
  // @ts-expect-error no such code
  expect(new RoomError('ROOM_ODD', 'odd').code).toBe('ROOM_ODD');
});
