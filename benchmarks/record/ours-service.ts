/** The handler of the topic `handler`, with and without its inputs being kept: what the service's core does for a message
 * while messages wait for it. With, what was kept is replayed over a dump of the beginning, and compared with the end. */
import { join } from 'node:path';
import { firstDifference, Inputs, Replay, requestRecord } from 'lich/runtime';
import { dumpSegment, openDump } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import type { FeederInput, FeederResult } from '../handler/feeder.ts';
import { type Account, bank, coreOf, MESSAGE_BLOCK, type Sizes, verify } from '../handler/game.ts';
import type { Size } from '../lib/bench.ts';

const sizes: Record<Size, Sizes & { readonly ringBytes: number }> = {
  small: { window: 64, total: 10_000, ringBytes: 2 ** 22 },
  full: { window: 8_192, total: 3_000_000, ringBytes: 2 ** 28 },
};
/** Inputs that are replayed: the last ones of the full size do not fit a ring that is left on for a day either. */
const REPLAYED: Record<Size, number> = { small: 2_000, full: 1_000_000 };

export interface RecordInput extends TrialInput {
  readonly record: boolean;
}

export default async function service({ size, record }: RecordInput): Promise<Measured> {
  const { window, total, ringBytes } = sizes[size];
  const dir = scratchDir();
  pin(1);
  if (record) requestRecord(dir, 'bank-1', ringBytes);
  const blocks = new Blocks(MESSAGE_BLOCK);
  const dump = join(dir, 'base.dump');
  const end = join(dir, 'end.dump');
  let handled = 0;
  const made = bank(() => {
    blocks.add();
    // Between two transactions: a dump of the state from which the last inputs lead to its end.
    if (record && ++handled === total - REPLAYED[size])
      core.onCommit(() => dumpSegment(core.store.segment, dump, { packing: 'none' }));
  });
  const core = coreOf(made, dir, 1);
  let measured: Measured | undefined;
  await core.run(role => {
    if (role !== 'owner') return;
    const input: FeederInput = { dir, window, total };
    const feeder = new Helper(join(import.meta.dirname, '../handler/feeder.js'), input);
    void (async () => {
      await feeder.next<FeederResult>();
      await feeder.end();
      const { accounts } = core.store.state as { accounts: Iterable<Account> };
      const work = verify(accounts, total, true);
      measured = { figures: { handler: 1e9 / blocks.medianNs }, work };
      if (record) dumpSegment(core.store.segment, end, { packing: 'none' });
      core.stop();
    })();
  });
  if (record) Object.assign(measured!.figures, replayed(dir, dump, end));
  return measured!;
}

/** @throws Error when the replay ends elsewhere */
function replayed(dir: string, dump: string, end: string): Record<string, number> {
  const inputs = new Inputs(dir, 'bank-1');
  const again = bank(() => {});
  const replay = Replay.open({ dir, node: 'bank-1', dump, inputs, core: where => coreOf(again, where, 1) });
  const beganMs = performance.now();
  const from = replay.k;
  replay.to(inputs.lastK);
  const seconds = (performance.now() - beganMs) / 1000;
  const difference = firstDifference(replay.segment, openDump(end).segment);
  if (difference !== undefined)
    throw new Error(`word ${difference.word} is ${difference.a} in the replay, ${difference.b}`);
  replay.close();
  return { replayed: (inputs.lastK - from) / seconds, inputs: inputs.lastK - from };
}
