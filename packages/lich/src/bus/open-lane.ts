/** An open lane, cached from S; dropped when the transaction that made or sealed it is undone. */
export interface OpenLane {
  readonly slot: number;
  readonly block: number;
  readonly size: number;
  readonly mask: number;
  /** word of its tail in S */
  readonly tailWord: number;
  /** the receiver's head as last seen, or the lane's base: a lower bound that stays true */
  headSeen: number;
  /** its tail at the last tidy, and since when it has been that; -Infinity before the first */
  tailAtTidy: number;
  idleSinceMs: number;
}
