/** Flows that wait in a state, seen from outside: which of them other code could not go on with. */
import { attachSegment } from '../../shm/index.ts';
import { openReader } from '../../state/index.ts';
import type { Service } from '../service.ts';
import { FlowCodes } from './code.ts';

/** Flows of one name and version. */
export interface WaitingFlows {
  readonly name: string;
  readonly version: number;
  readonly count: number;
}

/** As of one commit. O(flows). */
export function waitingFlows(dir: string, node: string): WaitingFlows[] {
  const state = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  try {
    const reader = openReader(state);
    if (!reader.layouts.pools.some(({ name }) => name === '$flows')) return [];
    const counts = new Map<string, WaitingFlows>();
    reader.snapshot(read => {
      for (const flow of read.pool('$flows').values()) {
        const { name, version } = flow as unknown as { name: string; version: number };
        const key = `${name} ${version}`;
        counts.set(key, { name, version, count: (counts.get(key)?.count ?? 0) + 1 });
      }
    });
    return [...counts.values()];
  } finally {
    state.close();
  }
}

/** @returns a sentence for each kind of flow that this code would leave waiting */
export function flowProblems(dir: string, node: string, service: Service): string[] {
  const { name, protocol, spec } = service;
  const codes = new FlowCodes(name, protocol, spec.flows ?? {});
  return waitingFlows(dir, node).flatMap(flow => {
    const code = codes.find(flow.name);
    const of = `${flow.count} flow${flow.count === 1 ? '' : 's'} \`${flow.name}\` of version ${flow.version}`;
    const orEnd = `, or end them before: lich flows cancel ${node} ${flow.name}`;
    if (code === undefined)
      return [`${of}: the new code has no such flow; name the one that goes on with was: '${flow.name}'${orEnd}`];
    if (flow.version > code.version || flow.version < code.accepts)
      return [
        `${of}: the new code goes on with ${code.accepts}..${code.version}; take the old steps for it, and say accepts${orEnd}`,
      ];
    return [];
  });
}
