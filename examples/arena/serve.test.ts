import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { filesToServe, refusal, securityHeaders } from './serve.ts';

const root = mkdtempSync(join(tmpdir(), 'lich-serve-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('only modules are served, each by its name', () => {
  mkdirSync(join(root, 'dist/page'), { recursive: true });
  mkdirSync(join(root, 'client'));
  for (const name of [
    'dist/page/main.js',
    'dist/page/main.js.map',
    'dist/page/main.d.ts',
    'dist/game.js',
    'dist/scene.js',
  ]) {
    writeFileSync(join(root, name), '');
  }
  writeFileSync(join(root, 'client/index.js'), '');
  const files = filesToServe({
    example: root,
    dist: join(root, 'dist'),
    modules: { '@lich/client': join(root, 'client') },
  });
  expect([...files.keys()]).toEqual([
    '/',
    '/style.css',
    '/app/page/main.js',
    '/app/game.js',
    '/modules/@lich/client/index.js',
  ]);
  expect(files.get('/app/game.js')!.type).toBe('text/javascript; charset=utf-8');
});

test('before the build the reason is a sentence', () => {
  expect(() => filesToServe({ example: root, dist: join(root, 'nowhere'), modules: {} })).toThrow(/build first/);
});

test('scripts come from here alone, the import map by its hash', () => {
  const headers = securityHeaders('<script type="importmap">{}</script>', ['ws://127.0.0.1:7777']);
  expect(headers['content-security-policy']).toContain(
    "script-src 'self' 'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o='",
  );
  expect(headers['content-security-policy']).toContain("connect-src 'self' ws://127.0.0.1:7777;");
  expect(headers['x-content-type-options']).toBe('nosniff');
});

describe('refusal', () => {
  const asked = (method: string, headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
    refusal({ method, headers, socket: { remoteAddress } }, 8080);
  const own = { host: '127.0.0.1:8080', origin: 'http://127.0.0.1:8080' };

  test.each<[string, string, Record<string, string>, string]>([
    ['the page itself', 'POST', own, '127.0.0.1'],
    ['the page under its other name', 'POST', { host: 'localhost:8080', origin: 'http://localhost:8080' }, '::1'],
    ['a mapped address', 'POST', own, '::ffff:127.0.0.1'],
    ['a look without an origin', 'GET', { host: 'localhost:8080' }, '127.0.0.1'],
  ])('lets in: %s', (_name, method, headers, from) => {
    expect(asked(method, headers, from)).toBeUndefined();
  });

  test.each<[string, string, Record<string, string>, string]>([
    ['a name that was bent to this address', 'GET', { host: 'evil.example:8080' }, '127.0.0.1'],
    ['no host at all', 'GET', {}, '127.0.0.1'],
    ['another port', 'GET', { host: '127.0.0.1:80' }, '127.0.0.1'],
    ['another page', 'POST', { ...own, origin: 'http://evil.example' }, '127.0.0.1'],
    ['another port of this machine', 'POST', { ...own, origin: 'http://127.0.0.1:3000' }, '127.0.0.1'],
    ['another name of this machine', 'POST', { ...own, origin: 'http://localhost:8080' }, '127.0.0.1'],
    ['no origin', 'POST', { host: own.host }, '127.0.0.1'],
    ['an opaque origin', 'POST', { ...own, origin: 'null' }, '127.0.0.1'],
    ['another machine', 'POST', own, '192.168.1.7'],
    ['an address that only looks local', 'POST', own, '227.127.0.1'],
  ])('refuses: %s', (_name, method, headers, from) => {
    expect(asked(method, headers, from)).toEqual(expect.any(String));
  });
});
