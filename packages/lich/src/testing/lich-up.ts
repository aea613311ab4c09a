/** `lich up` as a child process, and what it leaves. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { attachSegment, OwnerLock } from '../shm/index.ts';
import { openReader, type StoreReader } from '../state/index.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));

export class LichUp {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly dir: string;
  output = '';
  errors = '';

  constructor(
    topology: string,
    dir: string,
    env: Readonly<Record<string, string>> = {},
    args: readonly string[] = ['--keep'],
    verb: 'up' | 'dev' = 'up',
    node = process.execPath,
  ) {
    this.dir = dir;
    this.process = spawn(node, [LICH, verb, topology, '--dir', dir, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.process.stdout!.on('data', chunk => (this.output += String(chunk)));
    this.process.stderr!.on('data', chunk => (this.errors += String(chunk)));
    this.ended = new Promise(resolve => this.process.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** Start it, with `--keep`, and wait until all nodes serve. */
  static async up(
    topology: string,
    dir: string,
    env?: Readonly<Record<string, string>>,
    node?: string,
  ): Promise<LichUp> {
    const up = new LichUp(topology, dir, env, undefined, 'up', node);
    await up.said('ready after');
    return up;
  }

  /** Wait until it has said that. */
  async said(words: string): Promise<void> {
    let over = false;
    void this.ended.then(() => (over = true));
    await until(() => this.output.includes(words) || over);
    if (!this.output.includes(words))
      throw new Error(`lich up ended without saying '${words}':\n${this.output}\n${this.errors}`);
  }

  /** Ctrl-C, and wait for its end. */
  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.process.kill('SIGINT');
    return this.ended;
  }

  reader(name: string): StoreReader {
    return openReader(attachSegment({ dir: this.dir, name, kind: 'state' }));
  }

  ownerOf(name: string): number | undefined {
    return OwnerLock.open(this.dir, name).owner()?.pid;
  }

  /** SIGKILL the owner of a node. @returns its pid, or undefined when nobody owned it at this moment */
  kill(name: string): number | undefined {
    const pid = this.ownerOf(name);
    if (pid === undefined) return undefined;
    try {
      process.kill(pid, 'SIGKILL');
      return pid;
    } catch {
      return undefined;
    }
  }

  log(name: string): any[] {
    const file = `${this.dir}/logs/${name}.log`;
    // Nothing was said, or nothing was collected yet.
    if (!fs.existsSync(file)) return [];
    return fs
      .readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line));
  }

  /** The first line of a node's log that begins with `words`, once it is there: what it did is seen in the segment before
   * its line has reached the file. */
  async logged(name: string, words: string, which: (line: any) => boolean = () => true): Promise<any> {
    const find = () => this.log(name).find(line => line.msg?.startsWith(words) && which(line));
    await until(() => find() !== undefined);
    return find();
  }
}

/** Lines of a log file and of what was rotated away from it, the oldest first. */
export function logLines(dir: string, file: string): any[] {
  const number = (name: string): number => Number(/\.(\d+)$/.exec(name)?.[1] ?? 0);
  return fs
    .readdirSync(`${dir}/logs`)
    .filter(name => name === file || (name.startsWith(`${file}.`) && number(name) > 0))
    .sort((a, b) => number(b) - number(a))
    .flatMap(name => fs.readFileSync(`${dir}/logs/${name}`, 'utf8').split('\n').slice(0, -1))
    .map(line => JSON.parse(line));
}

export async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2));
}

export function rootOf(reader: StoreReader): Record<string, number> {
  return reader.snapshot(s => s.root()) as Record<string, number>;
}

/** Processes of this host whose command line names that directory. */
export function processesOf(dir: string): number[] {
  return fs
    .readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dir);
      } catch {
        return false;
      }
    })
    .map(Number);
}
