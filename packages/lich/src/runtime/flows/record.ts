/** Writes the record of a flow: what came of its steps, within its bounds. */
import { RuntimeError } from '../errors.ts';
import type { FlowCode } from './code.ts';
import { errorValue } from './errors.ts';
import { Kind, type Outcome } from './steps.ts';
import { type $Flow, RAW } from './table.ts';
import { encode } from './values.ts';

/** An answer, as it came. */
export interface Raw {
  readonly raw: Uint8Array;
}

/** An error keeps room in a record that is full. */
const ERROR_MAX_BYTES = 4_096;

/** What came of one step. */
export interface Done {
  readonly op: number;
  readonly kind: number;
  readonly label: string;
  readonly outcome: Outcome | Raw;
  readonly atMs: number;
  /** The step, in errors. */
  readonly what: string | undefined;
}

/** @param code undefined where this code has no such flow: then there is no bound
 * @returns false when the record is full: what is recorded then is that, but of a `do`, which is to be undone
 * @throws RuntimeError `RUNTIME_FLOW_STATE`, `RUNTIME_FLOW_VALUE` for what a `do` gave */
export function recordStep(
  flow: $Flow,
  code: FlowCode | undefined,
  { op, kind, label, outcome, atMs, what }: Done,
): boolean {
  const isRaw = 'raw' in outcome;
  let failed = !isRaw && !outcome.ok;
  let value: Uint8Array;
  if (isRaw) value = outcome.raw;
  else if (outcome.ok) {
    try {
      value = encode(outcome.value, what ?? `what ${label} of flow ${flow.name} gave`);
    } catch (error) {
      if (kind === Kind.do) throw error;
      failed = true;
      value = encode(errorValue(error), label);
    }
  } else value = encode(errorValue(outcome.error), label);
  if (code !== undefined && !failed && !fits(flow, code, value.length)) {
    if (kind === Kind.do) return false;
    failed = true;
    value = encode(errorValue(tooLong(code)), label);
    flow.full = 1;
  } else if (failed && code !== undefined && !fits(flow, code, value.length)) flow.full = 1;
  flow.steps.push({ op, kind, failed: failed ? 1 : isRaw ? RAW : 0, atMs, label, value });
  flow.usedBytes += value.length;
  return true;
}

/** What answers say that were RAW until now.
 * @param read by the number of their entry */
export function recordRead(flow: $Flow, read: readonly { readonly at: number; readonly outcome: Outcome }[]): void {
  for (const { at, outcome } of read) {
    const step = flow.steps.get(at);
    if (step.failed !== RAW) continue;
    const value = outcome.ok ? encode(outcome.value, step.label) : encode(errorValue(outcome.error), step.label);
    flow.usedBytes += value.length - step.value.length;
    step.value = value;
    step.failed = outcome.ok ? 0 : 1;
  }
}

/** A record that was full once has as much room again, for what undoes the flow. */
function fits(flow: $Flow, code: FlowCode, bytes: number): boolean {
  const times = flow.full === 1 ? 2 : 1;
  return (
    flow.steps.length < code.maxSteps * times &&
    flow.usedBytes + bytes <= code.maxBytes * times + (flow.full === 1 ? ERROR_MAX_BYTES : 0)
  );
}

export function tooLong({ name, maxSteps, maxBytes }: FlowCode): RuntimeError {
  return new RuntimeError(
    'RUNTIME_FLOW_TOO_LONG',
    `the record of flow ${name} is full (${maxSteps} steps, ${maxBytes} bytes): go on with \`return ctx.again(…)\`, or raise maxSteps or maxBytes`,
  );
}
