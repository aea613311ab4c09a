/** A gateway's process: what `gateway({…})` in a topology runs. */
import { BusError, Directory, DEFAULT_LIMITS } from '../bus/index.ts';
import { Core, coreLimits, type Log, type NodeContext, type NodeLimits, type Service } from '../runtime/index.ts';
import { GatewayError } from './errors.ts';
import { GatewayLogic, type GatewayTarget } from './logic.ts';
import { type GatewayOptions, type GatewaySettings, settingsOf } from './options.ts';
import { outputFields } from './output-ring.ts';
import { gatewaySchema } from './session.ts';
import { WsServer } from './ws-server.ts';

export interface GatewayNode {
  readonly core: Core;
  /** Made when the core maps its segments. */
  readonly logic: () => GatewayLogic;
  /** Where clients connect, once the core serves. */
  readonly address: () => string;
}

export interface GatewayNodeOptions {
  readonly dir: string;
  readonly name: string;
  readonly id: number;
  readonly settings: GatewaySettings;
  readonly target: GatewayTarget;
  readonly log: Log;
  readonly limits?: NodeLimits;
  /** Nodes that it may send to. Default: any. */
  readonly talksTo?: readonly string[] | undefined;
  /** 1…count. Default 1. */
  readonly instance?: number;
}

/** A gateway's node, ready to run. */
export function gatewayCore(o: GatewayNodeOptions): GatewayNode {
  const { dir, name, id, settings, target, log, limits = {}, instance = 1, talksTo } = o;
  let logic: GatewayLogic | undefined;
  let server: WsServer | undefined;
  const core = new Core(
    {
      dir,
      name,
      id,
      log,
      talksTo,
      state: gatewaySchema(settings.maxSessions),
      fields: outputFields(settings.outputBytes, DEFAULT_LIMITS.nodes),
      ...coreLimits(limits),
    },
    core => {
      logic = new GatewayLogic(core, settings, target);
      server = new WsServer(settings, instance, logic);
      logic.listener = server;
      return logic;
    },
  );
  return { core, logic: () => logic!, address: () => server!.address };
}

/** The service that players join. @throws GatewayError `GATEWAY_NO_SERVICE` */
export function targetOf(
  to: string | undefined,
  services: ReadonlyMap<string, { readonly service: Service; readonly nodes: readonly string[] }>,
): GatewayTarget {
  const withPlayers = [...services].filter(([, { service }]) => service.spec.me !== undefined);
  const names = withPlayers.map(([name]) => name).join(', ') || 'none';
  const found = to === undefined ? (withPlayers.length === 1 ? withPlayers[0]![1] : undefined) : services.get(to);
  if (found?.service.spec.me !== undefined) return found;
  const wanted = to === undefined ? 'one service with players' : `service ${to} with players`;
  throw new GatewayError(
    'GATEWAY_NO_SERVICE',
    `the gateway wants ${wanted}; the topology has: ${names}. Say which by \`to\``,
  );
}

/** Where lanes are made at start, those to the scenes must be among them. */
function refuseUndeclared(name: string, { nodes }: GatewayTarget, talksTo: readonly string[] | undefined): void {
  const missing = talksTo && nodes.find(node => !talksTo.includes(node));
  if (missing === undefined) return;
  throw new BusError(
    'BUS_UNDECLARED',
    `${name} sends its players to ${missing}, and lanes are made at start: name its kind in \`talks\` of the topology entry`,
  );
}

/** Called by the node's process. */
export default async function run(context: NodeContext): Promise<void> {
  const { dir, name, instance, limits, log, signal, talksTo } = context;
  const settings = settingsOf(context.options as unknown as GatewayOptions);
  const target = targetOf(settings.to, await context.services());
  refuseUndeclared(name, target, talksTo);
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName(name);
  const node = gatewayCore({ dir, name, id, settings, target, log, limits, instance, talksTo });
  signal.addEventListener('abort', () => node.core.stop(), { once: true });
  await node.core.run(role => {
    if (role !== 'owner') return;
    log.info('serving', { ...node.core.life, address: node.address() });
    context.announce(node.address());
    if (signal.aborted) node.core.stop();
  });
}
