/** Starts the nodes of a topology, starts again what died, and ends them in order.
 *
 * Each node has one process, and one more for its standby; which of them owns the node is for its lock to say. A node
 * whose owner dies is taken over by its standby without the supervisor: it only starts the next standby. It writes the
 * exit note that the next owner waits for when it suspects a message (blame.ts).
 *
 * Children write to log files and have no pipe to this process; they end in order when it is gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEFAULT_LIMITS, Directory, nodeId } from '../../bus/index.ts';
import { attachSegment, OwnerLock, type Segment, ShmError } from '../../shm/index.ts';
import { type LoadedTopology, buildTopology } from '../load.ts';
import { type NodeSpec, START_FAILED, statusPath } from '../node-process.ts';
import { type Phase, phaseOf } from '../node-words.ts';
import { type NodePlan, nodesOf } from '../topology.ts';

/** What a supervisor saw; pids are of this host. */
export type SupervisorEvent =
  | { readonly type: 'started'; readonly node: string; readonly pid: number }
  | { readonly type: 'ready'; readonly node: string; readonly address: string | undefined; readonly pid: number }
  | {
      readonly type: 'exited';
      readonly node: string;
      readonly pid: number;
      readonly signal: string | undefined;
      readonly code: number | undefined;
      readonly logFile: string;
    }
  | { readonly type: 'takeover'; readonly node: string; readonly pid: number }
  | { readonly type: 'gaveUp'; readonly node: string; readonly logFile: string };

/** What a supervisor takes. */
export interface SupervisorOptions {
  /** The topology's source file. */
  readonly file: string;
  /** The cluster's directory. */
  readonly dir: string;
  readonly onEvent?: (event: SupervisorEvent) => void;
}

interface Running {
  readonly child: ChildProcess;
  readonly startedMs: number;
}

interface Watched {
  readonly plan: NodePlan;
  readonly isService: boolean;
  readonly running: Set<Running>;
  lock: OwnerLock | undefined;
  state: Segment | undefined;
  /** Epoch of the life that an earlier cluster left behind, -1 = none: killed, its segment still says that it serves */
  readonly leftEpoch: number;
  /** pid that was last seen serving */
  serving: number;
  ready: boolean;
  /** deaths in a row without serving, or soon after it */
  failures: number;
}

const ENTRY = fileURLToPath(new URL('../entry.js', import.meta.url));
const POLL_MS = 20;
/** A new standby waits so long, that it does not take the processor from the one that is taking over. */
const STANDBY_DELAY_MS = 250;
/** Own deaths within this time of the start are a loop: it backs off. */
const LOOP_MS = 5_000;
const BACKOFF_MAX_MS = 5_000;
const STOP_MS = 5_000;
const WARM_UP_PRIORITY = 5;
/** Who may not raise a priority again must not lower it: the standby will be needed. */
const MAY_RAISE = process.geteuid?.() === 0;

/** Starts and keeps the processes of one topology in one directory. One supervisor a directory. */
export class Supervisor {
  readonly dir: string;
  readonly #file: string;
  readonly #onEvent: (event: SupervisorEvent) => void;
  readonly #nodes = new Map<string, Watched>();
  #loaded: LoadedTopology | undefined;
  #poll: NodeJS.Timeout | undefined;
  #stopping = false;
  #readyWaiters: { resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(o: SupervisorOptions) {
    this.dir = o.dir;
    this.#file = o.file;
    this.#onEvent = o.onEvent ?? (() => {});
  }

  /** Compile, enter the nodes into the directory, start everything, and wait until all serve.
   * @throws RuntimeError for a topology or service that cannot be; Error when a node gave up while starting */
  async start(): Promise<void> {
    this.#loaded = await buildTopology(this.#file);
    // Told to end while it compiled: nothing was started, and nothing may be any more.
    if (this.#stopping) return;
    const directory = new Directory(this.dir, DEFAULT_LIMITS.nodes);
    const plans = nodesOf(this.#loaded.topology);
    for (const plan of plans) directory.ensure(plan.name, idFor(directory, plan));
    rmSync(join(this.dir, 'status'), { recursive: true, force: true });
    for (const plan of plans) {
      const isService = typeof this.#loaded.topology.entries.get(plan.kind)!.run === 'string';
      this.#nodes.set(plan.name, {
        plan,
        isService,
        running: new Set(),
        lock: undefined,
        state: undefined,
        leftEpoch: isService ? this.#leftEpoch(plan.name) : -1,
        serving: 0,
        ready: false,
        failures: 0,
      });
    }
    for (const node of this.#nodes.values()) for (let k = 0; k < node.plan.processes; k++) this.#spawn(node);
    this.#poll = setInterval(() => this.#look(), POLL_MS);
    await new Promise<void>((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
  }

  /** Processes of a node: the one that serves first. */
  pids(name: string): number[] {
    const node = this.#nodes.get(name);
    if (node === undefined) return [];
    const pids = [...node.running].map(({ child }) => child.pid!);
    return pids.sort((a, b) => Number(b === node.serving) - Number(a === node.serving));
  }

  get names(): string[] {
    return [...this.#nodes.keys()];
  }

  #spawn(node: Watched): void {
    if (this.#stopping) return;
    const { plan } = node;
    const spec: NodeSpec = {
      topologyFile: this.#loaded!.file,
      build: this.#loaded!.build,
      dir: this.dir,
      kind: plan.kind,
      instance: plan.instance,
      supervisor: process.pid,
    };
    const log = openSync(this.logFile(plan.name), 'a', 0o600);
    // A session of its own: Ctrl-C in the terminal is for the supervisor, which ends the nodes in order.
    const child = spawn(process.execPath, [...process.execArgv, ENTRY, JSON.stringify(spec)], {
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const running: Running = { child, startedMs: Date.now() };
    node.running.add(running);
    child.on('error', () => this.#exited(node, running, undefined, undefined));
    child.on('exit', (code, signal) => this.#exited(node, running, code ?? undefined, signal ?? undefined));
    if (child.pid === undefined) return;
    // Warming up is polite to the owner; the process raises itself once it stands by (node-process.ts).
    if (node.running.size > 1 && MAY_RAISE) lowerPriority(child.pid);
    this.#onEvent({ type: 'started', node: plan.name, pid: child.pid });
  }

  logFile(name: string): string {
    const logs = join(this.dir, 'logs');
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    return join(logs, `${name}.log`);
  }

  #exited(node: Watched, running: Running, code: number | undefined, signal: string | undefined): void {
    if (!node.running.delete(running)) return;
    const pid = running.child.pid ?? 0;
    const { name } = node.plan;
    this.#noteExit(node, pid, code, signal);
    this.#onEvent({ type: 'exited', node: name, pid, signal, code, logFile: this.logFile(name) });
    if (this.#stopping) return;
    if (node.serving === pid) node.serving = 0;
    if (code === START_FAILED && !node.ready) {
      this.#giveUp(node);
      return;
    }
    // Somebody else's SIGKILL is no fault of the node: it starts again at once, however often that happens.
    const own = signal !== 'SIGKILL' && Date.now() - running.startedMs < LOOP_MS;
    node.failures = own ? node.failures + 1 : 0;
    const backoff = node.failures < 3 ? 0 : Math.min(BACKOFF_MAX_MS, 100 * 2 ** (node.failures - 3));
    const delayMs = Math.max(backoff, node.running.size > 0 ? STANDBY_DELAY_MS : 0);
    if (delayMs === 0) this.#spawn(node);
    else setTimeout(() => this.#fill(node), delayMs).unref();
  }

  #fill(node: Watched): void {
    if (node.running.size < node.plan.processes) this.#spawn(node);
  }

  #noteExit(node: Watched, pid: number, code: number | undefined, signal: string | undefined): void {
    // Programs have no lock, and none is made for them.
    if (node.lock === undefined && !existsSync(join(this.dir, `${node.plan.name}.lock`))) return;
    try {
      node.lock ??= OwnerLock.open(this.dir, node.plan.name);
      node.lock.noteExit(pid, {
        atMs: Date.now(),
        ...(code === undefined ? {} : { code }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      // Without a note the next owner takes the death for a plain SIGKILL.
      if (!(error instanceof ShmError)) throw error;
    }
  }

  #giveUp(node: Watched): void {
    this.#onEvent({ type: 'gaveUp', node: node.plan.name, logFile: this.logFile(node.plan.name) });
    const reason = lastError(this.logFile(node.plan.name));
    for (const { reject } of this.#readyWaiters) reject(new Error(`${node.plan.name} cannot start: ${reason}`));
    this.#readyWaiters = [];
  }

  /** Who serves? Told by the segments and status files, as anybody else could see it. */
  #look(): void {
    let all = true;
    for (const node of this.#nodes.values()) {
      const pid = node.isService ? this.#servingPid(node) : this.#announcedPid(node);
      if (pid !== 0 && pid !== node.serving) this.#nowServes(node, pid);
      node.ready ||= pid !== 0;
      all &&= node.ready;
    }
    if (!all) return;
    for (const { resolve } of this.#readyWaiters) resolve();
    this.#readyWaiters = [];
  }

  #nowServes(node: Watched, pid: number): void {
    const { name } = node.plan;
    const isFirst = !node.ready;
    node.serving = pid;
    if (isFirst || !node.isService) this.#onEvent({ type: 'ready', node: name, address: this.address(name), pid });
    else this.#onEvent({ type: 'takeover', node: name, pid });
  }

  #servingPid(node: Watched): number {
    try {
      node.lock ??= OwnerLock.open(this.dir, node.plan.name);
      const pid = node.lock.owner()?.pid ?? 0;
      if (pid === 0) return 0;
      node.state ??= attachSegment({ dir: this.dir, name: node.plan.name, kind: 'state', readOnly: true });
      const phase: Phase = phaseOf(node.state);
      return phase === 'serving' && node.state.epoch !== node.leftEpoch ? pid : 0;
    } catch (error) {
      if (error instanceof ShmError) return 0;
      throw error;
    }
  }

  #leftEpoch(name: string): number {
    try {
      if (OwnerLock.open(this.dir, name).owner() !== undefined) return -1;
      const segment = attachSegment({ dir: this.dir, name, kind: 'state', readOnly: true });
      const { epoch } = segment;
      segment.close();
      return epoch;
    } catch (error) {
      if (error instanceof ShmError) return -1;
      throw error;
    }
  }

  #announcedPid(node: Watched): number {
    const status = this.#status(node.plan.name);
    return status !== undefined && [...node.running].some(({ child }) => child.pid === status.pid) ? status.pid : 0;
  }

  /** Where a node that is no service can be reached. */
  address(name: string): string | undefined {
    return this.#status(name)?.address;
  }

  #status(name: string): { pid: number; address: string } | undefined {
    try {
      return JSON.parse(readFileSync(statusPath(this.dir, name), 'utf8')) as { pid: number; address: string };
    } catch {
      return undefined;
    }
  }

  /** End everything: what takes traffic first, standbys before owners. Segments stay. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#poll);
    const last = [...this.#nodes.values()].reverse();
    for (const node of last) {
      for (const { child } of node.running) if (node.isService && child.pid !== node.serving) child.kill('SIGTERM');
    }
    for (const node of last) {
      await Promise.all([...node.running].map(running => end(running.child)));
      node.state?.close();
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await gone;
  clearTimeout(timer);
}

/** Ids stay with names over restarts: they are in the directory. A new kind gets the next free number. */
function idFor(directory: Directory, plan: NodePlan): number {
  const known = directory.all();
  const same = known.find(node => node.name === plan.name);
  if (same) return same.id;
  const sibling = known.find(node => node.name.startsWith(`${plan.kind}-`));
  const kind = sibling ? (sibling.id >>> 8) & 255 : 1 + Math.max(0, ...known.map(node => (node.id >>> 8) & 255));
  return nodeId(1, 1, kind, plan.instance);
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, WARM_UP_PRIORITY);
  } catch {
    // It has ended already.
  }
}

/** The message of the last error line of a log. */
function lastError(file: string): string {
  if (!existsSync(file)) return `see ${file}`;
  const lines = readFileSync(file, 'utf8').trim().split('\n').reverse();
  for (const line of lines) {
    try {
      const { level, err, msg } = JSON.parse(line) as {
        level?: number;
        err?: { code?: string; message: string };
        msg?: string;
      };
      if (level === 50) return err ? `${err.code ? `${err.code}: ` : ''}${err.message}` : String(msg);
    } catch {
      if (line.includes('Error')) return line;
    }
  }
  return `see ${file}`;
}
