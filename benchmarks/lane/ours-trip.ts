/** A message of 64 bytes to another process and one back, in three ways of waiting. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { type End, peerIndex, runEnd, sizes, TRIP_BLOCK } from './end.ts';
import type { OtherInput } from './other.ts';

export interface TripInput extends TrialInput {
  readonly waiting: Exclude<OtherInput['role'], 'send'>;
  /** All processes on one core, so that no wake-up has to fetch a halted one. */
  readonly oneCore?: boolean;
}

export default async function trip({ size, waiting, oneCore }: TripInput): Promise<Measured> {
  const { trips, sleepyTrips } = sizes[size];
  const total = waiting === 'poll' ? trips : sleepyTrips;
  const blocks = new Blocks(TRIP_BLOCK);
  const dir = scratchDir();
  if (waiting === 'poll' || oneCore) pin(1);
  let node: End;
  let peer = 0;
  let got = 0;
  let onLast = (): void => {};
  await runEnd(dir, 'ours', 1, {
    onMessage() {
      blocks.add();
      if (++got < total) node.send(peer, got);
      else onLast();
    },
    async open(end) {
      node = end;
      const { core } = end;
      const input: OtherInput = { dir, role: waiting, messages: total, batch: 1 };
      const other = new Helper(join(import.meta.dirname, 'other.js'), input);
      const last = new Promise<void>(resolve => (onLast = resolve));
      peer = await peerIndex(end, 'other');
      await other.next();
      const first = (): void => {
        core.transact(() => void node.send(peer, 0));
        core.bus.publish();
      };
      if (waiting === 'sleep') {
        // The loop begins when `open` is done, and ends with the last answer.
        void last.then(async () => {
          await other.end();
          core.stop();
        });
        setImmediate(first);
        return;
      }
      first();
      while (got < total) {
        if (waiting === 'poll') {
          core.bus.poll();
          continue;
        }
        const seen = core.bells.rings(core.self.index);
        core.bells.arm(core.self.index);
        if (core.bus.poll() === 0) core.bells.blockUntilRung(core.self.index, seen, 50);
        core.bells.disarm(core.self.index);
      }
      await other.end();
      core.stop();
    },
    stay: true,
  });
  return { figures: { trip: blocks.medianNs / 1_000 } };
}
