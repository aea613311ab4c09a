import { parseArgs } from 'node:util';
import { buildTopology, lanesOf, loadService, nodePlan } from '../runtime/index.ts';
import { attachSegment, listSegments, ShmError } from '../shm/index.ts';
import { examineNode, type MigrationOutlook, migrateNode, type StorePlan, undoMigration } from '../state/index.ts';
import { Progress } from './progress.ts';
import { useDir } from './source.ts';
import { count, print, size } from './text.ts';
import { UsageError } from './usage.ts';

/** Values that do not fit are shown up to here. */
const SHOWN = 8;

/** `lich migrate`: bring the states of nodes that do not run into the layout of their code.
 * @returns 1 when one of them cannot be migrated */
export async function migrateCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, 'dry-run': { type: 'boolean' }, undo: { type: 'boolean' } },
  });
  const [file, ...names] = positionals;
  if (file === undefined)
    throw new UsageError('want a topology file: lich migrate topology.ts [node]… [--dry-run | --undo]');
  const dryRun = values['dry-run'] === true;
  if (dryRun && values.undo === true) throw new UsageError('want --dry-run or --undo, not both');
  const dir = useDir(values.dir);
  const there = new Set(
    listSegments(dir).flatMap(node => (node.segments.some(s => s.kind === 'state') ? [node.name] : [])),
  );
  const loaded = await buildTopology(file);
  const plans = new Map<string, { plan: StorePlan; lanes: string }>();
  for (const [kind, entry] of loaded.topology.entries) {
    if (typeof entry.run !== 'string') continue;
    const plan = nodePlan(await loadService(loaded, kind), entry.limits ?? {});
    const lanes = lanesOf(entry.limits ?? {});
    for (let instance = 1; instance <= (entry.count ?? 1); instance++)
      plans.set(`${kind}-${instance}`, { plan, lanes });
  }
  for (const name of names) {
    if (!plans.has(name))
      throw new UsageError(`${name} is no service of ${file}; there are ${[...plans.keys()].join(', ')}`);
    if (!there.has(name)) throw new UsageError(`${name} has no state in ${dir}`);
  }
  const chosen = [...plans].filter(([name]) => there.has(name) && (names.length === 0 || names.includes(name)));
  if (chosen.length === 0) print(`no service of ${file} has a state in ${dir}`);
  if (values.undo === true) {
    for (const [name] of chosen) {
      const undone = undoMigration({ dir, name });
      print(`${name}: ${undone ? 'is again what it was before its migration' : 'nothing to undo'}`);
    }
    return 0;
  }
  // All are looked at before one is changed: they belong together.
  const wanted = chosen.map(([name, { plan, lanes }]) => {
    return { name, plan, outlook: examineNode({ dir, name, plan }), keepsLanes: keepsLanes(dir, name, lanes) };
  });
  for (const { name, outlook, keepsLanes } of wanted) {
    show(name, outlook);
    if (!keepsLanes)
      print(
        '  limits.lanesBytes is another than before: messages that are under way lie in the lanes, which are not migrated. Set it back',
      );
  }
  const refused = wanted.filter(({ outlook, keepsLanes }) => outlook.unfit.count > 0 || !keepsLanes).length;
  if (refused > 0) print(dryRun ? 'a migration would be refused' : 'refused: nothing was changed');
  else if (dryRun) print('nothing was changed; without --dry-run it is done');
  if (dryRun || refused > 0) return refused > 0 ? 1 : 0;
  for (const { name, plan } of wanted) {
    const progress = new Progress(name);
    const report = migrateNode({ dir, name, plan, onProgress: progress.at });
    progress.end();
    if (report === undefined) continue;
    const through = report.rebuilt > 0 ? `, ${count(report.rebuilt, 'record')} of them through their views` : '';
    print(
      `${name}: ${count(report.records, 'record')} in ${duration(report.ms)}${through}; the state before is kept until the next migration or lich rm, --undo goes back to it`,
    );
  }
  return 0;
}

/** Are the lanes of the node those that its code will want? */
function keepsLanes(dir: string, name: string, layoutHash: string): boolean {
  try {
    attachSegment({ dir, name, kind: 'lanes', layoutHash, readOnly: true }).close();
    return true;
  } catch (error) {
    if (!(error instanceof ShmError)) throw error;
    return error.code !== 'SHM_LAYOUT';
  }
}

function show(name: string, { changes, sizes, records, unfit, usedBytes, ms }: MigrationOutlook): void {
  if (changes.length === 0 && sizes.length === 0)
    return print(`${name}: nothing to do, layout and sizes are those of the code`);
  print(`${name}: ${count(records, 'record')}, ${size(usedBytes)} in use`);
  const told = changes.filter(({ change, name }) => change !== 'moved' && !name.startsWith('$'));
  for (const { sentence, inverse } of told) print(`  ${sentence}${inverse ? '' : ' (no exact way back)'}`);
  const others = changes.length - told.length;
  if (others > 0)
    print(`  ${count(others, 'field')} ${others === 1 ? 'lies' : 'lie'} at another place, or are the runtime's`);
  for (const { region, from, to } of sizes) print(`  limits.${region}Bytes: ${size(from)} become ${size(to)}`);
  for (const line of unfit.list.slice(0, SHOWN)) print(`  does not fit: ${line}`);
  const more = unfit.count - Math.min(SHOWN, unfit.list.length);
  if (more > 0) print(`  … and ${count(more, 'value')} more`);
  if (unfit.count === 0)
    print(
      `  every value fits; looked at in ${duration(ms)}. The new state takes up to ${size(usedBytes)} beside the old one`,
    );
}

function duration(ms: number): string {
  return ms < 1_000 ? `${Math.ceil(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
