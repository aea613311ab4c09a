import { catalogOfStruct, structsIn } from './catalog.ts';
import { SchemaError } from './errors.ts';
import { hashOf } from './hash.ts';
import {
  describeKind,
  hasMachine,
  unsendable,
  type AnyKindBase,
  type ContainerTag,
  type FieldKind,
  type KindBase,
} from './kind.ts';
import { layoutOf } from './layout.ts';
import { checkName } from './names.ts';
import type { RefKind } from './ref.ts';
import { visitKind, type StateSchema } from './state.ts';
import type { StructClass } from './struct.ts';
import type { InOf, Mirror, OutOf, PlainOf, Problem } from './types.ts';
import { type MessageLayout, type MsgpackPayload, type WholeKind, wholeLayout, wholeOf } from './whole.ts';

/** - `command` from a client: numbered, done once, not answered
 * - `request` answered
 * - `own` to the service itself, at once or later
 * - `event` to everyone who sees it
 * - `topic` to the services that hear it */
export type Role = 'command' | 'request' | 'own' | 'event' | 'topic';

/** Who may say a command or a request to a service with players: their clients, other services, or both. A service without
 * players takes all from services. */
export type From = 'players' | 'services' | 'both';

/** What a service handles first of what another one sent it: `control` before `data`, whatever was sent first. Messages of
 * one priority keep their order; clients' messages are all data. */
export type MessagePriority = 'data' | 'control';

/** How a command or a request travels. */
export interface PriorityOption {
  /** Between services. Default `data`. An answer has the priority of its request. */
  readonly priority?: MessagePriority;
}

/** Who may say it, too. */
export interface FromOption<W extends From> extends PriorityOption {
  /** Default `players`. What `services` say is refused when a client sends it. */
  readonly from: W;
}

/** What may become of it while a receiver is too slow. */
export interface ReplacesOption<F> {
  /** It is a state update, of which the newest counts: while the lane to a receiver is full, the newest for each value of
   * this field waits in the sender's state, and older ones are dropped. A whole number, bool, oneOf, text(n) up to 64, or ref. */
  readonly replaces?: F extends WholeKind ? never : keyof F & string;
}

/** Of a command. */
export interface CommandOptions<F> extends ReplacesOption<F>, Partial<FromOption<From>> {}

/** What becomes of an own message in a crash and in an outage. */
export interface OwnOptions {
  /** When the process ends while its handler runs:
   * - `retry` (default): it is handled again by the next life; one that ends the process again and again is set aside
   * - `skip`: it is not handled again, and `onSkipped` of the service is told; so is it of a handler that throws */
  readonly onCrash?: 'retry' | 'skip';
  /** When it fell due while no process ran:
   * - `fire` (default): it is handled late; one with a period once for each time it missed
   * - `skip`: it is dropped, and `onSkipped` is told; one with a period goes on with its next time
   * - `shift`: its time stands still in an outage: it is due later, by the length of each that it waits through */
  readonly onOutage?: 'fire' | 'skip' | 'shift';
  /** What it was called before, with the same fields: those that wait under that name are handled by this one. */
  readonly was?: string | readonly string[];
}

/** A message as declared. */
export interface MessageDecl<R extends Role = Role, F = any, A = any, W extends From = From> {
  readonly role: R;
  readonly fields: F;
  /** The fields of the reply; undefined unless it is a request. */
  readonly reply: A;
  /** Of own messages. */
  readonly options?: OwnOptions;
  /** Of commands and requests. */
  readonly from?: W;
  /** Of commands and topics. */
  readonly replaces?: string;
  /** Of commands and requests. */
  readonly priority?: MessagePriority;
}

/** A message of a protocol. */
export interface MessageSpec {
  readonly name: string;
  /** Index in declared order. */
  readonly id: number;
  readonly role: Role;
  readonly layout: MessageLayout;
  readonly reply: MessageLayout | undefined;
  /** Of commands and requests. */
  readonly from: From;
  /** Field of a command or topic, see `ReplacesOption`. */
  readonly replaces: string | undefined;
  readonly priority: MessagePriority;
  readonly onCrash: 'retry' | 'skip';
  readonly onOutage: 'fire' | 'skip' | 'shift';
  /** Former names of an own message. */
  readonly was: readonly string[];
}

/** What can be said: messages, numbered in declared order. */
export interface Protocol<M = any> {
  readonly declared: M;
  /** By id. */
  readonly messages: readonly MessageSpec[];
  readonly byName: ReadonlyMap<string, MessageSpec>;
  /** 64 bits as 16 hex digits: equal when names, roles, order and field kinds are. */
  readonly hash: string;
}

type MessageField = KindBase<any, any, boolean, Exclude<AnyKindBase['tag'], ContainerTag | 'machine'>> | StructClass;
type LongField = KindBase<any, any, boolean, 'text' | 'bytes'> & { readonly length: 0 };
/** Each field that a message cannot have becomes the sentence that the compiler then prints. A whole message may be
 * `bytes()` or `msgpack()` instead. */
export type CheckMessage<F> = F extends WholeKind ? unknown : CheckMessageFields<F>;
type CheckMessageFields<F> = {
  [K in keyof F]: F[K] extends LongField
    ? Problem<'text() and bytes() cannot be in a message: use text(n) or bytes(n), whose size is fixed'>
    : F[K] extends MessageField
      ? unknown
      : F[K] extends FieldKind
        ? Problem<'what grows cannot be in a message: use array(kind, n), whose size is fixed'>
        : F[K] extends (...args: never) => unknown
          ? Problem<'a message holds data only, not a function'>
          : Problem<'a field of a message is a kind such as int, text(24), or a struct class'>;
};
type AnyFields = Readonly<Record<string, unknown>>;
type AnyPayload = AnyFields | WholeKind;
/** Players do not know msgpack. */
type CheckEvent<F> =
  F extends MsgpackPayload<any>
    ? Problem<'msgpack is for services: an event goes to players, use bytes() or fields'>
    : CheckMessage<F>;

/** From a client: numbered per session and handled exactly once, not answered. From another service: handled exactly once. */
export function command<const F extends AnyPayload>(
  fields: F & CheckMessage<F>,
  options?: ReplacesOption<F> & PriorityOption & { readonly from?: undefined },
): MessageDecl<'command', F, undefined, 'players'>;
export function command<const F extends AnyPayload, const W extends From>(
  fields: F & CheckMessage<F>,
  options: ReplacesOption<F> & FromOption<W>,
): MessageDecl<'command', F, undefined, W>;
export function command(
  fields: AnyPayload,
  { from = 'players', priority = 'data', replaces }: CommandOptions<AnyFields> = {},
): MessageDecl<'command', AnyPayload, undefined> {
  return { role: 'command', fields, reply: undefined, from, priority, ...(replaces !== undefined && { replaces }) };
}
/** Answered: by what the handler returns, or by an error. */
export function request<const F extends AnyPayload, const A extends AnyPayload>(
  fields: F & CheckMessage<F>,
  reply: A & CheckMessage<A>,
  options?: PriorityOption,
): MessageDecl<'request', F, A, 'players'>;
export function request<const F extends AnyPayload, const A extends AnyPayload, const W extends From>(
  fields: F & CheckMessage<F>,
  reply: A & CheckMessage<A>,
  options: FromOption<W>,
): MessageDecl<'request', F, A, W>;
export function request(
  fields: AnyPayload,
  reply: AnyPayload,
  { from = 'players', priority = 'data' }: Partial<FromOption<From>> = {},
): MessageDecl<'request', AnyPayload, AnyPayload> {
  return { role: 'request', fields, reply, from, priority };
}
/** To the service itself: at once, or later (a timer). */
export function own<const F extends AnyPayload>(
  fields: F & CheckMessage<F>,
  options: OwnOptions = {},
): MessageDecl<'own', F, undefined> {
  return { role: 'own', fields, reply: undefined, options };
}
/** To clients. */
export function event<const F extends AnyPayload>(fields: F & CheckEvent<F>): MessageDecl<'event', F, undefined> {
  return { role: 'event', fields, reply: undefined };
}
/** To all services that hear it: see `hear`. One whose lane is full misses it, and is told how many it missed; where it
 * `replaces`, nothing is missed but what a newer one replaced. */
export function topic<const F extends AnyPayload>(
  fields: F & CheckMessage<F>,
  { replaces }: ReplacesOption<F> = {},
): MessageDecl<'topic', F, undefined> {
  return { role: 'topic', fields, reply: undefined, ...(replaces !== undefined && { replaces }) };
}

export const MESSAGES_MAX = 4096;

/** Declare what can be said.
 * @throws SchemaError `SCHEMA_PROTOCOL` for what cannot be sent (a list, a map, `text()`), also inside a nested struct */
export function protocol<const M extends Readonly<Record<string, MessageDecl>>>(messages: M): Protocol<M> {
  const specs: MessageSpec[] = [];
  for (const [name, declared] of Object.entries(messages)) {
    checkName(name, 'message', 'SCHEMA_PROTOCOL');
    if (
      typeof declared !== 'object' ||
      declared === null ||
      !['command', 'request', 'own', 'event', 'topic'].includes(declared.role)
    ) {
      throw new SchemaError('SCHEMA_PROTOCOL', `message ${name} is not made by command, request, own, event or topic`);
    }
    const layout = messageLayout(name, declared.fields as AnyPayload);
    if (declared.role === 'event' && layout.whole?.form === 'msgpack')
      throw new SchemaError('SCHEMA_PROTOCOL', `event ${name} is msgpack, which players do not know: use bytes()`);
    const reply =
      declared.role === 'request' ? messageLayout(`${name}.reply`, declared.reply as AnyPayload) : undefined;
    specs.push(
      Object.freeze({
        name,
        id: specs.length,
        role: declared.role,
        layout,
        reply,
        from: oneOfThese(name, 'from', declared.from ?? 'players', FROM),
        priority: oneOfThese(name, 'priority', declared.priority ?? 'data', PRIORITIES),
        replaces: replacesOf(name, layout, declared),
        ...ownOptions(name, declared.options),
      }),
    );
  }
  if (specs.length > MESSAGES_MAX)
    throw new SchemaError('SCHEMA_PROTOCOL', `${specs.length} messages, a protocol has at most ${MESSAGES_MAX}`);
  const layouts = specs.flatMap(({ layout, reply }) => (reply === undefined ? [layout] : [layout, reply]));
  const hash = hashOf(
    {
      structs: [...structsIn(layouts).values()].map(catalogOfStruct),
      messages: specs.map(({ name, role, layout, reply, from }) => ({
        name,
        role,
        from: from === 'players' ? undefined : from,
        fields: catalogOfStruct(layout),
        whole: layout.whole,
        reply: reply && catalogOfStruct(reply),
        wholeReply: reply?.whole,
      })),
    },
    ['was'],
  );
  return Object.freeze({
    declared: messages,
    messages: Object.freeze(specs),
    byName: new Map(specs.map(spec => [spec.name, spec])),
    hash,
  });
}

function oneOfThese<T extends string>(message: string, key: string, value: T, of: readonly T[]): T {
  if (of.includes(value)) return value;
  throw new SchemaError('SCHEMA_PROTOCOL', `message ${message}: ${key} is ${String(value)}; want ${of.join(', ')}`);
}

const FROM: readonly From[] = ['players', 'services', 'both'];
const PRIORITIES: readonly MessagePriority[] = ['data', 'control'];

const TEXT_KEY_MAX = 64;
const KEY_TAGS: readonly string[] = 'u8 i8 u16 i16 u32 i32 int u64 i64 bool oneOf text ref'.split(' ');

function replacesOf(name: string, layout: MessageLayout, declared: MessageDecl): string | undefined {
  const { replaces: field, priority } = declared;
  if (field === undefined) return undefined;
  if (priority === 'control')
    throw new SchemaError('SCHEMA_PROTOCOL', `message ${name}: what a newer one replaces is data, not control`);
  const kind = layout.fields.find(each => each.name === field)?.kind;
  if (kind === undefined)
    throw new SchemaError('SCHEMA_PROTOCOL', `message ${name}: replaces is ${String(field)}, which is no field of it`);
  if (KEY_TAGS.includes(kind.tag) && !(kind.tag === 'text' && kind.length > TEXT_KEY_MAX)) return field;
  throw new SchemaError(
    'SCHEMA_PROTOCOL',
    `message ${name}: replaces is ${field}, a ${describeKind(kind)}; want a whole number, bool, oneOf, text(n) up to ${TEXT_KEY_MAX}, or ref`,
  );
}

/** What may be said about an own message, with its defaults. */
function ownOptions(name: string, options: OwnOptions = {}): Pick<MessageSpec, 'onCrash' | 'onOutage' | 'was'> {
  if (typeof options !== 'object' || options === null) badOption(name, 'options', options, ['{ … }']);
  const { onCrash = 'retry', onOutage = 'fire', was = [], ...rest } = options;
  for (const [key, value] of Object.entries(rest)) badOption(name, key, value, ['onCrash', 'onOutage', 'was']);
  const former = typeof was === 'string' ? [was] : was;
  if (!Array.isArray(former)) badOption(name, 'was', was, ['a name', 'a list of names']);
  for (const each of former) checkName(each, `former name of own message ${name}`, 'SCHEMA_PROTOCOL');
  if (!['retry', 'skip'].includes(onCrash)) badOption(name, 'onCrash', onCrash, ['retry', 'skip']);
  if (!['fire', 'skip', 'shift'].includes(onOutage)) badOption(name, 'onOutage', onOutage, ['fire', 'skip', 'shift']);
  return { onCrash, onOutage, was: Object.freeze([...former]) };
}

function badOption(name: string, key: string, value: unknown, want: readonly string[]): never {
  throw new SchemaError('SCHEMA_PROTOCOL', `own message ${name}: ${key} is ${String(value)}; want ${want.join(', ')}`);
}

/** Refuse a protocol whose refs name pools that the state does not have.
 * @throws SchemaError `SCHEMA_STATE` */
export function checkProtocol(protocol: Protocol, state: StateSchema): void {
  const poolNames = state.pools.map(entry => entry.name);
  for (const message of protocol.messages) {
    for (const layout of message.reply === undefined ? [message.layout] : [message.layout, message.reply]) {
      for (const field of layout.fields)
        visitKind(field.kind, `field ${field.name} of ${layout.name}`, poolNames, new Map());
    }
  }
}

function messageLayout(name: string, fields: AnyPayload): MessageLayout {
  const whole = wholeOf(fields);
  if (whole !== undefined) return wholeLayout(name, whole);
  for (const field of Object.keys(fields)) checkName(field, `field of ${name}`, 'SCHEMA_PROTOCOL');
  const layout = layoutOf(fields as AnyFields, name);
  const classes = new Map<string, StructClass>();
  for (const field of layout.fields) {
    const reason = hasMachine(field.kind) ? ' has a machine, which is no value: use oneOf' : unsendable(field.kind);
    if (reason !== undefined) throw new SchemaError('SCHEMA_PROTOCOL', `field ${field.name} of ${name}${reason}`);
    visitKind(field.kind, `field ${field.name} of ${name}`, undefined, classes);
  }
  return layout;
}

/** The fields of a message as its handler reads them: refs are records or undefined, structs and arrays plain data. */
export type HandlerFields<F> = { readonly [K in keyof F]: HandlerField<F[K]> };
type HandlerField<K> = K extends RefKind<any> ? OutOf<K> : PlainOf<K>;
/** The fields of a message as its sender gives them: all of them; only refs may be left out. */
export type SenderFields<F> = { readonly [K in keyof F as F[K] extends RefKind<any> ? never : K]: InOf<F[K]> } & {
  readonly [K in keyof F as F[K] extends RefKind<any> ? K : never]?: InOf<F[K]>;
};
/** The fields of a message as a client reads them: refs are the mirrored record, or undefined when it is not in view. */
export type ClientFields<F> = {
  readonly [K in keyof F]: F[K] extends RefKind<infer T> ? Mirror<T> | undefined : PlainOf<F[K]>;
};

/** What a whole message says, or `Fields` where it has fields. */
export type WholeOr<F, Fields> =
  F extends MsgpackPayload<infer T> ? T : F extends KindBase<any, any, boolean, 'bytes'> ? Uint8Array : Fields;

type DeclOf<P, Name> = P extends Protocol<infer M> ? (Name extends keyof M ? M[Name] : never) : never;

/** The names of a protocol's messages, of one role or several; of those that these may say. */
export type NamesOf<P, R extends Role = Role, W extends From = From> =
  P extends Protocol<infer M>
    ? { [K in keyof M & string]: M[K] extends MessageDecl<R, any, any, W> ? K : never }[keyof M & string]
    : never;
/** What a handler of this message gets. */
export type PayloadOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<any, infer F, any> ? WholeOr<F, HandlerFields<F>> : never;
/** What a sender of this message gives. */
export type SendOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<any, infer F, any> ? WholeOr<F, SenderFields<F>> : never;
/** What the one who asked gets, inside the cluster. */
export type ReplyOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<'request', any, infer A> ? WholeOr<A, HandlerFields<A>> : never;
/** What a handler of this request returns; undefined or nothing for other messages. */
export type AnswerOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<'request', any, infer A> ? WholeOr<A, SenderFields<A>> : void;
/** What a client gets with this event. */
export type ClientPayloadOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<any, infer F, any> ? WholeOr<F, ClientFields<F>> : never;
/** What a client that asked gets. */
export type ClientReplyOf<P, Name> =
  DeclOf<P, Name> extends MessageDecl<'request', any, infer A> ? WholeOr<A, ClientFields<A>> : never;
