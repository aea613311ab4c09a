import type { Runnable } from '../runtime/index.ts';
import { GatewayError } from './errors.ts';

/** What `gateway({…})` takes. */
export interface GatewayOptions {
  /** Port for WebSockets. With `count` above 1, instance i listens on ws + i - 1. 0 = any free port. */
  readonly ws: number;
  /** Address to listen on. Default `127.0.0.1`: put a proxy with TLS before it, or say `0.0.0.0`. */
  readonly host?: string;
  /** The service that players join. Default: the only one of the topology that has players. */
  readonly to?: string;
  /** Path of WebSocket connections. Default: any. */
  readonly path?: string;
  /** Origins of pages that may connect, such as `https://game.example`. Default: any, and clients without one. */
  readonly origins?: readonly string[];
  /** Most sessions, those without a socket included. Default 10,000. */
  readonly maxSessions?: number;
  /** Largest frame that a client may send. Default 16 KiB. */
  readonly maxFrameBytes?: number;
  /** Frames a second that a client may send in the long run. Default 200. */
  readonly framesPerSecond?: number;
  /** Frames that it may send at once; a client that comes back sends again what was not taken. Default 4,096. */
  readonly burst?: number;
  /** How long a session without a socket is kept; then its player leaves. Default 30,000. */
  readonly leaveAfterMs?: number;
  /** Bytes of the ring that keeps output for all sessions. A power of two, default 4 MiB. */
  readonly outputBytes?: number;
  /** Bytes that may wait in one socket; more stays in the ring until the client has read. Default 256 KiB. */
  readonly socketBytes?: number;
  /** How long a new socket may wait with its HELLO. Default 5,000. */
  readonly helloMs?: number;
  /** How long a new session waits for the service to take it. Default 10,000. */
  readonly joinMs?: number;
  /** A socket that shows no life for one to two times as long is given up. Default 15,000. */
  readonly pingMs?: number;
}

/** All options, with their defaults. */
export type GatewaySettings = Required<Omit<GatewayOptions, 'to' | 'path' | 'origins'>> &
  Pick<GatewayOptions, 'to' | 'path' | 'origins'>;

const DEFAULTS = {
  host: '127.0.0.1',
  maxSessions: 10_000,
  maxFrameBytes: 16_384,
  framesPerSecond: 200,
  burst: 4_096,
  leaveAfterMs: 30_000,
  outputBytes: 4 * 1_048_576,
  socketBytes: 262_144,
  helloMs: 5_000,
  joinMs: 10_000,
  pingMs: 15_000,
};

const NUMBERS: Readonly<Record<string, readonly [lo: number, hi: number]>> = {
  ws: [0, 65_535],
  maxSessions: [1, 1_000_000],
  maxFrameBytes: [64, 1_048_576],
  framesPerSecond: [1, 1_000_000],
  burst: [1, 1_000_000],
  leaveAfterMs: [0, 7 * 86_400_000],
  outputBytes: [65_536, 1_073_741_824],
  socketBytes: [65_536, 1_073_741_824],
  helloMs: [10, 600_000],
  joinMs: [10, 600_000],
  pingMs: [10, 600_000],
};

/** Players' sockets: `topology({ gateway: { run: gateway({ ws: 7777 }) }, … })`.
 * @throws GatewayError `GATEWAY_BAD_OPTION`, naming the option */
export function gateway(options: GatewayOptions): Runnable {
  settingsOf(options);
  return { kind: 'gateway', module: RUN_MODULE, options: { ...options } };
}

/** In the built package, or in its sources under test. */
const RUN_MODULE = (
  import.meta.url.endsWith('.ts') ? new URL('./run.ts', import.meta.url) : new URL('./run.js', import.meta.url)
).href;

/** Checked options with their defaults. @throws GatewayError `GATEWAY_BAD_OPTION` */
export function settingsOf(options: GatewayOptions): GatewaySettings {
  if (typeof options !== 'object' || options === null) bad('', 'has no options', '{ ws: 7777 }');
  const given = options as unknown as Record<string, unknown>;
  for (const key of Object.keys(given)) {
    if (!(key in NUMBERS) && !(key in TEXTS))
      bad(key, 'is no option', [...Object.keys(NUMBERS), ...Object.keys(TEXTS)].join(', '));
  }
  const settings = { ...DEFAULTS, ...dropUndefined(given) } as unknown as GatewaySettings;
  for (const [key, [lo, hi]] of Object.entries(NUMBERS)) {
    const value = (settings as unknown as Record<string, unknown>)[key];
    if (!Number.isInteger(value) || (value as number) < lo || (value as number) > hi) {
      bad(key, `is ${String(value)}`, `a whole number ${lo}..${hi}`);
    }
  }
  for (const [key, [test, want]] of Object.entries(TEXTS)) {
    const value = (settings as unknown as Record<string, unknown>)[key];
    if (value !== undefined && !test(value)) bad(key, `is ${JSON.stringify(value)}`, want);
  }
  const { outputBytes, framesPerSecond, burst } = settings;
  if ((outputBytes & (outputBytes - 1)) !== 0) bad('outputBytes', `is ${outputBytes}`, 'a power of two');
  if (burst < framesPerSecond / 10)
    bad('burst', `is ${burst}`, `at least a tenth of framesPerSecond, ${framesPerSecond}`);
  return settings;
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0;
const TEXTS: Readonly<Record<string, readonly [test: (value: unknown) => boolean, want: string]>> = {
  host: [isText, "an address such as '127.0.0.1'"],
  to: [isText, 'the name of a service of the topology'],
  path: [value => isText(value) && (value as string).startsWith('/'), "a path such as '/game'"],
  origins: [
    value =>
      Array.isArray(value) && value.length > 0 && value.every(origin => /^[a-z]+:\/\/[^/]+$/.test(String(origin))),
    "a list such as ['https://game.example']",
  ],
};

function dropUndefined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function bad(option: string, what: string, want: string): never {
  throw new GatewayError('GATEWAY_BAD_OPTION', `gateway option ${option} ${what}; want ${want}`);
}
