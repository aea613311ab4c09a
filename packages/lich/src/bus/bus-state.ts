/** What the bus keeps in S, the state segment, under the undo log: the truth of which O holds copies.
 *
 *   FIELD       ENTRY                                               MEANING
 *   $out        {laneId, to, base, block, size, tail, flags,        lanes of this node, as in lanes-layout.ts
 *                source}
 *   $in         u32, one per stream                                 head: this node's cursor in that stream to it
 *   $pos        u32, one per stream, one for blocks                 where the next lane of that stream from it begins,
 *                                                                   while none is open
 *   $peers      f64, one per node index                             when that node's lanes segment was made, as this
 *                                                                   node met it; 0 = never met. Another one is another
 *                                                                   life of the name: both streams begin at 0 again. Of
 *                                                                   a node elsewhere: its entry in its link's `lives`
 *   $lastLane   u32                                                 last lane id given; never given again
 *   $units      u32, one per 64 KiB unit of the data region         0 free, n the unit begins a ring of n units,
 *                                                                   UNIT_INSIDE it belongs to the ring that begins before
 *
 * A stream is numbered `priority * nodes + peer`. In a link, which sends for nodes elsewhere too, `$pos` goes on behind its
 * own streams with those of each node index: stream (1 + source) * 2 * nodes + priority * nodes + receiver. Besides:
 *   $heads      u32, by (far * 2 + priority) * nodes + local        cursor in what that local node sent to that far one: all
 *                                                                   before it is committed on the other side
 *   $got        u32, by (far * 2 + priority) * nodes + local        position in what that far node sent to that local one, of
 *                                                                   the far side's counting: all before it is in lanes here
 *
 * Invariants: the rings of used out entries are disjoint and are exactly the taken units; at most one used entry a stream
 * is not sealed; laneId <= $lastLane; tail - (the receiver's head) <= size. */
import { array, f64, type Fields, type StructLayout, struct, u32 } from '@lich/schema';
import { type BusLimits, PRIORITIES, UNIT_BYTES } from './lanes-layout.ts';

class OutLane extends struct({
  laneId: u32,
  to: u32,
  base: u32,
  block: u32,
  size: u32,
  tail: u32,
  flags: u32,
  source: u32,
}) {}

export const UNIT_INSIDE = 0xffff_ffff | 0;

/** Streams that a node may send in: its own, and in a link those of every node index. */
export function streamsOut(limits: BusLimits): number {
  return PRIORITIES * limits.nodes * (limits.link ? limits.nodes + 1 : 1);
}

/** Root fields that the bus adds to a node's state. */
export function busFields(limits: BusLimits): Fields {
  const far = PRIORITIES * limits.nodes * limits.nodes;
  const fields = {
    $out: array(OutLane, limits.lanes),
    $in: array(u32, PRIORITIES * limits.nodes),
    $pos: array(u32, streamsOut(limits) + 1),
    $peers: array(f64, limits.nodes),
    $lastLane: u32,
    $units: array(u32, limits.dataBytes / UNIT_BYTES),
    ...(limits.link ? { $heads: array(u32, far), $got: array(u32, far) } : {}),
  };
  return fields as unknown as Fields;
}

/** Words of an out entry in S; its fields stand in the order of lanes-layout.ts. */
export const S_OUT_WORDS = 8;

/** Where the bus's fields begin in S, as word indexes. */
export interface BusWords {
  readonly out: number;
  readonly in: number;
  readonly pos: number;
  readonly peers: number;
  readonly lastLane: number;
  readonly units: number;
}

/** Where a root field begins in S, as a word index.
 * @param rootOffset byte offset of the root region in the segment */
export function rootWord(root: StructLayout, rootOffset: number, name: string): number {
  const field = root.fields.find(f => f.name === name);
  if (!field) throw new TypeError(`root layout has no field ${name}`);
  return (rootOffset + field.offset) / 4;
}

/** @param rootOffset byte offset of the root region in the segment */
export function busWords(root: StructLayout, rootOffset: number): BusWords {
  const word = (name: string): number => rootWord(root, rootOffset, name);
  return {
    out: word('$out'),
    in: word('$in'),
    pos: word('$pos'),
    peers: word('$peers'),
    lastLane: word('$lastLane'),
    units: word('$units'),
  };
}

/** Where the fields of a link begin in S. */
export interface LinkWords {
  readonly heads: number;
  readonly got: number;
}

/** @param rootOffset byte offset of the root region in the segment of a link */
export function linkWords(root: StructLayout, rootOffset: number): LinkWords {
  return { heads: rootWord(root, rootOffset, '$heads'), got: rootWord(root, rootOffset, '$got') };
}
