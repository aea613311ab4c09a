/** Flows in the state: one record each, in a pool of the runtime's, under the undo log like everything else.
 *
 *   $flows      pool of $Flow: name, version, what it was started with, who waits for its answer, its steps, its waits
 *     steps     what came of it so far, in the order in which it came: this alone decides what a re-run does
 *     waits     what it waits for now, each by the number of its step: a timer, a request, an effect
 *   $flowWakes  pool of $FlowWake: flows that the next life has to look at though nothing else wakes them, because their
 *               effect runs in a process, or because this code could not go on with them
 *
 * A step is in `steps` from the very commit on that has its effect; a wait is in `waits` as long as its timer or its request
 * exists, in one commit with it. */
import { array, bytes, f64, pool, struct, text, u16, u32, u8 } from '@lich/schema';

/** What came of one step. */
export class $FlowStep extends struct({
  /** Number in the order of asking; CANCEL: none, it was cancelled from outside. */
  op: u32,
  kind: u8,
  /** 1 = `value` is an error; RAW: an answer as it came. */
  failed: u8,
  atMs: f64,
  label: text(),
  value: bytes(),
}) {}

export class $FlowWait extends struct({
  op: u32,
  kind: u8,
  label: text(),
  /** Handle of the timer or the request; 0 of an effect. */
  handle: f64,
}) {}

export class $Flow extends struct({
  name: text(40),
  version: u32,
  /** How often it went on as a new flow. */
  turn: u32,
  startedMs: f64,
  seed: array(u32, 2),
  /** The player that it is for: slot and generation in the pool of players; generation 0 = none. */
  meSlot: u32,
  meGeneration: u32,
  /** Who waits for its answer, see ASKER, and what names the question there. */
  asker: u8,
  cancelled: u8,
  /** 1 = its record was full once: what is left to do is done in as much room again. */
  full: u8,
  /** 1 = it waits for other code, 2 = it ended the process again and again. */
  stuck: u8,
  question: array(u32, 4),
  params: bytes(),
  steps: array($FlowStep),
  waits: array($FlowWait),
  /** Bytes of params and steps. */
  usedBytes: u32,
  /** Steps asked for, when so many had come. */
  asked: u32,
  askedAt: u32,
  /** Slot in $flowWakes + 1. */
  wake: u32,
  reserved: u16,
  /** Why it is stuck. */
  why: text(),
}) {}

export class $FlowWake extends struct({ slot: u32, generation: u32 }) {}

/** Root entries of a service with flows. */
export function flowTables() {
  return { $flows: pool($Flow), $flowWakes: pool($FlowWake) };
}

/** Who waits for the answer. In the state. */
export const ASKER = { nobody: 0, player: 1, service: 2 } as const;

/** `failed` of an answer that was not used yet: [type as sent][reply's struct]. The turn that uses it puts what it says in its
 * place, so that a re-run by later code is given the same. */
export const RAW = 2;
/** `op` of what is no step. */
export const NO_OP = 0xffff_ffff;
/** Kind of an entry in `steps` that cancels the flow. */
export const CANCEL = 6;

const SLOT_BITS = 2 ** 24;
export const FLOWS_MAX = SLOT_BITS - 2;

/** The id of a flow, for handlers: a safe whole number above 0. */
export function idOfFlow(slot: number, generation: number): number {
  return (generation % 2 ** 29) * SLOT_BITS + slot + 1;
}

/** @returns the slot, if that flow is the one that has it */
export function slotOfFlow(id: number, generationOf: (slot: number) => number | undefined): number {
  if (!Number.isSafeInteger(id) || id <= 0) return -1;
  const slot = (id % SLOT_BITS) - 1;
  const generation = slot < 0 ? undefined : generationOf(slot);
  return generation !== undefined && idOfFlow(slot, generation) === id ? slot : -1;
}
