import { parseArgs } from 'node:util';
import { isAlive, nsPid, runtimeDir } from '../shm/index.ts';
import { askSupervisor, RuntimeError, runningIn, type RunRecord, type SupervisorEvent } from '../runtime/index.ts';
import { eventLine } from './events.ts';
import { count, print } from './text.ts';
import { UsageError } from './usage.ts';

const ASK_MS = 20;

/** `lich stop`: end everything in order, or the nodes that are named. @returns the exit code */
export async function stop(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, keep: { type: 'boolean', default: false } },
  });
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  try {
    await askSupervisor(dir, 'stop', { nodes: positionals, keep: values.keep }, event => {
      const line = eventLine(event as SupervisorEvent);
      if (line !== undefined) print(line);
    });
    return 0;
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'RUNTIME_NO_SUPERVISOR') throw error;
    return endOrphans(dir, positionals, error);
  }
}

/** Nodes whose supervisor was killed: they end in order too. */
async function endOrphans(dir: string, names: readonly string[], error: RuntimeError): Promise<number> {
  const here = runningIn(dir).filter(record => record.pidNamespace === nsPid());
  const ours = here.filter(record => names.length === 0 || names.includes(record.node));
  if (ours.length === 0) throw error;
  const isLeft = (record: RunRecord): boolean => isAlive(record.pid, record.startTime);
  for (const record of ours) {
    // Whoever ended meanwhile needs no signal.
    if (isLeft(record)) process.kill(record.pid, 'SIGTERM');
  }
  while (ours.some(isLeft)) await new Promise(resolve => setTimeout(resolve, ASK_MS));
  print(`no supervisor ran in ${dir}; ${count(ours.length, 'process was', 'processes were')} ended in order`);
  return 0;
}

/** `lich start`: start nodes that were stopped, or are down. */
export async function start(args: readonly string[]): Promise<number> {
  const { dir, names } = named(args, 'start');
  await askSupervisor(dir, 'start', { nodes: names });
  return 0;
}

/** `lich kill`: SIGKILL the owner of a node, or its standby. To see what happens. */
export async function kill(args: readonly string[]): Promise<number> {
  const { dir, names, standby } = named(args, 'kill');
  const killed = await askSupervisor<{ node: string; pid: number }[]>(dir, 'kill', { nodes: names, standby });
  for (const { node, pid } of killed) print(`${node.padEnd(12)} killed      pid ${pid}`);
  return 0;
}

function named(args: readonly string[], verb: string): { dir: string; names: string[]; standby: boolean } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, standby: { type: 'boolean', default: false } },
  });
  if (positionals.length === 0) throw new UsageError(`name the nodes: lich ${verb} arena-1`);
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  return { dir: runtimeDir(), names: positionals, standby: values.standby };
}
