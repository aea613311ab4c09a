/** The sender's steps: send, make, grow and give back inside transactions; publish after them; recover. */
import type { LaneRow } from './lane-row.ts';
import type { Moves } from './explorer.ts';

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

export function laneSender(row: LaneRow) {
  const {
    to,
    blocks,
    slots,
    kills,
    reduce,
    sendsMax,
    total,
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
    KILLS,
    MADE,
    LAST_TAG,
    FREE,
    POS,
    LOG,
    DIRTY,
    PC,
    AT,
    SLOT,
    BLK,
    NEXT_TO,
    SENDS,
    sentTo,
    payload,
    lane,
    pub,
    cell,
    drained,
    hasRoom,
    differs,
    log,
    undoOne,
    dropLog,
    settle,
    committed,
  } = row;

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
          const live = committed(s, false);
          for (let i = 0; i < slots; i++) if (!is('noClear') || live[lane(i) + TAG] !== 0) n[DIRTY] |= 1 << i;
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

  /** The next step touches only words that nobody else sees. */
  const alone = (s: Uint8Array): boolean => {
    const pc = s[PC];
    if (pc >= A_FREE_LOG && pc <= A_MAKE_SET) return true;
    return pc === A_SEND_LOG || pc === A_SEND_SET || pc === A_UNDO || pc === A_DEAD;
  };
  const idle = (s: Uint8Array): boolean => s[PC] === A_IDLE && s[LOG] === 0;

  return { step: sender, alone, idle };
}
