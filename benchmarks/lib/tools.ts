/** What several topics need: a place for segments, a clock that all processes share, the best of many repetitions, helper
 * processes, and C programs compiled on the spot. */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { native, nowNs, pinCpu } from 'lich/shm';
import { median, type Size } from './bench.ts';
import { PeerMissing } from './trial.ts';

/** What every contender is told. */
export interface TrialInput {
  readonly size: Size;
}

/** A directory on tmpfs that goes away with this process. */
export function scratchDir(): string {
  const dir = mkdtempSync('/dev/shm/lich-bench-');
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Keep this thread on one core, where there are several: 0 is for the other side of a comparison of two. */
export function pin(cpu: 0 | 1): void {
  native();
  // Not availableParallelism: a helper is born with its parent's one core.
  if (cpus().length > 1) pinCpu(cpu);
}

/** Nanoseconds for one of `count` steps: the best of `rounds` repetitions, after `warm` others. The best one is what the
 * code costs when nothing else runs; the median over trials then tells how stable that is. */
export function bestNs(rounds: number, warm: number, count: number, step: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let k = 0; k < warm + rounds; k++) {
    const from = nowNs();
    step();
    const took = (nowNs() - from) / count;
    if (k >= warm && took < best) best = took;
  }
  return best;
}

/** xorshift32: the same numbers for every contender. */
export function numbers(seed = 99): () => number {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return s >>> 0;
  };
}

/** Mixes numbers into a digest that two contenders can compare. */
export function digest(values: Iterable<number>): string {
  const hash = createHash('sha256');
  for (const value of values) hash.update(`${value},`);
  return hash.digest('hex').slice(0, 16);
}

/** Times of blocks of events, so that a figure is the median block: what else ran on the machine for some milliseconds is
 * in few of them. */
export class Blocks {
  readonly #size: number;
  readonly #ns: number[] = [];
  #count = 0;
  #from = 0;

  /** @param size events in a block; the first block is warm-up */
  constructor(size: number) {
    this.#size = size;
  }

  /** An event has ended. */
  add(): void {
    if (this.#count++ % this.#size !== 0) return;
    const now = nowNs();
    if (this.#count > 1) this.#ns.push((now - this.#from) / this.#size);
    this.#from = now;
  }

  /** Nanoseconds an event takes in the median block; the first tenth of the blocks does not count. */
  get medianNs(): number {
    return median(this.#ns.slice(Math.floor(this.#ns.length / 10)));
  }
}

export const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * p) - 1)];

/** The other process of a trial: ends with it. */
export class Helper {
  readonly process: ChildProcess;
  readonly #said: unknown[] = [];
  #wanting: ((said: unknown) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;

  /** @param file a contender's helper, absolute; its first argument is `input` as JSON
   * @param launcher program and arguments that start Node, e.g. `nice` */
  constructor(file: string, input: unknown, nodeFlags: readonly string[] = []) {
    this.process = fork(file, [JSON.stringify(input)], {
      execArgv: [...nodeFlags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    process.once('exit', () => this.process.kill('SIGKILL'));
    this.process.on('message', said => {
      const want = this.#wanting;
      this.#wanting = undefined;
      if (want) want(said);
      else this.#said.push(said);
    });
    this.process.on('exit', (code, signal) => {
      this.#failed?.(new Error(`${basename(file)} ended with ${signal ?? `code ${code}`}`));
    });
  }

  /** What it says next. @throws when it ends instead */
  async next<T>(): Promise<T> {
    if (this.#said.length > 0) return this.#said.shift() as T;
    return new Promise<T>((resolve, reject) => {
      this.#wanting = resolve as (said: unknown) => void;
      this.#failed = reject;
    });
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#failed = undefined;
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = new Promise(resolve => this.process.once('exit', resolve));
    this.process.kill(signal);
    await gone;
  }
}

/** What a helper was started with. From here on it ends with its trial, unless it never comes to its event loop: then
 * it asks `orphaned` now and then. */
export function helperInput<T>(): T {
  process.on('disconnect', () => process.exit());
  return JSON.parse(process.argv[2]) as T;
}

const parent = process.ppid;

/** Is the process that started this one gone? A system call. */
export const orphaned = (): boolean => process.ppid !== parent;

/** Compiles a C program of a topic.
 * @param folder `import.meta.dirname` of a compiled file of that topic
 * @returns path of the executable
 * @throws PeerMissing without a compiler */
export function compileC(folder: string, name: string): string {
  const source = join(folder, '../..', basename(folder), name); // dist/<topic> → <topic>
  const key = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const target = join(folder, `${name}-${key}`);
  if (existsSync(target)) return target;
  const [cc, ...args] = (process.env.CC || 'cc').trim().split(/\s+/);
  mkdirSync(folder, { recursive: true });
  const draft = `${target}.${process.pid}`;
  try {
    execFileSync(cc, [...args, '-O2', '-std=gnu11', '-o', draft, source], { stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new PeerMissing(`no C compiler (${cc})`);
    throw error;
  }
  renameSync(draft, target);
  return target;
}

/** Runs a compiled C program that prints one JSON object. */
export const runC = <T>(program: string, args: readonly (string | number)[]): T =>
  JSON.parse(execFileSync(program, args.map(String), { encoding: 'utf8' })) as T;
