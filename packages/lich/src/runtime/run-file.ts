/** What a process of a node says about itself before it does anything else, so that a supervisor that did not start it can
 * find it: `<dir>/run/<node>.<pid>.json`. A file is worth as much as its process: one that names a process of another
 * boot or start time is a leftover. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { bootId, isAlive, nsPid, startTimeOf, writeWhole } from '../shm/index.ts';

/** A process of a node. */
export interface RunRecord {
  readonly node: string;
  readonly pid: number;
  /** Clock ticks since boot; with the pid it names one process. */
  readonly startTime: number;
  /** Pids of another namespace mean nothing here. */
  readonly pidNamespace: number;
  readonly bootId: string;
  /** Source file of its topology, and directory of the build that it runs. */
  readonly topologyFile: string;
  readonly build: string;
  /** pid of the supervisor that started it. */
  readonly supervisor: number;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
}

const folder = (dir: string): string => join(dir, 'run');
const pathOf = (dir: string, node: string, pid: number): string => join(folder(dir), `${node}.${pid}.json`);
const thisBoot = (): string => Buffer.from(bootId()).toString('hex');

/** Say that this process runs as a process of that node. The file goes when the process ends in order. */
export function sayRunning(dir: string, o: Pick<RunRecord, 'node' | 'topologyFile' | 'build' | 'supervisor'>): void {
  const { pid } = process;
  const record: RunRecord = {
    node: o.node,
    pid,
    startTime: startTimeOf(pid) ?? 0,
    pidNamespace: nsPid(),
    bootId: thisBoot(),
    topologyFile: o.topologyFile,
    build: o.build,
    supervisor: o.supervisor,
    startedMs: Math.round(performance.timeOrigin),
  };
  fs.mkdirSync(folder(dir), { recursive: true, mode: 0o700 });
  writeWhole(pathOf(dir, o.node, pid), JSON.stringify(record));
  process.once('exit', () => dropRunFile(dir, o.node, pid));
}

export function dropRunFile(dir: string, node: string, pid: number): void {
  fs.rmSync(pathOf(dir, node, pid), { force: true });
}

/** The processes of a directory that said so and live. Files of those that do not are removed. */
export function runningIn(dir: string): RunRecord[] {
  const at = folder(dir);
  if (!fs.existsSync(at)) return [];
  const alive: RunRecord[] = [];
  for (const file of fs.readdirSync(at)) {
    if (!file.endsWith('.json')) continue;
    const record = read(join(at, file));
    if (record === undefined) continue;
    if (record.bootId === thisBoot() && (record.pidNamespace !== nsPid() || isAlive(record.pid, record.startTime)))
      alive.push(record);
    else fs.rmSync(join(at, file), { force: true });
  }
  return alive.sort((a, b) => a.startedMs - b.startedMs);
}

function read(path: string): RunRecord | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8')) as RunRecord;
  } catch {
    // It ended meanwhile, or somebody else's file.
    return undefined;
  }
}
