/** Any flow, in any order of what comes back: a re-run over any beginning of the record stands where the first run stood. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RuntimeError } from '../errors.ts';
import { Run } from './run.ts';
import { type FlowGenerator, Kind, type Outcome, Step } from './steps.ts';

type Program =
  | { readonly is: 'step'; readonly n: number }
  | { readonly is: 'seq' | 'all' | 'race'; readonly of: readonly Program[] }
  | { readonly is: 'catch' | 'finally' | 'undo'; readonly of: readonly [Program, Program] }
  | { readonly is: 'throw' };

const { program } = fc.letrec<{ program: Program }>(tie => ({
  program: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 4, arbitrary: fc.record({ is: fc.constant('step' as const), n: fc.nat(9) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        is: fc.constantFrom('seq' as const, 'all' as const, 'race' as const),
        of: fc.array(tie('program'), { minLength: 1, maxLength: 4 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        is: fc.constantFrom('catch' as const, 'finally' as const, 'undo' as const),
        of: fc.tuple(tie('program'), tie('program')),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ is: 'throw' as const }) },
  ),
}));

/** Runs a program; what it saw is in `seen`, which branches share as variables of a flow would be. */
function* play(p: Program, run: () => Run, seen: string[]): FlowGenerator<unknown> {
  switch (p.is) {
    case 'step': {
      const value: unknown = yield* new Step({ kind: Kind.do, fn: () => 0 }, `${p.n}, ${seen.length} seen`);
      seen.push(`${p.n}:${String(value)}`);
      return value;
    }
    case 'throw':
      throw new Error('on purpose');
    case 'seq': {
      let last: unknown;
      for (const each of p.of) last = yield* play(each, run, seen);
      return last;
    }
    case 'all':
    case 'race': {
      const branches = p.of.map(each => play(each, run, seen));
      const got: unknown = yield* new Step({ kind: Kind[p.is], names: undefined, branches }, '');
      seen.push(`${p.is}:${JSON.stringify(got)}`);
      return got;
    }
    case 'catch':
      try {
        return yield* play(p.of[0], run, seen);
      } catch (error) {
        seen.push(`caught ${(error as Error).message}`);
        return yield* play(p.of[1], run, seen);
      }
    case 'finally':
      try {
        return yield* play(p.of[0], run, seen);
      } finally {
        yield* play(p.of[1], run, seen);
      }
    case 'undo':
      run().onUndo(() => play(p.of[0], run, seen));
      return yield* play(p.of[1], run, seen);
  }
}

type Entry = { readonly op: number; readonly outcome: Outcome } | 'cancel';

function runOf(p: Program): {
  run: Run;
  seen: string[];
  feed: (entry: Entry, at: number) => void;
  stand: () => string;
} {
  const seen: string[] = [];
  const run: Run = new Run(() => play(p, () => run, seen), 0);
  run.begin();
  return {
    run,
    seen,
    feed(entry, at) {
      if (entry === 'cancel') run.cancel(new RuntimeError('RUNTIME_FLOW_CANCELLED', 'cancelled'), at);
      else expect(run.settle(entry.op, entry.outcome, at)).toBe(true);
    },
    stand: () =>
      JSON.stringify({
        asked: run.asked,
        now: run.nowMs,
        pending: [...run.pending.values()].map(({ op, step }) => [op, step.label]),
        outcome: run.outcome?.ok === false ? (run.outcome.error as Error).message : run.outcome,
        lost: run.lost.length,
        seen,
      }),
  };
}

it('a re-run over any beginning of the record stands where the first run stood', () => {
  fc.assert(
    fc.property(program, fc.infiniteStream(fc.nat(1_000)), fc.option(fc.nat(12)), (p, choices, cancelAt) => {
      const first = runOf(p);
      const record: Entry[] = [];
      const stands = [first.stand()];
      while (first.run.outcome === undefined) {
        const open = [...first.run.pending.keys()];
        // A flow that has not ended waits for something.
        expect(open.length).toBeGreaterThan(0);
        const choice = choices.next().value as number;
        const op = open[choice % open.length]!;
        const ok = choice % 7 !== 0;
        const entry: Entry =
          record.length === cancelAt
            ? 'cancel'
            : { op, outcome: ok ? { ok, value: choice } : { ok, error: new Error(`step ${choice}`) } };
        first.feed(entry, record.length);
        record.push(entry);
        stands.push(first.stand());
      }
      expect(first.run.pending.size).toBe(0);
      for (let length = 0; length <= record.length; length += 1 + (length >> 2)) {
        const again = runOf(p);
        for (let k = 0; k < length; k++) again.feed(record[k]!, k);
        expect(again.stand()).toBe(stands[length]);
      }
    }),
    { numRuns: process.env.LICH_SOAK ? 20_000 : 1_000 },
  );
});
