// HOT: measured by benchmarks/state
/** Undo log: a ring of 2^k words. Before a logged word changes, its entry is stored and logPos is past it.
 *
 *   entry        [index u32][old word]
 *   range entry  [old words …, padded to even][index | RANGE u32][count u32]      reads backwards, 256 words at most
 *
 *            comPos               logPos
 *   ─ ─ ─ ─ ─ ┴ e0 │ e1 │ r… r… e2 ┴ ─ ─ ─ (older entries, for readers from outside, until the ring laps them)
 *
 *   WRITE     log[q] = i; log[q+1] = S[i]; logPos = q+2; S[i] = v.    Plain stores, this order.
 *   COMMIT    comPos = logPos, one store.
 *   ROLLBACK  undo [comPos, logPos) newest to oldest in place, then comPos = logPos: positions only grow.
 *   SAVEPOINT undoing its part leaves the entries: undone once more from older ones, the oldest wins.
 *
 * Invariants: logPos = comPos when nothing is open; otherwise the entries between are complete and in force. Memory
 * that a commit still in the ring can reach is never changed unlogged.
 *
 * The hot part is text: it is compiled in one `new Function` with the accessors of a store, so that all of them share
 * `lim` in one context and the typed arrays are constants to the compiler. `lim` is per process: the last position at
 * which an entry may begin; outside a transaction it is below all of them, so the same compare refuses. */
import { StateError } from './errors.ts';
import type { Journal } from './journal.ts';
import {
  COM_POS,
  COMMIT_NO,
  ENTRY_WORDS_MAX,
  FIRST_STAMP,
  LOG_POS,
  LOG_SLACK,
  RANGE,
  STAMP_HI,
  STAMP_LO,
} from './words.ts';

/** What the generated code hands out. */
export interface LogCore {
  begin(): void;
  commit(): void;
  /** CLOSED, OPEN, READ_ONLY or FAILED. */
  state(): number;
  setState(state: number): void;
  /** No view is sure any more that its record has the current stamp. */
  restamp(): void;
  /** Log one word that the caller stores to next. */
  log(word: number): void;
  /** Log two neighbouring words that the caller stores to next. */
  log2(word: number): void;
  write(word: number, value: number): void;
  writeF64(word: number, value: number): void;
  keep(word: number, count: number): void;
}

export const CLOSED = 0;
export const OPEN = 1;
/** Until `recover` in a process that becomes the owner. */
export const READ_ONLY = 2;
/** The log was full in the middle of something: only a rollback is left. */
export const FAILED = 3;

/** `lim` when nothing is open: below every position but one, so that the compare of a write refuses. Open it is odd. */
const SHUT = -0x8000_0000;

/** The text of one logged word `i`, for inlining. In scope: `A` = the Int32Array of the segment, `L` = that of the ring
 * alone, `M` = its mask, `full`, `lim`. Leaves `q`, `k` and `R` behind. The compare does not heed that positions wrap;
 * `full` does, and returns when there is room after all. */
export const LOG_WORD = `const q=A[${LOG_POS}];if(q>lim)full(q);const R=L,k=q&M;R[k]=i;R[k+1]=A[i];A[${LOG_POS}]=(q+2)|0;`;

/** Text of the log's functions. In scope: `I`, `F`, `L`, `M`, `journal`, `refuseWrite`, `refuseBegin`, `refuseCommit`. */
export function logSource(words: number): string {
  const capacity = words - LOG_SLACK;
  return `
var lim=${SHUT};
function begin(){if(lim!==${SHUT})refuseBegin();lim=(I[${COM_POS}]+${capacity + 1})|0;}
function commit(){if((lim&1)===0)refuseCommit();const A=I;A[${COM_POS}]=A[${LOG_POS}];F[${COMMIT_NO >> 1}]=F[${COMMIT_NO >> 1}]+1;lim=${SHUT};journal.size=0;}
function state(){return(lim&1)!==0?${OPEN}:(lim-(${SHUT}))/2}
function setState(s){lim=s===${OPEN}?(I[${COM_POS}]+${capacity + 1})|0:s===${CLOSED}?${SHUT}:${SHUT}+s*2;}
function full(q){if((lim&1)===0||((lim-q)|0)<0)refuseWrite();}
function log(i){const A=I;${LOG_WORD}}
function log2(i){const A=I,R=L,q=A[${LOG_POS}];if(q>lim)full(q);const k=q&M,m=(q+2)&M;
R[k]=i;R[k+1]=A[i];R[m]=i+1;R[m+1]=A[i+1];A[${LOG_POS}]=(q+4)|0;}
function write(i,v){const A=I;${LOG_WORD}A[i]=v;}
function writeF64(i,v){log2(i);F[i>>1]=v;}
function keep(i,n){while(n>${ENTRY_WORDS_MAX - 2}){part(i,${ENTRY_WORDS_MAX - 2});i+=${ENTRY_WORDS_MAX - 2};n-=${ENTRY_WORDS_MAX - 2};}if(n>0)part(i,n);}
function part(i,n){const A=I,R=L,q=A[${LOG_POS}],p=(q+((n+1)&-2))|0;if(p>lim)full(p);
for(let k=0;k<n;k++)R[(q+k)&M]=A[i+k];
const k=p&M;R[k]=i|${RANGE | 0};R[k+1]=n;A[${LOG_POS}]=(p+2)|0;}
`;
}

/** Where the log lies and what it may undo, as word indexes. */
export interface LogArea {
  readonly base: number;
  /** Words of the ring, a power of two. */
  readonly words: number;
  /** First word, and the word after the last, that is under the log. */
  readonly from: number;
  readonly to: number;
  /** Bytes of the segment's name for messages. */
  readonly name: string;
}

/** Transactions of one segment, one at a time. A logged word costs two stores and its position more than an unlogged one. */
export class UndoLog {
  readonly #core: LogCore;
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #area: LogArea;
  readonly #journal: Journal;
  readonly #afterRollback: (() => void)[] = [];
  readonly #afterRecover: (() => void)[] = [];
  readonly #writable: () => boolean;
  /** Why the open transaction can only be rolled back, when that is not the log. */
  #failure: Error | undefined;
  /** Writes are allowed from here on. @throws StateError `STATE_TRANSACTION_OPEN`, `STATE_READ_ONLY` */
  begin: () => void;
  /** All writes since `begin` are in force, for ever. @throws StateError `STATE_NO_TRANSACTION` */
  commit: () => void;
  /** Logged store of one 32-bit word. @throws StateError `STATE_NO_TRANSACTION`, `STATE_READ_ONLY`, `STATE_LOG_FULL` */
  readonly write: (word: number, value: number) => void;
  /** Logged store of a 64-bit float: two entries, one store. @param word even */
  readonly writeF64: (word: number, value: number) => void;
  /** Log `count` words that the caller will overwrite unlogged after, in this transaction. */
  readonly keep: (word: number, count: number) => void;

  /** @internal */
  constructor(core: LogCore, I: Int32Array, F: Float64Array, area: LogArea, journal: Journal, writable: () => boolean) {
    this.#core = core;
    this.#I = I;
    this.#F = F;
    this.#area = area;
    this.#journal = journal;
    this.#writable = writable;
    this.write = core.write;
    this.writeF64 = core.writeF64;
    this.keep = core.keep;
    this.begin = core.begin;
    this.commit = core.commit;
    core.setState(writable() ? CLOSED : READ_ONLY);
  }

  get open(): boolean {
    const state = this.#core.state();
    return state === OPEN || state === FAILED;
  }

  /** Commits so far, over all lives. */
  get commitNo(): number {
    return this.#F[COMMIT_NO >> 1];
  }

  /** The stamp that changes get now: those of this transaction and of those since the last `nextStamp`. */
  get stamp(): number {
    return (this.#I[STAMP_HI] >>> 0) * 0x1_0000_0000 + (this.#I[STAMP_LO] >>> 0);
  }

  /** Draw a line between two transactions: what was committed before has a stamp below the number returned, what is
   * changed later has that number or a higher one. Two stores; cheap enough for every tick.
   * @throws StateError `STATE_TRANSACTION_OPEN` */
  nextStamp(): number {
    if (this.#core.state() !== CLOSED) this.refuseBegin();
    const next = this.stamp + 1;
    const lo = next >>> 0;
    // The high word first: read in between, a stamp looks newer than it is, and what changed is only seen once more.
    this.#I[STAMP_HI] = Math.floor(next / 0x1_0000_0000);
    this.#I[STAMP_LO] = lo < FIRST_STAMP ? FIRST_STAMP : lo;
    this.#core.restamp();
    return this.stamp;
  }

  /** A place to come back to inside the open transaction. */
  savepoint(): number {
    if (!this.open) this.#refuse('savepoint');
    return this.#I[LOG_POS];
  }

  /** Undo what was written since the savepoint. The transaction stays open. */
  rollbackTo(savepoint: number): void {
    if (!this.open) this.#refuse('rollbackTo');
    const size = (this.#I[LOG_POS] - savepoint) | 0;
    const whole = (this.#I[LOG_POS] - this.#I[COM_POS]) | 0;
    if (size < 0 || size > whole) throw new TypeError(`rollbackTo(${savepoint}): no savepoint of this transaction`);
    undoLog(this.#I, this.#area, savepoint);
    this.#journal.undo(savepoint);
    this.#core.setState(OPEN);
    this.#failure = undefined;
    this.#core.restamp();
    for (const fn of this.#afterRollback) fn();
  }

  /** Undo the open transaction. Views of records that it made are freed; views of records that it destroyed live again. */
  rollback(): void {
    if (!this.open) this.#refuse('rollback');
    const from = this.#I[COM_POS];
    undoLog(this.#I, this.#area, from);
    this.#journal.undo(from);
    this.#I[COM_POS] = this.#I[LOG_POS];
    this.#core.setState(CLOSED);
    this.#failure = undefined;
    this.#core.restamp();
    for (const fn of this.#afterRollback) fn();
  }

  /** Call `fn` after each rollback and rollbackTo, when the words are back: to drop what was derived from them. */
  onRollback(fn: () => void): void {
    this.#afterRollback.push(fn);
  }

  /** @internal Call `fn` at the end of `recover`. */
  onRecover(fn: () => void): void {
    this.#afterRecover.push(fn);
  }

  /** Steps R1 to R3 of recovery: check the open part of the log, undo it, close it. May be killed anywhere and begun
   * again. Only the holder of the owner lock. Views made before are freed.
   * @returns words of log that were undone
   * @throws StateError `STATE_CORRUPT`, before anything is written */
  recover(): { undone: number } {
    if (this.open) this.refuseBegin();
    if (!this.#writable()) throw readOnly(this.#area.name);
    const undone = this.examine();
    const I = this.#I;
    undoLog(I, this.#area, I[COM_POS]);
    I[COM_POS] = I[LOG_POS];
    // A number that a killed commit may have used is not used again.
    this.#F[COMMIT_NO >> 1] = this.#F[COMMIT_NO >> 1] + 1;
    this.#journal.clear();
    this.#core.setState(CLOSED);
    this.nextStamp();
    for (const fn of this.#afterRecover) fn();
    return { undone };
  }

  /** @internal The segment cannot be written any more: as before `recover`. */
  shut(): void {
    this.#journal.clear();
    this.#core.setState(READ_ONLY);
  }

  /** Step R1: is the open part of the log one that can be undone? Writes nothing.
   * @returns its words
   * @throws StateError `STATE_CORRUPT` */
  examine(): number {
    return examineLog(this.#I, this.#F, this.#area);
  }

  /** Throw now what `count` more logged words, or the commit, would throw: while it can still be answered.
   * @throws StateError `STATE_LOG_FULL` */
  mustHaveRoom(count: number): void {
    const used = (this.#I[LOG_POS] - this.#I[COM_POS]) | 0;
    if (this.#core.state() === FAILED || used + count * 2 > this.#area.words - LOG_SLACK) this.refuseWrite();
  }

  /** Something was cut off in the middle: the open transaction, or the savepoint around it, can only be rolled back. */
  fail(error: Error): never {
    if (this.#core.state() === OPEN) {
      this.#core.setState(FAILED);
      this.#failure = error;
    }
    throw error;
  }

  /** What the generated code calls when an entry has no room. @internal */
  refuseWrite(): never {
    if (this.#core.state() === FAILED && this.#failure !== undefined) throw this.#failure;
    if (this.#core.state() === OPEN || this.#core.state() === FAILED) {
      // What was cut off in the middle must not be committed, even if a handler catches this.
      this.#core.setState(FAILED);
      const used = (this.#I[LOG_POS] - this.#I[COM_POS]) | 0;
      throw new StateError(
        'STATE_LOG_FULL',
        `the transaction has used ${used} of ${this.#area.words} log words of ${this.#area.name}: do less in one transaction, or raise limits.logBytes (${this.#area.words * 4})`,
      );
    }
    return this.#refuse('a write');
  }

  /** @internal */
  refuseCommit(): never {
    if (this.#core.state() === FAILED) this.refuseWrite();
    return this.#refuse('commit');
  }

  #refuse(what: string): never {
    if (this.#core.state() === READ_ONLY) throw readOnly(this.#area.name);
    throw new StateError(
      'STATE_NO_TRANSACTION',
      `${what} outside a transaction: state changes only inside a handler, tick or start`,
    );
  }

  /** @internal */
  refuseBegin(): never {
    if (this.#core.state() === READ_ONLY) throw readOnly(this.#area.name);
    throw new StateError('STATE_TRANSACTION_OPEN', 'a transaction is open: commit or roll it back first');
  }
}

function readOnly(name: string): StateError {
  return new StateError('STATE_READ_ONLY', `${name} is mapped read-only: only the owner of the node writes it`);
}

/** Step R1: is the open part of the log one that can be undone? Writes nothing.
 * @returns its words
 * @throws StateError `STATE_CORRUPT` */
export function examineLog(I: Int32Array, F: Float64Array, area: LogArea): number {
  const { base, words, from, to } = area;
  const mask = words - 1;
  const logPos = I[LOG_POS];
  const comPos = I[COM_POS];
  const open = (logPos - comPos) | 0;
  if ((logPos & 1) !== 0 || (open & 1) !== 0 || open < 0 || open > words) {
    corrupt(area, `logPos ${logPos >>> 0} and comPos ${comPos >>> 0} cannot be, the ring has ${words} words`);
  }
  const commitNo = F[COMMIT_NO >> 1];
  if (!Number.isSafeInteger(commitNo) || commitNo < 0) corrupt(area, `commitNo is ${commitNo}`);
  for (let q = (logPos - 2) | 0; ((q - comPos) | 0) >= 0; ) {
    const k = (q & mask) + base;
    const index = I[k] & 0x7fff_ffff;
    let count = 1;
    let next = (q - 2) | 0;
    if (I[k] < 0) {
      count = I[k + 1];
      if (count < 0 || count > ENTRY_WORDS_MAX) corrupt(area, `the range entry at ${q >>> 0} has ${count} words`);
      next = (q - ((count + 1) & -2) - 2) | 0;
      if (((next + 2 - comPos) | 0) < 0)
        corrupt(area, `the range entry at ${q >>> 0} with ${count} words begins before comPos ${comPos >>> 0}`);
    }
    if (index < from || index + count > to) {
      corrupt(
        area,
        `the entry at ${q >>> 0} names words ${index}..${index + count - 1}, logged are ${from}..${to - 1}`,
      );
    }
    q = next;
  }
  return open;
}

/** Undo the entries [from, logPos), newest to oldest, in place. */
export function undoLog(I: Int32Array, area: LogArea, from: number): void {
  const { base, words } = area;
  const mask = words - 1;
  for (let q = (I[LOG_POS] - 2) | 0; ((q - from) | 0) >= 0; q = (q - 2) | 0) {
    const k = (q & mask) + base;
    const index = I[k];
    if (index >= 0) {
      I[index] = I[k + 1];
      continue;
    }
    const count = I[k + 1];
    const word = index & 0x7fff_ffff;
    q = (q - ((count + 1) & -2)) | 0;
    for (let n = 0; n < count; n++) I[word + n] = I[((q + n) & mask) + base];
  }
}

function corrupt(area: LogArea, what: string): never {
  throw new StateError(
    'STATE_CORRUPT',
    `${area.name}: ${what}; the segment was left as it is. Restore it from a dump, or remove the node with \`lich rm\``,
    { severity: 'fatal' },
  );
}
