/** The one object that all handlers of a service are given: `Context` and `PlayerContext` of service.ts are its types. */
import type { Protocol } from '@lich/schema';
import type { Config } from './config.ts';
import type { HandlerAskOptions } from './handler-asks.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';
import type { Where } from './sends.ts';
import type { Life, Target } from './service.ts';

type Payload = Readonly<Record<string, unknown>>;

/** What the context passes on to; the service's logic is one. */
export interface ContextHost {
  readonly state: unknown;
  readonly config: Config;
  readonly random: Random;
  readonly now: number;
  readonly tick: number;
  readonly life: Life;
  readonly log: Log;
  publish(name: string, payload: object): boolean;
  tell(player: object, name: string, payload: object): void;
  post(name: string, payload: Payload): void;
  after(ms: number, name: string, payload: Payload): number;
  every(ms: number, name: string, payload: Payload): number;
  cancel(handle: number): boolean;
  send(to: Target<Protocol>, name: string, payload: Payload, where: Where | 'all'): boolean;
  ask(to: Target<Protocol>, name: string, payload: Payload, options: HandlerAskOptions): number;
  startFlow(name: string, payload: Payload): number;
  cancelFlow(id: number): boolean;
  attempt(record: object | undefined, fn: () => unknown): unknown;
  onCommit(fn: () => void): void;
}

export class ServiceContext {
  readonly #host: ContextHost;
  readonly state: unknown;
  readonly config: Config;
  readonly random: Random;
  me: object | undefined = undefined;

  constructor(host: ContextHost) {
    this.#host = host;
    this.state = host.state;
    this.config = host.config;
    this.random = host.random;
  }

  get now(): number {
    return this.#host.now;
  }
  get tick(): number {
    return this.#host.tick;
  }
  get life(): Life {
    return this.#host.life;
  }
  get log(): Log {
    return this.#host.log;
  }
  audit(event: string, data?: Payload): void {
    const { log } = this.#host;
    if (log.audit) log.audit(event, data);
    else log.info(event, data);
  }
  publish(name: string, payload: object): boolean {
    return this.#host.publish(name, payload);
  }
  tell(player: object, name: string, payload: object): void {
    this.#host.tell(player, name, payload);
  }
  post(name: string, payload: Payload): void {
    this.#host.post(name, payload);
  }
  after(ms: number, name: string, payload: Payload): number {
    return this.#host.after(ms, name, payload);
  }
  every(ms: number, name: string, payload: Payload): number {
    return this.#host.every(ms, name, payload);
  }
  cancel(handle: number): boolean {
    return this.#host.cancel(handle);
  }
  send(to: Target<Protocol>, name: string, payload: Payload, where: Where | 'all' = 1): boolean {
    return this.#host.send(to, name, payload, where);
  }
  ask(to: Target<Protocol>, name: string, payload: Payload, options: HandlerAskOptions): number {
    return this.#host.ask(to, name, payload, options);
  }
  startFlow(name: string, payload: Payload): number {
    return this.#host.startFlow(name, payload);
  }
  cancelFlow(id: number): boolean {
    return this.#host.cancelFlow(id);
  }
  attempt(record: object | undefined, fn: () => unknown): unknown {
    return this.#host.attempt(record, fn);
  }
  onCommit(fn: () => void): void {
    this.#host.onCommit(fn);
  }
}
