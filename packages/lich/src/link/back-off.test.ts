import { expect, test } from 'vitest';
import { parseAddress, isLoopback } from './addresses.ts';
import { BackOff } from './back-off.ts';

test('a host that does not answer is called less and less often', () => {
  const backOff = new BackOff(() => 1);
  expect([1, 2, 3, 4, 5, 6, 7, 8].map(() => backOff.failed())).toEqual([50, 100, 200, 400, 800, 1600, 2000, 2000]);
  const soon = new BackOff(() => 0);
  expect([soon.failed(), soon.failed()]).toEqual([25, 50]);
});

test('one whose connections break is called four times a second at most, and goes on', () => {
  const backOff = new BackOff(() => 1);
  expect([1, 2, 3, 4, 5].map(() => backOff.ended(100))).toEqual([50, 100, 200, 250, 250]);
  expect(backOff.ended(2_000)).toBe(50);
});

test('addresses', () => {
  expect(parseAddress('10.0.0.1:7400', 'x')).toEqual({ host: '10.0.0.1', port: 7400 });
  expect(parseAddress('[fd00::1]:7400', 'x')).toEqual({ host: 'fd00::1', port: 7400 });
  expect(parseAddress('a.example:1', 'x')).toEqual({ host: 'a.example', port: 1 });
  for (const wrong of ['10.0.0.1', ':7400', '10.0.0.1:70000', 'fd00::1:7400', '[10.0.0.1]:7400', '']) {
    expect(() => parseAddress(wrong, 'hosts.a')).toThrow(/hosts\.a is/);
  }
  const here = ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1'];
  expect(here.map(isLoopback)).toEqual(here.map(() => true));
  const away = ['10.0.0.1', '0.0.0.0', '::', 'a.example', '::ffff:10.0.0.1', undefined, '127.0.0.1.example'];
  expect(away.map(isLoopback)).toEqual(away.map(() => false));
});
