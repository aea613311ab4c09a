/** Model of one message, one commit: A (source) -> lane AB -> B (handler) -> lane BC -> C (sink), each with its undo log,
 * each killed at any store, also while it recovers. Lanes are there from the start (their life is lanes.ts).
 *
 *   transaction  log+store of what was handled · payload beyond the tail · log+store of the tail · log+store of the head
 *                · the record is still what the handler saw · commit (one store)
 *   publish      tail and head into the other side's sight, after the commit, at once or later
 *   recovery     undo newest to oldest, entries stay · commit position = log position · publish everything
 *
 * "log" is two stores in the code, entry and log position; an entry beyond the position does not exist, so a kill between
 * them equals a kill before both.
 *
 * An outside reader can watch C's words: c0 = commit position; copy word by word; p = log position; undo entries [c0, p)
 * in the copy. For its sake entries stay in the log behind the commit position, as in the ring, while it reads.
 */
import type { Model, Moves } from './explorer.ts';

export const CHAIN_MUTATIONS = {
  headBeforeCommit: 'publish the head before the commit',
  tailBeforeCommit: 'publish the tail before the commit',
  dataBeforeLog: 'store the word before its log entry',
  noLogHead: 'move the head without logging it',
  noLogTail: 'move the tail without logging it',
  slotAfterTail: 'write the payload after the tail',
  noRepublish: 'recovery publishes nothing',
  popWhileUndo:
    'take entries off the log while they are undone: the log position goes back before each word is restored',
  popAfterRestore: 'take each entry off the log after its word is restored',
  undoOldestFirst: 'undo from the oldest entry to the newest, with a word that is logged twice',
} as const;
export type ChainMutation = keyof typeof CHAIN_MUTATIONS;

export interface ChainConfig {
  /** Messages that A makes. */
  readonly messages: number;
  /** Messages that a lane holds. */
  readonly capacity: number;
  readonly kills: number;
  readonly mutation?: ChainMutation;
  /** C's words are read from outside at any time, and the view must be the commit at which the read began. Multiplies
   * the states; default false. */
  readonly reader?: boolean;
}

// Words of a process: its segment S, then what dies with it, then its log.
const HEAD = 0;
const TAIL = 1;
const HANDLED = 2;
const DIRTY = 3;
const PC = 4;
const MESSAGE = 5;
const AT = 6;
const OLD = 7;
const CLOSED = 8; // entries below the commit position that a reader may still need
const LOG = 9; // number of entries, then (word, old value) each

const OPS = [
  'idle',
  'dead',
  'undo',
  'pop',
  'republish tail',
  'republish head',
  'log handled',
  'store handled',
  'log handled again',
  'store handled again',
  'payload',
  'log tail',
  'store tail',
  'log head',
  'store head',
  'record unchanged',
  'commit',
  'publish tail',
  'publish head',
] as const;
type Op = (typeof OPS)[number];
const op = (name: Op): number => OPS.indexOf(name);
const IDLE = op('idle');
const DEAD = op('dead');
const UNDO = op('undo');
const POP = op('pop');

export function chainModel(config: ChainConfig): Model {
  const { messages, capacity, kills, mutation } = config;
  const is = (name: ChainMutation): boolean => mutation === name;
  const withReader = config.reader ?? false;

  const logMax = withReader ? 8 : 4;
  const PROCESS = LOG + 1 + 2 * logMax;
  const LANE = capacity + 2; // payload, published tail, published head
  const LANES = 3 * PROCESS;
  const KILLS = LANES + 2 * LANE;
  const READER = KILLS + 1; // pc, copy of HANDLED, copy of HEAD, and what was committed when the read began
  const bytes = READER + 4;

  const inLane = (x: number): number => (x === 0 ? -1 : LANES + (x - 1) * LANE);
  const outLane = (x: number): number => (x === 2 ? -1 : LANES + x * LANE);
  const pubTail = (lane: number): number => lane + capacity;
  const pubHead = (lane: number): number => lane + capacity + 1;

  /** The steps of a transaction of process x, in order. */
  const program = (x: number): number[] => {
    const twice = is('undoOldestFirst');
    const steps: Op[] = ['log handled', 'store handled'];
    if (twice) steps.push('log handled again', 'store handled again');
    if (x < 2) steps.push('payload', 'log tail', 'store tail');
    if (x > 0) steps.push('log head', 'store head', 'record unchanged');
    steps.push('commit');
    if (x < 2) steps.push('publish tail');
    if (x > 0) steps.push('publish head');
    const move = (name: Op, before: Op): void => {
      if (!steps.includes(name) || !steps.includes(before)) return;
      steps.splice(steps.indexOf(name), 1);
      steps.splice(steps.indexOf(before), 0, name);
    };
    if (is('headBeforeCommit')) move('publish head', 'commit');
    if (is('tailBeforeCommit')) move('publish tail', 'commit');
    if (is('dataBeforeLog')) move('store handled', 'log handled');
    if (is('slotAfterTail')) {
      move('payload', 'publish tail');
      move('publish tail', 'payload');
    }
    const without = (name: Op): void => {
      if (steps.includes(name)) steps.splice(steps.indexOf(name), 1);
    };
    if (is('noLogHead')) without('log head');
    if (is('noLogTail')) without('log tail');
    return steps.map(op);
  };
  const programs = [program(0), program(1), program(2)];
  const nextOp = programs.map(steps => {
    const table = new Uint8Array(OPS.length).fill(IDLE);
    steps.forEach((step, i) => {
      table[step] = steps[i + 1] ?? IDLE;
    });
    return table;
  });
  const labels = ['A', 'B', 'C'].map(p => OPS.map(name => `${p}: ${name}`));
  const extra = ['A', 'B', 'C'].map(p => ({
    take: `${p}: take`,
    make: `${p}: make`,
    full: `${p}: full, throw`,
    later: `${p}: commit, publish later`,
    publish: `${p}: publish what waits`,
    recover: `${p}: recover`,
    undone: `${p}: undone`,
    kill: `${p}: KILL`,
  }));

  const calm = (s: Uint8Array, at: number): void => {
    s[at + PC] = IDLE;
    s[at + MESSAGE] = 0;
    s[at + AT] = 0;
    s[at + OLD] = 0;
  };
  const log = (s: Uint8Array, at: number, word: number, old: number): void => {
    const n = s[at + LOG]++;
    s[at + LOG + 1 + 2 * n] = word;
    s[at + LOG + 2 + 2 * n] = old;
  };
  /** Closes the open entries: commit position = log position. They stay while somebody reads from outside. */
  const closeLog = (s: Uint8Array, x: number, at: number): void => {
    if (withReader && x === 2 && s[READER] !== 0) s[at + CLOSED] = s[at + LOG];
    else s.fill(0, at + CLOSED, at + PROCESS);
  };
  const forgetClosed = (s: Uint8Array, at: number): void => {
    const first = at + LOG + 1;
    s.copyWithin(first, first + 2 * s[at + CLOSED], at + PROCESS);
    s[at + LOG] -= s[at + CLOSED];
    s.fill(0, first + 2 * s[at + LOG], at + PROCESS);
    if (s[at + PC] === UNDO || s[at + PC] === POP) s[at + AT] -= s[at + CLOSED];
    s[at + CLOSED] = 0;
  };
  const commitLog = (s: Uint8Array, x: number, at: number): void => {
    closeLog(s, x, at);
    s[at + DIRTY] = 1;
  };

  const process = (x: number, s: Uint8Array, moves: Moves): void => {
    const at = x * PROCESS;
    const input = inLane(x);
    const output = outLane(x);
    const pc = s[at + PC];
    const label = labels[x][pc];
    const after = nextOp[x][pc];
    const go = (n: Uint8Array): void => {
      if (after === IDLE) {
        calm(n, at);
        n[at + DIRTY] = 0; // the last step of every program is the last copy
      } else n[at + PC] = after;
    };
    switch (OPS[pc]) {
      case 'idle': {
        if (withReader && x === 2 && s[at + LOG] > logMax - 3) break; // the ring is full: wait for the reader
        if (input >= 0) {
          const head = s[at + HEAD];
          if (s[pubTail(input)] > head) {
            const n = moves.begin();
            const message = s[input + (head % capacity)];
            n[at + MESSAGE] = message;
            n[at + PC] = programs[x][0];
            const due = s[at + HANDLED] + 1;
            const name = extra[x].take;
            moves.end(name, 'step', message === due ? undefined : `${name} gets ${message} where ${due} is due`);
          }
        } else if (s[at + HANDLED] < messages) {
          const n = moves.begin();
          n[at + MESSAGE] = s[at + HANDLED] + 1;
          n[at + PC] = programs[x][0];
          moves.end(extra[x].make);
        }
        if (s[at + DIRTY]) {
          const n = moves.begin();
          n[at + PC] = op(output >= 0 ? 'publish tail' : 'publish head');
          moves.end(extra[x].publish);
        }
        break;
      }
      case 'log handled': {
        const n = moves.begin();
        log(n, at, HANDLED, is('dataBeforeLog') ? s[at + OLD] : s[at + HANDLED]);
        go(n);
        moves.end(label);
        break;
      }
      case 'store handled': {
        const n = moves.begin();
        if (is('dataBeforeLog')) n[at + OLD] = s[at + HANDLED];
        n[at + HANDLED] = is('undoOldestFirst') ? s[at + MESSAGE] + 100 : s[at + MESSAGE];
        go(n);
        moves.end(label);
        break;
      }
      case 'log handled again': {
        const n = moves.begin();
        log(n, at, HANDLED, s[at + HANDLED]);
        go(n);
        moves.end(label);
        break;
      }
      case 'store handled again': {
        const n = moves.begin();
        n[at + HANDLED] = s[at + MESSAGE];
        go(n);
        moves.end(label);
        break;
      }
      case 'payload': {
        const n = moves.begin();
        if (!is('slotAfterTail') && s[at + TAIL] - s[pubHead(output)] >= capacity) {
          n[at + PC] = UNDO;
          n[at + AT] = n[at + LOG];
          moves.end(extra[x].full);
        } else {
          const tail = is('slotAfterTail') ? s[at + TAIL] - 1 : s[at + TAIL];
          n[output + (tail % capacity)] = s[at + MESSAGE];
          go(n);
          moves.end(label);
        }
        break;
      }
      case 'log tail': {
        const n = moves.begin();
        log(n, at, TAIL, s[at + TAIL]);
        go(n);
        moves.end(label);
        break;
      }
      case 'store tail': {
        const n = moves.begin();
        n[at + TAIL]++;
        go(n);
        moves.end(label);
        break;
      }
      case 'log head': {
        const n = moves.begin();
        log(n, at, HEAD, s[at + HEAD]);
        go(n);
        moves.end(label);
        break;
      }
      case 'store head': {
        const n = moves.begin();
        n[at + HEAD]++;
        go(n);
        moves.end(label);
        break;
      }
      case 'record unchanged': {
        const n = moves.begin();
        go(n);
        const same = s[input + ((s[at + HEAD] - 1) % capacity)] === s[at + MESSAGE];
        moves.end(label, 'step', same ? undefined : 'record changed under the handler');
        break;
      }
      case 'commit': {
        const n = moves.begin();
        commitLog(n, x, at);
        go(n);
        moves.end(label);
        if (after !== IDLE && !is('slotAfterTail')) {
          const later = moves.begin();
          commitLog(later, x, at);
          calm(later, at);
          moves.end(extra[x].later);
        }
        break;
      }
      case 'publish tail': {
        const n = moves.begin();
        n[pubTail(output)] = s[at + TAIL];
        go(n);
        moves.end(label);
        break;
      }
      case 'publish head': {
        const n = moves.begin();
        n[pubHead(input)] = s[at + HEAD];
        go(n);
        moves.end(label);
        break;
      }
      case 'dead': {
        const n = moves.begin();
        calm(n, at);
        n[at + PC] = UNDO;
        n[at + AT] = is('undoOldestFirst') ? n[at + CLOSED] : n[at + LOG];
        moves.end(extra[x].recover);
        break;
      }
      case 'undo': {
        const n = moves.begin();
        const left = s[at + AT];
        if (is('undoOldestFirst') ? left < s[at + LOG] : left > s[at + CLOSED]) {
          const i = is('undoOldestFirst') ? left : left - 1;
          if (is('popWhileUndo')) {
            // The entry is gone from the log, and remembered by the process alone, before its word is restored.
            n[at + MESSAGE] = s[at + LOG + 1 + 2 * i];
            n[at + OLD] = s[at + LOG + 2 + 2 * i];
            n.fill(0, at + LOG + 1 + 2 * i, at + LOG + 3 + 2 * i);
            n[at + LOG] = i;
            n[at + AT] = i;
            n[at + PC] = POP;
          } else {
            n[at + s[at + LOG + 1 + 2 * i]] = s[at + LOG + 2 + 2 * i];
            n[at + AT] = is('undoOldestFirst') ? left + 1 : left - 1;
            if (is('popAfterRestore')) n[at + PC] = POP;
          }
          moves.end(label);
        } else {
          closeLog(n, x, at);
          calm(n, at);
          n[at + PC] = op('republish tail');
          moves.end(extra[x].undone);
        }
        break;
      }
      case 'pop': {
        const n = moves.begin();
        if (is('popWhileUndo')) n[at + s[at + MESSAGE]] = s[at + OLD];
        else {
          const i = s[at + AT];
          n.fill(0, at + LOG + 1 + 2 * i, at + LOG + 3 + 2 * i);
          n[at + LOG] = i;
        }
        n[at + MESSAGE] = 0;
        n[at + OLD] = 0;
        n[at + PC] = UNDO;
        moves.end(label);
        break;
      }
      case 'republish tail': {
        const n = moves.begin();
        if (output >= 0 && !is('noRepublish')) n[pubTail(output)] = s[at + TAIL];
        n[at + PC] = op('republish head');
        moves.end(label);
        break;
      }
      case 'republish head': {
        const n = moves.begin();
        if (input >= 0 && !is('noRepublish')) n[pubHead(input)] = s[at + HEAD];
        n[at + DIRTY] = 0;
        calm(n, at);
        moves.end(label);
        break;
      }
    }
    if (s[KILLS] < kills && pc !== DEAD) {
      const n = moves.begin();
      calm(n, at);
      n[at + PC] = DEAD;
      n[at + DIRTY] = 0;
      n[KILLS]++;
      moves.end(extra[x].kill, 'kill');
    }
  };

  const committedWord = (s: Uint8Array, at: number, wanted: number): number => {
    let value = s[at + wanted];
    for (let i = s[at + LOG] - 1; i >= s[at + CLOSED]; i--) {
      if (s[at + LOG + 1 + 2 * i] === wanted) value = s[at + LOG + 2 + 2 * i];
    }
    return value;
  };

  const reader = (s: Uint8Array, moves: Moves): void => {
    const at = 2 * PROCESS;
    const n = moves.begin();
    switch (s[READER]) {
      case 0:
        n[READER] = 1;
        n[READER + 3] = committedWord(s, at, HANDLED);
        moves.end('reader: note the commit position');
        break;
      case 1:
        n[READER] = 2;
        n[READER + 1] = s[at + HANDLED];
        moves.end('reader: copy handled');
        break;
      case 2:
        n[READER] = 3;
        n[READER + 2] = s[at + HEAD];
        moves.end('reader: copy head');
        break;
      default: {
        n.fill(0, READER, READER + 4);
        forgetClosed(n, at);
        let handled = s[READER + 1];
        let head = s[READER + 2];
        const begun = s[READER + 3];
        for (let i = s[at + LOG] - 1; i >= 0; i--) {
          const word = s[at + LOG + 1 + 2 * i];
          if (word === HANDLED) handled = s[at + LOG + 2 + 2 * i];
          if (word === HEAD) head = s[at + LOG + 2 + 2 * i];
        }
        const whole = handled === begun && head === begun;
        const seen = `torn view: handled ${handled}, head ${head}, commit ${begun}`;
        moves.end('reader: undo in the copy', 'step', whole ? undefined : seen);
      }
    }
  };

  const view = new Uint8Array(3 * PROCESS);
  const check = (s: Uint8Array): string | undefined => {
    view.set(s.subarray(0, 3 * PROCESS));
    for (let x = 0; x < 3; x++) {
      const at = x * PROCESS;
      for (let i = view[at + LOG] - 1; i >= view[at + CLOSED]; i--)
        view[at + view[at + LOG + 1 + 2 * i]] = view[at + LOG + 2 + 2 * i];
    }
    for (let x = 0; x < 3; x++) {
      const at = x * PROCESS;
      const handled = view[at + HANDLED];
      if (x > 0 && view[at + HEAD] !== handled)
        return `${'ABC'[x]} stands at ${view[at + HEAD]} but has handled ${handled}`;
      if (x < 2 && view[at + TAIL] !== handled) return `${'ABC'[x]} has handled ${handled} but sent ${view[at + TAIL]}`;
      if (x > 0 && handled > view[at - PROCESS + HANDLED])
        return `${'ABC'[x]} is ahead of what was committed before it`;
      const output = outLane(x);
      if (output >= 0 && s[pubTail(output)] > view[at + TAIL]) return `tail of ${'ABC'[x]} visible before its commit`;
      const input = inLane(x);
      if (input >= 0 && s[pubHead(input)] > view[at + HEAD]) return `head of ${'ABC'[x]} visible before its commit`;
      // What is committed and not handled is intact.
      if (output >= 0) {
        for (let p = view[at + PROCESS + HEAD]; p < view[at + TAIL]; p++) {
          if (is('slotAfterTail')) break;
          if (s[output + (p % capacity)] !== p + 1)
            return `message ${p + 1} was overwritten in the lane from ${'ABC'[x]}`;
        }
      }
    }
    return undefined;
  };

  return {
    name: `chain of ${messages} messages, lanes of ${capacity}, ${kills} kills${withReader ? ', reader' : ''}${mutation ? `, ${mutation}` : ''}`,
    bytes,
    initial() {},
    next(s, moves) {
      for (let x = 0; x < 3; x++) process(x, s, moves);
      if (withReader) reader(s, moves);
    },
    check,
    isFinal(s) {
      for (let x = 0; x < 3; x++) {
        const at = x * PROCESS;
        if (s[at + HANDLED] !== messages || s[at + PC] !== IDLE || s[at + LOG] !== s[at + CLOSED]) return false;
      }
      for (const lane of [outLane(0), outLane(1)]) {
        if (s[pubTail(lane)] !== messages || s[pubHead(lane)] !== messages) return false;
      }
      return true;
    },
  };
}
