import { connect, type Server, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { describe, expect, test } from 'vitest';
import { FaultProxy } from '../testing/proxy.ts';
import { parseAddress } from './addresses.ts';
import { LinkError } from './errors.ts';
import { encodeHello, encodePing, PING } from './frames.ts';
import { tcpTransport } from './tcp.ts';
import type { TcpSecurity } from './tcp-security.ts';
import { certificateOf } from './testing/certificates.ts';
import { conformance, Ear, type TransportRig, until } from './testing/transports.test-bed.ts';
import type { Transport } from './transport.ts';

const SECRET = 'not to be guessed by anybody';

/** Each host is reached through a proxy of its own. */
async function rig(
  hosts: readonly string[],
  securityOf: (host: string) => TcpSecurity,
): Promise<TransportRig & { proxies: FaultProxy[] }> {
  const proxies = await Promise.all(hosts.map(() => FaultProxy.open()));
  const addresses = new Map(
    hosts.map((host, k) => [host, { address: `127.0.0.1:${proxies[k]!.port}`, listen: '127.0.0.1:0' }]),
  );
  const transports = new Map<string, Transport>();
  for (const [k, host] of hosts.entries()) {
    const tcp = tcpTransport({
      host,
      cluster: 'test',
      hosts: addresses,
      security: securityOf(host),
      handshakeMs: 1_000,
    });
    transports.set(host, {
      open: async events => {
        await tcp.open(events);
        proxies[k]!.to = parseAddress(tcp.address, 'x');
      },
      close: () => tcp.close(),
      get address() {
        return tcp.address;
      },
    });
  }
  return {
    transports,
    proxies,
    cut: () => proxies.forEach(proxy => proxy.cutAll()),
    spoil: bad => {
      for (const proxy of proxies) {
        proxy.corruptChance = bad ? 0.01 : 0;
        proxy.delayMs = bad ? 2 : 0;
      }
    },
    close: async () => void (await Promise.all(proxies.map(proxy => proxy.close()))),
  };
}

const SECURITIES: readonly [string, (host: string) => TcpSecurity][] = [
  ['none', () => 'none'],
  ['secret', () => ({ secret: SECRET })],
  ['certificates', host => certificateOf(host)],
];

describe.each(SECURITIES)('%s', (_, securityOf) => {
  conformance(hosts => rig(hosts, securityOf));
});

/** Host `b`, which is called, alone. */
async function called(
  security: TcpSecurity,
  more: { pendingMax?: number; handshakeMs?: number } = {},
): Promise<{ ear: Ear; transport: Transport; port: number }> {
  const hosts = new Map([
    ['a', { address: '127.0.0.1:1' }],
    ['b', { address: '127.0.0.1:0' }],
  ]);
  const transport = tcpTransport({ host: 'b', cluster: 'test', hosts, security, ...more });
  const ear = new Ear('b');
  await transport.open(ear);
  return { ear, transport, port: parseAddress(transport.address, 'x').port };
}

/** What a socket hears until it is closed. */
function heard(socket: Socket): Promise<number> {
  let bytes = 0;
  socket.on('data', chunk => (bytes += chunk.length));
  socket.on('error', () => {});
  return new Promise(resolve => socket.once('close', () => resolve(bytes)));
}

describe('who is not proved gets nothing', () => {
  test.each<[string, Uint8Array]>([
    ['garbage', new Uint8Array(1_000).fill(7)],
    ['a frame that is no HELLO', encodePing(PING, 1)],
    ['HELLO of a host that is none', encodeHello({ cluster: 'test', host: 'x', created: 1, epoch: 1 })],
    ['HELLO of a host that does not call', encodeHello({ cluster: 'test', host: 'b', created: 1, epoch: 1 })],
    ['a length that is too much before a HELLO', Uint8Array.of(0, 0, 16, 0)],
  ])('%s', async (_, bytes) => {
    const { ear, transport, port } = await called('none');
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    expect(await heard(socket)).toBe(0);
    expect([...ear.connections]).toEqual([]);
    await until(() => ear.failures.length > 0);
    expect(ear.failures).toHaveLength(1);
    expect(['LINK_UNAUTHENTICATED', 'LINK_BAD_FRAME']).toContain(ear.failures[0]!.why.code);
    await transport.close();
  });

  test('silence: closed when its time is over', async () => {
    const { ear, transport, port } = await called('none', { handshakeMs: 30 });
    expect(await heard(connect(port, '127.0.0.1'))).toBe(0);
    expect(ear.failures.map(({ why }) => why.code)).toContain('LINK_LATE');
    await transport.close();
  });

  test('many sockets that say nothing: the oldest go, and who can say who he is comes in', async () => {
    const { ear, transport, port } = await called('none', { pendingMax: 8 });
    const idle = Array.from({ length: 30 }, () => heard(connect(port, '127.0.0.1')));
    await until(() => ear.failures.filter(({ why }) => why.code === 'LINK_BUSY').length >= 22);
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(encodeHello({ cluster: 'test', host: 'a', created: 1, epoch: 1 })),
    );
    const all = heard(socket);
    await until(() => ear.connections.has('a'));
    await transport.close();
    expect(await Promise.all(idle)).toEqual(idle.map(() => 0));
    expect(await all).toBeGreaterThan(0);
  });

  /** Calls as `a` with these options. @returns whether TLS let it through */
  async function callTls(port: number, options: tls.ConnectionOptions): Promise<boolean> {
    const socket = tls.connect({ port, host: '127.0.0.1', checkServerIdentity: () => undefined, ...options });
    let isThrough = false;
    socket.once('secureConnect', () => {
      socket.write(encodeHello({ cluster: 'test', host: 'a', created: 1, epoch: 1 }));
      // With TLS 1.3 the caller is through before it was looked at: what counts is whether it is answered.
    });
    socket.on('data', () => {
      isThrough = true;
      socket.destroy();
    });
    socket.on('error', () => {});
    await new Promise(resolve => socket.once('close', resolve));
    return isThrough;
  }

  const psk = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-PSK-CHACHA20-POLY1305' } as const;

  test.each<[string, TcpSecurity, tls.ConnectionOptions]>([
    [
      'another secret',
      { secret: SECRET },
      { ...psk, pskCallback: () => ({ psk: Buffer.alloc(32, 1), identity: 'a' }) },
    ],
    [
      'a host that is none',
      { secret: SECRET },
      { ...psk, pskCallback: () => ({ psk: Buffer.alloc(32, 1), identity: 'z' }) },
    ],
    ['no secret', { secret: SECRET }, { rejectUnauthorized: false }],
    ['no certificate', certificateOf('b'), { rejectUnauthorized: false }],
    [
      'a certificate of another authority',
      certificateOf('b'),
      { ...certificateOf('stranger'), rejectUnauthorized: false },
    ],
    ['a certificate of another host', certificateOf('b'), { ...certificateOf('c'), rejectUnauthorized: false }],
  ])('%s', async (_, security, options) => {
    const { ear, transport, port } = await called(security);
    expect(await callTls(port, options)).toBe(false);
    await until(() => ear.failures.length > 0);
    expect(ear.failures[0]!.why.code).toBe('LINK_UNAUTHENTICATED');
    expect(ear.connects).toBe(0);
    await transport.close();
  });

  test('a certificate of that host', async () => {
    const { transport, port } = await called(certificateOf('b'));
    expect(await callTls(port, { ...certificateOf('a') })).toBe(true);
    await transport.close();
  });

  test('plain TCP at a door with a secret', async () => {
    const { ear, transport, port } = await called({ secret: SECRET });
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(encodeHello({ cluster: 'test', host: 'a', created: 1, epoch: 1 })),
    );
    // An alert of TLS at most: nothing of ours.
    expect(await heard(socket)).toBeLessThan(16);
    expect(ear.connects).toBe(0);
    await transport.close();
  });
});

describe('who calls looks at whom it reaches', () => {
  /** Host `a` calls `b`, where something else answers. */
  async function calls(security: TcpSecurity, server: Server | tls.Server): Promise<Ear> {
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const hosts = new Map([
      ['a', { address: '127.0.0.1:0' }],
      ['b', { address: `127.0.0.1:${port}` }],
    ]);
    const transport = tcpTransport({ host: 'a', cluster: 'test', hosts, security });
    const ear = new Ear('a');
    await transport.open(ear);
    await until(() => ear.failures.length > 0);
    await transport.close();
    server.close();
    return ear;
  }

  test.each<[string, TcpSecurity, () => tls.Server]>([
    ['a certificate of another host', certificateOf('a'), () => tls.createServer({ ...certificateOf('c') })],
    ['one of another authority', certificateOf('a'), () => tls.createServer({ ...certificateOf('stranger') })],
    [
      'another secret',
      { secret: SECRET },
      () =>
        tls.createServer({
          maxVersion: 'TLSv1.2',
          ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
          pskCallback: () => Buffer.alloc(32, 1),
        }),
    ],
  ])('%s', async (_, security, make) => {
    const server = make();
    server.on('tlsClientError', () => {});
    const ear = await calls(security, server);
    expect(ear.connects).toBe(0);
    expect(ear.failures[0]!.host).toBe('b');
    expect(ear.failures[0]!.why.code).toBe('LINK_UNAUTHENTICATED');
  });
});

describe('options', () => {
  const hosts = (address: string) =>
    new Map([
      ['a', { address }],
      ['b', { address: '127.0.0.1:2' }],
    ]);
  const make = (address: string, security: TcpSecurity) => () =>
    tcpTransport({ host: 'a', cluster: 'test', hosts: hosts(address), security });

  test.each<[string, () => unknown, string]>([
    ['no security beyond this host', make('10.0.0.1:7400', 'none'), 'LINK_INSECURE'],
    ['no security at a name', make('a.example:7400', 'none'), 'LINK_INSECURE'],
    ['no address', make('nowhere', 'none'), 'LINK_BAD_OPTION'],
    ['a short secret', make('127.0.0.1:1', { secret: 'short' }), 'LINK_BAD_OPTION'],
    ['no such file', make('127.0.0.1:1', { cert: '/nowhere', key: '/nowhere', ca: '/nowhere' }), 'LINK_BAD_OPTION'],
    [
      'a key of another certificate',
      make('127.0.0.1:1', { ...certificateOf('a'), key: certificateOf('b').key }),
      'LINK_BAD_OPTION',
    ],
  ])('%s', (_, fn, code) => {
    expect(fn).toThrow(expect.objectContaining({ code }));
  });

  test('an address that is taken', async () => {
    const { transport, port } = await called('none');
    const other = tcpTransport({ host: 'a', cluster: 'test', hosts: hosts(`127.0.0.1:${port}`), security: 'none' });
    await expect(other.open(new Ear('a'))).rejects.toThrow(expect.objectContaining({ code: 'LINK_LISTEN' }));
    await transport.close();
  });
});

test('a link that flaps is called a few times a second, and goes on with its work', async () => {
  const made = await rig(['a', 'b'], () => ({ secret: SECRET }));
  const [a, b] = [new Ear('a'), new Ear('b')];
  for (const ear of [a, b]) await made.transports.get(ear.host)!.open(ear);
  const proxy = made.proxies[1]!;
  proxy.cutEveryMs = 20;
  const began = performance.now();
  await until(() => proxy.taken >= 8);
  const seconds = (performance.now() - began) / 1_000;
  // 250 ms at most and half of that at least lie between two calls, after the first few.
  expect(proxy.taken / seconds).toBeLessThan(14);
  expect(b.connects).toBeGreaterThan(2);
  for (const transport of made.transports.values()) await transport.close();
  await made.close();
  expect(a.failures.every(({ why }) => why instanceof LinkError)).toBe(true);
});

test('addresses are where it listens', async () => {
  const { transport, port } = await called('none');
  expect(parseAddress(transport.address, 'x')).toEqual({ host: '127.0.0.1', port });
  await transport.close();
});
