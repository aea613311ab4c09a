/** Who may connect over TCP: how sockets are made, and who was proved to be at their other end.
 *
 *   certificates   TLS 1.3, both sides show one of the cluster's own authority; its common name is the host's name
 *   secret         TLS 1.2 with a pre-shared key, fresh keys for each connection; each pair of hosts has a key of its own,
 *                  made of the secret and both names. Who has the secret may be any host
 *   none           nothing is proved: between addresses of this host alone */
import { hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { type Address, formatAddress, isLoopback } from './addresses.ts';
import { LinkError } from './errors.ts';

/** Each a path, absolute or from where `lich up` is started, or the PEM text itself. */
export interface Certificates {
  /** Of this host; its subject's common name is the host's name in the topology. */
  readonly cert: string;
  readonly key: string;
  /** The authority that signed the certificates of all hosts, and nothing else. */
  readonly ca: string;
}

export interface SharedSecret {
  /** The same on all hosts; at least 16 characters. Not to be written into the topology file: take it from the environment. */
  readonly secret: string;
}

export type TcpSecurity = 'none' | SharedSecret | Certificates;

/** Makes sockets of one kind of security. */
export interface Door {
  server(): net.Server;
  /** Event of the server that gives a socket whose handshake is done. */
  readonly accepted: 'connection' | 'secureConnection';
  /** @param host who is to be there */
  dial(to: Address, host: string): net.Socket;
  /** Event of a socket of `dial` when its handshake is done. */
  readonly dialled: 'connect' | 'secureConnect';
  /** Who is at the other end of an accepted socket. `undefined` = nobody that was proved; null = it is not to be proved */
  caller(socket: net.Socket): string | undefined | null;
}

const SECRET_MIN = 16;
const KEY_BYTES = 32;
/** Those with a fresh key for each connection: what was recorded stays closed when the secret is found out. */
const PSK_CIPHERS = 'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305';

/** @param self this host
 * @param hosts names of all
 * @throws LinkError `LINK_BAD_OPTION`, for files that cannot be read too */
export function doorOf(security: TcpSecurity, self: string, cluster: string, hosts: ReadonlySet<string>): Door {
  if (security === 'none') return openDoor();
  if ('secret' in security) return secretDoor(security, self, cluster, hosts);
  return certificateDoor(security);
}

function openDoor(): Door {
  return {
    server: () => net.createServer({ noDelay: true }),
    accepted: 'connection',
    dial: ({ host, port }) => net.connect({ host, port, noDelay: true }),
    dialled: 'connect',
    caller: socket => (isLoopback(socket.remoteAddress) ? null : undefined),
  };
}

/** @throws LinkError `LINK_INSECURE` unless that address is one of this host */
export function mustBeLoopback(address: Address, what: string): void {
  if (isLoopback(address.host)) return;
  throw new LinkError(
    'LINK_INSECURE',
    `${what} is ${formatAddress(address)}, and security is 'none', which is for 127.0.0.1 and ::1 alone: give a secret or certificates`,
  );
}

function secretDoor({ secret }: SharedSecret, self: string, cluster: string, hosts: ReadonlySet<string>): Door {
  if (typeof secret !== 'string' || secret.length < SECRET_MIN)
    throw new LinkError('LINK_BAD_OPTION', `security.secret has less than ${SECRET_MIN} characters`);
  const keyOf = (caller: string, called: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, `lich link ${cluster}`, `${caller} calls ${called}`, KEY_BYTES));
  const callers = new WeakMap<net.Socket, string>();
  const versions = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: PSK_CIPHERS } as const;
  return {
    server: () =>
      tls.createServer({
        ...versions,
        noDelay: true,
        pskCallback: (socket, identity) => {
          // A wrong key, and no answer to the question which hosts there are.
          if (!hosts.has(identity) || identity === self) return randomBytes(KEY_BYTES);
          callers.set(socket, identity);
          return keyOf(identity, self);
        },
      }),
    accepted: 'secureConnection',
    dial: ({ host, port }, peer) =>
      tls.connect({
        ...versions,
        host,
        port,
        pskCallback: () => ({ psk: keyOf(self, peer), identity: self }),
        // There is no certificate: who has the key of this pair is that host.
        checkServerIdentity: () => undefined,
      }),
    dialled: 'secureConnect',
    caller: socket => callers.get(socket),
  };
}

function certificateDoor(given: Certificates): Door {
  const [cert, key, ca] = [pem('cert', given.cert), pem('key', given.key), pem('ca', given.ca)];
  const common = { cert, key, ca, minVersion: 'TLSv1.3', rejectUnauthorized: true } as const;
  try {
    tls.createSecureContext(common);
  } catch (cause) {
    throw new LinkError('LINK_BAD_OPTION', `security.cert, key and ca do not go together: ${String(cause)}`, { cause });
  }
  return {
    server: () => tls.createServer({ ...common, requestCert: true, noDelay: true }),
    accepted: 'secureConnection',
    dial: ({ host, port }, peer) =>
      tls.connect({
        ...common,
        host,
        port,
        checkServerIdentity: (_, certificate) =>
          certificate.subject.CN === peer
            ? undefined
            : new Error(`the certificate is that of ${String(certificate.subject.CN)}, not of ${peer}`),
      }),
    dialled: 'secureConnect',
    caller: socket => {
      const { authorized, getPeerCertificate } = socket as tls.TLSSocket;
      const name: unknown = authorized ? getPeerCertificate.call(socket).subject?.CN : undefined;
      return typeof name === 'string' ? name : undefined;
    },
  };
}

function pem(what: string, given: unknown): string {
  if (typeof given !== 'string' || given === '')
    throw new LinkError('LINK_BAD_OPTION', `security.${what} is ${String(given)}; want a path or PEM text`);
  if (given.includes('-----BEGIN')) return given;
  try {
    return readFileSync(given, 'utf8');
  } catch (cause) {
    throw new LinkError('LINK_BAD_OPTION', `security.${what}: ${given} cannot be read`, { cause });
  }
}
