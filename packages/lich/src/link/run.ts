/** A link's process: what `link-1` runs on each host of a topology of several. */
import { state, u32 } from '@lich/schema';
import { Directory, DEFAULT_LIMITS } from '../bus/index.ts';
import { Core, coreLimits, type Log, type NodeContext, type NodeLimits, RuntimeError } from '../runtime/index.ts';
import { LinkLogic } from './logic.ts';
import type { NatsOptions } from './nats.ts';
import { securityOf, type TcpLinkOptions } from './options.ts';
import { tcpTransport } from './tcp.ts';
import type { HostAddress, Transport, TransportOptions } from './transport.ts';

export interface LinkNodeOptions {
  readonly dir: string;
  readonly name: string;
  readonly id: number;
  readonly host: string;
  readonly cluster: string;
  readonly hosts: ReadonlyMap<string, HostAddress>;
  readonly transport: Transport;
  readonly log: Log;
  readonly limits?: NodeLimits;
}

/** Lanes to each receiver here from each sender elsewhere: of a link there are more than of others, and each is bounded by
 * its receiver's window. Bytes are virtual. */
const LANES = 1_024;
const LANES_BYTES = 512 * 1_048_576;

/** It has none of its own: what it keeps is the bus's. */
const NOTHING = state({ none: u32 });

/** A link's node, ready to run. */
export function linkCore(o: LinkNodeOptions): { readonly core: Core; readonly logic: () => LinkLogic } {
  const { dir, name, id, host, cluster, hosts, transport, log, limits = {} } = o;
  let logic: LinkLogic | undefined;
  const lanesBytes = Math.max(LANES_BYTES, 2 * (limits.maxLaneBytes ?? 0));
  const layout = coreLimits({ lanesBytes, ...limits });
  const core = new Core(
    { dir, name, id, log, state: NOTHING, ...layout, bus: { ...layout.bus, lanes: LANES, link: true } },
    core => {
      const peers = [...hosts.keys()].filter(other => other !== host);
      logic = new LinkLogic(core, { host, cluster, peers, transport });
      return logic;
    },
  );
  return { core, logic: () => logic! };
}

async function transportOf(options: NodeContext['options'], common: TransportOptions): Promise<Transport> {
  if (options['transport'] !== 'nats')
    return tcpTransport({ ...common, security: securityOf(options as unknown as TcpLinkOptions) });
  const { natsTransport } = await import('./nats.ts');
  return natsTransport({ ...common, nats: options['nats'] as NatsOptions['nats'] });
}

/** Called by the node's process. */
export default async function run(context: NodeContext): Promise<void> {
  const { dir, name, host, hosts, cluster, limits, log, signal } = context;
  if (host === undefined) throw new RuntimeError('RUNTIME_BAD_TOPOLOGY', 'a link needs a topology with hosts');
  const transport = await transportOf(context.options, { host, cluster, hosts });
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName(name);
  const { core } = linkCore({ dir, name, id, host, cluster, hosts, transport, log, limits });
  signal.addEventListener('abort', () => core.stop(), { once: true });
  await core.run(role => {
    if (role !== 'owner') return;
    log.info('serving', { ...core.life, address: transport.address });
    context.announce(`${cluster}/${host} at ${transport.address}`);
    if (signal.aborted) core.stop();
  });
}
