export * from '@lich/schema';
export {
  type Context,
  type Life,
  type LifeReason,
  type Log,
  type PlayerContext,
  type Random,
  RuntimeError,
  type Service,
  service,
  type TellingContext,
} from './runtime/index.ts';
export {
  type NodeContext,
  type NodeLimits,
  program,
  type Runnable,
  type Topology,
  type TopologyEntry,
  topology,
} from './runtime/index.ts';
export { gateway } from './gateway/index.ts';
export { local, type Local } from './state/index.ts';
