import { CodedError } from '@lich/schema';

/** What can go wrong while a service runs; docs/errors.md says when, and what to do. */
export type RuntimeCode =
  | 'RUNTIME_BAD_SERVICE'
  | 'RUNTIME_BAD_TOPOLOGY'
  | 'RUNTIME_BAD_CONFIG'
  | 'RUNTIME_COMPILE'
  | 'RUNTIME_HANDLER_PROMISE'
  | 'RUNTIME_TIMERS_FULL'
  | 'RUNTIME_SET_ASIDE'
  | 'RUNTIME_UNKNOWN_MESSAGE'
  | 'RUNTIME_ILL_FORMED'
  | 'RUNTIME_HANDLER_FAILED'
  | 'RUNTIME_ASK_TIMEOUT'
  | 'RUNTIME_FLOW_STATE'
  | 'RUNTIME_FLOW_VALUE'
  | 'RUNTIME_FLOW_DIFFERS'
  | 'RUNTIME_FLOW_VERSION'
  | 'RUNTIME_FLOW_TOO_LONG'
  | 'RUNTIME_FLOW_CANCELLED'
  | 'RUNTIME_FLOW_DEADLINE'
  | 'RUNTIME_FLOW_FAILED'
  | 'RUNTIME_FLOWS_FULL'
  | 'RUNTIME_PLAYER_GONE'
  | 'RUNTIME_NOT_IN_QUARANTINE'
  | 'RUNTIME_NO_CAPSULE'
  | 'RUNTIME_NOT_RECORDED'
  | 'RUNTIME_DIVERGED'
  | 'RUNTIME_IN_USE'
  | 'RUNTIME_NO_SUPERVISOR'
  | 'RUNTIME_CONTROL'
  | 'RUNTIME_UNKNOWN_NODE'
  | 'RUNTIME_DEPLOY'
  | 'RUNTIME_METRICS'
  | 'RUNTIME_WORKER';

/** A service, topology or config that cannot be, or a handler that may not do what it does. */
export class RuntimeError extends CodedError<RuntimeCode> {}
