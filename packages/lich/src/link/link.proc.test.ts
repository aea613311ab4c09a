/** Hosts as directories of one machine, joined through proxies that fail as they are told: numbered messages and requests
 * between real services, while links are killed and connections are cut. Each message arrives once and in order; each
 * request is served once and answered once. `LICH_SOAK=1` has a million messages and more trouble. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { need, pathOf } from '../../../../scripts/lib/capability.mjs';
import type { StoreReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { NAMES } from '../testing/fixtures/hosts/game.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { NatsServer } from '../testing/nats-server.ts';
import { FaultProxy } from '../testing/proxy.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/hosts/topology.ts', import.meta.url));
const SOAK = process.env.LICH_SOAK !== undefined;
const HOSTS = ['a', 'b', 'c'];

afterEach(removeTestDirs);

interface World {
  readonly ups: LichUp[];
  readonly proxies: FaultProxy[];
  readonly readers: StoreReader[];
  /** Of each service, by the place of the other one. */
  mapOf(me: number, field: 'sent' | 'got' | 'asked' | 'answered' | 'served'): Map<number, number>;
  /** A host loses all that it had, and is started again. */
  restart(host: number): Promise<void>;
  stop(): Promise<void>;
}

/** Where its link listens now. */
function addressOf({ dir }: LichUp): number | undefined {
  try {
    const { address } = JSON.parse(readFileSync(`${dir}/status/link-1.json`, 'utf8')) as { address: string };
    return Number(/:(\d+)$/.exec(address)![1]);
  } catch {
    return undefined;
  }
}

async function world(count: number, env: Readonly<Record<string, string>>): Promise<World> {
  const proxies = await Promise.all(Array.from({ length: count }, () => FaultProxy.open()));
  const HOSTS_PORTS = proxies.map(proxy => `${proxy.port},0`).join(';');
  const hosts = HOSTS.slice(0, count);
  /** Its link listens wherever there is room, and is reached through its proxy. */
  const start = async (host: number, dir: string): Promise<LichUp> => {
    const up = new LichUp(TOPOLOGY, dir, { HOSTS_PORTS, ...env }, ['--keep', '--host', hosts[host]!], 'up');
    await up.said('ready after');
    return up;
  };
  const aim = (host: number): void => {
    const port = addressOf(ups[host]!);
    if (port !== undefined) proxies[host]!.to = { port };
  };
  const ups = await Promise.all(hosts.map((_, k) => start(k, testDir())));
  // A link that was killed listens elsewhere.
  const aims = setInterval(() => ups.forEach((_, k) => aim(k)), 10);
  const readers = NAMES.map((name, k) => ups[Math.min(k, count - 1)]!.reader(`${name}-1`));
  return {
    ups,
    proxies,
    readers,
    mapOf: (me, field) => new Map(readers[me]!.snapshot(s => s.root()[field] as Map<number, number>)),
    restart: async host => {
      const { dir } = ups[host]!;
      await ups[host]!.stop();
      for (const name of readdirSync(dir)) rmSync(`${dir}/${name}`, { recursive: true });
      ups[host] = await start(host, dir);
    },
    stop: async () => {
      clearInterval(aims);
      await Promise.all(ups.map(up => up.stop()));
      await Promise.all(proxies.map(proxy => proxy.close()));
    },
  };
}

/** All messages and answers are there. */
function isDone({ mapOf }: World, messages: number, asks: number): boolean {
  return NAMES.every((_, me) => {
    const [got, answered] = [mapOf(me, 'got'), mapOf(me, 'answered')];
    return NAMES.every((_, to) => to === me || (got.get(to) === messages && answered.get(to) === asks));
  });
}

function mustBeRight({ readers, mapOf }: World, messages: number, asks: number): void {
  for (const [me] of NAMES.entries()) {
    expect(rootOf(readers[me]!)).toMatchObject({ wrong: 0, twice: 0, late: 0, refused: 0 });
    for (const [to] of NAMES.entries()) {
      if (to === me) continue;
      expect([mapOf(me, 'got').get(to), mapOf(me, 'served').get(to)]).toEqual([messages, asks]);
    }
    expect(readers[me]!.check()).toEqual([]);
  }
}

/** Three hosts: links are killed and connections cut all the while. */
async function storm(
  env: Readonly<Record<string, string>>,
  o: { messages: number; asks: number; kills: number },
): Promise<void> {
  const { asks, kills } = o;
  // From each of three to each of the two others.
  const messages = Math.ceil(o.messages / 6);
  const more = { HOSTS_MESSAGES: String(messages), HOSTS_ASKS: String(asks), HOSTS_BATCH: '64' };
  const here = await world(3, { ...more, ...env });
  const { ups, proxies } = here;
  try {
    const arrived = (): number =>
      NAMES.reduce((sum, _, me) => sum + [...here.mapOf(me, 'got').values()].reduce((a, b) => a + b, 0), 0);
    const all = messages * 6;
    for (let k = 1; k <= kills; k++) {
      // Spread over the messages: the last of them come after the last kill.
      await until(() => arrived() >= (all * k) / (kills + 1) || arrived() === all);
      ups[k % 3]!.kill('link-1');
      proxies[(k + 1) % 3]!.cutAll();
    }
    await until(() => isDone(here, messages, asks));
    mustBeRight(here, messages, asks);
  } finally {
    await here.stop();
  }
}

test('links killed, connections cut: each message once and in order', { timeout: 1_800_000 }, () =>
  storm({}, SOAK ? { messages: 1_000_000, asks: 2_000, kills: 200 } : { messages: 50_000, asks: 60, kills: 8 }),
);

test.skipIf(!need('nats-server'))('the same over NATS', { timeout: 1_800_000 }, async () => {
  const server = await NatsServer.start(pathOf('nats-server'));
  try {
    const HOSTS_NATS = `127.0.0.1:${server.port}`;
    await storm(
      { HOSTS_NATS },
      SOAK ? { messages: 1_000_000, asks: 2_000, kills: 200 } : { messages: 6_000, asks: 20, kills: 3 },
    );
  } finally {
    await server.stop();
  }
});

test('two hosts: what is cut off is no timeout, and a host that lost its segments is another one', {
  timeout: 600_000,
}, async () => {
  const WITHIN_MS = 200;
  const here = await world(2, { HOSTS_MESSAGES: '200', HOSTS_ASKS: '1000000', HOSTS_WITHIN: String(WITHIN_MS) });
  const { ups, proxies } = here;
  const [ann, bob] = [0, 1];
  const answered = (): number => here.mapOf(ann, 'answered').get(bob) ?? 0;
  const late = (): number => rootOf(here.readers[ann]!).late!;
  const outOf = (dir: string): string[] =>
    Object.entries(JSON.parse(readFileSync(`${dir}/status/link-1.far.json`, 'utf8')) as Record<string, string>)
      .filter(([, is]) => is === 'out')
      .map(([name]) => name);
  try {
    await until(() => here.mapOf(bob, 'got').get(ann) === 200 && answered() > 10);
    for (const proxy of proxies) proxy.refuses = true;
    proxies[1]!.cutAll();
    await until(() => outOf(ups[0]!.dir).includes('bob-1'));
    const [before, lateBefore] = [answered(), late()];
    // Deadlines that are over meanwhile are looked at, and begin anew.
    await new Promise(resolve => setTimeout(resolve, 4 * WITHIN_MS));
    expect([answered(), late()]).toEqual([before, lateBefore]);
    for (const proxy of proxies) proxy.refuses = false;
    await until(() => answered() > before + 10);
    expect(late()).toBe(lateBefore);
    expect(rootOf(here.readers[ann]!)).toMatchObject({ wrong: 0, twice: 0, refused: 0 });

    await here.restart(1);
    const line = await ups[0]!.logged('ann-1', 'a node is not the one that was known by its name');
    expect(line.node).toBe('bob-1');
    const since = answered();
    await until(() => answered() > since + 10);
  } finally {
    await here.stop();
  }
});
