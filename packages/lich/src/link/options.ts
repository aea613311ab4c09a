/** What a topology says about its link. Loaded by every process of a service: nothing heavy is imported here. */
import type { Runnable } from '../runtime/index.ts';
import { LinkError } from './errors.ts';
import type { Certificates, SharedSecret, TcpSecurity } from './tcp-security.ts';

/** Who may connect: hosts with a certificate each, hosts that know a secret, or anybody on this machine. */
export type TcpLinkOptions = Certificates | SharedSecret | { readonly security: 'none' };

/** Servers, and whatever else `connect` of `@nats-io/transport-node` takes. */
export interface NatsLinkOptions {
  readonly servers: string | readonly string[];
  readonly [option: string]: unknown;
}

/** In the built package, or in its sources under test. */
const RUN_MODULE = (
  import.meta.url.endsWith('.ts') ? new URL('./run.ts', import.meta.url) : new URL('./run.js', import.meta.url)
).href;

/** Hosts joined over TCP: `topology({ … }, { hosts: { a: '10.0.0.1:7400', … }, link: tcp({ secret }) })`.
 * @throws LinkError `LINK_BAD_OPTION`, naming the option */
export function tcp(options: TcpLinkOptions): Runnable {
  securityOf(options);
  return { kind: 'link', module: RUN_MODULE, options: { transport: 'tcp', ...options } };
}

/** Hosts joined by the NATS servers of a fleet: `link: nats({ servers: '10.0.0.9:4222' })`; their hosts need no addresses:
 * `hosts: { a: {}, b: {} }`. Needs the packages `@nats-io/transport-node`, `@nats-io/jetstream` and `@nats-io/kv`, and servers
 * with JetStream.
 * @param options as `connect` of `@nats-io/transport-node` takes them: servers, user, pass, token, tls
 * @throws LinkError `LINK_BAD_OPTION` */
export function nats(options: NatsLinkOptions): Runnable {
  const { servers } = options ?? {};
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  if (!(Array.isArray(servers) ? servers.length > 0 && servers.every(isText) : isText(servers)))
    throw new LinkError(
      'LINK_BAD_OPTION',
      `nats option servers is ${JSON.stringify(servers)}; want '10.0.0.9:4222', or a list`,
    );
  return { kind: 'link', module: RUN_MODULE, options: { transport: 'nats', nats: options } };
}

const SHAPES: readonly (readonly string[])[] = [['secret'], ['cert', 'key', 'ca'], ['security']];

/** @throws LinkError `LINK_BAD_OPTION` */
export function securityOf(options: TcpLinkOptions): TcpSecurity {
  const given: Record<string, unknown> = { ...options };
  delete given['transport'];
  const keys = Object.keys(given).sort();
  const shape = SHAPES.find(each => [...each].sort().join() === keys.join());
  if (shape === undefined)
    throw new LinkError(
      'LINK_BAD_OPTION',
      `tcp({ ${keys.join(', ')} }): want { secret }, { cert, key, ca }, or { security: 'none' } between addresses of this machine`,
    );
  for (const key of shape) {
    if (typeof given[key] !== 'string' || given[key] === '')
      throw new LinkError('LINK_BAD_OPTION', `tcp option ${key} is ${String(given[key])}; want a text`);
  }
  if (!('security' in options)) return options;
  if (options.security !== 'none')
    throw new LinkError(
      'LINK_BAD_OPTION',
      `tcp option security is ${String(options.security)}; want 'none', or give a secret or certificates`,
    );
  return 'none';
}
