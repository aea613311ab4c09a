/** What a service says to others and hears from them, besides requests: who is there, commands by instance, by key and to all,
 * state updates that wait for room, topics of its own and of others. */
import type { Fields, MessageSpec } from '@lich/schema';
import { HANDLED } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { FormerProtocols, rememberProtocol } from './former-protocols.ts';
import { heardFields, Hearing, type HearingOptions } from './hearing.ts';
import { Latest, latestFields } from './latest.ts';
import { memberFields, Members } from './members.ts';
import type { Report } from './report/report.ts';
import { Sends } from './sends.ts';
import type { Service } from './service.ts';
import { SUBSCRIBE } from './system-messages.ts';
import { topicFields, Topics } from './topics.ts';

/** Root fields and pools that this adds to a service. */
export function serviceBusFields(nodes: number): Fields {
  const fields = { ...memberFields(nodes), ...heardFields(nodes), ...latestFields(), ...topicFields() };
  return fields as unknown as Fields;
}

export class ServiceBus {
  readonly members: Members;
  readonly sends: Sends;
  readonly latest: Latest;
  readonly topics: Topics;
  readonly hearing: Hearing;
  readonly former: FormerProtocols;
  readonly #refuse: HearingOptions['refuse'];

  constructor(service: Service, o: Omit<HearingOptions, 'service'>) {
    const { core } = o;
    this.#refuse = o.refuse;
    this.former = new FormerProtocols(core.dir);
    this.members = new Members(core);
    this.latest = new Latest(core, node => this.members.isGone(node));
    const { members, latest } = this;
    // A receiver of another version finds there what is meant.
    this.sends = new Sends(core, { members, latest, first: to => rememberProtocol(core.dir, to) });
    this.topics = new Topics(core, service.protocol, latest);
    this.hearing = new Hearing({ ...o, service });
    for (const known of [service, ...this.hearing.services()]) rememberProtocol(core.dir, known);
  }

  /** A life begins. In a transaction. */
  begin(): void {
    this.members.note();
    this.topics.reload();
  }

  /** Inside a transaction. @returns undefined for a message that is none of these */
  deliver(
    sender: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    words: number,
  ): number | undefined {
    if (type !== SUBSCRIBE) return this.hearing.deliver(sender, type, a, b, lanes, word, words);
    if (this.topics.subscribe(sender, lanes, word, words)) return HANDLED;
    return this.#refuse(sender, type, a, b, 'illFormed');
  }

  /** @returns whether all who hear it have it */
  publish(message: MessageSpec, payload: unknown): boolean {
    return this.topics.publish(message, payload);
  }

  /** Outside transactions. @returns how much was done */
  step(nowMs: number): number {
    this.hearing.step(this.members.step(nowMs));
    return this.latest.step(nowMs) + this.topics.step(nowMs);
  }

  nextMs(): number {
    return Math.min(this.latest.nextMs(), this.topics.nextMs());
  }

  /** For the metrics. */
  report(report: Report): void {
    report.mirror(this.latest.counts, what => `lich_updates_total{what="${what}"}`);
    const { latest, topics } = this;
    const now = {
      get waiting(): number {
        return latest.size;
      },
    };
    report.mirror(now, what => `lich_updates{what="${what}"}`, 'gauge');
    report.mirror(topics.counts, what => `lich_publications_total{what="${what}"}`);
  }
}
