import { parseArgs } from 'node:util';
import { attachSegment, listSegments, runtimeDir } from '../shm/index.ts';
import { openReader } from '../state/index.ts';

/** `lich check`: every structure of every state segment, walked from outside while its owner goes on.
 * @returns 1 when something is wrong */
export function checkCommand(args: readonly string[]): number {
  const { values } = parseArgs({ args: [...args], options: { dir: { type: 'string' } } });
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  let wrong = 0;
  for (const node of listSegments(dir)) {
    if (!node.segments.some(segment => segment.kind === 'state')) continue;
    const segment = attachSegment({ dir, name: node.name, kind: 'state' });
    const violations = openReader(segment).check();
    segment.close();
    wrong += violations.length;
    process.stdout.write(
      `${node.name.padEnd(16)}${violations.length === 0 ? 'sound' : `${violations.length} violations`}\n`,
    );
    for (const { where, what } of violations) process.stdout.write(`  ${where}: ${what}\n`);
  }
  return wrong === 0 ? 0 : 1;
}
