/** How the segments of a node are laid out. */
import { type Fields, type StateSchema, u32 } from '@lich/schema';
import { busFields, DEFAULT_LIMITS, type BusLimits } from '../bus/index.ts';
import { reportFields } from './report/report.ts';
import { storePlan, type StorePlan } from '../state/index.ts';

/** What a node's segments follow from. */
export interface LayoutOptions {
  readonly state: StateSchema;
  /** Fields added to records of pools, by pool name. */
  readonly hidden?: Readonly<Record<string, Fields>>;
  /** Root fields added by the logic. */
  readonly fields?: Fields;
  readonly logBytes?: number;
  readonly heapBytes?: number;
  readonly bus?: Partial<BusLimits>;
}

/** What the layout of a lanes segment follows from. */
export function lanesHash(limits: BusLimits): string {
  const { nodes, lanes, dataBytes, link } = limits;
  return `lanes 2, ${JSON.stringify({ nodes, lanes, dataBytes, link })}`;
}

/** How the state segment of such a node is laid out. */
export function planOf(o: LayoutOptions): StorePlan {
  return storePlan(o.state, {
    ...(o.logBytes === undefined ? {} : { logWords: o.logBytes / 4 }),
    ...(o.heapBytes === undefined ? {} : { heapBytes: o.heapBytes }),
    ...(o.hidden === undefined ? {} : { hidden: o.hidden }),
    system: { $born: u32, ...reportFields, ...busFields({ ...DEFAULT_LIMITS, ...o.bus }), ...o.fields },
  });
}
