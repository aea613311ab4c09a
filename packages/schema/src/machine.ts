import { SchemaError } from './errors.ts';
import { makeKind, type KindBase } from './kind.ts';
import { MACHINE_BYTES } from './layout.ts';

/** What a switch was: what an action gets besides its record. */
export interface MachineStep<Names extends string = string> {
  /** The state that is left; undefined when the record was just made and enters its first one. */
  readonly from: Names | undefined;
  /** The state that is entered. */
  readonly to: Names;
  /** Who switched: `to()`, `send()` with the event's name, the state's timeout, or `create`. */
  readonly why: 'to' | 'event' | 'timeout' | 'create';
  readonly event: string | undefined;
  /** Service time in ms. */
  readonly nowMs: number;
}

/** An entry or exit action, called with the record and a `MachineStep`. Its type takes anything, because a class cannot be
 * looked into while its own base is declared. */
export type MachineAction = (...args: any[]) => any;

/** One state as declared. What it may switch to: everything in `to`, in `on` and in `after`. */
export interface MachineState<Names extends string = string> {
  /** States that `record.mode.to(…)` may go to from here. */
  readonly to?: readonly Names[];
  /** By event, for `record.mode.send(…)`: where it leads from here. */
  readonly on?: Readonly<Record<string, Names>>;
  /** Goes there by itself when it was in this state for so many ms, 1..2^47 of service time. */
  readonly after?: readonly [ms: number, to: Names];
  /** Runs when the state was entered, in the same transaction; may switch again. Annotate record and result,
   * `enter(npc: Npc, step: MachineStep): void { … }`, or neither: then the record is of any type. */
  readonly enter?: MachineAction;
  /** Runs before the state is left; may not switch. */
  readonly exit?: MachineAction;
}

/** States by name. */
export type MachineStates = Readonly<Record<string, MachineState>>;

/** What each state may switch to: `{ idle: 'chase'; chase: 'idle' | 'dead'; dead: never }`. */
export type TargetsOf<D> = {
  readonly [N in keyof D]:
    | (D[N] extends { readonly to: readonly (infer T extends string)[] } ? T : never)
    | (D[N] extends { readonly on: Readonly<Record<string, infer T extends string>> } ? T : never)
    | (D[N] extends { readonly after: readonly [number, infer T extends string] } ? T : never);
};
/** The events of all states. */
export type EventsOf<D> = {
  [N in keyof D]: D[N] extends { readonly on: infer O } ? keyof O & string : never;
}[keyof D];

// Carries types only; no object has it.
declare const MACHINE: unique symbol;

/** The kind of `machine({…})`. */
export interface MachineKind<T, E extends string = never, Syncs extends boolean = boolean>
  extends KindBase<any, any, Syncs, 'machine'> {
  readonly [MACHINE]: { readonly targets: T; readonly events: E };
  /** Sent to clients, who read the name of the state. */
  readonly sync: MachineKind<T, E, true>;
}

/** Names and transitions of a machine without its code. */
export interface MachineChart {
  readonly initial: string;
  readonly states: Readonly<
    Record<
      string,
      {
        readonly to?: readonly string[];
        readonly on?: Readonly<Record<string, string>>;
        readonly after?: readonly [ms: number, to: string];
      }
    >
  >;
}

/** Longest timeout of a state. */
export const MACHINE_AFTER_MAX = 2 ** 47;
const STATES_MAX = 0x1_0000;
const KEYS = ['to', 'on', 'after', 'enter', 'exit'];

/** A state machine: declared states, and what each may switch to.
 *
 * ```ts
 * mode: machine({
 *   initial: 'idle',
 *   states: {
 *     idle: { to: ['chase'], on: { hurt: 'chase' } },
 *     chase: { to: ['idle', 'dead'], after: [5_000, 'idle'], enter(npc: Npc): void { npc.howls++; } },
 *     dead: {},
 *   },
 * })
 * ```
 * `npc.mode.state` is the name of the state, `npc.mode.to('chase')` switches: exit action, switch and entry action are one
 * part of the transaction. A switch that is not declared is a compile error where the compiler knows the state, else
 * `STATE_SWITCH`. The order of the states is no part of the layout's meaning: they are found again by their names.
 * Transitions, timeouts and actions live in code and can change under a running game.
 * @throws SchemaError `SCHEMA_KIND` for a target that is no state, a timeout that is none, an unknown member of a state */
export function machine<const D extends MachineStates>(declared: {
  readonly initial: keyof D & string;
  readonly states: D & { readonly [N in keyof D]: MachineState<keyof D & string> };
}): MachineKind<TargetsOf<D>, EventsOf<D>, false> {
  const { initial, states } = declared;
  const names = Object.keys(states ?? {});
  if (names.length === 0 || names.length > STATES_MAX) fail(`takes 1..${STATES_MAX} states, not ${names.length}`);
  if (!names.includes(initial)) fail(`starts in ${String(initial)}, which is no state of it (${names.join(', ')})`);
  for (const name of names) checkState(name, states[name]!, names);
  return makeMachine(
    names,
    { initial, states: Object.fromEntries(names.map(name => [name, chartOf(states[name]!)])) },
    states,
  );
}

/** Make the kind; without code when it was read from a catalog. @internal */
export function makeMachine(names: readonly string[], chart: MachineChart, code: MachineStates | undefined): any {
  return makeKind({
    tag: 'machine',
    bytes: MACHINE_BYTES,
    align: 8,
    names: Object.freeze([...names]),
    chart,
    code,
    initial: chart.initial,
  });
}

function chartOf({ to, on, after }: MachineState): MachineChart['states'][string] {
  return Object.freeze({ ...(to && { to }), ...(on && { on }), ...(after && { after }) });
}

function checkState(name: string, state: MachineState, names: readonly string[]): void {
  const isTarget = (target: unknown, how: string): void => {
    if (!names.includes(target as string))
      fail(`: ${how} of ${name} leads to ${String(target)}, which is no state of it (${names.join(', ')})`);
  };
  if (name === '' || typeof state !== 'object' || state === null)
    fail(`: state '${name}' is no object, as in dead: {}`);
  for (const key of Object.keys(state))
    if (!KEYS.includes(key)) fail(`: ${name} has ${key}, a state has ${KEYS.join(', ')}`);
  const { to = [], on = {}, after, enter, exit } = state;
  if (!Array.isArray(to)) fail(`: to of ${name} is no list of states`);
  for (const target of to) isTarget(target, 'to');
  for (const [event, target] of Object.entries(on)) isTarget(target, `event ${event}`);
  if (after !== undefined) {
    const ms: unknown = Array.isArray(after) && after.length === 2 ? after[0] : undefined;
    if (typeof ms !== 'number' || !Number.isInteger(ms) || ms < 1 || ms > MACHINE_AFTER_MAX)
      fail(`: after of ${name} is [ms, state] with ms = 1..2^47, not ${String(after)}`);
    isTarget(after[1], 'after');
  }
  for (const [key, action] of Object.entries({ enter, exit }))
    if (action !== undefined && typeof action !== 'function') fail(`: ${key} of ${name} is no function`);
}

function fail(what: string): never {
  throw new SchemaError('SCHEMA_KIND', `a machine${what.startsWith(':') ? '' : ' '}${what}`);
}
