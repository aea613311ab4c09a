/** What a link needs of its node's end of the bus: streams of local senders to nodes elsewhere, which it forwards from their
 * cursor on, and streams of nodes elsewhere to local receivers, which it takes in. `Far` of the bus is one; the models of
 * the tests are others.
 *
 * Indexes are those of this host's directory: `local` of a node here, `far` of one elsewhere. Priority: 0 data, 1 control.
 * Positions are i32 words of a stream; they only grow and wrap. */

/** Whole records of one stream. */
export interface FarRun {
  /** Where it was read from. */
  readonly from: number;
  /** Where its last record ends. */
  readonly to: number;
  /** The records without padding. A view of shared memory: good in the call alone. */
  readonly bytes: Uint8Array;
}

export interface BusNode {
  readonly index: number;
  readonly name: string;
  readonly id: number;
  /** Where it is; undefined = here. */
  readonly host?: string;
}

/** Told pairs. */
export type Found = (local: number, far: number) => void;

/** Local senders to nodes elsewhere. */
export interface FarStreamsOut {
  /** Pairs with something new, of either priority. Hints: each is told at least once. */
  takeReady(found: Found): void;
  /** All pairs with records behind their cursor. */
  sweep(found: Found): void;
  /** All before it is committed on the other side. */
  headOf(local: number, far: number, priority: number): number;
  /** As many whole records as fit, at least one.
   * @param from the cursor, or where an earlier run ended
   * @returns undefined = nothing more now */
  read(local: number, far: number, priority: number, from: number, maxBytes: number): FarRun | undefined;
  /** In a transaction: the other side has committed all before `got`. @returns whether that was news, and can be */
  acked(local: number, far: number, priority: number, got: number): boolean;
}

/** Nodes elsewhere to local receivers. */
export interface FarStreamsIn {
  /** All before it is committed here. */
  gotOf(far: number, local: number, priority: number): number;
  /** In a transaction: take a run in, as far as there is room and as nothing is missing before it.
   * @returns the new `gotOf`
   * @throws an error with code `BUS_BAD_RUN` where that is no run: nothing was changed */
  append(far: number, local: number, priority: number, from: number, to: number, bytes: Uint8Array): number;
  /** Bytes that would be taken now. */
  roomOf(far: number, local: number, priority: number): number;
}

export interface FarBus {
  /** When the lanes segment of this link was made. */
  readonly createdMs: number;
  /** Nodes elsewhere. The same array as long as nothing changed. */
  nodes(): readonly BusNode[];
  /** Nodes of this host. The same array as long as nothing changed. */
  locals(): readonly BusNode[];
  /** When that local node's lanes segment was made, as this link met it; 0 = it has never started. */
  creationOf(local: number): number;
  /** What the other side says of one of its nodes, outside of transactions. Where it is not what was known, the streams of
   * that node begin anew. @returns whether it was not */
  meet(far: number, linkCreatedMs: number, createdMs: number): boolean;
  /** The life of the pair; 0 = one of them was not met yet. */
  lifeOf(local: number, far: number): number;
  /** Told after streams of these were set to 0. */
  onForget: ((local: number | undefined, far: number | undefined) => void) | undefined;
  readonly inbox: FarStreamsOut;
  readonly outbox: FarStreamsIn;
}

/** One number for a stream among all of one direction. */
export function streamKey(local: number, far: number, priority: number): number {
  return (priority * NODES_LIMIT + far) * NODES_LIMIT + local;
}

/** More than any directory has. */
const NODES_LIMIT = 8_192;
