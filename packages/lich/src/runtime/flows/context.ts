/** What a flow is given (`FlowContext` of flow.ts is its type), and what its `do` is given. */
import type { Protocol } from '@lich/schema';
import { RuntimeError } from '../errors.ts';
import type { Random } from '../random.ts';
import type { Where } from '../sends.ts';
import type { Target } from '../service.ts';
import type { CallOptions, FlowBranch } from './flow.ts';
import type { Run } from './run.ts';
import { Again, type FlowGenerator, Kind, Step } from './steps.ts';

/** Sleeps live in the state and may last for years. */
const MAX_DELAY_MS = 100 * 365 * 86_400_000;
const WITHIN_DEFAULT_MS = 30_000;

type Fn = (...args: any[]) => unknown;

export class FlowCtx {
  readonly id: number;
  readonly version: number;
  readonly turn: number;
  readonly config: unknown;
  readonly random: Random;
  readonly #name: string;
  readonly #run: () => Run;

  constructor(o: {
    id: number;
    version: number;
    turn: number;
    config: unknown;
    random: Random;
    name: string;
    run: () => Run;
  }) {
    this.id = o.id;
    this.version = o.version;
    this.turn = o.turn;
    this.config = o.config;
    this.random = o.random;
    this.#name = o.name;
    this.#run = o.run;
  }

  get now(): number {
    return this.#run().nowMs;
  }

  // What handlers have, and a flow has not: the types do not know these.

  get state(): never {
    return this.#refuse('state');
  }
  get me(): never {
    return this.#refuse('me');
  }
  get tick(): never {
    return this.#refuse('tick');
  }
  get log(): never {
    return this.#refuse('log');
  }

  #refuse(what: string): never {
    throw new RuntimeError(
      'RUNTIME_FLOW_STATE',
      `flow ${this.#name} uses ctx.${what}: a flow is run again over its record, so it sees state only inside ctx.do`,
    );
  }

  do(name: string | Fn, fn?: Fn): Step<unknown> {
    const [label, work] = typeof name === 'string' ? [name, fn] : ['', name];
    if (typeof work !== 'function') throw new TypeError('ctx.do takes a function');
    return new Step({ kind: Kind.do, fn: work }, label);
  }

  sleep(ms: number): Step<void> {
    return new Step({ kind: Kind.sleep, ms: delay('sleep', ms) }, '');
  }

  call(
    to: Target<Protocol>,
    name: string,
    payload: Readonly<Record<string, unknown>>,
    { instance = 1, key, withinMs = WITHIN_DEFAULT_MS }: CallOptions = {},
  ): Step<unknown> {
    const where = key === undefined ? instance : { key };
    return new Step({ kind: Kind.call, to, name, payload, where, withinMs }, `${to.name}.${name}`);
  }

  send(
    to: Target<Protocol>,
    name: string,
    payload: Readonly<Record<string, unknown>>,
    where: Where | 'all' = 1,
  ): Step<void> {
    return new Step({ kind: Kind.send, to, name, payload, where }, `${to.name}.${name}`);
  }

  effect(name: string, fn: Fn): Step<unknown> {
    if (typeof name !== 'string' || typeof fn !== 'function')
      throw new TypeError('ctx.effect takes a name and a function that returns a promise');
    return new Step({ kind: Kind.effect, fn }, name);
  }

  all(branches: object): Step<unknown> {
    return join(Kind.all, branches);
  }

  race(branches: object): Step<unknown> {
    return join(Kind.race, branches);
  }

  *within(ms: number, branch: FlowBranch): FlowGenerator<unknown> {
    const late = new Step({ kind: Kind.late, ms: delay('within', ms) }, '');
    const won = (yield join(Kind.race, { done: branch, late })) as { by: string; value: unknown };
    if (won.by === 'done') return won.value;
    throw new RuntimeError('RUNTIME_FLOW_DEADLINE', `not done within ${ms} ms`, { severity: 'warn' });
  }

  onUndo(fn: () => unknown): void {
    this.#run().onUndo(fn);
  }

  again(payload: unknown): Again {
    return new Again(payload);
  }
}

function delay(what: string, ms: number): number {
  if (!(ms >= 0 && ms <= MAX_DELAY_MS)) throw new RangeError(`ctx.${what}(${ms}): want 0..${MAX_DELAY_MS} ms`);
  return Math.ceil(ms);
}

function join(kind: typeof Kind.all | typeof Kind.race, branches: object): Step<unknown> {
  const names = Array.isArray(branches) ? undefined : Object.keys(branches);
  const list = Object.values(branches) as Iterable<Step<unknown>>[];
  if (kind === Kind.race && list.length === 0) throw new TypeError('ctx.race of nothing would never end');
  return new Step({ kind, names, branches: list }, '');
}

/** What `fn` of a `ctx.do` is given: the context of a handler, while it runs. Kept and used later it refuses. */
export function guarded(context: object, isInside: () => boolean): object {
  const methods = new Map<PropertyKey, Fn>();
  return new Proxy(context, {
    get(target, key) {
      if (!isInside())
        throw new RuntimeError(
          'RUNTIME_FLOW_STATE',
          `what ctx.do gave was kept, and used later (${String(key)}): state is seen inside ctx.do alone`,
        );
      const value = Reflect.get(target, key, target) as unknown;
      if (typeof value !== 'function') return value;
      let method = methods.get(key);
      if (method === undefined) methods.set(key, (method = (value as Fn).bind(target) as Fn));
      return method;
    },
    set() {
      throw new TypeError('the context of a transaction is read only');
    },
  });
}
