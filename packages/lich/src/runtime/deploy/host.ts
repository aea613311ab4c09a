/** A supervisor, as a deploy needs it. */
import { readFileSync } from 'node:fs';
import type { BuiltTopology } from '../load.ts';
import type { NodeProcess, ProcessEnd } from '../supervisor/processes.ts';
import type { Watched } from '../supervisor/watched.ts';
import type { CandidateSpec } from './candidate.ts';
import type { DeployHost } from './deploy.ts';

/** What of a supervisor is used. */
export interface HostSupervisor {
  readonly dir: string;
  readonly nodes: ReadonlyMap<string, Watched>;
  readonly loaded: BuiltTopology | undefined;
  logFile(name: string): string;
  /** One more process of a node. */
  startProcess(node: Watched, build: string, candidate: CandidateSpec | undefined): NodeProcess;
  /** As many processes as the topology wants. */
  fill(node: Watched): void;
}

const STOP_MS = 5_000;
const TAIL_LINES = 200;

export function deployHostOf(supervisor: HostSupervisor): DeployHost {
  const { dir, nodes } = supervisor;
  const hashes = new Map<string, string>();
  const ends = new Map<number, string>();
  const nodeOf = (name: string): Watched => nodes.get(name)!;
  const ofKind = (kind: string): Watched[] =>
    [...nodes.values()].filter(({ plan, wanted }) => plan.kind === kind && wanted === 'running');
  return {
    dir,
    nodesOf: kind => ofKind(kind).map(({ name }) => name),
    // Processes that were adopted may run other code than that of this supervisor's build.
    hashOf: kind =>
      ofKind(kind).every(({ processes, build }) => [...processes].every(process => process.build === build)) &&
      ofKind(kind).every(({ build }) => hashes.has(kind) || build === supervisor.loaded?.build)
        ? (hashes.get(kind) ?? supervisor.loaded?.hashes.get(kind))
        : undefined,
    buildOf: name => nodeOf(name).build,
    start: (name, build, candidate) => {
      const started = supervisor.startProcess(nodeOf(name), build, candidate);
      const { pid } = started;
      ends.delete(pid);
      void started.ended.then(end => ends.set(pid, saidOf(end)));
      return { pid, ended: () => ends.get(pid) };
    },
    serving: name => {
      const node = nodeOf(name);
      node.lookForNewState();
      return node.servingPid();
    },
    pids: name => nodeOf(name).pids(),
    end: async (name, pid) => {
      const found = nodeOf(name).process(pid);
      if (found === undefined) return;
      found.kill('SIGTERM');
      const timer = setTimeout(() => found.kill('SIGKILL'), STOP_MS);
      await found.ended;
      clearTimeout(timer);
    },
    hold: (name, held) => {
      const node = nodeOf(name);
      node.held = held;
      if (!held) supervisor.fill(node);
    },
    adopt: (kind, built) => {
      for (const node of ofKind(kind)) node.build = built.build;
      hashes.set(kind, built.hashes.get(kind)!);
    },
    keep: (name, built) => {
      nodeOf(name).build = built.build;
    },
    lastError: (name, sinceMs) => lastErrorSince(supervisor.logFile(name), sinceMs),
  };
}

function saidOf({ code, signal }: ProcessEnd): string {
  return signal ?? (code === undefined ? 'itself' : `code ${code}`);
}

function lastErrorSince(file: string, sinceMs: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  for (const line of text.trim().split('\n').slice(-TAIL_LINES).reverse()) {
    if (!line.startsWith('{')) continue;
    try {
      const { level, time, err, msg } = JSON.parse(line) as Record<string, any>;
      if (level >= 50 && Number(time) >= sinceMs) return err?.message ?? msg;
    } catch {
      // Cut off, or not ours.
    }
  }
  return undefined;
}
