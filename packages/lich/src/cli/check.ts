import { parseArgs } from 'node:util';
import { listSegments } from '../shm/index.ts';
import { isFile, openSource, useDir } from './source.ts';
import { print } from './text.ts';

/** `lich check`: every structure of state segments and dumps, walked from outside while their owners go on.
 * @returns 1 when something is wrong */
export function checkCommand(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' } },
  });
  const names = positionals.length > 0 ? positionals : nodesWithState(values.dir);
  const width = Math.max(16, ...names.map(name => name.length + 2));
  let wrong = 0;
  for (const name of names) {
    const source = openSource(name, isFile(name) ? undefined : values.dir);
    const violations = source.reader.check();
    source.close();
    wrong += violations.length;
    print(`${name.padEnd(width)}${violations.length === 0 ? 'sound' : `${violations.length} violations`}`);
    for (const { where, what } of violations) print(`  ${where}: ${what}`);
  }
  return wrong === 0 ? 0 : 1;
}

function nodesWithState(dir: string | undefined): string[] {
  return listSegments(useDir(dir))
    .filter(node => node.segments.some(segment => segment.kind === 'state'))
    .map(node => node.name);
}
