/** The receiving side of all streams from one host. What comes goes into the lanes of this link, in order and once, in one
 * commit with the position up to which it has come; that position is what is acknowledged. Nothing is kept here but what
 * has to be said:
 *
 *        got                 got + room
 *   ──────┼─────────────────────┼──────────►  position in the sender's stream
 *   committed, in the lane      what the receiver's window has room for
 *
 * What begins beyond `got` is dropped and said to be missing; what ends before it came twice. A receiver that takes nothing
 * has no room: its streams stand still, and no others. When there is room again nobody tells, so it is looked for. */
import type { AckEntry, DataFrame } from './frames.ts';
import { type FarBus, streamKey } from './far-bus.ts';

/** Where there is more room than this, nobody waits for more. */
const WIDE_BYTES = 262_144;
/** Room beyond what was said that is worth a word of its own, unless more was said. */
const WORTH_BYTES = 4_096;
const LOOK_MIN_MS = 4;
const LOOK_MAX_MS = 64;

interface InStream {
  readonly local: number;
  readonly far: number;
  readonly priority: number;
  /** Something is to be said of it. */
  due: boolean;
  gap: boolean;
  /** Room that was said last. */
  toldBytes: number;
}

export interface ReceiverCounts {
  framesIn: number;
  bytesIn: number;
  /** Frames of which all had come before. */
  repeated: number;
  /** Frames that came without what was before them. */
  gaps: number;
}

export interface ReceiverOptions {
  readonly bus: FarBus;
  readonly idOf: (index: number) => number;
  readonly counts: ReceiverCounts;
  /** Run as one transaction. @throws what it throws, after all was undone */
  readonly transact: (fn: () => void) => void;
}

export class Receiver {
  readonly #o: ReceiverOptions;
  readonly #streams = new Map<number, InStream>();
  #due: InStream[] = [];
  /** Those without much room. */
  readonly #narrow = new Set<InStream>();
  #lookMs = LOOK_MIN_MS;
  #lookAtMs = 0;

  constructor(o: ReceiverOptions) {
    this.#o = o;
  }

  /** A connection begins: say of all streams where they are.
   * @param fars nodes of that host */
  begin(fars: readonly number[]): void {
    this.#streams.clear();
    this.#narrow.clear();
    this.#due = [];
    const { bus } = this.#o;
    for (const far of fars) {
      for (const { index: local } of bus.locals()) {
        for (const priority of [1, 0]) {
          if (bus.outbox.gotOf(far, local, priority) !== 0) this.#say(this.#stream(far, local, priority));
        }
      }
    }
  }

  forget(local: number | undefined, far: number | undefined): void {
    for (const [key, stream] of this.#streams) {
      if (local !== undefined && stream.local !== local) continue;
      if (far !== undefined && stream.far !== far) continue;
      this.#streams.delete(key);
      this.#narrow.delete(stream);
      stream.due = false;
    }
    this.#due = this.#due.filter(stream => stream.due);
  }

  #stream(far: number, local: number, priority: number): InStream {
    const key = streamKey(local, far, priority);
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      stream = { local, far, priority, due: false, gap: false, toldBytes: Number.POSITIVE_INFINITY };
      this.#streams.set(key, stream);
    }
    return stream;
  }

  #say(stream: InStream): void {
    if (stream.due) return;
    stream.due = true;
    this.#due.push(stream);
  }

  /** Take in what came. Outside of transactions.
   * @param frame of the life that this side knows too
   * @throws what `FarStreamsIn.append` throws */
  take(frame: DataFrame, local: number, far: number): void {
    const { bus, counts, transact } = this.#o;
    const { outbox } = bus;
    const { priority, records } = frame;
    const [start, end] = [frame.start | 0, frame.end | 0];
    const stream = this.#stream(far, local, priority);
    counts.framesIn++;
    this.#say(stream);
    const before = outbox.gotOf(far, local, priority);
    if (((start - before) | 0) > 0) {
      counts.gaps++;
      stream.gap = true;
      return;
    }
    if (((end - before) | 0) <= 0) {
      counts.repeated++;
      return;
    }
    const bytes = new Uint8Array(records.buffer, records.byteOffset, records.byteLength);
    let got = before;
    // What had no room has to come again, and so has all where this throws.
    stream.gap = true;
    transact(() => (got = outbox.append(far, local, priority, start, end, bytes)));
    counts.bytesIn += bytes.length;
    if (got === end) stream.gap = false;
  }

  /** What is to be said now. After the commits. */
  acks(): AckEntry[] {
    const { bus, idOf } = this.#o;
    const acks: AckEntry[] = [];
    for (const stream of this.#due) {
      const { local, far, priority, gap } = stream;
      stream.due = false;
      stream.gap = false;
      const life = bus.lifeOf(local, far);
      if (life === 0) continue;
      const room = bus.outbox.roomOf(far, local, priority);
      const got = bus.outbox.gotOf(far, local, priority) >>> 0;
      acks.push({ from: idOf(far), to: idOf(local), priority, life, got, room: room >>> 2, gap });
      stream.toldBytes = room;
      if (room >= WIDE_BYTES) this.#narrow.delete(stream);
      else {
        if (!this.#narrow.has(stream)) this.#lookMs = LOOK_MIN_MS;
        this.#narrow.add(stream);
      }
    }
    this.#due = [];
    return acks;
  }

  /** Look whether there is room where there was not. */
  tick(nowMs: number): void {
    if (this.#narrow.size === 0 || nowMs < this.#lookAtMs) return;
    let isWider = false;
    for (const stream of this.#narrow) {
      const room = this.#o.bus.outbox.roomOf(stream.far, stream.local, stream.priority);
      if (room - stream.toldBytes < Math.max(WORTH_BYTES, stream.toldBytes)) continue;
      isWider = true;
      this.#say(stream);
    }
    this.#lookMs = isWider ? LOOK_MIN_MS : Math.min(LOOK_MAX_MS, this.#lookMs * 2);
    this.#lookAtMs = nowMs + this.#lookMs;
  }

  /** When `tick` has something to do; Infinity for never. */
  nextMs(): number {
    return this.#narrow.size === 0 ? Number.POSITIVE_INFINITY : this.#lookAtMs;
  }

  get hasSay(): boolean {
    return this.#due.length > 0;
  }
}
