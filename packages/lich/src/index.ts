export * from '@lich/schema';
export {
  type Again,
  type Answer,
  type CallOptions,
  type Context,
  type FlowBranch,
  type FlowContext,
  type FlowGenerator,
  type FlowSpec,
  FlowStepError,
  type HandlerAskOptions,
  hear,
  type Life,
  type LifeReason,
  type Log,
  type PlayerContext,
  type Random,
  RequestError,
  RuntimeError,
  type Service,
  service,
  type Step,
  type TellingContext,
  type Topic,
  type Where,
} from './runtime/index.ts';
export {
  type NodeContext,
  type NodeLimits,
  program,
  type Runnable,
  type Topology,
  type TopologyEntry,
  type TopologyHost,
  topology,
} from './runtime/index.ts';
export { gateway } from './gateway/index.ts';
export { nats, tcp } from './link/index.ts';
export { local, type Local } from './state/index.ts';
