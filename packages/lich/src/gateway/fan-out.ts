// Runs once for each frame and player: no closures, no allocation but the frame itself.
/** From the ring into the sockets. What is in the ring was committed; sockets get it in the order of the ring.
 *
 *   up to date   gets new entries as they come, frames for everybody as the same bytes
 *   behind       its socket has too much in it, or it came back: continues from its own place when the socket drains
 *
 * A socket that falls so far behind that entries it needs are overwritten gets a full picture in place of the deltas that
 * are gone, and is closed with OUTPUT_LOST when something is gone that a picture does not make up for. */
import { CloseCode, OutKind, Writer, writeOut } from '@lich/schema';
import { EVERYBODY } from '../runtime/index.ts';
import type { Connection, LiveSession } from './connection.ts';
import type { OutputRing } from './output-ring.ts';
import { NOT_YET } from './session.ts';

export interface FanOutOptions {
  readonly ring: OutputRing;
  readonly socketBytes: number;
  /** Open connections of the sessions that play in a scene. */
  readonly inScene: (scene: number) => Iterable<Connection>;
  readonly bySlot: (slot: number, generation: number) => Connection | undefined;
  readonly all: () => Iterable<Connection>;
  /** Ask the scene for a picture. @returns false when its lane is full: tried again later */
  readonly askPicture: (connection: Connection) => boolean;
  readonly close: (connection: Connection, code: number, reason: string) => void;
}

export class FanOut {
  readonly #o: FanOutOptions;
  readonly #ring: OutputRing;
  readonly #writer = new Writer(65_536);
  readonly #corked: Connection[] = [];
  /** Up to here, all that are up to date have everything. */
  #shown: number;
  #sharedAt = -1;
  #shared: Uint8Array | undefined;
  /** Connections whose picture could not be asked for. */
  readonly stuck = new Set<Connection>();
  frames = 0;
  bytes = 0;

  constructor(o: FanOutOptions) {
    this.#o = o;
    this.#ring = o.ring;
    this.#shown = o.ring.tail;
  }

  /** The ring was made, or found: nothing in it was sent by this process. */
  start(): void {
    this.#shown = this.#ring.tail;
  }

  /** Send what is new. Outside transactions. @returns entries that were new */
  flush(): number {
    const ring = this.#ring;
    const tail = ring.tail;
    let position = this.#shown;
    if (position === tail) return 0;
    this.#shown = tail;
    if (ring.oldest > position) return this.#overrun(position);
    let entries = 0;
    while (position < tail) {
      const at = ring.at(position);
      position += ring.lengthAt(at);
      const scene = ring.sceneAt(at);
      if (scene < 0) continue;
      entries++;
      if (ring.slotAt(at) === EVERYBODY) {
        for (const connection of this.#o.inScene(scene))
          if (!connection.isBehind) this.#offer(connection, at, position);
      } else {
        const connection = this.#o.bySlot(ring.slotAt(at), ring.generationAt(at));
        if (connection !== undefined && !connection.isBehind) this.#offer(connection, at, position);
      }
    }
    this.#shared = undefined;
    this.#uncork();
    return entries;
  }

  /** More came in one turn than the ring holds: everybody is behind. */
  #overrun(from: number): number {
    for (const connection of this.#o.all()) {
      if (connection.isBehind) continue;
      connection.isBehind = true;
      connection.from = from;
      this.catchUp(connection);
    }
    return 1;
  }

  /** Send from the connection's own place on, as much as its socket takes. Outside transactions. */
  catchUp(connection: Connection): void {
    if (connection.phase !== 'open' || !connection.isBehind) return;
    const ring = this.#ring;
    if (connection.from < ring.oldest && !this.#skipLost(connection)) return;
    const { session } = connection;
    const tail = ring.tail;
    while (connection.from < tail) {
      if (connection.socket.bufferedBytes > this.#o.socketBytes) break;
      const at = ring.at(connection.from);
      connection.from += ring.lengthAt(at);
      if (ring.sceneAt(at) === session!.scene && this.#isFor(session!, at))
        this.#offer(connection, at, connection.from);
      if ((connection.phase as string) === 'closed') break;
    }
    if (connection.from === tail) connection.isBehind = false;
    this.#shared = undefined;
    this.#uncork();
  }

  #isFor(session: LiveSession, at: number): boolean {
    const slot = this.#ring.slotAt(at);
    return slot === EVERYBODY || (slot === session.slot && this.#ring.generationAt(at) === session.generation);
  }

  /** Entries at the connection's place are overwritten. @returns whether it may go on behind them */
  #skipLost(connection: Connection): boolean {
    const ring = this.#ring;
    const session = connection.session!;
    const { pictureAt } = session.record;
    if (!connection.skipsToPicture && this.lostAt(session) > connection.from) {
      this.#o.close(connection, CloseCode.OUTPUT_LOST, 'this client reads too slowly: raise outputBytes');
      return false;
    }
    const needed = pictureAt !== NOT_YET && (!connection.skipsToPicture || pictureAt <= ring.oldest);
    if (needed && !this.#o.askPicture(connection)) {
      this.stuck.add(connection);
      return false;
    }
    connection.from = ring.oldest;
    return true;
  }

  /** End of the last entry of a session that is gone and that a picture does not make up for. */
  lostAt(session: LiveSession): number {
    const everybody = this.#ring.lostIn(session.scene);
    const { lostAt, joinedAt } = session.record;
    return everybody > joinedAt ? Math.max(lostAt, everybody) : lostAt;
  }

  /** Try again what had to wait for room in a scene's lane. */
  retry(): void {
    const stuck = [...this.stuck];
    this.stuck.clear();
    for (const connection of stuck) this.catchUp(connection);
  }

  #offer(connection: Connection, at: number, end: number): void {
    const ring = this.#ring;
    const { record } = connection.session!;
    const isShared = ring.slotAt(at) === EVERYBODY;
    if (isShared && end <= record.joinedAt) return;
    const kind = ring.kindAt(at);
    const { pictureAt } = record;
    if (connection.skipsToPicture) {
      if (kind !== OutKind.PICTURE || end !== pictureAt) return;
      connection.skipsToPicture = false;
    } else if (kind === OutKind.DELTA) {
      if (pictureAt === NOT_YET || end <= pictureAt) return;
    } else if (kind === OutKind.PICTURE) {
      if (end !== pictureAt) return;
    } else if (kind === 0) {
      this.#o.close(connection, CloseCode.OUTPUT_LOST, 'output for this session was lost');
      return;
    }
    const { socket } = connection;
    if (!connection.isCorked) {
      connection.isCorked = true;
      this.#corked.push(connection);
      socket.cork();
    }
    const frame = isShared
      ? this.#sharedFrame(at, end)
      : this.#frame(at, end, kind === OutKind.PICTURE ? record.pictureN : 0);
    this.frames++;
    this.bytes += frame.length;
    socket.send(frame);
    if (!connection.isBehind && socket.bufferedBytes > this.#o.socketBytes) {
      connection.isBehind = true;
      connection.from = end;
    }
  }

  #sharedFrame(at: number, end: number): Uint8Array {
    if (this.#shared === undefined || this.#sharedAt !== end) {
      this.#shared = this.#frame(at, end, 0);
      this.#sharedAt = end;
    }
    return this.#shared;
  }

  /** A copy: nothing of a segment is given to a socket. */
  #frame(at: number, seq: number, ackN: number): Uint8Array {
    const writer = this.#writer.reset();
    const bytes = this.#ring.bytesAt(at);
    writeOut(writer, seq, ackN, bytes[0] as OutKind);
    writer.raw(bytes.subarray(1));
    return writer.finish();
  }

  #uncork(): void {
    for (const connection of this.#corked) {
      connection.isCorked = false;
      connection.socket.uncork();
    }
    this.#corked.length = 0;
  }
}
