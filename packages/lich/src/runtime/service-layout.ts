/** What a service adds to the layout of its node's state. */
import { array, f64, type Fields, u32 } from '@lich/schema';
import { flowFields } from './flows/of-service.ts';
import { orderFields } from './orders.ts';
import { outgoingFields } from './outgoing.ts';
import { ownFields } from './own-messages.ts';
import { playerFields } from './players.ts';
import { recordFields } from './record/format.ts';
import type { Service } from './service.ts';
import { serviceBusFields } from './service-bus.ts';
import { suspendedFields } from './suspects.ts';
import { shownFields } from './sync-scan.ts';

/** @param nodes of the cluster, at most */
export function serviceLayout(service: Service, nodes: number): { hidden: Record<string, Fields>; fields: Fields } {
  const { spec } = service;
  const hidden: Record<string, Record<string, unknown>> = spec.me === undefined ? {} : shownFields(spec.state);
  if (spec.me !== undefined) hidden[spec.me] = { ...hidden[spec.me], ...playerFields };
  for (const { name } of spec.state.pools) hidden[name] = { ...hidden[name], $faults: u32 };
  return {
    hidden: hidden as Record<string, Fields>,
    fields: {
      $tick: f64,
      $synced: f64,
      $random: array(u32, 3),
      ...suspendedFields,
      ...orderFields,
      ...outgoingFields(nodes),
      ...serviceBusFields(nodes),
      ...ownFields(service),
      ...flowFields(service),
      ...recordFields,
    } as Fields,
  };
}
