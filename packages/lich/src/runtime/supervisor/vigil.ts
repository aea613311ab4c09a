/** Does an owner hang? Counted in looks of the supervisor without a heartbeat, never in time: when the host is paused, or
 * the supervisor is not run, nobody looks, and nobody is killed for it. A process that is stopped, or held by a debugger,
 * is not hung either. */

/** Time between two looks. */
export const VIGIL_MS = 500;
/** Looks without a heartbeat after which an owner hangs: 5 s. */
export const HANG_POLLS = 10;
/** Before it serves an owner may take so many times longer: it recovers, resumes and loads without turning its loop. */
const START_FACTOR = 6;

/** What is seen of a node's owner. */
export interface Pulse {
  readonly pid: number;
  /** Number of its life, 0 = none yet. */
  readonly epoch: number;
  readonly phase: string;
  readonly beats: number;
}

/** Watches one node. */
export class Vigil {
  readonly #polls: number;
  #last: Pulse | undefined;
  #missed = 0;

  /** @param polls 0 = never */
  constructor(polls: number) {
    this.#polls = polls;
  }

  /** Looks in a row without a sign of life. */
  get missed(): number {
    return this.#missed;
  }

  /** @param pulse undefined = there is no process to watch
   * @param isHeld asked only when it matters: is that process stopped, or in a debugger?
   * @returns 'hung' when it has to go; 'silent' when it should be rung */
  look(pulse: Pulse | undefined, isHeld: (pid: number) => boolean): 'beats' | 'silent' | 'hung' {
    const last = this.#last;
    this.#last = pulse;
    if (pulse === undefined || this.#polls === 0 || !isSame(last, pulse) || isHeld(pulse.pid)) {
      this.#missed = 0;
      return 'beats';
    }
    this.#missed++;
    const limit = pulse.phase === 'serving' ? this.#polls : this.#polls * START_FACTOR;
    return this.#missed >= limit ? 'hung' : 'silent';
  }
}

function isSame(a: Pulse | undefined, b: Pulse): boolean {
  return a !== undefined && a.pid === b.pid && a.epoch === b.epoch && a.phase === b.phase && a.beats === b.beats;
}
