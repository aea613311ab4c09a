import { parseArgs } from 'node:util';
import { buildTopology, loadService, nodePlan } from '../runtime/index.ts';
import { listSegments } from '../shm/index.ts';
import { examineNode, type MigrationOutlook, migrateNode, type StorePlan } from '../state/index.ts';
import { Progress } from './progress.ts';
import { useDir } from './source.ts';
import { UsageError } from './usage.ts';

/** `lich migrate`: bring the states of nodes that do not run into the layout of their code.
 * @returns 1 when one of them cannot be migrated */
export async function migrateCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, 'dry-run': { type: 'boolean' } },
  });
  const [file, ...names] = positionals;
  if (file === undefined) throw new UsageError('want a topology file: lich migrate topology.ts [node]… [--dry-run]');
  const dir = useDir(values.dir);
  const there = new Set(listSegments(dir).flatMap(node => (node.segments.some(s => s.kind === 'state') ? [node.name] : [])));
  const loaded = await buildTopology(file);
  const plans = new Map<string, StorePlan>();
  for (const [kind, entry] of loaded.topology.entries) {
    if (typeof entry.run !== 'string') continue;
    const plan = nodePlan(await loadService(loaded, kind), entry.limits ?? {});
    for (let instance = 1; instance <= (entry.count ?? 1); instance++) plans.set(`${kind}-${instance}`, plan);
  }
  for (const name of names) {
    if (!plans.has(name)) throw new UsageError(`${name} is no service of ${file}; there are ${[...plans.keys()].join(', ')}`);
    if (!there.has(name)) throw new UsageError(`${name} has no state in ${dir}`);
  }
  let failed = 0;
  for (const [name, plan] of plans) {
    if (!there.has(name) || (names.length > 0 && !names.includes(name))) continue;
    const outlook = examineNode({ dir, name, plan });
    if (outlook.changes.length === 0) {
      print(`${name}: nothing to do, the layouts are the same`);
      continue;
    }
    show(name, outlook);
    if (outlook.unfit.count > 0) failed++;
    if (values['dry-run'] === true || outlook.unfit.count > 0) continue;
    const progress = new Progress(name);
    const report = migrateNode({ dir, name, plan, onProgress: progress.at });
    progress.end();
    print(
      `${name}: ${report!.records} records in ${(report!.ms / 1000).toFixed(1)} s, ${report!.rebuilt} of them written field by field; the old state is kept beside it`,
    );
  }
  return failed === 0 ? 0 : 1;
}

function show(name: string, { changes, records, unfit, usedBytes, ms }: MigrationOutlook): void {
  print(`${name}: ${records} records, ${(usedBytes / 1_048_576).toFixed(1)} MiB in use`);
  for (const { sentence, inverse } of changes) print(`  ${sentence}${inverse ? '' : '  (no exact way back)'}`);
  for (const line of unfit.list) print(`  does not fit: ${line}`);
  if (unfit.count > unfit.list.length) print(`  … and ${unfit.count - unfit.list.length} more that do not fit`);
  print(
    unfit.count > 0
      ? `  refused: ${unfit.count} value${unfit.count === 1 ? '' : 's'} would be lost`
      : `  every value fits (looked at in ${(ms / 1000).toFixed(1)} s; the copy takes about as long again, and as much memory as is in use)`,
  );
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
