/** Model of a read from outside in several steps (state/mirror.ts): a writer with three words and a ring of a few entries,
 * and a reader that copies a word and looks at the log, three times.
 *
 *   WRITER  for each word: entry into the ring · log position · word.   Then: commit position = log position,
 *           or words back, newest to oldest, and then the same store. A kill leaves it anywhere; recovery does the latter.
 *   READER  c0 = commit position · copy · LOOK · copy · LOOK · copy · LOOK · compare with what was committed at c0
 *   LOOK    p = log position · read entries p-1 … seen, one by one · log position once more: valid if it is less than the
 *           ring's size, without the entry that may be half written, beyond `seen`. Otherwise begin again.
 *           The first look undoes them in the copy; later ones fold them into the overlay (the oldest value of each word)
 *           and patch from it.
 *
 * Each transaction adds one to every word, so a torn view shows. Entry and position are two stores here: a ring that is
 * lapped is overwritten before the position says so. */
import type { Model, Moves } from './explorer.ts';

export const READS_MUTATIONS = {
  noUndo: 'leave out the undo',
  lateBegin: 'note the commit position after the first copy',
  earlyLook: 'note the log position before the copy',
  noLapCheck: 'do not look whether the ring was lapped',
  noSlack: 'take the entry that is being written for sound',
  newestWins: 'let a later look overwrite what an earlier one folded',
  forgetFirst: 'fold only what is newer than the first look',
} as const;
export type ReadsMutation = keyof typeof READS_MUTATIONS;

export interface ReadsConfig {
  readonly transactions: number;
  /** Entries of the ring, at least 4. */
  readonly ring: number;
  readonly kills: number;
  readonly mutation?: ReadsMutation;
}

const WORDS = 3;
const NONE = 255;

// The segment: words, positions, ring of (word, old).
const LOG_POS = WORDS;
const COM_POS = LOG_POS + 1;
const RING = COM_POS + 1;

// Writer.
const W_ENTRY = 0;
const W_POS = 1;
const W_STORE = 2;
const W_END = 3;
const W_UNDO = 4;
const W_DEAD = 5;

// Reader: it begins, and copies word k at 1 + 2k and looks at 2 + 2k.
const R_BEGIN = 0;
const R_DONE = 1 + 2 * WORDS;
// Parts of a look.
const L_POSITION = 0;
const L_ENTRIES = 1;
const L_CHECK = 2;

export function readsModel({ transactions, ring, kills, mutation }: ReadsConfig): Model {
  const is = (name: ReadsMutation): boolean => mutation === name;
  const WRITER = RING + 2 * ring; // pc, word, transactions left, entry to undo, kills
  const READER = WRITER + 5; // pc, part, c0, seen, p, q
  const COPY = READER + 6; // copies, NONE = not there
  const OVERLAY = COPY + WORDS;
  /** Folded before this look; newer entries do not count against it. */
  const FOLDED = OVERLAY + WORDS;
  const EXPECTED = FOLDED + WORDS;
  const bytes = EXPECTED + WORDS;
  const most = is('noSlack') ? ring : ring - 1;
  const entry = (position: number): number => RING + 2 * (position % ring);

  const committed = (s: Uint8Array, word: number): number => {
    let value = s[word];
    for (let q = s[LOG_POS] - 1; q >= s[COM_POS]; q--) if (s[entry(q)] === word) value = s[entry(q) + 1];
    return value;
  };

  const writer = (s: Uint8Array, moves: Moves): void => {
    const word = s[WRITER + 1];
    const left = s[WRITER + 2];
    const pc = s[WRITER];
    switch (pc) {
      case W_ENTRY: {
        if (left === 0) break;
        const n = moves.begin();
        n[entry(s[LOG_POS])] = word;
        n[entry(s[LOG_POS]) + 1] = s[word];
        n[WRITER] = W_POS;
        moves.end('writer: entry');
        break;
      }
      case W_POS: {
        const n = moves.begin();
        n[LOG_POS]++;
        n[WRITER] = W_STORE;
        moves.end('writer: log position');
        break;
      }
      case W_STORE: {
        const n = moves.begin();
        n[word]++;
        n[WRITER + 1] = (word + 1) % WORDS;
        n[WRITER] = word === WORDS - 1 ? W_END : W_ENTRY;
        moves.end('writer: store');
        break;
      }
      case W_END: {
        const n = moves.begin();
        n[COM_POS] = s[LOG_POS];
        n[WRITER + 2]--;
        n[WRITER] = W_ENTRY;
        moves.end('writer: commit');
        const back = moves.begin();
        back[WRITER] = W_UNDO;
        back[WRITER + 3] = s[LOG_POS];
        moves.end('writer: roll back');
        break;
      }
      case W_UNDO: {
        const n = moves.begin();
        const at = s[WRITER + 3];
        if (at > s[COM_POS]) {
          n[s[entry(at - 1)]] = s[entry(at - 1) + 1];
          n[WRITER + 3]--;
          moves.end('writer: undo a word');
        } else {
          n[COM_POS] = s[LOG_POS];
          n[WRITER] = W_ENTRY;
          n[WRITER + 1] = 0;
          if (s[LOG_POS] > s[COM_POS]) n[WRITER + 2]--;
          n[WRITER + 3] = 0;
          moves.end('writer: undone');
        }
        break;
      }
      default: {
        const n = moves.begin();
        n[WRITER] = W_UNDO;
        n[WRITER + 3] = s[LOG_POS];
        moves.end('writer: recover');
      }
    }
    if (s[WRITER + 4] < kills && pc !== W_DEAD) {
      const n = moves.begin();
      n[WRITER] = W_DEAD;
      n[WRITER + 1] = 0;
      n[WRITER + 3] = 0;
      n[WRITER + 4]++;
      moves.end('writer: KILL', 'kill');
    }
  };

  const restart = (n: Uint8Array): void => {
    n.fill(0, READER, COPY);
    n.fill(NONE, COPY, bytes);
  };
  const note = (s: Uint8Array, n: Uint8Array): void => {
    n[READER + 2] = n[READER + 3] = s[COM_POS];
    for (let word = 0; word < WORDS; word++) n[EXPECTED + word] = committed(s, word);
  };

  const look = (s: Uint8Array, moves: Moves, first: boolean): void => {
    const seen = s[READER + 3];
    switch (s[READER + 1]) {
      case L_POSITION: {
        const n = moves.begin();
        if (is('lateBegin') && first) note(s, n);
        if (!is('earlyLook')) n[READER + 4] = s[LOG_POS];
        const p = n[READER + 4];
        n[READER + 5] = p;
        n.copyWithin(FOLDED, OVERLAY, OVERLAY + WORDS);
        n[READER + 1] = is('noUndo') ? L_CHECK : L_ENTRIES;
        if (p - n[READER + 3] > most && !is('noLapCheck')) restart(n);
        moves.end('reader: note the log position');
        break;
      }
      case L_ENTRIES: {
        const n = moves.begin();
        const q = s[READER + 5];
        if (q > seen) {
          const word = s[entry(q - 1)];
          const old = s[entry(q - 1) + 1];
          if (first) {
            if (s[COPY + word] !== NONE) n[COPY + word] = old;
          } else if (s[FOLDED + word] === NONE || is('newestWins')) n[OVERLAY + word] = old;
          n[READER + 5]--;
          moves.end('reader: read an entry');
          break;
        }
        n[READER + 1] = L_CHECK;
        moves.end('reader: read all entries');
        break;
      }
      default: {
        const n = moves.begin();
        if (s[LOG_POS] - seen > most && !is('noLapCheck')) {
          restart(n);
          moves.end('reader: lapped');
          break;
        }
        if (!first) {
          n[READER + 3] = s[READER + 4];
          // Only what was copied since the last look is patched; the rest is of the commit already.
          const word = (s[READER] - 2) / 2;
          if (s[OVERLAY + word] !== NONE) n[COPY + word] = s[OVERLAY + word];
        } else if (is('forgetFirst')) n[READER + 3] = s[READER + 4];
        if (is('earlyLook')) n[READER + 4] = s[LOG_POS];
        n[READER]++;
        n[READER + 1] = L_POSITION;
        moves.end('reader: the ring was not lapped');
      }
    }
  };
  const copy = (s: Uint8Array, moves: Moves, word: number): void => {
    const n = moves.begin();
    n[COPY + word] = s[word];
    n[READER]++;
    moves.end(`reader: copy word ${word}`);
  };

  const reader = (s: Uint8Array, moves: Moves): void => {
    const at = s[READER];
    if (at === R_DONE) return;
    if (at === R_BEGIN) {
      const n = moves.begin();
      note(s, n);
      if (is('earlyLook')) n[READER + 4] = s[LOG_POS];
      n[READER] = 1;
      moves.end('reader: note the commit position');
    } else if (at % 2 === 1) copy(s, moves, (at - 1) / 2);
    else look(s, moves, at === 2);
  };

  return {
    name: `reads beside ${transactions} transactions, ring of ${ring}, ${kills} kills${mutation ? `, ${mutation}` : ''}`,
    bytes,
    initial(s) {
      s[WRITER + 2] = transactions;
      s.fill(NONE, COPY, bytes);
    },
    next(s, moves) {
      writer(s, moves);
      reader(s, moves);
    },
    check(s) {
      if (s[READER] !== R_DONE) return undefined;
      const view = s.slice(COPY, COPY + WORDS).join(' ');
      const commit = s.slice(EXPECTED, EXPECTED + WORDS).join(' ');
      return view === commit ? undefined : `torn: the view is ${view}, the commit was ${commit}`;
    },
    isFinal: s => s[WRITER + 2] === 0 && s[READER] === R_DONE,
  };
}
