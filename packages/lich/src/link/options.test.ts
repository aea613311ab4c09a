import { expect, test } from 'vitest';
import { securityOf, tcp, type TcpLinkOptions } from './options.ts';

test('what a topology takes', () => {
  expect(tcp({ secret: 'sixteen characters' })).toMatchObject({
    kind: 'link',
    options: { transport: 'tcp', secret: 'sixteen characters' },
  });
  expect(tcp({ security: 'none' }).module).toMatch(/link\/run\.ts$/);
  expect(securityOf(tcp({ security: 'none' }).options as unknown as TcpLinkOptions)).toBe('none');
  expect(tcp({ cert: 'a', key: 'b', ca: 'c' }).options).toMatchObject({ cert: 'a', key: 'b', ca: 'c' });
});

test.each<[unknown, string]>([
  [{}, 'want { secret }'],
  [{ secret: 'x', ca: 'y' }, 'want { secret }'],
  [{ cert: 'a', key: 'b' }, 'want { secret }'],
  [{ secret: '' }, 'secret is'],
  [{ secret: undefined }, 'secret is undefined'],
  [{ security: 'tls' }, 'security is tls'],
])('%o is refused', (options, message) => {
  expect(() => tcp(options as never)).toThrow(expect.objectContaining({ code: 'LINK_BAD_OPTION' }));
  expect(() => tcp(options as never)).toThrow(message);
});
