/** machine({…}): a field that is in one of declared states.
 *
 *   WORD  FIELD    MEANING
 *    0-1  since    f64, service time in ms at which the state was entered
 *    2-3  timer    f64, handle of the state's timeout, 0 = none waits
 *      4  state    index of the state's name
 *      5  entered  1 once the first state was entered: before that it can be given, after that only switched
 *
 *   switch    exit action · cancel the timeout · state, since · arm the new timeout · entry action
 *
 * All of a switch is in the transaction of who switches; an action that throws undoes the whole switch before the error
 * goes on. Timeouts wait in the state, as own messages do, and are handled in a transaction each. They name the machine by
 * pool, field, slot and generation: one whose record is gone, or that has left the state meanwhile, does nothing. */
import { machineLayout, type MachineShape } from '@lich/schema';
import { FREED_STAMP, freed, type Placed } from './door.ts';
import { StateError } from './errors.ts';
import type { MachineName } from './machine-names.ts';
import type { Stamp, StoreContext } from './memory.ts';
import type { UndoLog } from './undo-log.ts';
import { NOW } from './words.ts';

const TIMER = machineLayout.timer / 4;
const STATE = machineLayout.state / 4;
const ENTERED = machineLayout.entered / 4;
/** Switches of one machine that its entry actions may add to one: more never come to rest. */
const CHAIN_MAX = 64;

/** Where timeouts wait; the runtime sets it. */
export interface MachineTimers {
  /** @returns a handle, never 0 */
  arm(machine: MachineName, afterMs: number): number;
  cancel(handle: number): void;
}

/** What all machines of a store share. */
export class Machines {
  readonly context: StoreContext;
  readonly #log: () => UndoLog;
  readonly #nameOf: (stamp: Stamp, word: number) => MachineName | undefined;
  timers: MachineTimers | undefined;
  /** The machine whose exit action runs. */
  leaving: MachineView | undefined;
  depth = 0;

  /** @param nameOf the machine at a word, in the record that this stamp belongs to */
  constructor(
    context: StoreContext,
    log: () => UndoLog,
    nameOf: (stamp: Stamp, word: number) => MachineName | undefined,
  ) {
    this.context = context;
    this.#log = log;
    this.#nameOf = nameOf;
  }

  arm(stamp: Stamp, word: number, afterMs: number): number {
    const name = this.timers && this.#nameOf(stamp, word);
    return name === undefined ? 0 : this.timers!.arm(name, afterMs);
  }

  /** Run `fn` whole or not at all. */
  whole(fn: () => void): void {
    const log = this.#log();
    const before = log.savepoint();
    try {
      fn();
    } catch (error) {
      // After STATE_LOG_FULL and the like only the rollback of all is left.
      if (log.open) log.rollbackTo(before);
      throw error;
    }
  }
}

type Why = 'to' | 'event' | 'timeout' | 'create';

export class MachineView implements Placed {
  readonly #machines: Machines;
  readonly #kind: MachineShape;
  readonly #what: string;
  readonly #record: object;
  readonly #homeWord: number;
  readonly #homeStamp: Stamp;
  #word: number;
  #stamp: Stamp;

  /** @param record what actions are called with
   * @param what for messages: `Npc.mode` */
  constructor(machines: Machines, kind: MachineShape, what: string, word: number, stamp: Stamp, record: object) {
    this.#machines = machines;
    this.#kind = kind;
    this.#what = what;
    this.#record = record;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stamp;
    // What equality of test runners and printing see.
    Object.defineProperty(this, 'state', { get: () => this.#state(), enumerable: true });
  }

  declare readonly state: string;

  get since(): number {
    return this.#machines.context.mem.f64[(this.#word || freed()) >> 1];
  }

  is(...states: string[]): boolean {
    return states.includes(this.#state());
  }

  can(target: string): boolean {
    return this.#targets().has(target);
  }

  to(target: string): this {
    if (!this.#targets().has(target)) this.#refuse(`to '${target}'`);
    this.#switch(target, 'to', undefined);
    return this;
  }

  send(event: string): boolean {
    const target = this.#kind.chart.states[this.#state()]?.on?.[event];
    if (target === undefined) return false;
    this.#switch(target, 'event', event);
    return true;
  }

  toString(): string {
    return this.#state();
  }

  toJSON(): string {
    return this.#state();
  }

  /** The timeout with this handle is due. @returns false when it is not the one that the state waits for */
  timeout(handle: number): boolean {
    const { context } = this.#machines;
    if (this.#word === 0 || context.mem.f64[(this.#word + TIMER) >> 1] !== handle) return false;
    this.#writeTimer(0);
    const after = this.#kind.chart.states[this.#state()]?.after;
    if (after === undefined) return false;
    this.#switch(after[1], 'timeout', undefined);
    return true;
  }

  /** The record was just made: enter the state that it was given, or the first one. */
  enterFirst(): void {
    const { context } = this.#machines;
    if (context.mem.u32[this.#word + ENTERED] === 1) return;
    context.log.write(this.#word + ENTERED, 1);
    this.#enter(undefined, this.#state(), 'create', undefined);
  }

  /** @internal Give it a state without a switch: only before its first one was entered. */
  assign(value: unknown): void {
    const state = String(value);
    const { context } = this.#machines;
    if (context.mem.u32[this.#word + ENTERED] === 1) {
      if (state === this.#state()) return;
      this.#refuse(`to '${state}' by assignment; use to('${state}')`);
    }
    context.touch(this.#stamp);
    context.log.write(this.#word + STATE, this.#kind.names.indexOf(state));
  }

  /** @internal */
  get $word(): number {
    return this.#word;
  }

  /** @internal */
  $free(): void {
    this.#word = 0;
    this.#stamp = FREED_STAMP;
  }

  /** @internal */
  $revive(): void {
    this.#word = this.#homeWord;
    this.#stamp = this.#homeStamp;
  }

  #state(): string {
    return this.#kind.names[this.#machines.context.mem.u32[(this.#word || freed()) + STATE]]!;
  }

  #targets(): Set<string> {
    return targetsOf(this.#kind, this.#state());
  }

  #switch(target: string, why: Why, event: string | undefined): void {
    const machines = this.#machines;
    if (machines.leaving === this) this.#refuse(`to '${target}' in its own exit action`);
    if (machines.depth >= CHAIN_MAX)
      this.#refuse(`to '${target}': ${CHAIN_MAX} entry actions switched again and again`);
    const from = this.#state();
    machines.whole(() => {
      machines.context.touch(this.#stamp);
      const exit = this.#kind.code?.[from]?.exit;
      if (exit !== undefined) {
        const outer = machines.leaving;
        machines.leaving = this;
        try {
          this.#act(exit, from, target, why, event);
        } finally {
          machines.leaving = outer;
        }
      }
      this.#enter(from, target, why, event);
    });
  }

  #enter(from: string | undefined, to: string, why: Why, event: string | undefined): void {
    const machines = this.#machines;
    const { log, mem } = machines.context;
    const word = this.#word || freed();
    const waits = mem.f64[(word + TIMER) >> 1];
    if (waits !== 0) machines.timers?.cancel(waits);
    log.write(word + STATE, this.#kind.names.indexOf(to));
    log.write(word + ENTERED, 1);
    log.log2(word);
    mem.f64[word >> 1] = mem.f64[NOW >> 1];
    const after = this.#kind.chart.states[to]?.after;
    const timer = after === undefined ? 0 : machines.arm(this.#stamp, word, after[0]);
    if (timer !== waits) this.#writeTimer(timer);
    const enter = this.#kind.code?.[to]?.enter;
    if (enter === undefined) return;
    machines.depth++;
    try {
      this.#act(enter, from, to, why, event);
    } finally {
      machines.depth--;
    }
  }

  #act(
    action: (...args: any[]) => any,
    from: string | undefined,
    to: string,
    why: Why,
    event: string | undefined,
  ): void {
    action(this.#record, { from, to, why, event, nowMs: this.#machines.context.mem.f64[NOW >> 1] });
  }

  #writeTimer(handle: number): void {
    const { log, mem } = this.#machines.context;
    log.log2(this.#word + TIMER);
    mem.f64[(this.#word + TIMER) >> 1] = handle;
  }

  #refuse(what: string): never {
    const from = this.#state();
    const targets = [...this.#targets()];
    throw new StateError(
      'STATE_SWITCH',
      `${this.#what} cannot switch from '${from}' ${what}; from there it goes to ${targets.length === 0 ? 'nowhere' : targets.join(', ')}`,
    );
  }
}

/** States that a state may switch to, in the order of their declaration. */
export function targetsOf(kind: Pick<MachineShape, 'chart'>, state: string): Set<string> {
  const { to = [], on = {}, after } = kind.chart.states[state] ?? {};
  return new Set([...to, ...Object.values(on), ...(after === undefined ? [] : [after[1]])]);
}
