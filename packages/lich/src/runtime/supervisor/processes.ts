/** The processes of nodes, as a supervisor has them: its own children, and those that another supervisor started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { isAlive, startTimeOf } from '../../shm/index.ts';

/** How a process ended. Of an adopted one nobody says. */
export interface ProcessEnd {
  readonly code?: number;
  readonly signal?: NodeJS.Signals;
}

/** Why this supervisor killed it. */
export type KilledFor = 'hung' | 'memory' | 'asked';

/** One process of one node. */
export class NodeProcess {
  readonly pid: number;
  /** Clock ticks since boot; 0 when it was gone before it could be asked. */
  readonly startTime: number;
  readonly startedMs: number;
  readonly build: string;
  readonly isAdopted: boolean;
  killedFor: KilledFor | undefined;
  readonly ended: Promise<ProcessEnd>;
  #end: ((end: ProcessEnd) => void) | undefined;
  readonly #child: ChildProcess | undefined;

  private constructor(o: { pid: number; startTime: number; startedMs: number; build: string; child?: ChildProcess }) {
    this.pid = o.pid;
    this.startTime = o.startTime;
    this.startedMs = o.startedMs;
    this.build = o.build;
    this.isAdopted = o.child === undefined;
    this.#child = o.child;
    this.ended = new Promise(resolve => (this.#end = resolve));
    this.#child?.on('error', () => this.#over({}));
    this.#child?.on('exit', (code, signal) =>
      this.#over({ ...(code === null ? {} : { code }), ...(signal === null ? {} : { signal }) }),
    );
  }

  /** @param node the binary
   * @param log an open file for what it writes; it has no pipe to this process */
  static start(node: string, args: readonly string[], log: number, build: string): NodeProcess {
    // A session of its own: Ctrl-C in the terminal is for the supervisor, which ends the nodes in order.
    const child = spawn(node, args, { stdio: ['ignore', log, log], detached: true });
    const pid = child.pid ?? 0;
    return new NodeProcess({ pid, startTime: startTimeOf(pid) ?? 0, startedMs: Date.now(), build, child });
  }

  /** A child that runs already. */
  static of(child: ChildProcess, build: string): NodeProcess {
    const pid = child.pid ?? 0;
    return new NodeProcess({ pid, startTime: startTimeOf(pid) ?? 0, startedMs: Date.now(), build, child });
  }

  /** One that runs already, and is no child of ours. */
  static adopt(o: { pid: number; startTime: number; startedMs: number; build: string }): NodeProcess {
    return new NodeProcess(o);
  }

  get isOver(): boolean {
    return this.#end === undefined;
  }

  /** The kernel tells of children; whoever was adopted has to be looked at. */
  look(): void {
    if (this.isAdopted && !this.isOver && !isAlive(this.pid, this.startTime)) this.#over({});
  }

  kill(signal: NodeJS.Signals): void {
    if (this.isOver) return;
    if (this.#child !== undefined) {
      this.#child.kill(signal);
      return;
    }
    if (!isAlive(this.pid, this.startTime)) return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // It ended between the two.
    }
  }

  #over(end: ProcessEnd): void {
    this.#end?.(end);
    this.#end = undefined;
  }
}

/** Is the process stopped (SIGSTOP, Ctrl-Z), traced (gdb), or one that was started to be debugged? */
export function isHeld(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    // A tracer lets it run now and then, and then it is not stopped.
    if (/^State:\s+[Tt]/m.test(status) || /^TracerPid:\s+[1-9]/m.test(status)) return true;
    const args = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    return args.some(arg => /^--inspect(?:-brk|-wait)?(?:=|$)/.test(arg));
  } catch {
    return false;
  }
}

/** Memory that a process has for itself, in bytes: segments, which it shares, do not count. */
export function privateBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    return (kib('RssAnon') + kib('VmSwap')) * 1024;
  } catch {
    return 0;
  }
}

const WARM_UP_PRIORITY = 5;

/** Warming up is polite to who serves. */
export function lowerPriority(pid: number): void {
  try {
    setPriority(pid, WARM_UP_PRIORITY);
  } catch {
    // It has ended already.
  }
}
