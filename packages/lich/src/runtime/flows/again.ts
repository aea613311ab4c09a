/** Is a flow a function of its record? One that is in memory is compared with one that was begun again over the same record:
 * what a `do` left in variables, the clock, `Math.random()` show as another step, before a kill would show them. For `lich
 * dev` and tests, since it runs each flow once more for each of its turns: `LICH_CHECK_FLOWS=1`. */
import { errorValue } from './errors.ts';
import { nameOfStep, type Run } from './run.ts';
import { Kind, type StepWhat } from './steps.ts';
import { encode } from './values.ts';

export function checksFlows(): boolean {
  return process.env.LICH_CHECK_FLOWS === '1';
}

/** @returns what differs, for people */
export function differenceOf(run: Run, again: Run): string | undefined {
  const [a, b] = [endOf(run), endOf(again)];
  if (a !== b) return `${a}; run again over its record it ${b}`;
  for (const [op, { step }] of run.pending) {
    const other = again.pending.get(op)?.step;
    const name = nameOfStep(step.what.kind, step.label);
    if (other === undefined) return `asks for ${name}; run again over its record it does not`;
    const otherName = nameOfStep(other.what.kind, other.label);
    if (name !== otherName) return `asks for ${name}; run again over its record it asks for ${otherName}`;
    const [x, y] = [givenTo(step.what), givenTo(other.what)];
    if (x !== y) return `asks for ${name} with ${x}; run again over its record it says ${y}`;
  }
  return run.asked === again.asked
    ? undefined
    : `has asked for ${run.asked} steps; run again over its record for ${again.asked}`;
}

function endOf({ outcome }: Run): string {
  if (outcome === undefined) return 'goes on';
  if (outcome.ok) return `returns ${show(outcome.value)}`;
  const { name, message } = errorValue(outcome.error);
  return `fails with ${name}: ${message}`;
}

function givenTo(what: StepWhat): string {
  if (what.kind === Kind.sleep || what.kind === Kind.late) return `${what.ms} ms`;
  if (what.kind === Kind.call || what.kind === Kind.send) return show(what.payload);
  return '';
}

/** As a record would have it, in short. */
function show(value: unknown): string {
  try {
    const bytes = encode(value, 'it', true);
    const text = JSON.stringify(value, (_, of: unknown) => (typeof of === 'bigint' ? `${of}n` : of)) ?? 'nothing';
    return text.length <= 200 ? text : `${text.slice(0, 200)}… (${bytes.length} bytes)`;
  } catch {
    return 'what is no plain data';
  }
}
