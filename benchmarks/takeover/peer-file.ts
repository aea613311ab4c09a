/** A Node process that is forked again when it dies, and loads the same records from a file in V8's own format. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { scratchDir } from '../lib/tools.ts';
import { figuresOf, recordsOf, type TakeoverInput, unitOf } from './world.ts';

export default async function peer({ mib, kills }: TakeoverInput): Promise<Measured> {
  const records = recordsOf(mib);
  const file = join(scratchDir(), 'units');
  writeFileSync(file, serialize(Array.from({ length: records }, (_, id) => unitOf(id))));
  nowNs();
  const start = (): ChildProcess => fork(join(import.meta.dirname, 'peer-file-child.js'), [file]);
  let child = start();
  process.once('exit', () => child.kill('SIGKILL'));
  child.send(0);
  await once(child, 'message');
  const gaps: number[] = [];
  for (let k = 0; k < kills; k++) {
    const from = nowNs();
    child.kill('SIGKILL');
    await once(child, 'exit');
    child = start();
    child.send(k);
    const [answer] = (await once(child, 'message')) as [{ atNs: number; records: number }];
    if (answer.records !== records) throw new Error(`${answer.records} of ${records} records are left`);
    gaps.push((answer.atNs - from) / 1e6);
  }
  child.kill('SIGKILL');
  return { figures: figuresOf(gaps) };
}
