/** Starts the nodes of a topology, starts again what died, ends what hangs, and ends all in order.
 *
 * Each node has one process, and one more for its standby; which of them owns the node is for its lock to say. A node
 * whose owner dies is taken over by its standby without the supervisor: it only starts the next standby. It writes the
 * exit note that the next owner waits for when it suspects a message (blame.ts).
 *
 * One supervisor a directory, by the lock named `supervisor`. Children write to log files and have no pipe to this process:
 * killed, it is missed by nobody for `orphanMs`; the next one adopts what runs (run-file.ts, orphan.ts). */
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Bells, nsPid, OwnerLock, ShmError, SUPERVISOR } from '../../shm/index.ts';
import { DEFAULT_LIMITS } from '../../bus/index.ts';
import { RuntimeError } from '../errors.ts';
import type { CandidateSpec } from '../deploy/candidate.ts';
import { Deployer } from '../deploy/deploy.ts';
import { deployHostOf } from '../deploy/host.ts';
import { deployVerb } from '../deploy/verb.ts';
import { type BuiltTopology, buildTopology } from '../load.ts';
import { type NodeSpec, START_FAILED } from '../node-process.ts';
import { ORPHAN_MS } from '../orphan.ts';
import { dropRunFile, runningIn, type RunRecord } from '../run-file.ts';
import { nodesOf, thisHost } from '../topology.ts';
import { restoreFromDump } from './bad-state.ts';
import { beginCapsule } from './capsules.ts';
import { type ControlServer, type ControlVerb, serveControl } from './control.ts';
import { enterTopology } from './enter.ts';
import type { SupervisorEvent } from './events.ts';
import { outputPath } from '../report/collector.ts';
import { lastErrorIn } from './last-error.ts';
import { Observation } from './observation.ts';
import { isHeld, lowerPriority, NodeProcess, privateBytes, type ProcessEnd } from './processes.ts';
import { type Program, programOf } from './programs.ts';
import { Spares } from './spares.ts';
import { supervisorVerbs } from './verbs.ts';
import { VIGIL_MS } from './vigil.ts';
import { Watched } from './watched.ts';

/** What a supervisor takes. */
export interface SupervisorOptions {
  /** The topology's source file. */
  readonly file: string;
  /** The cluster's directory. */
  readonly dir: string;
  /** How long nodes go on when this supervisor is killed and no other one comes. Default 30,000. */
  readonly orphanMs?: number;
  /** Which host of the topology this is, where it has several. */
  readonly host?: string;
  readonly onEvent?: (event: SupervisorEvent) => void;
  /** Keep a process ready for each node of a service, so that a deploy waits for none to start. Default false. */
  readonly spares?: boolean;
}

/** Somebody asked over the control socket that all be ended. */
export interface StopAsked {
  /** Keep the segments, whatever the supervisor was started with. */
  readonly keep: boolean;
}

const POLL_MS = 20;
/** A new standby waits so long, that it does not take the processor from the one that is taking over. */
const STANDBY_DELAY_MS = 1_000;
const STOP_MS = 5_000;
/** Who may not raise a priority again must not lower it: the standby will be needed. */
const MAY_RAISE = process.geteuid?.() === 0;
/** Deaths by these are somebody else's doing. */
const FOREIGN: readonly (string | undefined)[] = ['SIGKILL', 'SIGTERM', 'SIGINT'];
/** Looks that a process gets to end in order when it has too much memory. */
const MEMORY_POLLS = 4;

/** Starts and keeps the processes of one topology in one directory. */
export class Supervisor {
  readonly dir: string;
  /** Resolves when `lich stop` asks for the end of everything; whoever made this supervisor calls `stop` then. */
  readonly stopAsked: Promise<StopAsked>;
  /** What the control socket answers. */
  readonly verbs: Map<string, ControlVerb>;
  readonly deployer: Deployer;
  #spares: Spares | undefined;
  readonly #file: string;
  readonly #orphanMs: number;
  readonly #host: string | undefined;
  readonly #listeners = new Set<(event: SupervisorEvent) => void>();
  readonly #nodes = new Map<string, Watched>();
  #askStop!: (asked: StopAsked) => void;
  #loaded: BuiltTopology | undefined;
  #lock: OwnerLock | undefined;
  #control: ControlServer | undefined;
  #bells: Bells | undefined;
  #timers: NodeJS.Timeout[] = [];
  #stopping = false;
  #observation: Observation | undefined;
  readonly #allEnded: Promise<void>;
  #sayAllEnded!: () => void;
  readonly #overMemory = new Map<NodeProcess, number>();
  #readyWaiters: { resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(o: SupervisorOptions) {
    this.dir = o.dir;
    this.#file = o.file;
    this.#orphanMs = o.orphanMs ?? ORPHAN_MS;
    this.#host = o.host;
    if (o.onEvent) this.#listeners.add(o.onEvent);
    if (o.spares === true) this.#spares = new Spares();
    this.stopAsked = new Promise(resolve => (this.#askStop = resolve));
    this.#allEnded = new Promise(resolve => (this.#sayAllEnded = resolve));
    this.verbs = supervisorVerbs(this);
    this.deployer = new Deployer(deployHostOf(this));
    this.verbs.set('deploy', deployVerb(this.deployer, o.file));
  }

  /** Take the directory, compile, enter the nodes into it, adopt what runs, start what is missing, and wait until all
   * serve.
   * @throws RuntimeError `RUNTIME_IN_USE` when another supervisor runs there, or nodes of another topology; for a topology
   * or service that cannot be; Error when a node gave up while starting */
  async start(): Promise<void> {
    this.#lock = takeDirectory(this.dir);
    this.#loaded = await buildTopology(this.#file);
    // Told to end while it compiled: nothing was started, and nothing may be any more.
    if (this.#stopping) return;
    const { file, topology, build } = this.#loaded;
    thisHost(topology, this.#host);
    const running = runningIn(this.dir);
    refuseForeign(this.dir, file, running);
    const entered = enterTopology(this.dir, topology, this.#host, running, event => this.#say(event));
    this.#bells = Bells.open(this.dir, DEFAULT_LIMITS.nodes);
    for (const plan of nodesOf(topology, this.#host)) {
      if (plan.host !== this.#host) continue;
      const { index } = entered.get(plan.name)!;
      const node = new Watched(this.dir, plan, topology.entries.get(plan.kind)!, index, build);
      refuseOtherHost(node);
      this.#nodes.set(plan.name, node);
    }
    this.#dropStatus(new Set(running.map(({ pid }) => pid)));
    for (const record of running) this.#adopt(record);
    this.#observation = new Observation(this.dir, topology.options, () => this.#nodes.keys());
    await this.#observation.open();
    this.#control = await serveControl(this.dir, this.verbs);
    if (this.#stopping) return;
    for (const node of this.#nodes.values()) this.#fillAll(node);
    this.#timers = [setInterval(() => this.#look(), POLL_MS), setInterval(() => this.#keepVigil(), VIGIL_MS)];
    await new Promise<void>((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
  }

  /** Told everything from now on. @returns call it to hear no more */
  listen(listener: (event: SupervisorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #say(event: SupervisorEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Processes of a node: the one that serves first. */
  pids(name: string): number[] {
    return this.#nodes.get(name)?.pids() ?? [];
  }

  /** Where a Prometheus server finds the metrics. */
  get metrics(): string | undefined {
    return this.#observation?.metrics;
  }

  get names(): string[] {
    return [...this.#nodes.keys()];
  }

  /** All nodes, services first. */
  get nodes(): ReadonlyMap<string, Watched> {
    return this.#nodes;
  }

  get loaded(): BuiltTopology | undefined {
    return this.#loaded;
  }

  /** Where a node that is no service can be reached. */
  address(name: string): string | undefined {
    return this.#nodes.get(name)?.status()?.address;
  }

  logFile(name: string): string {
    const logs = join(this.dir, 'logs');
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    return join(logs, `${name}.log`);
  }

  /** Have everything ended; resolves when all processes have. */
  askStop(asked: StopAsked): Promise<void> {
    this.#askStop(asked);
    return this.#allEnded;
  }

  /** End the processes of one node in order; it stays down until `startNode`. */
  async stopNode(node: Watched, why: string): Promise<void> {
    node.wanted = 'stopped';
    clearTimeout(node.pending);
    node.pending = undefined;
    await this.#endNode(node);
    this.#say({ type: 'stopped', node: node.name, why });
  }

  /** Start a node that was stopped, or is down. */
  startNode(node: Watched): void {
    if (this.#stopping) return;
    node.wanted = 'running';
    node.why = '';
    node.crashes.reset();
    this.#fillAll(node);
  }

  /** SIGKILL, on somebody's request: nothing is blamed for it. */
  killProcess(node: Watched, process: NodeProcess): void {
    process.killedFor ??= 'asked';
    // Before: its standby may ask before this process is told of the death.
    node.noteExit(process.pid, { signal: 'SIGKILL', cause: process.killedFor, atMs: Date.now() });
    process.kill('SIGKILL');
  }

  #adopt(record: RunRecord): void {
    const node = this.#nodes.get(record.node);
    const process = NodeProcess.adopt(record);
    if (node === undefined) {
      // The topology has it no more: it ends in order.
      process.kill('SIGTERM');
      this.#say({ type: 'stopped', node: record.node, why: 'the topology has no such node any more' });
      return;
    }
    // The code that runs is the code that is started again, until a deploy.
    node.build = record.build;
    this.#watch(node, process);
    this.#say({ type: 'adopted', node: node.name, pid: process.pid });
  }

  #watch(node: Watched, process: NodeProcess): void {
    node.processes.add(process);
    void process.ended.then(end => this.#exited(node, process, end));
  }

  /** As many processes of a node as the topology wants. */
  fill(node: Watched): void {
    this.#fillAll(node);
  }

  /** One more process of a node than the topology wants, for a deploy. */
  startProcess(node: Watched, build: string, candidate: CandidateSpec | undefined): NodeProcess {
    return this.#spawn(node, build, candidate);
  }

  #fillAll(node: Watched): void {
    while (node.processes.size < node.plan.processes && this.#mayStart(node)) this.#spawn(node);
  }

  #mayStart(node: Watched): boolean {
    return !this.#stopping && node.wanted === 'running' && !node.held;
  }

  #spawn(node: Watched, build = node.build, candidate?: CandidateSpec): NodeProcess {
    const { plan } = node;
    const spec: NodeSpec = {
      topologyFile: this.#loaded!.file,
      build,
      ...(candidate && { candidate }),
      dir: this.dir,
      kind: plan.kind,
      instance: plan.instance,
      ...(this.#host !== undefined && { host: this.#host }),
      supervisor: process.pid,
      orphanMs: this.#orphanMs,
    };
    const log = openSync(outputPath(this.dir, plan.name), 'a', 0o600);
    const program = programOf(build, plan.kind);
    const spare = candidate && this.#spares?.take(plan.name, spec, program);
    const started = spare ?? NodeProcess.start(program.node, this.#argsFor(node, program, spec), log, build);
    closeSync(log);
    // Warming up is polite to the owner; the process raises itself once it stands by (node-process.ts).
    // So is one that may die again at once to everybody else.
    if (spare === undefined && (node.processes.size > 0 || node.crashes.inARow > 2) && MAY_RAISE)
      lowerPriority(started.pid);
    this.#watch(node, started);
    if (started.pid !== 0) this.#say({ type: 'started', node: plan.name, pid: started.pid });
    return started;
  }

  #argsFor(node: Watched, { entry }: Program, said: object): string[] {
    const { memoryMiB } = node.entry;
    const heap = memoryMiB === undefined ? [] : [`--max-old-space-size=${memoryMiB}`];
    return [...process.execArgv, ...heap, entry, JSON.stringify(said)];
  }

  /** Spares for each node of a service that has too few. @param build whose code is most like that of the next deploy */
  prepareSpares(build: string = this.#loaded!.build): void {
    for (const node of this.#stopping ? [] : this.#nodes.values()) {
      if (!node.isService) continue;
      const { kind } = node.plan;
      const said = { spareOf: node.name, dir: this.dir, kind, build, topologyFile: this.#loaded!.file };
      const program = programOf(build, kind);
      const args = this.#argsFor(node, program, said);
      this.#spares?.prepare(node.name, program.node, args, outputPath(this.dir, node.name));
    }
  }

  #exited(node: Watched, process: NodeProcess, end: ProcessEnd): void {
    node.processes.delete(process);
    this.#overMemory.delete(process);
    const { pid, killedFor } = process;
    const { code, signal } = end;
    this.#observation?.exited(node.name, code, signal);
    dropRunFile(this.dir, node.name, pid);
    // What died may be about to be set aside: the state before it is taken first.
    if (node.isService && !this.#stopping)
      void beginCapsule({
        dir: this.dir,
        node: node.name,
        pid,
        end,
        topologyFile: this.#loaded!.file,
        memoryMiB: node.entry.memoryMiB,
        build: node.build,
        logFile: this.logFile(node.name),
      });
    if (code !== undefined || signal !== undefined)
      node.noteExit(pid, { ...end, ...(killedFor && { cause: killedFor }), atMs: Date.now() });
    this.#say({ type: 'exited', node: node.name, pid, signal, code, logFile: this.logFile(node.name) });
    const servedMs = node.serving === pid ? Date.now() - node.servingSinceMs : this.#aliveMs(node, process);
    if (node.serving === pid) node.serving = 0;
    if (!this.#mayStart(node)) return;
    if (code === START_FAILED && !node.ready) return this.#giveUp(node);
    // Of an adopted process nobody knows how it ended: that is not held against it.
    const isKnown = code !== undefined || signal !== undefined;
    const isOwn = killedFor === undefined ? isKnown && !FOREIGN.includes(signal) : killedFor !== 'asked';
    node.crashes.contained(node.newlyContained());
    const backOffMs = node.crashes.died(isOwn, servedMs);
    if (node.crashes.inARow >= node.maxCrashes) {
      void this.#badState(node);
      return;
    }
    if (backOffMs > 0)
      this.#say({ type: 'backOff', node: node.name, crashes: node.crashes.inARow, delayMs: backOffMs });
    this.#fillLater(node, Math.max(backOffMs, node.processes.size > 0 ? STANDBY_DELAY_MS : 0));
  }

  /** A program that never says that it serves is taken to serve while it lives. */
  #aliveMs(node: Watched, process: NodeProcess): number {
    return node.hasState || node.ready ? 0 : Date.now() - process.startedMs;
  }

  #fillLater(node: Watched, delayMs: number): void {
    if (delayMs === 0) {
      this.#fillAll(node);
      return;
    }
    // When nobody is left, nobody waits for the standby.
    if (node.pending !== undefined && node.processes.size > 0) return;
    clearTimeout(node.pending);
    node.pendingAtMs = Date.now() + delayMs;
    node.pending = setTimeout(() => {
      node.pending = undefined;
      this.#fillAll(node);
    }, delayMs);
    node.pending.unref();
  }

  #giveUp(node: Watched): void {
    const logFile = this.logFile(node.name);
    this.#observation?.lastWords(node.name);
    this.#say({ type: 'gaveUp', node: node.name, logFile });
    this.#fail(new Error(`${node.name} cannot start: ${lastErrorIn(logFile)}`));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#readyWaiters) reject(error);
    this.#readyWaiters = [];
  }

  /** It died again and again under this state: stop, keep the state as evidence, and do what the topology says. */
  async #badState(node: Watched): Promise<void> {
    const crashes = node.crashes.inARow;
    node.wanted = 'down';
    this.#observation?.lastWords(node.name);
    node.why = `${crashes} crashes in a row; the last: ${lastErrorIn(this.logFile(node.name))}`;
    for (const process of node.processes) this.killProcess(node, process);
    await Promise.all([...node.processes].map(process => process.ended));
    const policy = node.entry.onBadState ?? 'down';
    if (policy !== 'down') {
      node.forgetState();
      const found = await restoreFromDump(this.dir, node.name, this.#loaded!, policy.dumps);
      if (this.#stopping || node.wanted !== 'down') return;
      if ('dump' in found) {
        this.#say({ type: 'restored', node: node.name, ...found });
        this.startNode(node);
        return;
      }
      node.why += `; ${found.why}`;
    }
    this.#say({ type: 'down', node: node.name, crashes, why: node.why });
    if (!node.ready) this.#fail(new Error(`${node.name} cannot start: ${node.why}`));
  }

  /** Who serves? Told by the segments and status files, as anybody else could see it. */
  #look(): void {
    this.#observation?.look();
    let all = true;
    for (const node of this.#nodes.values()) {
      for (const process of node.processes) process.look();
      const pid = node.servingPid();
      if (pid !== 0 && pid !== node.serving) this.#nowServes(node, pid);
      node.ready ||= pid !== 0;
      all &&= node.ready || node.wanted !== 'running';
    }
    if (!all) return;
    for (const { resolve } of this.#readyWaiters) resolve();
    this.#readyWaiters = [];
  }

  #nowServes(node: Watched, pid: number): void {
    const { name } = node;
    const isFirst = !node.ready;
    node.serving = pid;
    node.servingSinceMs = Date.now();
    if (isFirst || !node.isService) this.#say({ type: 'ready', node: name, address: this.address(name), pid });
    else this.#say({ type: 'takeover', node: name, pid });
  }

  /** Twice a second: who hangs, who has too much memory, who is well again? */
  #keepVigil(): void {
    for (const node of this.#nodes.values()) {
      if (node.wanted !== 'running') continue;
      node.lookForNewState();
      node.crashes.contained(node.newlyContained());
      if (node.serving !== 0) node.crashes.serves(Date.now() - node.servingSinceMs);
      if (node.hasState) this.#lookForHang(node);
      if (node.memoryLimitBytes > 0) for (const process of node.processes) this.#lookAtMemory(node, process);
    }
    this.#adoptLatecomers();
  }

  #lookForHang(node: Watched): void {
    const pulse = node.pulse();
    const sign = node.vigil.look(pulse, pid => isHeld(pid) || node.isInspected());
    if (sign === 'beats' || pulse === undefined) return;
    if (sign === 'silent') {
      this.#bells!.ring(node.index);
      return;
    }
    const process = node.process(pulse.pid);
    if (process === undefined || process.killedFor !== undefined) return;
    process.killedFor = 'hung';
    this.#say({ type: 'hung', node: node.name, pid: pulse.pid, polls: node.vigil.missed });
    // The next owner asks as soon as it has the lock.
    node.noteExit(pulse.pid, { signal: 'SIGKILL', cause: 'hung', atMs: Date.now() });
    process.kill('SIGKILL');
  }

  #lookAtMemory(node: Watched, process: NodeProcess): void {
    const bytes = privateBytes(process.pid);
    const limitBytes = node.memoryLimitBytes;
    const polls = (this.#overMemory.get(process) ?? -1) + 1;
    if (bytes <= limitBytes && process.killedFor === undefined) {
      this.#overMemory.delete(process);
      return;
    }
    this.#overMemory.set(process, polls);
    // Twice in a row: a rehearsal or a burst of garbage may be over.
    if (polls === 1) {
      process.killedFor ??= 'memory';
      this.#say({ type: 'memory', node: node.name, pid: process.pid, bytes, limitBytes });
      // In order: what leaks can still finish its message, and nothing is blamed.
      process.kill('SIGTERM');
    } else if (polls > MEMORY_POLLS) {
      node.noteExit(process.pid, { signal: 'SIGKILL', cause: 'memory', atMs: Date.now() });
      process.kill('SIGKILL');
    }
  }

  /** A process that was started just before the last supervisor was killed says only later that it runs. */
  #adoptLatecomers(): void {
    if (this.#lateLooks++ >= LATE_LOOKS) return;
    for (const record of runningIn(this.dir)) {
      const node = this.#nodes.get(record.node);
      if (node === undefined || record.supervisor === process.pid) continue;
      if (node.process(record.pid) !== undefined) continue;
      this.#adopt(record);
      // One more than the topology wants: the one that came last of those that only wait. What serves may be the latecomer.
      const owner = node.owner()?.pid;
      const waiting = [...node.processes].filter(({ pid }) => pid !== owner && pid !== node.serving);
      if (node.processes.size > node.plan.processes) waiting.at(-1)?.kill('SIGKILL');
    }
  }

  #lateLooks = 0;

  /** Addresses of processes that are gone. */
  #dropStatus(alive: ReadonlySet<number>): void {
    for (const node of this.#nodes.values()) {
      const status = node.status();
      if (status !== undefined && !alive.has(status.pid))
        rmSync(join(this.dir, 'status', `${node.name}.json`), { force: true });
    }
  }

  /** Standbys before owners: nobody is to take over what is ended. */
  async #endNode(node: Watched): Promise<void> {
    const owner = node.owner()?.pid;
    if (node.isService) for (const process of node.processes) if (process.pid !== owner) process.kill('SIGTERM');
    await Promise.all([...node.processes].map(end));
  }

  /** End everything: what takes traffic first, standbys before owners. Segments stay. The directory is this supervisor's
   * until `release`. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#spares?.close();
    for (const timer of this.#timers) clearInterval(timer);
    const looks = setInterval(() => {
      for (const node of this.#nodes.values()) for (const process of node.processes) process.look();
    }, POLL_MS);
    const last = [...this.#nodes.values()].reverse();
    for (const node of last) {
      for (const process of node.processes) if (node.isService && process.pid !== node.serving) process.kill('SIGTERM');
    }
    for (const node of last) await this.#endNode(node);
    clearInterval(looks);
    for (const node of last) node.close();
    this.#observation?.close();
    this.#sayAllEnded();
    // Who asked for it is answered before the socket goes.
    await new Promise(resolve => setImmediate(resolve));
    this.#control?.close();
    this.#bells?.close();
  }

  /** SIGKILL everything, now; `stop`, which is under way, returns then. What was committed is committed. */
  killAll(): void {
    this.#stopping = true;
    for (const node of this.#nodes.values()) {
      for (const process of node.processes) this.killProcess(node, process);
    }
  }

  /** Leave the directory to the next supervisor. After `stop`. */
  release(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

/** Looks, two a second, for processes that the last supervisor started in its last moment. */
const LATE_LOOKS = 20;

/** @throws RuntimeError `RUNTIME_IN_USE` */
function takeDirectory(dir: string): OwnerLock {
  let lock: OwnerLock;
  for (;;) {
    lock = OwnerLock.open(dir, SUPERVISOR);
    try {
      if (lock.tryAcquire() !== 'busy') return lock;
      break;
    } catch (error) {
      // The one before this one has just removed the directory's files.
      if (!(error instanceof ShmError) || error.code !== 'SHM_LOCK_STALE') throw error;
    }
  }
  throw new RuntimeError(
    'RUNTIME_IN_USE',
    `a supervisor runs already in ${dir}, as process ${lock.owner()?.pid ?? '(unknown)'}: end it first (lich stop --dir ${dir}), or give another --dir`,
  );
}

function refuseForeign(dir: string, file: string, running: readonly RunRecord[]): void {
  const other = running.find(record => record.topologyFile !== file || record.pidNamespace !== nsPid());
  if (other === undefined) return;
  throw new RuntimeError(
    'RUNTIME_IN_USE',
    other.pidNamespace === nsPid()
      ? `${other.node} runs in ${dir} as process ${other.pid}, of ${other.topologyFile}: \`lich up ${basename(other.topologyFile)}\` adopts it, \`lich stop --dir ${dir}\` ends it`
      : `${other.node} runs in ${dir} in another container: end it there first`,
  );
}

function refuseOtherHost(node: Watched): void {
  const owner = node.owner();
  if (owner === undefined || owner.pidNamespace === nsPid()) return;
  throw new RuntimeError('RUNTIME_IN_USE', `${node.name} runs in ${node.dir} in another container: end it there first`);
}

async function end(process: NodeProcess): Promise<void> {
  process.kill('SIGTERM');
  const timer = setTimeout(() => {
    process.killedFor ??= 'asked';
    process.kill('SIGKILL');
  }, STOP_MS);
  await process.ended;
  clearTimeout(timer);
}
