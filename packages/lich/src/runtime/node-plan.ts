import { DEFAULT_LIMITS } from '../bus/index.ts';
import { type StorePlan } from '../state/index.ts';
import { lanesHash, planOf } from './node-layout.ts';
import { coreLimits } from './node-process.ts';
import type { Service } from './service.ts';
import { serviceLayout } from './service-logic.ts';
import type { NodeLimits } from './topology.ts';

/** How a service's state segment is laid out under these limits: what `lich size` prints. */
export function nodePlan(service: Service, limits: NodeLimits): StorePlan {
  const layout = serviceLayout(service, DEFAULT_LIMITS.nodes);
  return planOf({ state: service.state, ...layout, ...coreLimits(limits) });
}

/** What the lanes segment of a node says under these limits. */
export function lanesOf(limits: NodeLimits): string {
  return lanesHash({ ...DEFAULT_LIMITS, ...coreLimits(limits).bus });
}
