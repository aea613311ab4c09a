/** Each input twice, over one and the same state: does the code do the same again? What it takes from elsewhere (the
 * clock, `Math.random`, a variable of its module) shows as a word that differs.
 *
 *   S_k ─ input ─► A     back to S_k     S_k ─ input ─► B     A = B? and what was recorded?  */
import { RuntimeError } from '../errors.ts';
import { isRun } from './format.ts';
import type { Input } from './inputs.ts';
import { placeOf } from './place.ts';
import type { Replay } from './replay.ts';

/** The first input that does not do the same again. */
export interface Differs {
  readonly input: Input;
  /** `message hit from gateway-1` */
  readonly what: string;
  /** First place that differs: `heroes[3].gold`; undefined when one of the runs only fails. */
  readonly place: string | undefined;
  /** The words there after the first and the second time, as u32. */
  readonly first: number;
  readonly second: number;
  /** Both did the same, and something else than when it was recorded. */
  readonly asRecorded: boolean;
  /** What the runtime said of it. */
  readonly message: string | undefined;
}

/** Run all inputs up to k, those that run through handlers twice.
 * @returns the first that differs; undefined = none does
 * @remarks stops there: what follows would be over another state */
export function runTwice(replay: Replay, k: number, onProgress?: (k: number) => void): Differs | undefined {
  while (replay.k < k) {
    onProgress?.(replay.k);
    const input = replay.inputs.at(replay.k + 1)!;
    const first = once(replay);
    if (!isRun(input.kind)) {
      if (first.message !== undefined) throw new RuntimeError('RUNTIME_DIVERGED', first.message);
      continue;
    }
    if (first.committed) replay.back();
    const second = once(replay);
    const word = firstOf(first.words, second.words);
    const isSame = word === undefined && first.committed === second.committed;
    const message = second.message ?? first.message;
    if (isSame && message === undefined) continue;
    const what = replay.describe(input);
    return {
      input,
      what,
      place: word === undefined ? undefined : placeOf(replay.core, word),
      first: word === undefined ? 0 : valueOf(first, second, word),
      second: word === undefined ? 0 : valueOf(second, first, word),
      asRecorded: !isSame,
      message,
    };
  }
  return undefined;
}

interface Once {
  readonly words: ReadonlyMap<number, number>;
  /** Their values before. */
  readonly before: ReadonlyMap<number, number>;
  readonly committed: boolean;
  readonly message: string | undefined;
}

function once(replay: Replay): Once {
  const from = replay.k;
  let message: string | undefined;
  try {
    replay.forward();
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'RUNTIME_DIVERGED') throw error;
    message = error.message;
  }
  const committed = replay.k > from;
  const { after, before } = replay.changes();
  return { words: committed ? after : new Map(), before: committed ? before : new Map(), committed, message };
}

/** A word that only one of them changed has for the other the value from before. */
function valueOf(one: Once, other: Once, word: number): number {
  return (one.words.get(word) ?? other.before.get(word) ?? 0) >>> 0;
}

function firstOf(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number | undefined {
  let first: number | undefined;
  const look = (x: ReadonlyMap<number, number>, y: ReadonlyMap<number, number>): void => {
    for (const [word, value] of x) if (y.get(word) !== value && (first === undefined || word < first)) first = word;
  };
  look(a, b);
  look(b, a);
  return first;
}
