// HOT: measured by benchmarks/record
/** Writes an entry for each commit, in the step of that commit: the bytes and rules are in format.ts.
 *
 *   the loop says what it is about to handle: message(), own(), tick(), show()
 *   … handler …
 *   commit: entry behind `$at`  →  $k, $at logged and stored  →  the commit itself
 *
 * What commits without having said so is kept as the words that it changed. The two words are logged without asking for
 * room: six words of the 512 that the log keeps free behind the longest transaction. */
import { rootWord } from '../../bus/index.ts';
import type { Segment } from '../../shm/index.ts';
import { WORDS } from '../../state/index.ts';
import type { Core } from '../core.ts';
import { NOW } from '../node-words.ts';
import {
  ENTRY_A,
  ENTRY_B,
  ENTRY_COMMIT_NO,
  ENTRY_HEADER,
  ENTRY_K,
  ENTRY_KIND,
  ENTRY_LENGTH,
  ENTRY_LINES,
  ENTRY_NEXT,
  ENTRY_NOW,
  ENTRY_STAMP,
  ENTRY_SUM,
  ENTRY_TYPE,
  ENTRY_WORDS,
  KIND_MASK,
  LIFE,
  MARK_AT,
  MARK_K,
  MARK_SEQ,
  MESSAGE,
  OWN,
  PAD,
  PATCH,
  REASONS,
  RECORDING,
  SHOW,
  TICK,
  UNIT_WORDS,
  WAS_REFUSED,
} from './format.ts';

const { COM_POS, COMMIT_NO, LOG_POS, RANGE, STAMP_HI, STAMP_LO } = WORDS;
const NONE = 0;
const PRIME = 0x9e37_79b1 | 0;
const PRIME_2 = 0x85eb_ca6b | 0;

/** Where the words of a recording are in the state. */
export interface InputWords {
  /** of `$k` */
  readonly k: number;
  /** of `$at` */
  readonly at: number;
  /** of `$in` */
  readonly heads: number;
  /** of `$lines` */
  readonly lines: number;
}

/** @returns undefined for a node that is not recorded: a gateway */
export function inputWords(core: Core): InputWords | undefined {
  const { layouts, segment } = core.store;
  if (!layouts.root.fields.some(field => field.name === '$k')) return undefined;
  const { offset } = segment.regions.get('root')!;
  const word = (name: string): number => rootWord(layouts.root, offset, name);
  return { k: word('$k'), at: word('$at'), heads: word('$in'), lines: word('$lines') };
}

/** Logs and stores `$k` and `$at`, at the end of a transaction. */
export class InputCounter {
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #L: Int32Array;
  readonly #mask: number;
  readonly #k: number;
  readonly #at: number;
  readonly #lines: number;

  constructor(core: Core, words: InputWords) {
    const { segment } = core.store;
    const log = segment.regions.get('log')!;
    const logWords = 2 ** Math.floor(Math.log2(log.bytes / 4));
    this.#I = segment.i32;
    this.#F = segment.f64;
    this.#L = new Int32Array(segment.buffer, log.offset, logWords);
    this.#mask = logWords - 1;
    this.#k = words.k;
    this.#at = words.at;
    this.#lines = words.lines;
  }

  get k(): number {
    return this.#F[this.#k >> 1];
  }

  get at(): number {
    return this.#I[this.#at];
  }

  get logMask(): number {
    return this.#mask;
  }

  get logRing(): Int32Array {
    return this.#L;
  }

  /** What the open transaction changed, in 32 bits: the same for whoever changes the same words to the same values, in
   * whatever order. Words that were logged and kept their value do not count: which ones are is the process's affair, and
   * so is `$lines`. */
  sum(): number {
    const I = this.#I;
    const L = this.#L;
    const M = this.#mask;
    const comPos = I[COM_POS];
    const lines = this.#lines;
    let sum = 0;
    for (let q = (I[LOG_POS] - 2) | 0; ((q - comPos) | 0) >= 0; q = (q - 2) | 0) {
      const index = L[q & M];
      if (index >= 0) {
        const value = I[index];
        if (value !== L[(q & M) + 1] && (index - lines) >>> 1 !== 0)
          sum = (sum + Math.imul(index ^ Math.imul(value, PRIME), PRIME_2)) | 0;
        continue;
      }
      const count = L[(q & M) + 1];
      const word = index & ~RANGE;
      q = (q - ((count + 1) & -2)) | 0;
      for (let n = 0; n < count; n++) {
        const value = I[word + n];
        if (value !== L[(q + n) & M]) sum = (sum + Math.imul((word + n) ^ Math.imul(value, PRIME), PRIME_2)) | 0;
      }
    }
    return sum;
  }

  /** In a transaction that did not fail. */
  store(k: number, at: number): void {
    const I = this.#I;
    const L = this.#L;
    const M = this.#mask;
    const word = this.#k;
    const q = I[LOG_POS];
    L[q & M] = word;
    L[(q & M) + 1] = I[word];
    L[(q + 2) & M] = word + 1;
    L[((q + 2) & M) + 1] = I[word + 1];
    L[(q + 4) & M] = this.#at;
    L[((q + 4) & M) + 1] = I[this.#at];
    I[LOG_POS] = (q + 6) | 0;
    this.#F[word >> 1] = k;
    I[this.#at] = at;
  }
}

/** The owner's side of a ring. */
export class Recorder {
  readonly #core: Core;
  readonly #counter: InputCounter;
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #heads: number;
  readonly #lines: number;
  readonly #R: Int32Array;
  readonly #G: Float64Array;
  /** word of the ring's first byte */
  readonly #ring: number;
  readonly #units: number;
  readonly #mask: number;
  readonly #marks: number;
  readonly #commit: () => void;
  /** Number of the claim and stream of each; what is beyond the count is of earlier inputs. */
  readonly #refused: number[] = [];
  #refusals = 0;
  /** Life that the ring tells of. */
  #epoch = 0;
  #firstAt: number;
  #firstK: number;
  /** Position behind the entry that was claimed last. */
  #behind = 0;
  // What is being handled.
  #kind = NONE;
  #stream = 0;
  #type = 0;
  #a = 0;
  #b = 0;
  #lanes: Int32Array | undefined;
  #word = 0;
  #words = 0;
  #commitNo = 0;
  #now = 0;
  #stampLo = 0;
  #stampHi = 0;

  /** @param ring mapped for writing; what it holds goes on from the state's `$at` */
  constructor(core: Core, words: InputWords, ring: Segment) {
    const { segment, log } = core.store;
    this.#core = core;
    this.#counter = new InputCounter(core, words);
    this.#I = segment.i32;
    this.#F = segment.f64;
    this.#heads = words.heads;
    this.#lines = words.lines;
    this.#R = ring.i32;
    this.#G = ring.f64;
    const region = ring.regions.get('ring')!;
    this.#ring = region.offset / 4;
    this.#units = region.bytes / (UNIT_WORDS * 4);
    this.#mask = this.#units - 1;
    this.#marks = ring.regions.get('marks')!.offset / 4;
    this.#firstAt = this.#R[this.#marks + MARK_AT];
    this.#firstK = this.#G[(this.#marks + MARK_K) >> 1];
    this.#commit = log.commit;
    log.commit = () => this.#record();
    core.bus.outbox.refused = (stream, claim) => {
      this.#refused[this.#refusals++] = claim;
      this.#refused[this.#refusals++] = stream;
    };
  }

  /** The ring, emptied, begins with the present state: nobody knows how it came about. Between transactions. */
  begin(): void {
    const { log } = this.#core.store;
    const k = this.#counter.k + 1;
    log.begin();
    this.#counter.store(k, this.#counter.at);
    // Killed before the commit, the next life does it again: the ring is not yet the state's.
    this.#setFirst(this.#counter.at, k);
    this.#commit();
  }

  /** Commits are kept no longer. Between transactions. */
  end(): void {
    this.#core.store.log.commit = this.#commit;
    this.#core.bus.outbox.refused = undefined;
    this.#I[RECORDING] = 0;
  }

  /** Inputs so far. */
  get k(): number {
    return this.#counter.k;
  }

  // What the loop is about to handle.

  message(stream: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): void {
    this.#about(MESSAGE);
    this.#stream = stream;
    this.#type = type;
    this.#a = a;
    this.#b = b;
    this.#lanes = lanes.i32;
    this.#word = word;
    this.#words = words;
  }

  /** The head of the line of own messages. */
  own(): void {
    this.#about(OWN);
  }

  tick(): void {
    this.#about(TICK);
  }

  /** What changed is shown to players. */
  show(mostOps: number): void {
    this.#about(SHOW);
    this.#a = mostOps;
  }

  /** It will not commit. */
  drop(): void {
    this.#kind = NONE;
  }

  #about(kind: number): void {
    this.#stream = 0;
    // Which records had their onResume is known to the process alone: until all had, commits are kept as what they left.
    this.#kind = this.#core.store.resuming ? NONE : kind;
    this.#words = 0;
    this.#refusals = 0;
    this.#core.bus.outbox.claims = 0;
    // What is not under the log, and a handler or a walk may look at.
    this.#commitNo = this.#F[COMMIT_NO >> 1];
    this.#now = this.#F[NOW];
    this.#stampLo = this.#I[STAMP_LO];
    this.#stampHi = this.#I[STAMP_HI];
  }

  #record(): void {
    const I = this.#I;
    const size = (I[LOG_POS] - I[COM_POS]) | 0;
    // Nothing changed, or no transaction is open: no input, or an error.
    if (size > 0) {
      let at = this.#counter.at;
      let k = this.#counter.k;
      const { life } = this.#core;
      if (life !== undefined && life.epoch !== this.#epoch) {
        at = this.#life(at, ++k);
        this.#epoch = life.epoch;
      }
      // A line that is logged between rollback and second attempt of an input has a commit of its own.
      const isLine = size === 4 && this.#counter.logRing[I[COM_POS] & this.#counter.logMask] === this.#lines;
      if (this.#kind === NONE || isLine) at = this.#patch(at, ++k, size);
      else at = this.#entry(at, ++k);
      if (!isLine) this.#kind = NONE;
      this.#counter.store(k, at);
    } else this.#kind = NONE;
    this.#commit();
  }

  /** @returns the position behind it */
  #entry(at: number, k: number): number {
    const refusals = this.#refusals;
    const words = this.#words;
    const more = refusals === 0 ? 0 : refusals + 1;
    const need = ENTRY_HEADER + words + more;
    const begin = this.#claim(at, need, k);
    if (begin < 0) return at;
    const R = this.#R;
    const from = this.#word;
    R[begin + ENTRY_KIND] = this.#kind | (more === 0 ? 0 : WAS_REFUSED) | (this.#stream << 16);
    this.#head(begin, k, this.#counter.sum());
    if (this.#kind === MESSAGE) {
      R[begin + ENTRY_NEXT] = this.#I[this.#heads + this.#stream];
      R[begin + ENTRY_TYPE] = this.#type;
      R[begin + ENTRY_A] = this.#a;
      R[begin + ENTRY_B] = this.#b;
      const L = this.#lanes!;
      for (let n = 0; n < words; n++) R[begin + ENTRY_HEADER + n] = L[from + n];
    } else R[begin + ENTRY_NEXT] = this.#a;
    R[begin + ENTRY_WORDS] = words;
    if (more > 0) {
      for (let n = 0; n < refusals; n++) R[begin + ENTRY_HEADER + words + n] = this.#refused[n]!;
      R[begin + R[begin + ENTRY_LENGTH] - 1] = refusals >> 1;
    }
    this.#a = 0;
    return this.#behind;
  }

  #head(begin: number, k: number, sum: number): void {
    const R = this.#R;
    R[begin + ENTRY_COMMIT_NO] = this.#commitNo | 0;
    R[begin + ENTRY_K] = k | 0;
    this.#G[(begin + ENTRY_NOW) >> 1] = this.#now;
    this.#G[(begin + ENTRY_LINES) >> 1] = this.#F[this.#lines >> 1];
    R[begin + ENTRY_STAMP] = this.#stampLo;
    R[begin + ENTRY_STAMP + 1] = this.#stampHi;
    R[begin + ENTRY_SUM] = sum;
  }

  /** Of one that does not run: what is the case now. The input that is being handled keeps its own. */
  #headNow(begin: number, k: number): void {
    const R = this.#R;
    R[begin + ENTRY_COMMIT_NO] = this.#F[COMMIT_NO >> 1] | 0;
    R[begin + ENTRY_K] = k | 0;
    this.#G[(begin + ENTRY_NOW) >> 1] = this.#F[NOW];
    this.#G[(begin + ENTRY_LINES) >> 1] = 0;
    R[begin + ENTRY_STAMP] = this.#I[STAMP_LO];
    R[begin + ENTRY_STAMP + 1] = this.#I[STAMP_HI];
    R[begin + ENTRY_SUM] = 0;
  }

  #patch(at: number, k: number, size: number): number {
    const begin = this.#claim(at, ENTRY_HEADER + size, k);
    if (begin < 0) return at;
    const R = this.#R;
    const I = this.#I;
    const L = this.#counter.logRing;
    const M = this.#counter.logMask;
    R[begin + ENTRY_KIND] = PATCH;
    this.#headNow(begin, k);
    let p = begin + ENTRY_HEADER;
    const comPos = I[COM_POS];
    for (let q = (I[LOG_POS] - 2) | 0; ((q - comPos) | 0) >= 0; q = (q - 2) | 0) {
      const index = L[q & M];
      R[p++] = index;
      if (index >= 0) {
        R[p++] = I[index];
        continue;
      }
      const count = L[(q & M) + 1];
      const word = index & ~RANGE;
      q = (q - ((count + 1) & -2)) | 0;
      R[p++] = count;
      for (let n = 0; n < count; n++) R[p++] = I[word + n];
    }
    R[begin + ENTRY_NEXT] = 0;
    R[begin + ENTRY_WORDS] = p - begin - ENTRY_HEADER;
    return this.#behind;
  }

  #life(at: number, k: number): number {
    const begin = this.#claim(at, ENTRY_HEADER, k);
    const R = this.#R;
    const { epoch, reason } = this.#core.life;
    R[begin + ENTRY_KIND] = LIFE;
    this.#headNow(begin, k);
    R[begin + ENTRY_NEXT] = epoch;
    R[begin + ENTRY_TYPE] = REASONS.indexOf(reason);
    R[begin + ENTRY_WORDS] = 0;
    return this.#behind;
  }

  /** Make room for an entry, and write its length.
   * @returns its word; -1 when it is larger than the ring, which then begins after it */
  #claim(at: number, words: number, k: number): number {
    const R = this.#R;
    const need = (words + UNIT_WORDS - 1) >> 2;
    // An entry that took the oldest one's place did not commit.
    if (this.#firstK >= k || ((at - this.#firstAt) | 0) < 0) this.#setFirst(at, k - 1);
    let unit = at & this.#mask;
    let pad = unit + need > this.#units ? this.#units - unit : 0;
    if (need + pad > this.#units) {
      if (need > this.#units) {
        this.#setFirst(at, k);
        return -1;
      }
      // Padding and entry together are more than the ring: all that is older goes.
      this.#setFirst((at + pad) | 0, k - 1);
      at = (at + pad) | 0;
      unit = 0;
      pad = 0;
    }
    if (((at + pad + need - this.#firstAt) | 0) > this.#units) this.#evict(at, pad + need, k);
    if (pad > 0) {
      const word = this.#ring + unit * UNIT_WORDS;
      R[word + ENTRY_LENGTH] = pad * UNIT_WORDS;
      R[word + ENTRY_KIND] = PAD;
      unit = 0;
    }
    const begin = this.#ring + unit * UNIT_WORDS;
    R[begin + ENTRY_LENGTH] = need * UNIT_WORDS;
    this.#behind = (at + pad + need) | 0;
    return begin;
  }

  /** Let go of the oldest entries: of some more than must be, so that this is seldom. */
  #evict(at: number, need: number, k: number): void {
    const most = this.#units - Math.min(this.#units >> 4, this.#units - need);
    let first = this.#firstAt;
    let firstK = this.#firstK;
    while (((at + need - first) | 0) > most && first !== at) {
      const word = this.#ring + (first & this.#mask) * UNIT_WORDS;
      const units = this.#R[word + ENTRY_LENGTH] >> 2;
      if (units <= 0) break;
      if ((this.#R[word + ENTRY_KIND] & KIND_MASK) !== PAD) firstK++;
      first = (first + units) | 0;
    }
    // Something else wrote here: what follows is whole.
    if (((at + need - first) | 0) > this.#units) {
      first = at;
      firstK = k - 1;
    }
    this.#setFirst(first, firstK);
  }

  #setFirst(at: number, k: number): void {
    const R = this.#R;
    const marks = this.#marks;
    this.#firstAt = at;
    this.#firstK = k;
    Atomics.store(R, marks + MARK_SEQ, (R[marks + MARK_SEQ] + 1) | 1);
    Atomics.store(R, marks + MARK_AT, at);
    this.#G[(marks + MARK_K) >> 1] = k;
    Atomics.store(R, marks + MARK_SEQ, (R[marks + MARK_SEQ] + 1) & ~1);
  }
}
