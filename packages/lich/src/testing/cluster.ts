/** A cluster of real processes, started the way a user starts it: `lich up`, in a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { attachSegment, OwnerLock } from '../shm/index.ts';
import { openReader, type StoreReader } from '../state/index.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));

export interface UpOptions {
  /** Path of the topology file. */
  readonly topology: string;
  readonly dir: string;
  /** Default true: segments stay when it ends. */
  readonly keep?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

export class Cluster {
  readonly dir: string;
  readonly process: ChildProcess;
  #output = '';

  private constructor(o: UpOptions) {
    this.dir = o.dir;
    const args = [LICH, 'up', o.topology, '--dir', o.dir, ...(o.keep === false ? [] : ['--keep'])];
    this.process = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...o.env },
    });
    this.process.stdout!.on('data', chunk => (this.#output += String(chunk)));
  }

  /** Start it and wait until all nodes serve. */
  static async up(o: UpOptions): Promise<Cluster> {
    const cluster = new Cluster(o);
    await cluster.said('ready after');
    return cluster;
  }

  /** What `lich up` printed so far. */
  get output(): string {
    return this.#output;
  }

  /** Wait until it has printed this. */
  async said(words: string): Promise<void> {
    while (!this.#output.includes(words)) {
      const what = await Promise.race([
        once(this.process.stdout!, 'data').then(() => 'data'),
        once(this.process, 'exit').then(() => 'exit'),
      ]);
      if (what === 'exit' && !this.#output.includes(words))
        throw new Error(`lich up ended and had said: ${this.#output}`);
    }
  }

  /** Pid of the process that owns the node now. */
  owner(name: string): number | undefined {
    return OwnerLock.open(this.dir, name).owner()?.pid;
  }

  /** Read a node's state from outside. */
  reader(name: string): StoreReader {
    return openReader(attachSegment({ dir: this.dir, name, kind: 'state' }));
  }

  /** SIGKILL the owner of a node. @returns its pid, or undefined when nobody owned it at this moment */
  kill(name: string): number | undefined {
    const pid = this.owner(name);
    if (pid === undefined) return undefined;
    try {
      process.kill(pid, 'SIGKILL');
      return pid;
    } catch {
      return undefined;
    }
  }

  /** End it as Ctrl-C does. @returns the exit code */
  async end(): Promise<number | null> {
    if (this.process.exitCode !== null) return this.process.exitCode;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGINT');
    await ended;
    return this.process.exitCode;
  }
}

/** Root fields of a state, read from outside. */
export function rootOf(reader: StoreReader): Readonly<Record<string, number>> {
  return reader.snapshot(s => s.root()) as Record<string, number>;
}

/** Wait until it is so. The event loop turns in between. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve));
}
