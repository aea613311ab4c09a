/** What the control socket answers: `ps`, `stop`, `start`, `kill`. Names are checked here; nothing is done by halves. */
import { RuntimeError } from '../errors.ts';
import { phaseOf } from '../node-words.ts';
import type { ControlCall, ControlVerb } from './control.ts';
import { privateBytes } from './processes.ts';
import type { Supervisor } from './supervisor.ts';
import type { Watched } from './watched.ts';

/** One process, as `ps` tells it. */
export interface PsProcess {
  readonly pid: number;
  readonly role: 'owner' | 'standby' | 'program';
  readonly startedMs: number;
  /** Memory of its own; segments are shared and do not count. */
  readonly privateBytes: number;
  readonly isAdopted: boolean;
}

/** One node, as `ps` tells it. */
export interface PsNode {
  readonly name: string;
  readonly kind: 'service' | 'gateway' | 'program' | 'link';
  /** `starting` also while it waits for its next start. */
  readonly status: 'serving' | 'starting' | 'stopped' | 'down';
  /** Why it is down. */
  readonly why: string;
  readonly address: string | undefined;
  /** Number of its life, 0 = none. */
  readonly epoch: number;
  readonly servingSinceMs: number;
  /** Own deaths in a row. */
  readonly crashes: number;
  /** Its next process is started then; 0 = none waits. */
  readonly nextStartMs: number;
  readonly logFile: string;
  readonly processes: readonly PsProcess[];
}

/** What `ps` answers. */
export interface Ps {
  readonly supervisor: number;
  readonly topologyFile: string;
  readonly nodes: readonly PsNode[];
}

/** @throws RuntimeError `RUNTIME_UNKNOWN_NODE` for a name that the topology does not have */
export function namedNodes(supervisor: Supervisor, names: readonly unknown[]): Watched[] {
  return names.map(name => {
    const node = typeof name === 'string' ? supervisor.nodes.get(name) : undefined;
    if (node !== undefined) return node;
    throw new RuntimeError(
      'RUNTIME_UNKNOWN_NODE',
      `there is no node ${JSON.stringify(name)}; there are ${supervisor.names.join(', ')}`,
    );
  });
}

export function supervisorVerbs(supervisor: Supervisor): Map<string, ControlVerb> {
  const nodesIn = ({ args }: ControlCall): Watched[] => {
    const { nodes } = (args ?? {}) as { nodes?: unknown };
    return namedNodes(supervisor, Array.isArray(nodes) ? nodes : []);
  };
  return new Map<string, ControlVerb>([
    ['ps', () => psOf(supervisor)],
    [
      'stop',
      async call => {
        const nodes = nodesIn(call);
        const quiet = supervisor.listen(call.tell);
        try {
          if (nodes.length > 0) for (const node of nodes.reverse()) await supervisor.stopNode(node, 'it was asked for');
          else await supervisor.askStop({ keep: (call.args as { keep?: unknown } | null)?.keep === true });
        } finally {
          quiet();
        }
      },
    ],
    ['start', call => nodesIn(call).forEach(node => supervisor.startNode(node))],
    [
      'kill',
      call => {
        const { standby } = (call.args ?? {}) as { standby?: unknown };
        return nodesIn(call).map(node => {
          const owner = node.hasState ? node.owner()?.pid : node.pids()[0];
          const process = [...node.processes].find(({ pid }) => (pid === owner) === (standby !== true));
          if (process === undefined)
            throw new RuntimeError(
              'RUNTIME_UNKNOWN_NODE',
              `${node.name} has no ${standby === true ? 'standby' : 'owner'} that runs now`,
            );
          supervisor.killProcess(node, process);
          return { node: node.name, pid: process.pid };
        });
      },
    ],
  ]);
}

function psOf(supervisor: Supervisor): Ps {
  const nodes = [...supervisor.nodes.values()].map((node): PsNode => {
    const { run } = node.entry;
    const owner = node.owner()?.pid;
    const state = node.hasState ? node.state() : undefined;
    const isServing = node.hasState ? owner !== undefined && state !== undefined && phaseOf(state) === 'serving' : true;
    const status = node.processes.size > 0 && isServing ? 'serving' : 'starting';
    return {
      name: node.name,
      kind: typeof run === 'string' ? 'service' : run.kind,
      status: node.wanted === 'running' ? status : node.wanted,
      why: node.why,
      address: node.status()?.address,
      epoch: state?.epoch ?? 0,
      servingSinceMs: node.serving === 0 ? 0 : node.servingSinceMs,
      crashes: node.crashes.inARow,
      nextStartMs: node.pending === undefined ? 0 : node.pendingAtMs,
      logFile: supervisor.logFile(node.name),
      processes: [...node.processes].map(process => ({
        pid: process.pid,
        role: node.hasState ? (process.pid === owner ? 'owner' : 'standby') : 'program',
        startedMs: process.startedMs,
        privateBytes: privateBytes(process.pid),
        isAdopted: process.isAdopted,
      })),
    };
  });
  return { supervisor: process.pid, topologyFile: supervisor.loaded?.file ?? '', nodes };
}
