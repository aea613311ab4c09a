import { parseArgs } from 'node:util';
import { Inputs, isRecording, recordRequest, requestRecord, RuntimeError } from '../runtime/index.ts';
import { attachSegment, listSegments, ShmError } from '../shm/index.ts';
import { useDir } from './source.ts';
import { count, number, print, size, table } from './text.ts';
import { UsageError } from './usage.ts';

/** The owner looks for requests four times a second. */
const WAIT_MS = 5_000;

/** `lich record`: keep what a node is given in a bounded ring, or keep it no longer; without a node, list what is kept. */
export async function record(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      mib: { type: 'string', default: '64' },
      off: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > 1) throw new UsageError('want one node: lich record arena-1 [--mib 64 | --off]');
  const dir = useDir(values.dir);
  const [node] = positionals;
  if (node === undefined) return list(dir);
  const ringBytes = Number(values.mib) * 2 ** 20;
  if (!Number.isInteger(Math.log2(ringBytes)) || ringBytes < 65_536 || ringBytes > 2 ** 30)
    throw new UsageError(`--mib takes a power of two up to 1024, not ${values.mib}`);
  const found = listSegments(dir).find(({ name }) => name === node);
  if (found === undefined) throw new ShmError('SHM_NOT_FOUND', `there is no node ${node} in ${dir}`);
  requestRecord(dir, node, values.off ? undefined : ringBytes);
  if (found.owner === undefined) {
    print(
      `${node} does not run: its next start ${values.off ? 'keeps no inputs' : `keeps them, in ${size(ringBytes)}`}`,
    );
    return 0;
  }
  if (!(await follows(dir, node, !values.off))) {
    process.stderr.write(`lich record: ${node} has not followed within ${WAIT_MS / 1000} s: see lich logs ${node}\n`);
    return 1;
  }
  print(
    values.off
      ? `${node}: inputs are kept no longer`
      : `${node}: inputs are kept, in a ring of ${size(ringBytes)}; a replay begins with a dump: lich dump ${node}`,
  );
  return 0;
}

async function follows(dir: string, name: string, on: boolean): Promise<boolean> {
  const untilMs = performance.now() + WAIT_MS;
  const segment = attachSegment({ dir, name, kind: 'state', readOnly: true });
  try {
    while (isRecording(segment) !== on) {
      if (performance.now() > untilMs) return false;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    return true;
  } finally {
    segment.close();
  }
}

function list(dir: string): number {
  const rows: string[][] = [];
  for (const { name } of listSegments(dir)) {
    const request = recordRequest(dir, name);
    if (request === undefined) continue;
    try {
      const { firstK, lastK } = new Inputs(dir, name);
      rows.push([name, size(request.ringBytes), `inputs ${number(firstK + 1)} to ${number(lastK)}`]);
    } catch (error) {
      if (!(error instanceof ShmError) && !(error instanceof RuntimeError)) throw error;
      rows.push([name, size(request.ringBytes), 'nothing yet']);
    }
  }
  if (rows.length === 0) print('no node is recorded');
  else {
    print(`${count(rows.length, 'node')} recorded:`);
    for (const line of table(rows, [1])) print(line);
  }
  return 0;
}
