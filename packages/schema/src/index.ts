export { CodedError, SchemaError } from './errors.ts';
export type { CodedErrorOptions, SchemaCode, Severity } from './errors.ts';
export { bool, f32, f64, i16, i32, i64, i8, int, u16, u32, u64, u8 } from './numbers.ts';
export { oneOf } from './one-of.ts';
export { bytes, text } from './text.ts';
export { array, list, map } from './containers.ts';
export type { ArrayKind, KeyKind, ListKind, MapKind } from './containers.ts';
export { ref } from './ref.ts';
export type { RefInput, RefKind } from './ref.ts';
export { RECORD_REF, recordRefOf } from './ref-value.ts';
export type { RecordRef, Ref, Referable } from './ref-value.ts';
export { nested, struct, validateStructClass } from './struct.ts';
export type { CheckFields, StructBase, StructClass, StructKind } from './struct.ts';
export { isStructClass } from './struct-mark.ts';
export { describeKind, isKind } from './kind.ts';
export type {
  Align,
  AnyKind,
  AnyKindBase,
  ArrayShape,
  BigShape,
  BoolShape,
  BytesShape,
  FieldKind,
  Fields,
  Kind,
  KindBase,
  KindTag,
  ListShape,
  MapShape,
  NumberShape,
  OneOfShape,
  RefShape,
  StructShape,
  TextShape,
} from './kind.ts';
export { check, copyValue, refuse, show, zeroOf } from './check.ts';
export { alignUp, kindOf, layoutOf, listLayout, mapLayout } from './layout.ts';
export type { FieldLayout, ListLayout, MapLayout, StructLayout } from './layout.ts';
export { isPool, pool, POOL_CAPACITY_DEFAULT, POOL_CAPACITY_MAX, state } from './state.ts';
export type {
  CheckState,
  NamedPool,
  PoolDecl,
  PoolNames,
  PoolOptions,
  RecordOfPool,
  RootInit,
  StateOf,
  StateSchema,
} from './state.ts';
export type { FixedArray, HashMap, List, Pool } from './views.ts';
export type {
  Init,
  InitFields,
  InOf,
  Mirror,
  OutOf,
  Plain,
  PlainFields,
  PlainOf,
  Problem,
  Recordlike,
  RecordOf,
} from './types.ts';
export { CATALOG_FORMAT, catalogOfStruct, describe, fromDescription, layoutHash, stateLayoutOf } from './catalog.ts';
export type {
  Catalog,
  CatalogField,
  CatalogKind,
  CatalogPool,
  CatalogStruct,
  HiddenParts,
  PoolLayout,
  StateLayout,
} from './catalog.ts';
export { hashOf } from './hash.ts';
export { checkProtocol, command, event, own, protocol, request } from './protocol.ts';
export type {
  AnswerOf,
  CheckMessage,
  ClientFields,
  ClientPayloadOf,
  ClientReplyOf,
  HandlerFields,
  MessageDecl,
  MessageSpec,
  NamesOf,
  PayloadOf,
  Protocol,
  ReplyOf,
  Role,
  SenderFields,
  SendOf,
} from './protocol.ts';
export { Reader, Writer } from './wire.ts';
export { codecOf, fieldCodecOf, payloadCodecOf, replyCodecOf } from './codec.ts';
export type { Codec, CodecOptions, ValueCodec } from './codec.ts';
export { MASK_BITS, readSync, syncPlanOf, SyncWriter } from './sync.ts';
export type { SyncField, SyncPlan, SyncPool, SyncSink } from './sync.ts';
export { mirrorOf, updateMirror } from './mirror.ts';
export type { MirrorOptions } from './mirror.ts';
export {
  CloseCode,
  closeNameOf,
  ERROR_CODE_UNITS_MAX,
  ERROR_MESSAGE_UNITS_MAX,
  mayRetry,
  OutKind,
  readClientFrame,
  readEpoch,
  readEvent,
  readGatewayFrame,
  readReply,
  REASON_UNITS_MAX,
  TOKEN_BYTES,
  WIRE_VERSION,
  writeAck,
  writeBye,
  writeEpoch,
  writeEvent,
  writeHello,
  writeMessage,
  writeOut,
  writeReply,
  writeReplyError,
  writeTaken,
  writeWelcome,
} from './frames.ts';
export type {
  AckFrame,
  ByeFrame,
  ClientFrame,
  CloseName,
  GatewayFrame,
  HelloFrame,
  MessageFrame,
  OutFrame,
  ReplyBody,
  TakenFrame,
  WelcomeFrame,
} from './frames.ts';
