// HOT: measured by benchmarks/handler
/** Commands and requests to other services: written into their lanes, in the open transaction. What is needed to address
 * one is looked up once, by service, message and instance; no string is made for a send. */
import type { Protocol } from '@lich/schema';
import { FULL, type PayloadCodec, payloadCodec, typeOf } from '../bus/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import type { Target } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

interface Message {
  readonly type: number;
  readonly codec: PayloadCodec;
  readonly reply: PayloadCodec | undefined;
  readonly plainReply: PayloadCodec | undefined;
}

interface Address {
  readonly node: number;
  readonly type: number;
  readonly codec: PayloadCodec;
}

/** Refs to another service's records mean nothing here. */
const NO_DOOR = { resolve: () => undefined };
const PLAIN_DOOR = { resolve: (_: string, slot: number, generation: number) => ({ slot, generation }) };

export class Sends {
  readonly #core: Core;
  /** By service, then by message. */
  readonly #messages = new Map<Target<Protocol>, Map<string, Message>>();
  /** Likewise; the index is the instance. */
  readonly #known = new Map<Target<Protocol>, Map<string, (Address | undefined)[]>>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** @returns false when the lane is full and may not grow
   * @throws BusError `BUS_UNKNOWN_NODE`; SchemaError `SCHEMA_RANGE`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  send(to: Target<Protocol>, name: string, payload: Readonly<Record<string, unknown>>, instance: number): boolean {
    const address = this.address(to, name, 'command', instance);
    const { outbox } = this.#core.bus;
    const at = outbox.claim(address.node, address.type, 0, 0, address.codec.bytes);
    if (at === FULL) return false;
    address.codec.write(this.#core.lanes, at * 4, payload);
    outbox.commitClaim();
    return true;
  }

  /** @throws BusError `BUS_UNKNOWN_NODE`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  address(to: Target<Protocol>, name: string, role: 'command' | 'request', instance: number): Address {
    return this.#known.get(to)?.get(name)?.[instance] ?? this.#look(to, name, role, instance);
  }

  #look(to: Target<Protocol>, name: string, role: 'command' | 'request', instance: number): Address {
    const { type, codec } = this.messageOf(to, name, role);
    const address = { node: this.#core.directory.byName(`${to.name}-${instance}`).index, type, codec };
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
    const message = {
      type: typeOf(tagOfProtocol(to.protocol), spec.id),
      codec: payloadCodec(spec.layout, NO_DOOR, name),
      reply: spec.reply && payloadCodec(spec.reply, NO_DOOR, `${name}.reply`),
      plainReply: spec.reply && payloadCodec(spec.reply, PLAIN_DOOR, `${name}.reply`),
    };
    let messages = this.#messages.get(to);
    if (messages === undefined) this.#messages.set(to, (messages = new Map()));
    messages.set(name, message);
    return message;
  }
}
