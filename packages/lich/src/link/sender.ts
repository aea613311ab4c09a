/** The sending side of all streams to one host. What is sent lies in the lanes of the local senders until the other side has
 * committed it; here is kept only, per stream, how far this connection has sent and how far it may:
 *
 *        head            sent              limit
 *   ──────┼───────────────┼──────────────────┼──────►  position
 *  committed there   on its way       there is room for
 *
 * Go-back-N: whatever was lost, sending begins again at `head`: with a new connection, when the other side says that
 * something is missing, and when nothing was acknowledged for a while, each time for twice as long. A side that has no
 * room is asked with one record now and then, in case its word that it has room again was lost. Nothing of this is kept
 * over lives: a new one begins at `head` too. */
import { LinkError } from './errors.ts';
import { DATA_OVERHEAD, encodeData } from './frames.ts';
import { type FarBus, streamKey } from './far-bus.ts';

/** Bytes of records in one frame, unless one record has more. */
const RUN_BYTES = 65_536;
/** What may be sent of a stream before the other side has said how much room it has. */
const FIRST_WORDS = RUN_BYTES / 4;
const RESEND_MAX_MS = 2_000;

/** One stream, while it has something to do with this connection. */
interface OutStream {
  readonly local: number;
  readonly far: number;
  readonly priority: number;
  sent: number;
  limit: number;
  /** In the queue of those that may have something to send. */
  queued: boolean;
  /** When to begin again at `head` if nothing is heard. */
  resendAtMs: number;
  /** How often that was done in a row. */
  tries: number;
  /** When it was done last. */
  resentMs: number;
  /** It has a record that no frame takes, or was forgotten and is still in a queue. */
  ended: boolean;
}

/** What was done since the process began. */
export interface SenderCounts {
  framesOut: number;
  bytesOut: number;
  resends: number;
}

export interface SenderOptions {
  readonly bus: FarBus;
  /** Node ids, as frames have them. */
  readonly idOf: (index: number) => number;
  readonly counts: SenderCounts;
  /** Ms without an acknowledgement after which to send again, at first. */
  readonly patienceMs: () => number;
  readonly onError: (error: LinkError, local: number, far: number) => void;
}

export class Sender {
  readonly #o: SenderOptions;
  readonly #streams = new Map<number, OutStream>();
  /** Those that may have something to send: control, data. Told from the front, put back at the end. */
  readonly #queues: [OutStream[], OutStream[]] = [[], []];
  /** Those with something on its way, or held. */
  readonly #open = new Set<OutStream>();
  /** Of records in one frame. */
  #mostBytes = 0;

  constructor(o: SenderOptions) {
    this.#o = o;
  }

  /** A connection begins: nothing of what the last one sent is on its way any more.
   * @param mostFrameBytes that it carries */
  begin(mostFrameBytes: number): void {
    this.#mostBytes = mostFrameBytes - DATA_OVERHEAD;
    this.#streams.clear();
    this.#queues[0].length = 0;
    this.#queues[1].length = 0;
    this.#open.clear();
  }

  /** There may be something to send for that pair. */
  found(local: number, far: number): void {
    this.#queue(this.#stream(local, far, 1));
    this.#queue(this.#stream(local, far, 0));
  }

  /** Streams of these begin anew: what was known of them is of no use. */
  forget(local: number | undefined, far: number | undefined): void {
    for (const [key, stream] of this.#streams) {
      if (local !== undefined && stream.local !== local) continue;
      if (far !== undefined && stream.far !== far) continue;
      this.#streams.delete(key);
      this.#open.delete(stream);
      // In a queue it may still be: nobody but it would know.
      stream.ended = true;
    }
  }

  #stream(local: number, far: number, priority: number): OutStream {
    const key = streamKey(local, far, priority);
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      const head = this.#o.bus.inbox.headOf(local, far, priority);
      stream = {
        local,
        far,
        priority,
        sent: head,
        limit: (head + FIRST_WORDS) | 0,
        queued: false,
        resendAtMs: 0,
        tries: 0,
        resentMs: Number.NEGATIVE_INFINITY,
        ended: false,
      };
      this.#streams.set(key, stream);
    }
    return stream;
  }

  #queue(stream: OutStream): void {
    if (stream.queued || stream.ended) return;
    stream.queued = true;
    this.#queues[1 - stream.priority]!.push(stream);
  }

  /** Send what may be sent, a frame of each stream in turn, control before data.
   * @param send as `Connection.send`
   * @returns frames that were sent */
  pump(nowMs: number, send: (frame: Uint8Array) => boolean): number {
    let frames = 0;
    for (const queue of this.#queues) {
      while (queue.length > 0) {
        const stream = queue.shift()!;
        stream.queued = false;
        const frame = stream.ended ? undefined : this.#next(stream, nowMs);
        if (frame === undefined) continue;
        frames++;
        // It may have more: at the end, so that each gets its turn.
        this.#queue(stream);
        if (!send(frame)) return frames;
      }
    }
    return frames;
  }

  /** The next frame of a stream, as sent. */
  #next(stream: OutStream, nowMs: number): Uint8Array | undefined {
    const { bus, idOf, counts } = this.#o;
    const { local, far, priority, sent } = stream;
    const life = bus.lifeOf(local, far);
    if (life === 0) return undefined;
    const room = (stream.limit - sent) | 0;
    if (room <= 0) {
      // Is there anything at all?
      if (bus.inbox.read(local, far, priority, sent, 1) !== undefined) this.#await(stream, nowMs);
      return undefined;
    }
    const run = bus.inbox.read(local, far, priority, sent, Math.min(RUN_BYTES, this.#mostBytes, room * 4));
    if (run === undefined) {
      if (sent === bus.inbox.headOf(local, far, priority)) this.#open.delete(stream);
      return undefined;
    }
    if (run.bytes.length > this.#mostBytes) {
      stream.ended = true;
      this.#o.onError(
        new LinkError(
          'LINK_RECORD_TOO_LARGE',
          `a record of ${run.bytes.length} bytes; a frame between hosts takes ${this.#mostBytes}`,
        ),
        local,
        far,
      );
      return undefined;
    }
    const frame = encodeData(
      { from: idOf(local), to: idOf(far), priority, life, start: run.from >>> 0, end: run.to >>> 0 },
      run.bytes,
    );
    stream.sent = run.to;
    this.#await(stream, nowMs);
    counts.framesOut++;
    counts.bytesOut += frame.length;
    return frame;
  }

  /** Something is to be heard of it. */
  #await(stream: OutStream, nowMs: number): void {
    if (this.#open.has(stream)) return;
    this.#open.add(stream);
    this.#arm(stream, nowMs);
  }

  #arm(stream: OutStream, nowMs: number): void {
    stream.resendAtMs = nowMs + Math.min(RESEND_MAX_MS, this.#o.patienceMs() * 2 ** stream.tries);
  }

  /** The other side has said that all before `got` is committed, which the cursor shows by now if it can be.
   * @param roomWords that may follow
   * @param gap it got something beyond
   * @param moved the cursor went on by this */
  acked(
    local: number,
    far: number,
    priority: number,
    got: number,
    roomWords: number,
    gap: boolean,
    moved: boolean,
    nowMs: number,
  ): void {
    // Of an earlier time, or not to be believed.
    if (this.#o.bus.inbox.headOf(local, far, priority) !== (got | 0)) return;
    const stream = this.#stream(local, far, priority);
    if (((stream.sent - got) | 0) < 0) stream.sent = got | 0;
    stream.limit = (got + roomWords) | 0;
    if (moved) stream.tries = 0;
    // It may be said of each frame that was on its way: once is enough.
    const isNews = moved || nowMs - stream.resentMs >= this.#o.patienceMs() / 2;
    if (gap && isNews && stream.sent !== (got | 0)) this.#goBack(stream, nowMs);
    if (stream.sent === (got | 0)) this.#open.delete(stream);
    else if (moved) this.#arm(stream, nowMs);
    this.#queue(stream);
  }

  #goBack(stream: OutStream, nowMs: number): void {
    stream.sent = this.#o.bus.inbox.headOf(stream.local, stream.far, stream.priority);
    stream.resentMs = nowMs;
    this.#o.counts.resends++;
  }

  /** Send again what was not acknowledged in time. */
  tick(nowMs: number): void {
    for (const stream of this.#open) {
      if (nowMs < stream.resendAtMs) continue;
      this.#goBack(stream, nowMs);
      stream.tries++;
      // One record, whatever room there was said to be: the answer says how much there is.
      if (((stream.limit - stream.sent) | 0) <= 0) stream.limit = (stream.sent + 1) | 0;
      this.#arm(stream, nowMs);
      this.#queue(stream);
    }
  }

  /** When `tick` has something to do; Infinity for never. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { resendAtMs } of this.#open) next = Math.min(next, resendAtMs);
    return next;
  }

  /** Has it something that may be sent now? */
  get isReady(): boolean {
    return this.#queues[0].length + this.#queues[1].length > 0;
  }
}
