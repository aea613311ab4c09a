/** One run of a flow in this process: its generator and those of its branches, driven by what its record says. It touches
 * no state and looks at no clock: the same record gives the same run, which is what makes it possible to begin again.
 *
 *   begin()                 runs to the first steps; these are `pending`, by number
 *   settle(n, outcome, at)  what came of step n: whatever waits for it goes on, to the next steps
 *   cancel(error)           throws into all that waits
 *
 * Steps are numbered as they are asked for. Between two calls nothing runs, and a call runs its strands in a fixed order,
 * so numbers and order are those of the first run as long as the code asks for the same.
 *
 * A strand is one generator. `all` and `race` begin a strand for each branch and wait until all of them have ended: of those
 * that are not needed any more the pending step is dropped, and they get RUNTIME_FLOW_CANCELLED thrown, which they may use
 * to clean up. A strand that ends with an error first runs what it gave to `onUndo`, last one first; one that ends well hands
 * these to the strand that waits for it. */
import { RuntimeError } from '../errors.ts';
import { Kind, KIND_NAMES, type FlowGenerator, type Outcome, Step } from './steps.ts';

interface Join {
  readonly parent: Strand;
  readonly race: boolean;
  readonly names: readonly string[] | undefined;
  readonly strands: Strand[];
  readonly values: unknown[];
  left: number;
  settled: Outcome | undefined;
}

interface Strand {
  steps: Iterator<unknown, unknown, unknown>;
  readonly join: Join | undefined;
  readonly index: number;
  undo: (() => unknown)[];
  started: boolean;
  ended: boolean;
  /** Runs what was given to onUndo: not cancelled any more. */
  unwinding: boolean;
  /** Number of the step it waits for; -1 none. */
  waitsFor: number;
  waitsOn: Join | undefined;
  /** Thrown where it asks for the next step. */
  cancelled: Error | undefined;
}

export interface Pending {
  readonly op: number;
  readonly step: Step<unknown>;
}

type Ready = { readonly strand: Strand; readonly outcome: Outcome };

export class Run {
  /** Steps that were asked for and of which nothing has come yet, in the order of their numbers. */
  readonly pending = new Map<number, Pending & { readonly strand: Strand }>();
  /** Steps that nobody waits for any more, and of which nothing has come yet: it may come, and is of no use. */
  readonly dropped = new Map<number, Step<unknown>>();
  /** Set when the flow has ended. */
  outcome: Outcome | undefined;
  /** Steps asked for so far. */
  asked = 0;
  /** Time of what came last, for `ctx.now`. */
  nowMs: number;
  /** Errors that nobody is there to catch any more: of branches that were cancelled, and of what undoes. */
  readonly lost: unknown[] = [];
  readonly #root: Strand;
  readonly #ready: Ready[] = [];
  #current: Strand | undefined;

  /** @param make the generator of the flow; called by `begin` */
  constructor(make: () => unknown, nowMs: number) {
    this.nowMs = nowMs;
    this.#root = strandOf(start(make), undefined, 0);
  }

  begin(): void {
    this.#ready.push({ strand: this.#root, outcome: VALUE });
    this.#drain();
  }

  /** @returns false when no such step is pending */
  settle(op: number, outcome: Outcome, atMs: number): boolean {
    const pending = this.pending.get(op);
    if (pending === undefined) return false;
    this.pending.delete(op);
    this.nowMs = Math.max(this.nowMs, atMs);
    pending.strand.waitsFor = -1;
    this.#ready.push({ strand: pending.strand, outcome });
    this.#drain();
    return true;
  }

  cancel(error: Error, atMs: number): void {
    this.nowMs = Math.max(this.nowMs, atMs);
    this.#cancel(this.#root, error);
    this.#drain();
  }

  /** Something to do when the strand that runs now ends with an error, or is cancelled. */
  onUndo(fn: () => unknown): void {
    if (typeof fn !== 'function') throw new TypeError('onUndo takes a function');
    if (this.#current === undefined) throw new TypeError('onUndo outside of its flow');
    this.#current.undo.push(fn);
  }

  #drain(): void {
    for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift()) this.#go(next);
  }

  #go({ strand, outcome }: Ready): void {
    if (strand.ended) return;
    if (!strand.started) {
      strand.started = true;
      if (strand.cancelled !== undefined) return this.#end(strand, { ok: false, error: strand.cancelled });
    }
    this.#current = strand;
    let result: IteratorResult<unknown, unknown>;
    try {
      result = outcome.ok ? strand.steps.next(outcome.value) : throwInto(strand.steps, outcome.error);
    } catch (error) {
      this.#current = undefined;
      return this.#end(strand, { ok: false, error });
    }
    this.#current = undefined;
    if (result.done) return this.#end(strand, { ok: true, value: result.value });
    const step = result.value;
    if (!(step instanceof Step)) {
      const error = new TypeError('a flow yields its steps with yield*, as in `yield* ctx.do(…)`, and nothing else');
      this.#ready.push({ strand, outcome: { ok: false, error } });
    } else if (strand.cancelled !== undefined && !strand.unwinding) {
      const error = strand.cancelled;
      strand.cancelled = undefined;
      this.#ready.push({ strand, outcome: { ok: false, error } });
    } else this.#ask(strand, step);
  }

  #ask(strand: Strand, step: Step<unknown>): void {
    const { what } = step;
    if (what.kind !== Kind.all && what.kind !== Kind.race) {
      const op = this.asked++;
      strand.waitsFor = op;
      this.pending.set(op, { op, step, strand });
      return;
    }
    const join: Join = {
      parent: strand,
      race: what.kind === Kind.race,
      names: what.names,
      strands: [],
      values: [],
      left: what.branches.length,
      settled: undefined,
    };
    strand.waitsOn = join;
    if (join.left === 0) return this.#joined(join);
    what.branches.forEach((branch, index) => {
      const child = strandOf(branch, join, index);
      join.strands.push(child);
      this.#ready.push({ strand: child, outcome: VALUE });
    });
  }

  #end(strand: Strand, outcome: Outcome): void {
    if (!outcome.ok && strand.undo.length > 0) {
      strand.steps = this.#unwind(strand.undo.reverse(), outcome.error);
      strand.undo = [];
      strand.unwinding = true;
      strand.cancelled = undefined;
      this.#ready.push({ strand, outcome: VALUE });
      return;
    }
    strand.ended = true;
    const { join } = strand;
    if (join === undefined) {
      this.outcome = outcome;
      return;
    }
    join.left--;
    if (outcome.ok) {
      join.parent.undo.push(...strand.undo);
      join.values[strand.index] = outcome.value;
    }
    if (join.settled === undefined) {
      if (join.race) {
        const by = join.names === undefined ? strand.index : join.names[strand.index];
        this.#decide(join, outcome.ok ? { ok: true, value: { by, value: outcome.value } } : outcome);
      } else if (!outcome.ok) this.#decide(join, outcome);
    } else if (!outcome.ok && !isCancelled(outcome.error)) this.lost.push(outcome.error);
    if (join.left === 0) this.#joined(join);
  }

  *#unwind(undo: readonly (() => unknown)[], error: unknown): FlowGenerator<never> {
    for (const fn of undo) {
      try {
        const steps = fn();
        if (isIterable(steps)) yield* steps as FlowGenerator<unknown>;
      } catch (failed) {
        this.lost.push(failed);
      }
    }
    throw error;
  }

  /** The others are not needed any more. */
  #decide(join: Join, outcome: Outcome): void {
    join.settled = outcome;
    if (join.left === 0) return;
    const error = new RuntimeError(
      'RUNTIME_FLOW_CANCELLED',
      join.race ? 'another branch of the race was first' : 'another branch failed',
      { severity: 'warn' },
    );
    for (const other of join.strands) this.#cancel(other, error);
  }

  #joined(join: Join): void {
    join.parent.waitsOn = undefined;
    const { names, values } = join;
    const all = (): unknown =>
      names === undefined ? values : Object.fromEntries(names.map((name, k) => [name, values[k]]));
    this.#ready.push({ strand: join.parent, outcome: join.settled ?? { ok: true, value: all() } });
  }

  #cancel(strand: Strand, error: Error): void {
    if (strand.ended || strand.unwinding) return;
    if (strand.waitsFor >= 0) {
      this.dropped.set(strand.waitsFor, this.pending.get(strand.waitsFor)!.step);
      this.pending.delete(strand.waitsFor);
      strand.waitsFor = -1;
      this.#ready.push({ strand, outcome: { ok: false, error } });
    } else if (strand.waitsOn !== undefined) {
      const join = strand.waitsOn;
      join.settled = { ok: false, error };
      for (const child of join.strands) this.#cancel(child, error);
    } else strand.cancelled = error;
  }
}

const VALUE: Outcome = { ok: true, value: undefined };

function strandOf(steps: unknown, join: Join | undefined, index: number): Strand {
  return {
    steps: iteratorOf(steps),
    join,
    index,
    undo: [],
    started: false,
    ended: false,
    unwinding: false,
    waitsFor: -1,
    waitsOn: undefined,
    cancelled: undefined,
  };
}

/** The function of the flow is called when it is begun, so that what it throws is thrown in its run. */
function* start(make: () => unknown): Generator<unknown, unknown, unknown> {
  const steps = make();
  return isIterable(steps) ? yield* steps as Generator<unknown, unknown, unknown> : steps;
}

function iteratorOf(steps: unknown): Iterator<unknown, unknown, unknown> {
  if (isIterable(steps)) return steps[Symbol.iterator]();
  return (function* (): Generator<unknown, unknown, unknown> {
    yield* [];
    throw new TypeError('a branch is a step or a generator of steps');
  })();
}

function throwInto(steps: Iterator<unknown, unknown, unknown>, error: unknown): IteratorResult<unknown, unknown> {
  if (steps.throw === undefined) throw error;
  return steps.throw(error);
}

export function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

export function isCancelled(error: unknown): boolean {
  return error instanceof RuntimeError && error.code === 'RUNTIME_FLOW_CANCELLED';
}

/** How a step is called in reports. */
export function nameOfStep(kind: number, label: string): string {
  const name = KIND_NAMES[kind] ?? `step of kind ${kind}`;
  return label === '' ? name : `${name} '${label}'`;
}
