import { parseArgs } from 'node:util';
import { refuseRemembered } from '../bus/index.ts';
import { dumpInfo, restoreSegment } from '../state/index.ts';
import { Progress } from './progress.ts';
import { useDir } from './source.ts';
import { count, number, print, time } from './text.ts';
import { UsageError } from './usage.ts';

/** `lich restore`: make the state of a node from a dump, where it has none. The next start goes on from it. */
export function restore(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, forget: { type: 'boolean', default: false } },
  });
  const [file, given] = positionals;
  if (file === undefined || positionals.length > 2)
    throw new UsageError('want a dump: lich restore arena-1.dump [node]');
  const info = dumpInfo(file);
  const dir = useDir(values.dir);
  const node = given ?? info.node;
  if (!values.forget) refuseRemembered(dir, node);
  const progress = new Progress(`restore ${node}`);
  try {
    restoreSegment(file, { dir, name: node, onProgress: progress.at });
  } finally {
    progress.end();
  }
  print(
    `${node}: ${count(info.pages, 'page')} of commit ${number(info.commitNo)}, life ${info.epoch}, taken ${time(info.takenMs)}; the next start goes on from there`,
  );
  return 0;
}
