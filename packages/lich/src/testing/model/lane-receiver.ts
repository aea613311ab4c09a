/** A receiver's steps: look at the sender's table, hold a lane, handle its records in transactions; publish; recover. */
import type { LaneRow } from './lane-row.ts';
import type { Moves } from './explorer.ts';

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

export function laneReceiver(row: LaneRow) {
  const {
    USED,
    slots,
    kills,
    reduce,
    total,
    is,
    TAG,
    PEER,
    BASE,
    BLOCK,
    TAIL,
    SEALED,
    KILLS,
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
    receiverAt,
    payload,
    pub,
    cell,
    log,
    undoOne,
    dropLog,
  } = row;
  const byFlag = is('idBeforeFields');
  const shows = (s: Uint8Array, slot: number): boolean => !byFlag || s[pub(slot) + USED] === 1;

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

  /** The next step touches only words that nobody else sees. */
  const alone = (s: Uint8Array, r: number): boolean => {
    const pc = s[receiverAt[r] + R_PC];
    return pc === B_LOG || pc === B_SET || pc === B_UNDO || pc === B_DEAD;
  };
  const idle = (s: Uint8Array, r: number): boolean => s[receiverAt[r] + R_PC] === B_IDLE;

  return { step: receiver, alone, idle };
}
