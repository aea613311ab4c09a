/** Flows as they run in this process: made from their records when they are needed, and again when they are not in memory
 * any more. Nothing here is in the state; what a record says and what the code then asks for is compared, step by step. */
import { RuntimeError } from '../errors.ts';
import type { Config } from '../config.ts';
import type { Asks } from '../requests.ts';
import { checksFlows, differenceOf } from './again.ts';
import { type FlowCode, type FlowCodes } from './code.ts';
import { FlowCtx } from './context.ts';
import { errorOf, errorValue } from './errors.ts';
import { FlowRandom } from './random.ts';
import { nameOfStep, Run } from './run.ts';
import type { Kind, Outcome, Step, StepWhat } from './steps.ts';
import { CANCEL, type $Flow, idOfFlow, RAW } from './table.ts';
import { decode } from './values.ts';

/** Flows whose generators stay in memory; what is beyond is begun again from its record when it goes on. */
const LIVES_MAX = 10_000;

/** Why a flow cannot go on. */
export interface Stuck {
  readonly code:
    | 'RUNTIME_FLOW_STATE'
    | 'RUNTIME_FLOW_DIFFERS'
    | 'RUNTIME_FLOW_VERSION'
    | 'RUNTIME_FLOW_FAILED'
    | 'RUNTIME_SET_ASIDE';
  readonly why: string;
}

/** One flow in memory. */
export class Life {
  readonly slot: number;
  readonly generation: number;
  readonly turn: number;
  readonly code: FlowCode;
  readonly run: Run;
  /** Entries of its record that it knows. */
  fed = 0;
  stuck: Stuck | undefined;
  /** Entries that were RAW, and what they say. */
  readonly read: { readonly at: number; readonly outcome: Outcome }[] = [];
  readonly #asks: Asks;
  /** Effects that run, by the number of their step. */
  readonly effects = new Map<number, AbortController>();

  constructor(slot: number, generation: number, flow: $Flow, code: FlowCode, { config, asks }: LivesOptions) {
    this.#asks = asks;
    this.slot = slot;
    this.generation = generation;
    this.turn = flow.turn;
    this.code = code;
    const ctx = new FlowCtx({
      id: idOfFlow(slot, generation),
      version: flow.version,
      turn: flow.turn,
      config,
      random: new FlowRandom(flow.seed.get(0), flow.seed.get(1)),
      name: flow.name,
      run: () => this.run,
    });
    const params = decode(flow.params);
    this.run = new Run(() => code.run(ctx, params), flow.startedMs);
    this.run.begin();
  }

  /** Bring it to where its record is. No state is written. */
  feed(flow: $Flow): void {
    const { steps, waits } = flow;
    while (this.stuck === undefined) {
      if (flow.asked > 0 && this.fed === flow.askedAt && this.run.asked !== flow.asked)
        return this.#differs(this.fed, `asked for ${flow.asked} steps`, `asks for ${this.run.asked}`);
      if (this.fed >= steps.length) break;
      const at = this.fed;
      const { op, kind, failed, atMs, label, value } = steps.get(at);
      const step = this.run.pending.get(op)?.step ?? this.run.dropped.get(op);
      if (kind === CANCEL) {
        // It may have ended before the turn in which it would have said so.
        const error = new RuntimeError('RUNTIME_FLOW_CANCELLED', `flow ${flow.name} was cancelled`, {
          severity: 'warn',
        });
        if (this.run.outcome === undefined) this.run.cancel(error, atMs);
      } else {
        if (step === undefined)
          return this.#differs(
            at,
            nameOfStep(kind, label),
            this.run.outcome === undefined ? 'does not ask for it' : 'has ended',
          );
        if (step.what.kind !== kind || step.label !== label)
          return this.#differs(at, nameOfStep(kind, label), `asks for ${nameOfStep(step.what.kind, step.label)}`);
        // Over before the turn that would have taken it back, as the second of two sleeps in a race may be.
        if (!this.run.dropped.delete(op)) {
          const outcome = failed === RAW ? this.#read(at, step, value) : outcomeOf(failed, decode(value));
          this.run.settle(op, outcome, atMs);
        }
      }
      this.fed++;
    }
    for (let k = 0; k < waits.length; k++) {
      const { op, kind, label } = waits.get(k);
      const step = this.run.pending.get(op)?.step;
      if (step !== undefined && (step.what.kind !== kind || step.label !== label))
        return this.#differs(this.fed, nameOfStep(kind, label), `asks for ${nameOfStep(step.what.kind, step.label)}`);
    }
  }

  /** An answer as it came. What it says is recorded by the turn that uses it. */
  #read(at: number, { what }: Step<unknown>, raw: Uint8Array): Outcome {
    const { to, name } = what as Extract<StepWhat, { kind: typeof Kind.call }>;
    let outcome: Outcome;
    try {
      outcome = { ok: true, value: this.#asks.plainOf(to, name, raw) };
    } catch (error) {
      outcome = { ok: false, error: errorOf(errorValue(error)) };
    }
    this.read.push({ at, outcome });
    return outcome;
  }

  #differs(at: number, recorded: string, now: string): void {
    this.stuck = {
      code: 'RUNTIME_FLOW_DIFFERS',
      why: `step ${at + 1}: the record has ${recorded}, the code ${now}; raise its version and keep the old steps`,
    };
  }

  /** Has this process something to lose of it? */
  get isBusy(): boolean {
    return this.effects.size > 0;
  }

  abort(): void {
    for (const controller of this.effects.values()) controller.abort();
    this.effects.clear();
  }
}

function outcomeOf(failed: number, value: unknown): Outcome {
  return failed === 1 ? { ok: false, error: errorOf(value) } : { ok: true, value };
}

export interface LivesOptions {
  readonly codes: FlowCodes;
  readonly config: Config;
  readonly asks: Asks;
}

export class Lives {
  readonly #o: LivesOptions;
  readonly #checks = checksFlows();
  /** By slot, the one that was used last is the last one. */
  readonly #lives = new Map<number, Life>();

  constructor(o: LivesOptions) {
    this.#o = o;
  }

  /** @returns the one in memory, of that very flow */
  peek(slot: number, generation: number): Life | undefined {
    const life = this.#lives.get(slot);
    return life?.generation === generation ? life : undefined;
  }

  /** Bring a flow into memory, and to where its record is.
   * @returns why not, where this code does not have it */
  find(slot: number, generation: number, flow: $Flow): Life | Stuck {
    let life = this.peek(slot, generation);
    if (life !== undefined && (life.turn !== flow.turn || life.fed > flow.steps.length)) life = undefined;
    const wasThere = life !== undefined;
    if (life === undefined) {
      const { name, version } = flow;
      const code = this.#o.codes.find(name);
      if (code === undefined)
        return {
          code: 'RUNTIME_FLOW_VERSION',
          why: `this code has no flow ${name}; name the new one with was: '${name}'`,
        };
      if (version > code.version || version < code.accepts)
        return {
          code: 'RUNTIME_FLOW_VERSION',
          why: `it began with version ${version} of ${name}, this code goes on with ${code.accepts}..${code.version}`,
        };
      life = new Life(slot, generation, flow, code, this.#o);
    }
    this.#lives.delete(slot);
    this.#lives.set(slot, life);
    const before = life.fed;
    life.feed(flow);
    if (this.#checks && wasThere && life.fed > before && life.stuck === undefined) this.#check(life, flow);
    if (this.#lives.size > LIVES_MAX) this.#evict();
    return life;
  }

  #check(life: Life, flow: $Flow): void {
    const again = new Life(life.slot, life.generation, flow, life.code, this.#o);
    again.feed(flow);
    const differs = again.stuck?.why ?? differenceOf(life.run, again.run);
    if (differs === undefined) return;
    life.stuck = {
      code: 'RUNTIME_FLOW_STATE',
      why: `after step ${life.fed} it ${differs}. It uses what is not in its record: what a do left in a variable, a record, the clock, Math.random()`,
    };
  }

  forget(life: Life): void {
    life.abort();
    if (this.#lives.get(life.slot) === life) this.#lives.delete(life.slot);
  }

  forgetAll(): void {
    for (const life of this.#lives.values()) life.abort();
    this.#lives.clear();
  }

  #evict(): void {
    for (const [slot, life] of this.#lives) {
      if (life.isBusy) continue;
      this.#lives.delete(slot);
      return;
    }
  }
}
