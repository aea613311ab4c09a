/** Addresses as a topology has them. */
import { BlockList, isIP } from 'node:net';
import { LinkError } from './errors.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @param what names it in the error
 * @throws LinkError `LINK_BAD_OPTION` */
export function parseAddress(text: string | undefined, what: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text ?? '');
  const port = Number(match?.[3] ?? Number.NaN);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (!(port <= 65_535) || (match?.[1] !== undefined && isIP(host) !== 6))
    throw new LinkError(
      'LINK_BAD_OPTION',
      `${what} is ${JSON.stringify(text)}; want an address and a port such as '10.0.0.1:7400' or '[fd00::1]:7400'`,
    );
  return { host, port };
}

/** Does nothing that is sent there leave this host?
 * @param host a name or an address; of names only `localhost` is known */
export function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false;
  if (host === 'localhost') return true;
  const plain = host.startsWith('::ffff:') ? host.slice(7) : host;
  const family = isIP(plain);
  return family !== 0 && loopback.check(plain, family === 6 ? 'ipv6' : 'ipv4');
}

/** @returns as `parseAddress` takes it */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
