import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DEFAULT_LIMITS, Directory } from '../bus/index.ts';
import { buildTopology, findQuarantined, type Quarantined, readQuarantined, RuntimeError } from '../runtime/index.ts';
import { attachSegment, OwnerLock } from '../shm/index.ts';
import { restoreSegment, WORDS } from '../state/index.ts';
import { compare, printResult } from './diff.ts';
import { openSource, useDir } from './source.ts';
import { print } from './text.ts';
import { UsageError } from './usage.ts';

const ENTRY = fileURLToPath(new URL('../runtime/capsule-entry.js', import.meta.url));
/** A loop without an end is ended then. */
const LONGEST_MS = 10_000;
const LIMIT = 20;
const ENDS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `lich replay <capsule>`: do what kept ending a process again, on a scratch copy of the state before it.
 * @returns 1 when it ended the process again */
export async function replay(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: args.map(arg => (arg === '--inspect-brk' ? '--inspect-brk=' : arg)),
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      now: { type: 'boolean', default: false },
      'inspect-brk': { type: 'string' },
    },
  });
  const [name] = positionals;
  if (name === undefined || positionals.length > 1)
    throw new UsageError('want a capsule: lich replay <id | folder> (lich quarantine lists them)');
  const capsule = find(name, values.dir);
  const { entry, about, dump } = capsule;
  if (about === undefined || dump === undefined) {
    throw new RuntimeError(
      'RUNTIME_NO_CAPSULE',
      `${capsule.folder} has no state: its node had no supervisor then, or it is still being written`,
    );
  }
  const inspect = values['inspect-brk'];
  const room = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const dir = fs.mkdtempSync(join(room, 'lich-replay-'));
  try {
    const keep = !values.now && fs.existsSync(about.build);
    const build = keep ? about.build : (await buildTopology(about.topologyFile)).build;
    enterNodes(dir, about.nodes);
    restoreSegment(dump, { dir, name: entry.node });
    print(
      `${entry.what} of ${entry.node}, set aside after ${entry.deaths} deaths (${about.exit}); state ${about.exact ? 'before it' : 'of a later commit'}, code ${keep ? 'of then' : 'as it is now'}`,
    );
    const spec = { folder: capsule.folder, dir, topologyFile: about.topologyFile, build };
    const end = await run(spec, inspect, about.memoryMiB);
    print(end.how);
    showWhatChanged(dump, dir, entry.node, end.died);
    return end.died ? 1 : 0;
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

function find(name: string, dir: string | undefined): Quarantined {
  const found = readQuarantined(resolve(name));
  return found ?? findQuarantined(useDir(dir), name);
}

/** Names and indexes as they were: the state holds some. */
function enterNodes(dir: string, nodes: readonly { name: string; id: number; index: number }[]): void {
  const directory = new Directory(dir, DEFAULT_LIMITS.nodes);
  for (const { name, id, index } of [...nodes].sort((a, b) => a.index - b.index)) {
    const made = directory.ensure(name, id);
    if (made.index !== index) throw new Error(`node ${name} had index ${index}, the copy gives it ${made.index}`);
  }
}

interface End {
  readonly died: boolean;
  readonly how: string;
}

function run(spec: object, inspect: string | undefined, memoryMiB: number | undefined): Promise<End> {
  const heap = memoryMiB === undefined ? [] : [`--max-old-space-size=${memoryMiB}`];
  const flags = inspect === undefined ? [] : [inspect === '' ? '--inspect-brk' : `--inspect-brk=${inspect}`];
  const child = spawn(process.execPath, [...flags, ...heap, ENTRY, JSON.stringify(spec)], {
    stdio: ['inherit', 'inherit', 'inherit'],
  });
  let isEndless = false;
  // A debugger may hold it for as long as it likes.
  const timer =
    inspect === undefined
      ? setTimeout(() => {
          isEndless = true;
          child.kill('SIGKILL');
        }, LONGEST_MS)
      : undefined;
  // Whoever ends this one ends both, and the copy goes.
  const stop = (): void => void child.kill('SIGKILL');
  for (const signal of ENDS) process.on(signal, stop);
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      for (const end of ENDS) process.off(end, stop);
      const by = signal ?? `code ${code}`;
      if (code === 0) done({ died: false, how: 'the process lives on' });
      else if (isEndless) done({ died: true, how: `it did not end within ${LONGEST_MS / 1000} s` });
      else done({ died: true, how: `it ended the process again: ${by}` });
    });
  });
}

/** What was changed up to the end, whether it was committed or not. */
function showWhatChanged(dump: string, dir: string, node: string, died: boolean): void {
  const lock = OwnerLock.open(dir, node);
  lock.tryAcquire();
  const segment = attachSegment({ dir, name: node, kind: 'state', write: true });
  segment.i32[WORDS.COM_POS] = segment.i32[WORDS.LOG_POS];
  segment.close();
  lock.release();
  const [before, after] = [openSource(resolve(dump), undefined), openSource(node, dir)];
  print(died ? 'what it had changed by then:' : 'what it changed:');
  printResult(compare(before, after, LIMIT));
  before.close();
  after.close();
}
