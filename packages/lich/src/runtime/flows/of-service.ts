/** The flows of a service, as its logic has them: messages that start one, and who is told what came of it. */
import type { MessageSpec } from '@lich/schema';
import type { Core } from '../core.ts';
import type { Config } from '../config.ts';
import { RuntimeError } from '../errors.ts';
import { type FromServices, LATER } from '../from-services.ts';
import type { OwnMessages } from '../own-messages.ts';
import type { Players } from '../players.ts';
import type { Random } from '../random.ts';
import type { Report } from '../report/report.ts';
import type { Asker } from '../replies.ts';
import type { Sends } from '../sends.ts';
import type { Service } from '../service.ts';
import type { Pool } from '../../state/index.ts';
import { FlowCodes } from './code.ts';
import type { FlowAnswer } from './answers.ts';
import { Flows } from './engine.ts';
import { flowTables, FLOWS_MAX } from './table.ts';

/** Root entries of a service with flows. */
export function flowFields(service: Service): object {
  return service.spec.flows === undefined ? {} : flowTables();
}

/** Those of one service in one process. */
export class ServiceFlows {
  readonly #service: Service;
  readonly #codes: FlowCodes | undefined;
  #flows: Flows | undefined;
  #context: { readonly me?: object | undefined } = {};
  /** The service, with a handler that starts its flow for each message that has one. */
  readonly service: Service;

  constructor(service: Service) {
    this.#service = service;
    const { flows, on } = service.spec;
    if (flows === undefined) this.service = service;
    else {
      this.#codes = new FlowCodes(service.name, service.protocol, flows);
      const starts = this.#codes.all.map(({ name }) => [name, this.#starter(name)]);
      this.service = { ...service, spec: { ...service.spec, on: { ...on, ...Object.fromEntries(starts) } } };
    }
  }

  /** Once all that they need is there. */
  begin(o: {
    readonly core: Core;
    readonly config: Config;
    readonly own: OwnMessages | undefined;
    readonly sends: Sends;
    readonly from: FromServices;
    readonly players: Players | undefined;
    readonly pool: Pool<object> | undefined;
    readonly context: { readonly me?: object | undefined };
    readonly withMe: (me: object | undefined, fn: () => unknown) => unknown;
    readonly random: Random;
    readonly limit: number | undefined;
  }): void {
    const { own, from, players } = o;
    this.#context = o.context;
    if (this.#codes === undefined || own === undefined) return;
    const { name, protocol } = this.#service;
    const message = (answer: FlowAnswer): string => (answer.ok ? '' : answer.message);
    const flows = new Flows({
      core: o.core,
      name,
      protocol,
      codes: this.#codes,
      config: o.config,
      wheel: own.wheel,
      outages: own.outages,
      asks: from.requests!,
      sends: o.sends,
      context: o.context,
      withMe: o.withMe,
      players: o.pool,
      random: () => o.random.int(0, 0xffff_ffff),
      limit: Math.min(o.limit ?? FLOWS_MAX, FLOWS_MAX),
      answers: {
        player: (me, n, spec: MessageSpec, answer) => players?.answerLater(me, n, spec, answer),
        service: (to, spec, answer) =>
          answer.ok
            ? from.replies.answer(to, spec, answer.value)
            : from.replies.refuse(to, answer.code, message(answer)),
      },
    });
    for (const [number, timer] of flows.timers()) own.register(number, timer);
    this.#flows = flows;
  }

  /** @param asker number of a player's request, or who asked of the services */
  #starter(name: string): (context: unknown, payload: unknown, asker?: number | Asker) => unknown {
    return (_, payload, asker) => {
      const started = this.#flows!.start(name, payload, this.#context.me);
      if (typeof asker === 'number') started.askedByPlayer(asker);
      else if (asker !== undefined) started.askedByService(asker);
      return LATER;
    };
  }

  /** What a handler starts. */
  start(name: string, payload: unknown): number {
    const role = this.#service.protocol.byName.get(name)?.role;
    if (this.#flows === undefined || role !== 'own' || this.#codes!.find(name)?.name !== name)
      throw new RuntimeError(
        'RUNTIME_UNKNOWN_MESSAGE',
        `${name} is no own message that starts a flow of ${this.#service.name}`,
      );
    return this.#flows.start(name, payload, undefined).id;
  }

  cancel(id: number): boolean {
    return this.#flows?.cancel(id) ?? false;
  }

  /** What people order. In a transaction. */
  readonly order = (verb: 'cancel' | 'drop', ids: readonly number[]): void => {
    for (const id of ids) this.#flows?.[verb](id);
  };

  /** For the metrics. */
  report(report: Report): void {
    const flows = this.#flows;
    if (flows === undefined) return;
    report.mirror(flows.counts, what => `lich_flows_total{what="${what}"}`);
    const now = {
      get waiting(): number {
        return flows.size;
      },
      get stuck(): number {
        return flows.stuck;
      },
    };
    report.mirror(now, what => `lich_flows{what="${what}"}`, 'gauge');
  }

  /** In a transaction. */
  resumed(): void {
    this.#flows?.resumed();
  }

  close(): void {
    this.#flows?.close();
  }

  /** Flows that have not ended. */
  get size(): number {
    return this.#flows?.size ?? 0;
  }
}
