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
export { giveUp } from './drops.ts';
export { createLog, errorData, type Log } from './log.ts';
export { type NodeSpec, runCore, serviceCore, START_FAILED } from './node-process.ts';
export { giveOrder, type Order } from './orders.ts';
export {
  type CapsuleAbout,
  dropQuarantined,
  type Entry,
  findQuarantined,
  listQuarantine,
  type MessageEntry,
  type Quarantined,
  readQuarantined,
  type RecordEntry,
} from './quarantine.ts';
export { type Presence, presenceOf, sayPresence } from './presence.ts';
export type { HandlerAskOptions } from './handler-asks.ts';
export type { Random } from './random.ts';
export { type Answer, RequestError } from './requests.ts';
export { type Difference, firstDifference } from './record/compare.ts';
export { KIND_NAMES } from './record/format.ts';
export { type Input, Inputs } from './record/inputs.ts';
export { placeOf } from './record/place.ts';
export { MetricsSource, type Sample } from './report/metrics.ts';
export { isRecording, type RecordRequest, recordRequest, requestRecord } from './record/recording.ts';
export { Replay, type ReplayOptions } from './record/replay.ts';
export { type Differs, runTwice } from './record/twice.ts';
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
export { type FlowFilter, type FlowList, type ListedFlow, listFlows } from './flows/list.ts';
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
export { type HeardOf, hear, type Hears, type Topic } from './hear.ts';
export type { Where } from './sends.ts';
export { serviceLayout } from './service-layout.ts';
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
  WHY,
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
export type { SupervisorEvent } from './supervisor/events.ts';
export { type StopAsked, Supervisor, type SupervisorOptions } from './supervisor/supervisor.ts';
export type { Ps, PsNode, PsProcess } from './supervisor/verbs.ts';
export { runningIn, type RunRecord } from './run-file.ts';
export { type Suspended, suspendedIn } from './suspects.ts';
export {
  isTopology,
  type NodeContext,
  type NodeLimits,
  nodesOf,
  program,
  type Runnable,
  type Topology,
  type TopologyEntry,
  type TopologyHost,
  topology,
} from './topology.ts';
export { MessageNames, type NamedMessage } from './message-names.ts';
export { coreLimits, lanesOf, nodePlan } from './node-plan.ts';
export { type Phase, phaseOf, PHASES } from './node-words.ts';
export { type DeployEvent, Deployer, type DeployHost, type DeployOptions, type DeployResult } from './deploy/deploy.ts';
export type { DeployOutlook } from './deploy/outlook.ts';
export { type DevEvent, DevLoop, type DevOptions } from './deploy/dev.ts';
