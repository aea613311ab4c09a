/** When a standby rehearses, and what keeps it from harm: a message that ends the owner must not end its standbys too.
 *
 *   status/<node>.rehearsing   there while a rehearsal runs. A standby that finds it at its start is the follower of one that
 *                              died in a rehearsal: it removes the file and does without.
 *
 * Between the copy of the state and the run it waits in the lock as ever, until enough messages have come, at most a second.
 * One in which no messages were run is repeated later, when there may be some. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext, runInThisContext } from 'node:vm';
import type { Core } from './core.ts';
import { errorData } from './log.ts';
import { Rehearsal, type Rehearsed } from './rehearsal.ts';

/** How long one runs, and how long it is let run before the process is ended: a handler may not come back. */
const RUN_MS = 400;
const WATCHDOG_MS = 10_000;
/** As much is enough to begin with. */
const ENOUGH_BYTES = 65_536;
const WAIT_MS = 1_000;
/** Messages run so far that make another rehearsal unneeded. */
const ENOUGH_MESSAGES = 1_000;
const AGAIN_MS = 2_000;
const AGAIN_MS_MAX = 60_000;
/** Views of each pool that are made ahead: for the first messages. */
const VIEWS = 1_024;
const POLITE = 5;
const MAY_RAISE = process.geteuid?.() === 0;
const RUN: unique symbol = Symbol.for('lich.rehearsal') as never;

/** All rehearsals of one standby. */
export class Rehearsals {
  readonly #core: Core;
  readonly #marker: string;
  #now: Rehearsal | undefined;
  #dueMs = 0;
  #begunMs = 0;
  #againMs = AGAIN_MS;
  #messages = 0;
  #done = false;

  constructor(core: Core) {
    this.#core = core;
    this.#marker = join(core.dir, 'status', `${core.name}.rehearsing`);
    if (!core.rehearses) this.#done = true;
    else if (existsSync(this.#marker)) {
      this.#done = true;
      rmSync(this.#marker, { force: true });
      core.log.warn('the standby before this one died while it rehearsed: this one does without');
    }
  }

  /** The lanes are to be followed closely. */
  get follows(): boolean {
    return this.#now !== undefined;
  }

  /** Between two waits in the lock: do what is due. */
  step(): void {
    const core = this.#core;
    if (this.#done || core.store === undefined || core.logic.rehearse === undefined) return;
    const nowMs = performance.now();
    if (this.#now === undefined) {
      if (nowMs >= this.#dueMs) this.#begin(nowMs);
    } else if (this.#now.follow() >= ENOUGH_BYTES || nowMs - this.#begunMs >= WAIT_MS) this.#run(nowMs);
  }

  /** The lock is this process's: the live segments are wanted. */
  cut(): void {
    this.#now?.end();
    this.#now = undefined;
  }

  #begin(nowMs: number): void {
    const core = this.#core;
    const rehearsal = new Rehearsal(core, () => core.lock.free);
    const begun = politely(() => rehearsal.begin());
    this.#later(nowMs);
    if (begun === 'copied') {
      this.#now = rehearsal;
      this.#begunMs = performance.now();
    } else if (begun !== 'over') {
      const why = begun === 'no room' ? 'there is no memory for a copy' : 'its owner laps its log while it is copied';
      core.log.info(`no rehearsal now: ${why}`);
    }
  }

  #later(nowMs: number): void {
    this.#dueMs = nowMs + this.#againMs;
    this.#againMs = Math.min(AGAIN_MS_MAX, this.#againMs * 2);
  }

  #run(nowMs: number): void {
    const core = this.#core;
    const rehearsal = this.#now!;
    this.#now = undefined;
    let done: Rehearsed | undefined;
    try {
      done = politely(() => this.#guarded(rehearsal));
      this.#messages += done.messages;
      this.#done = this.#messages >= ENOUGH_MESSAGES;
    } catch (error) {
      // What is wrong there may be wrong in earnest, but then it is the owner's to say.
      core.log.warn('a rehearsal failed', errorData(error));
      this.#done = true;
    } finally {
      rehearsal.end();
      if (!core.lock.free)
        politely(() => {
          core.store.warm(VIEWS);
          collectYoung();
        });
      this.#later(nowMs);
    }
    // Said when the live segments are back: who reads it may count on the standby.
    if (done !== undefined) core.log.info('rehearsed', { ...done });
  }

  /** @returns once it has come back; a handler that does not ends the process */
  #guarded(rehearsal: Rehearsal): Rehearsed {
    mkdirSync(join(this.#core.dir, 'status'), { recursive: true, mode: 0o700 });
    writeFileSync(this.#marker, `${process.pid}\n`, { mode: 0o600 });
    const global = globalThis as { [RUN]?: () => Rehearsed };
    global[RUN] = () => rehearsal.run(RUN_MS);
    try {
      return runInThisContext("globalThis[Symbol.for('lich.rehearsal')]()", { timeout: WATCHDOG_MS }) as Rehearsed;
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
        // Its JavaScript was cut off anywhere: nothing in this process can be relied on. The marker stays.
        this.#core.log.error(`a handler did not come back from a rehearsal in ${WATCHDOG_MS} ms: the standby ends`);
        process.exit(1);
      }
      throw error;
    } finally {
      delete global[RUN];
      rmSync(this.#marker, { force: true });
    }
  }
}

/** What a rehearsal left is collected now, or it would be while the first messages of a life wait. Of the young generation
 * alone, and twice, so that what lives is old: a full collection would also throw compiled code away. */
function collectYoung(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as typeof collect;
  }
  for (let k = 0; k < 2; k++) collect!({ type: 'minor' });
}

let collect: ((what: { type: 'minor' }) => void) | undefined;

/** At a low priority, where it can be raised again: the owner needs the processor more. */
function politely<T>(fn: () => T): T {
  if (!MAY_RAISE) return fn();
  const before = getPriority();
  setPriority(Math.max(before, POLITE));
  try {
    return fn();
  } finally {
    setPriority(before);
  }
}
