import { parseArgs } from 'node:util';
import { listSegments, runtimeDir } from '../shm/index.ts';
import { askSupervisor, type Ps, type PsNode, RuntimeError, runningIn } from '../runtime/index.ts';
import { styled } from './events.ts';
import { count, cut, columns, print, size, table } from './text.ts';

/** `lich ps`: what runs. @returns 1 when nothing does, or a node is down */
export async function ps(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { dir: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  let answer: Ps;
  try {
    answer = await askSupervisor<Ps>(dir, 'ps');
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'RUNTIME_NO_SUPERVISOR') throw error;
    return withoutSupervisor(dir, values.json);
  }
  if (values.json) {
    print(JSON.stringify(answer, undefined, 2));
    return 0;
  }
  const memory = new Map(listSegments(dir).map(node => [node.name, node.usedBytes]));
  print(`${answer.topologyFile}, supervised by process ${answer.supervisor}`);
  const rows = answer.nodes.flatMap(node => rowsOf(node, memory.get(node.name) ?? 0));
  const [head, ...lines] = table(
    [['NODE', 'STATUS', 'ROLE', 'PID', 'UP', 'LIFE', 'OWN', 'STATE', ''], ...rows],
    [3, 4, 5, 6, 7],
    '',
  );
  print(styled('dim', cut(head!, columns())));
  for (const line of lines) print(coloured(cut(line, columns())));
  return answer.nodes.some(node => node.status === 'down') ? 1 : 0;
}

function rowsOf(node: PsNode, stateBytes: number): string[][] {
  const note =
    node.status === 'down'
      ? node.why
      : node.nextStartMs > 0
        ? `${count(node.crashes, 'crash', 'crashes')} in a row, starts again in ${Math.max(0, node.nextStartMs - Date.now())} ms`
        : (node.address ?? '');
  const life = node.epoch === 0 ? '' : String(node.epoch);
  const state = stateBytes === 0 ? '' : size(stateBytes);
  if (node.processes.length === 0) return [[node.name, node.status, '', '', '', life, '', state, note]];
  const byRole = [...node.processes].sort((a, b) => Number(b.role === 'owner') - Number(a.role === 'owner'));
  return byRole.map((process, k) => [
    k === 0 ? node.name : '',
    k === 0 ? node.status : '',
    process.role,
    String(process.pid),
    since(Date.now() - process.startedMs),
    k === 0 ? life : '',
    size(process.privateBytes),
    k === 0 ? state : '',
    k === 0 ? note : '',
  ]);
}

/** `12s`, `3m`, `5h`, `2d` */
export function since(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 100) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

function coloured(line: string): string {
  const styles = { serving: 'green', starting: 'yellow', stopped: 'dim', down: 'red' } as const;
  return line.replace(
    /^(\S+\s+)(serving|starting|stopped|down)\b/,
    (_, before: string, status: keyof typeof styles) => {
      return before + styled(styles[status], status);
    },
  );
}

/** Nodes go on without a supervisor for a while, or were started otherwise. */
function withoutSupervisor(dir: string, json: boolean): number {
  const running = runningIn(dir);
  const owners = listSegments(dir).filter(node => node.owner !== undefined);
  if (json) {
    print(JSON.stringify({ supervisor: 0, nodes: [], processes: running }, undefined, 2));
    return 1;
  }
  if (running.length === 0 && owners.length === 0) {
    print(`nothing runs in ${dir}`);
    return 1;
  }
  print(`no supervisor runs in ${dir}; \`lich up\` adopts what does:`);
  const isOwner = new Map(owners.map(node => [`${node.name} ${node.owner!.pid}`, 'owner']));
  // A process may own several nodes, in threads of its own.
  const found = new Set([...isOwner.keys(), ...running.map(record => `${record.node} ${record.pid}`)]);
  for (const line of table([...found].map(key => [...key.split(' '), isOwner.get(key) ?? '']))) print(line);
  return 1;
}
