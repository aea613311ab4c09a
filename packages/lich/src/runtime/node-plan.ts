import { DEFAULT_LIMITS } from '../bus/index.ts';
import { type StorePlan } from '../state/index.ts';
import type { CoreOptions } from './core.ts';
import { lanesHash, planOf } from './node-layout.ts';
import type { Service } from './service.ts';
import { serviceLayout } from './service-layout.ts';
import type { NodeLimits } from './topology.ts';

/** What a node's limits mean for its segments. */
export function coreLimits(limits: NodeLimits): Pick<CoreOptions, 'logBytes' | 'heapBytes' | 'bus'> {
  return {
    ...(limits.logBytes === undefined ? {} : { logBytes: limits.logBytes }),
    ...(limits.heapBytes === undefined ? {} : { heapBytes: limits.heapBytes }),
    bus: {
      ...(limits.lanesBytes === undefined ? {} : { dataBytes: limits.lanesBytes }),
      ...(limits.maxLaneBytes === undefined ? {} : { maxLaneBytes: limits.maxLaneBytes }),
    },
  };
}

/** How a service's state segment is laid out under these limits: what `lich size` prints. */
export function nodePlan(service: Service, limits: NodeLimits): StorePlan {
  const layout = serviceLayout(service, DEFAULT_LIMITS.nodes);
  return planOf({ state: service.state, ...layout, ...coreLimits(limits) });
}

/** What the lanes segment of a node says under these limits. */
export function lanesOf(limits: NodeLimits): string {
  return lanesHash({ ...DEFAULT_LIMITS, ...coreLimits(limits).bus });
}
