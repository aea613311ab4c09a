/** What joins this host to the others: a peer for each of them, over whatever transport. Told what came, and asked at each
 * turn of the loop; it has no timers and no files of its own, so that models can run it with a clock and a network of
 * theirs.
 *
 *   local sender ─lane─► Far.inbox ─► Sender ── DATA ──► Receiver ─► Far.outbox ─lane─► local receiver
 *                 head ◄───────────── acked ◄── ACK ──── got (after its commit) */
import type { LinkError } from './errors.ts';
import type { FarBus } from './far-bus.ts';
import type { NodeInfo, Presence } from './frames.ts';
import { Peer, type Phase } from './peer.ts';
import type { ReceiverCounts } from './receiver.ts';
import type { SenderCounts } from './sender.ts';
import type { Connection, TransportEvents } from './transport.ts';

/** What a link stands on, and tells. */
export interface LinkHost {
  readonly host: string;
  readonly cluster: string;
  /** Which life of the link this is. */
  readonly epoch: number;
  /** All other hosts. */
  readonly peers: readonly string[];
  /** Run as one transaction. @throws what it throws, after all was undone */
  transact(fn: () => void): void;
  /** Enter a node of another host into the directory. @returns its index. @throws where name or id belong to another one */
  enter(name: string, id: number, host: string): number;
  presenceOf(local: number): Presence;
  /** Have `turn` called soon. */
  kick(): void;
  nowMs(): number;
  connected(host: string): void;
  /** @param wasUp were records sent and taken? */
  disconnected(host: string, why: LinkError, wasUp: boolean): void;
  /** No connection came about. */
  failed(host: string | undefined, why: LinkError): void;
  /** A node there is another one than was known, if any was: its streams began anew. */
  met(far: number, host: string): void;
  /** Something could not be done, and what it concerns waits. */
  error(error: unknown, about: Readonly<Record<string, unknown>>): void;
  /** Whether nodes elsewhere have processes is not as it was said before. */
  presence(): void;
}

/** Since the process began. */
export interface LinkCounts extends SenderCounts, ReceiverCounts {
  /** Acknowledgements that freed something. */
  acked: number;
  /** Frames of a life that was over, or not known yet. */
  stale: number;
  connects: number;
  disconnects: number;
}

export function noCounts(): LinkCounts {
  return {
    framesOut: 0,
    bytesOut: 0,
    resends: 0,
    framesIn: 0,
    bytesIn: 0,
    repeated: 0,
    gaps: 0,
    acked: 0,
    stale: 0,
    connects: 0,
    disconnects: 0,
  };
}

/** How often local nodes are looked at: are they the same, have they processes? */
const LOOK_MS = 100;
/** How often the lanes of all local senders are looked at, whatever was told. */
const SWEEP_MS = 200;
/** Who has a process is said at once, but not more often than this. */
const PRESENCE_MS = 100;

export class Link implements TransportEvents {
  readonly counts: LinkCounts;
  readonly #bus: FarBus;
  readonly #host: LinkHost;
  readonly #peers = new Map<string, Peer>();
  /** By index of a far node. */
  #peerOf: (Peer | undefined)[] = [];
  #idOf: number[] = [];
  #localOf = new Map<number, number>();
  #knownNodes: unknown;
  #knownLocals: unknown;
  #nodes: readonly NodeInfo[] = [];
  #lookAtMs = 0;
  #sweepAtMs = 0;
  #presenceAtMs = Number.POSITIVE_INFINITY;
  #presenceSaidMs = Number.NEGATIVE_INFINITY;

  constructor(bus: FarBus, host: LinkHost, counts: LinkCounts = noCounts()) {
    this.counts = counts;
    this.#bus = bus;
    this.#host = host;
    for (const name of host.peers) this.#peers.set(name, this.#peer(name));
    bus.onForget = (local, far) => {
      for (const peer of this.#peers.values()) peer.forget(local, far);
      host.kick();
    };
    this.#learn();
  }

  #peer(name: string): Peer {
    const host = this.#host;
    return new Peer({
      host: name,
      bus: this.#bus,
      link: host,
      enter: (node, id) => {
        const index = host.enter(node, id, name);
        this.#learn();
        return index;
      },
      counts: this.counts,
      idOf: index => this.#idOf[index]!,
      localOf: id => this.#localOf.get(id),
      nodes: () => this.#nodes,
      nowMs: () => host.nowMs(),
      kick: () => host.kick(),
      presenceChanged: () => this.#presenceSoon(),
    });
  }

  /** What the directory has by now. */
  #learn(): void {
    const [nodes, locals] = [this.#bus.nodes(), this.#bus.locals()];
    if (nodes === this.#knownNodes && locals === this.#knownLocals) return;
    this.#knownNodes = nodes;
    this.#knownLocals = locals;
    this.#peerOf = [];
    for (const { index, id, host } of nodes) {
      this.#idOf[index] = id;
      this.#peerOf[index] = this.#peers.get(host ?? '');
    }
    this.#localOf.clear();
    for (const { index, id } of locals) {
      this.#idOf[index] = id;
      this.#localOf.set(id, index);
    }
    this.#presenceSoon();
  }

  // Of the transport.

  connected(connection: Connection): void {
    const peer = this.#peers.get(connection.host);
    if (peer === undefined) throw new TypeError(`${connection.host} is none of ${[...this.#peers.keys()].join(', ')}`);
    this.#look();
    peer.connected(connection);
  }

  failed(host: string | undefined, why: LinkError): void {
    this.#host.failed(host, why);
  }

  // Of the loop.

  /** Do what is to be done now. Outside of transactions. @returns how much was done */
  turn(nowMs: number): number {
    if (nowMs >= this.#lookAtMs) {
      this.#lookAtMs = nowMs + LOOK_MS;
      this.#look();
    }
    const found = (local: number, far: number): void => this.#peerOf[far]?.found(local, far);
    this.#bus.inbox.takeReady(found);
    if (nowMs >= this.#sweepAtMs) {
      this.#sweepAtMs = nowMs + SWEEP_MS;
      this.#bus.inbox.sweep(found);
    }
    let done = 0;
    for (const peer of this.#peers.values()) done += peer.turn(nowMs);
    if (nowMs >= this.#presenceAtMs) {
      this.#presenceAtMs = Number.POSITIVE_INFINITY;
      this.#presenceSaidMs = nowMs;
      this.#host.presence();
    }
    return done;
  }

  /** When `turn` has something to do though nothing comes, at the latest a moment that is worth a look; Infinity for never. */
  nextMs(): number {
    let next = this.#presenceAtMs;
    for (const peer of this.#peers.values()) next = Math.min(next, peer.nextMs());
    return next;
  }

  #look(): void {
    this.#learn();
    const nodes = this.#bus.locals().map(({ index, id, name }) => {
      return { id, name, created: this.#bus.creationOf(index), presence: this.#host.presenceOf(index) };
    });
    if (nodes.length === this.#nodes.length && nodes.every((node, k) => isSame(node, this.#nodes[k]!))) return;
    this.#nodes = nodes;
    for (const peer of this.#peers.values()) peer.nodesChanged();
  }

  #presenceSoon(): void {
    this.#presenceAtMs = this.#presenceSaidMs + PRESENCE_MS;
    this.#host.kick();
  }

  // To look at.

  /** Has that node of another host a process? `out` too where its host cannot be asked. */
  presenceOf(far: number): Presence {
    const peer = this.#peerOf[far];
    if (peer === undefined) return 'gone';
    return peer.phase === 'up' ? (peer.presenceOf(far) ?? 'gone') : 'out';
  }

  /** All other hosts, and how it stands with them. */
  *peers(): Generator<{
    readonly host: string;
    readonly phase: Phase;
    readonly sinceMs: number;
    readonly rttMs: number;
  }> {
    for (const { host, phase, sinceMs, rttMs } of this.#peers.values()) yield { host, phase, sinceMs, rttMs };
  }

  /** Say goodbye to all. */
  close(why: LinkError): void {
    for (const peer of this.#peers.values()) peer.close(why);
  }
}

function isSame(a: NodeInfo, b: NodeInfo): boolean {
  return a.id === b.id && a.name === b.name && a.created === b.created && a.presence === b.presence;
}
