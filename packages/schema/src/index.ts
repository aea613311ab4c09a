export { CodedError, SchemaError } from './errors.ts';
export type { CodedErrorOptions, SchemaCode, Severity } from './errors.ts';
export { bool, f32, f64, i16, i32, i64, i8, int, u16, u32, u64, u8 } from './numbers.ts';
export { oneOf } from './one-of.ts';
export { bytes, text } from './text.ts';
export type { LongBytesKind, LongTextKind } from './text.ts';
export { array, bits, list, map, queue, set, sorted } from './containers.ts';
export type {
  ArrayKind,
  BitsKind,
  KeyKind,
  ListKind,
  MapKind,
  QueueKind,
  SetKind,
  SortedKind,
  VectorKind,
} from './containers.ts';
export { machine, MACHINE_AFTER_MAX } from './machine.ts';
export type {
  EventsOf,
  MachineAction,
  MachineChart,
  MachineKind,
  MachineState,
  MachineStates,
  MachineStep,
  TargetsOf,
} from './machine.ts';
export { optional } from './optional.ts';
export type { OptionalKind } from './optional.ts';
export { ref } from './ref.ts';
export type { RefInput, RefKind } from './ref.ts';
export { RECORD_REF, recordRefOf } from './ref-value.ts';
export type { RecordRef, Ref, Referable } from './ref-value.ts';
export { extend, mix } from './extend.ts';
export type { ExtendedBase, FieldsOf, MixedBase } from './extend.ts';
export { isFamily, variants, VARIANTS_MAX } from './variants.ts';
export type { CheckVariants, Family, Variant, VariantRecord, Variants } from './variants.ts';
export { nested, struct, validateStructClass } from './struct.ts';
export type { CheckFields, StructBase, StructClass, StructKind } from './struct.ts';
export { isStructClass } from './struct-mark.ts';
export { describeKind, hasMachine, innerKinds, isContainer, isGrowing, isKind, ownsHeap, unsendable } from './kind.ts';
export type {
  Align,
  AnyKind,
  AnyKindBase,
  ArrayShape,
  BigShape,
  BitsShape,
  BoolShape,
  BytesShape,
  ContainerTag,
  FieldKind,
  Fields,
  Kind,
  KindBase,
  KindTag,
  ListShape,
  MachineShape,
  MapShape,
  NumberShape,
  OneOfShape,
  OptionalShape,
  QueueShape,
  RefShape,
  SetShape,
  SortedShape,
  StructShape,
  TextShape,
  VectorShape,
} from './kind.ts';
export { check, copyValue, refuse, show, stateNameOf, takesUndefined, zeroOf } from './check.ts';
export {
  alignUp,
  CLASS_FIELD,
  familyLayout,
  kindOf,
  layoutOf,
  LINK_BYTES,
  listLayout,
  LONG_BYTES,
  machineLayout,
  mapLayout,
  optionalSize,
  queueLayout,
  setLayout,
} from './layout.ts';
export type {
  FamilyLayout,
  FieldLayout,
  ListLayout,
  MapLayout,
  QueueLayout,
  SetLayout,
  StructLayout,
} from './layout.ts';
export { BITS_MAX, COUNT_MAX, POOL_CAPACITY_MAX } from './limits.ts';
export { classesOf, isPool, pool, state } from './state.ts';
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
export type {
  Bits,
  Cursor,
  FamilyPool,
  FixedArray,
  GrowingArray,
  HashMap,
  HashSet,
  List,
  Machine,
  Pool,
  Queue,
  SortedMap,
  SortedRange,
} from './views.ts';
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
export {
  CATALOG_FORMAT,
  catalogOfStruct,
  describe,
  fromDescription,
  layoutHash,
  needsHeap,
  recordLayouts,
  stateLayoutOf,
  structsFrom,
  structsIn,
} from './catalog.ts';
export type {
  Catalog,
  CatalogField,
  CatalogKind,
  CatalogPool,
  CatalogStruct,
  CatalogVariant,
  HiddenParts,
  PoolLayout,
  StateLayout,
  VariantLayout,
} from './catalog.ts';
export { diff, effectOf } from './diff.ts';
export type { DiffSide, LayoutChange } from './diff.ts';
export { layoutNames } from './layout-names.ts';
export type { LayoutNames } from './layout-names.ts';
export { relateKinds } from './relate.ts';
export type { ChangeEffect, KindRelation } from './relate.ts';
export type { Former } from './names.ts';
export { hashOf } from './hash.ts';
export { checkProtocol, command, event, own, protocol, request, topic } from './protocol.ts';
export type {
  AnswerOf,
  CheckMessage,
  ClientFields,
  ClientPayloadOf,
  ClientReplyOf,
  CommandOptions,
  From,
  FromOption,
  HandlerFields,
  MessageDecl,
  MessagePriority,
  MessageSpec,
  NamesOf,
  OwnOptions,
  PayloadOf,
  Protocol,
  ReplacesOption,
  ReplyOf,
  Role,
  SenderFields,
  SendOf,
  WholeOr,
} from './protocol.ts';
export { msgpack, wholeLayout } from './whole.ts';
export type { MessageLayout, MsgpackPayload, WholeKind, WholePayload } from './whole.ts';
export { Reader, Writer } from './wire.ts';
export { codecOf, fieldCodecOf, payloadCodecOf, replyCodecOf } from './codec.ts';
export type { Codec, CodecOptions, ValueCodec } from './codec.ts';
export { MASK_BITS, readSync, syncPlanOf, SyncWriter } from './sync.ts';
export type { SyncField, SyncPlan, SyncPool, SyncSink } from './sync.ts';
export { mirrorOf, updateMirror, value } from './mirror.ts';
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
