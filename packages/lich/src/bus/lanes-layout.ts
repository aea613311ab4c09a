/** The lanes segment O of a node, written by its owner alone, mapped read-only by its peers. Its tables are copies of what
 * S, the state segment, says under the log: stored after the commit, and again at every boot. The data region holds the
 * rings. Why it is so: docs/decisions/0001-lane-lifecycle.md and 0014-streams-and-far-nodes.md.
 *
 * A stream is (sender, receiver, priority): its positions are u32 counts of words, padding included, that only grow and
 * wrap. A lane carries the range base..tail of it; the receiver's cursor is one number, head.
 *
 *   REGION  ENTRY              WORD  FIELD      MEANING
 *   out     one per lane          0  laneId     never given twice by a sender; 0 = nothing here
 *           (64 bytes)            1  to         node index of the receiver | priority << 16; NOBODY = blocks, blocks.ts
 *                                 2  base       position where the lane begins
 *                                 3  block      first word of the ring, from the segment's start
 *                                 4  size       words of the ring, a power of two; position p is at block + (p & size-1)
 *                                 5  tail       position behind the last committed record
 *                                 6  flags      USED | SEALED: no record will follow in this lane
 *                                 7  source     node index of the sender: of this node, or of a node elsewhere that this
 *                                              node, a link, speaks for
 *                                 8  sampleNo   grows with each sample; 0 = there is none, or it is being changed
 *                                 9  sampleAt   position of a record that was the oldest unhandled one when it was shown
 *                              10 11  sampleMs   f64: when it was shown, on the host's clock
 *   in      one per node index    0  head       position behind the last record of that sender's data that was handled
 *           (64 bytes)            1  met        `idOf` that node's lanes segment as this node met it; 0 = never met:
 *                                              a receiver that was made anew waits until its senders have met it
 *                                 2  control    as head, in the stream of that sender's control messages
 *                                 3  urgent     position behind the last control message that this node sent to that one:
 *                                              where it is the other's cursor, no lane has to be looked for
 *                               4 5  messages   f64: records of that sender that were handled
 *                               6 7  bytes      f64: of them, padding included
 *                              8-15  latency    u32: samples by the time from shown to handled, see LATENCY_US
 *   data    units of 64 KiB       rings, each a power of two of units
 *
 * In the lanes of a link, besides:
 *   far     one row per node index of a node elsewhere, in it one entry of 4 words per node index: what that node's own
 *           `in` table would show, were it here. A row's pages are reserved when the link meets the node.
 *   lives   f64 per node index: which life of that node, and of the link on its side, this link has met; 0 = none yet.
 *
 * STORE ORDER  a slot that changes hands: laneId = 0, to, base, block, size, tail, flags, source, laneId. A reader loads
 * laneId first and last, and believes the rest only if it is the same. `urgent` after the tail that it tells of; in `in`,
 * all heads before any `met`; a row of `far` before its node's entry in `lives`.
 * What is counted is not logged: a kill loses what was not shown yet.
 * SYNC publish: the Atomics.store of `tail` pairs with the receiver's Atomics.load (after which it compares laneId), the
 * one of a head with the sender's. */

export const OUT_LANE = 0;
export const OUT_TO = 1;
export const OUT_BASE = 2;
export const OUT_BLOCK = 3;
export const OUT_SIZE = 4;
export const OUT_TAIL = 5;
export const OUT_FLAGS = 6;
export const OUT_SOURCE = 7;

export const OUT_SAMPLE_NO = 8;
export const OUT_SAMPLE_AT = 9;
export const OUT_SAMPLE_MS = 10;

export const LANE_USED = 1;
export const LANE_SEALED = 2;

export const IN_HEAD = 0;
export const IN_MET = 1;
export const IN_CONTROL = 2;
export const IN_URGENT = 3;
export const IN_MESSAGES = 4;
export const IN_BYTES = 6;
export const IN_LATENCY = 8;

/** Bounds of the latency counts in microseconds; the last count is of all that took longer. */
export const LATENCY_US = [10, 30, 100, 300, 1_000, 4_000, 16_667] as const;

/** Words between two entries of either table: a cache line, so that two lanes never share one. */
export const ENTRY_WORDS = 16;
/** Words between two entries in a row of `far`, which one process writes and few read. */
export const FAR_ENTRY_WORDS = 4;

/** What most messages are. */
export const DATA = 0;
/** What is handled before data of the same sender, whatever was sent first. */
export const CONTROL = 1;
export type Priority = typeof DATA | typeof CONTROL;
/** Streams of a pair. */
export const PRIORITIES = 2;

/** Number of a node's stream to or from that peer, among `PRIORITIES * nodes`: for data it is the peer's index. */
export function streamOf(peer: number, priority: Priority, nodes: number): number {
  return priority * nodes + peer;
}

/** What an out entry's `to` holds. */
export function toWord(receiver: number, priority: number): number {
  return receiver | (priority << 16);
}

/** `to` of a lane with blocks: references in other lanes lead there. */
export const NOBODY = 0xffff;

export function receiverOf(to: number): number {
  return to & 0xffff;
}

export function priorityOf(to: number): Priority {
  return (to >>> 16) as Priority;
}

/** The least ring, and the unit of the data region. */
export const UNIT_BYTES = 65_536;
export const UNIT_WORDS = UNIT_BYTES / 4;

/** Sizes that all nodes of a cluster agree on (`nodes`), and of one node's lanes segment. They are part of its layout. */
export interface BusLimits {
  /** Nodes of one cluster on one host. Default 256. */
  readonly nodes: number;
  /** Lanes that one node may have open or not yet given back. Default 256. */
  readonly lanes: number;
  /** Bytes of the data region (virtual; pages are taken as lanes need them). Default 64 MiB. */
  readonly dataBytes: number;
  /** The largest ring; a full lane is followed by a larger one up to this. Default 16 MiB. A record may take half. */
  readonly maxLaneBytes: number;
  /** Is this node a link, which stands for nodes elsewhere? Default no. */
  readonly link?: boolean;
}

/** What a topology entry without `limits` has. */
export const DEFAULT_LIMITS: BusLimits = {
  nodes: 256,
  lanes: 256,
  dataBytes: 64 * 1024 * 1024,
  maxLaneBytes: 16 * 1024 * 1024,
};

/** Which creation of a node's lanes segment this is, in 32 bits, never 0.
 * @param createdMs when the segment was made, as its header says */
export function idOfCreation(createdMs: number): number {
  return (createdMs % 0x1_0000_0000) | 0 || 1;
}

/** Bytes of a row of `far`. */
export function farRowBytes(nodes: number): number {
  return nodes * FAR_ENTRY_WORDS * 4;
}

/** The regions of a lanes segment, for `createSegment`. */
export function lanesRegions(limits: BusLimits): { name: string; bytes: number; reserve?: boolean }[] {
  return [
    { name: 'out', bytes: limits.lanes * ENTRY_WORDS * 4, reserve: true },
    { name: 'in', bytes: limits.nodes * ENTRY_WORDS * 4, reserve: true },
    { name: 'data', bytes: limits.dataBytes },
    ...(limits.link ? [{ name: 'far', bytes: limits.nodes * farRowBytes(limits.nodes) }] : []),
    ...(limits.link ? [{ name: 'lives', bytes: limits.nodes * 8, reserve: true }] : []),
  ];
}
