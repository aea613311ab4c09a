/** Private copies of what waits for a node, for its standby's rehearsal: the lanes of all senders to it are brought into
 * their detached segments. Senders go on meanwhile, and what they write over is known by their tails. */
import type { Segment } from '../shm/index.ts';
import { type ShownLane, shownLanes } from './lane-reader.ts';
import {
  CONTROL,
  DATA,
  ENTRY_WORDS,
  FAR_ENTRY_WORDS,
  IN_CONTROL,
  IN_HEAD,
  NOBODY,
  OUT_LANE,
  OUT_TAIL,
  priorityOf,
  streamOf,
} from './lanes-layout.ts';

/** One that was copied. */
interface CopiedLane extends ShownLane {
  /** The tail in the sender's file after the copy; undefined = the lane was gone by then. */
  readonly live: number | undefined;
}

/** What was copied of one stream. */
interface Copied {
  readonly lanes: readonly CopiedLane[];
  /** What the owner showed as taken after the copy: no sender had written over anything from there on. */
  readonly taken: number;
}

export interface LaneCopiesOptions {
  readonly self: number;
  readonly nodes: number;
  readonly state: Segment;
  /** Of this node, by which the owner shows what it has taken. */
  readonly lanes: Segment;
  /** word of `$in` in the state */
  readonly heads: number;
}

export class LaneCopies {
  readonly #o: LaneCopiesOptions;
  readonly #inWord: number;
  /** By stream. */
  readonly #copied = new Map<number, Copied>();

  constructor(o: LaneCopiesOptions) {
    this.#o = o;
    this.#inWord = o.lanes.regions.get('in')!.offset / 4;
  }

  /** Words between the cursors and what is shown in a segment, less what was written over before it was copied. */
  waitingIn(segment: Segment): number {
    let words = 0;
    for (const [stream, lanes] of this.#streamsIn(segment)) {
      const from = this.#wholeFrom(stream);
      words += lanes.reduce((most, { tail }) => Math.max(most, (tail - from) | 0), 0);
    }
    return words;
  }

  #streamsIn(segment: Segment): Map<number, ShownLane[]> {
    const streams = new Map<number, ShownLane[]>();
    for (const lane of shownLanes(segment, this.#o.self)) {
      const stream = streamOf(lane.source, priorityOf(lane.to), this.#o.nodes);
      const lanes = streams.get(stream);
      if (lanes === undefined) streams.set(stream, [lane]);
      else lanes.push(lane);
    }
    return streams;
  }

  /** Bring the lanes to this node into a detached segment. Where that was done before, and records behind the cursors are
   * written over by now, what was brought then stays.
   * @param anew forget what was brought before
   * @returns false when it stays */
  bring(segment: Segment, anew: boolean): boolean {
    if (!anew) {
      for (const stream of this.#streamsIn(segment).keys()) {
        const lanes = this.#copied.get(stream)?.lanes.map(lane => ({ ...lane, live: liveTail(segment, lane) })) ?? [];
        if (!lanes.every(lane => isWhole(lane, this.#headOf(stream)))) return false;
      }
    }
    for (const name of ['out', 'in', 'lives']) {
      const region = segment.regions.get(name);
      if (region !== undefined) segment.copyIn(region.offset, region.bytes);
    }
    this.#bringFarEntries(segment);
    // What references lead to, too: nobody can tell what of that is written over meanwhile.
    for (const { block, size } of shownLanes(segment, NOBODY)) segment.copyIn(block * 4, size * 4);
    for (const [stream, lanes] of this.#streamsIn(segment)) {
      for (const { block, size } of lanes) segment.copyIn(block * 4, size * 4);
      // Looked at after the copy: what was written over meanwhile is known by it.
      const copied = lanes.map(lane => ({ ...lane, live: liveTail(segment, lane) }));
      this.#copied.set(stream, { lanes: copied, taken: this.#takenIn(stream) });
    }
    return true;
  }

  /** What nodes elsewhere show this one, in the segment of their link. */
  #bringFarEntries(segment: Segment): void {
    const rows = segment.regions.get('far');
    const lives = segment.regions.get('lives');
    if (rows === undefined || lives === undefined) return;
    const { self, nodes } = this.#o;
    for (let far = 0; far < nodes; far++) {
      if (segment.f64[lives.offset / 8 + far] === 0) continue;
      segment.copyIn(rows.offset + (far * nodes + self) * FAR_ENTRY_WORDS * 4, FAR_ENTRY_WORDS * 4);
    }
  }

  /** What the owner shows as taken of that stream. */
  #takenIn(stream: number): number {
    const { nodes, lanes } = this.#o;
    const priority = stream < nodes ? DATA : CONTROL;
    const entry = this.#inWord + (stream % nodes) * ENTRY_WORDS;
    return lanes.wordInFile(entry + (priority === DATA ? IN_HEAD : IN_CONTROL));
  }

  #headOf(stream: number): number {
    return this.#o.state.i32[this.#o.heads + stream];
  }

  /** From where on the lanes that were copied are whole: from the cursor, or, where records behind it were written over, from
   * what the owner had taken by then. */
  #wholeFrom(stream: number): number {
    const head = this.#headOf(stream);
    const copied = this.#copied.get(stream);
    if (copied === undefined || ((copied.taken - head) | 0) <= 0) return head;
    const isLost = copied.lanes.some(lane => ((lane.tail - head) | 0) > 0 && !isWhole(lane, head));
    return isLost ? copied.taken : head;
  }

  /** Set the cursors behind what was written over before it was copied. Unlogged: for private copies of both sides. */
  skipOverwritten(): void {
    for (const stream of this.#copied.keys()) this.#o.state.i32[this.#o.heads + stream] = this.#wholeFrom(stream);
    this.#copied.clear();
  }
}

/** Was nothing behind `head` written over when the tail was looked at? Half a lane is left out: of what is being written
 * then nothing is shown yet. */
function isWhole({ live, size }: CopiedLane, head: number): boolean {
  return live !== undefined && ((live - head) | 0) <= size / 2;
}

function liveTail(segment: Segment, { entry, laneId }: ShownLane): number | undefined {
  const tail = segment.wordInFile(entry + OUT_TAIL);
  return segment.wordInFile(entry + OUT_LANE) === laneId ? tail : undefined;
}
