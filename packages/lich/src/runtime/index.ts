export { Core, type CoreOptions, type Logic } from './core.ts';
export { type RuntimeCode, RuntimeError } from './errors.ts';
export {
  type BuiltTopology,
  buildTopology,
  loadConfig,
  loadService,
  type LoadedTopology,
  loadTopology,
} from './load.ts';
export { createLog, errorData, type Log } from './log.ts';
export { coreLimits, type NodeSpec, runCore, serviceCore, START_FAILED } from './node-process.ts';
export type { Random } from './random.ts';
export {
  type Context,
  isService,
  type Life,
  type LifeReason,
  type PlayerContext,
  type Service,
  type ServiceSpec,
  service,
  type TellingContext,
} from './service.ts';
export { FlowStepError } from './flows/errors.ts';
export type {
  CallOptions,
  FlowBranch,
  FlowContext,
  FlowFields,
  FlowPayload,
  FlowReply,
  FlowSpec,
  Recorded,
} from './flows/flow.ts';
export { Again, type FlowGenerator, Step } from './flows/steps.ts';
export { serviceLayout } from './service-logic.ts';
export {
  CLOSE,
  EVERYBODY,
  INPUT,
  JOIN,
  JOINED,
  LEAVE,
  OUT,
  PICTURE,
  REFUSED,
  tagOfProtocol,
} from './system-messages.ts';
export {
  askSupervisor,
  type ControlCall,
  type ControlServer,
  type ControlVerb,
  controlPath,
  serveControl,
  SupervisorError,
} from './supervisor/control.ts';
export { Supervisor, type SupervisorEvent, type SupervisorOptions } from './supervisor/supervisor.ts';
export {
  isTopology,
  type NodeContext,
  type NodeLimits,
  nodesOf,
  program,
  type Runnable,
  type Topology,
  type TopologyEntry,
  topology,
} from './topology.ts';
export { lanesOf, nodePlan } from './node-plan.ts';
export { type Phase, phaseOf, PHASES } from './node-words.ts';
export { type DeployEvent, Deployer, type DeployHost, type DeployOptions, type DeployResult } from './deploy/deploy.ts';
export type { DeployOutlook } from './deploy/outlook.ts';
