/** The bus of a directory, seen from outside: who sends to whom, what waits, since when, how long messages take. Nothing is
 * asked of anybody, so nodes that hang or are dead show theirs all the same. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { attachSegment, OwnerLock, type Segment, ShmError } from '../shm/index.ts';
import { openReader, StateError } from '../state/index.ts';
import { hostMs } from './clock.ts';
import { Directory, type NodeEntry } from './directory.ts';
import {
  DEFAULT_LIMITS,
  ENTRY_WORDS,
  IN_BYTES,
  IN_LATENCY,
  IN_MESSAGES,
  LANE_SEALED,
  LANE_USED,
  LATENCY_US,
  OUT_SAMPLE_AT,
  OUT_SAMPLE_MS,
  OUT_SAMPLE_NO,
  priorityOf,
  receiverOf,
} from './lanes-layout.ts';
import { shownHead, waitingFrom, walkLane, type WholeLane, wholeLanes } from './lane-walk.ts';

/** One ring of them. */
export interface LaneLook {
  readonly laneId: number;
  readonly priority: 'data' | 'control';
  readonly bytes: number;
  /** No record will follow in it: it is given back once it is drained. */
  readonly sealed: boolean;
  readonly waitingBytes: number;
}

/** All that goes from one node to another. */
export interface PairLook {
  readonly from: string;
  readonly to: string;
  /** Rings that are in use, in no order, and their bytes. */
  readonly lanes: readonly LaneLook[];
  readonly ringBytes: number;
  /** Shown and not handled: records and padding. */
  readonly waitingBytes: number;
  /** The same in messages; undefined when they were not counted. */
  readonly waitingMessages: number | undefined;
  /** About how long the oldest message waits, in ms, by a sample: one that moves all the time looks younger by as much as
   * its messages take. Undefined when nothing waits, or nobody knows. */
  readonly oldestMs: number | undefined;
  /** Messages that were handled, and bytes of them, over all lives; a kill loses the last few. */
  readonly messages: number;
  readonly bytes: number;
  /** Samples by the time from shown to handled: below each bound of LATENCY_US, and above all. */
  readonly latency: readonly number[];
}

export interface LookOptions {
  /** Count messages that wait: reads all of what waits. Default true. */
  readonly count?: boolean;
  /** Of nodes that nobody owns, take what their states committed rather than what they showed: what was committed in their
   * last moment is in it. Reads their states. Default false. */
  readonly committed?: boolean;
}

/** Looks at the lanes of a directory, again and again. */
export class BusLook {
  readonly #dir: string;
  readonly #maxNodes: number;
  #directory: Directory | undefined;
  readonly #segments = new Map<string, Segment>();

  constructor(dir: string, maxNodes: number = DEFAULT_LIMITS.nodes) {
    this.#dir = dir;
    this.#maxNodes = maxNodes;
  }

  /** Nodes that are entered. Looking makes no directory. */
  nodes(): readonly NodeEntry[] {
    if (this.#directory === undefined) {
      if (!existsSync(join(this.#dir, 'nodes'))) return [];
      this.#directory = new Directory(this.#dir, this.#maxNodes);
    }
    this.#directory.refresh();
    return this.#directory.all();
  }

  /** The lanes segment of a node; undefined while it has none, or none that can be read. */
  lanesOf(name: string): Segment | undefined {
    const known = this.#segments.get(name);
    if (known?.isCurrent()) return known;
    known?.close();
    this.#segments.delete(name);
    try {
      const segment = attachSegment({ dir: this.#dir, name, kind: 'lanes', readOnly: true });
      this.#segments.set(name, segment);
      return segment;
    } catch (error) {
      if (error instanceof ShmError) return undefined;
      throw error;
    }
  }

  /** Pairs of nodes that have lanes, or had messages, by name. */
  pairs(options: LookOptions = {}): PairLook[] {
    const nodes = this.nodes();
    const committed = new Map<string, Committed>();
    if (options.committed === true) {
      for (const { name } of nodes) {
        const lanes = this.lanesOf(name);
        const found = lanes && committedOf(this.#dir, name, lanes);
        if (found !== undefined) committed.set(name, found);
      }
    }
    // Of a node elsewhere: what its link shows for it.
    const segments = new Map(nodes.map(({ index, name, via }) => [index, this.lanesOf(via ?? name)]));
    const pairs: PairLook[] = [];
    for (const from of nodes) {
      const segment = segments.get(from.index);
      if (segment === undefined) continue;
      const all = committed.get(from.via ?? from.name)?.lanes ?? wholeLanes(segment);
      const lanes = all.filter(({ source }) => source === from.index);
      for (const to of nodes) {
        const there = lanes.length === 0 ? lanes : lanes.filter(({ receiver }) => receiver === to.index);
        const receiver = segments.get(to.index);
        const pair = this.#pair(from, segment, to, receiver, there, committed.get(to.name), options.count ?? true);
        if (pair !== undefined) pairs.push(pair);
      }
    }
    return pairs;
  }

  #pair(
    from: NodeEntry,
    segment: Segment,
    to: NodeEntry,
    receiver: Segment | undefined,
    lanes: readonly WholeLane[],
    committed: Committed | undefined,
    count: boolean,
  ): PairLook | undefined {
    const far = to.via === undefined ? undefined : { index: to.index, nodes: this.#maxNodes };
    // Most pairs never say anything to each other.
    const isQuiet = far !== undefined || receiver === undefined || messagesOf(receiver, from.index) === 0;
    if (lanes.length === 0 && isQuiet) return undefined;
    const creation = from.via === undefined ? segment.createdMs : lifeOf(segment, from.index);
    // What was handled elsewhere is counted there.
    const { messages, bytes, latency } =
      receiver === undefined || far !== undefined ? NOTHING : countsOf(receiver, from.index);
    const looks: LaneLook[] = [];
    let waitingMessages = 0;
    let oldestMs: number | undefined;
    for (const lane of lanes) {
      const head =
        committed === undefined
          ? receiver && shownHead(receiver, from.index, creation, lane.priority, far)
          : committed.headOf(from.index, creation, lane.priority);
      const begin = waitingFrom(lane, head);
      const words = Math.max(0, (lane.tail - begin) | 0);
      looks.push({
        laneId: lane.laneId >>> 0,
        priority: lane.priority === 0 ? 'data' : 'control',
        bytes: lane.size * 4,
        sealed: (lane.flags & LANE_SEALED) !== 0,
        waitingBytes: words * 4,
      });
      if (words === 0) continue;
      const age = ageOf(segment, lane);
      if (age !== undefined) oldestMs = Math.max(oldestMs ?? 0, age);
      if (count) walkLane(segment, lane, begin, () => void waitingMessages++);
    }
    return {
      from: from.name,
      to: to.name,
      lanes: looks,
      ringBytes: looks.reduce((sum, lane) => sum + lane.bytes, 0),
      waitingBytes: looks.reduce((sum, lane) => sum + lane.waitingBytes, 0),
      waitingMessages: count ? waitingMessages : undefined,
      oldestMs,
      messages,
      bytes,
      latency,
    };
  }

  close(): void {
    for (const segment of this.#segments.values()) segment.close();
    this.#segments.clear();
  }
}

/** What waits in a directory that nobody writes, or writes no more than it did.
 * @param concerns of which nodes; default all */
export function whatWaits(dir: string, concerns: (name: string) => boolean = () => true): PairLook[] {
  const look = new BusLook(dir);
  try {
    return look.pairs({ committed: true }).filter(each => {
      // All that is left may be padding.
      return (concerns(each.from) || concerns(each.to)) && each.waitingMessages! > 0;
    });
  } finally {
    look.close();
  }
}

/** How long a sample has to have been under way that so many of them were not longer.
 * @param share 0.5 = the median
 * @returns upper bound in microseconds, Infinity above all bounds; undefined without samples */
export function latencyUs(counts: readonly number[], share: number): number | undefined {
  const all = counts.reduce((sum, n) => sum + n, 0);
  if (all === 0) return undefined;
  let seen = 0;
  for (const [k, n] of counts.entries()) {
    seen += n;
    if (seen >= all * share) return LATENCY_US[k] ?? Number.POSITIVE_INFINITY;
  }
  return Number.POSITIVE_INFINITY;
}

const NOTHING = { messages: 0, bytes: 0, latency: Array.from({ length: LATENCY_US.length + 1 }, () => 0) };

function messagesOf(receiver: Segment, from: number): number {
  return receiver.f64[(receiver.regions.get('in')!.offset / 4 + from * ENTRY_WORDS + IN_MESSAGES) / 2];
}

function countsOf(receiver: Segment, from: number): Pick<PairLook, 'messages' | 'bytes' | 'latency'> {
  const entry = receiver.regions.get('in')!.offset / 4 + from * ENTRY_WORDS;
  const first = entry + IN_LATENCY;
  return {
    messages: messagesOf(receiver, from),
    bytes: receiver.f64[(entry + IN_BYTES) / 2],
    latency: [...receiver.u32.subarray(first, first + LATENCY_US.length + 1)],
  };
}

/** Since when what waits in a lane was shown: by its sample. One that was handled already was shown just before. */
function ageOf(segment: Segment, { entry, laneId, tail }: WholeLane): number | undefined {
  // A lane that was committed and never shown has no entry.
  if (segment.i32[entry] !== laneId) return undefined;
  const no = Atomics.load(segment.i32, entry + OUT_SAMPLE_NO);
  const at = segment.i32[entry + OUT_SAMPLE_AT];
  const shownMs = segment.f64[(entry + OUT_SAMPLE_MS) / 2];
  if (no === 0 || Atomics.load(segment.i32, entry + OUT_SAMPLE_NO) !== no) return undefined;
  if (((tail - at) | 0) < 0) return undefined;
  const age = hostMs() - shownMs;
  // The clock is that of another boot.
  return age >= 0 ? age : undefined;
}

/** Which life of a node elsewhere its link has met. */
function lifeOf(link: Segment, index: number): number {
  const lives = link.regions.get('lives');
  return lives === undefined ? 0 : link.f64[lives.offset / 8 + index];
}

/** What a state says that nobody owns. */
interface Committed {
  readonly lanes: readonly WholeLane[];
  headOf(from: number, creationMs: number, priority: number): number | undefined;
}

interface BusRoot {
  readonly $out: readonly {
    laneId: number;
    to: number;
    base: number;
    block: number;
    size: number;
    tail: number;
    flags: number;
    source: number;
  }[];
  readonly $in: readonly number[];
  readonly $peers: readonly number[];
}

function committedOf(dir: string, name: string, shown: Segment): Committed | undefined {
  let segment: Segment;
  try {
    if (existsSync(join(dir, `${name}.lock`)) && OwnerLock.open(dir, name).owner() !== undefined) return undefined;
    segment = attachSegment({ dir, name, kind: 'state', readOnly: true });
  } catch (error) {
    // Never started, or nothing that could go on: what it showed is all there is.
    if (error instanceof ShmError) return undefined;
    throw error;
  }
  try {
    const root = openReader(segment, { hidden: true }).snapshot(s => s.root()) as unknown as BusRoot;
    if (root.$out === undefined) return undefined;
    const first = shown.regions.get('out')!.offset / 4;
    const lanes = root.$out.flatMap(({ laneId, to, base, tail, ...rest }, slot): WholeLane[] => {
      if (rest.flags !== LANE_USED && rest.flags !== (LANE_USED | LANE_SEALED)) return [];
      const words = { ...rest, laneId: laneId | 0, base: base | 0, tail: tail | 0 };
      return [{ entry: first + slot * ENTRY_WORDS, receiver: receiverOf(to), priority: priorityOf(to), ...words }];
    });
    const nodes = root.$peers.length;
    return {
      lanes,
      headOf: (from, creationMs, priority) =>
        root.$peers[from] === creationMs ? root.$in[priority * nodes + from]! | 0 : undefined,
    };
  } catch (error) {
    // Not written far enough, or no machine to read it on.
    if (error instanceof StateError) return undefined;
    throw error;
  } finally {
    segment.close();
  }
}
