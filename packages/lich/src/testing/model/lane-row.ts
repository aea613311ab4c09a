/** The row of one state of the lane model: where each word lies, what the words mean, and how the log is undone. */
export const LANE_MUTATIONS = {
  entryTagFirst: 'publish a new entry tag and tail first, its fields after',
  idBeforeFields: 'guard an entry by a used flag, and store its tag before the other fields',
  noTagClear: 'rewrite a published entry without clearing its tag first',
  reuseUndrained: 'give a lane back that the receiver has not drained',
  roomIgnoresHead: 'send as if the receiver had read everything',
  tagReused: 'use the same lane id (tag) again for the next lane in the slot',
  positionRestarts: 'start the next lane of a pair at position 0 after the last one was given back',
  skipUndrained: 'let the receiver enter a lane whose base is beyond its head',
  takeLowestPresent: 'let a receiver without a cursor start at the base of the lane it finds first',
  headPerLaneNoTag: 'publish the head relative to the lane, read it without asking for which lane',
  sealNotLogged: 'seal a lane without logging it',
  freeNotLogged: 'give a lane back without logging it',
  allocNotLogged: 'take the block of a new lane without logging it',
  tailNotLogged: 'move a tail without logging it',
  noClear: 'recovery publishes the lanes that exist but does not clear the entries of those that do not',
  noRepublish: 'recovery publishes nothing',
  tailNoTagCheck: 'trust a tail without looking at the tag of the entry again',
  tagCheckBeforeTail: 'look at the tag before the tail instead of after it',
  publishBeforeCommit: 'publish entries and tails before the commit',
  headBeforeCommit: 'publish the head before the commit',
  noLogHead: 'move the head without logging it',
  forgetCursor: 'let the receiver drop its cursor once the lane is drained',
} as const;
export type LaneMutation = keyof typeof LANE_MUTATIONS;

export interface LaneConfig {
  /** Destination of each message, in the order in which they are made: receiver numbers from 0. */
  readonly to: readonly number[];
  /** Size of each block in messages. A lane that is full is followed by one in a block at least as large. */
  readonly blocks: readonly number[];
  readonly slots: number;
  /** SIGKILLs over all processes. */
  readonly kills: number;
  readonly mutation?: LaneMutation;
  /** Explore a process alone while its next step touches only its own unpublished words. Default true: the steps of
   * the others commute with it, so no order is lost; false explores every interleaving all the same. */
  readonly reduce?: boolean;
  /** Most sends in one transaction; default 2. */
  readonly sendsPerTransaction?: number;
}

export type LaneRow = ReturnType<typeof laneRow>;

export function laneRow(config: LaneConfig) {
  const { to, blocks, slots, kills, mutation } = config;
  const reduce = config.reduce ?? true;
  const sendsMax = config.sendsPerTransaction ?? 2;
  const total = to.length;
  const receivers = Math.max(...to) + 1;
  const allFree = (1 << blocks.length) - 1;
  const is = (name: LaneMutation): boolean => mutation === name;

  // Fields of an entry in either table, and the sizes of the logs.
  const TAG = 0;
  const PEER = 1;
  const BASE = 2;
  const BLOCK = 3;
  const TAIL = 4;
  const SEALED = 5;
  const USED = 6; // only in mutation idBeforeFields
  const ENTRY = 7;
  const LOG_MAX = 24;
  const RECEIVER_LOG_MAX = 3;

  // Layout of the row.
  let bytes = 0;
  const take = (count: number): number => {
    const at = bytes;
    bytes += count;
    return at;
  };
  const KILLS = take(1);
  const MADE = take(1);
  const LAST_TAG = take(1);
  const FREE = take(1);
  const POS = take(receivers);
  const LANES = take(slots * ENTRY);
  const LOG = take(1 + 2 * LOG_MAX);
  const DIRTY = take(1);
  const PC = take(1);
  const AT = take(1); // write number inside an operation
  const SLOT = take(1);
  const BLK = take(1);
  const NEXT_TO = take(1); // slot + 1 of the lane that the new one follows
  const SENDS = take(1);
  const PUB = take(slots * ENTRY);
  const dataAt: number[] = blocks.map(size => take(size));
  // One receiver, relative to its start.
  const R_HEAD = 0;
  const R_HANDLED = 1;
  const R_PEER = 2;
  const R_LOG = 3;
  const R_DIRTY = R_LOG + 1 + 2 * RECEIVER_LOG_MAX;
  const R_PC = R_DIRTY + 1;
  const R_AT = R_PC + 1;
  const R_SLOT = R_AT + 1; // slot + 1 of the lane that is looked at or held, 0: none
  const R_TAG = R_SLOT + 1;
  const R_BASE = R_TAG + 1;
  const R_BLOCK = R_BASE + 1;
  const R_LOOK = R_BLOCK + 1; // the held lane is sealed: look at the table
  const R_LIMIT = R_LOOK + 1; // the tail that was loaded
  const R_MESSAGE = R_LIMIT + 1;
  const R_PUB_HEAD = R_MESSAGE + 1;
  const R_PUB_PEER = R_PUB_HEAD + 1;
  const R_BYTES = R_PUB_PEER + 1;
  const receiverAt: number[] = [];
  for (let r = 0; r < receivers; r++) receiverAt.push(take(R_BYTES));

  /** Number of messages for `r` among the first `made`. */
  const sentTo: number[][] = [];
  for (let r = 0; r < receivers; r++) {
    const counts = [0];
    for (let n = 0; n < total; n++) counts.push(counts[n] + (to[n] === r ? 1 : 0));
    sentTo.push(counts);
  }
  const payload = (r: number, position: number): number => ((r + 1) << 5) | (position + 1);

  const lane = (slot: number): number => LANES + slot * ENTRY;
  const pub = (slot: number): number => PUB + slot * ENTRY;
  const cell = (block: number, position: number): number => dataAt[block] + (position % blocks[block]);

  /** The receiver's published cursor as the sender reads it, for the lane in `slot`. */
  const readHead = (s: Uint8Array, slot: number): number => {
    const at = receiverAt[s[lane(slot) + PEER]];
    if (s[at + R_PUB_PEER] === 0) return 0;
    if (is('headPerLaneNoTag')) return s[lane(slot) + BASE] + s[at + R_PUB_HEAD];
    return s[at + R_PUB_HEAD];
  };
  const drained = (s: Uint8Array, slot: number): boolean => {
    const at = lane(slot);
    if (is('reuseUndrained')) return s[at + TAIL] > s[at + BASE];
    return readHead(s, slot) >= s[at + TAIL];
  };
  const hasRoom = (s: Uint8Array, slot: number): boolean => {
    const at = lane(slot);
    const head = is('roomIgnoresHead') ? s[at + TAIL] : Math.max(readHead(s, slot), s[at + BASE]);
    return s[at + TAIL] - head < blocks[s[at + BLOCK]];
  };

  const differs = (s: Uint8Array, slot: number): boolean => {
    const tag = s[lane(slot) + TAG];
    if (s[pub(slot) + TAG] !== tag) return true;
    if (tag === 0) return false;
    return s[pub(slot) + TAIL] !== s[lane(slot) + TAIL] || s[pub(slot) + SEALED] !== s[lane(slot) + SEALED];
  };

  const log = (s: Uint8Array, at: number, word: number): void => {
    const n = s[at]++;
    s[at + 1 + 2 * n] = word;
    s[at + 2 + 2 * n] = s[word];
  };
  /** Undoes the newest entry that `left` still counts; the entries stay. */
  const undoOne = (s: Uint8Array, at: number, left: number): void => {
    s[s[at - 1 + 2 * left]] = s[at + 2 * left];
  };
  const dropLog = (s: Uint8Array, at: number): void => {
    s.fill(0, at, at + 1 + 2 * s[at]);
  };

  const committedHead = (s: Uint8Array, r: number): number => {
    const at = receiverAt[r];
    for (let n = 0; n < s[at + R_LOG]; n++)
      if (s[at + R_LOG + 1 + 2 * n] === at + R_HEAD) return s[at + R_LOG + 2 + 2 * n];
    return s[at + R_HEAD];
  };
  /** Forgets what nobody may read any more (fields of unused lanes, payload outside [head, tail)), so that states which
   * differ only there are one. Whoever reads such a cell finds 0, which is never the message that is due. */
  const settle = (s: Uint8Array): void => {
    for (let i = 0; i < slots; i++) if (s[lane(i) + TAG] === 0) s.fill(0, lane(i), lane(i) + ENTRY);
    for (let b = 0; b < blocks.length; b++) {
      const at = dataAt[b];
      for (let c = 0; c < blocks[b]; c++) {
        const message = s[at + c];
        if (message === 0) continue;
        const r = (message >> 5) - 1;
        const position = (message & 31) - 1;
        let live = false;
        for (let i = 0; i < slots; i++) {
          const l = lane(i);
          if (s[l + TAG] === 0 || s[l + BLOCK] !== b || s[l + PEER] !== r) continue;
          if (position >= s[l + BASE] && position < s[l + TAIL] && position >= committedHead(s, r)) live = true;
        }
        if (!live) s[at + c] = 0;
      }
    }
  };

  const view = new Uint8Array(bytes);
  /** A copy in which the sender's open log is undone, and with `all` those of the receivers too: what is committed. Valid
   * until the next call. */
  const committed = (s: Uint8Array, all: boolean): Uint8Array => {
    view.set(s);
    for (let left = s[LOG]; left > 0; left--) undoOne(view, LOG, left);
    if (!all) return view;
    for (const at of receiverAt) for (let left = s[at + R_LOG]; left > 0; left--) undoOne(view, at + R_LOG, left);
    return view;
  };

  return {
    to,
    blocks,
    slots,
    kills,
    mutation,
    reduce,
    sendsMax,
    total,
    receivers,
    allFree,
    is,
    TAG,
    PEER,
    BASE,
    BLOCK,
    TAIL,
    SEALED,
    USED,
    ENTRY,
    LOG_MAX,
    RECEIVER_LOG_MAX,
    KILLS,
    MADE,
    LAST_TAG,
    FREE,
    POS,
    LANES,
    LOG,
    DIRTY,
    PC,
    AT,
    SLOT,
    BLK,
    NEXT_TO,
    SENDS,
    PUB,
    dataAt,
    R_HEAD,
    R_HANDLED,
    R_PEER,
    R_LOG,
    R_DIRTY,
    R_PC,
    R_AT,
    R_SLOT,
    R_TAG,
    R_BASE,
    R_BLOCK,
    R_LOOK,
    R_LIMIT,
    R_MESSAGE,
    R_PUB_HEAD,
    R_PUB_PEER,
    R_BYTES,
    receiverAt,
    sentTo,
    payload,
    lane,
    pub,
    cell,
    readHead,
    drained,
    hasRoom,
    differs,
    log,
    undoOne,
    dropLog,
    committedHead,
    settle,
    committed,
    bytes,
  };
}
