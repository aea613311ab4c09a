/** Who runs, since when, on which boot, in which pid namespace; and the clock all processes of a host share. */
import { readFileSync, readlinkSync } from 'node:fs';
import { native } from './native.ts';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

let clock: (() => number) | undefined;

/** CLOCK_MONOTONIC in nanoseconds, the same in all processes of the host. Exact to 1 ns for 104 days of uptime. */
export function nowNs(): number {
  clock ??= native().nowNs;
  return clock();
}

let boot: Uint8Array | undefined;

/** Id of this boot of the host, 16 bytes. All zero where the kernel does not tell. */
export function bootId(): Uint8Array {
  boot ??= new Uint8Array(
    Buffer.from((read('/proc/sys/kernel/random/boot_id') ?? '').replaceAll('-', '').trim().padEnd(32, '0'), 'hex'),
  );
  return boot;
}

interface ProcessState {
  readonly state: string;
  /** Clock ticks since boot; with the pid it names one process for the life of the boot. */
  readonly startTime: number;
}

function stateOf(pid: number): ProcessState | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in brackets may hold spaces and brackets: fields are counted after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, startTime: Number(fields[19]) };
}

/** Start time of a process in clock ticks since boot; `undefined` when there is none, also for a zombie. */
export function startTimeOf(pid: number): number | undefined {
  const found = stateOf(pid);
  return found === undefined || found.state === 'Z' || found.state === 'X' ? undefined : found.startTime;
}

/** Does the process that had this pid and this start time still run? A stopped one does, a zombie does not. */
export function isAlive(pid: number, startTime: number): boolean {
  return startTimeOf(pid) === startTime;
}

/** Pid of the process a thread belongs to. */
export function processOfThread(tid: number): number | undefined {
  const found = /^Tgid:\s*(\d+)/m.exec(read(`/proc/${tid}/status`) ?? '');
  return found === null ? undefined : Number(found[1]);
}

let ns: number | undefined;

/** Number of this process's pid namespace: pids of two namespaces must not be compared. 0 where unknown. */
export function nsPid(): number {
  if (ns === undefined) {
    try {
      ns = Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? 0);
    } catch {
      ns = 0;
    }
  }
  return ns;
}

/** Kernel id of the calling thread. */
export function threadId(): number {
  return native().threadId();
}

/** Soft limit of core dumps in bytes, -1 = as much as allowed. Services run with 1: the kernel writes a dump before it
 * releases locks, which takes seconds, and 0 would not stop a dump that is piped to a program. */
export function setCoreLimit(bytes: number): void {
  native().setCoreLimit(bytes);
}

/** Bind the calling thread to one processor. For benchmarks. */
export function pinCpu(cpu: number): void {
  native().pinCpu(cpu);
}
