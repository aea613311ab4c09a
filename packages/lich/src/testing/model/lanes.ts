/** Model of the life of lanes: made on first use, filled, followed by a larger one, drained, given back, reused.
 * The rules it proves are docs/decisions/0001-lane-lifecycle.md; the words are those of that page.
 *
 *   sender A    S: made, lastTag, free (block bit mask), pos[r], lane[i] = {tag, peer, base, block, tail, sealed}
 *               O: copies of lane[i], and the blocks with the payload. One message is one unit of position.
 *   receiver r  S: peer (0: A is not known yet), head, handled      O: copies of peer and head
 *
 * Every store is a step, every load of a word that somebody else writes is a step, and every process can be killed
 * between any two steps, also while it recovers. A receiver starts from nothing: as nothing forces it to run before A
 * has filled every block, "created after the lanes were full" is one of the explored orders.
 * Choices that the code makes by policy (which slot, which block, when to give back, when to publish, whether the
 * handler throws) are free choices here, so the proof does not depend on the policy.
 */
import type { Model, Moves } from './explorer.ts';

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

// Sender program counters.
const A_IDLE = 0; // also inside a transaction, between two operations
const A_FREE_LOG = 1;
const A_FREE_SET = 2;
const A_MAKE_LOG = 3;
const A_MAKE_SET = 4;
const A_PAYLOAD = 5;
const A_SEND_LOG = 6;
const A_SEND_SET = 7;
const A_PUB_CLEAR = 8;
const A_PUB_PEER = 9;
const A_PUB_BASE = 10;
const A_PUB_BLOCK = 11;
const A_PUB_TAIL = 12;
const A_PUB_TAG = 13;
const A_UNDO = 14;
const A_DEAD = 15;
const A_PUB_SEALED = 16;
const A_PUB_USED = 17; // mutation idBeforeFields
// Receiver program counters.
const B_IDLE = 0;
const B_PEER = 1;
const B_BASE = 2;
const B_BLOCK = 3;
const B_TAIL = 4;
const B_TAG = 5;
const B_LOG = 6;
const B_SET = 7;
const B_CHECK = 8;
const B_COMMIT = 9;
const B_PUB_HEAD = 10;
const B_PUB_PEER = 11;
const B_UNDO = 12;
const B_DEAD = 13;
const B_SEALED = 14;
const B_EARLY_TAG = 15; // mutation tagCheckBeforeTail
const B_LATE_TAG = 16; // mutation idBeforeFields

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

export function laneModel(config: LaneConfig): Model {
  const { to, blocks, slots, kills, mutation } = config;
  const reduce = config.reduce ?? true;
  const sendsMax = config.sendsPerTransaction ?? 2;
  const total = to.length;
  const receivers = Math.max(...to) + 1;
  const allFree = (1 << blocks.length) - 1;
  const is = (name: LaneMutation): boolean => mutation === name;

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

  // The logged writes of each operation: which word gets which value. Written so that a value depends only on words
  // that the operation's earlier writes left alone.
  let writeAt = 0;
  let writeValue = 0;
  let writeLogged = true;
  const put = (at: number, value: number, logged = true): boolean => {
    writeAt = at;
    writeValue = value;
    writeLogged = logged;
    return true;
  };
  const openLane = (s: Uint8Array, r: number): number => {
    for (let i = 0; i < slots; i++) {
      const at = lane(i);
      if (s[at + TAG] !== 0 && s[at + PEER] === r && s[at + SEALED] === 0) return i;
    }
    return -1;
  };
  const freeWrite = (s: Uint8Array, n: number): boolean => {
    const at = lane(s[SLOT]);
    const logged = !is('freeNotLogged');
    switch (n) {
      case 0:
        return put(FREE, s[FREE] | (1 << s[at + BLOCK]), logged);
      case 1:
        return put(at + TAG, 0, logged);
      case 2:
        if (s[at + SEALED]) return false;
        return put(POS + s[at + PEER], is('positionRestarts') ? 0 : s[at + TAIL], logged);
      default:
        return false;
    }
  };
  const makeWrite = (s: Uint8Array, n: number): boolean => {
    const at = lane(s[SLOT]);
    const before = s[NEXT_TO];
    switch (n) {
      case 0:
        return put(at + TAG, is('tagReused') ? 1 : s[LAST_TAG] + 1);
      case 1:
        return put(LAST_TAG, s[at + TAG]);
      case 2:
        return put(at + PEER, to[s[MADE]]);
      case 3:
        return put(at + BASE, before ? s[lane(before - 1) + TAIL] : s[POS + to[s[MADE]]]);
      case 4:
        return put(at + BLOCK, s[BLK]);
      case 5:
        return put(at + TAIL, s[at + BASE]);
      case 6:
        return put(at + SEALED, 0);
      case 7:
        return put(FREE, s[FREE] & ~(1 << s[BLK]), !is('allocNotLogged'));
      case 8:
        return before > 0 && put(lane(before - 1) + SEALED, 1, !is('sealNotLogged'));
      default:
        return false;
    }
  };
  const sendWrite = (s: Uint8Array, n: number): boolean => {
    if (n === 0) return put(lane(s[SLOT]) + TAIL, s[lane(s[SLOT]) + TAIL] + 1, !is('tailNotLogged'));
    if (n === 1) return put(MADE, s[MADE] + 1);
    return false;
  };
  const MAKE_WRITES = 9;
  const SEND_WRITES = 2;
  const FREE_WRITES = 3;

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

  const endSenderOperation = (s: Uint8Array): void => {
    s[PC] = A_IDLE;
    s[AT] = 0;
    s[SLOT] = 0;
    s[BLK] = 0;
    s[NEXT_TO] = 0;
  };

  /** One logged write, as two steps: entry and log position, then the word. */
  const senderWrite = (
    s: Uint8Array,
    moves: Moves,
    name: string,
    write: (s: Uint8Array, n: number) => boolean,
    storing: boolean,
    done: (n: Uint8Array) => void,
  ): void => {
    const at = s[AT];
    write(s, at);
    const word = writeAt;
    const value = writeValue;
    const logged = writeLogged;
    const n = moves.begin();
    if (!storing) {
      if (logged) log(n, LOG, word);
      n[PC]++;
      moves.end(`A: ${name}, log ${at}`);
      return;
    }
    n[word] = value;
    n[AT]++;
    n[PC]--;
    if (!write(n, n[AT])) done(n);
    moves.end(`A: ${name}, store ${at}`);
  };

  const publishTagFirst = is('entryTagFirst');
  const byFlag = is('idBeforeFields');
  const shows = (s: Uint8Array, slot: number): boolean => !byFlag || s[pub(slot) + USED] === 1;

  const sender = (s: Uint8Array, moves: Moves): void => {
    const open = s[LOG] > 0;
    switch (s[PC]) {
      case A_IDLE: {
        for (let i = 0; i < slots; i++) {
          if (s[lane(i) + TAG] === 0 || s[LOG] + FREE_WRITES > LOG_MAX || !drained(s, i)) continue;
          const n = moves.begin();
          n[PC] = A_FREE_LOG;
          n[SLOT] = i;
          moves.end(`A: give back slot ${i}`);
        }
        if (s[MADE] < total && s[SENDS] < sendsMax && s[LOG] + MAKE_WRITES + SEND_WRITES <= LOG_MAX) {
          const r = to[s[MADE]];
          const held = openLane(s, r) + 1;
          if (held && hasRoom(s, held - 1)) {
            const n = moves.begin();
            n[PC] = A_PAYLOAD;
            n[SLOT] = held - 1;
            n[SENDS]++;
            moves.end(`A: send to ${r}`);
          } else {
            const least = held ? blocks[s[lane(held - 1) + BLOCK]] : 0;
            for (let i = 0; i < slots; i++) {
              if (s[lane(i) + TAG] !== 0) continue;
              for (let b = 0; b < blocks.length; b++) {
                if (!(s[FREE] & (1 << b)) || blocks[b] < least) continue;
                const n = moves.begin();
                n[PC] = A_MAKE_LOG;
                n[SLOT] = i;
                n[BLK] = b;
                n[NEXT_TO] = held;
                n[SENDS]++;
                moves.end(`A: ${held ? 'grow' : 'make'} a lane to ${r}, slot ${i}, block ${b}`);
              }
            }
          }
        }
        if (open) {
          const n = moves.begin();
          dropLog(n, LOG);
          settle(n);
          n[SENDS] = 0;
          for (let i = 0; i < slots; i++) if (differs(n, i)) n[DIRTY] |= 1 << i;
          moves.end('A: commit');
          const t = moves.begin();
          t[PC] = A_UNDO;
          t[AT] = t[LOG];
          t[SENDS] = 0;
          moves.end('A: throw');
        }
        for (let i = 0; i < slots; i++) {
          if (open ? !(is('publishBeforeCommit') && differs(s, i)) : !(s[DIRTY] & (1 << i))) continue;
          const n = moves.begin();
          n[SLOT] = i;
          const same = n[lane(i) + TAG] === n[pub(i) + TAG] && (n[lane(i) + TAG] === 0 || shows(s, i));
          if (same) n[PC] = A_PUB_TAIL;
          else if (n[lane(i) + TAG] === 0) n[PC] = A_PUB_CLEAR;
          else n[PC] = publishTagFirst ? A_PUB_TAG : is('noTagClear') ? A_PUB_PEER : A_PUB_CLEAR;
          moves.end(`A: publish slot ${i}`);
        }
        break;
      }
      case A_FREE_LOG:
      case A_FREE_SET:
        senderWrite(s, moves, 'give back', freeWrite, s[PC] === A_FREE_SET, endSenderOperation);
        break;
      case A_MAKE_LOG:
      case A_MAKE_SET:
        senderWrite(s, moves, 'make', makeWrite, s[PC] === A_MAKE_SET, n => {
          n[PC] = A_PAYLOAD;
          n[AT] = 0;
        });
        break;
      case A_PAYLOAD: {
        const n = moves.begin();
        const at = lane(s[SLOT]);
        const r = s[at + PEER];
        n[cell(s[at + BLOCK], s[at + TAIL])] = payload(r, sentTo[r][s[MADE]]);
        n[PC] = A_SEND_LOG;
        moves.end('A: payload');
        break;
      }
      case A_SEND_LOG:
      case A_SEND_SET:
        senderWrite(s, moves, 'send', sendWrite, s[PC] === A_SEND_SET, endSenderOperation);
        break;
      case A_PUB_CLEAR:
      case A_PUB_PEER:
      case A_PUB_BASE:
      case A_PUB_BLOCK:
      case A_PUB_TAIL:
      case A_PUB_SEALED:
      case A_PUB_USED:
      case A_PUB_TAG: {
        const n = moves.begin();
        const from = lane(s[SLOT]);
        const into = pub(s[SLOT]);
        const same = s[from + TAG] === s[into + TAG];
        let done = false;
        let name = 'tail';
        if (s[PC] === A_PUB_CLEAR) {
          n[into + (byFlag ? USED : TAG)] = 0;
          name = 'clear tag';
          done = s[from + TAG] === 0;
          if (done) n.fill(0, into, into + ENTRY); // nobody looks at the fields of an entry without a tag
          n[PC] = A_PUB_PEER;
        } else if (s[PC] === A_PUB_PEER) {
          n[into + PEER] = s[from + PEER];
          name = 'peer';
          n[PC] = byFlag ? A_PUB_TAG : A_PUB_BASE;
        } else if (s[PC] === A_PUB_BASE) {
          n[into + BASE] = s[from + BASE];
          name = 'base';
          n[PC] = A_PUB_BLOCK;
        } else if (s[PC] === A_PUB_BLOCK) {
          n[into + BLOCK] = s[from + BLOCK];
          name = 'block';
          done = publishTagFirst;
          n[PC] = A_PUB_TAIL;
        } else if (s[PC] === A_PUB_TAIL) {
          n[into + TAIL] = s[from + TAIL];
          n[PC] = A_PUB_SEALED;
        } else if (s[PC] === A_PUB_SEALED) {
          n[into + SEALED] = s[from + SEALED];
          name = 'sealed';
          done = same && s[AT] === 0;
          n[PC] = publishTagFirst ? A_PUB_PEER : byFlag ? A_PUB_USED : A_PUB_TAG;
        } else if (s[PC] === A_PUB_USED) {
          n[into + USED] = 1;
          name = 'used';
          done = true;
        } else {
          n[into + TAG] = s[from + TAG];
          name = 'tag';
          done = !publishTagFirst && !byFlag;
          n[AT] = done ? 0 : 1;
          n[PC] = byFlag ? A_PUB_BASE : A_PUB_TAIL;
        }
        if (done) {
          n[DIRTY] &= ~(1 << s[SLOT]);
          endSenderOperation(n);
        }
        moves.end(`A: publish slot ${s[SLOT]}, ${name}`);
        break;
      }
      case A_UNDO: {
        const n = moves.begin();
        if (reduce) while (n[AT] > 0) undoOne(n, LOG, n[AT]--);
        if (s[AT] > 0 && !reduce) {
          undoOne(n, LOG, s[AT]);
          n[AT]--;
          moves.end('A: undo');
        } else {
          dropLog(n, LOG);
          settle(n);
          endSenderOperation(n);
          moves.end('A: undone');
        }
        break;
      }
      case A_DEAD: {
        const n = moves.begin();
        n[PC] = A_UNDO;
        n[AT] = n[LOG];
        n[DIRTY] = 0;
        // The fate of dirty bits is decided here although the log is still open: they name slots, not values.
        if (!is('noRepublish')) {
          for (let i = 0; i < slots; i++) if (!is('noClear') || committed(s, i) !== 0) n[DIRTY] |= 1 << i;
        }
        moves.end('A: recover');
        break;
      }
    }
    if (s[KILLS] < kills && s[PC] !== A_DEAD) {
      const n = moves.begin();
      n[KILLS]++;
      endSenderOperation(n);
      n[PC] = A_DEAD;
      n[SENDS] = 0;
      n[DIRTY] = 0;
      moves.end('A: KILL', 'kill');
    }
  };

  const dropLane = (s: Uint8Array, at: number): void => {
    s.fill(0, at + R_SLOT, at + R_MESSAGE + 1);
  };

  const receiverLabels = receiverAt.map((_, r) => {
    const p = String.fromCharCode(66 + r);
    return {
      tag: Array.from({ length: slots }, (_, i) => `${p}: look at slot ${i}, load tag`),
      peer: `${p}: load peer`,
      base: `${p}: load base`,
      block: `${p}: load block`,
      again: `${p}: load tail of the lane it holds`,
      tail: `${p}: load tail`,
      check: `${p}: load tag again`,
      sealed: `${p}: load sealed`,
      late: `${p}: load the tag only now`,
      take: Array.from({ length: total + 1 }, (_, h) => `${p}: take ${h}`),
      log: `${p}: log`,
      set: `${p}: store`,
      same: `${p}: record unchanged`,
      commit: `${p}: commit`,
      throws: `${p}: throw`,
      publish: `${p}: publish`,
      pubHead: `${p}: publish head`,
      pubPeer: `${p}: publish peer`,
      undo: `${p}: undo`,
      undone: `${p}: undone`,
      recover: `${p}: recover`,
      forget: `${p}: forget the cursor`,
      kill: `${p}: KILL`,
    };
  });

  // The receiver's transaction: handled, then the entry if it is the first message, then the head.
  const receiverWord = (s: Uint8Array, at: number): number =>
    s[at + R_AT] === 0 ? R_HANDLED : s[at + R_AT] === 1 ? R_PEER : R_HEAD;

  const receiver = (r: number, s: Uint8Array, moves: Moves): void => {
    const at = receiverAt[r];
    const label = receiverLabels[r];
    const head = s[at + R_HEAD];
    switch (s[at + R_PC]) {
      case B_IDLE: {
        if (s[at + R_SLOT] !== 0 && s[at + R_LIMIT] > head) {
          const n = moves.begin();
          const message = s[cell(s[at + R_BLOCK], head)];
          n[at + R_MESSAGE] = message;
          n[at + R_PC] = B_LOG;
          const wanted = payload(r, s[at + R_HANDLED]);
          moves.end(
            label.take[head],
            'step',
            message === wanted ? undefined : `receiver ${r} takes ${message} where ${wanted} is due`,
          );
        } else {
          const held = s[at + R_SLOT];
          if (held) {
            // A look that would find nothing new leads back to this very state and is left out.
            const p = pub(held - 1);
            const same = s[p + TAG] === s[at + R_TAG] && shows(s, held - 1);
            const news = s[p + TAIL] > head || !same || s[p + SEALED] > s[at + R_LOOK];
            if (is('tagCheckBeforeTail')) {
              const n = moves.begin();
              n[at + R_PC] = B_EARLY_TAG;
              if (!same) {
                dropLane(n, at);
                n[at + R_PC] = B_IDLE;
              }
              moves.end(label.again);
            } else if (news) {
              const n = moves.begin();
              n[at + R_LIMIT] = s[p + TAIL];
              n[at + R_PC] = !is('tailNoTagCheck') ? B_TAG : s[p + TAIL] > head ? B_IDLE : B_SEALED;
              moves.end(label.again);
            }
          }
          for (let i = 0; i < slots; i++) {
            const tag = s[pub(i) + TAG];
            if (tag === 0 || !shows(s, i) || (held && !s[at + R_LOOK])) continue;
            const n = moves.begin();
            dropLane(n, at);
            n[at + R_SLOT] = i + 1;
            n[at + R_TAG] = tag;
            n[at + R_PC] = B_PEER;
            moves.end(label.tag[i]);
          }
          if (is('forgetCursor') && s[at + R_PEER] !== 0 && held !== 0) {
            const n = moves.begin();
            dropLane(n, at);
            n[at + R_PEER] = 0;
            n[at + R_HEAD] = 0;
            n[at + R_DIRTY] = 1;
            moves.end(label.forget);
          }
        }
        if (s[at + R_DIRTY]) {
          const n = moves.begin();
          n[at + R_PC] = B_PUB_HEAD;
          moves.end(label.publish);
        }
        break;
      }
      case B_PEER: {
        const n = moves.begin();
        if (s[pub(s[at + R_SLOT] - 1) + PEER] === r) n[at + R_PC] = byFlag ? B_LATE_TAG : B_BASE;
        else {
          dropLane(n, at);
          n[at + R_PC] = B_IDLE;
        }
        moves.end(label.peer);
        break;
      }
      case B_LATE_TAG: {
        const n = moves.begin();
        n[at + R_TAG] = s[pub(s[at + R_SLOT] - 1) + TAG];
        n[at + R_PC] = B_BASE;
        moves.end(label.late);
        break;
      }
      case B_BASE: {
        const n = moves.begin();
        n[at + R_BASE] = s[pub(s[at + R_SLOT] - 1) + BASE];
        n[at + R_PC] = B_BLOCK;
        moves.end(label.base);
        break;
      }
      case B_BLOCK: {
        const n = moves.begin();
        n[at + R_BLOCK] = s[pub(s[at + R_SLOT] - 1) + BLOCK];
        n[at + R_PC] = B_TAIL;
        moves.end(label.block);
        break;
      }
      case B_EARLY_TAG:
      case B_TAIL: {
        const n = moves.begin();
        const tail = s[pub(s[at + R_SLOT] - 1) + TAIL];
        n[at + R_LIMIT] = tail;
        n[at + R_PC] = s[at + R_PC] === B_TAIL ? B_TAG : tail > head ? B_IDLE : B_SEALED;
        moves.end(label.tail);
        break;
      }
      case B_TAG: {
        const n = moves.begin();
        n[at + R_PC] = B_IDLE;
        const jumps = is('skipUndrained') || (is('takeLowestPresent') && s[at + R_PEER] === 0);
        const tail = s[at + R_LIMIT];
        const slot = s[at + R_SLOT] - 1;
        if (s[pub(slot) + TAG] !== s[at + R_TAG] || !shows(s, slot)) dropLane(n, at);
        else if (s[at + R_BASE] > head && !(jumps && tail > s[at + R_BASE])) dropLane(n, at);
        else if (tail < head || (tail === head && s[at + R_LOOK])) dropLane(n, at);
        else if (tail === head) n[at + R_PC] = B_SEALED;
        else if (s[at + R_BASE] > head) n[at + R_HEAD] = s[at + R_BASE];
        moves.end(label.check);
        break;
      }
      case B_SEALED: {
        const n = moves.begin();
        n[at + R_LOOK] = s[pub(s[at + R_SLOT] - 1) + SEALED];
        n[at + R_PC] = B_IDLE;
        moves.end(label.sealed);
        break;
      }
      case B_LOG: {
        const n = moves.begin();
        const word = at + receiverWord(s, at);
        if (!(is('noLogHead') && s[at + R_AT] === 2)) log(n, at + R_LOG, word);
        n[at + R_PC] = B_SET;
        moves.end(label.log);
        break;
      }
      case B_SET: {
        const n = moves.begin();
        const word = receiverWord(s, at);
        n[at + word] = word === R_PEER ? 1 : s[at + word] + 1;
        n[at + R_PC] = word === R_HEAD ? B_CHECK : B_LOG;
        n[at + R_AT] = word === R_HEAD ? 0 : word === R_HANDLED && s[at + R_PEER] === 0 ? 1 : 2;
        moves.end(label.set);
        break;
      }
      case B_CHECK: {
        const n = moves.begin();
        const same = s[cell(s[at + R_BLOCK], head - 1)] === s[at + R_MESSAGE];
        n[at + R_PC] = B_COMMIT;
        n[at + R_MESSAGE] = 0;
        moves.end(label.same, 'step', same ? undefined : 'record changed under the handler');
        break;
      }
      case B_COMMIT: {
        const n = moves.begin();
        dropLog(n, at + R_LOG);
        n[at + R_DIRTY] = 1;
        n[at + R_PC] = B_IDLE;
        moves.end(label.commit);
        const t = moves.begin();
        t[at + R_PC] = B_UNDO;
        t[at + R_AT] = t[at + R_LOG];
        moves.end(label.throws);
        if (is('headBeforeCommit') && s[at + R_PUB_HEAD] !== head) {
          const p = moves.begin();
          p[at + R_PUB_HEAD] = head;
          moves.end(label.pubHead);
        }
        break;
      }
      case B_PUB_HEAD: {
        const n = moves.begin();
        n[at + R_PUB_HEAD] = is('headPerLaneNoTag') && s[at + R_SLOT] ? head - s[at + R_BASE] : head;
        n[at + R_PC] = B_PUB_PEER;
        moves.end(label.pubHead);
        break;
      }
      case B_PUB_PEER: {
        const n = moves.begin();
        n[at + R_PUB_PEER] = s[at + R_PEER];
        n[at + R_DIRTY] = 0;
        n[at + R_PC] = B_IDLE;
        moves.end(label.pubPeer);
        break;
      }
      case B_UNDO: {
        const n = moves.begin();
        if (reduce) while (n[at + R_AT] > 0) undoOne(n, at + R_LOG, n[at + R_AT]--);
        if (s[at + R_AT] > 0 && !reduce) {
          undoOne(n, at + R_LOG, s[at + R_AT]);
          n[at + R_AT]--;
          moves.end(label.undo);
        } else {
          dropLog(n, at + R_LOG);
          n[at + R_PC] = B_IDLE;
          moves.end(label.undone);
        }
        break;
      }
      case B_DEAD: {
        const n = moves.begin();
        n[at + R_PC] = B_UNDO;
        n[at + R_AT] = n[at + R_LOG];
        n[at + R_DIRTY] = is('noRepublish') ? 0 : 1;
        moves.end(label.recover);
        break;
      }
    }
    if (s[KILLS] < kills && s[at + R_PC] !== B_DEAD) {
      const n = moves.begin();
      n[KILLS]++;
      dropLane(n, at);
      n[at + R_AT] = 0;
      n[at + R_DIRTY] = 0;
      n[at + R_PC] = B_DEAD;
      moves.end(label.kill, 'kill');
    }
  };

  // Committed values: the open log undone in a copy.
  const view = new Uint8Array(bytes);
  const undoView = (s: Uint8Array, at: number): void => {
    for (let left = s[at]; left > 0; left--) undoOne(view, at, left);
  };
  function committed(s: Uint8Array, slot: number): number {
    view.set(s);
    undoView(s, LOG);
    return view[lane(slot) + TAG];
  }

  const check = (s: Uint8Array): string | undefined => {
    view.set(s);
    undoView(s, LOG);
    for (const at of receiverAt) undoView(s, at + R_LOG);
    const v = view;

    // No block in two lanes, none lost.
    let blocksSeen = v[FREE];
    for (let i = 0; i < slots; i++) {
      if (v[lane(i) + TAG] === 0) continue;
      const bit = 1 << v[lane(i) + BLOCK];
      if (blocksSeen & bit) return `block ${v[lane(i) + BLOCK]} is in two places`;
      blocksSeen |= bit;
    }
    if (blocksSeen !== allFree) return `a block is lost: free and used together are ${blocksSeen.toString(2)}`;

    for (let r = 0; r < receivers; r++) {
      const at = receiverAt[r];
      const sent = sentTo[r][v[MADE]];
      if (v[at + R_HANDLED] > sent)
        return `receiver ${r} has handled ${v[at + R_HANDLED]} of ${sent} committed messages`;
      if (v[at + R_HANDLED] !== v[at + R_HEAD] && !is('forgetCursor')) {
        return `receiver ${r} stands at ${v[at + R_HEAD]} but has handled ${v[at + R_HANDLED]}`;
      }
      if (!is('headPerLaneNoTag') && s[at + R_PUB_HEAD] > v[at + R_HEAD] && !is('forgetCursor')) {
        return `head ${s[at + R_PUB_HEAD]} of receiver ${r} is visible before its commit`;
      }
      // What is committed and not handled lies in exactly one lane, and its bytes are intact.
      for (let p = v[at + R_HANDLED]; p < sent; p++) {
        let found = 0;
        for (let i = 0; i < slots; i++) {
          const l = lane(i);
          if (v[l + TAG] === 0 || v[l + PEER] !== r || p < v[l + BASE] || p >= v[l + TAIL]) continue;
          found++;
          const got = v[cell(v[l + BLOCK], p)];
          if (got !== payload(r, p)) return `message ${p} to receiver ${r} was overwritten by ${got}`;
        }
        if (found !== 1) return `message ${p} to receiver ${r} is in ${found} lanes`;
      }
    }

    for (let i = 0; i < slots; i++) {
      const p = pub(i);
      if (s[p + TAG] === 0) continue;
      const l = lane(i);
      if (s[p + TAG] === v[l + TAG]) {
        if (s[p + TAIL] > v[l + TAIL]) return `tail ${s[p + TAIL]} in slot ${i} is visible before its commit`;
      } else if (s[p + TAG] > v[LAST_TAG]) {
        return `the entry in slot ${i} is visible before its commit`;
      }
    }
    return undefined;
  };

  const isFinal = (s: Uint8Array): boolean => {
    if (s[MADE] !== total || s[FREE] !== allFree || s[LOG] !== 0 || s[PC] !== A_IDLE) return false;
    for (let i = 0; i < slots; i++) if (s[lane(i) + TAG] !== 0 || s[pub(i) + TAG] !== 0) return false;
    for (let r = 0; r < receivers; r++) {
      const at = receiverAt[r];
      if (s[at + R_PC] !== B_IDLE || s[at + R_HANDLED] !== sentTo[r][total]) return false;
    }
    return true;
  };

  const senderAlone = (pc: number): boolean =>
    (pc >= A_FREE_LOG && pc <= A_MAKE_SET) || pc === A_SEND_LOG || pc === A_SEND_SET || pc === A_UNDO || pc === A_DEAD;
  const receiverAlone = (pc: number): boolean => pc === B_LOG || pc === B_SET || pc === B_UNDO || pc === B_DEAD;

  return {
    name: `lanes to ${to.join('')}, blocks of ${blocks.join(',')}, ${slots} slots, ${kills} kills${mutation ? `, ${mutation}` : ''}`,
    bytes,
    initial(s) {
      s[FREE] = allFree;
    },
    next(s, moves) {
      if (reduce) {
        if (senderAlone(s[PC])) {
          sender(s, moves);
          return;
        }
        for (let r = 0; r < receivers; r++) {
          if (receiverAlone(s[receiverAt[r] + R_PC])) {
            receiver(r, s, moves);
            return;
          }
        }
      }
      sender(s, moves);
      for (let r = 0; r < receivers; r++) receiver(r, s, moves);
    },
    check,
    isFinal,
    ...(reduce && {
      isTransient(s: Uint8Array): boolean {
        if (senderAlone(s[PC])) return true;
        for (const at of receiverAt) if (receiverAlone(s[at + R_PC])) return true;
        return false;
      },
    }),
  };
}
