import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError } from '@lich/schema';
import { listSegments, runtimeDir } from '../shm/index.ts';
import { type DevEvent, DevLoop, RuntimeError, Supervisor, type SupervisorEvent } from '../runtime/index.ts';
import { eventLine } from './events.ts';
import { removeAll } from './rm.ts';
import { print } from './text.ts';
import { traps } from './traps.ts';
import { UsageError } from './usage.ts';

/** `lich up`, and `lich dev`: run a topology in the foreground until SIGINT, SIGTERM, SIGHUP or `lich stop`; a second signal kills.
 * @returns the exit code */
export async function up(args: readonly string[], dev = false): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      host: { type: 'string' },
      keep: { type: 'boolean', default: false },
      'orphan-ms': { type: 'string', default: '30000' },
    },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new UsageError('want one topology file: lich up topology.ts');
  const orphanMs = Number(values['orphan-ms']);
  if (!Number.isInteger(orphanMs) || orphanMs < 0)
    throw new UsageError(`--orphan-ms wants milliseconds, not ${values['orphan-ms']}`);
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const dir = runtimeDir();
  const left = listSegments(dir);
  sayWhatWasLeft(left, dir);
  for (const trap of traps(dir)) print(`warning: ${trap}`);
  const startedMs = performance.now();
  // Each turn of a flow is run twice: here is where to find out that it is no function of its record.
  if (dev) process.env.LICH_CHECK_FLOWS ??= '1';
  const { host } = values;
  const supervisor = new Supervisor({ file, dir, orphanMs, host, onEvent: say, spares: dev });
  let onSignal!: () => void;
  const signalled = new Promise<{ keep: boolean }>(resolve => (onSignal = () => resolve({ keep: false })));
  const stopAsked = Promise.race([signalled, supervisor.stopAsked]);
  // One listener for good: while it was changed for another one a signal would be lost.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => onSignal());
  let code = 0;
  let keep = values.keep;
  let loop: DevLoop | undefined;
  try {
    const started = await Promise.race([supervisor.start().then(() => 'started' as const), stopAsked]);
    if (started === 'started') {
      sayReady(supervisor, (performance.now() - startedMs) / 1000);
      if (dev) loop = develop(supervisor, file);
    }
    const asked = await stopAsked;
    keep ||= asked.keep;
  } catch (error) {
    process.stderr.write(
      `lich up: ${error instanceof CodedError ? `${error.code}: ` : ''}${error instanceof Error ? error.message : String(error)}\n`,
    );
    // What is there belongs to somebody else.
    if (error instanceof RuntimeError && error.code === 'RUNTIME_IN_USE') {
      await supervisor.stop();
      supervisor.release();
      return 1;
    }
    code = 1;
  }
  loop?.close();
  let killed = false;
  onSignal = () => {
    if (!killed) print('killing …');
    killed = true;
    supervisor.killAll();
  };
  print('ending …');
  await supervisor.stop();
  const isEvidence =
    existsSync(join(dir, 'evidence')) || [...supervisor.nodes.values()].some(node => node.wanted === 'down');
  if (keep || killed || isEvidence || (left.length > 0 && code !== 0)) {
    print(`segments are kept in ${dir}: the next start resumes them; lich rm --all --dir ${dir} removes them`);
  } else removeAll(dir);
  supervisor.release();
  return killed ? 130 : code;
}

/** Watch the sources. */
function develop(supervisor: Supervisor, file: string): DevLoop {
  const prepare = (build?: string): void => supervisor.prepareSpares(build);
  prepare();
  print('watching: save a file to deploy it');
  const { deployer, loaded } = supervisor;
  return new DevLoop({ file, built: loaded!, deployer, onEvent: sayDev, onIdle: prepare });
}

function sayDev(event: DevEvent): void {
  if (event.type === 'saved')
    print(`${event.services.join(', ').padEnd(12)} deployed    ${event.ms} ms after it was saved`);
  else if (event.type === 'refused') print(`not deployed: ${event.why}`);
  else if (event.type === 'types') print(event.output === '' ? 'types: all well' : `types:\n${event.output}`);
  else if (event.type === 'back') print(`${event.node.padEnd(12)} old code    pid ${event.pid}`);
}

function sayReady(supervisor: Supervisor, seconds: number): void {
  const { dir, metrics } = supervisor;
  const lines = [`\nready after ${seconds.toFixed(1)} s; state in ${dir}, logs in ${dir}/logs; Ctrl-C ends it\n`];
  if (metrics !== undefined) lines.push(`  metrics at ${metrics}`);
  for (const name of supervisor.names) {
    const address = supervisor.address(name);
    if (address !== undefined) lines.push(`  ${name.padEnd(12)} ${address}`);
  }
  // In one piece: who waits for the first line may want the addresses too.
  print([...lines, ''].join('\n'));
}

function sayWhatWasLeft(left: ReturnType<typeof listSegments>, dir: string): void {
  for (const node of left) {
    if (node.owner !== undefined) continue;
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
  const line = eventLine(event);
  if (line !== undefined) print(line);
}
