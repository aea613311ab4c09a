/** node:cluster: a worker is forked again when it dies, and loads the records from a file in V8's own format. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { scratchDir } from '../lib/tools.ts';
import { figuresOf, recordsOf, type TakeoverInput, unitOf } from './world.ts';

interface Answer {
  readonly atNs: number;
  readonly records: number;
  readonly pid: number;
}

export default async function peer({ mib, kills }: TakeoverInput): Promise<Measured> {
  const records = recordsOf(mib);
  const file = join(scratchDir(), 'units');
  writeFileSync(file, serialize(Array.from({ length: records }, (_, id) => unitOf(id))));
  nowNs();
  const primary = fork(join(import.meta.dirname, 'peer-cluster-child.js'), [file]);
  process.once('exit', () => primary.kill('SIGKILL'));
  const next = async (): Promise<Answer> => ((await once(primary, 'message')) as [Answer])[0];
  let answer = await next();
  const gaps: number[] = [];
  for (let k = 0; k < kills; k++) {
    const from = nowNs();
    process.kill(answer.pid, 'SIGKILL');
    const { pid } = answer;
    while (answer.pid === pid) answer = await next();
    if (answer.records !== records) throw new Error(`${answer.records} of ${records} records are left`);
    gaps.push((answer.atNs - from) / 1e6);
  }
  primary.disconnect();
  await once(primary, 'exit');
  return { figures: figuresOf(gaps) };
}
