import { parseArgs } from 'node:util';
import { type FlowList, giveOrder, type ListedFlow, listFlows } from '../runtime/index.ts';
import { attachSegment, listSegments } from '../shm/index.ts';
import { openReader } from '../state/index.ts';
import { styled } from './events.ts';
import { answered } from './orders.ts';
import { since } from './ps.ts';
import { useDir } from './source.ts';
import { count, cut, number, print, table } from './text.ts';
import { UsageError } from './usage.ts';

/** Flows that are ended in one transaction. */
const BATCH = 100;
const WHY_WIDTH = 400;

/** `lich flows`: what waits in the flows of nodes; `cancel` and `drop` end some.
 * @returns 1 when some are stuck, or an order could not be done */
export async function flowsCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      json: { type: 'boolean', default: false },
      stuck: { type: 'boolean', default: false },
      limit: { type: 'string', default: '20' },
    },
  });
  const dir = useDir(values.dir);
  const limit = Number(values.limit);
  if (!Number.isInteger(limit) || limit < 0) throw new UsageError(`--limit takes a whole number, not ${values.limit}`);
  const [verb] = positionals;
  if (verb === 'cancel' || verb === 'drop') {
    const [, node, ...which] = positionals;
    if (node === undefined || (which.length === 0 && !values.stuck))
      throw new UsageError(`want a node, and flows by id or name: lich flows ${verb} shop-1 16777217 buy`);
    return end(dir, verb, node, which, values.stuck);
  }
  const nodes = positionals.length > 0 ? positionals : nodesOf(dir);
  const lists = nodes
    .map(node => listFlows(dir, node, { limit, onlyStuck: values.stuck }))
    .filter(list => list !== undefined);
  if (values.json) print(JSON.stringify(lists, undefined, 2));
  else if (lists.length === 0) print('no node here has flows');
  else lists.forEach((list, k) => show(list, k > 0, values.stuck));
  return lists.some(({ stuck }) => stuck > 0) ? 1 : 0;
}

function nodesOf(dir: string): string[] {
  return listSegments(dir)
    .filter(({ segments }) => segments.some(({ kind, problem }) => kind === 'state' && problem === undefined))
    .map(({ name }) => name);
}

function show(list: FlowList, isNext: boolean, onlyStuck: boolean): void {
  if (isNext) print();
  const { node, count: all, stuck, kinds, flows } = list;
  const of = kinds.map(kind => `${number(kind.count)} ${kind.name} v${kind.version}`).join(', ');
  print(`${node}: ${count(all, 'flow')}${all === 0 ? '' : `: ${of}`}${stuck === 0 ? '' : `; ${number(stuck)} stuck`}`);
  if (flows.length === 0) return;
  const [head, ...lines] = table(
    [['ID', 'FLOW', 'AGE', 'STEPS', 'SINCE', 'WAITS FOR'], ...flows.map(rowOf)],
    [2, 3, 4],
  );
  print(styled('dim', head!));
  lines.forEach((line, k) => {
    const { stuck: why } = flows[k]!;
    print(why === undefined ? line : styled('red', line));
    if (why !== undefined) print(`      ${cut(why, WHY_WIDTH)}`);
  });
  const most = onlyStuck ? stuck : all;
  if (flows.length < most) print(`  … ${number(flows.length)} of ${number(most)} are shown, --limit shows more`);
}

function rowOf(flow: ListedFlow): string[] {
  const now = Date.now();
  const ago = (ms: number): string => since(Math.max(0, now - ms));
  const waits = flow.waits.length === 0 ? 'its turn' : flow.waits.join(', ');
  const notes = [flow.cancelled ? 'cancelled' : '', flow.asker === 'nobody' ? '' : `a ${flow.asker} waits for it`];
  return [
    String(flow.id),
    `${flow.name} v${flow.version}${flow.turn === 0 ? '' : `, turn ${number(flow.turn + 1)}`}`,
    ago(flow.startedMs),
    number(flow.steps),
    ago(flow.lastMs),
    [flow.stuck === undefined ? waits : 'other code', ...notes].filter(text => text !== '').join('; '),
  ];
}

async function end(
  dir: string,
  how: 'cancel' | 'drop',
  node: string,
  only: readonly string[],
  onlyStuck: boolean,
): Promise<number> {
  const list = listFlows(dir, node, { limit: Number.POSITIVE_INFINITY, only, onlyStuck });
  if (list === undefined) throw new UsageError(`${node} has no flows`);
  const ids = list.flows.map(({ id }) => id);
  if (ids.length === 0) throw new UsageError(`no flow of ${node} is ${only.join(', ') || 'stuck'}`);
  for (let at = 0; at < ids.length; at += BATCH) {
    const flows = ids.slice(at, at + BATCH);
    const file = giveOrder(dir, node, { verb: 'flows', how, flows }, orderedOf(dir, node));
    const said = `${count(flows.length, 'flow')} of ${node} ${flows.length === 1 ? 'is' : 'are'} ${how === 'cancel' ? 'cancelled' : 'dropped'}`;
    const code = await answered('flows', dir, node, file, said);
    if (code !== 0) return code;
  }
  return 0;
}

/** The last order that the node has done. */
function orderedOf(dir: string, node: string): number {
  const state = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  try {
    const root = openReader(state, { hidden: true }).snapshot(read => read.root()) as { $ordered?: number };
    return root.$ordered ?? 0;
  } finally {
    state.close();
  }
}
