/** A link as the logic of a node: the transport on one side, the bus on the other, `Link` between them. It has no state but
 * that of the bus: cursors of local senders' streams, and how far the streams of nodes elsewhere have come. */
import { type Far, HANDLED } from '../bus/index.ts';
import { type Core, errorData, type Logic, type Presence, presenceOf, sayPresence } from '../runtime/index.ts';
import { LinkError } from './errors.ts';
import { Link, type LinkHost, noCounts } from './link.ts';
import type { Transport } from './transport.ts';

/** A lock is looked at so often. */
const LOCK_MS = 500;
/** A host that cannot be reached for the same reason is spoken of so often. */
const FAILED_MS = 60_000;

export interface LinkLogicOptions {
  readonly host: string;
  readonly cluster: string;
  /** All other hosts. */
  readonly peers: readonly string[];
  readonly transport: Transport;
}

export class LinkLogic implements Logic {
  readonly deliver = (): number => HANDLED;
  readonly counts = { ...noCounts() };
  /** Made when this life serves: what it is told before may not be written down yet. */
  link!: Link;
  readonly #o: LinkLogicOptions;
  readonly #core: Core;
  readonly #presences = new Map<number, { readonly atMs: number; readonly is: Presence }>();
  readonly #failed = new Map<string, { readonly code: string; readonly atMs: number }>();
  readonly #log: Core['log'];

  constructor(core: Core, o: LinkLogicOptions) {
    this.#core = core;
    this.#o = o;
    this.#log = core.log;
    if (core.bus.far === undefined) throw new TypeError('the node of a link needs `bus.link`');
  }

  #makeLink(far: Far): Link {
    const core = this.#core;
    const { host, cluster, peers } = this.#o;
    const about: LinkHost = {
      host,
      cluster,
      epoch: core.store.segment.epoch,
      peers,
      transact: fn => core.transact(fn),
      enter: (name, id, where) => core.directory.ensure(name, id, { host: where, via: core.name }).index,
      presenceOf: local => this.#presenceOf(local),
      kick: () => core.kick(),
      nowMs: () => core.updateNow(),
      connected: where => {
        this.#failed.delete(where);
        this.#log.info(`connected to ${where}`, { event: 'link', host: where });
      },
      disconnected: (where, why, wasUp) => {
        if (wasUp)
          this.#log.warn(`the connection to ${where} ended: what is not acknowledged waits`, reasonOf(where, why));
        else this.#couldNot(where, why);
      },
      failed: (where, why) => this.#couldNot(where, why),
      met: (node, where) => this.#log.info('met a node of another host', { node: this.#nameOf(node), host: where }),
      error: (error, about) =>
        this.#log.error('something of a link could not be done', { ...about, ...errorData(error) }),
      presence: () => this.#sayPresence(far),
    };
    return new Link(far, about, this.counts);
  }

  #nameOf(index: number): string {
    return this.#core.directory.byIndex(index)?.name ?? `node ${index}`;
  }

  /** Said once, and again when it is for another reason or has gone on for long: a host may be away for days. */
  #couldNot(host: string | undefined, why: LinkError): void {
    const key = host ?? '';
    const nowMs = this.#core.now;
    const before = this.#failed.get(key);
    if (before?.code === why.code && nowMs - before.atMs < FAILED_MS) return;
    this.#failed.set(key, { code: why.code, atMs: nowMs });
    this.#log.warn(host === undefined ? 'no connection' : `no connection to ${host}`, reasonOf(host, why));
  }

  #presenceOf(local: number): Presence {
    const nowMs = this.#core.now;
    const known = this.#presences.get(local);
    if (known !== undefined && nowMs - known.atMs < LOCK_MS) return known.is;
    const is = presenceOf(this.#core, local);
    this.#presences.set(local, { atMs: nowMs, is });
    return is;
  }

  #sayPresence(far: Far): void {
    const nodes = new Map(far.nodes().map(({ index, name }) => [name, this.link.presenceOf(index)]));
    sayPresence(this.#core.dir, this.#core.name, nodes);
  }

  created(): void {}

  resumed(): void {}

  step(): number {
    return this.link.turn(this.#core.updateNow());
  }

  nextMs(): number {
    return this.link.nextMs();
  }

  isWaiting(): boolean {
    return false;
  }

  async open(): Promise<void> {
    this.link = this.#makeLink(this.#core.bus.far!);
    await this.#o.transport.open(this.link);
  }

  async close(): Promise<void> {
    this.link.close(new LinkError('LINK_CLOSED', 'this link ends', { severity: 'warn' }));
    await this.#o.transport.close();
  }
}

/** No stack: it is of no use, and a link that flaps says this often. */
function reasonOf(host: string | undefined, { code, message }: LinkError): Readonly<Record<string, unknown>> {
  return { ...(host === undefined ? {} : { host }), code, why: message };
}
