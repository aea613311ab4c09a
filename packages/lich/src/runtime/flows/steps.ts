/** What a flow can ask for: each verb of its context makes one of these, and `yield*` waits for what comes of it. Nothing
 * has happened before that: a step that is only made does nothing. */
import type { Where } from '../sends.ts';
import type { Target } from '../service.ts';
import type { Protocol } from '@lich/schema';

/** Kinds as they are stored: numbers of a format, never used for something else (6 is CANCEL of table.ts). */
export const Kind = { do: 1, sleep: 2, call: 3, effect: 4, late: 5, send: 7, all: 100, race: 101 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];
export const KIND_NAMES: Readonly<Record<number, string>> = {
  1: 'do',
  2: 'sleep',
  3: 'call',
  4: 'effect',
  5: 'within',
  7: 'send',
  100: 'all',
  101: 'race',
};

/** Something that can be waited for: a step, or a generator of steps. */
export type Branch<R = unknown> = Iterable<Step<any>> | (Step<R> & Iterable<Step<any>>) | FlowGenerator<R>;
/** A generator of steps: what a flow is, and what parts of it are. */
export type FlowGenerator<R> = Generator<Step<any>, R, any>;

/** What kind-specific code needs to know. */
export type StepWhat =
  | { readonly kind: typeof Kind.do; readonly fn: (t: unknown) => unknown }
  | { readonly kind: typeof Kind.sleep; readonly ms: number }
  | { readonly kind: typeof Kind.late; readonly ms: number }
  | {
      readonly kind: typeof Kind.call;
      readonly to: Target<Protocol>;
      readonly name: string;
      readonly payload: Readonly<Record<string, unknown>>;
      readonly where: Where;
      readonly withinMs: number | undefined;
    }
  | {
      readonly kind: typeof Kind.send;
      readonly to: Target<Protocol>;
      readonly name: string;
      readonly payload: Readonly<Record<string, unknown>>;
      readonly where: Where | 'all';
    }
  | { readonly kind: typeof Kind.effect; readonly fn: (key: string, signal: AbortSignal) => unknown }
  | {
      readonly kind: typeof Kind.all | typeof Kind.race;
      /** Undefined for an array of branches. */
      readonly names: readonly string[] | undefined;
      readonly branches: readonly Iterable<Step<any>>[];
    };

/** One step; `R` is what comes of it. */
export class Step<R> {
  /** @internal */
  readonly what: StepWhat;
  /** @internal Says in reports which one it is. */
  readonly label: string;

  /** @internal */
  constructor(what: StepWhat, label: string) {
    this.what = what;
    this.label = label;
  }

  *[Symbol.iterator](): FlowGenerator<R> {
    return (yield this) as R;
  }
}

/** What `ctx.again(payload)` gives a flow to return: it goes on as a new flow. */
export class Again {
  /** @internal */
  readonly payload: unknown;
  /** @internal */
  constructor(payload: unknown) {
    this.payload = payload;
  }
}

/** What came of a step. */
export type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };
