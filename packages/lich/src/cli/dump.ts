import { parseArgs } from 'node:util';
import { attachSegment } from '../shm/index.ts';
import { type DumpPacking, dumpSegment } from '../state/index.ts';
import { Progress } from './progress.ts';
import { useDir } from './source.ts';
import { count, number, print, size } from './text.ts';
import { UsageError } from './usage.ts';

/** `lich dump`: the state of a node, running or not, as of one commit, in a file. */
export function dump(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, packing: { type: 'string' } },
  });
  const [node] = positionals;
  if (node === undefined || positionals.length > 2) throw new UsageError('want a node: lich dump arena-1 [file]');
  const packing = values.packing as DumpPacking | undefined;
  if (packing !== undefined && !['none', 'deflate', 'brotli', 'zstd'].includes(packing)) {
    throw new UsageError(`--packing takes none, deflate, brotli or zstd, not ${packing}`);
  }
  const dir = useDir(values.dir);
  const segment = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  const progress = new Progress(`dump ${node}`);
  try {
    const file = positionals[1] ?? `${node}-${segment.epoch}-${Math.floor(Date.now() / 1000)}.dump`;
    const beganMs = performance.now();
    const info = dumpSegment(segment, file, { ...(packing && { packing }), onProgress: progress.at });
    progress.end();
    print(
      `${file}: ${node} at commit ${number(info.commitNo)} of life ${info.epoch}; ${count(info.pages, 'page')}, ${size(info.storedBytes)} of ${size(info.pages * 4096)} with ${info.packing}, ${((performance.now() - beganMs) / 1000).toFixed(2)} s`,
    );
    return 0;
  } finally {
    progress.end();
    segment.close();
  }
}
