import { parseArgs } from 'node:util';
import { CodedError } from '@lich/schema';
import { listSegments, runtimeDir } from '../shm/index.ts';
import { removeAll } from './rm.ts';
import { UsageError } from './usage.ts';
import { RuntimeError, Supervisor, type SupervisorEvent } from '../runtime/index.ts';

/** `lich up`: run a topology in the foreground until SIGINT or SIGTERM. @returns the exit code */
export async function up(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, keep: { type: 'boolean', default: false } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new UsageError('want one topology file: lich up topology.ts');
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  const left = listSegments(dir);
  refuseSecond(left, dir);
  sayWhatWasLeft(left, dir);
  const startedMs = performance.now();
  const supervisor = new Supervisor({ file, dir, onEvent: say });
  const stopped = new Promise<string>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal));
  });
  let code = 0;
  try {
    const started = await Promise.race([supervisor.start().then(() => true), stopped]);
    if (started === true) {
      print(
        `\nready after ${((performance.now() - startedMs) / 1000).toFixed(1)} s; state in ${dir}, logs in ${dir}/logs; Ctrl-C ends it\n`,
      );
      for (const name of supervisor.names) {
        const address = supervisor.address(name);
        if (address !== undefined) print(`  ${name.padEnd(12)} ${address}`);
      }
      print('');
      await stopped;
    }
  } catch (error) {
    process.stderr.write(
      `lich up: ${error instanceof CodedError ? `${error.code}: ` : ''}${error instanceof Error ? error.message : String(error)}\n`,
    );
    code = 1;
  }
  print('ending …');
  await supervisor.stop();
  if (values.keep || (left.length > 0 && code !== 0)) {
    print(`segments are kept in ${dir}: the next start resumes them; lich rm --all --dir ${dir} removes them`);
  } else removeAll(dir);
  return code;
}

/** One supervisor a directory: the nodes of another one would be taken for standbys. */
function refuseSecond(left: ReturnType<typeof listSegments>, dir: string): void {
  const alive = left.find(node => node.owner !== undefined);
  if (alive === undefined) return;
  throw new RuntimeError(
    'RUNTIME_IN_USE',
    `${alive.name} runs already in ${dir}, as process ${alive.owner!.pid}: end it first, or give another --dir`,
  );
}

function sayWhatWasLeft(left: ReturnType<typeof listSegments>, dir: string): void {
  for (const node of left) {
    const problem = node.lockProblem ?? node.segments.find(segment => segment.problem !== undefined)?.problem;
    const mib = (node.usedBytes / 1_048_576).toFixed(1);
    if (problem === undefined) print(`${node.name}: ${mib} MiB of an earlier run; it goes on from there`);
    else
      print(
        `${node.name}: ${mib} MiB of an earlier run that cannot go on (${problem.code}: ${problem.message}); lich rm ${node.name} --dir ${dir} removes it`,
      );
  }
}

function say(event: SupervisorEvent): void {
  switch (event.type) {
    case 'started':
      break;
    case 'ready':
      print(`${event.node.padEnd(12)} ready       pid ${event.pid}`);
      break;
    case 'takeover':
      print(`${event.node.padEnd(12)} taken over  pid ${event.pid}`);
      break;
    case 'exited':
      print(`${event.node.padEnd(12)} ended       pid ${event.pid}, ${event.signal ?? `code ${event.code}`}`);
      break;
    case 'gaveUp':
      print(`${event.node.padEnd(12)} cannot start; see ${event.logFile}`);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
