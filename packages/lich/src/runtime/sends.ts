// HOT: measured by benchmarks/handler
/** Commands and requests to other services: written into their lanes, in the open transaction. What is needed to address
 * one is looked up once, by service, message and instance; no string is made for a send. */
import type { MessageSpec, Protocol } from '@lich/schema';
import {
  CONTROL,
  DATA,
  FULL,
  type Key,
  type PayloadCodec,
  payloadCodec,
  type Priority,
  sizeOf,
  typeOf,
} from '../bus/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import { keyedBy, type Latest } from './latest.ts';
import type { Members } from './members.ts';
import type { Target } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

/** Which instance of a service: by number, or the one that has a key. A key leads to one instance for as long as it is
 * there: when one comes or goes only its share of the keys moves. */
export type Where = number | { readonly instance: number } | { readonly key: Key };

interface Message {
  readonly type: number;
  readonly priority: Priority;
  readonly codec: PayloadCodec;
  readonly reply: PayloadCodec | undefined;
  readonly plainReply: PayloadCodec | undefined;
  /** What tells apart of which a newer one replaces an older one; undefined where none is replaced. */
  readonly keyOf: ((payload: unknown) => string) | undefined;
}

interface Address extends Message {
  readonly node: number;
  /** To that node, with the priority of the message. */
  readonly stream: number;
}

/** Refs to another service's records mean nothing here. */
const NO_DOOR = { resolve: () => undefined };
const PLAIN_DOOR = { resolve: (_: string, slot: number, generation: number) => ({ slot, generation }) };

/** What it stands on. */
export interface SendsOptions {
  readonly members: Members;
  readonly latest: Latest;
  /** Told once of each service that something is said to. */
  readonly first: (to: Target<Protocol>) => void;
}

export class Sends {
  readonly #core: Core;
  readonly #o: SendsOptions | undefined;
  /** By service, then by message. */
  readonly #messages = new Map<Target<Protocol>, Map<string, Message>>();
  /** Likewise; the index is the instance. */
  readonly #known = new Map<Target<Protocol>, Map<string, (Address | undefined)[]>>();

  /** @param o not needed by who asks instances by their numbers alone */
  constructor(core: Core, o?: SendsOptions) {
    this.#core = core;
    this.#o = o;
  }

  /** @returns false when a lane is full and may not grow: nothing was sent
   * @throws BusError `BUS_UNKNOWN_NODE`; SchemaError `SCHEMA_RANGE`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  send(to: Target<Protocol>, name: string, payload: unknown, where: Where | 'all'): boolean {
    if (where === 'all') return this.#toAll(to, name, payload);
    if (typeof where !== 'number' && 'key' in where) {
      const message = this.messageOf(to, name, 'command');
      return this.#to(this.#addressOf(this.#o!.members.nodeOf(to.name, where.key), message), payload);
    }
    return this.#to(this.address(to, name, 'command', where), payload);
  }

  #addressOf(node: number, message: Message): Address {
    return { ...message, node, stream: this.#core.bus.streamOf(node, message.priority) };
  }

  #to({ node, stream, type, codec, keyOf }: Address, payload: unknown): boolean {
    if (keyOf !== undefined) return this.#o!.latest.send(node, { type, a: 0, b: 0 }, codec, keyOf, payload);
    const { outbox } = this.#core.bus;
    const at = outbox.claim(stream, type, 0, 0, sizeOf(codec, payload));
    if (at === FULL) return false;
    codec.write(this.#core.lanes, at * 4, payload as Readonly<Record<string, unknown>>);
    outbox.commitClaim();
    return true;
  }

  /** To each instance, or to none. */
  #toAll(to: Target<Protocol>, name: string, payload: unknown): boolean {
    const message = this.messageOf(to, name, 'command');
    const { log } = this.#core.store;
    const before = log.savepoint();
    try {
      if (this.#o!.members.of(to.name).nodes.every(node => this.#to(this.#addressOf(node, message), payload)))
        return true;
    } catch (error) {
      log.rollbackTo(before);
      throw error;
    }
    log.rollbackTo(before);
    return false;
  }

  /** @throws BusError `BUS_UNKNOWN_NODE`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  address(to: Target<Protocol>, name: string, role: 'command' | 'request', where: Where): Address {
    if (typeof where === 'number') return this.#known.get(to)?.get(name)?.[where] ?? this.#look(to, name, role, where);
    if ('key' in where)
      return this.#addressOf(this.#o!.members.nodeOf(to.name, where.key), this.messageOf(to, name, role));
    return this.address(to, name, role, where.instance);
  }

  #look(to: Target<Protocol>, name: string, role: 'command' | 'request', instance: number): Address {
    const address = this.#addressOf(
      this.#core.directory.byName(`${to.name}-${instance}`).index,
      this.messageOf(to, name, role),
    );
    let messages = this.#known.get(to);
    if (messages === undefined) this.#known.set(to, (messages = new Map()));
    let instances = messages.get(name);
    if (instances === undefined) messages.set(name, (instances = []));
    return (instances[instance] = address);
  }

  /** @throws RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  messageOf(to: Target<Protocol>, name: string, role: 'command' | 'request'): Message {
    const known = this.#messages.get(to)?.get(name);
    if (known !== undefined) return known;
    const spec = to.protocol.byName.get(name);
    if (spec?.role !== role)
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${name} is no ${role} of service ${to.name}`);
    let messages = this.#messages.get(to);
    if (messages === undefined) {
      this.#messages.set(to, (messages = new Map()));
      this.#o?.first(to);
    }
    const message = messageOf(to.protocol, spec);
    messages.set(name, message);
    return message;
  }
}

function messageOf(protocol: Protocol, spec: MessageSpec): Message {
  const { id, name, layout, reply, priority } = spec;
  return {
    type: typeOf(tagOfProtocol(protocol), id),
    priority: priority === 'control' ? CONTROL : DATA,
    codec: payloadCodec(layout, NO_DOOR, name),
    reply: reply && payloadCodec(reply, NO_DOOR, `${name}.reply`),
    plainReply: reply && payloadCodec(reply, PLAIN_DOOR, `${name}.reply`),
    keyOf: keyedBy(spec),
  };
}
