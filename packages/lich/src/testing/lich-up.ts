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

  /** Those that run, for whoever has waited too long. */
  static readonly running = new Set<LichUp>();

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
    LichUp.running.add(this);
    this.ended = new Promise(resolve =>
      this.process.once('close', (code, signal) => {
        LichUp.running.delete(this);
        resolve({ code, signal });
      }),
    );
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

  /** The end of what it and its nodes said. */
  lastWords(): string {
    const tail = (text: string, lines: number): string => text.trimEnd().split('\n').slice(-lines).join('\n');
    const logs = `${this.dir}/logs`;
    const files = fs.existsSync(logs) ? fs.readdirSync(logs).filter(name => /\.(log|out)$/.test(name)) : [];
    const said = files.map(name => `-- ${name}\n${tail(fs.readFileSync(`${logs}/${name}`, 'utf8'), 12)}`);
    return [`-- lich up, process ${this.process.pid}`, tail(this.output, 30), this.errors, ...said].join('\n');
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

/** Whoever waits for so long waits for ever: a watchdog, which says what for. */
const STUCK_MS = process.env.LICH_SOAK ? 900_000 : 100_000;

/** Wait until that is so. What it costs to look is not taken from those who are waited for: at most a fifth of the time.
 * @throws Error after STUCK_MS, with the end of what the clusters of this process said */
export async function until(what: () => boolean): Promise<void> {
  const began = performance.now();
  for (;;) {
    const looked = performance.now();
    if (what()) return;
    const now = performance.now();
    if (now - began > STUCK_MS) {
      const said = [...LichUp.running].map(up => up.lastWords()).join('\n');
      throw new Error(`waited ${STUCK_MS / 1000} s, in vain, until\n${what.toString()}\n${said}`);
    }
    await new Promise(resolve => setTimeout(resolve, Math.min(100, Math.max(2, 4 * (now - looked)))));
  }
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
