import { parseArgs } from 'node:util';
import { listSegments, runtimeDir } from '../shm/index.ts';

/** `lich ls`: what lies in a cluster's directory. */
export function list(args: readonly string[]): number {
  const { values } = parseArgs({ args: [...args], options: { dir: { type: 'string' } } });
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  const nodes = listSegments(dir);
  process.stdout.write(
    nodes.length === 0
      ? `nothing in ${dir}\n`
      : `${'NODE'.padEnd(16)}${'OWNER'.padEnd(12)}${'LIVES'.padEnd(8)}${'MEMORY'.padEnd(12)}STATE\n`,
  );
  for (const node of nodes) {
    const state = node.segments.find(segment => segment.kind === 'state');
    const problem = node.lockProblem ?? state?.problem;
    process.stdout.write(
      `${node.name.padEnd(16)}${(node.owner ? String(node.owner.pid) : '-').padEnd(12)}${String(state?.epoch ?? 0).padEnd(8)}` +
        `${`${(node.usedBytes / 1_048_576).toFixed(1)} MiB`.padEnd(12)}${problem ? `${problem.code}; lich rm ${node.name} --dir ${dir}` : node.owner ? 'runs' : 'resumable'}\n`,
    );
  }
  return 0;
}
