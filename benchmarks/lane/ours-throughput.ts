/** One way through a lane: another process claims, fills and commits; this one takes each message in a transaction of its
 * own and adds its words up. */
import { join } from 'node:path';
import type { Measured } from '../lib/bench.ts';
import { Blocks, Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { BATCH, MESSAGE_BLOCK, runEnd, sizes, verify, WORDS } from './end.ts';
import type { OtherInput } from './other.ts';

async function receive(messages: number, batch: number): Promise<number> {
  const dir = scratchDir();
  let got = 0;
  let sum = 0;
  const blocks = new Blocks(MESSAGE_BLOCK);
  await runEnd(dir, 'ours', 1, {
    onMessage(lanes, word) {
      // A local of 32 bits: a captured variable above 2^31 would be a new heap number each time.
      const words = lanes.i32;
      let added = sum;
      for (let w = 0; w < WORDS; w++) added = (added + words[word + w]) | 0;
      sum = added;
      got++;
      blocks.add();
    },
    async open({ core }) {
      const input: OtherInput = { dir, role: 'send', messages, batch };
      const other = new Helper(join(import.meta.dirname, 'other.js'), input);
      await other.next();
      core.bus.sweep();
      while (got < messages) core.bus.poll();
      await other.end();
    },
  });
  verify(sum >>> 0, messages);
  return 1e9 / blocks.medianNs;
}

export default async function throughput({ size }: TrialInput): Promise<Measured> {
  pin(1);
  const { messages, slowMessages } = sizes[size];
  const throughput = await receive(messages, BATCH);
  return { figures: { throughput, single: await receive(slowMessages, 1) } };
}
