export type { BusCode } from './errors.ts';
export { BusError } from './errors.ts';
export { Directory, type Elsewhere, type NodeEntry } from './directory.ts';
export {
  DEFAULT_WIDTHS,
  flawOfWidths,
  formatId,
  type IdWidths,
  mostOf,
  nodeId,
  parseId,
  partsOf,
} from './node-ids.ts';
export { enterNodes, type NamedNode, type Numbering, readNumbering } from './numbering.ts';
export {
  type BusLimits,
  CONTROL,
  DATA,
  DEFAULT_LIMITS,
  lanesRegions,
  PRIORITIES,
  type Priority,
} from './lanes-layout.ts';
export { busFields, rootWord } from './bus-state.ts';
export { BATCH, Bus, type BusOptions } from './bus.ts';
export { type Deliver, HANDLED, HOLD, type SuspectWords } from './inbox.ts';
export { Blocks } from './blocks.ts';
export { Far } from './far.ts';
export { FarInbox, type FarRun, type FoundPair } from './far-inbox.ts';
export { FarOutbox } from './far-outbox.ts';
export { FULL } from './outbox.ts';
export { hostMs } from './clock.ts';
export { type GivenUp, giveUpWaiting } from './give-up.ts';
export { type FoundRecord, walkLane, type WholeLane, wholeLanes } from './lane-walk.ts';
export { LATENCY_US } from './lanes-layout.ts';
export { BusLook, type LaneLook, latencyUs, type LookOptions, type PairLook, whatWaits } from './look.ts';
export { HEADER_WORDS, idOf, RECORD_ALIGN_WORDS, recordWords, tagOf, typeOf } from './record-descriptor.ts';
export { type PayloadCodec, payloadCodec, type RefDoor, sizeOf } from './payload.ts';
export { hashOfKey, type Key, rendezvous, seedOf } from './rendezvous.ts';
export { rememberedBy, refuseRemembered } from './remembered.ts';
