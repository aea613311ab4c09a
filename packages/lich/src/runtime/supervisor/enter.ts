/** A topology comes to a directory: what killed starts left is swept, what cannot be is refused while nothing was changed,
 * then its nodes are entered. Under the supervisor's lock. */
import {
  BusError,
  DEFAULT_LIMITS,
  Directory,
  enterNodes,
  type NodeEntry,
  type PairLook,
  readNumbering,
  whatWaits,
} from '../../bus/index.ts';
import { attachSegment, ShmError, sweepDrafts } from '../../shm/index.ts';
import { RuntimeError } from '../errors.ts';
import { lanesOf } from '../node-plan.ts';
import type { RunRecord } from '../run-file.ts';
import { LINK, type NodePlan, nodesOf, type Topology, widthsOf } from '../topology.ts';
import type { SupervisorEvent } from './events.ts';

/** Pairs that a message lists. */
const LISTED = 8;

/** @param host which of the topology's hosts this is: the nodes of the others are entered as those of their hosts
 * @param running processes of the directory that live
 * @throws BusError `BUS_WAITING`, `BUS_IDS`, `BUS_NODE_ID_TAKEN`, `BUS_TOO_MANY_NODES`; RuntimeError `RUNTIME_IN_USE` */
export function enterTopology(
  dir: string,
  topology: Topology,
  host: string | undefined,
  running: readonly RunRecord[],
  say: (event: SupervisorEvent) => void,
): Map<string, NodeEntry> {
  sweepDrafts(dir);
  const plans = nodesOf(topology, host);
  const here = plans.filter(plan => plan.host === host);
  refuseOtherLanes(dir, topology, here, running);
  const nodes = plans.map(plan =>
    plan.host === host ? plan : { ...plan, elsewhere: { host: plan.host!, via: `${LINK}-1` } },
  );
  const widths = widthsOf(topology);
  const entered = enterNodes({
    dir,
    maxNodes: DEFAULT_LIMITS.nodes,
    widths,
    nodes,
    mayMove: moving => {
      const from = readNumbering(dir)?.widths.join(', ');
      const what = `topology(…, { ids: [${widths.join(', ')}] }) gives other ids to ${listOf(moving.map(({ name }) => name))}${from === undefined ? '' : `, which have those of [${from}]`}`;
      if (running.length > 0)
        throw new RuntimeError('RUNTIME_IN_USE', `${what}, and ${running[0]!.node} runs: end it first (lich stop)`);
      refuseWhileWaiting(what, whatWaits(dir));
    },
  });
  tellLeft(dir, new Set(entered.keys()), running, say);
  return entered;
}

/** Lanes that another setting would not open: refused, with what is in them. */
function refuseOtherLanes(
  dir: string,
  topology: Topology,
  here: readonly NodePlan[],
  running: readonly RunRecord[],
): void {
  const runs = new Set(running.map(({ node }) => node));
  const others = here.flatMap(({ name, kind }) => {
    const { run, limits = {} } = topology.entries.get(kind)!;
    const hasLanes = typeof run === 'string' || run.kind === 'gateway';
    return hasLanes && !runs.has(name) && !opens(dir, name, lanesOf(limits)) ? [name] : [];
  });
  if (others.length === 0) return;
  const waiting = whatWaits(dir, name => others.includes(name));
  refuseWhileWaiting(`limits.lanesBytes of ${listOf(others)} is another than before`, waiting);
}

function opens(dir: string, name: string, layoutHash: string): boolean {
  try {
    attachSegment({ dir, name, kind: 'lanes', layoutHash, readOnly: true }).close();
    return true;
  } catch (error) {
    if (!(error instanceof ShmError)) throw error;
    // Anything else is for the node's own process to say.
    return error.code !== 'SHM_LAYOUT';
  }
}

/** @throws BusError `BUS_WAITING` with the list */
function refuseWhileWaiting(what: string, waiting: readonly PairLook[]): void {
  if (waiting.length === 0) return;
  const lines = waiting.slice(0, LISTED).map(waitingText);
  const more = waiting.length > LISTED ? `; and ${waiting.length - LISTED} pairs more` : '';
  throw new BusError(
    'BUS_WAITING',
    `${what}, while messages wait: ${lines.join('; ')}${more}. Start with the setting of before until they are handled, or give them up: lich bus drop <from> <to>`,
  );
}

function waitingText({ from, to, waitingMessages, waitingBytes }: PairLook): string {
  return `${from} to ${to} ${waitingMessages} (${waitingBytes} bytes)`;
}

function listOf(names: readonly string[]): string {
  return names.length <= LISTED
    ? names.join(', ')
    : `${names.slice(0, LISTED).join(', ')} and ${names.length - LISTED} more`;
}

/** What waits for nodes that the topology does not have any more waits until somebody decides. */
function tellLeft(
  dir: string,
  wanted: ReadonlySet<string>,
  running: readonly RunRecord[],
  say: (event: SupervisorEvent) => void,
): void {
  const runs = new Set(running.map(({ node }) => node));
  const here = new Directory(dir, DEFAULT_LIMITS.nodes).all().filter(({ via }) => via === undefined);
  const gone = new Set(here.flatMap(({ name }) => (wanted.has(name) || runs.has(name) ? [] : [name])));
  if (gone.size === 0) return;
  for (const { from, to, waitingMessages, waitingBytes } of whatWaits(dir, name => gone.has(name))) {
    if (gone.has(to)) say({ type: 'waits', node: to, from, messages: waitingMessages!, bytes: waitingBytes });
  }
}
