// HOT: measured by benchmarks/handler
/** Commands to other services: written into their lanes, in the open transaction. What is needed to address one is looked
 * up once, by service, message and instance; no string is made for a send. */
import type { Protocol } from '@lich/schema';
import { FULL, type PayloadCodec, payloadCodec, typeOf } from '../bus/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import type { Target } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

interface Address {
  readonly node: number;
  readonly type: number;
  readonly codec: PayloadCodec;
}

export class Sends {
  readonly #core: Core;
  /** By service, then by message; the index is the instance. */
  readonly #known = new Map<Target<Protocol>, Map<string, (Address | undefined)[]>>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** @returns false when the lane is full and may not grow
   * @throws BusError `BUS_UNKNOWN_NODE`; SchemaError `SCHEMA_RANGE`; RuntimeError `RUNTIME_UNKNOWN_MESSAGE` */
  send(to: Target<Protocol>, name: string, payload: Readonly<Record<string, unknown>>, instance: number): boolean {
    const address = this.#known.get(to)?.get(name)?.[instance] ?? this.#look(to, name, instance);
    const { outbox } = this.#core.bus;
    const at = outbox.claim(address.node, address.type, 0, 0, address.codec.bytes);
    if (at === FULL) return false;
    address.codec.write(this.#core.lanes, at * 4, payload);
    outbox.commitClaim();
    return true;
  }

  #look(to: Target<Protocol>, name: string, instance: number): Address {
    const message = to.protocol.byName.get(name);
    if (message?.role !== 'command')
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${name} is no command of service ${to.name}`);
    const address = {
      node: this.#core.directory.byName(`${to.name}-${instance}`).index,
      type: typeOf(tagOfProtocol(to.protocol), message.id),
      codec: payloadCodec(message.layout, { resolve: () => undefined }, name),
    };
    let messages = this.#known.get(to);
    if (messages === undefined) this.#known.set(to, (messages = new Map()));
    let instances = messages.get(name);
    if (instances === undefined) messages.set(name, (instances = []));
    return (instances[instance] = address);
  }
}
