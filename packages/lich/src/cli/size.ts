import { parseArgs } from 'node:util';
import { DEFAULT_LIMITS, lanesRegions } from '../bus/index.ts';
import { buildTopology, coreLimits, loadService, nodePlan } from '../runtime/index.ts';
import { UsageError } from './usage.ts';
import { checkRoom, runtimeDir, sizeOfSegment } from '../shm/index.ts';

/** `lich size`: what a topology's segments may grow to, before anything starts. @returns 1 when they cannot fit */
export async function size(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' } },
  });
  const [file] = positionals;
  if (file === undefined) throw new UsageError('want a topology file: lich size topology.ts');
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const loaded = await buildTopology(file);
  let total = 0;
  for (const [kind, entry] of loaded.topology.entries) {
    if (typeof entry.run !== 'string') continue;
    const service = await loadService(loaded, kind);
    const limits = entry.limits ?? {};
    const plan = nodePlan(service, limits);
    const state = sizeOfSegment(plan.regions, Buffer.byteLength(plan.catalog));
    const lanes = sizeOfSegment(lanesRegions({ ...DEFAULT_LIMITS, ...coreLimits(limits).bus }));
    const count = entry.count ?? 1;
    print(`${kind} (${count} node${count === 1 ? '' : 's'}, ${mib(state + lanes)} each at most)`);
    for (const row of plan.table()) {
      const each = `${row.recordBytes} bytes`;
      const detail =
        row.capacity === undefined
          ? ''
          : row.capacity === 0
            ? `grows in the heap, ${each} a record`
            : `${row.capacity} × ${each}`;
      print(`  ${row.name.padEnd(20)}${mib(row.bytes).padStart(12)}  ${detail}`);
    }
    print(`  ${'lanes'.padEnd(20)}${mib(lanes).padStart(12)}`);
    total += count * (state + lanes);
  }
  print(`${'at most'.padEnd(22)}${mib(total).padStart(12)}  (files are sparse: memory is taken as it is used)`);
  try {
    checkRoom(runtimeDir(), total, 'the topology');
    return 0;
  } catch (error) {
    print(`does not fit if all of it is used: ${(error as Error).message}`);
    return 1;
  }
}

function mib(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
