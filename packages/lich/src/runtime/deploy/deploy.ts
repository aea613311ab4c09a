/** Deploy: other code under the same state, while it is played.
 *
 *   build ─→ candidate of a node: looks, is warmed, stands by
 *         ─→ SIGUSR2 to the owner: it lets go, the candidate owns the node, the old process waits in the lock
 *         ─→ the other nodes of the service, one after the other ─→ probation ─→ the old processes end
 *
 * Until the probation is over each node has its old process, asleep in the lock with its own code. So a candidate that dies
 * is followed by the old code as fast as any owner by its standby, and a deploy that is taken back is a handover like
 * another one. What the supervisor does with processes is behind `DeployHost`. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { RuntimeError } from '../errors.ts';
import type { BuiltTopology } from '../load.ts';
import { type CandidateReport, type CandidateSpec, readReport } from './candidate.ts';
import type { DeployOutlook } from './outlook.ts';

/** A process that was started for a deploy. */
export interface DeployProcess {
  readonly pid: number;
  /** How it ended, once it has: `SIGKILL`, `code 78`. */
  readonly ended: () => string | undefined;
}

/** The supervisor, as a deploy needs it. */
export interface DeployHost {
  readonly dir: string;
  /** Names of the nodes of a service that run. */
  readonly nodesOf: (kind: string) => readonly string[];
  /** Hash of the code that the nodes of a service run: `BuiltTopology.hashes`. */
  readonly hashOf: (kind: string) => string | undefined;
  /** Directory of the build that a node's processes are started from. */
  readonly buildOf: (name: string) => string;
  /** Start one more process of a node. */
  readonly start: (name: string, build: string, candidate: CandidateSpec | undefined) => DeployProcess;
  /** pid of who owns the node and serves; 0 = nobody now. */
  readonly serving: (name: string) => number;
  /** pids of all processes of a node. */
  readonly pids: (name: string) => readonly number[];
  /** End a process of ours, and wait until it is gone. */
  readonly end: (name: string, pid: number) => Promise<void>;
  /** From now on this node is that build's, though its service is not. */
  readonly keep: (name: string, built: BuiltTopology) => void;
  /** While a node is held, a process that ends is not followed by another one. */
  readonly hold: (name: string, held: boolean) => void;
  /** From now on the nodes of that service are this build's. */
  readonly adopt: (kind: string, built: BuiltTopology) => void;
  /** The last error in the node's log, written since. */
  readonly lastError: (name: string, sinceMs: number) => string | undefined;
}

/** What is told while it goes on. All of it is JSON. */
export type DeployEvent =
  | { readonly type: 'outlook'; readonly outlook: DeployOutlook }
  | { readonly type: 'switched'; readonly node: string; readonly pid: number; readonly pauseMs: number }
  /** All nodes of the service run the new code; its probation begins. */
  | { readonly type: 'served'; readonly service: string }
  | { readonly type: 'probation'; readonly service: string; readonly ms: number }
  | { readonly type: 'back'; readonly node: string; readonly pid: number; readonly why: string }
  | { readonly type: 'done'; readonly service: string };

export interface DeployOptions {
  readonly dryRun?: boolean;
  /** Own messages that may be set aside when they fall due: the new code has no handler for them. */
  readonly setAside?: readonly string[];
  /** Deploy a layout from which there is no exact way back. Default false. */
  readonly noWayBack?: boolean;
  /** How long the new code has to live before the old process ends. Default 3,000. */
  readonly probationMs?: number;
  /** Ends a probation early, and well. With it the nodes of a service go without a probation of the first one. */
  readonly enough?: AbortSignal;
  readonly onEvent?: (event: DeployEvent) => void;
  /** Aborted: it is taken back. */
  readonly signal?: AbortSignal;
}

/** What became of the services, in the order in which they were looked at. */
export interface DeployResult {
  readonly deployed: readonly string[];
  readonly unchanged: readonly string[];
  readonly outlooks: readonly DeployOutlook[];
  /** Of all handovers, the longest: ms from letting go to the new code serving. */
  readonly pauseMsMax: number;
}

export const PROBATION_MS = 3_000;
const LOOK_MS = 2;
/** A candidate that does not stand by in this time is given up: it hangs while it loads. */
const READY_MS = 60_000;
/** Longer than the old owner waits for its successor (let-go.ts). */
const SWITCH_MS = 30_000;

interface Switched {
  readonly node: string;
  readonly candidate: DeployProcess;
  /** pid of the process with the old code; 0 once it is gone. */
  old: number;
}

/** Deploys, one at a time. */
export class Deployer {
  readonly #host: DeployHost;
  #busy = false;
  #count = 0;

  constructor(host: DeployHost) {
    this.#host = host;
  }

  /** Bring services to the code of a build; those whose code is the same are left alone, unless they are named.
   * @param kinds in the order in which they are to be deployed; empty = all whose code changed, in the topology's order
   * @throws RuntimeError `RUNTIME_DEPLOY` with the reason: everything is then as it was before */
  async deploy(built: BuiltTopology, kinds: readonly string[], options: DeployOptions = {}): Promise<DeployResult> {
    if (this.#busy) throw new RuntimeError('RUNTIME_DEPLOY', 'another deploy is going on');
    this.#busy = true;
    try {
      return await this.#deploy(built, kinds, options);
    } finally {
      this.#busy = false;
    }
  }

  async #deploy(built: BuiltTopology, kinds: readonly string[], options: DeployOptions): Promise<DeployResult> {
    const host = this.#host;
    const services = [...built.hashes.keys()].filter(kind => typeof built.topology.entries.get(kind)!.run === 'string');
    for (const kind of kinds)
      if (!services.includes(kind) || host.nodesOf(kind).length === 0)
        refuse(
          `${kind} is no service that runs; there are ${services.filter(each => host.nodesOf(each).length > 0).join(', ')}`,
        );
    const wanted = kinds.length > 0 ? kinds : services.filter(kind => host.nodesOf(kind).length > 0);
    const chosen = kinds.length > 0 ? wanted : wanted.filter(kind => built.hashes.get(kind) !== host.hashOf(kind));
    const unchanged = wanted.filter(kind => !chosen.includes(kind));
    const outlooks: DeployOutlook[] = [];
    const deployed: string[] = [];
    let pauseMsMax = 0;
    for (const kind of chosen) {
      if (options.dryRun === true) {
        for (const node of host.nodesOf(kind)) outlooks.push(await this.#look(node, built, options));
        continue;
      }
      const { outlooks: found, pauseMs } = await this.#service(kind, built, options);
      outlooks.push(...found);
      pauseMsMax = Math.max(pauseMsMax, pauseMs);
      deployed.push(kind);
    }
    return { deployed, unchanged, outlooks, pauseMsMax };
  }

  /** A dry run at one node. */
  async #look(node: string, built: BuiltTopology, options: DeployOptions): Promise<DeployOutlook> {
    this.#host.hold(node, true);
    try {
      const { process, report } = await this.#candidate(node, built, options, true);
      await this.#host.end(node, process.pid);
      if (report.outlook === undefined) refuse(`${node}: ${failureOf(report) ?? 'its candidate said nothing'}`);
      options.onEvent?.({ type: 'outlook', outlook: report.outlook });
      return report.outlook;
    } finally {
      this.#host.hold(node, false);
    }
  }

  /** All nodes of a service, or none. */
  async #service(kind: string, built: BuiltTopology, options: DeployOptions) {
    const host = this.#host;
    const nodes = host.nodesOf(kind);
    const switched: Switched[] = [];
    const outlooks: DeployOutlook[] = [];
    let pauseMs = 0;
    for (const node of nodes) host.hold(node, true);
    try {
      for (const node of nodes) {
        const { pauseMs: ms, outlook } = await this.#switch(node, built, options, switched);
        pauseMs = Math.max(pauseMs, ms);
        outlooks.push(outlook);
        // What kills the first node should not get at the others.
        if (switched.length === 1 && nodes.length > 1 && options.enough === undefined)
          await this.#probation(kind, switched, options);
      }
      options.onEvent?.({ type: 'served', service: kind });
      await this.#probation(kind, switched, options);
      host.adopt(kind, built);
      await Promise.all(switched.map(({ node, old }) => host.end(node, old)));
      options.onEvent?.({ type: 'done', service: kind });
      return { outlooks, pauseMs };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const stuck: string[] = [];
      for (const each of switched.reverse()) {
        const wrong = await this.#back(each, why, built, options);
        if (wrong !== undefined)
          stuck.push(`${each.node}: the way back was refused, the new code goes on there: ${wrong}`);
      }
      if (stuck.length > 0) throw new RuntimeError('RUNTIME_DEPLOY', [why, ...stuck].join('; '), { cause: error });
      throw error;
    } finally {
      for (const node of nodes) host.hold(node, false);
    }
  }

  /** Start a candidate and wait for its word. */
  async #candidate(node: string, built: BuiltTopology, options: DeployOptions, dryRun: boolean) {
    const host = this.#host;
    const path = join(host.dir, 'status', `deploy-${node}-${++this.#count}.json`);
    rmSync(path, { force: true });
    const sinceMs = Date.now();
    const process = host.start(node, built.build, {
      report: path,
      before: host.buildOf(node),
      setAside: options.setAside ?? [],
      noWayBack: options.noWayBack ?? false,
      isBack: false,
      dryRun,
    });
    const untilMs = performance.now() + READY_MS;
    let report: CandidateReport | undefined;
    let ended: string | undefined;
    try {
      while (report === undefined && ended === undefined) {
        if (options.signal?.aborted) refuse('it was called off');
        if (performance.now() > untilMs) refuse(`${node}: the new code was not ready within ${READY_MS} ms`);
        await sleep();
        // In this order: what it says before it ends is heard.
        ended = process.ended();
        report = readReport(path);
      }
    } catch (error) {
      await host.end(node, process.pid);
      throw error;
    } finally {
      if (report?.state !== 'standing by') rmSync(path, { force: true });
    }
    report ??= { state: 'failed', error: { code: '', message: this.#why(node, ended, sinceMs) } };
    return { process, report, path, sinceMs };
  }

  /** Have the owner let go, for a candidate that is ready. */
  async #switch(node: string, built: BuiltTopology, options: DeployOptions, switched: Switched[]) {
    const host = this.#host;
    const { process: candidate, report, path, sinceMs } = await this.#candidate(node, built, options, false);
    try {
      const { outlook } = report;
      if (outlook !== undefined) options.onEvent?.({ type: 'outlook', outlook });
      if (report.state !== 'standing by' || outlook === undefined) {
        refuse(`${node}: ${outlook?.refused.join('; ') ?? failureOf(report) ?? 'the new code is not ready'}`);
      }
      // Whoever waits in the lock gets it: only the candidate may.
      const old = await this.#owner(node, candidate);
      await Promise.all(
        host.pids(node).flatMap(pid => (pid === old || pid === candidate.pid ? [] : [host.end(node, pid)])),
      );
      const startMs = performance.now();
      const each: Switched = { node, candidate, old };
      switched.push(each);
      if (old !== candidate.pid) tell(old, 'SIGUSR2');
      else each.old = 0;
      while (host.serving(node) !== candidate.pid) {
        const ended = candidate.ended();
        if (ended !== undefined) refuse(`${node}: ${failureOf(readReport(path)) ?? this.#why(node, ended, sinceMs)}`);
        if (performance.now() - startMs > SWITCH_MS)
          refuse(`${node}: the new code did not serve within ${SWITCH_MS} ms`);
        await sleep();
      }
      const pauseMs = Math.round(performance.now() - startMs);
      options.onEvent?.({ type: 'switched', node, pid: candidate.pid, pauseMs });
      return { outlook: outlook!, pauseMs };
    } catch (error) {
      if (candidate.ended() === undefined && !switched.some(each => each.node === node))
        await host.end(node, candidate.pid);
      throw error;
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** Who serves: the owner of before, or the candidate, when that owner has just died. */
  async #owner(node: string, candidate: DeployProcess): Promise<number> {
    for (;;) {
      const pid = this.#host.serving(node);
      if (pid !== 0) return pid;
      if (candidate.ended() !== undefined) refuse(`${node}: nobody serves, and its candidate has ended`);
      await sleep();
    }
  }

  async #probation(kind: string, switched: readonly Switched[], options: DeployOptions): Promise<void> {
    const ms = options.probationMs ?? PROBATION_MS;
    options.onEvent?.({ type: 'probation', service: kind, ms });
    const startMs = performance.now();
    const sinceMs = Date.now();
    for (;;) {
      for (const { node, candidate } of switched) {
        const ended = candidate.ended();
        if (ended !== undefined) refuse(`${node}: in its probation, ${this.#why(node, ended, sinceMs)}`);
      }
      if (options.signal?.aborted) refuse('it was called off');
      if (performance.now() - startMs >= ms || options.enough?.aborted) return;
      await sleep();
    }
  }

  /** The old code goes on. @returns why it could not */
  async #back({ node, candidate, old }: Switched, why: string, built: BuiltTopology, options: DeployOptions) {
    const host = this.#host;
    const runs = (pid: number): boolean => host.pids(node).includes(pid);
    const sinceMs = Date.now();
    // The old process may have died meanwhile; then there is nobody to let go to.
    const waiting = runs(old) ? old : await this.#standby(node);
    const startMs = performance.now();
    if (candidate.ended() === undefined && host.serving(node) === candidate.pid) tell(candidate.pid, 'SIGUSR2');
    else await host.end(node, candidate.pid);
    // It may have to migrate the state first.
    while (host.serving(node) !== waiting && runs(waiting)) {
      if (performance.now() - startMs > SWITCH_MS) await host.end(node, candidate.pid);
      await sleep();
    }
    const isBack = host.serving(node) === waiting;
    if (!isBack) host.keep(node, built);
    await host.end(node, candidate.pid);
    if (isBack) options.onEvent?.({ type: 'back', node, pid: waiting, why });
    return isBack ? undefined : (host.lastError(node, sinceMs) ?? 'its process ended');
  }

  /** A process of the old code that waits in the lock, or owns the node already. */
  async #standby(node: string): Promise<number> {
    const host = this.#host;
    const path = join(host.dir, 'status', `deploy-${node}-${++this.#count}.json`);
    const build = host.buildOf(node);
    const { pid, ended } = host.start(node, build, {
      report: path,
      before: build,
      setAside: [],
      noWayBack: true,
      isBack: true,
      dryRun: false,
    });
    while (readReport(path) === undefined && ended() === undefined) await sleep();
    rmSync(path, { force: true });
    return pid;
  }

  #why(node: string, ended: string | undefined, sinceMs: number): string {
    const error = this.#host.lastError(node, sinceMs);
    return `the new code ended by ${ended ?? 'itself'}${error === undefined ? '' : `: ${error}`}`;
  }
}

function failureOf(report: CandidateReport | undefined): string | undefined {
  if (report?.error === undefined) return undefined;
  const { code, message } = report.error;
  return code === '' ? message : `${code}: ${message}`;
}

function refuse(why: string): never {
  throw new RuntimeError('RUNTIME_DEPLOY', `${why}; the old code runs on`);
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended: its lock is free.
  }
}

function sleep(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, LOOK_MS));
}
