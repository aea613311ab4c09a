/** Over a real nats-server (Debian: `apt-get install nats-server`); without one this is skipped, and says so. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { need, pathOf } from '../../../../scripts/lib/capability.mjs';
import { NatsServer } from '../testing/nats-server.ts';
import { FaultProxy } from '../testing/proxy.ts';
import { natsTransport } from './nats.ts';
import { conformance, Ear, type TransportRig, until } from './testing/transports.test-bed.ts';

const hasNats = need('nats-server');
let server: NatsServer;
beforeAll(async () => {
  if (hasNats) server = await NatsServer.start(pathOf('nats-server'));
});
afterAll(() => server?.stop());

let rigs = 0;

/** Each host reaches the server through a proxy of its own. */
async function rig(hosts: readonly string[]): Promise<TransportRig> {
  const cluster = `test${++rigs}`;
  const proxies = await Promise.all(hosts.map(() => FaultProxy.open({ to: server })));
  const all = new Map(hosts.map(host => [host, {}]));
  return {
    transports: new Map(
      hosts.map((host, k) => {
        const servers = `127.0.0.1:${proxies[k]!.port}`;
        return [host, natsTransport({ host, cluster, hosts: all, nats: { servers, reconnectTimeWait: 50 } })];
      }),
    ),
    cut: () => proxies.forEach(proxy => proxy.cutAll()),
    // What is between a client and its server is theirs to check; here it is slow.
    spoil: bad => proxies.forEach(proxy => (proxy.delayMs = bad ? 2 : 0)),
    close: async () => void (await Promise.all(proxies.map(proxy => proxy.close()))),
  };
}

describe.runIf(hasNats)('nats', () => {
  conformance(rig);

  test('a server that is not there is called again', async () => {
    const proxy = await FaultProxy.open();
    const hosts = new Map([['a', {}]]);
    const servers = `127.0.0.1:${proxy.port}`;
    const transport = natsTransport({ host: 'a', cluster: 'alone', hosts, nats: { servers, timeout: 500 } });
    const ear = new Ear('a');
    await transport.open(ear);
    expect(ear.failures.map(({ why }) => why.code)).toEqual(['LINK_LISTEN']);
    proxy.to = server;
    await until(() => transport.address !== '');
    await transport.close();
    await proxy.close();
  });
});
