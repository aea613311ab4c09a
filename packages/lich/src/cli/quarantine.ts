import { parseArgs } from 'node:util';
import {
  dropQuarantined,
  findQuarantined,
  giveOrder,
  listQuarantine,
  type Quarantined,
  suspendedIn,
} from '../runtime/index.ts';
import { attachSegment, listSegments } from '../shm/index.ts';
import { openReader } from '../state/index.ts';
import { prettyLine } from './logs.ts';
import { answered } from './orders.ts';
import { useDir } from './source.ts';
import { count, number, print, size, table, time } from './text.ts';
import { UsageError } from './usage.ts';

const RECORD = /^([A-Za-z_$][\w$]*)\[(\d+)\]$/;

/** `lich quarantine`: what kept ending a process, and what may be done about it.
 * @returns 1 when an order could not be done */
export async function quarantineCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  const [verb = 'list', ...names] = positionals;
  const dir = useDir(values.dir);
  switch (verb) {
    case 'list':
      return list(dir, values.json);
    case 'show':
      for (const id of some(names, 'show')) show(findQuarantined(dir, id), values.json);
      return 0;
    case 'drop':
      for (const found of some(names, 'drop').map(id => findQuarantined(dir, id))) drop(found);
      return 0;
    case 'requeue': {
      let code = 0;
      for (const id of some(names, 'requeue')) code |= await requeue(dir, findQuarantined(dir, id));
      return code;
    }
    case 'release': {
      const [node, record] = names;
      const named = RECORD.exec(record ?? '');
      if (node === undefined || named === null || names.length > 2)
        throw new UsageError('want a node and a record: lich quarantine release arena-1 monsters[7]');
      return release(dir, node, named[1]!, Number(named[2]));
    }
    default:
      throw new UsageError(`lich quarantine list | show | requeue | drop | release, not ${verb}`);
  }
}

function some(ids: readonly string[], verb: string): readonly string[] {
  if (ids.length === 0) throw new UsageError(`want what lich quarantine list names: lich quarantine ${verb} <id>`);
  return ids;
}

interface SuspendedRecord {
  readonly node: string;
  readonly pool: string;
  readonly slot: number;
  readonly generation: number;
  readonly deaths: number;
}

/** What the states of a directory say, and the last order that each has done. */
function statesOf(dir: string): { suspended: SuspendedRecord[]; ordered: Map<string, number> } {
  const suspended: SuspendedRecord[] = [];
  const ordered = new Map<string, number>();
  for (const node of listSegments(dir)) {
    if (node.segments.every(({ kind, problem }) => kind !== 'state' || problem !== undefined)) continue;
    const segment = attachSegment({ dir, name: node.name, kind: 'state', readOnly: true });
    try {
      const reader = openReader(segment, { hidden: true });
      const root = reader.snapshot(s => s.root()) as { $suspended?: number[]; $ordered?: number };
      if (root.$ordered !== undefined) ordered.set(node.name, root.$ordered);
      const pools = reader.layouts.pools.map(pool => pool.name);
      for (const one of suspendedIn(root.$suspended ?? [], pools)) suspended.push({ node: node.name, ...one });
    } finally {
      segment.close();
    }
  }
  return { suspended, ordered };
}

function list(dir: string, json: boolean): number {
  const all = listQuarantine(dir);
  const { suspended } = statesOf(dir);
  if (json) {
    print(JSON.stringify({ quarantine: all, suspended }, undefined, 2));
    return 0;
  }
  if (all.length === 0) print('nothing is in quarantine');
  else {
    const rows = [['ID', 'SINCE', 'WHAT', 'FROM', 'DEATHS', 'CAPSULE']];
    for (const { entry, about } of all) {
      const from = entry.kind === 'message' ? entry.from : entry.site;
      const capsule = about === undefined ? '-' : about.exact ? 'yes' : 'younger';
      rows.push([entry.id, time(entry.atMs), entry.what, from, number(entry.deaths), capsule]);
    }
    for (const line of table(rows, [4], '')) print(line);
  }
  for (const { node, pool, slot, deaths } of suspended)
    print(`${node}: ${pool}[${slot}] is suspended after ${count(deaths, 'death')}`);
  return 0;
}

function show({ entry, about, dump, folder }: Quarantined, json: boolean): void {
  if (json) return print(JSON.stringify({ entry, about, dump, folder }, undefined, 2));
  print(`${entry.id}: ${entry.what}, ${entry.kind === 'message' ? `from ${entry.from}` : `visited by ${entry.site}`}`);
  print(
    `set aside by life ${entry.epoch} of ${entry.node} after ${count(entry.deaths, 'death')}, ${time(entry.atMs)}, at commit ${number(entry.commitNo)}`,
  );
  if (entry.kind === 'message') {
    const bytes = Buffer.from(entry.payload, 'base64');
    print(`message ${entry.messageId} of protocol tag ${entry.protocolTag}; payload ${size(bytes.length)}`);
    print(`  ${entry.fields ?? `${bytes.subarray(0, 64).toString('hex')}${bytes.length > 64 ? '…' : ''}`}`);
  }
  print(`config ${entry.configHash}, Node ${entry.nodeVersion}`);
  if (about === undefined) return print(`\nno capsule in ${folder}`);
  print(
    `\ncapsule ${folder}: lich ${about.lich}; state ${about.exact ? 'before it' : 'of a later commit'}; the process ended with ${about.exit}`,
  );
  print(`  lich replay ${folder}`);
  const lines = about.lastWords
    .trimEnd()
    .split('\n')
    .filter(line => line !== '');
  if (lines.length === 0) return;
  print(`\nlast words of ${entry.node}:`);
  for (const line of lines.slice(-20)) print(`  ${prettyLine(entry.node, line).replaceAll('\n', '\n  ')}`);
}

function drop(found: Quarantined): void {
  dropQuarantined(found);
  print(`${found.entry.id} is dropped`);
}

async function requeue(dir: string, { entry }: Quarantined): Promise<number> {
  const { ordered } = statesOf(dir);
  const file = giveOrder(dir, entry.node, { verb: 'requeue', id: entry.id }, ordered.get(entry.node) ?? 0);
  return answered(
    'quarantine',
    dir,
    entry.node,
    file,
    `${entry.id} is ${entry.kind === 'message' ? 'handled' : 'released'}`,
  );
}

async function release(dir: string, node: string, pool: string, slot: number): Promise<number> {
  const { suspended, ordered } = statesOf(dir);
  const found = suspended.find(one => one.node === node && one.pool === pool && one.slot === slot);
  if (found === undefined) throw new UsageError(`${pool}[${slot}] of ${node} is not suspended`);
  const id = listQuarantine(dir).find(
    ({ entry }) => entry.kind === 'record' && entry.node === node && entry.pool === pool && entry.slot === slot,
  )?.entry.id;
  const { generation } = found;
  const order = { verb: 'release', id, pool, slot, generation } as const;
  return answered(
    'quarantine',
    dir,
    node,
    giveOrder(dir, node, order, ordered.get(node) ?? 0),
    `${pool}[${slot}] is released`,
  );
}
