import { describe, expect, test } from 'vitest';
import { gateway, type GatewayOptions, settingsOf } from './options.ts';
import { place } from './placement.ts';
import { Rate } from './rate.ts';

test('gateway() is a runnable with its options', () => {
  expect(gateway({ ws: 7777 })).toMatchObject({ kind: 'gateway', options: { ws: 7777 } });
  expect(settingsOf({ ws: 7777, host: undefined })).toMatchObject({
    ws: 7777,
    host: '127.0.0.1',
    leaveAfterMs: 30_000,
  });
});

test.each<[Record<string, unknown>, string]>([
  [{}, 'option ws is undefined; want a whole number 0..65535'],
  [{ ws: 70_000 }, 'option ws is 70000'],
  [{ ws: 1, port: 2 }, 'option port is no option'],
  [{ ws: 1, outputBytes: 100_000 }, 'option outputBytes is 100000; want a power of two'],
  [{ ws: 1, maxSessions: 0 }, 'option maxSessions is 0'],
  [{ ws: 1, path: 'game' }, 'option path is "game"; want a path such as \'/game\''],
  [{ ws: 1, origins: ['https://a.example/x'] }, 'option origins'],
  [{ ws: 1, origins: [] }, 'option origins'],
  [{ ws: 1, to: '' }, 'option to'],
  [{ ws: 1, framesPerSecond: 1_000, burst: 10 }, 'option burst is 10'],
])('%j is refused', (options, message) => {
  expect(() => gateway(options as unknown as GatewayOptions)).toThrow(
    expect.objectContaining({ code: 'GATEWAY_BAD_OPTION', message: expect.stringContaining(message) }),
  );
});

describe('placement', () => {
  const keys = Array.from({ length: 4_000 }, (_, k) =>
    Uint8Array.from({ length: 16 }, (_, i) => Math.imul(k + 1, 2654435761 + i) >>> 24),
  );
  const names = ['arena-1', 'arena-2', 'arena-3', 'arena-4'];

  test('is even', () => {
    const counts = names.map((_, scene) => keys.filter(key => place(key, names) === scene).length);
    for (const count of counts) expect(count, String(counts)).toBeGreaterThan(keys.length / names.length / 2);
  });

  test('moves only what a new scene takes', () => {
    for (const key of keys) {
      const before = place(key, names);
      const after = place(key, [...names, 'arena-5']);
      expect(after === before || after === 4).toBe(true);
    }
  });
});

test('a rate allows its burst, then its long run', () => {
  const rate = new Rate(100, 5, 0);
  for (let k = 0; k < 5; k++) expect(rate.take(0)).toBe(true);
  expect(rate.take(0)).toBe(false);
  expect(rate.take(10)).toBe(true);
  expect(rate.take(10)).toBe(false);
  expect([...Array(10)].filter(() => rate.take(1e6)).length).toBe(5);
});
