/** Another host, as this link sees it: the connection of the moment, what that host says of its nodes, and the streams.
 *
 *   down ──connected──► hello ──HELLO──► nodes ──NODES──► up ──closed──► down
 *
 * Only in `up` are records sent or taken. Who dialled says HELLO first. HELLO and NODES are said again now and then, so a
 * transport may lose them; of NODES that overtook each other the highest serial counts. */
import { LinkError, isLinkCode } from './errors.ts';
import type { BusNode, FarBus } from './far-bus.ts';
import {
  ACK,
  type AckEntry,
  type AckFrame,
  ACKS_MAX,
  BYE,
  DATA,
  type DataFrame,
  decode,
  encodeAcks,
  encodeBye,
  encodeHello,
  encodeNodes,
  encodePing,
  type Frame,
  FRAME_BYTES_MAX,
  HELLO,
  type HelloFrame,
  LINK_VERSION,
  NODES,
  type NodeInfo,
  type NodesFrame,
  PING,
  PONG,
  type Presence,
} from './frames.ts';
import { Receiver } from './receiver.ts';
import { Sender } from './sender.ts';
import type { LinkCounts, LinkHost } from './link.ts';
import type { Connection } from './transport.ts';

/** How long the other side may take to say HELLO and NODES: as many turns of SAY_MS. */
const SILENT_TURNS = 5;
const SAY_MS = 1_000;
/** NODES is said again though nothing changed. */
const NODES_TURNS = 5;
/** Without an acknowledgement for so long, and twice the time that a word takes there and back, records are sent again. */
const PATIENCE_MS = 200;

export type Phase = 'down' | 'hello' | 'nodes' | 'up';

/** All peers share it. */
export interface PeerOptions {
  readonly host: string;
  readonly bus: FarBus;
  readonly link: LinkHost;
  /** Enter a node of that host into the directory. @returns its index. @throws where name or id belong to another one */
  readonly enter: (name: string, id: number) => number;
  readonly counts: LinkCounts;
  /** Ids here. */
  readonly idOf: (index: number) => number;
  /** A node of this host. */
  readonly localOf: (id: number) => number | undefined;
  /** What is to be said of this host's nodes now. */
  readonly nodes: () => readonly NodeInfo[];
  readonly nowMs: () => number;
  /** Something came: the loop has to turn. */
  readonly kick: () => void;
  /** Whether its nodes have processes changed, or can be known no more. */
  readonly presenceChanged: () => void;
}

export class Peer {
  readonly host: string;
  readonly sender: Sender;
  readonly receiver: Receiver;
  phase: Phase = 'down';
  /** When `phase` became what it is. */
  sinceMs = 0;
  /** Time that a word takes there and back. */
  rttMs = 0;
  readonly #o: PeerOptions;
  #connection: Connection | undefined;
  #mayPump = false;
  /** Of its link, as it said last. */
  #created = 0;
  #epoch = 0;
  #serial = 0;
  /** Of this side's NODES. */
  #mySerial = 0;
  #nodesDue = false;
  #saidNodesMs = 0;
  /** Its nodes by their ids there, as NODES said; and the other way round. */
  readonly #fars = new Map<number, number>();
  readonly #ids = new Map<number, number>();
  readonly #presence = new Map<number, Presence>();
  readonly #refused = new Set<string>();
  #sayAtMs = 0;
  #turns = 0;
  #silentTurns = 0;
  #heard = false;

  constructor(o: PeerOptions) {
    this.#o = o;
    this.host = o.host;
    const { bus, link, counts } = o;
    // Of a node of that host its id there: the directories of two hosts need not agree.
    const idOf = (index: number): number => this.#ids.get(index) ?? o.idOf(index);
    this.sender = new Sender({
      bus,
      idOf,
      counts,
      patienceMs: () => PATIENCE_MS + 2 * this.rttMs,
      onError: (error, local, far) => link.error(error, { from: idOf(local), to: idOf(far), host: o.host }),
    });
    this.receiver = new Receiver({ bus, idOf, counts, transact: fn => link.transact(fn) });
  }

  // The connection.

  /** There is a way to that host: it takes the place of the one before. */
  connected(connection: Connection): void {
    const older = this.#connection;
    this.#leave();
    older?.close(new LinkError('LINK_REPLACED', `${this.host} has connected anew`, { severity: 'warn' }));
    this.#connection = connection;
    connection.onFrame = bytes => this.#take(connection, bytes);
    connection.onDrain = () => {
      if (this.#connection !== connection) return;
      this.#mayPump = true;
      this.#o.kick();
    };
    connection.onClosed = why => this.#closed(connection, why);
    this.#become('hello');
    this.#silentTurns = 0;
    this.#heard = false;
    this.#mayPump = true;
    this.#sayAtMs = this.#o.nowMs() + SAY_MS;
    if (connection.dialled) this.#hello();
    this.#o.kick();
  }

  #become(phase: Phase): void {
    this.phase = phase;
    this.sinceMs = this.#o.nowMs();
  }

  #leave(): void {
    if (this.#connection === undefined) return;
    const wasUp = this.phase === 'up';
    this.#connection = undefined;
    this.#become('down');
    this.sender.begin(0);
    if (wasUp) this.#o.presenceChanged();
  }

  #closed(connection: Connection, why: LinkError): void {
    if (this.#connection !== connection) return;
    const wasUp = this.phase === 'up';
    this.#leave();
    this.#o.counts.disconnects++;
    this.#o.link.disconnected(this.host, why, wasUp);
  }

  /** End the connection, and say why. */
  close(why: LinkError): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.send(encodeBye(why.code, why.message));
    connection.close(why);
  }

  #send(frame: Uint8Array): void {
    if (this.#connection?.send(frame) === false) this.#mayPump = false;
  }

  #hello(): void {
    const { bus, link } = this.#o;
    const { cluster, host, epoch } = link;
    this.#send(encodeHello({ cluster, host, epoch, created: bus.createdMs }));
  }

  #sayNodes(): void {
    this.#nodesDue = false;
    this.#saidNodesMs = this.#o.nowMs();
    this.#send(encodeNodes(this.#o.link.epoch, ++this.#mySerial, this.#o.nodes()));
  }

  /** NODES has something new to say. */
  nodesChanged(): void {
    this.#nodesDue = true;
  }

  // What comes.

  #take(connection: Connection, bytes: Uint8Array): void {
    if (this.#connection !== connection) return;
    this.#heard = true;
    try {
      this.#handle(decode(bytes));
    } catch (error) {
      // What it says cannot be: nothing of it was done, and what is not acknowledged is sent again.
      if (!(error instanceof LinkError)) this.#o.link.error(error, { host: this.host });
      this.close(error instanceof LinkError ? error : new LinkError('LINK_CLOSED', String(error), { cause: error }));
    }
    this.#o.kick();
  }

  #handle(frame: Frame): void {
    switch (frame.kind) {
      case HELLO:
        return this.#takeHello(frame);
      case BYE:
        return this.#takeBye(frame.code, frame.message);
      case NODES:
        if (this.phase !== 'hello') this.#takeNodes(frame);
        return;
      case DATA:
        if (this.phase === 'up') this.#takeData(frame);
        return;
      case ACK:
        if (this.phase === 'up') this.#takeAcks(frame);
        return;
      case PING:
        return this.#send(encodePing(PONG, frame.token));
      default: {
        const took = (this.#token() - frame.token) >>> 0;
        if (took < 600_000) this.rttMs = this.rttMs === 0 ? took : (this.rttMs * 3 + took) / 4;
      }
    }
  }

  #token(): number {
    return this.#o.nowMs() >>> 0;
  }

  #takeHello(hello: HelloFrame): void {
    const { link } = this.#o;
    const connection = this.#connection!;
    const differs = differsIn(hello, link, this.host);
    if (differs !== undefined) return this.close(new LinkError('LINK_REFUSED', differs, { severity: 'warn' }));
    const isKnown = this.#created === hello.created && this.#epoch === hello.epoch;
    // It came twice, or was late.
    if (this.phase !== 'hello' && (isKnown || isOlder(hello, this.#created, this.#epoch))) {
      if (isKnown && !connection.dialled) this.#hello();
      return;
    }
    if (this.phase !== 'hello') this.sender.begin(0);
    connection.maxFrameBytes = FRAME_BYTES_MAX;
    this.#created = hello.created;
    this.#epoch = hello.epoch;
    this.#serial = 0;
    if (!connection.dialled) this.#hello();
    this.#become('nodes');
    this.#sayNodes();
    this.#send(encodePing(PING, this.#token()));
  }

  #takeBye(code: string, message: string): void {
    const why = new LinkError(isLinkCode(code) ? code : 'LINK_CLOSED', `${this.host} says: ${message}`, {
      severity: 'warn',
    });
    this.#connection!.close(why);
  }

  #takeNodes(frame: NodesFrame): void {
    if (frame.epoch !== this.#epoch || frame.serial <= this.#serial) return;
    this.#serial = frame.serial;
    const { bus, link } = this.#o;
    const before = new Map(this.#presence);
    this.#fars.clear();
    this.#ids.clear();
    this.#presence.clear();
    const known = new Map(bus.nodes().map(node => [node.name, node]));
    for (const info of frame.nodes) {
      const index = this.#indexOf(info, known.get(info.name));
      if (index === undefined) continue;
      this.#fars.set(info.id, index);
      this.#ids.set(index, info.id);
      this.#presence.set(index, info.presence);
      if (info.created > 0 && bus.meet(index, this.#created, info.created)) link.met(index, this.host);
    }
    if (this.phase !== 'up') return this.#begin();
    if (!sameEntries(before, this.#presence)) this.#o.presenceChanged();
    // It may say this again because it has not heard of ours.
    if (this.#o.nowMs() - this.#saidNodesMs >= SAY_MS) this.#nodesDue = true;
  }

  /** What is that node's index here? By its name: that is what it is called everywhere.
   * @returns undefined where it cannot be one of that host's */
  #indexOf({ id, name }: NodeInfo, known: BusNode | undefined): number | undefined {
    if (known?.host === this.host) return known.index;
    const { link, enter } = this.#o;
    try {
      if (known !== undefined)
        throw new LinkError(
          'LINK_UNKNOWN',
          `host ${this.host} says that it has ${name}, and so does host ${known.host}`,
        );
      return enter(name, id);
    } catch (error) {
      if (!this.#refused.has(name)) link.error(error, { node: name, host: this.host });
      this.#refused.add(name);
      return undefined;
    }
  }

  #begin(): void {
    const { bus, counts, link } = this.#o;
    this.#become('up');
    this.sender.begin(this.#connection!.mostFrameBytes);
    this.receiver.begin([...this.#fars.values()]);
    bus.inbox.sweep((local, far) => this.found(local, far));
    counts.connects++;
    link.connected(this.host);
    this.#o.presenceChanged();
  }

  /** There may be something to send. */
  found(local: number, far: number): void {
    if (this.phase === 'up' && this.#presence.has(far)) this.sender.found(local, far);
  }

  #takeData(frame: DataFrame): void {
    const { bus, counts, localOf, link } = this.#o;
    const far = this.#fars.get(frame.from);
    const local = localOf(frame.to);
    if (far === undefined || local === undefined || bus.lifeOf(local, far) !== frame.life) {
      // One of the two does not know yet what the other one knows.
      counts.stale++;
      return;
    }
    try {
      this.receiver.take(frame, local, far);
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === 'BUS_BAD_RUN')
        throw new LinkError('LINK_BAD_FRAME', `DATA of ${this.host}: ${(error as Error).message}`, { cause: error });
      // The others go on; this one is asked for again.
      link.error(error, { from: frame.from, to: frame.to, host: this.host });
    }
  }

  #takeAcks({ acks }: AckFrame): void {
    const { bus, counts, localOf, link } = this.#o;
    const nowMs = this.#o.nowMs();
    const good: { ack: AckEntry; local: number; far: number; moved: boolean }[] = [];
    for (const ack of acks) {
      const local = localOf(ack.from);
      const far = this.#fars.get(ack.to);
      if (far === undefined || local === undefined || bus.lifeOf(local, far) !== ack.life) counts.stale++;
      else good.push({ ack, local, far, moved: false });
    }
    if (good.length === 0) return;
    link.transact(() => {
      for (const each of good) each.moved = bus.inbox.acked(each.local, each.far, each.ack.priority, each.ack.got | 0);
    });
    for (const { ack, local, far, moved } of good) {
      counts.acked += moved ? 1 : 0;
      this.sender.acked(local, far, ack.priority, ack.got, ack.room, ack.gap, moved, nowMs);
    }
  }

  /** Streams of these begin anew. */
  forget(local: number | undefined, far: number | undefined): void {
    this.sender.forget(local, far);
    this.receiver.forget(local, far);
    this.#nodesDue ||= local !== undefined;
  }

  /** Whether a node of this host has a process; undefined = this host does not speak of it. */
  presenceOf(far: number): Presence | undefined {
    return this.#presence.get(far);
  }

  // What goes.

  /** @returns how much was done */
  turn(nowMs: number): number {
    if (this.#connection === undefined) return 0;
    if (nowMs >= this.#sayAtMs) this.#say(nowMs);
    if (this.phase !== 'up' || this.#connection === undefined) return 0;
    if (this.#nodesDue) this.#sayNodes();
    this.receiver.tick(nowMs);
    this.sender.tick(nowMs);
    let done = this.#sayAcks();
    // Acknowledgements are not held up: without them the other side stands still too.
    if (this.#mayPump)
      done += this.sender.pump(nowMs, frame => {
        this.#mayPump = this.#connection!.send(frame);
        return this.#mayPump;
      });
    return done;
  }

  #sayAcks(): number {
    if (!this.receiver.hasSay) return 0;
    const acks = this.receiver.acks();
    for (let k = 0; k < acks.length; k += ACKS_MAX) this.#send(encodeAcks(acks.slice(k, k + ACKS_MAX)));
    return acks.length;
  }

  /** Once a second of this side's own: whether the clock has jumped is not taken for silence. */
  #say(nowMs: number): void {
    this.#sayAtMs = nowMs + SAY_MS;
    this.#turns++;
    this.#silentTurns = this.#heard ? 0 : this.#silentTurns + 1;
    this.#heard = false;
    const isLate = this.phase === 'hello' || this.phase === 'nodes';
    if (this.#silentTurns >= SILENT_TURNS || (isLate && nowMs - this.sinceMs >= SILENT_TURNS * SAY_MS)) {
      const why = `${this.host} has said ${isLate ? 'no HELLO or NODES' : 'nothing'} in ${SILENT_TURNS} seconds`;
      return this.close(new LinkError(isLate ? 'LINK_LATE' : 'LINK_SILENT', why, { severity: 'warn' }));
    }
    if (this.phase === 'hello') {
      if (this.#connection!.dialled) this.#hello();
      return;
    }
    if (this.phase === 'nodes' || this.#turns % NODES_TURNS === 0) this.#nodesDue = true;
    if (this.phase === 'nodes') this.#sayNodes();
    this.#send(encodePing(PING, this.#token()));
  }

  /** When `turn` has something to do though nothing comes; Infinity for never. */
  nextMs(): number {
    if (this.#connection === undefined) return Number.POSITIVE_INFINITY;
    if (this.phase !== 'up') return this.#sayAtMs;
    if (this.receiver.hasSay || (this.#mayPump && this.sender.isReady)) return 0;
    return Math.min(this.#sayAtMs, this.sender.nextMs(), this.receiver.nextMs());
  }
}

function differsIn(hello: HelloFrame, link: LinkHost, host: string): string | undefined {
  if (hello.version !== LINK_VERSION)
    return `this is version ${LINK_VERSION} of the link's frames, not ${hello.version}`;
  if (hello.cluster !== link.cluster) return `this is cluster ${link.cluster}, not ${hello.cluster}`;
  if (hello.host !== host) return `${host} was called or has called, not ${hello.host}`;
  return undefined;
}

function isOlder(hello: HelloFrame, created: number, epoch: number): boolean {
  return hello.created < created || (hello.created === created && hello.epoch < epoch);
}

function sameEntries<K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
