/** Lines of a node, in a ring in shared memory: written by the owner, collected by one process of the host (collector.ts).
 * Region `lines` of the report segment; little-endian.
 *
 *   OFFSET  SIZE  FIELD      WRITER   MEANING
 *        0     8  base       owner    f64, the position that lies at the first byte of the ring
 *        8     8  oldest     owner    f64, position of the oldest record that is whole
 *       16     8  published  owner    f64, records below are committed: what the collector reads up to
 *       24     8  high       owner    f64, records below are whole, committed or not
 *       32    32  reserved   zero
 *       64     n  ring       owner    records, one after the other
 *
 *   record     [bytes u32][flags u32][text, UTF-8, padded to 8]        never wraps: a PAD record fills what is left
 *
 *   oldest            published          committed           high
 *   ─ ─ ┴ line │ line │ line ┴ line │ line ┴ line │ line │ line ┴ ─ ─
 *                                          └ of the open transaction
 *
 * Positions are bytes and only grow, over lives too; a ring that is made anew begins at the microseconds since 1970, so that
 * no position is ever used for two lines. How far lines are committed is the logged root field `$lines` of the state: a line
 * is part of the transaction that wrote it, without a store of its own at commit. A rollback takes the lines back with
 * everything else; those of errors are kept: the others are marked as dropped, and the field moves on.
 *
 * WRITE  oldest (past what is overwritten) · header and text · high · `$lines` (logged).
 * KILLED in a transaction: recovery sets `$lines` back, and [$lines, high) are the last words: marked as undone, they are
 *        collected. Each mark is one store; killed in between, the next life does the same.
 * READ   copy [cursor, published) · load oldest: what lies below was overwritten meanwhile.
 * The order of stores is x86-64's, as for reads from outside. */
import type { Segment } from '../../shm/index.ts';

/** Before the ring. */
export const LINES_HEAD_BYTES = 64;
const BASE = 0;
const OLDEST = 1;
const PUBLISHED = 2;
const RING_HIGH = 3;
const RECORD_HEAD = 8;

/** Flags of a record. */
export const LINE = 1;
/** Nothing but room up to the end of the ring. */
const PAD = 2;
/** Survives the rollback of what it was said in. */
export const SURVIVES = 4;
/** For the audit file. */
export const AUDIT = 8;
/** Undone by a rollback: read by nobody. */
const DROPPED = 16;
/** Said in a transaction that its process did not end. */
export const UNDONE = 32;

/** The logged word with the end of what is committed, and the log over it. */
export interface CommittedEnd {
  get(): number;
  /** Inside a transaction. */
  set(position: number): void;
  readonly open: boolean;
  begin(): void;
  commit(): void;
  /** Can the open transaction log one more position? */
  hasRoom(): boolean;
  readonly commitNo: number;
}

/** A line as it was read. */
export interface ReadLine {
  /** The position behind it: what a collector goes on from. */
  readonly end: number;
  readonly flags: number;
  readonly text: string;
}

/** A writer that overtakes a reader more often than that in a row has nothing else to do. */
const TRIES = 100;

const sizeOf = (bytes: number): number => (RECORD_HEAD + bytes + 7) & ~7;

class RingBytes {
  readonly segment: Segment;
  readonly head: number;
  readonly ring: number;
  readonly size: number;

  constructor(segment: Segment) {
    const region = segment.regions.get('lines')!;
    this.segment = segment;
    this.head = region.offset / 8;
    this.ring = region.offset + LINES_HEAD_BYTES;
    this.size = region.bytes - LINES_HEAD_BYTES;
  }

  get(field: number): number {
    return this.segment.f64[this.head + field];
  }

  set(field: number, value: number): void {
    this.segment.f64[this.head + field] = value;
  }

  /** Byte offset in the segment. */
  at(position: number): number {
    return this.ring + ((position - this.get(BASE)) % this.size);
  }

  /** Records of [from, to); stops at the first that cannot be. */
  *records(from: number, to: number): Generator<{ at: number; position: number; bytes: number; flags: number }> {
    for (let position = from; position < to; ) {
      const at = this.at(position);
      const bytes = this.segment.u32[at / 4];
      const size = sizeOf(bytes);
      if (at + size > this.ring + this.size || position + size > to) return;
      yield { at, position, bytes, flags: this.segment.u32[at / 4 + 1] };
      position += size;
    }
  }
}

/** The owner's end. One a life, made once the state is recovered. */
export class LineWriter {
  readonly #ring: RingBytes;
  readonly #end: CommittedEnd;
  /** commitNo when the position was last known to be committed */
  #settledAt = -1;
  /** Errors said in a transaction that can only be rolled back. */
  #late: { text: string; flags: number }[] = [];
  /** Lines that had no room: more than half of the ring in one transaction. */
  dropped = 0;

  /** @param nowMs where positions begin in a ring that is new */
  constructor(segment: Segment, end: CommittedEnd, nowMs: number) {
    this.#ring = new RingBytes(segment);
    this.#end = end;
    const ring = this.#ring;
    const committed = end.get();
    if (ring.get(BASE) === 0 || committed < ring.get(BASE) || committed > ring.get(RING_HIGH)) {
      this.#beginAnew(Math.max(committed, ring.get(RING_HIGH), nowMs * 1000));
    } else this.#keepLastWords(committed);
    this.publish();
  }

  #beginAnew(position: number): void {
    const ring = this.#ring;
    const base = Math.ceil(position / 8) * 8;
    // In this order a reader finds nothing in between, and a killed process leaves an end that lies outside.
    for (const field of [OLDEST, BASE, RING_HIGH, PUBLISHED]) ring.set(field, base);
    this.#move(base);
  }

  /** What the last life said in a transaction that is undone now. */
  #keepLastWords(committed: number): void {
    const ring = this.#ring;
    const high = ring.get(RING_HIGH);
    if (ring.get(OLDEST) > committed) return this.#beginAnew(high);
    if (high === committed) return;
    const { u32 } = ring.segment;
    for (const { at, flags } of ring.records(committed, high))
      if ((flags & LINE) !== 0) u32[at / 4 + 1] = flags | UNDONE;
    this.#move(high);
  }

  #move(position: number): void {
    const end = this.#end;
    if (end.open) return end.set(position);
    end.begin();
    end.set(position);
    end.commit();
  }

  /** Write one line, as part of the open transaction or of one of its own.
   * @returns false when it had no room */
  write(text: string, flags: number): boolean {
    const ring = this.#ring;
    const end = this.#end;
    const own = !end.open;
    const bytes = Buffer.from(text);
    const size = sizeOf(bytes.length);
    if (!own && !end.hasRoom()) {
      if ((flags & SURVIVES) === 0) return this.#refuse();
      this.#late.push({ text, flags });
      return true;
    }
    this.#settle();
    let from = end.get();
    const left = ring.size - ((from - ring.get(BASE)) % ring.size);
    const pad = left < size ? left : 0;
    if (from + pad + size - ring.get(PUBLISHED) > ring.size / 2) return this.#refuse();
    this.#overwrite(from + pad + size - ring.size);
    const { u8, u32 } = ring.segment;
    if (pad > 0) {
      const at = ring.at(from) / 4;
      u32[at] = pad - RECORD_HEAD;
      u32[at + 1] = PAD;
      from += pad;
    }
    const at = ring.at(from);
    u32[at / 4] = bytes.length;
    u32[at / 4 + 1] = flags | LINE;
    u8.set(bytes, at + RECORD_HEAD);
    ring.set(RING_HIGH, from + size);
    this.#move(from + size);
    if (own) this.publish();
    return true;
  }

  #refuse(): boolean {
    this.dropped++;
    return false;
  }

  /** Records that begin below are about to be overwritten. */
  #overwrite(below: number): void {
    const ring = this.#ring;
    const oldest = ring.get(OLDEST);
    if (oldest >= below) return;
    let next = oldest;
    for (const { position, bytes } of ring.records(oldest, ring.get(RING_HIGH))) {
      if (position >= below) break;
      next = position + sizeOf(bytes);
    }
    ring.set(OLDEST, next);
  }

  /** A transaction has ended since the last line: what is said so far is committed. */
  #settle(): void {
    if (this.#end.commitNo === this.#settledAt) return;
    this.#settledAt = this.#end.commitNo;
    this.#ring.set(PUBLISHED, this.#end.get());
  }

  /** After a rollback of the open transaction or of a part of it: what was said in it goes, but for errors. */
  rolledBack(): void {
    const ring = this.#ring;
    const to = ring.get(RING_HIGH);
    const from = this.#end.get();
    if (from !== to) this.#takeBack(from, to);
    const late = this.#late;
    if (late.length === 0) return;
    this.#late = [];
    for (const { text, flags } of late) this.write(text, flags);
  }

  #takeBack(from: number, to: number): void {
    const ring = this.#ring;
    let survives = false;
    for (const { flags } of ring.records(from, to)) survives ||= (flags & SURVIVES) !== 0 && (flags & DROPPED) === 0;
    if (!survives || (this.#end.open && !this.#end.hasRoom())) {
      ring.set(RING_HIGH, from);
      return;
    }
    const { u32 } = ring.segment;
    for (const { at, flags } of ring.records(from, to)) {
      if ((flags & SURVIVES) === 0 && (flags & LINE) !== 0) u32[at / 4 + 1] = flags | DROPPED;
    }
    this.#move(to);
  }

  /** Show the collector what is committed. Outside transactions; O(1). */
  publish(): void {
    const committed = this.#end.get();
    if (this.#ring.get(PUBLISHED) !== committed) this.#ring.set(PUBLISHED, committed);
  }
}

/** The collector's end: read-only. */
export class LineReader {
  readonly #ring: RingBytes;

  constructor(segment: Segment) {
    this.#ring = new RingBytes(segment);
  }

  get segment(): Segment {
    return this.#ring.segment;
  }

  get published(): number {
    return this.#ring.get(PUBLISHED);
  }

  /** Lines from a position on.
   * @param cursor the `next` of the last call; one that this ring never had reads from its oldest line
   * @param committed where the lines of a node that nobody owns end, which had no time to publish them all: what lies
   * behind it are its last words
   * @returns the lines; where to go on; bytes of lines that were overwritten before they were read */
  read(cursor: number, committed?: number): { lines: ReadLine[]; next: number; lostBytes: number } {
    const ring = this.#ring;
    for (let tries = 1; tries <= TRIES; tries++) {
      const oldest = ring.get(OLDEST);
      const published = committed ?? ring.get(PUBLISHED);
      const to = committed === undefined ? published : Math.max(committed, ring.get(RING_HIGH));
      if (to - oldest > ring.size) continue;
      // Of a dead node more was read than was published.
      const known = cursor >= ring.get(BASE) && cursor <= Math.max(to, ring.get(RING_HIGH));
      const from = known ? Math.max(cursor, oldest) : oldest;
      const lines: ReadLine[] = [];
      let next = from;
      for (const { at, position, bytes, flags } of ring.records(from, to)) {
        next = position + sizeOf(bytes);
        if ((flags & LINE) === 0 || (flags & DROPPED) !== 0) continue;
        const text = Buffer.from(ring.segment.u8.slice(at + RECORD_HEAD, at + RECORD_HEAD + bytes)).toString();
        lines.push({ end: next, flags: position < published ? flags : flags | UNDONE, text });
      }
      // Overtaken by the writer while it was copied: what was copied may be torn.
      if (ring.get(OLDEST) > from) continue;
      return { lines, next: Math.max(next, from), lostBytes: known ? Math.max(0, oldest - cursor) : 0 };
    }
    return { lines: [], next: cursor, lostBytes: 0 };
  }
}
