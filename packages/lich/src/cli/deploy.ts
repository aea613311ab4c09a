import { parseArgs } from 'node:util';
import { askSupervisor, type DeployEvent, type DeployOutlook, type DeployResult } from '../runtime/index.ts';
import { useDir } from './source.ts';
import { count, print, size } from './text.ts';
import { UsageError } from './usage.ts';

/** `lich deploy`: have the supervisor of a directory bring its services to the code that is on disk now.
 * @returns 1 when a dry run finds that it would be refused */
export async function deploy(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      'set-aside': { type: 'string', multiple: true, default: [] },
      'no-way-back': { type: 'boolean', default: false },
      probation: { type: 'string' },
    },
  });
  const probationMs = values.probation === undefined ? undefined : Number(values.probation);
  if (probationMs !== undefined && !(Number.isInteger(probationMs) && probationMs >= 0))
    throw new UsageError(`--probation ${values.probation}: want whole milliseconds`);
  const dryRun = values['dry-run'];
  const { deployed, unchanged, outlooks, pauseMsMax } = await askSupervisor<DeployResult>(
    useDir(values.dir),
    'deploy',
    {
      services: positionals,
      dryRun,
      setAside: values['set-aside'],
      noWayBack: values['no-way-back'],
      probationMs,
    },
    event => say(event as DeployEvent, dryRun),
  );
  for (const service of unchanged) print(`${service}: its code is the same`);
  if (deployed.length > 0) print(`deployed ${deployed.join(', ')}; the longest pause was ${pauseMsMax} ms`);
  if (!dryRun) return 0;
  const refused = outlooks.filter(outlook => outlook.refused.length > 0).length;
  if (outlooks.length > 0)
    print(refused > 0 ? 'a deploy would be refused' : 'nothing was changed; without --dry-run it is done');
  return refused > 0 ? 1 : 0;
}

function say(event: DeployEvent, dryRun: boolean): void {
  switch (event.type) {
    case 'outlook':
      if (dryRun || event.outlook.layout === 'changed') show(event.outlook);
      break;
    case 'switched':
      print(`${event.node.padEnd(12)} new code    pid ${event.pid}, after a pause of ${event.pauseMs} ms`);
      break;
    case 'probation':
      print(`${event.service.padEnd(12)} probation   ${(event.ms / 1_000).toFixed(1)} s`);
      break;
    case 'back':
      print(`${event.node.padEnd(12)} old code    pid ${event.pid}`);
      break;
    case 'served':
    case 'done':
  }
}

function show({ node, layout, changes, records, usedBytes, ms, vanished, refused, wayBack }: DeployOutlook): void {
  if (layout === 'same') print(`${node}: the layout is the same`);
  else print(`${node}: another layout; ${count(records, 'record')}, ${size(usedBytes)} in use, migrated in ${ms} ms`);
  for (const { sentence, inverse } of changes) print(`  ${sentence}${inverse ? '' : ' (no exact way back)'}`);
  for (const { name, count: waiting } of vanished)
    print(
      `  ${count(waiting, 'own message')} ${name || '(of an unknown name)'} ${waiting === 1 ? 'waits' : 'wait'} without a handler`,
    );
  for (const line of refused) print(`  refused: ${line}`);
  if (refused.length === 0) print(`  the way back: ${wayBack}`);
}
