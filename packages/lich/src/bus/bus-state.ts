/** What the bus keeps in S, the state segment, under the undo log: the truth of which O holds copies.
 *
 *   FIELD       ENTRY                                               MEANING
 *   $out        {laneId, peer, base, block, size, tail, flags}      lanes of this node, as in lanes-layout.ts
 *   $in         u32, one per node index                             head: this node's cursor in that sender's stream
 *   $pos        u32, one per node index                             where the next lane to that receiver begins, while
 *                                                                   none is open
 *   $peers      f64, one per node index                             when that node's lanes segment was made, as this
 *                                                                   node met it; 0 = never met. Another one is another
 *                                                                   life of the name: both streams begin at 0 again
 *   $lastLane   u32                                                 last lane id given; never given again
 *   $units      u32, one per 64 KiB unit of the data region         0 free, n the unit begins a ring of n units,
 *                                                                   UNIT_INSIDE it belongs to the ring that begins before
 *
 * Invariants: the rings of used out entries are disjoint and are exactly the taken units; at most one used entry a peer
 * is not sealed; laneId <= $lastLane; tail - (the receiver's head) <= size. */
import { array, f64, type StructLayout, struct, u32 } from '@lich/schema';
import type { BusLimits } from './lanes-layout.ts';
import { UNIT_BYTES } from './lanes-layout.ts';

class OutLane extends struct({ laneId: u32, peer: u32, base: u32, block: u32, size: u32, tail: u32, flags: u32 }) {}

export const UNIT_INSIDE = 0xffff_ffff | 0;

/** Root fields that the bus adds to a node's state. */
export function busFields(limits: BusLimits) {
  return {
    $out: array(OutLane, limits.lanes),
    $in: array(u32, limits.nodes),
    $pos: array(u32, limits.nodes),
    $peers: array(f64, limits.nodes),
    $lastLane: u32,
    $units: array(u32, limits.dataBytes / UNIT_BYTES),
  };
}

/** Words of an out entry in S; its fields stand in the order of lanes-layout.ts. */
export const S_OUT_WORDS = 7;

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
