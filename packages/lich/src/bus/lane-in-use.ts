/** A lane of a node as its state has it, for inspection. */
import {
  LANE_SEALED,
  OUT_BASE,
  OUT_BLOCK,
  OUT_FLAGS,
  OUT_LANE,
  OUT_SIZE,
  OUT_SOURCE,
  OUT_TAIL,
  OUT_TO,
  type Priority,
  priorityOf,
  receiverOf,
} from './lanes-layout.ts';

export interface LaneInUse {
  /** As `claim` takes it. */
  readonly stream: number;
  /** The receiver; NOBODY of a lane with blocks. */
  readonly peer: number;
  readonly priority: Priority;
  /** Who sent: this node, or in a link one elsewhere. */
  readonly source: number;
  readonly laneId: number;
  /** First word of the ring, in the lanes segment. */
  readonly block: number;
  readonly sizeBytes: number;
  readonly base: number;
  readonly tail: number;
  readonly sealed: boolean;
}

/** @param from word of its entry in the state */
export function laneAt(S: Int32Array, from: number, stream: number): LaneInUse {
  return {
    stream,
    peer: receiverOf(S[from + OUT_TO]),
    priority: priorityOf(S[from + OUT_TO]),
    source: S[from + OUT_SOURCE],
    laneId: S[from + OUT_LANE],
    block: S[from + OUT_BLOCK],
    sizeBytes: S[from + OUT_SIZE] * 4,
    base: S[from + OUT_BASE] >>> 0,
    tail: S[from + OUT_TAIL] >>> 0,
    sealed: (S[from + OUT_FLAGS] & LANE_SEALED) !== 0,
  };
}
