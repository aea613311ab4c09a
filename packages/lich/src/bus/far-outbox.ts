/** What nodes elsewhere sent to nodes of this host: the link writes it into lanes of its own, which carry the sender as
 * their `source`, and the receiver takes it from there as from any node. The lane's new tail and `got`, up to where the
 * sender's stream is in lanes here, are one commit: so what comes again is known, and what was committed may be
 * acknowledged.
 *
 *   run of the far stream        from ──── got ────────── to
 *                                │ known   │ new          │        ack: got
 *   lane here, positions of its own        tail ────────── tail
 *
 * A receiver that takes nothing has `windowBytes` of each stream waiting here at most: the rest stays with its sender. */
import type { UndoLog } from '../state/index.ts';
import type { Segment } from '../shm/index.ts';
import { BusError } from './errors.ts';
import { PRIORITIES, type Priority, UNIT_WORDS } from './lanes-layout.ts';
import { FULL, type Outbox } from './outbox.ts';
import { RECORD_ALIGN_WORDS } from './record-descriptor.ts';

export const WINDOW_BYTES = 1024 * 1024;
/** Words that are copied at once: half of the least ring, so that no lane has to grow for them. */
const PIECE_WORDS = UNIT_WORDS / 2;

export interface FarOutboxOptions {
  readonly nodes: number;
  readonly lanes: Segment;
  readonly state: Segment;
  readonly log: UndoLog;
  /** word of `$got` in the state */
  readonly got: number;
  readonly outbox: Outbox;
}

export class FarOutbox {
  readonly #o: FarOutboxOptions;
  readonly #S: Int32Array;
  /** Bytes of one stream that may wait for their receiver; one larger record may wait alone. */
  windowBytes: number = WINDOW_BYTES;
  /** Runs, or parts of them, that found no room. */
  refused = 0;

  constructor(o: FarOutboxOptions) {
    this.#o = o;
    this.#S = o.state.i32;
  }

  /** All before it, in the far sender's stream, is in a lane here. */
  gotOf(far: number, local: number, priority: Priority): number {
    return this.#S[this.#word(far, local, priority)];
  }

  #word(far: number, local: number, priority: Priority): number {
    return this.#o.got + (far * PRIORITIES + priority) * this.#o.nodes + local;
  }

  #stream(far: number, local: number, priority: Priority): number {
    return this.#o.outbox.farStream(far, priority * this.#o.nodes + local);
  }

  /** Bytes that would be taken now. */
  roomOf(far: number, local: number, priority: Priority): number {
    return Math.max(0, this.windowBytes - this.#o.outbox.backlogOf(this.#stream(far, local, priority)) * 4);
  }

  /** Put a run into the lane, in the open transaction, as far as there is room; what is known already is left out, and a run
   * that begins behind what is known is left alone.
   * @param bytes whole records, without padding, that end at `to`
   * @returns `gotOf` after it
   * @throws BusError `BUS_BAD_RUN` where they are not that; `BUS_RECORD_TOO_LARGE` for one that no lane here can take */
  append(far: number, local: number, priority: Priority, from: number, to: number, bytes: Uint8Array): number {
    const words = bytes.length / 4;
    const first = (to - words) | 0;
    const lengths = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    check(from, first, words, lengths);
    const word = this.#word(far, local, priority);
    const got = this.#S[word];
    if (((to - got) | 0) <= 0 || ((from - got) | 0) > 0) return got;
    let at = 0;
    while (at < words && ((first + at - got) | 0) < 0) at += lengths.getInt32(at * 4, true);
    if (at > 0 && ((first + at) | 0) !== got) refuse(`${got >>> 0} is no record's end in it`);
    const end = this.#copy(this.#stream(far, local, priority), lengths, at, words, bytes);
    const now = end === words ? to : (first + end) | 0;
    // Nothing was copied: `got` may lie before padding.
    if (end === at) return got;
    this.#o.log.write(word, now);
    return now;
  }

  /** @returns words from the beginning that are in the lane or were known */
  #copy(stream: number, lengths: DataView, at: number, words: number, bytes: Uint8Array): number {
    const { outbox, lanes } = this.#o;
    const window = this.windowBytes >> 2;
    let backlog = outbox.backlogOf(stream);
    while (at < words) {
      let end = at + lengths.getInt32(at * 4, true);
      if (backlog > 0 && backlog + end - at > window) break;
      while (end < words) {
        const next = end + lengths.getInt32(end * 4, true);
        if (next - at > PIECE_WORDS || backlog + next - at > window) break;
        end = next;
      }
      const to = this.#claim(stream, end - at);
      if (to === FULL) break;
      lanes.u8.set(bytes.subarray(at * 4, end * 4), to * 4);
      outbox.commitClaim();
      backlog += end - at;
      at = end;
    }
    if (at < words) this.refused++;
    return at;
  }

  /** No room for a first lane is the same as a full one: it is there again when receivers are done. */
  #claim(stream: number, words: number): number {
    try {
      return this.#o.outbox.claimWords(stream, words);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** The far sender's streams to that node begin at 0. In a transaction. */
  forget(far: number, local: number): void {
    for (const priority of [0, 1] as const) {
      const word = this.#word(far, local, priority);
      if (this.#S[word] !== 0) this.#o.log.write(word, 0);
    }
  }
}

/** Is that whole records, with padding before them at most? */
function check(from: number, first: number, words: number, lengths: DataView): void {
  if (words < RECORD_ALIGN_WORDS || words % RECORD_ALIGN_WORDS !== 0) refuse(`${words} words are no whole records`);
  if (((first - from) | 0) < 0) refuse(`${words} words begin ${(from - first) | 0} words before ${from >>> 0}`);
  for (let at = 0; at < words; ) {
    const length = lengths.getInt32(at * 4, true);
    const type = lengths.getInt32(at * 4 + 4, true);
    const isRecord = length >= RECORD_ALIGN_WORDS && length % RECORD_ALIGN_WORDS === 0 && length <= words - at;
    // Padding, and references to what lies in the memory of another host.
    if (!isRecord || type >>> 16 === 0)
      refuse(`a record of type ${type >>> 0} and ${length} words, with ${words - at} words left`);
    at += length;
  }
}

function refuse(what: string): never {
  throw new BusError('BUS_BAD_RUN', `what a link sent is no run of records: ${what}`);
}
