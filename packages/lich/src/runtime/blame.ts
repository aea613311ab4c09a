/** Who killed us? The words page names the record that was being handled when the last life ended. If its position is
 * still the committed cursor, it is the suspect, and this file decides how often it may kill before it is set aside.
 *
 *   WORD  FIELD     MEANING
 *     32  cur       (code << 8) | tries; code: 0 nothing, 1…n number of the stream + 1, OWN, QUEUED, REQUEUED, TICK
 *     33  curPos    committed cursor of that stream | slot of the timer | own messages taken from the queue | tick
 *     34  curMore   which timer of that slot, and which of its times
 *     35  suspect   code of the suspect that `tries` counts
 *     36  suspectPos, 37 suspectMore
 *
 * All are unlogged. `tries` shares its word with `code`, so that counting a death and forgetting what was being handled
 * are one store: a kill in between counts it neither twice nor not at all.
 *
 * After the first death the suspect runs again at once. From the second on it waits, while all else goes on, for the
 * exit note that the supervisor writes when the kernel tells it (20–60 ms after a takeover); without one in 100 ms the
 * death counts as a plain SIGKILL. */
import type { ExitNote, OwnerLock } from '../shm/index.ts';
import type { SuspectWords } from '../bus/index.ts';

const WORDS_PAGE = 4096 / 4;
export const CUR = WORDS_PAGE + 32;
export const CUR_POS = WORDS_PAGE + 33;
export const CUR_MORE = WORDS_PAGE + 34;
const SUSPECT = WORDS_PAGE + 35;
const SUSPECT_POS = WORDS_PAGE + 36;
const SUSPECT_MORE = WORDS_PAGE + 37;

export const suspectWords: SuspectWords = { cur: CUR, curPos: CUR_POS };

/** Codes beyond those of streams. */
export const OWN = 0xff_fffe;
export const TICK = 0xff_fffd;
/** An own message that was posted at once; OWN is one that was posted for later. */
export const QUEUED = 0xff_fffc;
/** A message of the quarantine that is handled again: orders.ts. */
export const REQUEUED = 0xff_fffb;

/** Deaths by its own signal, abort or hang after which a message is set aside; and by plain SIGKILL, which is most
 * likely somebody else's doing. */
export const OWN_DEATHS = 2;
export const KILL_DEATHS = 4;
/** How long the exit note is waited for. */
export const NOTE_WAIT_MS = 100;

export type Verdict = 'run' | 'wait' | 'set aside';

export interface Suspect {
  readonly code: number;
  readonly pos: number;
  readonly more: number;
  readonly tries: number;
}

/** R4 of recovery: count the death against what was being handled, if that is still to be done.
 * @param isStill whether the record of that code and position is still the next one
 * @remarks may be killed at any store and begun again */
export function countDeath(
  S: Int32Array,
  isStill: (code: number, pos: number, more: number) => boolean,
): Suspect | undefined {
  const code = S[CUR] >>> 8;
  if (code !== 0 && !isStill(code, S[CUR_POS], S[CUR_MORE])) S[CUR] = S[CUR] & 0xff;
  else if (code !== 0) {
    const same =
      S[SUSPECT] === code && S[SUSPECT_POS] === S[CUR_POS] && (code !== OWN || S[SUSPECT_MORE] === S[CUR_MORE]);
    if (!same) {
      S[CUR] = code << 8;
      S[SUSPECT_MORE] = S[CUR_MORE];
      S[SUSPECT_POS] = S[CUR_POS];
      S[SUSPECT] = code;
    }
    S[CUR] = Math.min((S[CUR] & 0xff) + 1, 0xff);
  }
  const tries = S[CUR] & 0xff;
  if (tries === 0 || !isStill(S[SUSPECT], S[SUSPECT_POS], S[SUSPECT_MORE])) return undefined;
  return { code: S[SUSPECT], pos: S[SUSPECT_POS], more: S[SUSPECT_MORE], tries };
}

/** Did the process die by its own doing? An exit code counts, and so does a signal that a bug raises; a SIGKILL does
 * not, unless the supervisor says that it had to. */
export function diedByItself(note: ExitNote): boolean {
  if (note.cause !== undefined) return note.cause !== 'asked';
  if (note.signal === undefined) return note.code !== 0;
  return note.signal !== 'SIGKILL' && note.signal !== 'SIGTERM' && note.signal !== 'SIGINT';
}

/** The one suspect of this life. */
export class Blame {
  readonly suspect: Suspect | undefined;
  /** Is something smaller to be judged first: a record that was visited within the message? Then this is what happens to
   * the message with so many deaths. */
  smaller: (tries: number) => Verdict | undefined = () => undefined;
  /** The process that died. */
  readonly lastPid: number;
  readonly #lock: OwnerLock;
  readonly #sinceMs: number;
  #done = false;

  constructor(suspect: Suspect | undefined, lock: OwnerLock, lastPid: number, nowMs: number) {
    this.suspect = suspect;
    this.#lock = lock;
    this.lastPid = lastPid;
    this.#sinceMs = nowMs;
  }

  /** Cheap test for the hot loop. */
  get over(): boolean {
    return this.#done || this.suspect === undefined;
  }

  isSuspect(code: number, pos: number, more = 0): boolean {
    const s = this.suspect;
    return s !== undefined && s.code === code && s.pos === pos && (code !== OWN || s.more === more);
  }

  /** What to do with the suspect now.
   * @param nowMs a clock that does not stand still */
  verdict(nowMs: number): Verdict {
    const { tries } = this.suspect!;
    return (tries < OWN_DEATHS ? undefined : this.smaller(tries)) ?? this.judge(tries, nowMs);
  }

  /** What to do with who caused so many deaths. */
  judge(tries: number, nowMs: number): Verdict {
    if (tries < OWN_DEATHS) return 'run';
    const note = this.#lock.readExit(this.lastPid);
    if (note === undefined && nowMs - this.#sinceMs < NOTE_WAIT_MS) return 'wait';
    const limit = note !== undefined && diedByItself(note) ? OWN_DEATHS : KILL_DEATHS;
    return tries >= limit ? 'set aside' : 'run';
  }

  /** The suspect was handled, or set aside: nobody is suspected any more. */
  clear(): void {
    this.#done = true;
  }
}
