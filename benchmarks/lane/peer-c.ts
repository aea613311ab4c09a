/** Our small ring in C, and its wake-ups. */
import type { Measured } from '../lib/bench.ts';
import { compileC, pin, runC, type TrialInput } from '../lib/tools.ts';
import { sizes, verify } from './end.ts';

export interface CInput extends TrialInput {
  readonly kind: 'throughput' | 'batched' | 'trip' | 'eventfd' | 'futex';
  readonly oneCore?: boolean;
}

export default function ring({ size, kind, oneCore }: CInput): Measured {
  if (oneCore) pin(1);
  const program = compileC(import.meta.dirname, 'ring.c');
  const { messages, trips, sleepyTrips } = sizes[size];
  if (kind === 'throughput' || kind === 'batched') {
    const { perSecond, sum } = runC<{ perSecond: number; sum: number }>(program, [kind, messages]);
    verify(sum, messages);
    return { figures: { throughput: perSecond, single: perSecond } };
  }
  const { ns } = runC<{ ns: number }>(program, [kind, kind === 'trip' ? trips : sleepyTrips]);
  return { figures: { trip: ns / 1_000 } };
}
