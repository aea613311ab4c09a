/** What the web server hands out, and to whom. The list of files is made at start, so a request can name only what is on
 * it: there is no path to traverse. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { extname, join } from 'node:path';

export interface Served {
  readonly file: string;
  readonly type: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};

export interface Folders {
  /** The example: page/index.html and page/style.css. */
  readonly example: string;
  /** What tsc made of it. */
  readonly dist: string;
  /** Package name to the folder of its modules. */
  readonly modules: Readonly<Record<string, string>>;
}

/** Modules beside page/ that the page imports. */
const SHARED = ['game.js'];

/** Every path that is served. */
export function filesToServe({ example, dist, modules }: Folders): Map<string, Served> {
  const files = new Map<string, Served>();
  const add = (path: string, file: string): void => {
    files.set(path, { file, type: TYPES[extname(file)] });
  };
  const addScripts = (prefix: string, folder: string): void => {
    if (!existsSync(folder)) throw new Error(`${folder} does not exist: build first (npm run build)`);
    for (const name of readdirSync(folder)) if (name.endsWith('.js')) add(`${prefix}/${name}`, join(folder, name));
  };
  add('/', join(example, 'page/index.html'));
  add('/style.css', join(example, 'page/style.css'));
  addScripts('/app/page', join(dist, 'page'));
  for (const name of SHARED) add(`/app/${name}`, join(dist, name));
  for (const [name, folder] of Object.entries(modules)) addScripts(`/modules/${name}`, folder);
  return files;
}

/** Scripts from here alone, the page's one inline import map by its hash, sockets to the gateways. */
export function securityHeaders(html: string, gateways: readonly string[]): Record<string, string> {
  const inline = [...html.matchAll(/<script type="importmap">([\s\S]*?)<\/script>/g)].map(
    ([, text]) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
  );
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${inline.join(' ')}`.trim(),
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self' ${gateways.join(' ')}`.trim(),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    'content-security-policy': policy.join('; '),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-cache',
  };
}

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && (/^(::ffff:)?127\./.test(address) || address === '::1');

/** Why a request is refused, or undefined. A name that leads here but is not ours (DNS rebinding) is refused for all
 * requests; one that changes something must also come from our own page, on this machine. */
export function refusal(
  request: Pick<IncomingMessage, 'headers' | 'method'> & { socket: { remoteAddress?: string } },
  port: number,
): string | undefined {
  const { host, origin } = request.headers;
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`];
  if (host === undefined || !hosts.includes(host)) return 'this server is for this machine only';
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  if (!isLoopback(request.socket.remoteAddress)) return 'only from this machine';
  if (origin !== `http://${host}`) return 'only from the page itself';
  return undefined;
}

export const readServed = ({ file }: Served): Buffer => readFileSync(file);
