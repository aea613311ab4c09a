/** The flows of a node, seen from outside: what they wait for, since when, and why some cannot go on. */
import { attachSegment } from '../../shm/index.ts';
import { openReader } from '../../state/index.ts';
import { nameOfStep } from './run.ts';
import { type $Flow, ASKER, idOfFlow } from './table.ts';

/** One flow. */
export interface ListedFlow {
  /** For `cancelFlow`, and the `flow` of log lines. */
  readonly id: number;
  readonly name: string;
  readonly version: number;
  /** How often it went on as a new flow. */
  readonly turn: number;
  /** Service time. */
  readonly startedMs: number;
  /** Steps that are recorded, and bytes of its record. */
  readonly steps: number;
  readonly bytes: number;
  /** What was recorded last: `call 'bank.charge'`; empty before the first step. */
  readonly last: string;
  readonly lastMs: number;
  /** Steps that it waits for; none while its next turn is due. */
  readonly waits: readonly string[];
  /** Who waits for its answer. */
  readonly asker: 'nobody' | 'player' | 'service';
  readonly cancelled: boolean;
  /** Why it cannot go on. */
  readonly stuck: string | undefined;
}

/** All of one node, as of one commit. */
export interface FlowList {
  readonly node: string;
  readonly count: number;
  readonly stuck: number;
  /** By name and version, the most first. */
  readonly kinds: readonly { readonly name: string; readonly version: number; readonly count: number }[];
  /** Stuck ones first, then those that began first. */
  readonly flows: readonly ListedFlow[];
}

export interface FlowFilter {
  /** How many are told. */
  readonly limit: number;
  readonly onlyStuck?: boolean;
  /** Names or ids; empty = all. */
  readonly only?: readonly string[];
}

const NAMES_OF_ASKERS = Object.entries(ASKER) as [ListedFlow['asker'], number][];

/** @returns undefined for a node without flows. O(flows)
 * @throws ShmError, StateError for a state that cannot be read */
export function listFlows(
  dir: string,
  node: string,
  { limit, onlyStuck, only = [] }: FlowFilter,
): FlowList | undefined {
  const state = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  try {
    const reader = openReader(state);
    if (!reader.layouts.pools.some(({ name }) => name === '$flows')) return undefined;
    return reader.snapshot(read => {
      const kinds = new Map<string, { name: string; version: number; count: number }>();
      let flows: ListedFlow[] = [];
      let count = 0;
      let stuck = 0;
      read.scan('$flows', ({ slot, generation, value }) => {
        const flow = value as unknown as PlainFlow;
        const { name, version } = flow;
        const id = idOfFlow(slot, generation);
        const key = `${name} ${version}`;
        count++;
        if (flow.stuck !== 0) stuck++;
        kinds.set(key, { name, version, count: (kinds.get(key)?.count ?? 0) + 1 });
        if (onlyStuck === true && flow.stuck === 0) return;
        if (only.length > 0 && !only.includes(name) && !only.includes(String(id))) return;
        flows.push(listed(flow, id));
        if (flows.length > 2 * limit + 1_000) flows = first(flows, limit);
      });
      return {
        node,
        count,
        stuck,
        kinds: [...kinds.values()].sort((x, y) => y.count - x.count),
        flows: first(flows, limit),
      };
    });
  } finally {
    state.close();
  }
}

/** As a reader gives it. */
type PlainFlow = Pick<
  $Flow,
  'name' | 'version' | 'turn' | 'startedMs' | 'asker' | 'usedBytes' | 'cancelled' | 'stuck' | 'why'
> & {
  readonly steps: readonly { readonly kind: number; readonly label: string; readonly atMs: number }[];
  readonly waits: readonly { readonly kind: number; readonly label: string }[];
};

function first(flows: readonly ListedFlow[], limit: number): ListedFlow[] {
  const order = (flow: ListedFlow): number => (flow.stuck === undefined ? 1 : 0);
  return [...flows].sort((a, b) => order(a) - order(b) || a.startedMs - b.startedMs || a.id - b.id).slice(0, limit);
}

function listed(flow: PlainFlow, id: number): ListedFlow {
  const { name, version, turn, startedMs, steps, waits, asker, usedBytes } = flow;
  const last = steps.at(-1);
  return {
    id,
    name,
    version,
    turn,
    startedMs,
    steps: steps.length,
    bytes: usedBytes,
    last: last === undefined ? '' : nameOfStep(last.kind, last.label),
    lastMs: last?.atMs ?? startedMs,
    waits: waits.map(({ kind, label }) => nameOfStep(kind, label)),
    asker: NAMES_OF_ASKERS.find(([, number]) => number === asker)?.[0] ?? 'nobody',
    cancelled: flow.cancelled === 1,
    stuck: flow.stuck === 0 ? undefined : flow.why,
  };
}
