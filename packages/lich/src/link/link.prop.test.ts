/** Links over model hosts and a network from a seed: whatever breaks, each record arrives once and in order, and all of them
 * in the end. `LICH_SEED=17 npx vitest run --project unit link.prop` runs one seed again. */
import { describe, expect, test } from 'vitest';
import { ModelHost } from './testing/model-host.ts';
import { CALM, Dice, SimNetwork, type Weather } from './testing/sim-network.ts';

interface Trouble {
  readonly weather: Weather;
  /** Chance a ms that a link is killed within its next calls. */
  readonly kills?: number;
  /** Chance a ms that a node is made anew. */
  readonly remakes?: number;
  /** Chance a ms that a link's segments are made anew. */
  readonly linkRemakes?: number;
  readonly windowBytes?: number;
  readonly begin?: number;
  /** Chance a ms that receivers take what waits. */
  readonly consume?: number;
}

const SOAK = process.env.LICH_SOAK !== undefined;
const ONE = process.env.LICH_SEED;
const seeds = (count: number): number[] =>
  ONE === undefined ? Array.from({ length: SOAK ? count * 20 : Math.ceil(count / 8) }, (_, k) => k + 1) : [Number(ONE)];

const NODES = 2;
const TROUBLE_MS = SOAK ? 3_000 : 1_500;
const CALM_MS = 60_000;

/** `count` hosts with NODES nodes each; every host knows all nodes from its topology, but the last node of each host. */
function world(count: number, seed: number, trouble: Trouble): { hosts: ModelHost[]; network: SimNetwork; dice: Dice } {
  const dice = new Dice(seed);
  const names = ['a', 'b', 'c'].slice(0, count);
  const hosts = names.map((name, k) => {
    const peers = names.filter(other => other !== name);
    return new ModelHost(name, peers, { createdMs: 1_000_000 * (k + 1), ...trouble });
  });
  for (const host of hosts) {
    for (const [k, name] of names.entries()) {
      for (let n = 1; n <= NODES; n++) {
        // What the topology does not say is heard from the other host.
        if (name !== host.name && n === NODES) continue;
        host.addNode(`${name}-${n}`, k * 16 + n, name === host.name ? undefined : name);
      }
    }
    host.start();
  }
  return { hosts, network: new SimNetwork(dice, hosts), dice };
}

/** What does not come in the end, or came otherwise than it was sent. */
function run(count: number, seed: number, trouble: Trouble): { wrong: string[]; arrived: number; hosts: ModelHost[] } {
  const { hosts, network, dice } = world(count, seed, trouble);
  const restart = (host: ModelHost): void => {
    if (dice.chance(0.2)) host.start();
  };
  network.weather = trouble.weather;
  for (let ms = 0; ms < TROUBLE_MS; ms++) {
    for (const host of hosts) {
      if (dice.chance(0.3)) sendSome(host, dice);
      if (dice.chance(trouble.consume ?? 0.5)) for (const { index } of host.locals) host.consume(index);
      if (dice.chance(trouble.kills ?? 0)) host.callsLeft = dice.below(30);
      if (!host.killed && dice.chance(trouble.remakes ?? 0)) host.remake(host.locals[dice.below(NODES)]!.index);
      if (dice.chance(trouble.linkRemakes ?? 0)) {
        host.killed = true;
        host.remakeLink();
      }
    }
    network.step(restart);
  }
  network.weather = CALM;
  for (const host of hosts) host.callsLeft = Number.POSITIVE_INFINITY;
  for (let ms = 0; ms < CALM_MS && (ms % 50 !== 0 || missing(hosts).length > 0); ms++) {
    for (const host of hosts) for (const { index } of host.locals) host.consume(index);
    network.step(host => host.start());
  }
  const wrong = hosts.flatMap(host => [...host.wrong, ...host.errors.map(String)]);
  return { wrong: [...wrong, ...missing(hosts)], arrived: hosts.reduce((sum, host) => sum + host.arrived, 0), hosts };
}

function sendSome(host: ModelHost, dice: Dice): void {
  const { index: local } = host.locals[dice.below(host.locals.length)]!;
  const { index: far } = host.nodes[dice.below(host.nodes.length)]!;
  const priority = dice.chance(0.2) ? 1 : 0;
  for (let n = 1 + dice.below(8); n > 0; n--) {
    host.send(
      local,
      far,
      priority,
      4 + dice.below(dice.chance(0.05) ? 3_000 : 40),
      dice.chance(0.1) ? 1 + dice.below(9) : 0,
    );
  }
}

/** Streams whose last record has not arrived, or has and is not known to have. */
function missing(hosts: readonly ModelHost[]): string[] {
  const wrong: string[] = [];
  for (const from of hosts) {
    for (const { index: local, id } of from.locals) {
      for (const { index: far, id: farId, host } of from.nodes) {
        const to = hosts.find(each => each.name === host)!;
        const receiver = to.all.find(node => node.id === farId)!.index;
        const sender = to.all.find(node => node.id === id)?.index;
        for (const priority of [0, 1]) {
          const sent = from.sentTo(local, far, priority);
          const got = sender === undefined ? { life: 0, n: 0 } : to.lastFrom(sender, receiver, priority);
          const name = `${from.name}: ${local} to ${far}, priority ${priority}`;
          if (sent.n > 0 && (got.life !== sent.life || got.n !== sent.n))
            wrong.push(`${name}: sent ${sent.life}.${sent.n}, got ${got.life}.${got.n}`);
          else if (from.headOf(local, far, priority) !== from.tailOf(local, far, priority))
            wrong.push(
              `${name}: acknowledged ${from.headOf(local, far, priority)} of ${from.tailOf(local, far, priority)}`,
            );
        }
      }
    }
  }
  return wrong;
}

const BAD: Weather = { loss: 0.3, doubled: 0.1, delayMs: 40, reorder: true, cuts: 0.002 };
/** What TCP does. */
const CUTS: Weather = { loss: 0, doubled: 0, delayMs: 20, reorder: false, cuts: 0.02 };

describe.each<[string, number, number, Trouble]>([
  ['calm', 3, 5, { weather: CALM }],
  ['connections that break', 2, 20, { weather: CUTS }],
  ['200 ms each way', 2, 5, { weather: { ...CUTS, delayMs: 200, cuts: 0.001 } }],
  ['loss, doubling, delay, reorder', 2, 20, { weather: BAD }],
  ['links killed at any call', 2, 30, { weather: CUTS, kills: 0.02 }],
  ['links killed, three hosts, a bad network', 3, 15, { weather: BAD, kills: 0.01 }],
  ['slow receivers with a small window', 2, 15, { weather: CUTS, consume: 0.02, windowBytes: 512, kills: 0.005 }],
  ['positions that wrap', 2, 10, { weather: CUTS, begin: 0x7fff_ffff - 1_003, kills: 0.005 }],
  ['nodes that are made anew', 2, 8, { weather: CALM, remakes: 0.003 }],
  ['nodes that are made anew, words that overtake each other', 2, 16, { weather: { ...BAD, cuts: 0 }, remakes: 0.02 }],
  ['links that lose their segments', 3, 20, { weather: BAD, remakes: 0.001, linkRemakes: 0.001, kills: 0.005 }],
])('%s', (_, hosts, count, trouble) => {
  test.each(seeds(count))('seed %i', seed => {
    const { wrong, arrived } = run(hosts, seed, trouble);
    expect(wrong).toEqual([]);
    expect(arrived).toBeGreaterThan(0);
  });
});
